//! Building limiters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{Bucket, Parts};
use super::terms::Slots;
use super::{RateLimiter, TokenBucketRateLimiter};
use crate::clock::{Clock, nanos};
use crate::error::ConfigError;
use crate::tally::lanes;
use crate::word::bucket::MOST_RATE;

/// Builds a [`TokenBucketRateLimiter`]; see [`TokenBucketRateLimiter::builder`]. Every setting is checked
/// by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct TokenBucketBuilder {
    name: Arc<str>,
    rate: Option<f64>,
    capacity: Option<u64>,
    initial: Option<u64>,
    clock: Option<Clock>,
    stripes: Option<usize>,
}

/// A setting that was not given.
struct Missing;

impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not set")
    }
}

/// The setting, or an error that it is missing.
fn required<T>(field: &'static str, value: Option<T>, allowed: &'static str) -> Result<T, ConfigError> {
    value.ok_or_else(|| ConfigError::new(field, Missing, allowed))
}

impl TokenBucketBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, rate: None, capacity: None, initial: None, clock: None, stripes: None }
    }

    /// Tokens per second: 0 (never refills) to 10^9, and if not 0 at least one in 18 years. Required.
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Tokens of a full bucket, the greatest burst: 1 or more, and not more than flow in within 18 years.
    /// Required.
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Tokens in the bucket at its first request, at most its capacity. Default: full.
    pub fn initial_tokens(mut self, tokens: u64) -> Self {
        self.initial = Some(tokens);
        self
    }

    /// Where the time comes from for calls that do not give it. Default: [`Clock::precise`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Lanes of the tally, 1 to 65, 128 bytes each; as for
    /// [`CircuitBreakerBuilder::stripes`](crate::CircuitBreakerBuilder::stripes).
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// Builds the limiter.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range, or missing.
    pub fn build(self) -> Result<TokenBucketRateLimiter, ConfigError> {
        let rate = required("rate", self.rate, "0 to 1000000000 tokens per second")?;
        let capacity = required("capacity", self.capacity, "1 or more")?;
        let terms = Slots::check(rate, capacity)?;
        let initial = self.initial.unwrap_or(capacity);
        if initial > capacity {
            return Err(ConfigError::new("initial_tokens", initial, "at most the capacity"));
        }
        let stripes = lanes::stripes(self.stripes).map_err(ConfigError::stripes)?;
        let (name, clock) = (self.name, self.clock.unwrap_or_default());
        let core = Bucket::new(Parts { name, clock, stripes, rate, capacity, initial, terms });
        Ok(TokenBucketRateLimiter { core })
    }
}

/// Builds a [`RateLimiter`]; see [`RateLimiter::builder`]. Every setting is checked by
/// [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RateLimiterBuilder {
    bucket: TokenBucketBuilder,
    max_requests: u64,
    window: Duration,
}

impl RateLimiterBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        let bucket = TokenBucketBuilder::new(name);
        Self { bucket, max_requests: 100, window: Duration::from_mins(1) }
    }

    /// Requests per window on average, and at once: 1 or more. Default 100.
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.max_requests = requests;
        self
    }

    /// The window, 1 ns to 18 years; at most a request a nanosecond. Default 60 s.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// As [`TokenBucketBuilder::clock`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.bucket = self.bucket.clock(clock);
        self
    }

    /// As [`TokenBucketBuilder::stripes`].
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.bucket = self.bucket.stripes(stripes);
        self
    }

    /// Builds the limiter.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn build(self) -> Result<RateLimiter, ConfigError> {
        let Self { bucket, max_requests, window } = self;
        let rate = rate(max_requests, window)?;
        Ok(RateLimiter(bucket.rate(rate).capacity(max_requests).build()?))
    }
}

/// The rate of a count and a window.
pub(super) fn rate(max_requests: u64, window: Duration) -> Result<f64, ConfigError> {
    if max_requests == 0 {
        return Err(ConfigError::new("max_requests", max_requests, "1 or more"));
    }
    // Eighteen years of 365.25 days, less what rounding might add.
    if window.is_zero() || nanos(window) > 568_000_000_000_000_000 {
        return Err(ConfigError::new("window", window, "1 ns to 18 years"));
    }
    if u128::from(max_requests) > window.as_nanos() {
        return Err(ConfigError::new("max_requests", max_requests, "at most one a nanosecond of the window"));
    }
    // The quotient of two rounded numbers may be a hair above.
    Ok((max_requests as f64 / window.as_secs_f64()).min(MOST_RATE))
}
