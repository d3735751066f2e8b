//! At most so many requests in any window, exactly or by an estimate.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::counters::{Counters, LimiterTotals};
use super::estimate::Estimate;
use super::queue::{Source, WaitQueue};
use super::ring::{Ring, Rule};
use super::wait::Waits;
use super::{Limiter, MAX_LOGGED};
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, RateLimitExceeded};
use crate::observe::{self, Kind, Live, Registration, register};
use crate::sync::{AtomicBool, Ordering};
use crate::tally::lanes;

/// A limit on the requests in any window of time.
///
/// **Exact**, as it is built by default: no window of that length, wherever it begins, holds more than
/// `max_requests`. Windows are half-open, so a request may pass exactly one window after the one it has to
/// wait for. What counts are the times that the limiter was given, and they may go back and forth between
/// threads: a time that lies behind by so much waits longer by at most as much. One request is one permit;
/// asking for another number is refused as invalid, with `most` 1.
///
/// A decision costs the same whatever the limit: it looks at one entry of a log of admission times, and
/// takes its place in the log by one exchange. The log takes 8 bytes for each of `n` entries, where `n` is the
/// next power of two above `max_requests`.
///
/// **[Approximate](SlidingWindowRateLimiterBuilder::approximate)**, by two counters: any limit in 16 bytes, and
/// requests of any weight up to the limit. No window holds as much as twice `max_requests`.
///
/// ```
/// use fusewire::{Limiter, SlidingWindowRateLimiter};
/// use std::time::Duration;
///
/// let limiter = SlidingWindowRateLimiter::builder("orders")
///     .max_requests(2)
///     .window(Duration::from_secs(10))
///     .build()?;
///
/// // The caller's own time stamps, in nanoseconds; `try_acquire` reads the clock instead.
/// let second = 1_000_000_000;
/// assert!(limiter.try_acquire_at(0).is_ok());
/// assert!(limiter.try_acquire_at(4 * second).is_ok());
/// let refused = limiter.try_acquire_at(7 * second).unwrap_err();
/// assert_eq!(refused.retry_after, Duration::from_secs(3));
/// assert!(limiter.try_acquire_at(10 * second).is_ok());
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
///
/// A handle: cloning shares the limiter. Which variant is for what, and how they work, is told in
/// [`docs/sliding-windows.md`](https://docs.rs/crate/fusewire/latest/source/docs/sliding-windows.md).
#[derive(Clone)]
pub struct SlidingWindowRateLimiter {
    pub(super) core: Arc<Core>,
}

/// The shared state of one limiter.
pub(super) struct Core {
    window: Window,
    /// What is said to a request for no permits; every refusal is made from it.
    invalid: RateLimitExceeded,
    counters: Counters,
    clock: Clock,
    name: Arc<str>,
    queue: WaitQueue,
    /// Whether an approximate limiter is held for those who wait; a ring knows by itself.
    held: AtomicBool,
    _registration: Registration,
}

enum Window {
    Exact(Ring),
    Approximate(Estimate),
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
    /// What a refusal says, whose wait is in nanoseconds.
    #[inline(always)]
    fn refusal(&self, n: u64, wait: u64) -> RateLimitExceeded {
        RateLimitExceeded { retry_after: Duration::from_nanos(wait), requested: n, ..self.invalid }
    }

    /// Whether one request may be for `n` permits.
    #[inline(always)]
    fn check(&self, n: u64) -> Result<(), RateLimitExceeded> {
        if n.wrapping_sub(1) < self.invalid.most {
            Ok(())
        } else {
            Err(RateLimitExceeded { requested: n, ..self.invalid })
        }
    }
}

/// The wait of a request that only the hold refuses.
const HELD: u64 = 0;

impl Core {
    /// Admits `n` permits at `now`, or says how long to wait.
    #[inline(always)]
    fn admit(&self, n: u64, now: u64, through_hold: bool) -> Result<(), u64> {
        match &self.window {
            Window::Exact(ring) => ring.admit(now, through_hold).map_err(|refusal| refusal.wait),
            Window::Approximate(_) if !through_hold && self.held.load(Ordering::Relaxed) => Err(HELD),
            Window::Approximate(estimate) => estimate.admit(n, now),
        }
    }

    /// A request that comes while others wait.
    #[cold]
    #[inline(never)]
    fn pass_hold(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        // If nobody waits any more, nobody is ahead.
        if self.queue.try_serve(self, now) && self.admit(n, now, false).is_ok() {
            self.counters.allow(n);
            return Ok(());
        }
        self.counters.refuse(n);
        Err(self.refusal(n, self.behind_all(self.queue.asked(), n, now)))
    }

    /// How long a request has to wait that would have to wait for so long if nobody else did.
    #[inline(always)]
    fn behind(&self, n: u64, now: u64, wait: u64) -> u64 {
        match self.queue.asked() {
            0 => wait,
            asked => self.behind_all(asked, n, now),
        }
    }

    #[cold]
    #[inline(never)]
    fn behind_all(&self, asked: u64, n: u64, now: u64) -> u64 {
        self.wait_for(asked.saturating_add(n), now)
    }

    /// How long until `n` permits, for several requests, have been given.
    fn wait_for(&self, n: u64, now: u64) -> u64 {
        match &self.window {
            Window::Exact(ring) => ring.wait_for(n, now).wait,
            Window::Approximate(estimate) => {
                let limit = self.invalid.limit;
                let rounds = n.saturating_sub(1) / limit;
                let wait = estimate.peek((n - rounds * limit).max(1), now).err().unwrap_or(0);
                wait.saturating_add(rounds.saturating_mul(nanos(self.invalid.window)))
            }
        }
    }
}

impl Source for Core {
    fn take(&self, n: u64, _since: u64, now: u64) -> bool {
        let taken = self.admit(n, now, true).is_ok();
        if taken {
            self.counters.allow(n);
        }
        taken
    }

    fn due(&self, n: u64, now: u64) -> u64 {
        now.saturating_add(self.wait_for(n, now))
    }

    fn hold(&self, held: bool) {
        match &self.window {
            Window::Exact(ring) => ring.hold(held),
            Window::Approximate(_) => self.held.store(held, Ordering::Relaxed),
        }
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
        self.check(n)?;
        let taken = self.admit(n, now, false).is_ok();
        if taken {
            self.counters.allow(n);
        }
        Ok(taken)
    }
}

impl SlidingWindowRateLimiter {
    /// Starts building a limiter. Names need not be unique: two limiters of one name are independent.
    pub fn builder(name: impl Into<Arc<str>>) -> SlidingWindowRateLimiterBuilder {
        SlidingWindowRateLimiterBuilder {
            name: name.into(),
            max_requests: 100,
            window: Duration::from_mins(1),
            approximate: false,
            clock: None,
            stripes: None,
        }
    }

    /// The limiter's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Requests allowed in a window; of an approximate limiter, permits.
    pub fn max_requests(&self) -> u64 {
        self.core.invalid.limit
    }

    /// The window. One of 584 years stands for all that are longer.
    pub fn window(&self) -> Duration {
        self.core.invalid.window
    }

    /// Whether it goes by the estimate of two counters.
    pub fn is_approximate(&self) -> bool {
        matches!(self.core.window, Window::Approximate(_))
    }

    /// What it counted since it was built.
    pub fn totals(&self) -> LimiterTotals {
        self.core.counters.totals()
    }

    /// All sliding-window limiters that are alive, whoever holds them; in no particular order.
    pub fn live() -> Vec<Self> {
        let all = observe::live().into_iter();
        all.filter_map(Self::from_live).collect()
    }

    /// The limiter behind a live instance, if it is one of these.
    pub fn from_live(live: Arc<dyn Live>) -> Option<Self> {
        let any: Arc<dyn Any + Send + Sync> = live;
        any.downcast().ok().map(|core| Self { core })
    }
}

/// `remaining` is exact while nobody is being admitted. Exact limiters find it by a search whose steps are
/// the binary digits of `max_requests`; approximate ones by one division.
impl Limiter for SlidingWindowRateLimiter {
    #[inline(always)]
    fn now(&self) -> u64 {
        self.core.clock.now()
    }

    #[inline]
    fn try_acquire_n_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        let core = &*self.core;
        core.check(n)?;
        match core.admit(n, now, false) {
            Ok(()) => {
                core.counters.allow(n);
                Ok(())
            }
            Err(HELD) => core.pass_hold(n, now),
            Err(wait) => {
                core.counters.refuse(n);
                Err(core.refusal(n, core.behind(n, now, wait)))
            }
        }
    }

    fn peek_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        let core = &*self.core;
        core.check(n)?;
        let seen = match &core.window {
            Window::Exact(ring) => ring.peek(now).map_err(|refusal| refusal.wait),
            Window::Approximate(estimate) => estimate.peek(n, now),
        };
        // Those who wait come first, whether or not they have been served.
        let wait = core.behind(n, now, seen.err().unwrap_or(0));
        if wait == 0 { Ok(()) } else { Err(core.refusal(n, wait)) }
    }

    fn remaining_at(&self, now: u64) -> u64 {
        let there = match &self.core.window {
            Window::Exact(ring) => ring.remaining(now),
            Window::Approximate(estimate) => estimate.remaining(now),
        };
        there.saturating_sub(self.core.queue.asked())
    }
}

impl fmt::Debug for SlidingWindowRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlidingWindowRateLimiter")
            .field("name", &self.name())
            .field("max_requests", &self.max_requests())
            .field("window", &self.window())
            .field("approximate", &self.is_approximate())
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

/// Builds a [`SlidingWindowRateLimiter`]; see [`SlidingWindowRateLimiter::builder`]. Every setting is checked
/// by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SlidingWindowRateLimiterBuilder {
    name: Arc<str>,
    max_requests: u64,
    window: Duration,
    approximate: bool,
    clock: Option<Clock>,
    stripes: Option<usize>,
}

impl SlidingWindowRateLimiterBuilder {
    /// Requests allowed in any window, 1 to 16,777,215 (a log of 128 MiB); of an approximate limiter, permits,
    /// 1 to a quarter of the window's nanoseconds: 250 million a second. Default 100.
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.max_requests = requests;
        self
    }

    /// The window's length, more than zero. Default one minute.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Counts in two words instead of a log: for limits too large to log, and for requests of several
    /// permits.
    ///
    /// Time is cut into buckets of one window each, and what a window holds is estimated: all that its bucket
    /// counted, and of the bucket before as large a share as the window still covers. So it may admit
    /// more than `max_requests` in a window that lies across two buckets, but never twice as much, and it
    /// may refuse although the true window has room: see
    /// [the bound and its proof](https://docs.rs/crate/fusewire/latest/source/docs/sliding-windows.md).
    pub fn approximate(mut self) -> Self {
        self.approximate = true;
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

    /// Builds the limiter.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn build(self) -> Result<SlidingWindowRateLimiter, ConfigError> {
        let (limit, nanos) = (self.max_requests, check_window(self.window)?);
        let window = if self.approximate {
            if !(1..=Estimate::greatest(nanos)).contains(&limit) {
                let allowed = "1 to a quarter of the window's nanoseconds";
                return Err(ConfigError::new("max_requests", limit, allowed));
            }
            Window::Approximate(Estimate::new(limit, nanos))
        } else {
            check_limit("max_requests", limit)?;
            Window::Exact(Ring::new(&[Rule { limit, window: nanos }]))
        };
        let most = if self.approximate { limit } else { 1 };
        let invalid = RateLimitExceeded::new(limit, Duration::from_nanos(nanos), Duration::MAX, 0, most);
        let counters = Counters::new(lanes::stripes(self.stripes).map_err(ConfigError::stripes)?);
        let core = Arc::new_cyclic(|weak: &Weak<Core>| Core {
            window,
            invalid,
            counters,
            clock: self.clock.unwrap_or_default(),
            name: self.name,
            queue: WaitQueue::new(),
            held: AtomicBool::new(false),
            _registration: register(weak.clone()),
        });
        Ok(SlidingWindowRateLimiter { core })
    }
}

/// A limit that a log may have.
pub(super) fn check_limit(field: &'static str, limit: u64) -> Result<u64, ConfigError> {
    if (1..=MAX_LOGGED).contains(&limit) {
        Ok(limit)
    } else {
        Err(ConfigError::new(field, limit, "1 to 16777215"))
    }
}

/// A window in nanoseconds.
pub(super) fn check_window(window: Duration) -> Result<u64, ConfigError> {
    if window.is_zero() {
        return Err(ConfigError::new("window", window, "more than zero"));
    }
    Ok(nanos(window))
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;
    use crate::limit::queue::Turn;

    #[test]
    fn who_waits_stands_before_who_does_not() {
        let builder =
            || SlidingWindowRateLimiter::builder("test").max_requests(2).window(Duration::from_nanos(100));
        for limiter in [builder(), builder().approximate()] {
            let limiter = limiter.build().expect("valid settings");
            let core = &*limiter.core;
            assert!(limiter.try_acquire_at(1_000).is_ok() && limiter.try_acquire_at(1_000).is_ok());
            let tickets = [1, 2, 3].map(|_| core.queue.join(core, 1, 1_010));
            let Turn::At(due) = core.queue.turn(core, &tickets[0], 1_010, None) else {
                panic!("no room yet")
            };
            assert!(due > 1_010);
            let refused = limiter.try_acquire_at(1_020).expect_err("others wait");
            assert!(refused.retry_after >= Duration::from_nanos(due - 1_020), "{refused:?}");

            // Two windows on there is room for two, and three wait: nobody else passes.
            let refused = limiter.try_acquire_at(1_300).expect_err("others wait");
            assert!(!refused.retry_after.is_zero());
            let turns = tickets.each_ref().map(|ticket| core.queue.turn(core, ticket, 1_300, None));
            assert_eq!(turns[..2], [Turn::Granted; 2]);
            let Turn::At(last) = turns[2] else { panic!("three in a window of two") };
            assert!(last > 1_300 && limiter.peek_at(1, 1_300).is_err());

            let [_, _, third] = tickets;
            assert!(core.queue.leave(core, third, 1_300), "it was still waiting");
            assert_eq!(limiter.waiting(), 0);
            assert!(limiter.try_acquire_at(1_600).is_ok(), "the hold is lifted");
            assert_eq!(limiter.totals().allowed, 5);
        }
    }

    #[test]
    fn what_is_left_beside_a_queue_is_what_can_be_had() {
        let builder =
            || SlidingWindowRateLimiter::builder("test").max_requests(3).window(Duration::from_nanos(100));
        for limiter in [builder(), builder().approximate()] {
            let limiter = limiter.build().expect("valid settings");
            let core = &*limiter.core;
            (0..3).for_each(|_| limiter.try_acquire_at(1_000).expect("three in a window"));
            let _forgotten = core.queue.join(core, 1, 1_010);
            // There is room for three, and one waits that nobody has served.
            assert_eq!(limiter.remaining_at(1_300), 2);
            limiter.peek_at(1, 1_300).expect("two can be had");
            limiter.try_acquire_at(1_300).expect("two can be had");
            assert_eq!((limiter.remaining_at(1_300), limiter.waiting()), (1, 0));
            limiter.try_acquire_at(1_300).expect("one can be had");
            let refused = limiter.peek_at(1, 1_300).expect_err("full");
            assert!(!refused.retry_after.is_zero());
        }
    }

    #[test]
    fn who_is_refused_while_others_wait_is_told_to_come_after_them() {
        let builder =
            || SlidingWindowRateLimiter::builder("test").max_requests(1).window(Duration::from_nanos(100));
        for limiter in [builder(), builder().approximate()] {
            let limiter = limiter.build().expect("valid settings");
            let core = &*limiter.core;
            limiter.try_acquire_at(1_000).expect("one in a window");
            let alone = limiter.peek_at(1, 1_000).expect_err("full").retry_after;
            let _waiting = [1_000; 4].map(|now| core.queue.join(core, 1, now));
            for answer in [limiter.peek_at(1, 1_000), limiter.try_acquire_at(1_000)] {
                let refused = answer.expect_err("full");
                assert_eq!(refused.retry_after, alone + 4 * limiter.window());
            }
        }
    }
}
