//! The one error of a protected call.

use std::fmt;
use std::time::Duration;

use crate::error::{CircuitOpenError, RateLimitExceeded, Retryable};
use crate::retry::{RetryError, StopReason};

/// Which layer kept a call from the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusedBy {
    /// A rate limiter.
    Limiter,
    /// A circuit breaker.
    Breaker,
}

/// What came of a protected call that did not succeed: the service's own error, or the refusal of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtectionError<E> {
    /// The limiter had no permit; the call did not run.
    RateLimited(RateLimitExceeded),
    /// The circuit was open; the call did not run.
    Open(CircuitOpenError),
    /// The call ran and gave this error. The retry passes it on as it is when it is one that no other
    /// attempt would help, and the first.
    Service(E),
    /// The retry gave up; what the last attempt came to is in it.
    GaveUp {
        /// The retry's end, with what the last attempt came to.
        ended: Box<RetryError<ProtectionError<E>>>,
        /// Attempts that reached the service; the others were refused.
        reached: u32,
    },
}

impl<E> ProtectionError<E> {
    /// What the last attempt came to, past any retry.
    pub fn last(&self) -> &Self {
        let mut error = self;
        while let Self::GaveUp { ended, .. } = error {
            error = &ended.error;
        }
        error
    }

    /// Which layer kept the last attempt from the service; `None` if it ran.
    pub fn refused_by(&self) -> Option<RefusedBy> {
        match self.last() {
            Self::RateLimited(_) => Some(RefusedBy::Limiter),
            Self::Open(_) => Some(RefusedBy::Breaker),
            Self::Service(_) | Self::GaveUp { .. } => None,
        }
    }

    /// How long until a call may pass the layer that refused; [`Duration::MAX`] where waiting will not help.
    /// `None` if the service was reached: it says nothing about that.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.last() {
            Self::RateLimited(refused) => Some(refused.retry_after),
            Self::Open(open) => Some(open.time_until_retry),
            Self::Service(_) | Self::GaveUp { .. } => None,
        }
    }

    /// The service's own error, if the last attempt reached it.
    pub fn service(&self) -> Option<&E> {
        match self.last() {
            Self::Service(error) => Some(error),
            _ => None,
        }
    }

    /// The service's own error, if the last attempt reached it.
    pub fn into_service(self) -> Option<E> {
        let mut error = self;
        loop {
            error = match error {
                Self::GaveUp { ended, .. } => ended.error,
                Self::Service(error) => return Some(error),
                Self::RateLimited(_) | Self::Open(_) => return None,
            };
        }
    }

    /// Attempts of the outermost retry, if one gave up; else 1. A refused attempt counts.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::GaveUp { ended, .. } => ended.attempts,
            _ => 1,
        }
    }

    /// Attempts that reached the service, and failed there: zero means that nothing was sent.
    pub fn reached(&self) -> u32 {
        match self {
            Self::GaveUp { reached, .. } => *reached,
            Self::Service(_) => 1,
            Self::RateLimited(_) | Self::Open(_) => 0,
        }
    }

    /// What a retry makes of its end: what was not to be retried goes on unchanged. Not so after a retry, or a
    /// refusal of the last attempt would hide that an earlier one ran.
    pub(super) fn after_retry(ended: RetryError<Self>, reached: u32) -> Self {
        match ended.reason {
            StopReason::NotRetryable | StopReason::OpenCircuit if ended.attempts == 1 => ended.error,
            _ => Self::GaveUp { ended: Box::new(ended), reached },
        }
    }
}

/// A layer's refusal is retried as its `retry_after` says, an open circuit only if the retry was told so; the
/// service's error as it says itself; what a retry gave up on is not retried by another.
impl<E: Retryable> Retryable for ProtectionError<E> {
    fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited(refused) => refused.is_retryable(),
            Self::Open(open) => open.is_retryable(),
            Self::Service(error) => error.is_retryable(),
            Self::GaveUp { .. } => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(refused) => Retryable::retry_after(refused),
            Self::Open(open) => Retryable::retry_after(open),
            Self::Service(error) => error.retry_after(),
            Self::GaveUp { ended, .. } => Retryable::retry_after(&ended.error),
        }
    }

    fn is_open_circuit(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Service(error) => error.is_open_circuit(),
            Self::RateLimited(_) | Self::GaveUp { .. } => false,
        }
    }
}

impl<E: fmt::Display> fmt::Display for ProtectionError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateLimited(refused) => refused.fmt(f),
            Self::Open(open) => open.fmt(f),
            Self::Service(error) => error.fmt(f),
            Self::GaveUp { ended, .. } => write!(f, "{ended}: {}", ended.error),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ProtectionError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // `Display` already shows the service's error, so the chain goes on below it.
        self.service().and_then(std::error::Error::source)
    }
}

impl<E> From<RateLimitExceeded> for ProtectionError<E> {
    fn from(refused: RateLimitExceeded) -> Self {
        Self::RateLimited(refused)
    }
}

impl<E> From<CircuitOpenError> for ProtectionError<E> {
    fn from(open: CircuitOpenError) -> Self {
        Self::Open(open)
    }
}
