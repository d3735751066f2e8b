//! A clock for tests: it moves when told, in either direction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{SharedNow, nanos};
use crate::sync::{AtomicU64, Ordering};

/// A clock that stands where it was set. Clones share it.
///
/// ```
/// use fusewire::{CircuitBreaker, CircuitState, Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let breaker =
///     CircuitBreaker::builder("orders").failure_threshold(1).clock(Clock::from(&clock)).build()?;
/// breaker.try_acquire()?.failure();
/// assert!(breaker.try_acquire().is_err());
/// clock.advance(Duration::from_secs(31));
/// breaker.try_acquire()?.success();
/// assert_eq!(breaker.state(), CircuitState::HalfOpen);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(SharedNow);

impl ManualClock {
    /// A clock that stands at zero.
    pub fn new() -> Self {
        Self(Arc::new(crossbeam_utils::CachePadded::new(AtomicU64::new(0))))
    }

    /// Sets the time, in nanoseconds; going back is allowed.
    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Moves the time forward, at most to the greatest `u64`; gives the new time. One thread moves a
    /// clock; any number read it.
    pub fn advance(&self, by: Duration) -> u64 {
        let now = self.now().saturating_add(nanos(by));
        self.set(now);
        now
    }

    #[inline(always)]
    pub(super) fn shared(&self) -> &SharedNow {
        &self.0
    }

    /// The time, in nanoseconds.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({} ns)", self.now())
    }
}
