//! What a named retry counts.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use super::config::RetryConfig;
use super::error::StopReason;
use crate::observe::{self, Kind, Live, Registration};
use crate::tally::Tally;
use crate::tally::lanes::default_stripes;

/// The greatest number of attempts in each bucket of the histogram but the last, which has no bound.
pub(super) const BOUNDS: [u32; 7] = [1, 2, 3, 4, 5, 10, 20];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Where the counters stand in the tally: a bucket for each number of attempts, of calls that succeeded and of
/// those that failed; then the rest.
const FAILED: usize = BUCKETS;
const RETRIES: usize = 2 * BUCKETS;
const CANCELLED: usize = RETRIES + 1;
const STOPPED: usize = CANCELLED + 1;
const REASONS: usize = 5;
const COUNTERS: usize = STOPPED + REASONS;

/// What stands in the directory: no rules, so that it has one type.
pub(super) struct Named {
    name: Arc<str>,
    config: RetryConfig,
    tally: Tally<COUNTERS>,
    _registration: Registration,
}

impl Named {
    pub(super) fn new(name: Arc<str>, config: RetryConfig) -> Arc<Self> {
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let live: Weak<dyn Live> = weak.clone();
            let tally = Tally::new(default_stripes());
            Self { name, config, tally, _registration: observe::register(live) }
        })
    }

    /// A call that succeeded at its first attempt.
    #[inline(always)]
    pub(super) fn first_success(&self) {
        self.tally.add(0);
    }

    pub(super) fn success(&self, attempts: u32) {
        self.tally.add(bucket(attempts));
    }

    pub(super) fn failure(&self, attempts: u32, reason: &StopReason) {
        self.tally.add(FAILED + bucket(attempts));
        let reason = match reason {
            StopReason::Exhausted => 0,
            StopReason::NotRetryable => 1,
            StopReason::Deadline => 2,
            StopReason::Budget => 3,
            StopReason::OpenCircuit => 4,
            // A named retry was checked when it was made.
            StopReason::InvalidConfig(_) => return,
        };
        self.tally.add(STOPPED + reason);
    }

    pub(super) fn retry(&self) {
        self.tally.add(RETRIES);
    }

    pub(super) fn cancelled(&self) {
        self.tally.add(CANCELLED);
    }
}

fn bucket(attempts: u32) -> usize {
    BOUNDS.partition_point(|bound| *bound < attempts)
}

impl Live for Named {
    fn kind(&self) -> Kind {
        Kind::Retry
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A named retry as an exporter sees it: its name, its configuration and its counts. A handle: cloning
/// shares them, and keeps them in the directory.
///
/// ```
/// use fusewire::{Retry, RetryConfig, retry::NamedRetry};
///
/// let retry = Retry::named("payment_api", RetryConfig::new())?;
/// retry.call(|| Ok::<_, std::io::Error>("charged"))?;
/// let seen = NamedRetry::live().into_iter().find(|r| r.name() == "payment_api").expect("it is alive");
/// assert_eq!((seen.totals().calls(), seen.totals().retries), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct NamedRetry(pub(super) Arc<Named>);

impl NamedRetry {
    /// The name; not unique.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The configuration that the retry was made with.
    pub fn config(&self) -> &RetryConfig {
        &self.0.config
    }

    /// What was counted since the retry was made.
    pub fn totals(&self) -> RetryTotals {
        let sums: [u64; COUNTERS] = self.0.tally.sum();
        let bucket =
            |i| AttemptBucket { most: BOUNDS.get(i).copied(), succeeded: sums[i], failed: sums[FAILED + i] };
        let [exhausted, not_retryable, deadline, budget, open_circuit] =
            std::array::from_fn(|i| sums[STOPPED + i]);
        RetryTotals {
            attempts: std::array::from_fn(bucket),
            retries: sums[RETRIES],
            cancelled: sums[CANCELLED],
            stopped: StopTotals { exhausted, not_retryable, deadline, budget, open_circuit },
        }
    }

    /// All named retries that are alive, whoever holds them; in no particular order.
    pub fn live() -> Vec<Self> {
        observe::live().into_iter().filter_map(Self::from_live).collect()
    }

    /// The named retry behind a live instance, if it is one.
    pub fn from_live(live: Arc<dyn Live>) -> Option<Self> {
        let any: Arc<dyn Any + Send + Sync> = live;
        any.downcast().ok().map(Self)
    }
}

impl fmt::Debug for NamedRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedRetry")
            .field("name", &self.name())
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

/// What a named retry counted; never reset, so what happened between two looks is their difference.
///
/// Each number is exact once the calls have ended. Read while calls are running, numbers of one look may
/// be a few calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryTotals {
    /// Calls that have ended, by the number of attempts that they took; in ascending order.
    pub attempts: [AttemptBucket; BUCKETS],
    /// Attempts after the first one of their call.
    pub retries: u64,
    /// Calls that ended without a result: an attempt panicked, or the future was dropped. They are in no
    /// bucket.
    pub cancelled: u64,
    /// Calls that failed, by why no further attempt was made.
    pub stopped: StopTotals,
}

impl RetryTotals {
    /// Calls that have ended.
    pub fn calls(&self) -> u64 {
        self.succeeded() + self.failed() + self.cancelled
    }

    /// Calls that ended with a success, also one after retries.
    pub fn succeeded(&self) -> u64 {
        self.attempts.iter().map(|bucket| bucket.succeeded).sum()
    }

    /// Calls that ended with an error or an unwanted value.
    pub fn failed(&self) -> u64 {
        self.attempts.iter().map(|bucket| bucket.failed).sum()
    }
}

/// The calls of one bucket of the histogram of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptBucket {
    /// The most attempts that a call in it took; `None` in the last one.
    pub most: Option<u32>,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that failed.
    pub failed: u64,
}

/// Calls that failed, by why no further attempt was made; see [`StopReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopTotals {
    /// Every attempt was made.
    pub exhausted: u64,
    /// The error was not retryable.
    pub not_retryable: u64,
    /// The deadline was near.
    pub deadline: u64,
    /// The budget was spent.
    pub budget: u64,
    /// A circuit breaker was open.
    pub open_circuit: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_attempts_has_its_bucket() {
        let buckets = [1, 2, 3, 4, 5, 6, 10, 11, 20, 21, u32::MAX].map(bucket);
        assert_eq!(buckets, [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7]);
    }
}
