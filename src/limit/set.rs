//! Several exact windows at once.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Limiter;
use super::counters::{Counters, LimiterTotals};
use super::queue::{Source, WaitQueue};
use super::ring::{Refusal, Ring, Rule};
use super::sliding::{check_limit, check_stripes, check_window};
use super::wait::Waits;
use crate::clock::Clock;
use crate::error::{ConfigError, RateLimitExceeded};
use crate::observe::{self, Kind, Live, Registration, register};

/// Several limits that a request must keep all at once, such as 50 in ten seconds and 160,000 a day.
///
/// Each of them is exact, as that of a
/// [`SlidingWindowRateLimiter`](crate::SlidingWindowRateLimiter) is. A request is admitted under all of them by
/// one exchange or charged to none; a refusal names the limit with the longest wait, and that wait is
/// exact. One log serves all limits: 8 bytes for each of `n` entries, where `n` is the next power of two above
/// the greatest. A decision looks at one entry for each limit. One request is one permit; asking for another
/// number is refused as invalid, with `most` 1.
///
/// ```
/// use fusewire::{LimitSet, Limiter};
/// use std::time::Duration;
///
/// let limits = LimitSet::builder("orders")
///     .limit(50, Duration::from_secs(10))
///     .limit(160_000, Duration::from_secs(86_400))
///     .build()?;
///
/// for _ in 0..50 {
///     limits.try_acquire_at(0)?;
/// }
/// let refused = limits.try_acquire_at(0).unwrap_err();
/// assert_eq!((refused.limit, refused.window), (50, Duration::from_secs(10)));
/// assert_eq!(limits.remaining_at(10_000_000_000), 50);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A handle: cloning shares the limits.
#[derive(Clone)]
pub struct LimitSet {
    pub(super) core: Arc<Core>,
}

/// The shared state of one set.
pub(super) struct Core {
    ring: Ring,
    counters: Counters,
    clock: Clock,
    name: Arc<str>,
    queue: WaitQueue,
    _registration: Registration,
}

impl Live for Core {
    fn kind(&self) -> Kind {
        Kind::RateLimiter
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Core {
    fn refusal(&self, refusal: Refusal) -> RateLimitExceeded {
        let (limit, window) = self.ring.rules().get(refusal.rule).map_or_else(Default::default, Rule::parts);
        let retry_after = Duration::from_nanos(refusal.wait);
        RateLimitExceeded { limit, window, retry_after, requested: 1, most: 1 }
    }

    /// What a request is told that is not for one permit.
    #[cold]
    fn invalid(&self, n: u64) -> RateLimitExceeded {
        let refusal = self.refusal(Refusal { rule: 0, wait: 0 });
        RateLimitExceeded { retry_after: Duration::MAX, requested: n, ..refusal }
    }
}

impl Core {
    /// A request that comes while others wait.
    #[cold]
    #[inline(never)]
    fn pass_hold(&self, now: u64) -> Result<(), RateLimitExceeded> {
        // If nobody waits any more, nobody is ahead.
        if self.queue.try_serve(self, now) && self.ring.admit(now, false).is_ok() {
            self.counters.allow(1);
            return Ok(());
        }
        self.counters.refuse(1);
        Err(self.refusal(self.behind_all(self.queue.asked(), now)))
    }

    /// What refuses a request that would be refused so if nobody waited.
    #[inline(always)]
    fn behind(&self, now: u64, alone: Refusal) -> Refusal {
        match self.queue.asked() {
            0 => alone,
            asked => self.behind_all(asked, now),
        }
    }

    #[cold]
    #[inline(never)]
    fn behind_all(&self, asked: u64, now: u64) -> Refusal {
        self.ring.wait_for(asked.saturating_add(1), now)
    }
}

impl Source for Core {
    fn take(&self, _n: u64, _since: u64, now: u64) -> bool {
        let taken = self.ring.admit(now, true).is_ok();
        if taken {
            self.counters.allow(1);
        }
        taken
    }

    fn due(&self, n: u64, now: u64) -> u64 {
        now.saturating_add(self.ring.wait_for(n, now).wait)
    }

    fn hold(&self, held: bool) {
        self.ring.hold(held);
    }
}

impl Waits for Core {
    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn take_or_wait(&self, n: u64, now: u64) -> Result<bool, RateLimitExceeded> {
        if n != 1 {
            return Err(self.invalid(n));
        }
        let taken = self.ring.admit(now, false).is_ok();
        if taken {
            self.counters.allow(1);
        }
        Ok(taken)
    }
}

impl LimitSet {
    /// The most limits that one set may have.
    pub const MAX_LIMITS: usize = 8;

    /// Starts building a set. Names need not be unique: two sets of one name are independent.
    pub fn builder(name: impl Into<Arc<str>>) -> LimitSetBuilder {
        LimitSetBuilder { name: name.into(), limits: Vec::new(), clock: None, stripes: None }
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Its limits, as requests and windows, in the order in which they were given. A window of 584 years
    /// stands for all that are longer.
    pub fn limits(&self) -> impl ExactSizeIterator<Item = (u64, Duration)> {
        self.core.ring.rules().iter().map(Rule::parts)
    }

    /// What it counted since it was built.
    pub fn totals(&self) -> LimiterTotals {
        self.core.counters.totals()
    }

    /// All sets that are alive, whoever holds them; in no particular order.
    pub fn live() -> Vec<Self> {
        let all = observe::live().into_iter();
        all.filter_map(Self::from_live).collect()
    }

    /// The set behind a live instance, if it is one.
    pub fn from_live(live: Arc<dyn Live>) -> Option<Self> {
        let any: Arc<dyn Any + Send + Sync> = live;
        any.downcast().ok().map(|core| Self { core })
    }
}

/// A refusal has the limit and the window of the rule with the longest wait, of equal ones the first.
/// `remaining` is what the tightest limit leaves: exact while nobody is being admitted, and found by a search
/// for each limit, whose steps are the limit's binary digits.
impl Limiter for LimitSet {
    #[inline(always)]
    fn now(&self) -> u64 {
        self.core.clock.now()
    }

    #[inline]
    fn try_acquire_n_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        let core = &*self.core;
        if n != 1 {
            return Err(core.invalid(n));
        }
        match core.ring.admit(now, false) {
            Ok(()) => {
                core.counters.allow(1);
                Ok(())
            }
            Err(Refusal { wait: 0, .. }) => core.pass_hold(now),
            Err(refusal) => {
                core.counters.refuse(1);
                Err(core.refusal(core.behind(now, refusal)))
            }
        }
    }

    fn peek_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        if n != 1 {
            return Err(self.core.invalid(n));
        }
        let alone = self.core.ring.peek(now).err().unwrap_or(Refusal { rule: 0, wait: 0 });
        // Those who wait come first, whether or not they have been served.
        let refusal = self.core.behind(now, alone);
        if refusal.wait == 0 { Ok(()) } else { Err(self.core.refusal(refusal)) }
    }

    fn remaining_at(&self, now: u64) -> u64 {
        self.core.ring.remaining(now).saturating_sub(self.core.queue.asked())
    }
}

impl fmt::Debug for LimitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitSet")
            .field("name", &self.name())
            .field("limits", &self.limits().collect::<Vec<_>>())
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

/// Builds a [`LimitSet`]; see [`LimitSet::builder`]. Every setting is checked by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct LimitSetBuilder {
    name: Arc<str>,
    limits: Vec<(u64, Duration)>,
    clock: Option<Clock>,
    stripes: Option<usize>,
}

impl LimitSetBuilder {
    /// Adds a limit: `requests` in any window of this length. 1 to 16,777,215 requests (a log of 128 MiB), a
    /// window of more than zero; up to eight limits, in any order. Two of the same length or the same
    /// number are allowed, also where one makes the other needless.
    pub fn limit(mut self, requests: u64, window: Duration) -> Self {
        self.limits.push((requests, window));
        self
    }

    /// Where the time comes from for calls that do not give it. Default: [`Clock::precise`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Lanes of the tally, 1 to 65, 128 bytes each; see
    /// [`CircuitBreakerBuilder::stripes`](crate::CircuitBreakerBuilder::stripes). Default: two for each core and
    /// one, at most 33.
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// Builds the set.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range; no limit at all, or more than eight, are
    /// its field `limits`.
    pub fn build(self) -> Result<LimitSet, ConfigError> {
        if !(1..=LimitSet::MAX_LIMITS).contains(&self.limits.len()) {
            return Err(ConfigError::new("limits", self.limits.len(), "1 to 8"));
        }
        let rules: Result<Vec<Rule>, ConfigError> = self
            .limits
            .iter()
            .map(|(limit, window)| {
                Ok(Rule { limit: check_limit("limit", *limit)?, window: check_window(*window)? })
            })
            .collect();
        let ring = Ring::new(&rules?);
        let counters = Counters::new(check_stripes(self.stripes)?);
        let core = Arc::new_cyclic(|weak: &Weak<Core>| Core {
            ring,
            counters,
            clock: self.clock.unwrap_or_default(),
            name: self.name,
            queue: WaitQueue::new(),
            _registration: register(weak.clone()),
        });
        Ok(LimitSet { core })
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn behind_those_who_wait_too_the_rule_with_the_longest_wait_is_named() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let set = LimitSet::builder("test").limit(5, second).limit(6, hour).build().expect("valid settings");
        let nanos = |time: Duration| time.as_nanos() as u64;
        (0..5).for_each(|_| set.try_acquire_at(0).expect("five in a second"));
        let core = &*set.core;
        let _forgotten = core.queue.join(core, 1, 0);
        // The one who waits takes the last place of the hour.
        let now = nanos(second);
        assert_eq!(set.remaining_at(now), 0);
        let wait = hour.saturating_sub(second);
        for answer in [set.peek_at(1, now), set.try_acquire_at(now)] {
            let refused = answer.expect_err("the hour is full");
            assert_eq!((refused.limit, refused.window, refused.retry_after), (6, hour, wait));
        }
        assert_eq!(set.waiting(), 0);
        set.peek_at(1, nanos(hour)).expect("five have left");
    }

    #[test]
    fn who_is_refused_while_others_wait_is_told_to_come_after_them() {
        let set =
            LimitSet::builder("test").limit(1, Duration::from_secs(1)).limit(9, Duration::from_hours(1));
        let set = set.build().expect("valid settings");
        set.try_acquire_at(0).expect("one in a second");
        let core = &*set.core;
        let _waiting = [0; 4].map(|now| core.queue.join(core, 1, now));
        for answer in [set.peek_at(1, 0), set.try_acquire_at(0)] {
            assert_eq!(answer.expect_err("full").retry_after, Duration::from_secs(5));
        }
    }
}
