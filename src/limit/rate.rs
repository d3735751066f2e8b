//! The limiter described by a count and a window.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::builder::rate;
use super::{Limiter, RateLimiterBuilder, TokenBucketRateLimiter};
use crate::error::{ConfigError, RateLimitExceeded};

/// The usual limiter: a token bucket that gives `max_requests` per window on average, and as many at once.
///
/// Over one window it may give up to twice as many: a full bucket, and what flows in meanwhile. Where no
/// window may ever hold more, use [`SlidingWindowRateLimiter`](super::SlidingWindowRateLimiter). It is a
/// [`TokenBucketRateLimiter`] in all else, and can be used as one.
///
/// ```
/// use fusewire::{Limiter, RateLimiter};
/// use std::time::Duration;
///
/// let calls =
///     RateLimiter::builder("api_calls").max_requests(100).window(Duration::from_secs(60)).build()?;
/// if let Err(refused) = calls.try_acquire() {
///     println!("{refused}");
/// }
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RateLimiter(pub(super) TokenBucketRateLimiter);

impl RateLimiter {
    /// Starts building a limiter. Names need not be unique.
    pub fn builder(name: impl Into<Arc<str>>) -> RateLimiterBuilder {
        RateLimiterBuilder::new(name.into())
    }

    /// Changes count and window in one publication; see [`TokenBucketRateLimiter::reconfigure`], which takes
    /// the same as a rate and a capacity.
    ///
    /// # Errors
    ///
    /// As [`RateLimiterBuilder::build`]; nothing is changed then.
    pub fn resize(&self, max_requests: u64, window: Duration) -> Result<(), ConfigError> {
        self.resize_at(max_requests, window, self.now())
    }

    /// [`resize`](Self::resize) at `now`.
    ///
    /// # Errors
    ///
    /// As `resize`.
    pub fn resize_at(&self, max_requests: u64, window: Duration, now: u64) -> Result<(), ConfigError> {
        self.0.reconfigure_at(rate(max_requests, window)?, max_requests, now)
    }

    /// The bucket that it is.
    pub fn bucket(&self) -> &TokenBucketRateLimiter {
        &self.0
    }
}

impl Deref for RateLimiter {
    type Target = TokenBucketRateLimiter;

    fn deref(&self) -> &TokenBucketRateLimiter {
        &self.0
    }
}

impl Limiter for RateLimiter {
    #[inline(always)]
    fn now(&self) -> u64 {
        self.0.now()
    }

    #[inline(always)]
    fn try_acquire_n_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        self.0.try_acquire_n_at(n, now)
    }

    fn peek_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        self.0.peek_at(n, now)
    }

    fn remaining_at(&self, now: u64) -> u64 {
        self.0.remaining_at(now)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimiter").field(&self.0).finish()
    }
}
