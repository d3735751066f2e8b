//! Building a breaker.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::CircuitBreaker;
use super::config::{Cancelled, CircuitBreakerConfig, OpenBackoff, ProbeMode, SlowCalls, WindowConfig};
use super::core::{Core, Parts};
use super::rules::Rules;
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::observe::{DirtySet, EventQueue};
use crate::tally::lanes;
use crate::window::Window;

/// Builds a [`CircuitBreaker`]; see [`CircuitBreaker::builder`]. Every setting is checked by
/// [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct CircuitBreakerBuilder {
    name: Arc<str>,
    config: CircuitBreakerConfig,
    clock: Option<Clock>,
    stripes: Option<usize>,
    events: Option<EventQueue>,
    dirty: Option<DirtySet>,
    seed: Option<u64>,
    disabled: bool,
}

impl CircuitBreakerBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            config: CircuitBreakerConfig::default(),
            clock: None,
            stripes: None,
            events: None,
            dirty: None,
            seed: None,
            disabled: false,
        }
    }

    /// All settings of the rules at once.
    pub fn config(mut self, config: CircuitBreakerConfig) -> Self {
        self.config = config;
        self
    }

    /// See [`CircuitBreakerConfig::failure_threshold`]; `None` turns the rule off.
    pub fn failure_threshold(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.config.failure_threshold = failures.into();
        self
    }

    /// See [`CircuitBreakerConfig::recovery_timeout`].
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.config.recovery_timeout = timeout;
        self
    }

    /// See [`CircuitBreakerConfig::half_open_requests`].
    pub fn half_open_requests(mut self, probes: u32) -> Self {
        self.config.half_open_requests = probes;
        self
    }

    /// See [`CircuitBreakerConfig::half_open_timeout`].
    pub fn half_open_timeout(mut self, timeout: Duration) -> Self {
        self.config.half_open_timeout = Some(timeout);
        self
    }

    /// See [`CircuitBreakerConfig::open_backoff`].
    pub fn open_backoff(mut self, backoff: OpenBackoff) -> Self {
        self.config.open_backoff = Some(backoff);
        self
    }

    /// See [`CircuitBreakerConfig::failure_rate`].
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.config.failure_rate = Some(rate);
        self
    }

    /// See [`CircuitBreakerConfig::slow_calls`]: opens at a share of `rate` calls that took longer than
    /// `threshold`.
    pub fn slow_calls(mut self, threshold: Duration, rate: f64) -> Self {
        self.config.slow_calls = Some(SlowCalls { threshold, rate });
        self
    }

    /// See [`CircuitBreakerConfig::window`].
    pub fn window(mut self, window: WindowConfig) -> Self {
        self.config.window = window;
        self
    }

    /// See [`CircuitBreakerConfig::minimum_calls`].
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.config.minimum_calls = calls;
        self
    }

    /// See [`CircuitBreakerConfig::count_hung_after`].
    pub fn count_hung_after(mut self, after: Duration) -> Self {
        self.config.count_hung_after = Some(after);
        self
    }

    /// See [`CircuitBreakerConfig::ramp_up`].
    pub fn ramp_up(mut self, period: Duration) -> Self {
        self.config.ramp_up = Some(period);
        self
    }

    /// See [`CircuitBreakerConfig::cancelled_as`].
    pub fn cancelled_as(mut self, cancelled: Cancelled) -> Self {
        self.config.cancelled_as = cancelled;
        self
    }

    /// See [`CircuitBreakerConfig::probes`].
    pub fn probes(mut self, mode: ProbeMode) -> Self {
        self.config.probes = mode;
        self
    }

    /// Where the time comes from for calls that do not give it. Default: [`Clock::precise`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Lanes of the tally, 1 to 65, 128 bytes each. All but the last belong to one thread each, which
    /// then counts without any contention; the other threads share the last one. Default: two for each
    /// core and one, at most 33. One stripe suits a breaker of which there are very many.
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// Sends the breaker's events to `queue`.
    pub fn events(mut self, queue: &EventQueue) -> Self {
        self.events = Some(queue.clone());
        self
    }

    /// Enters the breaker into `set` whenever it has counted something.
    pub fn dirty_set(mut self, set: &DirtySet) -> Self {
        self.dirty = Some(set.clone());
        self
    }

    /// Seeds the jitter of open periods, for reproducible runs. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether the breaker begins disabled.
    pub(crate) fn start_disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Builds the breaker.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        self.config.check()?;
        let stripes = lanes::stripes(self.stripes).map_err(ConfigError::stripes)?;
        let rules = Rules::new(self.config, None, |window| Window::new(window.buckets(), &[0; 4], 0));
        let core = Core::new(Parts {
            rules,
            clock: self.clock.unwrap_or_default(),
            stripes,
            events: self.events,
            dirty: self.dirty,
            disabled: self.disabled,
            seed: self.seed.unwrap_or_else(|| RandomState::new().hash_one(&self.name)),
            name: self.name,
        });
        Ok(CircuitBreaker { core })
    }
}
