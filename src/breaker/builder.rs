//! Building a breaker.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::CircuitBreaker;
use super::config::{Cancelled, CircuitBreakerConfig, OpenBackoff, ProbeMode, SlowCalls, WindowConfig};
use super::core::{Core, Parts};
use super::latency::Latencies;
use super::rules::Rules;
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::observe::{DirtySet, EventQueue};
use crate::stats::HistogramConfig;
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
    latency: Option<HistogramConfig>,
    latency_window: Option<(Duration, usize)>,
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
            latency: None,
            latency_window: None,
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

    /// Keeps a histogram of how long calls take; see
    /// [`latency_histogram`](crate::CircuitBreaker::latency_histogram). Off by default.
    ///
    /// Its memory is 8 bytes for each slot in each stripe of `histogram` ([`HistogramConfig`] has a table), once more
    /// for each snapshot of the [window](Self::latency_window). A call then reads the clock when it begins and when it
    /// ends, and its result adds one more in the thread's own lane.
    pub fn latency(mut self, histogram: HistogramConfig) -> Self {
        self.latency = Some(histogram);
        self
    }

    /// How far [`recent_latency`](crate::CircuitBreaker::recent_latency) looks back, about: more than zero, in 1 to
    /// 1024 `buckets`, each a snapshot of the histogram. Default: 10 s in 5 buckets. More buckets make the window's
    /// length more exact: it is at most one bucket, and one interval between samples, more than `length`.
    ///
    /// | buckets | 10 s, sampled each half bucket, covers | snapshots of 1920 slots |
    /// | --- | --- | ---: |
    /// | 1 | 10 to 25 s | 31 KB |
    /// | 2 | 10 to 17.5 s | 46 KB |
    /// | **5** | 10 to 13 s | 92 KB |
    /// | 10 | 10 to 11.5 s | 169 KB |
    ///
    /// The snapshots are made when somebody reads or samples, so a breaker that nobody looks at has none.
    pub fn latency_window(mut self, length: Duration, buckets: usize) -> Self {
        self.latency_window = Some((length, buckets));
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
        let latency = match (self.latency, self.latency_window) {
            (Some(histogram), window) => Some(Box::new(Latencies::new(histogram, window)?)),
            (None, Some((length, buckets))) => {
                let given = format_args!("{length:?} in {buckets} buckets").to_string();
                return Err(ConfigError::new("latency_window", given, "only together with latency"));
            }
            (None, None) => None,
        };
        let rules = Rules::new(self.config, None, |window| Window::new(window.buckets(), &[0; 4], 0));
        let core = Core::new(Parts {
            rules,
            clock: self.clock.unwrap_or_default(),
            stripes,
            events: self.events,
            dirty: self.dirty,
            latency,
            disabled: self.disabled,
            seed: self.seed.unwrap_or_else(|| RandomState::new().hash_one(&self.name)),
            name: self.name,
        });
        Ok(CircuitBreaker { core })
    }
}
