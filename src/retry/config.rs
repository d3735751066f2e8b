//! What a retry is told: how often, how long it waits, and what of the wait is left to chance.

use std::time::Duration;

use super::backoff::Backoff;
use super::jitter::Jitter;
use crate::error::ConfigError;

/// How often to try, and how long to wait between two attempts.
///
/// After attempt `k`, counted from one, the wait is drawn by [`jitter`](Self::jitter) from what lies
/// between zero and
///
/// - `min(base_delay * exponential_base^(k - 1), max_delay)` while [`exponential`](Self::exponential),
/// - `min(base_delay + increment * (k - 1), max_delay)` otherwise.
///
/// Each setting can be given by the method of its name, in a chain, or set as a field. Nothing overflows,
/// whatever the settings and the attempt. They are checked by [`Retry::new`](crate::Retry::new), by
/// [`backoff`](Self::backoff) and by [`check`](Self::check); the free functions check them when an
/// attempt has failed, and give up with
/// [`StopReason::InvalidConfig`](crate::retry::StopReason::InvalidConfig).
///
/// ```
/// use fusewire::{ConfigError, RetryConfig};
/// use std::time::Duration;
///
/// let config = RetryConfig::new()
///     .max_attempts(5)
///     .base_delay(Duration::from_millis(500))
///     .max_delay(Duration::from_secs(30));
/// config.check()?;
/// assert_eq!(config.longest_delay(1), Duration::from_millis(500));
/// assert_eq!(config.longest_delay(4), Duration::from_secs(4));
/// assert_eq!(config.longest_delay(u32::MAX), Duration::from_secs(30));
///
/// let error = RetryConfig::new().exponential_base(0.5).check().unwrap_err();
/// assert_eq!(error.to_string(), "exponential_base is 0.5; allowed: finite, 1 or more");
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// Calls in all, the first one among them; 1 or more. Default 3.
    pub max_attempts: u32,
    /// The longest wait after the first attempt. Zero is legal: no wait at all while exponential. Above
    /// `max_delay` it is legal too: then each wait is `max_delay`. Default 1 s.
    pub base_delay: Duration,
    /// What no wait exceeds, whatever the attempt, unless a server asks for more. Default 60 s.
    pub max_delay: Duration,
    /// Whether the waits grow by a factor, `exponential_base`; if not, by a step, `increment`. Default
    /// true.
    pub exponential: bool,
    /// The factor by which each wait is longer than the one before, finite, 1 or more. Not used unless
    /// `exponential`. Default 2.
    pub exponential_base: f64,
    /// The step by which each wait is longer than the one before; zero for waits that are all alike. Not
    /// used while `exponential`. Default zero.
    pub increment: Duration,
    /// What of a wait is left to chance. Default [`Jitter::Full`].
    pub jitter: Jitter,
    /// Where the randomness begins: with a seed each call that uses this configuration draws the same
    /// waits. Callers that share a seed come back at the same moments, which jitter is there to prevent:
    /// it is for tests. Default (`None`): the thread's generator.
    pub seed: Option<u64>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_mins(1),
            exponential: true,
            exponential_base: 2.0,
            increment: Duration::ZERO,
            jitter: Jitter::Full,
            seed: None,
        }
    }
}

impl RetryConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`max_attempts`](Self#structfield.max_attempts).
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// See [`base_delay`](Self#structfield.base_delay).
    #[must_use]
    pub fn base_delay(mut self, delay: Duration) -> Self {
        self.base_delay = delay;
        self
    }

    /// See [`max_delay`](Self#structfield.max_delay).
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// See [`exponential`](Self#structfield.exponential).
    #[must_use]
    pub fn exponential(mut self, exponential: bool) -> Self {
        self.exponential = exponential;
        self
    }

    /// See [`exponential_base`](Self#structfield.exponential_base).
    #[must_use]
    pub fn exponential_base(mut self, base: f64) -> Self {
        self.exponential_base = base;
        self
    }

    /// Waits that are all `base_delay`: not exponential, and without an increment.
    #[must_use]
    pub fn fixed(self) -> Self {
        self.linear(Duration::ZERO)
    }

    /// Waits that grow by `increment` each: not exponential.
    #[must_use]
    pub fn linear(mut self, increment: Duration) -> Self {
        self.exponential = false;
        self.increment = increment;
        self
    }

    /// See [`jitter`](Self#structfield.jitter): `true` for [`Jitter::Full`], `false` for
    /// [`Jitter::None`], or any other [`Jitter`].
    #[must_use]
    pub fn jitter(mut self, jitter: impl Into<Jitter>) -> Self {
        self.jitter = jitter.into();
        self
    }

    /// See [`seed`](Self#structfield.seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether every setting is within its range.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first one that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::new("max_attempts", 0, "1 or more"));
        }
        // Checked also where it is not used, or a change of `exponential` would bring it to light.
        if !(1.0..f64::INFINITY).contains(&self.exponential_base) {
            let allowed = "finite, 1 or more";
            return Err(ConfigError::new("exponential_base", self.exponential_base, allowed));
        }
        Ok(())
    }

    /// The waits of one call, in order: `max_attempts - 1` of them.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn backoff(&self) -> Result<Backoff, ConfigError> {
        self.check()?;
        Ok(Backoff::new(self.clone()))
    }

    /// The longest wait after attempt `attempt`, counted from one: what jitter draws from, but for
    /// [`Jitter::Decorrelated`], which grows in its own way. Saturates at `max_delay`.
    pub fn longest_delay(&self, attempt: u32) -> Duration {
        let retries = attempt.saturating_sub(1);
        let grown = if self.exponential {
            scale(self.base_delay, self.exponential_base.powf(f64::from(retries)))
        } else {
            self.base_delay.saturating_add(self.increment.saturating_mul(retries))
        };
        grown.min(self.max_delay)
    }
}

/// `delay * factor` to the nanosecond, where a `f64` of seconds holds one; [`Duration::MAX`] stands for all
/// beyond it, and for what is no number.
fn scale(delay: Duration, factor: f64) -> Duration {
    // Powers of a whole base, and every first wait, are exact.
    if factor >= 1.0 && factor <= f64::from(u32::MAX) && factor.fract() == 0.0 {
        return delay.saturating_mul(factor as u32);
    }
    if delay.is_zero() {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &RetryConfig) -> String {
        config.check().expect_err("out of range").to_string()
    }

    #[test]
    fn each_setting_out_of_range_is_named() {
        assert_eq!(RetryConfig::default().check(), Ok(()));
        assert_eq!(refused(&RetryConfig::new().max_attempts(0)), "max_attempts is 0; allowed: 1 or more");
        for base in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0, 0.0, 0.999] {
            let config = RetryConfig::new().exponential_base(base);
            assert_eq!(refused(&config), format!("exponential_base is {base:?}; allowed: finite, 1 or more"));
        }
    }

    #[test]
    fn nothing_overflows() {
        let config = RetryConfig::new().base_delay(Duration::MAX).max_delay(Duration::MAX);
        let steep = config.clone().exponential_base(1e300);
        let linear = config.clone().linear(Duration::MAX);
        for attempt in [0, 1, 2, 3, 33, 64, 1025, u32::MAX] {
            for config in [&config, &steep, &linear] {
                assert_eq!(config.longest_delay(attempt), Duration::MAX);
            }
            let none = RetryConfig::new().base_delay(Duration::ZERO).exponential_base(1e300);
            assert_eq!(none.longest_delay(attempt), Duration::ZERO);
            let wrong = RetryConfig::new().exponential_base(f64::NAN);
            assert!(wrong.longest_delay(attempt) <= wrong.max_delay);
        }
    }

    #[test]
    fn waits_are_exact_to_the_nanosecond() {
        let config =
            RetryConfig::new().base_delay(Duration::from_nanos(100_000_001)).max_delay(Duration::MAX);
        let odd = Duration::from_nanos(100_000_001);
        for attempt in 1..=32 {
            assert_eq!(config.longest_delay(attempt), odd * (1 << (attempt - 1)));
        }
        let half = config.exponential_base(1.5);
        assert_eq!(half.longest_delay(3), Duration::from_nanos(225_000_002));
    }
}
