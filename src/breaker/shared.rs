//! What a fleet steers: states that came from elsewhere, and probes that are granted.

use std::sync::PoisonError;

use super::CircuitBreaker;
use super::core::Core;
use super::token::Transition;
use crate::clock::nanos;
use crate::sync::Ordering;
use crate::word::breaker::{BreakerWord, Cause, CircuitState, Grant, OpenUntil, UNIT_SHIFT, units_up};
use crate::word::cell::Step;

impl Core {
    fn apply_remote(&self, generation: u64, state: CircuitState, since: u64, now: u64) -> Option<Transition> {
        let mut known = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let word = self.hot.word.load();
        // What was done here by hand stands, and the fleet may say it again afterwards.
        if generation <= *known || word.is_forced_open() || word.state() == CircuitState::Disabled {
            return None;
        }
        *known = generation;
        let rules = self.rules();
        let open_until = || {
            let length = nanos(rules.config.recovery_timeout);
            OpenUntil::Units(units_up(self.elapsed(since.min(now)).saturating_add(length)))
        };
        let threshold = rules.config.failure_threshold.map_or(1, u64::from);
        self.steer(now, false, threshold, |word| {
            if word.is_forced_open() || word.state() == CircuitState::Disabled {
                return Step::Keep(None);
            }
            match (state, word.state()) {
                // The same open period, said again.
                (CircuitState::Open, _) if word == BreakerWord::open(word.epoch(), open_until()) => {
                    Step::Keep(None)
                }
                (CircuitState::Open, _) => word.force(Cause::Remote, open_until()),
                // Probes are handed out by the fleet: the way is open for a grant.
                (CircuitState::HalfOpen, CircuitState::Closed | CircuitState::Open) => {
                    word.force(Cause::Remote, OpenUntil::Units(0))
                }
                (CircuitState::Closed, _) => word.close(Cause::Remote, false),
                (CircuitState::HalfOpen | CircuitState::Disabled, _) => Step::Keep(None),
            }
        })
    }

    fn grant_probes(&self, n: u32, until: u64, now: u64) -> (bool, Option<Transition>) {
        let rules = self.rules();
        let units = self.elapsed(now) >> UNIT_SHIFT;
        let deadline = units_up(self.elapsed(until));
        if !rules.word.granted || until <= now {
            return (false, None);
        }
        let before = self.since.load();
        let (epoch, moved) = match self.hot.word.update(|word| word.grant(units)) {
            Grant::Began(moved) => (moved.epoch, Some(moved)),
            Grant::Within { epoch } => (epoch, None),
            Grant::Refused => return (false, None),
        };
        // The deadline first: the places are what lets callers in.
        self.grant.join(epoch, deadline, || self.epoch(), u64::max);
        self.granted.join(epoch, u64::from(n), || self.epoch(), u64::saturating_add);
        self.wanted.store(false, Ordering::Relaxed);
        (true, moved.map(|moved| self.announce(moved, before, now, self.trip_count())))
    }
}

/// For those who share a breaker's state between processes.
impl CircuitBreaker {
    /// Takes over a state that was decided elsewhere. `generation` numbers such states; one that is not
    /// newer than the last one changes nothing. `since` is when the state began, on this breaker's
    /// clock: an open one ends `recovery_timeout` after it.
    ///
    /// A breaker that was forced open or disabled here stays so, and has not taken the generation over:
    /// say it again once that is undone. A half-open state opens the way for
    /// [`grant_probes_at`](Self::grant_probes_at).
    pub fn apply_remote_at(
        &self,
        generation: u64,
        state: CircuitState,
        since: u64,
        now: u64,
    ) -> Option<Transition> {
        self.core.apply_remote(generation, state, since, now)
    }

    /// The newest generation that was taken over; zero before any.
    pub fn remote_generation(&self) -> u64 {
        *self.core.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call was refused because probes are granted from outside and none were left: somebody
    /// should ask for a grant. Reads no clock.
    pub fn wants_probes(&self) -> bool {
        self.core.wanted.load(Ordering::Relaxed)
    }

    /// Lets `n` calls more through as probes, until `until` on the breaker's clock (to 0.26 ms): from
    /// open, once its time has passed, or within a round that was granted before. A round has at most
    /// `half_open_requests` probes, however many were granted. At the first call after `until`, a round
    /// without a verdict falls back to open and asks again.
    ///
    /// False, and nothing is granted, when the state has no use for it, `until` has passed, or probes are
    /// not [`ProbeMode::Granted`](crate::ProbeMode::Granted).
    pub fn grant_probes_at(&self, n: u32, until: u64, now: u64) -> bool {
        self.core.grant_probes(n, until, now).0
    }

    /// [`grant_probes_at`](Self::grant_probes_at) by the breaker's own clock.
    pub fn grant_probes(&self, n: u32, until: u64) -> bool {
        self.grant_probes_at(n, until, self.now())
    }
}
