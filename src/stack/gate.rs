//! What stands before a call: a limiter, a breaker, or several of them in their order.

use std::fmt;

use super::error::ProtectionError;
use crate::breaker::{CircuitBreaker, Outcome, Permit};
use crate::error::CircuitOpenError;
use crate::limit::Limiter;

/// What an attempt must pass, for calls that give `T` or fail with `E`: any [`Limiter`], a
/// [`CircuitBreaker`], a breaker with a classifier ([`Judged`]), the [`Chain`] of two gates, or `()`, which
/// lets everything pass.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no gate: neither a limiter, a breaker nor a chain of those",
    note = "a retry is added with `Protection::retry`, a breaker with a classifier as `Judged`"
)]
pub trait Gate<T, E> {
    /// What an attempt holds that passed. Dropped before it is given back, it means an attempt that was
    /// cancelled or panicked.
    type Pass<'a>
    where
        Self: 'a;

    /// Lets an attempt pass.
    ///
    /// # Errors
    ///
    /// The gate's refusal.
    fn enter(&self) -> Result<Self::Pass<'_>, ProtectionError<E>>;

    /// Takes a pass back, with what the attempt came to.
    fn leave(&self, pass: Self::Pass<'_>, result: Result<&T, &ProtectionError<E>>);
}

/// One gate, and behind it another.
#[derive(Clone, Copy, Debug)]
pub struct Chain<A, B> {
    pub(super) outer: A,
    pub(super) inner: B,
}

impl<T, E, A: Gate<T, E>, B: Gate<T, E>> Gate<T, E> for Chain<A, B> {
    type Pass<'a>
        = (A::Pass<'a>, B::Pass<'a>)
    where
        Self: 'a;

    #[inline]
    fn enter(&self) -> Result<Self::Pass<'_>, ProtectionError<E>> {
        let outer = self.outer.enter()?;
        match self.inner.enter() {
            Ok(inner) => Ok((outer, inner)),
            Err(refused) => {
                self.outer.leave(outer, Err(&refused));
                Err(refused)
            }
        }
    }

    #[inline]
    fn leave(&self, (outer, inner): Self::Pass<'_>, result: Result<&T, &ProtectionError<E>>) {
        self.inner.leave(inner, result);
        self.outer.leave(outer, result);
    }
}

impl<T, E> Gate<T, E> for () {
    type Pass<'a> = ();

    #[inline(always)]
    fn enter(&self) -> Result<(), ProtectionError<E>> {
        Ok(())
    }

    #[inline(always)]
    fn leave(&self, _pass: (), _result: Result<&T, &ProtectionError<E>>) {}
}

impl<T, E, L: Limiter> Gate<T, E> for L {
    type Pass<'a>
        = ()
    where
        L: 'a;

    #[inline]
    fn enter(&self) -> Result<(), ProtectionError<E>> {
        Ok(self.try_acquire()?)
    }

    #[inline(always)]
    fn leave(&self, _pass: (), _result: Result<&T, &ProtectionError<E>>) {}
}

/// A breaker with a classifier that says what each result of the service means. It is not asked about
/// refusals of other layers.
#[derive(Clone)]
pub struct Judged<C> {
    breaker: CircuitBreaker,
    classify: C,
}

impl<C> Judged<C> {
    /// A breaker with its classifier; see [`CircuitBreaker::with_classifier`].
    pub fn new<T, E>(breaker: CircuitBreaker, classify: C) -> Self
    where
        C: Fn(Result<&T, &E>) -> Outcome,
    {
        Self { breaker, classify }
    }
}

impl<C> fmt::Debug for Judged<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judged").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

#[inline(always)]
fn enter<E>(breaker: &CircuitBreaker) -> Result<Permit<'_>, ProtectionError<E>> {
    breaker.try_acquire().map_err(|rejected| {
        ProtectionError::Open(CircuitOpenError {
            name: breaker.name().into(),
            reason: rejected.reason,
            time_until_retry: rejected.retry_after,
        })
    })
}

/// What a result means for the service: by `classify` if the last attempt reached it; a failure if that was
/// refused and one before it was not; else nothing.
#[inline(always)]
fn outcome<T, E>(
    result: Result<&T, &ProtectionError<E>>,
    classify: impl FnOnce(Result<&T, &E>) -> Outcome,
) -> Outcome {
    match result {
        Ok(value) => classify(Ok(value)),
        Err(error) => match error.service() {
            Some(error) => classify(Err(error)),
            None if error.reached() > 0 => Outcome::Failure,
            None => Outcome::Ignored,
        },
    }
}

impl<T, E> Gate<T, E> for CircuitBreaker {
    type Pass<'a> = Permit<'a>;

    #[inline]
    fn enter(&self) -> Result<Permit<'_>, ProtectionError<E>> {
        enter(self)
    }

    #[inline]
    fn leave(&self, pass: Permit<'_>, result: Result<&T, &ProtectionError<E>>) {
        let by_result =
            |result: Result<&T, &E>| if result.is_ok() { Outcome::Success } else { Outcome::Failure };
        pass.record(outcome(result, by_result));
    }
}

impl<T, E, C: Fn(Result<&T, &E>) -> Outcome> Gate<T, E> for Judged<C> {
    type Pass<'a>
        = Permit<'a>
    where
        C: 'a;

    #[inline]
    fn enter(&self) -> Result<Permit<'_>, ProtectionError<E>> {
        enter(&self.breaker)
    }

    #[inline]
    fn leave(&self, pass: Permit<'_>, result: Result<&T, &ProtectionError<E>>) {
        pass.record(outcome(result, &self.classify));
    }
}
