//! The drivers: what calls, and waits. All they decide is decided in [`Course`], which does neither.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::budget::RetryBudget;
use super::config::RetryConfig;
use super::error::{RetryError, StopReason};
use super::named::Named;
use super::plan::{Decision, RetryPlan, Verdict};
use super::policy::{Retry, Rules};
use super::rules::{ErrorRule, RetryAttempt, TimeLimit, Untimed, ValueRule, Watch};
use crate::clock::Clock;
use crate::error::{ConfigError, Retryable};

/// Calls `op` until it succeeds, at most `max_attempts` times, and lets the thread sleep in between.
///
/// Errors say of themselves whether to go on; an open circuit is not retried. It counts nothing and
/// shares nothing: see [`Retry`] for a deadline, a budget, a name, predicates.
///
/// ```
/// use fusewire::{RetryConfig, retry};
/// use std::time::Duration;
///
/// let config = RetryConfig::new().base_delay(Duration::from_micros(10));
/// let mut attempts = 0;
/// let reply = retry(&config, || {
///     attempts += 1;
///     if attempts < 3 { Err("connection refused") } else { Ok("filled") }
/// });
/// assert_eq!((reply, attempts), (Ok("filled"), 3));
/// ```
///
/// # Errors
///
/// [`RetryError`] holds the last error and says why no further attempt was made.
#[inline]
pub fn retry<T, E: Retryable>(
    config: &RetryConfig,
    op: impl FnMut() -> Result<T, E>,
) -> Result<T, RetryError<E>> {
    retry_with(config, sleep, op)
}

/// [`retry`] with a sleeper of one's own: `sleep` is called with each wait, and returns when it is over.
///
/// # Errors
///
/// As `retry`.
#[inline]
pub fn retry_with<T, E: Retryable>(
    config: &RetryConfig,
    mut sleep: impl FnMut(Duration),
    mut op: impl FnMut() -> Result<T, E>,
) -> Result<T, RetryError<E>> {
    match op() {
        Ok(value) => Ok(value),
        Err(error) => retry_after_failure(config, error, &mut sleep, &mut op),
    }
}

#[cold]
#[inline(never)]
fn retry_after_failure<T, E: Retryable>(
    config: &RetryConfig,
    error: E,
    sleep: &mut impl FnMut(Duration),
    op: &mut impl FnMut() -> Result<T, E>,
) -> Result<T, RetryError<E>> {
    let rules: Rules = Rules::default();
    let plan = match RetryPlan::new(config) {
        Ok(plan) => plan,
        Err(invalid) => return Err(never_again(error, invalid)),
    };
    Course::plain(plan, &rules).run(Err(error), sleep, op)
}

/// [`retry`] for futures, with the timers of tokio. Nothing runs before the first poll; dropped, it drops
/// the attempt or the wait that it is at.
///
/// # Errors
///
/// As `retry`.
///
/// # Panics
///
/// When it has to wait outside of a tokio runtime with timers.
#[cfg(feature = "tokio")]
pub async fn retry_async<T, E, F>(config: &RetryConfig, op: impl FnMut() -> F) -> Result<T, RetryError<E>>
where
    E: Retryable,
    F: Future<Output = Result<T, E>>,
{
    retry_async_with(config, tokio::time::sleep, op).await
}

/// [`retry`] for futures, on any runtime: `sleep` makes a future of each wait. Nothing runs before the
/// first poll; dropped, it drops the attempt or the wait that it is at.
///
/// # Errors
///
/// As `retry`.
pub async fn retry_async_with<T, E, F, S>(
    config: &RetryConfig,
    mut sleep: impl FnMut(Duration) -> S,
    mut op: impl FnMut() -> F,
) -> Result<T, RetryError<E>>
where
    E: Retryable,
    F: Future<Output = Result<T, E>>,
    S: Future<Output = ()>,
{
    let error = match op().await {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let rules: Rules = Rules::default();
    let plan = match RetryPlan::new(config) {
        Ok(plan) => plan,
        Err(invalid) => return Err(never_again(error, invalid)),
    };
    Course::plain(plan, &rules).run_async(Err(error), &Untimed, &mut sleep, &mut op).await
}

fn never_again<E>(error: E, invalid: ConfigError) -> RetryError<E> {
    let reason = StopReason::InvalidConfig(Box::new(invalid));
    RetryError { attempts: 1, total_delay: Duration::ZERO, reason, error }
}

/// The only place of the library that puts the caller's thread to sleep.
pub(crate) fn sleep(wait: Duration) {
    thread::sleep(wait);
}

impl<J, V, O> Retry<J, V, O, Untimed> {
    /// Calls `op` until it succeeds or must stop, and lets the thread sleep in between.
    ///
    /// # Errors
    ///
    /// [`RetryError`] holds the last error and says why no further attempt was made.
    #[inline]
    pub fn call<T, E>(&self, op: impl FnMut() -> Result<T, E>) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
    {
        self.call_with(sleep, op)
    }

    /// [`call`](Self::call) with a sleeper of one's own: `sleep` is called with each wait, and returns when
    /// it is over.
    ///
    /// # Errors
    ///
    /// As `call`.
    #[inline]
    pub fn call_with<T, E>(
        &self,
        mut sleep: impl FnMut(Duration),
        mut op: impl FnMut() -> Result<T, E>,
    ) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
    {
        let began = self.begin();
        let underway = Underway(self.settings.named.as_deref());
        match op() {
            Ok(value) if self.rules.values.accepts(&value) => {
                underway.first_success();
                Ok(value)
            }
            first => self.after_failure(began, underway, first, &mut sleep, &mut op),
        }
    }

    #[cold]
    #[inline(never)]
    fn after_failure<T, E>(
        &self,
        began: u64,
        underway: Underway<'_>,
        first: Result<T, E>,
        sleep: &mut impl FnMut(Duration),
        op: &mut impl FnMut() -> Result<T, E>,
    ) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
    {
        self.course(began, underway).run(first, sleep, op)
    }
}

impl<J, V, O, M> Retry<J, V, O, M> {
    /// [`call`](Retry::call) for futures, with the timers of tokio. Nothing runs and nothing is counted
    /// before the first poll; dropped, it drops the attempt or the wait that it is at.
    ///
    /// # Errors
    ///
    /// As `call`.
    ///
    /// # Panics
    ///
    /// When it has to wait, or has a [time-out](Self::attempt_timeout), outside of a tokio runtime with
    /// timers.
    #[cfg(feature = "tokio")]
    pub async fn call_async<T, E, F>(&self, op: impl FnMut() -> F) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
        M: TimeLimit<E>,
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_with(tokio::time::sleep, op).await
    }

    /// [`call`](Retry::call) for futures, on any runtime: `sleep` makes a future of each wait and of each
    /// [time-out](Self::attempt_timeout). Nothing runs and nothing is counted before the first poll;
    /// dropped, it drops the attempt or the wait that it is at.
    ///
    /// # Errors
    ///
    /// As `call`.
    pub async fn call_async_with<T, E, F, S>(
        &self,
        mut sleep: impl FnMut(Duration) -> S,
        mut op: impl FnMut() -> F,
    ) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
        M: TimeLimit<E>,
        F: Future<Output = Result<T, E>>,
        S: Future<Output = ()>,
    {
        let began = self.begin();
        let underway = Underway(self.settings.named.as_deref());
        let left = self.settings.total_time();
        match attempt(&self.time_limit, left, &mut sleep, &mut op).await {
            Ok(value) if self.rules.values.accepts(&value) => {
                underway.first_success();
                Ok(value)
            }
            first => {
                let course = self.course(began, underway);
                course.run_async(first, &self.time_limit, &mut sleep, &mut op).await
            }
        }
    }

    /// Counts a call that begins; gives the time, if a deadline will ask for it.
    #[inline(always)]
    fn begin(&self) -> u64 {
        if let Some(budget) = &self.settings.budget {
            budget.deposit();
        }
        self.settings.timer().map_or(0, Clock::now)
    }

    fn course<'a>(&'a self, began: u64, underway: Underway<'a>) -> Course<'a, J, V, O> {
        Course {
            plan: self.settings.plan(),
            rules: &self.rules,
            timer: self.settings.timer(),
            began,
            budget: self.settings.budget.as_ref(),
            underway,
        }
    }
}

/// A call of a named retry that has not ended. One that is dropped with it counts as cancelled.
struct Underway<'a>(Option<&'a Named>);

impl<'a> Underway<'a> {
    fn end(mut self) -> Option<&'a Named> {
        self.0.take()
    }

    #[inline(always)]
    fn first_success(self) {
        if let Some(named) = self.end() {
            named.first_success();
        }
    }
}

impl Drop for Underway<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(named) = self.0 {
            named.cancelled();
        }
    }
}

/// A call from its first failure on. It neither calls nor waits.
struct Course<'a, J, V, O> {
    plan: RetryPlan,
    rules: &'a Rules<J, V, O>,
    /// The clock, if there is a deadline, and what it said when the first attempt began.
    timer: Option<&'a Clock>,
    began: u64,
    budget: Option<&'a RetryBudget>,
    underway: Underway<'a>,
}

impl<'a, J, V, O> Course<'a, J, V, O> {
    /// A call without anything around it.
    fn plain(plan: RetryPlan, rules: &'a Rules<J, V, O>) -> Self {
        Self { plan, rules, timer: None, began: 0, budget: None, underway: Underway(None) }
    }

    fn elapsed(&self) -> Duration {
        let nanos = self.timer.map_or(0, |clock| clock.now().saturating_sub(self.began));
        Duration::from_nanos(nanos)
    }

    fn time_left(&self) -> Option<Duration> {
        self.timer.and_then(|_| self.plan.time_left(self.elapsed()))
    }

    /// After an attempt that failed: how long to wait, or why to stop.
    fn next<T, E>(&mut self, outcome: &Result<T, E>) -> Result<Duration, StopReason>
    where
        J: ErrorRule<E>,
        O: Watch<E>,
    {
        let verdict = match outcome {
            Ok(_) => Verdict::Retry,
            Err(error) => self.rules.errors.verdict(error),
        };
        let delay = match self.plan.after(verdict, self.elapsed()) {
            Decision::Wait(delay) => delay,
            Decision::Stop(reason) => return Err(reason),
        };
        // The last to be asked: what is paid here is not given back.
        if self.budget.is_some_and(|budget| !budget.try_withdraw()) {
            self.plan.forgo(delay);
            return Err(StopReason::Budget);
        }
        self.rules.watch.retrying(&RetryAttempt {
            attempt: self.plan.attempts(),
            delay,
            total_delay: self.plan.total_delay(),
            error: outcome.as_ref().err(),
        });
        Ok(delay)
    }

    /// After the wait: whether another attempt begins, or the wait was so long that the deadline passed.
    fn resume(&self) -> Result<(), StopReason> {
        if self.time_left().is_some_and(|left| left.is_zero()) {
            return Err(StopReason::Deadline);
        }
        if let Some(named) = self.underway.0 {
            named.retry();
        }
        Ok(())
    }

    fn success<T>(self, value: T) -> T {
        if let Some(named) = self.underway.end() {
            named.success(self.plan.attempts().saturating_add(1));
        }
        value
    }

    fn stop<T, E>(self, outcome: Result<T, E>, reason: StopReason) -> Result<T, RetryError<E>> {
        if let Some(named) = self.underway.end() {
            named.failure(self.plan.attempts(), &reason);
        }
        outcome.map_err(|error| self.plan.error(reason, error))
    }

    fn run<T, E>(
        mut self,
        first: Result<T, E>,
        sleep: &mut impl FnMut(Duration),
        op: &mut impl FnMut() -> Result<T, E>,
    ) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
    {
        let mut failed = first;
        loop {
            match self.next(&failed) {
                Ok(wait) => sleep(wait),
                Err(reason) => return self.stop(failed, reason),
            }
            if let Err(reason) = self.resume() {
                return self.stop(failed, reason);
            }
            failed = match op() {
                Ok(value) if self.rules.values.accepts(&value) => return Ok(self.success(value)),
                other => other,
            };
        }
    }

    async fn run_async<T, E, F, S, M>(
        mut self,
        first: Result<T, E>,
        time_limit: &M,
        sleep: &mut impl FnMut(Duration) -> S,
        op: &mut impl FnMut() -> F,
    ) -> Result<T, RetryError<E>>
    where
        J: ErrorRule<E>,
        V: ValueRule<T>,
        O: Watch<E>,
        M: TimeLimit<E>,
        F: Future<Output = Result<T, E>>,
        S: Future<Output = ()>,
    {
        let mut failed = first;
        loop {
            match self.next(&failed) {
                Ok(wait) => sleep(wait).await,
                Err(reason) => return self.stop(failed, reason),
            }
            if let Err(reason) = self.resume() {
                return self.stop(failed, reason);
            }
            failed = match attempt(time_limit, self.time_left(), sleep, op).await {
                Ok(value) if self.rules.values.accepts(&value) => return Ok(self.success(value)),
                other => other,
            };
        }
    }
}

/// One attempt, within its limit and what is left of the deadline.
async fn attempt<T, E, F, S>(
    time_limit: &impl TimeLimit<E>,
    left: Option<Duration>,
    sleep: &mut impl FnMut(Duration) -> S,
    op: &mut impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    S: Future<Output = ()>,
{
    let Some((limit, error)) = time_limit.limit() else {
        return op().await;
    };
    let limit = left.map_or(limit, |left| left.min(limit));
    let (mut attempt, mut timer) = (pin!(op()), pin!(sleep(limit)));
    poll_fn(|context| {
        // An attempt that is done at the same moment is not thrown away.
        if let Poll::Ready(outcome) = attempt.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        timer.as_mut().poll(context).map(|()| Err(error(limit)))
    })
    .await
}
