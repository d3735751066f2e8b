//! Control by hand, and new configurations.

use std::sync::PoisonError;

use super::core::Core;
use super::rules::Rules;
use super::token::Transition;
use super::{CircuitBreaker, CircuitBreakerConfig};
use crate::error::ConfigError;
use crate::word::breaker::{BreakerWord, Cause, CircuitState, Moved, OpenUntil};
use crate::word::cell::Step;

impl Core {
    /// Moves the word by hand. `clear` forgets the failures behind it; an opening is announced with
    /// `at_least` so many.
    pub(super) fn steer(
        &self,
        now: u64,
        clear: bool,
        at_least: u64,
        step: impl Fn(BreakerWord) -> Step<BreakerWord, Option<Moved>>,
    ) -> Option<Transition> {
        let rules = self.rules();
        self.elapsed(now);
        let before = self.since.load();
        let mut failures = 0;
        let moved = self.hot.word.update(|word| {
            failures = word.failures();
            let step = step(word);
            if let Step::Set(next, _) = &step
                && next.state() == CircuitState::Open
            {
                // What opened the breaker before stands.
                let before = match word.state() {
                    CircuitState::Open | CircuitState::HalfOpen => self.trip_count(),
                    CircuitState::Closed | CircuitState::Disabled => failures,
                };
                failures = before.max(at_least);
                self.set_trip_count(next.epoch(), failures);
            }
            self.prepared(&rules, step)
        })?;
        if clear {
            self.streak.publish(moved.epoch, 0, || self.epoch());
        }
        Some(self.announce(moved, before, now, failures))
    }

    fn reconfigure(&self, config: CircuitBreakerConfig) -> Result<(), ConfigError> {
        config.check()?;
        // The lock only orders reconfigurations among themselves; no call takes it.
        let _one_at_a_time = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.rules();
        // loom cannot see how arc-swap keeps the old rules alive for their readers.
        #[cfg(fusewire_loom)]
        std::mem::forget(std::sync::Arc::clone(&before));
        let rules = Rules::new(config, Some(&before), |window| self.new_window(window));
        self.publish_rules(rules);
        Ok(())
    }
}

impl CircuitBreaker {
    /// Opens the breaker until somebody closes it. `None` when it was forced open already.
    pub fn force_open(&self) -> Option<Transition> {
        self.force_open_at(self.now())
    }

    /// [`force_open`](Self::force_open) at `now`.
    pub fn force_open_at(&self, now: u64) -> Option<Transition> {
        self.core.steer(now, false, 0, |word| word.force(Cause::ForcedOpen, OpenUntil::Forced))
    }

    /// Closes the breaker with no failures pending. `None`, and nothing changes, when it was closed
    /// already: [`reset`](Self::reset) forgets the failures of a closed breaker too.
    pub fn force_close(&self) -> Option<Transition> {
        self.force_close_at(self.now())
    }

    /// [`force_close`](Self::force_close) at `now`.
    pub fn force_close_at(&self, now: u64) -> Option<Transition> {
        self.core.steer(now, true, 0, |word| word.close(Cause::ForcedClose, false))
    }

    /// Lets every call through and decides nothing until [`enable`](Self::enable) or
    /// [`reset`](Self::reset); results are counted. `None` when it was disabled already.
    pub fn disable(&self) -> Option<Transition> {
        self.disable_at(self.now())
    }

    /// [`disable`](Self::disable) at `now`.
    pub fn disable_at(&self, now: u64) -> Option<Transition> {
        self.core.steer(now, false, 0, BreakerWord::disable)
    }

    /// Closes a disabled breaker. `None` in any other state.
    pub fn enable(&self) -> Option<Transition> {
        self.enable_at(self.now())
    }

    /// [`enable`](Self::enable) at `now`.
    pub fn enable_at(&self, now: u64) -> Option<Transition> {
        self.core.steer(now, true, 0, BreakerWord::enable)
    }

    /// Closes the breaker and forgets all failures and what its window holds, whatever its state; calls
    /// that are out come back late. The totals stay.
    pub fn reset(&self) -> Option<Transition> {
        self.reset_at(self.now())
    }

    /// [`reset`](Self::reset) at `now`.
    pub fn reset_at(&self, now: u64) -> Option<Transition> {
        self.core.forget_failures();
        self.core.steer(now, true, 0, |word| word.close(Cause::Reset, true))
    }

    /// The settings in force.
    pub fn config(&self) -> CircuitBreakerConfig {
        self.core.rules().config.clone()
    }

    /// Puts new settings in force, in one publication: each decision is made by the old settings or by
    /// the new ones, never by a mixture.
    ///
    /// What was consumed stays: the state, a running deadline, failures in a row, the totals, the
    /// window's counts (unless the window itself is another), and calls that are out. A round of probes
    /// follows a new `half_open_requests`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range; the old settings stay.
    pub fn reconfigure(&self, config: CircuitBreakerConfig) -> Result<(), ConfigError> {
        self.core.reconfigure(config)
    }
}
