//! Guarded calls: closures and futures, with and without a classifier.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::CircuitBreaker;
use super::core::{Asked, Core, Now, OwnTime};
use super::permit::abandon;
use super::token::{Answer, Outcome, Token};
use crate::error::{CallError, CircuitOpenError, Rejected};

/// Every `Ok` is a success, every `Err` a failure.
#[inline(always)]
fn by_result<T, E>(result: Result<&T, &E>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { Outcome::Failure }
}

impl CircuitBreaker {
    #[cold]
    #[inline(never)]
    fn open_error(&self, refusal: Answer) -> CircuitOpenError {
        let Rejected { reason, retry_after } = refusal.rejected();
        CircuitOpenError { name: self.core.name.clone(), reason, time_until_retry: retry_after }
    }

    /// Runs `f` if the circuit lets it: `Ok` is a success, `Err` a failure. A panic counts as a failure
    /// and goes on.
    ///
    /// ```
    /// use fusewire::{CallError, CircuitBreaker};
    ///
    /// let breaker = CircuitBreaker::builder("payment_api").failure_threshold(1).build()?;
    /// let refused: Result<(), _> = breaker.call(|| Err("connection refused"));
    /// assert_eq!(refused, Err(CallError::Inner("connection refused")));
    /// let next: Result<(), CallError<&str>> = breaker.call(|| unreachable!("the circuit is open"));
    /// assert!(next.unwrap_err().is_open());
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::Open`] when the call was refused and did not run; [`CallError::Inner`] with the
    /// error of `f`.
    #[inline(always)]
    pub fn call<T, E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        self.call_classified(f, &by_result, OwnTime)
    }

    /// [`call`](Self::call) with the caller's time: `now` is asked when the call begins and when it
    /// ends, if the rules need it.
    ///
    /// # Errors
    ///
    /// As `call`.
    #[inline(always)]
    pub fn call_at<T, E>(
        &self,
        now: impl Fn() -> u64,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_classified(f, &by_result, Asked(&now))
    }

    /// Runs the future that `f` makes, if the circuit lets it. Nothing runs, and no place is taken,
    /// before the first poll; no runtime is needed. A future that is dropped before it is done counts
    /// as cancelled, one that panics as a failure.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_async<T, E, F>(&self, f: impl FnOnce() -> F) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_classified(f, &by_result, OwnTime).await
    }

    /// [`call_async`](Self::call_async) with the caller's time, asked as in [`call_at`](Self::call_at).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_async_at<T, E, F>(
        &self,
        now: impl Fn() -> u64,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_classified(f, &by_result, Asked(&now)).await
    }

    /// Guards calls with `classify`, which says what each result means for the service: a predicate on
    /// the error, on the value, or on both.
    ///
    /// A classifier that panics counts the call as a failure; the breaker stays usable.
    ///
    /// ```
    /// use fusewire::{CircuitBreaker, Outcome};
    ///
    /// enum Reply { Filled, Busy }
    /// #[derive(Debug)]
    /// enum VenueError { UnknownSymbol, Timeout }
    ///
    /// let breaker = CircuitBreaker::builder("venue").build()?;
    /// let guarded = breaker.with_classifier(|result: Result<&Reply, &VenueError>| match result {
    ///     Ok(Reply::Filled) => Outcome::Success,
    ///     Ok(Reply::Busy) | Err(VenueError::Timeout) => Outcome::Failure,
    ///     Err(VenueError::UnknownSymbol) => Outcome::Ignored, // our own fault
    /// });
    /// let _ = guarded.call(|| Ok(Reply::Busy));
    /// let _ = guarded.call(|| Err(VenueError::UnknownSymbol));
    /// assert_eq!((breaker.totals().failure, breaker.totals().ignored), (1, 1));
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    pub fn with_classifier<T, E, C>(&self, classify: C) -> Classified<'_, T, E, C>
    where
        C: Fn(Result<&T, &E>) -> Outcome,
    {
        Classified { breaker: self, classify, types: PhantomData }
    }

    #[inline(always)]
    fn call_classified<T, E>(
        &self,
        f: impl FnOnce() -> Result<T, E>,
        classify: &impl Fn(Result<&T, &E>) -> Outcome,
        now: impl Now,
    ) -> Result<T, CallError<E>> {
        let call = self.begin(now)?;
        let result = f();
        call.end(classify(result.as_ref()));
        result.map_err(CallError::Inner)
    }

    async fn call_async_classified<T, E, F>(
        &self,
        f: impl FnOnce() -> F,
        classify: &impl Fn(Result<&T, &E>) -> Outcome,
        now: impl Now,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let call = self.begin(now)?;
        let result = f().await;
        call.end(classify(result.as_ref()));
        result.map_err(CallError::Inner)
    }

    #[inline(always)]
    fn begin<N: Now>(&self, now: N) -> Result<Underway<'_, N>, CircuitOpenError> {
        match self.core.admit_with(now) {
            Ok(token) => Ok(Underway { core: &self.core, token, now }),
            Err(refusal) => Err(self.open_error(refusal)),
        }
    }
}

/// A guarded call that is running. Unlike a permit it keeps the caller's time, so that a panic or a
/// drop in mid-flight is recorded on the clock that the call began by.
struct Underway<'a, N: Now> {
    core: &'a Core,
    token: Token,
    now: N,
}

impl<N: Now> Underway<'_, N> {
    #[inline(always)]
    fn end(self, outcome: Outcome) {
        let this = ManuallyDrop::new(self);
        this.core.record_with(this.token, outcome, this.now);
    }
}

impl<N: Now> Drop for Underway<'_, N> {
    #[inline(always)]
    fn drop(&mut self) {
        abandon(self.core, self.token, self.now);
    }
}

/// A breaker with a classifier; see [`CircuitBreaker::with_classifier`].
pub struct Classified<'a, T, E, C> {
    breaker: &'a CircuitBreaker,
    classify: C,
    types: PhantomData<fn(&T, &E)>,
}

impl<T, E, C: Fn(Result<&T, &E>) -> Outcome> Classified<'_, T, E, C> {
    /// [`CircuitBreaker::call`], with the result judged by the classifier.
    ///
    /// # Errors
    ///
    /// As [`CircuitBreaker::call`].
    pub fn call(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        self.breaker.call_classified(f, &self.classify, OwnTime)
    }

    /// [`call`](Self::call) with the caller's time; see [`CircuitBreaker::call_at`].
    ///
    /// # Errors
    ///
    /// As [`CircuitBreaker::call`].
    pub fn call_at(
        &self,
        now: impl Fn() -> u64,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.breaker.call_classified(f, &self.classify, Asked(&now))
    }

    /// [`CircuitBreaker::call_async`], with the result judged by the classifier.
    ///
    /// # Errors
    ///
    /// As [`CircuitBreaker::call`].
    pub async fn call_async<F>(&self, f: impl FnOnce() -> F) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.breaker.call_async_classified(f, &self.classify, OwnTime).await
    }

    /// [`call_async`](Self::call_async) with the caller's time; see [`CircuitBreaker::call_at`].
    ///
    /// # Errors
    ///
    /// As [`CircuitBreaker::call`].
    pub async fn call_async_at<F>(
        &self,
        now: impl Fn() -> u64,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.breaker.call_async_classified(f, &self.classify, Asked(&now)).await
    }
}

impl<T, E, C> fmt::Debug for Classified<'_, T, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classified").field("breaker", &self.breaker.name()).finish_non_exhaustive()
    }
}
