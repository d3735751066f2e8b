//! The composition.

use std::future::Future;
use std::time::Duration;

use super::error::ProtectionError;
use super::gate::{Chain, Gate, Judged};
use crate::breaker::{CircuitBreaker, Outcome};
use crate::limit::Limiter;
use crate::retry::rules::{ErrorRule, TimeLimit, Untimed, ValueRule, Watch};
use crate::retry::{self, Retry};

/// A call's protection: its layers in their order, each type known, so that nothing is boxed or looked up.
///
/// By default the retry is outermost, then the limiter (each attempt pays a permit), then the breaker;
/// [`in_order`](Self::in_order) begins one in any other order. To name the type, as for a field, name its
/// layers: with all three by default it is `Protection<(), Retry, Chain<RateLimiter, CircuitBreaker>>`, with
/// [`Chain`](super::Chain).
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
pub struct Protection<O = (), R = NoRetry, I = ()> {
    /// Passed once a call.
    outer: O,
    retry: R,
    /// Passed by each attempt.
    inner: I,
}

/// Each call is attempted once.
#[derive(Clone, Copy, Debug)]
pub struct NoRetry;

/// Collects the layers of a [`Protection`] in the default order, whatever the order they come in. A layer
/// that is not given does nothing.
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ProtectionBuilder<R = NoRetry, L = (), B = ()> {
    retry: R,
    limiter: L,
    breaker: B,
}

impl<R, L, B> ProtectionBuilder<R, L, B> {
    /// The retry. Its rules ([`Retry::when`] and others) see [`ProtectionError`]s, not the service's errors;
    /// it needs none if those are [`Retryable`](crate::Retryable). What the limiter refuses is retried too, no
    /// sooner than it may pass, and an open circuit only with [`Retry::retry_open`].
    pub fn retry<J, V, W, M>(self, retry: Retry<J, V, W, M>) -> ProtectionBuilder<Retry<J, V, W, M>, L, B> {
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
        let breaker = Judged::new(breaker, classify);
        ProtectionBuilder { retry: self.retry, limiter: self.limiter, breaker }
    }

    /// The protection: retry outermost, then limiter, then breaker.
    pub fn build(self) -> Protection<(), R, Chain<L, B>> {
        let inner = Chain { outer: self.limiter, inner: self.breaker };
        Protection { outer: (), retry: self.retry, inner }
    }
}

impl Protection {
    /// Begins a protection in the default order: retry, limiter, breaker.
    pub fn builder() -> ProtectionBuilder {
        ProtectionBuilder { retry: NoRetry, limiter: (), breaker: () }
    }

    /// Begins a protection whose layers stand as they are added, each inside the one before: limiters and
    /// breakers by [`then`](Self::then), a retry by [`retry`](Self::retry). It is complete at any time; there is
    /// no `build`.
    ///
    /// ```
    /// use fusewire::{CircuitBreaker, Limiter, Protection, RateLimiter};
    ///
    /// let breaker = CircuitBreaker::builder("venue").build()?;
    /// let orders = RateLimiter::builder("orders").max_requests(50).build()?;
    /// // An open circuit costs no permit.
    /// let protection = Protection::in_order().then(breaker.clone()).then(orders.clone());
    /// breaker.force_open();
    /// assert!(protection.call(|| Ok::<(), ()>(())).is_err());
    /// assert_eq!(orders.remaining(), 50);
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    pub fn in_order() -> Self {
        Self { outer: (), retry: NoRetry, inner: () }
    }
}

impl<O> Protection<O> {
    /// Adds a limiter or a breaker inside the layers so far: a [`Limiter`], a [`CircuitBreaker`], or one that
    /// is [`Judged`]. A retry is not added by this but by `retry`.
    #[must_use = "the layer is added to what is returned"]
    pub fn then<N>(self, gate: N) -> Protection<Chain<O, N>> {
        Protection { outer: Chain { outer: self.outer, inner: gate }, retry: NoRetry, inner: () }
    }

    /// Adds the retry: the layers so far are passed once a call, those that follow once an attempt.
    #[must_use = "the layer is added to what is returned"]
    pub fn retry<J, V, W, M>(self, retry: Retry<J, V, W, M>) -> Protection<O, Retry<J, V, W, M>> {
        Protection { outer: self.outer, retry, inner: () }
    }
}

impl<O, J, V, W, M, I> Protection<O, Retry<J, V, W, M>, I> {
    /// Adds a limiter or a breaker inside the layers so far: a [`Limiter`], a [`CircuitBreaker`], or one that
    /// is [`Judged`]. A retry is not added by this but by `retry`.
    #[must_use = "the layer is added to what is returned"]
    pub fn then<N>(self, gate: N) -> Protection<O, Retry<J, V, W, M>, Chain<I, N>> {
        Protection { outer: self.outer, retry: self.retry, inner: Chain { outer: self.inner, inner: gate } }
    }
}

/// Runs `op` behind a gate.
#[inline]
fn behind<T, E>(
    gate: &impl Gate<T, E>,
    op: impl FnOnce() -> Result<T, ProtectionError<E>>,
) -> Result<T, ProtectionError<E>> {
    let pass = gate.enter()?;
    let result = op();
    gate.leave(pass, result.as_ref());
    result
}

/// Runs a future behind a gate. It is made once the gate is passed.
async fn behind_async<T, E, F>(
    gate: &impl Gate<T, E>,
    op: impl FnOnce() -> F,
) -> Result<T, ProtectionError<E>>
where
    F: Future<Output = Result<T, ProtectionError<E>>>,
{
    let pass = gate.enter()?;
    let result = op().await;
    gate.leave(pass, result.as_ref());
    result
}

/// An attempt's result as the layers see it.
async fn of_service<T, E>(attempt: impl Future<Output = Result<T, E>>) -> Result<T, ProtectionError<E>> {
    attempt.await.map_err(ProtectionError::Service)
}

impl<O, I> Protection<O, NoRetry, I> {
    /// Makes a call under this protection.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`]: the service's error or a layer's refusal.
    #[inline]
    pub fn call<T, E>(&self, op: impl FnOnce() -> Result<T, E>) -> Result<T, ProtectionError<E>>
    where
        O: Gate<T, E>,
        I: Gate<T, E>,
    {
        behind(&self.outer, || behind(&self.inner, || op().map_err(ProtectionError::Service)))
    }

    /// Makes an asynchronous call under this protection; no runtime is needed. Nothing runs, and no permit
    /// is taken, before the first poll. Dropped before it is done, the call counts as cancelled.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_async<T, E, F>(&self, op: impl FnOnce() -> F) -> Result<T, ProtectionError<E>>
    where
        O: Gate<T, E>,
        I: Gate<T, E>,
        F: Future<Output = Result<T, E>>,
    {
        behind_async(&self.outer, || behind_async(&self.inner, || of_service(op()))).await
    }
}

impl<O, J, V, W, I> Protection<O, Retry<J, V, W, Untimed>, I> {
    /// Makes a call under this protection. The retry sleeps on this thread between attempts.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`]: the service's error or a layer's refusal.
    #[inline]
    pub fn call<T, E>(&self, op: impl FnMut() -> Result<T, E>) -> Result<T, ProtectionError<E>>
    where
        O: Gate<T, E>,
        I: Gate<T, E>,
        J: ErrorRule<ProtectionError<E>>,
        V: ValueRule<T>,
        W: Watch<ProtectionError<E>>,
    {
        self.call_with(retry::sleep, op)
    }

    /// [`call`](Self::call) with a sleep of the caller's.
    ///
    /// # Errors
    ///
    /// As `call`.
    #[inline]
    pub fn call_with<T, E>(
        &self,
        sleep: impl FnMut(Duration),
        mut op: impl FnMut() -> Result<T, E>,
    ) -> Result<T, ProtectionError<E>>
    where
        O: Gate<T, E>,
        I: Gate<T, E>,
        J: ErrorRule<ProtectionError<E>>,
        V: ValueRule<T>,
        W: Watch<ProtectionError<E>>,
    {
        behind(&self.outer, || {
            let mut reached = 0;
            let attempt =
                || behind(&self.inner, || reach(&mut reached, &mut op).map_err(ProtectionError::Service));
            self.retry.call_with(sleep, attempt).map_err(|ended| ProtectionError::after_retry(ended, reached))
        })
    }
}

impl<O, J, V, W, M, I> Protection<O, Retry<J, V, W, M>, I> {
    /// Makes an asynchronous call under this protection, with tokio's timer between attempts. Nothing runs,
    /// and no permit is taken, before the first poll. Dropped before it is done, the call counts as
    /// cancelled.
    ///
    /// # Errors
    ///
    /// As [`call`](Protection::call).
    #[cfg(feature = "tokio")]
    pub async fn call_async<T, E, F>(&self, op: impl FnMut() -> F) -> Result<T, ProtectionError<E>>
    where
        O: Gate<T, E>,
        I: Gate<T, E>,
        J: ErrorRule<ProtectionError<E>>,
        V: ValueRule<T>,
        W: Watch<ProtectionError<E>>,
        M: TimeLimit<ProtectionError<E>>,
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_with(tokio::time::sleep, op).await
    }

    /// As `call_async`, with a timer of the caller's; no runtime is needed.
    ///
    /// # Errors
    ///
    /// As [`call`](Protection::call).
    pub async fn call_async_with<T, E, F, S>(
        &self,
        sleep: impl FnMut(Duration) -> S,
        mut op: impl FnMut() -> F,
    ) -> Result<T, ProtectionError<E>>
    where
        O: Gate<T, E>,
        I: Gate<T, E>,
        J: ErrorRule<ProtectionError<E>>,
        V: ValueRule<T>,
        W: Watch<ProtectionError<E>>,
        M: TimeLimit<ProtectionError<E>>,
        F: Future<Output = Result<T, E>>,
        S: Future<Output = ()>,
    {
        let all = || async {
            let mut reached = 0;
            // The gate is passed before the future is made, and both when the retry asks for an attempt.
            let attempt = || {
                let pass = self.inner.enter().map(|pass| (pass, reach(&mut reached, &mut op)));
                entered(&self.inner, pass)
            };
            let ended = self.retry.call_async_with(sleep, attempt).await;
            ended.map_err(|ended| ProtectionError::after_retry(ended, reached))
        };
        behind_async(&self.outer, all).await
    }
}

/// Makes an attempt, and counts it.
#[inline(always)]
fn reach<R>(reached: &mut u32, op: impl FnOnce() -> R) -> R {
    *reached = reached.saturating_add(1);
    op()
}

/// An attempt that was let through, or its refusal.
async fn entered<'a, T, E, G, F>(
    gate: &'a G,
    entered: Result<(G::Pass<'a>, F), ProtectionError<E>>,
) -> Result<T, ProtectionError<E>>
where
    G: Gate<T, E>,
    F: Future<Output = Result<T, E>>,
{
    let (pass, attempt) = entered?;
    let result = attempt.await.map_err(ProtectionError::Service);
    gate.leave(pass, result.as_ref());
    result
}
