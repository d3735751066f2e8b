//! What a policy asks about each attempt. These types are made by the methods of [`Retry`](crate::Retry)
//! and need not be named, but to store a policy that has rules of its own.

use std::fmt;
use std::time::Duration;

use super::plan::Verdict;
use crate::error::Retryable;

/// A failed attempt that will be followed by another; see [`Retry::on_retry`](crate::Retry::on_retry).
#[derive(Debug)]
#[non_exhaustive]
pub struct RetryAttempt<'a, E> {
    /// Which attempt failed, counted from one.
    pub attempt: u32,
    /// How long it will be until the next one.
    pub delay: Duration,
    /// The sum of all waits of this call, the coming one included.
    pub total_delay: Duration,
    /// What it failed with; `None` when it gave a value that is not wanted.
    pub error: Option<&'a E>,
}

mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

/// Says what an error means for the next attempt.
pub trait ErrorRule<E>: Sealed {
    #[doc(hidden)]
    fn verdict(&self, error: &E) -> Verdict;
}

/// Says whether a value is wanted.
pub trait ValueRule<T>: Sealed {
    #[doc(hidden)]
    fn accepts(&self, value: &T) -> bool;
}

/// Is told of each retry.
pub trait Watch<E>: Sealed {
    #[doc(hidden)]
    fn retrying(&self, attempt: &RetryAttempt<'_, E>);
}

/// Says how long an attempt may take.
pub trait TimeLimit<E>: Sealed {
    #[doc(hidden)]
    type MakeError: Fn(Duration) -> E;
    #[doc(hidden)]
    fn limit(&self) -> Option<(Duration, &Self::MakeError)>;
}

/// The error says so itself: [`Verdict::of`]. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByTrait;

impl Sealed for ByTrait {}

impl<E: Retryable> ErrorRule<E> for ByTrait {
    fn verdict(&self, error: &E) -> Verdict {
        Verdict::of(error)
    }
}

/// A predicate on the error; see [`Retry::when`](crate::Retry::when).
#[derive(Clone, Copy)]
pub struct When<F>(pub(super) F);

impl<F> Sealed for When<F> {}

impl<E, R: Into<Verdict>, F: Fn(&E) -> R> ErrorRule<E> for When<F> {
    fn verdict(&self, error: &E) -> Verdict {
        (self.0)(error).into()
    }
}

/// The least wait, taken from the error; see [`Retry::retry_after`](crate::Retry::retry_after).
#[derive(Clone, Copy)]
pub struct After<J, F> {
    pub(super) rule: J,
    pub(super) after: F,
}

impl<J, F> Sealed for After<J, F> {}

impl<E, J: ErrorRule<E>, F: Fn(&E) -> Option<Duration>> ErrorRule<E> for After<J, F> {
    fn verdict(&self, error: &E) -> Verdict {
        match self.rule.verdict(error) {
            Verdict::Retry | Verdict::RetryAfter(_) => {
                (self.after)(error).map_or(Verdict::Retry, Verdict::RetryAfter)
            }
            other => other,
        }
    }
}

/// Every value is wanted. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyValue;

impl Sealed for AnyValue {}

impl<T> ValueRule<T> for AnyValue {
    #[inline(always)]
    fn accepts(&self, _: &T) -> bool {
        true
    }
}

/// A predicate on the value; see [`Retry::retry_if_value`](crate::Retry::retry_if_value).
#[derive(Clone, Copy)]
pub struct UnlessValue<F>(pub(super) F);

impl<F> Sealed for UnlessValue<F> {}

impl<T, F: Fn(&T) -> bool> ValueRule<T> for UnlessValue<F> {
    #[inline]
    fn accepts(&self, value: &T) -> bool {
        !(self.0)(value)
    }
}

/// Nobody is told. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Sealed for Silent {}

impl<E> Watch<E> for Silent {
    fn retrying(&self, _: &RetryAttempt<'_, E>) {}
}

/// A listener; see [`Retry::on_retry`](crate::Retry::on_retry).
#[derive(Clone, Copy)]
pub struct OnRetry<F>(pub(super) F);

impl<F> Sealed for OnRetry<F> {}

impl<E, F: Fn(&RetryAttempt<'_, E>)> Watch<E> for OnRetry<F> {
    fn retrying(&self, attempt: &RetryAttempt<'_, E>) {
        (self.0)(attempt);
    }
}

/// An attempt may take as long as it likes. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untimed;

impl Sealed for Untimed {}

impl<E> TimeLimit<E> for Untimed {
    type MakeError = fn(Duration) -> E;

    fn limit(&self) -> Option<(Duration, &Self::MakeError)> {
        None
    }
}

/// A limit on each attempt; see [`Retry::attempt_timeout`](crate::Retry::attempt_timeout).
#[derive(Clone, Copy)]
pub struct Timed<F> {
    pub(super) limit: Duration,
    pub(super) error: F,
}

impl<F> Sealed for Timed<F> {}

impl<E, F: Fn(Duration) -> E> TimeLimit<E> for Timed<F> {
    type MakeError = F;

    fn limit(&self) -> Option<(Duration, &F)> {
        Some((self.limit, &self.error))
    }
}

macro_rules! opaque_debug {
    ($($name:ident<$($parameter:ident),+>),+ $(,)?) => {
        $(impl<$($parameter),+> fmt::Debug for $name<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}

opaque_debug!(When<F>, After<J, F>, UnlessValue<F>, OnRetry<F>, Timed<F>);
