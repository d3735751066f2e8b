//! The circuit breaker.
//!
//! [`CircuitBreaker`] is a handle on one shared core; [`Permit`] and the guarded calls are shells
//! over `admit_at` and `record_at`. The decisions are pure functions in `word::breaker`; what they are
//! decided by is counted in the tally and cut into windows.

mod builder;
mod call;
mod config;
mod control;
mod core;
mod counters;
mod hung;
mod latency;
mod permit;
mod rules;
mod scan;
mod shared;
mod snapshot;
mod token;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use self::core::{At, Core, OwnTime};
use self::token::Answer;
use crate::error::Rejected;
use crate::observe::{self, Live};
use crate::word::breaker::CircuitState;

pub use builder::CircuitBreakerBuilder;
pub use call::Classified;
pub use config::{Cancelled, CircuitBreakerConfig, OpenBackoff, ProbeMode, SlowCalls, WindowConfig};
pub use counters::{RejectedTotals, Totals, TransitionTotals, WindowCounts};
pub use permit::{OwnedPermit, Permit};
pub use scan::{BreakerScan, StateCounts};
pub use snapshot::{BreakerSnapshot, ProbeCounts};
pub use token::{Outcome, Token, Transition};

/// A circuit breaker: it stops calling a service that fails, and tries again after a while.
///
/// A handle: cloning shares the breaker. While closed, admitting a call is two loads and recording a
/// success one addition in the thread's own cache line; by the rule of consecutive failures alone,
/// neither reads a clock. No path takes a lock or allocates, but for construction, reconfiguration and
/// a change of state.
///
/// ```
/// use fusewire::CircuitBreaker;
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::builder("payment_api")
///     .failure_threshold(5)
///     .recovery_timeout(Duration::from_secs(30))
///     .half_open_requests(3)
///     .build()?;
///
/// let permit = breaker.try_acquire()?;
/// let charged = true; // call the service here
/// if charged { permit.success() } else { permit.failure() };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    core: Arc<Core>,
}

impl CircuitBreaker {
    /// Starts building a breaker. Names need not be unique: two breakers of one name are independent,
    /// and merge when they are exported.
    pub fn builder(name: impl Into<Arc<str>>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    /// The breaker's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The time by the breaker's clock, in nanoseconds.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.core.hot.clock.now()
    }

    /// Asks for leave to make one call.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why the call may not be made, and when to ask again.
    #[inline(always)]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        match self.core.admit_with(OwnTime) {
            Ok(token) => Ok(Permit::new(&self.core, token)),
            Err(refusal) => Err(refusal.rejected()),
        }
    }

    /// [`try_acquire`](Self::try_acquire) at `now`. Give the permit's result with a time too; dropped, it
    /// is recorded at this one.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    #[inline(always)]
    pub fn try_acquire_at(&self, now: u64) -> Result<Permit<'_>, Rejected> {
        Ok(Permit::new(&self.core, self.admit_at(now)?.by_callers_time(now)))
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that owns the breaker.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, Rejected> {
        Ok(OwnedPermit::new(self.core.clone(), self.admit()?))
    }

    /// [`try_acquire_owned`](Self::try_acquire_owned) at `now`.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    pub fn try_acquire_owned_at(&self, now: u64) -> Result<OwnedPermit, Rejected> {
        Ok(OwnedPermit::new(self.core.clone(), self.admit_at(now)?.by_callers_time(now)))
    }

    /// Asks for leave to make one call, to be handed back with [`record`](Self::record).
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline(always)]
    pub fn admit(&self) -> Result<Token, Rejected> {
        self.core.admit_with(OwnTime).map_err(Answer::rejected)
    }

    /// [`admit`](Self::admit) at `now`: nanoseconds from any origin, Unix time included, as long as one
    /// breaker sees one origin.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline(always)]
    pub fn admit_at(&self, now: u64) -> Result<Token, Rejected> {
        self.core.admit_with(At(now)).map_err(Answer::rejected)
    }

    /// Records how the call of `token` ended; gives the transition that it made, if any. A result of an
    /// older epoch is counted as late and changes nothing.
    #[inline(always)]
    pub fn record(&self, token: Token, outcome: Outcome) -> Option<Transition> {
        self.core.record_with(token, outcome, OwnTime)
    }

    /// [`record`](Self::record) at `now`.
    #[inline(always)]
    pub fn record_at(&self, token: Token, outcome: Outcome, now: u64) -> Option<Transition> {
        self.core.record_with(token, outcome, At(now))
    }

    /// Records a result for a caller who could not keep its token: it is applied to the present state.
    ///
    /// The promises about late results and about the number of probes hold for calls with tokens only:
    /// here, the result of a call of an earlier state counts as one of the present state, and a
    /// half-open round's places saturate. A result while open is late.
    pub fn record_untracked(&self, outcome: Outcome) -> Option<Transition> {
        self.record_untracked_at(outcome, self.now())
    }

    /// [`record_untracked`](Self::record_untracked) at `now`.
    pub fn record_untracked_at(&self, outcome: Outcome, now: u64) -> Option<Transition> {
        let word = self.core.hot.word.load();
        let token = Token::untimed(word.epoch());
        let token = if word.state() == CircuitState::HalfOpen { token.as_probe() } else { token };
        self.core.record_with(token, outcome, At(now))
    }

    /// All breakers that are alive, whoever holds them; in no particular order.
    pub fn live() -> Vec<Self> {
        let all = observe::live().into_iter();
        all.filter_map(Self::from_live).collect()
    }

    /// The breaker behind a live instance, if it is one.
    pub fn from_live(live: Arc<dyn Live>) -> Option<Self> {
        let any: Arc<dyn Any + Send + Sync> = live;
        any.downcast().ok().map(|core| Self { core })
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.name())
            .field("state", &self.state())
            .field("failure_count", &self.failure_count())
            .finish_non_exhaustive()
    }
}
