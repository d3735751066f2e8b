//! What a layer does with the call inside it.

use std::future::Future;
use std::time::Duration;

use super::error::ProtectionError;
use crate::limit::Limiter;
use crate::retry::Retry;
use crate::retry::rules::{ErrorRule, TimeLimit, Untimed, ValueRule, Watch};

/// A layer around calls that give `T` or fail with `E`: a [`Retry`], any [`Limiter`], a
/// [`CircuitBreaker`](crate::CircuitBreaker), a breaker with a classifier ([`Judged`](super::Judged)), the
/// [`Chain`] of two layers, or `()`, which does nothing.
pub trait Layer<T, E> {
    /// Runs `op`, as often as the layer thinks fit, with `sleep` to wait between.
    ///
    /// # Errors
    ///
    /// What `op` failed with in the end, or the layer's own refusal.
    fn call(
        &self,
        sleep: &impl Fn(Duration),
        op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>>;
}

/// A [`Layer`] around futures. Nothing runs before the first poll, and a future that is dropped ends the call
/// as each layer takes it: a breaker as cancelled, a limiter's permit as spent.
pub trait AsyncLayer<T, E> {
    /// Runs the futures of `op`, as often as the layer thinks fit, with `sleep` to wait between.
    ///
    /// # Errors
    ///
    /// What `op` failed with in the end, or the layer's own refusal.
    fn call_async<F, S>(
        &self,
        sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> impl Future<Output = Result<T, ProtectionError<E>>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>;
}

/// One layer around another.
#[derive(Clone, Copy, Debug)]
pub struct Chain<A, B> {
    pub(super) outer: A,
    pub(super) inner: B,
}

impl<T, E, A: Layer<T, E>, B: Layer<T, E>> Layer<T, E> for Chain<A, B> {
    #[inline]
    fn call(
        &self,
        sleep: &impl Fn(Duration),
        mut op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>> {
        self.outer.call(sleep, || self.inner.call(sleep, &mut op))
    }
}

impl<T, E, A: AsyncLayer<T, E>, B: AsyncLayer<T, E>> AsyncLayer<T, E> for Chain<A, B> {
    async fn call_async<F, S>(
        &self,
        sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>,
    {
        self.outer.call_async(sleep, || self.inner.call_async(sleep, &op)).await
    }
}

impl<T, E> Layer<T, E> for () {
    #[inline(always)]
    fn call(
        &self,
        _sleep: &impl Fn(Duration),
        mut op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>> {
        op()
    }
}

impl<T, E> AsyncLayer<T, E> for () {
    async fn call_async<F, S>(
        &self,
        _sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>,
    {
        op().await
    }
}

impl<T, E, L: Limiter> Layer<T, E> for L {
    #[inline]
    fn call(
        &self,
        _sleep: &impl Fn(Duration),
        mut op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>> {
        self.try_acquire()?;
        op()
    }
}

impl<T, E, L: Limiter> AsyncLayer<T, E> for L {
    async fn call_async<F, S>(
        &self,
        _sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>,
    {
        self.try_acquire()?;
        op().await
    }
}

impl<T, E, J, V, O> Layer<T, E> for Retry<J, V, O, Untimed>
where
    J: ErrorRule<ProtectionError<E>>,
    V: ValueRule<T>,
    O: Watch<ProtectionError<E>>,
{
    #[inline]
    fn call(
        &self,
        sleep: &impl Fn(Duration),
        op: impl FnMut() -> Result<T, ProtectionError<E>>,
    ) -> Result<T, ProtectionError<E>> {
        self.call_with(sleep, op).map_err(ProtectionError::after_retry)
    }
}

impl<T, E, J, V, O, M> AsyncLayer<T, E> for Retry<J, V, O, M>
where
    J: ErrorRule<ProtectionError<E>>,
    V: ValueRule<T>,
    O: Watch<ProtectionError<E>>,
    M: TimeLimit<ProtectionError<E>>,
{
    async fn call_async<F, S>(
        &self,
        sleep: &impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        F: Future<Output = Result<T, ProtectionError<E>>>,
        S: Future<Output = ()>,
    {
        self.call_async_with(sleep, op).await.map_err(ProtectionError::after_retry)
    }
}
