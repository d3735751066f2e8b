//! Permits: tokens that record themselves when they are dropped.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::core::{At, Core, Now, OwnTime};
use super::token::{Outcome, Token, Transition};

/// Records a call that ended without a result.
#[cold]
#[inline(never)]
pub(super) fn abandon(core: &Core, token: Token, now: impl Now) {
    let outcome = if std::thread::panicking() { Outcome::Failure } else { Outcome::Cancelled };
    // A call that began by the caller's own time cannot end by the breaker's clock.
    match token.callers_time() {
        Some(began) => core.record_with(token, outcome, At(began)),
        None => core.record_with(token, outcome, now),
    };
}

/// Leave to make one call. Finish it with [`success`](Self::success), [`failure`](Self::failure) or
/// [`ignore`](Self::ignore).
///
/// Dropped without a result, the call counts as cancelled: by default it is ignored, and a probe's
/// place is given back. Dropped by a panic, it counts as a failure. A result that comes after the state
/// has moved on is counted as late and changes nothing.
#[must_use = "dropping a permit counts the call as cancelled"]
pub struct Permit<'a> {
    core: &'a Core,
    token: Token,
}

impl<'a> Permit<'a> {
    #[inline(always)]
    pub(super) fn new(core: &'a Core, token: Token) -> Self {
        Self { core, token }
    }

    /// The permit as a plain token; it no longer records itself.
    #[inline(always)]
    pub fn into_token(self) -> Token {
        ManuallyDrop::new(self).token
    }

    /// Whether the call is a probe of a half-open round.
    pub fn is_probe(&self) -> bool {
        self.token.is_probe()
    }

    /// The service answered as it should.
    #[inline(always)]
    pub fn success(self) -> Option<Transition> {
        self.record(Outcome::Success)
    }

    /// [`success`](Self::success) at `now`.
    #[inline(always)]
    pub fn success_at(self, now: u64) -> Option<Transition> {
        self.record_at(Outcome::Success, now)
    }

    /// The service failed.
    #[inline(always)]
    pub fn failure(self) -> Option<Transition> {
        self.record(Outcome::Failure)
    }

    /// [`failure`](Self::failure) at `now`.
    #[inline(always)]
    pub fn failure_at(self, now: u64) -> Option<Transition> {
        self.record_at(Outcome::Failure, now)
    }

    /// The call says nothing about the service. Reads no clock.
    #[inline(always)]
    pub fn ignore(self) {
        self.record(Outcome::Ignored);
    }

    /// Records `outcome`; gives the transition that it made, if any.
    #[inline(always)]
    pub fn record(self, outcome: Outcome) -> Option<Transition> {
        let core = self.core;
        core.record_with(self.into_token(), outcome, OwnTime)
    }

    /// [`record`](Self::record) at `now`.
    #[inline(always)]
    pub fn record_at(self, outcome: Outcome, now: u64) -> Option<Transition> {
        let core = self.core;
        core.record_with(self.into_token(), outcome, At(now))
    }
}

impl Drop for Permit<'_> {
    // Inlined, and what it calls takes the token by value: else the permit would have to live in memory.
    #[inline(always)]
    fn drop(&mut self) {
        abandon(self.core, self.token, OwnTime);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("breaker", &self.core.name).field("token", &self.token).finish()
    }
}

/// A [`Permit`] that owns its breaker, to be kept in a task, a queue or a connection.
#[must_use = "dropping a permit counts the call as cancelled"]
pub struct OwnedPermit {
    core: Arc<Core>,
    /// Taken by the result.
    token: Option<Token>,
}

impl OwnedPermit {
    pub(super) fn new(core: Arc<Core>, token: Token) -> Self {
        Self { core, token: Some(token) }
    }

    /// The permit as a plain token; it no longer records itself.
    pub fn into_token(mut self) -> Token {
        // It is there: only methods that consume the permit take it.
        self.token.take().unwrap_or(Token::untimed(0))
    }

    /// Whether the call is a probe of a half-open round.
    pub fn is_probe(&self) -> bool {
        self.token.is_some_and(Token::is_probe)
    }

    /// The service answered as it should.
    pub fn success(self) -> Option<Transition> {
        self.record(Outcome::Success)
    }

    /// [`success`](Self::success) at `now`.
    pub fn success_at(self, now: u64) -> Option<Transition> {
        self.record_at(Outcome::Success, now)
    }

    /// The service failed.
    pub fn failure(self) -> Option<Transition> {
        self.record(Outcome::Failure)
    }

    /// [`failure`](Self::failure) at `now`.
    pub fn failure_at(self, now: u64) -> Option<Transition> {
        self.record_at(Outcome::Failure, now)
    }

    /// The call says nothing about the service. Reads no clock.
    pub fn ignore(self) {
        self.record(Outcome::Ignored);
    }

    /// Records `outcome`; gives the transition that it made, if any.
    pub fn record(mut self, outcome: Outcome) -> Option<Transition> {
        let token = self.token.take()?;
        self.core.record_with(token, outcome, OwnTime)
    }

    /// [`record`](Self::record) at `now`.
    pub fn record_at(mut self, outcome: Outcome, now: u64) -> Option<Transition> {
        let token = self.token.take()?;
        self.core.record_with(token, outcome, At(now))
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            abandon(&self.core, token, OwnTime);
        }
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").field("breaker", &self.core.name).field("token", &self.token).finish()
    }
}
