//! At most so many requests in any window, exactly or by an estimate.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::counters::{Counters, LimiterTotals};
use super::estimate::Estimate;
use super::ring::{Ring, Rule};
use super::{Limiter, MAX_LOGGED};
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, RateLimitExceeded};
use crate::observe::{self, Kind, Live, Registration, register};
use crate::tally::lanes::{MAX_OWNED, default_stripes};

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
    core: Arc<Core>,
}

/// The shared state of one limiter.
struct Core {
    window: Window,
    /// What is said to a request for no permits; every refusal is made from it.
    invalid: RateLimitExceeded,
    counters: Counters,
    clock: Clock,
    name: Arc<str>,
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
        let admitted = match &core.window {
            Window::Exact(ring) => ring.admit(now, false).map_err(|refusal| refusal.wait),
            Window::Approximate(estimate) => estimate.admit(n, now),
        };
        match admitted {
            Ok(()) => {
                core.counters.allow(n);
                Ok(())
            }
            Err(wait) => {
                core.counters.refuse(n);
                Err(core.refusal(n, wait))
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
        seen.map_err(|wait| core.refusal(n, wait))
    }

    fn remaining_at(&self, now: u64) -> u64 {
        match &self.core.window {
            Window::Exact(ring) => ring.remaining(now),
            Window::Approximate(estimate) => estimate.remaining(now),
        }
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
        let invalid = RateLimitExceeded {
            limit,
            window: Duration::from_nanos(nanos),
            retry_after: Duration::MAX,
            requested: 0,
            most: if self.approximate { limit } else { 1 },
        };
        let counters = Counters::new(check_stripes(self.stripes)?);
        let core = Arc::new_cyclic(|weak: &Weak<Core>| Core {
            window,
            invalid,
            counters,
            clock: self.clock.unwrap_or_default(),
            name: self.name,
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

pub(super) fn check_stripes(stripes: Option<usize>) -> Result<usize, ConfigError> {
    let stripes = stripes.unwrap_or_else(default_stripes);
    if (1..=MAX_OWNED + 1).contains(&stripes) {
        Ok(stripes)
    } else {
        Err(ConfigError::new("stripes", stripes, "1 to 65"))
    }
}
