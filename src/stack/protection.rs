//! The composition.

use std::future::Future;
use std::thread;
use std::time::Duration;

use super::error::ProtectionError;
use super::guard::Judged;
use super::layer::{AsyncLayer, Chain, Layer};
use crate::breaker::{CircuitBreaker, Outcome};
use crate::limit::Limiter;
use crate::retry::Retry;

/// A call's protection: its layers in their order, each type known, so that nothing is boxed or looked up.
///
/// By default the retry is outermost, then the limiter (each attempt pays a permit), then the breaker;
/// [`outermost`](Self::outermost) begins one in any other order.
///
/// ```
/// use fusewire::{CircuitBreaker, Protection, ProtectionError, RateLimiter, Retry, RetryConfig};
/// use std::time::Duration;
///
/// let protection = Protection::builder()
///     .retry(Retry::new(RetryConfig::new().max_attempts(3).base_delay(Duration::from_millis(1)))?)
///     .limiter(RateLimiter::builder("api").max_requests(100).window(Duration::from_secs(60)).build()?)
///     .breaker(CircuitBreaker::builder("external_api").failure_threshold(5).build()?)
///     .build();
///
/// let mut calls = 0;
/// let reply = protection.call(|| {
///     calls += 1;
///     if calls < 3 { Err("timed out") } else { Ok("filled") }
/// });
/// assert_eq!(reply, Ok("filled"));
///
/// match protection.call(|| Err::<(), _>("timed out")) {
///     Err(error) if error.refused_by().is_some() => println!("come back in {:?}", error.retry_after()),
///     Err(error) => println!("{error}"),
///     Ok(()) => {}
/// }
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Protection<L> {
    layers: L,
}

/// Collects the layers of a [`Protection`] in the default order, whatever the order they come in. A layer
/// that is not given does nothing.
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ProtectionBuilder<R = (), L = (), B = ()> {
    retry: R,
    limiter: L,
    breaker: B,
}

impl Protection<()> {
    /// Begins a protection in the default order: retry, limiter, breaker.
    pub fn builder() -> ProtectionBuilder {
        ProtectionBuilder { retry: (), limiter: (), breaker: () }
    }

    /// Begins a protection with its outermost layer; [`then`](Protection::then) adds the next one inside.
    ///
    /// ```
    /// use fusewire::{CircuitBreaker, Limiter, Protection, RateLimiter};
    ///
    /// let breaker = CircuitBreaker::builder("venue").build()?;
    /// let orders = RateLimiter::builder("orders").max_requests(50).build()?;
    /// // An open circuit costs no permit.
    /// let protection = Protection::outermost(breaker.clone()).then(orders.clone());
    /// breaker.force_open();
    /// assert!(protection.call(|| Ok::<(), ()>(())).is_err());
    /// assert_eq!(orders.remaining(), 50);
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    pub fn outermost<L>(layer: L) -> Protection<L> {
        Protection { layers: layer }
    }
}

impl<R, L, B> ProtectionBuilder<R, L, B> {
    /// The retry. Its rules see [`ProtectionError`]s.
    pub fn retry<J, V, O, M>(self, retry: Retry<J, V, O, M>) -> ProtectionBuilder<Retry<J, V, O, M>, L, B> {
        ProtectionBuilder { retry, limiter: self.limiter, breaker: self.breaker }
    }

    /// The limiter.
    pub fn limiter<N: Limiter>(self, limiter: N) -> ProtectionBuilder<R, N, B> {
        ProtectionBuilder { retry: self.retry, limiter, breaker: self.breaker }
    }

    /// The breaker: `Ok` is a success, an error of the service a failure.
    pub fn breaker(self, breaker: CircuitBreaker) -> ProtectionBuilder<R, L, CircuitBreaker> {
        ProtectionBuilder { retry: self.retry, limiter: self.limiter, breaker }
    }

    /// The breaker, with a classifier that says what each result of the service means, as
    /// [`CircuitBreaker::with_classifier`] has it. It is not asked about refusals of other layers.
    pub fn breaker_judging<T, E, C>(
        self,
        breaker: CircuitBreaker,
        classify: C,
    ) -> ProtectionBuilder<R, L, Judged<C>>
    where
        C: Fn(Result<&T, &E>) -> Outcome,
    {
        let breaker = Judged { breaker, classify };
        ProtectionBuilder { retry: self.retry, limiter: self.limiter, breaker }
    }

    /// The protection: retry outermost, then limiter, then breaker.
    pub fn build(self) -> Protection<Chain<R, Chain<L, B>>> {
        let inner = Chain { outer: self.limiter, inner: self.breaker };
        Protection { layers: Chain { outer: self.retry, inner } }
    }
}

impl<L> Protection<L> {
    /// Adds a layer inside all the others.
    pub fn then<N>(self, layer: N) -> Protection<Chain<L, N>> {
        Protection { layers: Chain { outer: self.layers, inner: layer } }
    }

    /// Makes a call under this protection. A retry sleeps on this thread between attempts.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`]: the service's error or a layer's refusal.
    #[inline]
    pub fn call<T, E>(&self, op: impl FnMut() -> Result<T, E>) -> Result<T, ProtectionError<E>>
    where
        L: Layer<T, E>,
    {
        self.call_with(thread::sleep, op)
    }

    /// [`call`](Self::call) with a sleep of the caller's.
    ///
    /// # Errors
    ///
    /// As `call`.
    #[inline]
    pub fn call_with<T, E>(
        &self,
        sleep: impl Fn(Duration),
        mut op: impl FnMut() -> Result<T, E>,
    ) -> Result<T, ProtectionError<E>>
    where
        L: Layer<T, E>,
    {
        self.layers.call(&sleep, || op().map_err(ProtectionError::Service))
    }

    /// Makes an asynchronous call under this protection, with tokio's timer between attempts. Nothing runs,
    /// and no permit is taken, before the first poll.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    #[cfg(feature = "tokio")]
    pub async fn call_async<T, E, F>(&self, op: impl Fn() -> F) -> Result<T, ProtectionError<E>>
    where
        L: AsyncLayer<T, E>,
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_with(tokio::time::sleep, op).await
    }

    /// Makes an asynchronous call under this protection, with a timer of the caller's; no runtime is needed.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_async_with<T, E, F, S>(
        &self,
        sleep: impl Fn(Duration) -> S,
        op: impl Fn() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        L: AsyncLayer<T, E>,
        F: Future<Output = Result<T, E>>,
        S: Future<Output = ()>,
    {
        self.layers.call_async(&sleep, || async { op().await.map_err(ProtectionError::Service) }).await
    }
}
