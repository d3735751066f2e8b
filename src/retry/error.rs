//! What is left when a retry gives up.

use std::fmt;
use std::time::Duration;

use crate::error::{ConfigError, Retryable, Span};

/// Why no further attempt was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Every attempt that is allowed was made, and the last one failed too. Also with a `max_attempts`
    /// of 1.
    Exhausted,
    /// The last error says that another attempt would not help, or that none may ever be made.
    NotRetryable,
    /// The next attempt would not have begun before the deadline.
    Deadline,
    /// The shared [`RetryBudget`](crate::RetryBudget) had nothing left.
    Budget,
    /// A circuit breaker refused the last attempt, and open circuits are not retried; or they are, but
    /// this one will not reopen by itself.
    OpenCircuit,
    /// The configuration is not valid; no more than one attempt was made. Only of the free functions:
    /// [`Retry::new`](crate::Retry::new) checks it first.
    InvalidConfig(Box<ConfigError>),
}

impl StopReason {
    /// The name used in labels and records, such as `not_retryable`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::NotRetryable => "not_retryable",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::OpenCircuit => "open_circuit",
            Self::InvalidConfig(_) => "invalid_config",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidConfig(error) => error.fmt(f),
            other => f.write_str(other.as_str()),
        }
    }
}

/// A call that failed for good: its last error, and how it came to that. Every failure of a retried call
/// is one of these, also when a single attempt was made: [`reason`](Self::reason) tells whether others
/// were to follow.
///
/// Its text does not repeat the last error, which is its [`source`](std::error::Error::source):
///
/// ```
/// use fusewire::{RetryConfig, retry::retry_with};
///
/// let config = RetryConfig::new().jitter(false);
/// let error = retry_with(&config, |_wait| (), || Err::<(), _>("connection refused")).unwrap_err();
/// assert_eq!(error.to_string(), "gave up after 3 attempts and 3.0 s of waits (exhausted)");
/// assert_eq!(error.error, "connection refused");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryError<E> {
    /// Attempts that were made, 1 or more.
    pub attempts: u32,
    /// The sum of the waits between them, as they were decided.
    pub total_delay: Duration,
    /// Why no further one was made.
    pub reason: StopReason,
    /// The error of the last attempt.
    pub error: E,
}

impl<E> RetryError<E> {
    /// The error of the last attempt.
    pub fn into_inner(self) -> E {
        self.error
    }
}

impl<E> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, total_delay, reason, .. } = self;
        let plural = if *attempts == 1 { "" } else { "s" };
        write!(f, "gave up after {attempts} attempt{plural}")?;
        if !total_delay.is_zero() {
            write!(f, " and {} of waits", Span(*total_delay))?;
        }
        write!(f, " ({reason})")
    }
}

impl<E: std::error::Error + 'static> std::error::Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Whoever gave up has tried often enough: a retry around a retry would multiply the attempts.
impl<E: Retryable> Retryable for RetryError<E> {
    fn is_retryable(&self) -> bool {
        false
    }

    fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after()
    }

    fn is_open_circuit(&self) -> bool {
        self.error.is_open_circuit()
    }
}
