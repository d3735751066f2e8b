//! The decision: to wait and try again, or to stop. No clock, no sleep, no call.

use std::time::Duration;

use super::backoff::Backoff;
use super::config::RetryConfig;
use super::error::{RetryError, StopReason};
use crate::error::{ConfigError, Retryable};

/// What a failed attempt means for the next one.
///
/// `From<bool>`: `true` is [`Retry`](Self::Retry), `false` is [`Stop`](Self::Stop).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt would not help.
    Stop,
    /// Another attempt may succeed.
    Retry,
    /// The same, but no sooner than this: what a server says in a `Retry-After` field (RFC 9110, section
    /// 10.2.3). It may be longer than `max_delay`. [`Duration::MAX`] is never.
    RetryAfter(Duration),
    /// A circuit breaker refused the attempt, and will for this long. [`Duration::MAX`] is for ever.
    OpenCircuit(Duration),
}

impl Verdict {
    /// What the error says of itself.
    pub fn of<E: Retryable + ?Sized>(error: &E) -> Self {
        if !error.is_retryable() {
            return Self::Stop;
        }
        let after = error.retry_after();
        if error.is_open_circuit() {
            return Self::OpenCircuit(after.unwrap_or_default());
        }
        after.map_or(Self::Retry, Self::RetryAfter)
    }
}

impl From<bool> for Verdict {
    fn from(retry: bool) -> Self {
        if retry { Self::Retry } else { Self::Stop }
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision is there to be followed"]
pub enum Decision {
    /// Wait this long, then try again.
    Wait(Duration),
    /// Give up.
    Stop(StopReason),
}

/// The decisions of one call, in order: what the drivers ask after every failed attempt, for whoever
/// drives attempts in another way.
///
/// ```
/// use fusewire::{RetryConfig, retry::{Decision, RetryPlan, StopReason, Verdict}};
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let mut plan = RetryPlan::new(&RetryConfig::new().jitter(false))?.deadline(10 * second);
/// assert_eq!(plan.after(Verdict::Retry, second), Decision::Wait(second));
/// // The server asks for nine seconds, but then the deadline will have passed.
/// let decision = plan.after(Verdict::RetryAfter(9 * second), 3 * second);
/// assert_eq!(decision, Decision::Stop(StopReason::Deadline));
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RetryPlan {
    backoff: Backoff,
    deadline: Option<Duration>,
    retry_open: bool,
    attempts: u32,
    total_delay: Duration,
}

impl RetryPlan {
    /// The decisions of one call.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn new(config: &RetryConfig) -> Result<Self, ConfigError> {
        config.backoff().map(Self::of)
    }

    pub(super) fn of(backoff: Backoff) -> Self {
        Self { backoff, deadline: None, retry_open: false, attempts: 0, total_delay: Duration::ZERO }
    }

    /// No attempt begins this long after the first one began, or later. Default: none.
    #[must_use]
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Whether an open circuit is waited for; see [`Retry::retry_open`](crate::Retry::retry_open).
    /// Default: no.
    #[must_use]
    pub fn retry_open(mut self, retry: bool) -> Self {
        self.retry_open = retry;
        self
    }

    /// Decides after an attempt that failed, `elapsed` after the first one began. A time shorter than the
    /// waits so far counts as those.
    ///
    /// The reasons to stop are looked for in this order: the verdict, the number of attempts, the
    /// deadline.
    pub fn after(&mut self, verdict: Verdict, elapsed: Duration) -> Decision {
        self.attempts = self.attempts.saturating_add(1);
        let floor = match verdict {
            Verdict::Stop | Verdict::RetryAfter(Duration::MAX) => {
                return Decision::Stop(StopReason::NotRetryable);
            }
            Verdict::OpenCircuit(until) if !self.retry_open || until == Duration::MAX => {
                return Decision::Stop(StopReason::OpenCircuit);
            }
            Verdict::Retry => Duration::ZERO,
            Verdict::RetryAfter(floor) | Verdict::OpenCircuit(floor) => floor,
        };
        let Some(drawn) = self.backoff.next() else {
            return Decision::Stop(StopReason::Exhausted);
        };
        let wait = drawn.max(floor);
        if self.time_left(elapsed).is_some_and(|left| wait >= left) {
            return Decision::Stop(StopReason::Deadline);
        }
        self.total_delay = self.total_delay.saturating_add(wait);
        Decision::Wait(wait)
    }

    /// Attempts that were decided about.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The sum of all waits so far.
    pub fn total_delay(&self) -> Duration {
        self.total_delay
    }

    /// How much of the deadline is left, `elapsed` after the first attempt began; `None` without one.
    pub fn time_left(&self, elapsed: Duration) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(elapsed.max(self.total_delay)))
    }

    /// The error of a call that gives up now.
    pub fn error<E>(&self, reason: StopReason, error: E) -> RetryError<E> {
        RetryError { attempts: self.attempts, total_delay: self.total_delay, reason, error }
    }

    /// Takes back a wait that was decided on, and will not be waited.
    pub(super) fn forgo(&mut self, wait: Duration) {
        self.total_delay = self.total_delay.saturating_sub(wait);
    }
}
