//! What a breaker is told: its rules, their defaults and their ranges.

use std::time::Duration;

use crate::clock::nanos;
use crate::error::ConfigError;
use crate::word::breaker::MAX_PROBES;

/// The settings of a circuit breaker. They are checked when a breaker is built or reconfigured with
/// them.
///
/// ```
/// use fusewire::{CircuitBreaker, CircuitBreakerConfig};
///
/// let breaker = CircuitBreaker::builder("orders").build()?;
/// let mut config = breaker.config();
/// config.failure_threshold = Some(10);
/// breaker.reconfigure(config)?;
///
/// let mut wrong = CircuitBreakerConfig::default();
/// wrong.half_open_requests = 0;
/// let error = breaker.reconfigure(wrong).unwrap_err();
/// assert_eq!(error.to_string(), "half_open_requests is 0; allowed: 1 to 1048575");
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CircuitBreakerConfig {
    /// Failures in a row that open the breaker, 1 or more; `None` turns the rule off. Default 5.
    pub failure_threshold: Option<u32>,
    /// How long it stays open before it lets probes through. Zero is legal: the next call is a probe.
    /// Rounded up to units of 0.26 ms; at most nine years. Default 30 s.
    pub recovery_timeout: Duration,
    /// Probes of a half-open round, and the successes that close; 1 to 1,048,575. Default 3.
    pub half_open_requests: u32,
    /// How long a round of probes may stay undecided with no place left before it is replaced.
    /// Default (`None`): the greater of `recovery_timeout` and 1 s.
    pub half_open_timeout: Option<Duration>,
    /// Longer open periods after consecutive openings. Default: none, each is `recovery_timeout`.
    pub open_backoff: Option<OpenBackoff>,
    /// The share of failures in the window, more than 0 and at most 1, that opens the breaker; it
    /// opens at exactly this share too. Exact to a billionth. Default: off.
    pub failure_rate: Option<f64>,
    /// The rule on slow calls. Default: off.
    pub slow_calls: Option<SlowCalls>,
    /// What the rates are taken over. Default: 10 s in 10 buckets.
    pub window: WindowConfig,
    /// Calls that the window must hold before a rate may open the breaker, 1 or more. Default 10.
    pub minimum_calls: u32,
    /// A call still out after this long counts as a failure, more than zero. Default: off.
    pub count_hung_after: Option<Duration>,
    /// After probes closed it, the breaker admits a share of calls that grows from a tenth to all of
    /// them over this period. Default: off.
    pub ramp_up: Option<Duration>,
    /// What a call that ended without a result counts as. Default: ignored.
    pub cancelled_as: Cancelled,
    /// Who decides about probes. Default: the breaker itself.
    pub probes: ProbeMode,
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            failure_threshold: Some(5),
            recovery_timeout: Duration::from_secs(30),
            half_open_requests: 3,
            half_open_timeout: None,
            open_backoff: None,
            failure_rate: None,
            slow_calls: None,
            window: WindowConfig::default(),
            minimum_calls: 10,
            count_hung_after: None,
            ramp_up: None,
            cancelled_as: Cancelled::default(),
            probes: ProbeMode::default(),
        }
    }
}

/// The stretch of calls or of time that a rate is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowConfig {
    /// The calls of the last `length`, forgotten a bucket at a time: the window holds between
    /// `length` less one bucket and `length`.
    #[non_exhaustive]
    Time {
        /// The window's length; a bucket of it is at least 1 µs.
        length: Duration,
        /// 1 to 1024 buckets.
        buckets: u32,
    },
    /// The last `calls` calls, rounded up to whole buckets and forgotten a bucket at a time: the window
    /// holds between `calls` less one bucket and `calls`, give or take what the lanes have not yet looked
    /// at (see the book's chapter on windows).
    #[non_exhaustive]
    Count {
        /// The window's length in calls, at least one a bucket.
        calls: u32,
        /// 1 to 1024 buckets.
        buckets: u32,
    },
}

impl WindowConfig {
    /// A window over the last `length` in `buckets` buckets.
    pub const fn time(length: Duration, buckets: u32) -> Self {
        Self::Time { length, buckets }
    }

    /// A window over the last `calls` calls in `buckets` buckets.
    pub const fn count(calls: u32, buckets: u32) -> Self {
        Self::Count { calls, buckets }
    }

    pub(super) const fn buckets(self) -> u64 {
        match self {
            Self::Time { buckets, .. } | Self::Count { buckets, .. } => buckets as u64,
        }
    }

    /// A bucket's width: nanoseconds or calls, rounded up.
    pub(super) fn width(self) -> u64 {
        match self {
            Self::Time { length, buckets } => nanos(length).div_ceil(u64::from(buckets.max(1))),
            Self::Count { calls, buckets } => u64::from(calls.div_ceil(buckets.max(1))),
        }
    }

    fn check(self) -> Result<(), ConfigError> {
        if !(1..=MAX_BUCKETS).contains(&(self.buckets())) {
            return Err(ConfigError::new("window.buckets", self.buckets(), "1 to 1024"));
        }
        match self {
            Self::Time { length, buckets } => {
                let least = Duration::from_micros(u64::from(buckets));
                if length < least || length > MAX_PERIOD {
                    return Err(ConfigError::new("window.length", length, "1 µs a bucket to 9 years"));
                }
            }
            Self::Count { calls, buckets } if calls < buckets => {
                return Err(ConfigError::new("window.calls", calls, "at least one a bucket"));
            }
            Self::Count { .. } => {}
        }
        Ok(())
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self::time(Duration::from_secs(10), 10)
    }
}

const MAX_BUCKETS: u64 = 1024;

/// The longest period that a word holds, rounded down: 2^40 units of 2^18 ns are 9.13 years.
const MAX_PERIOD: Duration = Duration::from_hours(9 * 365 * 24);

/// The rule on slow calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowCalls {
    /// A call is slow when it took longer than this; zero is legal.
    pub threshold: Duration,
    /// The share of slow calls in the window, more than 0 and at most 1, that opens the breaker.
    pub rate: f64,
}

/// Longer open periods after consecutive openings: the first lasts `recovery_timeout`, each further
/// one `factor` times the last, at most `max`; of that a random part is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenBackoff {
    /// How much longer each further period is, 1 or more and at most 1000. Default 2.
    pub factor: f64,
    /// The longest period, at least `recovery_timeout`. Default 5 minutes.
    pub max: Duration,
    /// The share of a period, 0 to 1, that is random: it lasts between `(1 - jitter)` and 1 times its
    /// length, drawn after `max` is applied. Default 0.1.
    pub jitter: f64,
    /// After this long closed, the next opening counts as the first again. Default 1 minute.
    pub healthy_after: Duration,
}

impl Default for OpenBackoff {
    fn default() -> Self {
        Self { factor: 2.0, max: Duration::from_mins(5), jitter: 0.1, healthy_after: Duration::from_mins(1) }
    }
}

/// What a call that ended without a result counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cancelled {
    /// As nothing; a probe's place is given back.
    #[default]
    Ignored,
    /// As a failure, in every respect.
    Failure,
}

/// Who decides about probes once the open duration has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeMode {
    /// The breaker: the next calls are probes.
    #[default]
    Local,
    /// Somebody else: calls are refused, and [`wants_probes`](crate::CircuitBreaker::wants_probes) is
    /// true, until [`grant_probes`](crate::CircuitBreaker::grant_probes_at).
    Granted,
}

impl CircuitBreakerConfig {
    /// Whether a rate over a window is among the rules.
    pub(super) const fn has_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_calls.is_some()
    }

    /// How long an undecided round stands.
    pub(super) fn round_timeout(&self) -> Duration {
        self.half_open_timeout.unwrap_or(self.recovery_timeout.max(Duration::from_secs(1)))
    }

    /// Each setting by name. Taken apart whole, so that a new one cannot be forgotten here.
    fn fields(&self) -> [(&'static str, String); 13] {
        let Self {
            failure_threshold,
            recovery_timeout,
            half_open_requests,
            half_open_timeout,
            open_backoff,
            failure_rate,
            slow_calls,
            window,
            minimum_calls,
            count_hung_after,
            ramp_up,
            cancelled_as,
            probes,
        } = self;
        [
            ("failure_threshold", format!("{failure_threshold:?}")),
            ("recovery_timeout", format!("{recovery_timeout:?}")),
            ("half_open_requests", format!("{half_open_requests:?}")),
            ("half_open_timeout", format!("{half_open_timeout:?}")),
            ("open_backoff", format!("{open_backoff:?}")),
            ("failure_rate", format!("{failure_rate:?}")),
            ("slow_calls", format!("{slow_calls:?}")),
            ("window", format!("{window:?}")),
            ("minimum_calls", format!("{minimum_calls:?}")),
            ("count_hung_after", format!("{count_hung_after:?}")),
            ("ramp_up", format!("{ramp_up:?}")),
            ("cancelled_as", format!("{cancelled_as:?}")),
            ("probes", format!("{probes:?}")),
        ]
    }

    /// The settings in which the two differ, as each has them; empty when they are alike.
    pub(crate) fn differences(&self, other: &Self) -> (String, String) {
        if self == other {
            return (String::new(), String::new());
        }
        let differing = self.fields().into_iter().zip(other.fields()).filter(|(a, b)| a != b);
        let text = |(name, value)| format!("{name}: {value}");
        let (mine, theirs): (Vec<_>, Vec<_>) = differing.map(|(a, b)| (text(a), text(b))).unzip();
        (mine.join(", "), theirs.join(", "))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.failure_threshold == Some(0) {
            return Err(ConfigError::new("failure_threshold", 0, "1 or more"));
        }
        period("recovery_timeout", self.recovery_timeout, Duration::ZERO)?;
        if !(1..=MAX_PROBES).contains(&self.half_open_requests) {
            return Err(ConfigError::new("half_open_requests", self.half_open_requests, "1 to 1048575"));
        }
        if let Some(timeout) = self.half_open_timeout {
            period("half_open_timeout", timeout, Duration::from_nanos(1))?;
        }
        if let Some(backoff) = &self.open_backoff {
            self.check_backoff(backoff)?;
        }
        if let Some(rate) = self.failure_rate {
            share("failure_rate", rate)?;
        }
        if let Some(slow) = self.slow_calls {
            share("slow_calls.rate", slow.rate)?;
        }
        self.window.check()?;
        if self.minimum_calls == 0 {
            return Err(ConfigError::new("minimum_calls", 0, "1 or more"));
        }
        if let Some(hung) = self.count_hung_after {
            period("count_hung_after", hung, Duration::from_nanos(1))?;
        }
        if let Some(ramp) = self.ramp_up {
            period("ramp_up", ramp, Duration::from_nanos(1))?;
        }
        Ok(())
    }

    fn check_backoff(&self, backoff: &OpenBackoff) -> Result<(), ConfigError> {
        if !(1.0..=1000.0).contains(&backoff.factor) {
            return Err(ConfigError::new("open_backoff.factor", backoff.factor, "1 to 1000"));
        }
        if backoff.max < self.recovery_timeout || backoff.max > MAX_PERIOD {
            let allowed = "recovery_timeout to 9 years";
            return Err(ConfigError::new("open_backoff.max", backoff.max, allowed));
        }
        if !(0.0..=1.0).contains(&backoff.jitter) {
            return Err(ConfigError::new("open_backoff.jitter", backoff.jitter, "0 to 1"));
        }
        Ok(())
    }
}

fn period(field: &'static str, value: Duration, least: Duration) -> Result<(), ConfigError> {
    if value > MAX_PERIOD {
        return Err(ConfigError::new(field, value, "at most 9 years"));
    }
    if value < least {
        return Err(ConfigError::new(field, value, "more than zero"));
    }
    Ok(())
}

fn share(field: &'static str, value: f64) -> Result<(), ConfigError> {
    // A share below half a billionth would round to zero, which every call reaches.
    if (1e-9..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::new(field, value, "more than 0 (at least 1e-9) and at most 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut CircuitBreakerConfig)) -> String {
        let mut config = CircuitBreakerConfig::default();
        change(&mut config);
        config.check().expect_err("out of range").field().to_owned()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(CircuitBreakerConfig::default().check(), Ok(()));
    }

    #[test]
    fn each_setting_out_of_range_is_named() {
        assert_eq!(refused(|c| c.failure_threshold = Some(0)), "failure_threshold");
        assert_eq!(refused(|c| c.recovery_timeout = Duration::MAX), "recovery_timeout");
        assert_eq!(refused(|c| c.half_open_requests = 0), "half_open_requests");
        assert_eq!(refused(|c| c.half_open_requests = MAX_PROBES + 1), "half_open_requests");
        assert_eq!(refused(|c| c.half_open_timeout = Some(Duration::ZERO)), "half_open_timeout");
        for rate in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY, 1e-300] {
            assert_eq!(refused(|c| c.failure_rate = Some(rate)), "failure_rate");
            let slow = SlowCalls { threshold: Duration::ZERO, rate };
            assert_eq!(refused(|c| c.slow_calls = Some(slow)), "slow_calls.rate");
        }
        for buckets in [0, 1025] {
            let window = WindowConfig::time(Duration::from_secs(1), buckets);
            assert_eq!(refused(|c| c.window = window), "window.buckets");
        }
        assert_eq!(refused(|c| c.window = WindowConfig::time(Duration::ZERO, 1)), "window.length");
        assert_eq!(refused(|c| c.window = WindowConfig::count(3, 4)), "window.calls");
        assert_eq!(refused(|c| c.minimum_calls = 0), "minimum_calls");
        assert_eq!(refused(|c| c.count_hung_after = Some(Duration::ZERO)), "count_hung_after");
        assert_eq!(refused(|c| c.ramp_up = Some(Duration::ZERO)), "ramp_up");
    }

    #[test]
    fn a_backoff_out_of_range_is_named() {
        let with = |change: fn(&mut OpenBackoff)| {
            let mut backoff = OpenBackoff::default();
            change(&mut backoff);
            refused(|c| c.open_backoff = Some(backoff))
        };
        assert_eq!(with(|b| b.factor = f64::NAN), "open_backoff.factor");
        assert_eq!(with(|b| b.factor = 0.5), "open_backoff.factor");
        assert_eq!(with(|b| b.max = Duration::from_secs(1)), "open_backoff.max");
        assert_eq!(with(|b| b.jitter = -0.1), "open_backoff.jitter");
    }
}
