//! The waits of one call.

use std::iter::FusedIterator;
use std::time::Duration;

use super::config::RetryConfig;
use super::jitter::{Jitter, uniform};

/// The waits of one call, in order; see [`RetryConfig::backoff`]. It ends where the attempts do: after
/// `max_attempts - 1` waits.
///
/// It neither sleeps nor reads a clock, so it serves any loop of one's own.
///
/// ```
/// use fusewire::RetryConfig;
/// use std::time::Duration;
///
/// let waits = RetryConfig::new().max_attempts(5).jitter(false).backoff()?;
/// let seconds: Vec<u64> = waits.map(|wait| wait.as_secs()).collect();
/// assert_eq!(seconds, [1, 2, 4, 8]);
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "an iterator of waits does nothing by itself"]
pub struct Backoff {
    config: RetryConfig,
    rng: fastrand::Rng,
    /// The attempts that have failed.
    attempts: u32,
    /// The wait before.
    previous: Duration,
}

impl Backoff {
    /// The waits of a configuration that was checked.
    pub(super) fn new(config: RetryConfig) -> Self {
        let rng = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let previous = config.base_delay.min(config.max_delay);
        Self { config, rng, attempts: 0, previous }
    }

    /// How many waits have been drawn.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    fn draw(&mut self) -> Duration {
        let Self { config, rng, attempts, previous } = self;
        let longest = config.longest_delay(*attempts);
        match config.jitter {
            Jitter::None => longest,
            Jitter::Full => uniform(rng, Duration::ZERO, longest),
            Jitter::Equal => uniform(rng, longest / 2, longest),
            Jitter::Decorrelated => {
                let least = config.base_delay.min(config.max_delay);
                *previous = uniform(rng, least, previous.saturating_mul(3).min(config.max_delay));
                *previous
            }
        }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    /// The wait after the next attempt.
    fn next(&mut self) -> Option<Duration> {
        // The last attempt is followed by none.
        if self.attempts >= self.config.max_attempts.saturating_sub(1) {
            return None;
        }
        self.attempts += 1;
        Some(self.draw())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.config.max_attempts.saturating_sub(1).saturating_sub(self.attempts) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Backoff {}

impl FusedIterator for Backoff {}
