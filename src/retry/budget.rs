//! A budget of retries that many callers share.

use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::ConfigError;
use crate::sync::{AtomicU64, Mutant, Ordering, mutant};
use crate::tally::Tally;
use crate::tally::lanes;
use crate::word::cell::{Step, WordCell};

/// What many callers may spend on retries together: a share of their calls, a number a second, and a burst.
///
/// Retries that each caller limits by itself still multiply the load of a service that is down by the
/// number of attempts. With a budget they add a share to it. Clones share the budget; give one to every
/// [`Retry`](crate::Retry) whose calls end at the same service.
///
/// In every history, whatever the threads do, the retries permitted are at most
/// `burst + ratio * calls + min_per_second * seconds`, the seconds counted from the first time that the
/// budget was asked. It begins with the burst, and never saves more than that.
///
/// Counting a call is one addition in the thread's own cache line. Asking for a retry sums the lanes and
/// exchanges one word, or writes nothing when it is refused. It is a generic cell rate algorithm (GCRA, ITU-T
/// I.371) whose time is what was earned so far; an old sum looks like a time that went back, and a time
/// that goes back earns nothing.
///
/// ```
/// use fusewire::RetryBudget;
///
/// // One retry for every ten calls, and two to begin with.
/// let budget = RetryBudget::builder().ratio(0.1).min_per_second(0.0).burst(2).build()?;
/// assert_eq!((budget.try_withdraw(), budget.try_withdraw(), budget.try_withdraw()), (true, true, false));
/// for _ in 0..10 {
///     budget.deposit();
/// }
/// assert_eq!((budget.try_withdraw(), budget.try_withdraw()), (true, false));
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RetryBudget(Arc<Shared>);

struct Shared {
    rate: Rate,
    clock: Option<Clock>,
    tally: Tally<COUNTERS>,
    /// What was spent or let lapse, in units: at most what was earned.
    spent: WordCell<u64>,
    /// The first time that was told.
    origin: AtomicU64,
}

const CALLS: usize = 0;
const RETRIES: usize = 1;
const COUNTERS: usize = 2;

/// What a retry costs. A `u64` of units holds 1.8e14 retries.
const RETRY: u64 = 100_000;
/// The settings are kept in billionths of a retry.
const BILLION: u128 = 1_000_000_000;
const BILLIONTHS_A_UNIT: u128 = BILLION / RETRY as u128;
/// No time was told yet.
const UNSET: u64 = u64::MAX;

/// How the budget grows.
#[derive(Clone, Copy)]
struct Rate {
    /// Billionths of a retry that a call earns.
    per_call: u64,
    /// Billionths of a retry that a second earns.
    per_second: u64,
    /// The most that is saved, in units.
    burst: u64,
}

impl Rate {
    /// All that was earned, in units, rounded down. Saturates: from there on nothing more is earned.
    fn earned(self, calls: u64, nanos: u64) -> u64 {
        let by_calls = u128::from(calls) * u128::from(self.per_call);
        let by_time = u128::from(nanos) * u128::from(self.per_second) / BILLION;
        let units = by_calls.saturating_add(by_time) / BILLIONTHS_A_UNIT;
        u64::try_from(units).unwrap_or(u64::MAX).saturating_add(self.burst)
    }

    /// What `spent` becomes by one retry, or `None` when it cannot be paid.
    fn pay(self, spent: u64, earned: u64) -> Option<u64> {
        // What was earned beyond the burst has lapsed.
        let lapsed = earned.saturating_sub(self.burst);
        let spent = if mutant(Mutant::BudgetForgetsSpent) { lapsed } else { spent.max(lapsed) };
        spent.checked_add(RETRY).filter(|paid| *paid <= earned)
    }
}

impl RetryBudget {
    /// Starts building a budget.
    pub fn builder() -> RetryBudgetBuilder {
        RetryBudgetBuilder { ratio: 0.2, min_per_second: 10.0, burst: 100, clock: None, stripes: None }
    }

    /// Counts a call: a first attempt, not a retry. [`Retry`](crate::Retry) does it for each of its calls.
    #[inline]
    pub fn deposit(&self) {
        self.0.tally.add(CALLS);
    }

    /// Asks for one retry, and pays for it if the answer is yes.
    pub fn try_withdraw(&self) -> bool {
        self.try_withdraw_at(self.now())
    }

    /// [`try_withdraw`](Self::try_withdraw) at `now`: nanoseconds from any origin, as long as one budget
    /// sees one origin. A time before one that was told earns nothing; one far ahead is believed.
    pub fn try_withdraw_at(&self, now: u64) -> bool {
        let shared = &*self.0;
        let earned = shared.rate.earned(self.calls(), shared.since_origin(now));
        let paid = shared.spent.update(|spent| match shared.rate.pay(spent, earned) {
            Some(paid) => Step::Set(paid, true),
            None => Step::Keep(false),
        });
        if paid {
            shared.tally.add(RETRIES);
        }
        paid
    }

    /// How many retries could be paid for now.
    pub fn available(&self) -> u64 {
        self.available_at(self.now())
    }

    /// [`available`](Self::available) at `now`; see [`try_withdraw_at`](Self::try_withdraw_at).
    pub fn available_at(&self, now: u64) -> u64 {
        let shared = &*self.0;
        // Before the sum, so that what was spent of it is not seen later than what was earned.
        let spent = shared.spent.load();
        let origin = shared.origin.load(Ordering::Relaxed);
        let nanos = if origin == UNSET { 0 } else { now.saturating_sub(origin) };
        let earned = shared.rate.earned(self.calls(), nanos);
        earned.saturating_sub(spent).min(shared.rate.burst) / RETRY
    }

    /// Calls that were counted since the budget was built.
    pub fn calls(&self) -> u64 {
        let [calls] = self.0.tally.sum();
        calls
    }

    /// Retries that were permitted since the budget was built.
    pub fn retries(&self) -> u64 {
        let sums: [u64; COUNTERS] = self.0.tally.sum();
        sums[RETRIES]
    }

    /// The time by the budget's clock; zero when it has none, because no time earns anything.
    fn now(&self) -> u64 {
        self.0.clock.as_ref().map_or(0, Clock::now)
    }
}

impl Shared {
    /// Nanoseconds since the first time that was told. Whichever of two first times wins, the other only
    /// earns the less: Relaxed, because nothing else is read by it.
    fn since_origin(&self, now: u64) -> u64 {
        let mut origin = self.origin.load(Ordering::Relaxed);
        if origin == UNSET {
            let first = now.min(UNSET - 1);
            let won = self.origin.compare_exchange(UNSET, first, Ordering::Relaxed, Ordering::Relaxed);
            origin = won.err().unwrap_or(first);
        }
        now.saturating_sub(origin)
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("available", &self.available())
            .field("calls", &self.calls())
            .field("retries", &self.retries())
            .finish_non_exhaustive()
    }
}

/// Builds a [`RetryBudget`]; see [`RetryBudget::builder`]. Every setting is checked by
/// [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RetryBudgetBuilder {
    ratio: f64,
    min_per_second: f64,
    burst: u32,
    clock: Option<Clock>,
    stripes: Option<usize>,
}

impl RetryBudgetBuilder {
    /// Retries that a call earns, 0 to 1000, rounded to a billionth. Default 0.2.
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// Retries that a second earns, 0 to 1,000,000, rounded to a billionth: with few calls the share of
    /// them alone would be too little. Zero: no clock is read. Default 10.
    pub fn min_per_second(mut self, retries: f64) -> Self {
        self.min_per_second = retries;
        self
    }

    /// The most retries that are saved, and what the budget begins with; 1 or more. Default 100.
    pub fn burst(mut self, retries: u32) -> Self {
        self.burst = retries;
        self
    }

    /// Where the time comes from when the caller does not give it. Default: [`Clock::precise`], or none
    /// when `min_per_second` is zero.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Lanes of the tally of calls, 1 to 65; see
    /// [`CircuitBreakerBuilder::stripes`](crate::CircuitBreakerBuilder::stripes).
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// Builds the budget.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn build(self) -> Result<RetryBudget, ConfigError> {
        if !(0.0..=1000.0).contains(&self.ratio) {
            return Err(ConfigError::new("ratio", self.ratio, "0 to 1000"));
        }
        if !(0.0..=1e6).contains(&self.min_per_second) {
            return Err(ConfigError::new("min_per_second", self.min_per_second, "0 to 1000000"));
        }
        if self.burst == 0 {
            return Err(ConfigError::new("burst", 0, "1 or more"));
        }
        let stripes = lanes::stripes(self.stripes).map_err(ConfigError::stripes)?;
        let billionths = |retries: f64| (retries * 1e9).round() as u64;
        let rate = Rate {
            per_call: billionths(self.ratio),
            per_second: billionths(self.min_per_second),
            burst: u64::from(self.burst) * RETRY,
        };
        Ok(RetryBudget(Arc::new(Shared {
            clock: self.clock.or_else(|| (rate.per_second > 0).then(Clock::default)),
            rate,
            tally: Tally::new(stripes),
            spent: WordCell::new(0),
            origin: AtomicU64::new(UNSET),
        })))
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_earned_saturates() {
        let rate = Rate { per_call: 1_000 * 1_000_000_000, per_second: 1_000_000, burst: RETRY };
        assert_eq!(rate.earned(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(rate.pay(u64::MAX - RETRY, u64::MAX), Some(u64::MAX));
        assert_eq!(rate.pay(u64::MAX - RETRY + 1, u64::MAX), None);
    }

    #[test]
    fn tenths_are_exact() {
        let rate = Rate { per_call: 100_000_000, per_second: 0, burst: RETRY };
        assert_eq!(rate.earned(10, 0), 2 * RETRY);
        assert!(rate.earned(9, 0) < 2 * RETRY);
    }
}
