//! What a breaker shows of itself.

use std::sync::Arc;
use std::time::Duration;

use super::CircuitBreaker;
use super::core::Core;
use super::counters::{Totals, TransitionTotals, WindowCounts};
use crate::sync::Ordering;
use crate::word::breaker::{BreakerWord, CircuitState, Round, UNIT_SHIFT};

/// A breaker at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerSnapshot {
    /// The breaker's name.
    pub name: Arc<str>,
    /// Its state.
    pub state: CircuitState,
    /// Whether it is open until somebody closes it.
    pub forced_open: bool,
    /// When the state began, in nanoseconds on the breaker's clock, to about a quarter of a
    /// millisecond; `None` before the breaker was first told a time.
    pub since: Option<u64>,
    /// See [`CircuitBreaker::failure_count`].
    pub failure_count: u64,
    /// See [`CircuitBreaker::last_failure_at`].
    pub last_failure_at: Option<u64>,
    /// See [`CircuitBreaker::time_until_retry`].
    pub time_until_retry: Duration,
    /// While half-open: places left in the round, and probes that succeeded.
    pub probes: Option<ProbeCounts>,
    /// Everything counted, with the window as it stands now.
    pub totals: Totals,
}

/// A round of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeCounts {
    /// Calls that may still pass.
    pub places_left: u64,
    /// Probes that succeeded.
    pub succeeded: u64,
}

impl WindowCounts {
    /// The share of failures, 0 to 1; 0 for an empty window.
    pub fn failure_rate(&self) -> f64 {
        share(self.failures, self.calls)
    }

    /// The share of slow calls, 0 to 1; 0 for an empty window.
    pub fn slow_rate(&self) -> f64 {
        share(self.slow, self.calls)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Core {
    fn totals(&self, now: Option<u64>) -> Totals {
        let rules = self.rules();
        // Read again when a transition came between, so that counts and state belong together; a
        // breaker that moves faster than it can be read four times is shown as it was last read.
        let mut tries = 0;
        loop {
            let word = self.hot.word.load();
            let totals = Totals {
                hung: self.hung.load(Ordering::Relaxed),
                transitions: TransitionTotals::from_array(std::array::from_fn(|i| {
                    self.transitions[i].load(Ordering::Relaxed)
                })),
                consecutive_failures: word.failures(),
                window: self.window_counts(&rules, word.epoch(), now),
                sequence: self.full_epoch(word.epoch()),
                ..Totals::from_counters(self.hot.tally.sum())
            };
            tries += 1;
            if tries == 4 || self.hot.word.load().epoch() == word.epoch() {
                return totals;
            }
        }
    }

    fn failure_count(&self, word: BreakerWord) -> u64 {
        match word.state() {
            CircuitState::Closed => word.failures(),
            CircuitState::Open | CircuitState::HalfOpen => {
                self.trip_count().max(self.rules().config.failure_threshold.map_or(0, u64::from))
            }
            CircuitState::Disabled => 0,
        }
    }

    fn time_until_retry(&self, word: BreakerWord, now: u64) -> Duration {
        let elapsed = self.elapsed_seen(now);
        let until = match word.state() {
            CircuitState::Closed | CircuitState::Disabled => 0,
            CircuitState::Open => match word.open_until() {
                None => return Duration::MAX,
                Some(until) => until,
            },
            CircuitState::HalfOpen => {
                let rules = self.rules();
                if word.places_left(self.granted(word), &rules.word) > 0 {
                    return Duration::ZERO;
                }
                match self.round(word, elapsed >> UNIT_SHIFT, &rules) {
                    Round::Until(until) => until,
                    Round::Over | Round::Unstamped => 0,
                }
            }
        };
        Duration::from_nanos((until << UNIT_SHIFT).saturating_sub(elapsed))
    }
}

impl CircuitBreaker {
    /// The state. Reads no clock: a breaker whose open duration has passed is open until a call moves
    /// it.
    pub fn state(&self) -> CircuitState {
        self.core.hot.word.load().state()
    }

    /// While closed the failures in a row; while open or half-open the failures that opened it, and never
    /// fewer than `failure_threshold`, whatever opened it. An event has the count as it was.
    pub fn failure_count(&self) -> u64 {
        self.core.failure_count(self.core.hot.word.load())
    }

    /// When the last failure was recorded, in nanoseconds on the breaker's clock; `None` before the
    /// first and after a [`reset`](Self::reset).
    pub fn last_failure_at(&self) -> Option<u64> {
        self.core.last_failure()
    }

    /// How long until a call may pass: zero while one may, [`Duration::MAX`] while forced open. While
    /// half-open with every place taken, the time until the round is replaced.
    pub fn time_until_retry(&self) -> Duration {
        self.time_until_retry_at(self.now())
    }

    /// [`time_until_retry`](Self::time_until_retry) at `now`.
    pub fn time_until_retry_at(&self, now: u64) -> Duration {
        self.core.time_until_retry(self.core.hot.word.load(), now)
    }

    /// Everything counted since the breaker was built, read together with the failures in a row and the
    /// window as of the last call. Reads no clock; takes no lock.
    pub fn totals(&self) -> Totals {
        self.core.totals(None)
    }

    /// The breaker as it stands now.
    pub fn snapshot(&self) -> BreakerSnapshot {
        self.snapshot_at(self.now())
    }

    /// [`snapshot`](Self::snapshot) at `now`.
    pub fn snapshot_at(&self, now: u64) -> BreakerSnapshot {
        let core = &*self.core;
        let totals = core.totals(Some(now));
        let word = core.hot.word.load();
        let since = core.since.load().of(word.epoch());
        BreakerSnapshot {
            name: core.name.clone(),
            state: word.state(),
            forced_open: word.is_forced_open(),
            since: since.map(|units| core.absolute(units << UNIT_SHIFT)),
            failure_count: core.failure_count(word),
            last_failure_at: core.last_failure(),
            time_until_retry: core.time_until_retry(word, now),
            probes: word.probes().map(|(_, succeeded)| ProbeCounts {
                places_left: word.places_left(core.granted(word), &core.rules().word),
                succeeded,
            }),
            totals,
        }
    }
}
