//! The breaker as a layer.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::error::ProtectionError;
use super::layer::{AsyncLayer, Layer};
use crate::breaker::{CircuitBreaker, Outcome};

/// A breaker with a classifier that says what each result means for the service; see
/// [`ProtectionBuilder::breaker_judging`](super::ProtectionBuilder::breaker_judging).
#[derive(Clone)]
pub struct Judged<C> {
    pub(super) breaker: CircuitBreaker,
    pub(super) classify: C,
}

impl<C> fmt::Debug for Judged<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judged").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

/// What a result means for the service: by `classify` if the last attempt reached it, else nothing.
fn outcome<T, E>(
    result: Result<&T, &ProtectionError<E>>,
    classify: &impl Fn(Result<&T, &E>) -> Outcome,
) -> Outcome {
    match result {
        Ok(value) => classify(Ok(value)),
        Err(error) => error.service().map_or(Outcome::Ignored, |error| classify(Err(error))),
    }
}

/// Every `Ok` is a success, every error of the service a failure.
#[inline(always)]
fn by_result<T, E>(result: Result<&T, &E>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { Outcome::Failure }
}

#[inline(always)]
fn guard<T, E>(
    breaker: &CircuitBreaker,
    classify: &impl Fn(Result<&T, &E>) -> Outcome,
    op: impl FnOnce() -> Result<T, ProtectionError<E>>,
) -> Result<T, ProtectionError<E>> {
    let judged = breaker.with_classifier(|result: Result<&T, &ProtectionError<E>>| outcome(result, classify));
    judged.call(op).map_err(ProtectionError::after_call)
}

async fn guard_async<T, E, F>(
    breaker: &CircuitBreaker,
    classify: &impl Fn(Result<&T, &E>) -> Outcome,
    op: impl FnOnce() -> F,
) -> Result<T, ProtectionError<E>>
where
    F: Future<Output = Result<T, ProtectionError<E>>>,
{
    let judged = breaker.with_classifier(|result: Result<&T, &ProtectionError<E>>| outcome(result, classify));
    judged.call_async(op).await.map_err(ProtectionError::after_call)
}

impl<T, E> Layer<T, E> for CircuitBreaker {
    #[inline]
    fn call(
        &self,
        _sleep: &impl Fn(Duration),
        op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>> {
        guard(self, &by_result, op)
    }
}

impl<T, E> AsyncLayer<T, E> for CircuitBreaker {
    async fn call_async<F, S>(
        &self,
        _sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>,
    {
        guard_async(self, &by_result, op).await
    }
}

impl<T, E, C: Fn(Result<&T, &E>) -> Outcome> Layer<T, E> for Judged<C> {
    #[inline]
    fn call(
        &self,
        _sleep: &impl Fn(Duration),
        op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>> {
        guard(&self.breaker, &self.classify, op)
    }
}

impl<T, E, C: Fn(Result<&T, &E>) -> Outcome> AsyncLayer<T, E> for Judged<C> {
    async fn call_async<F, S>(
        &self,
        _sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>,
    {
        guard_async(&self.breaker, &self.classify, op).await
    }
}
