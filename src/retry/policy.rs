//! A retry policy: a checked configuration and the rules around it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::budget::RetryBudget;
use super::config::RetryConfig;
use super::named::{Named, NamedRetry, RetryTotals};
use super::plan::{RetryPlan, Verdict};
use super::rules::{
    After, AnyValue, ByTrait, ErrorRule, OnRetry, RetryAttempt, Silent, Timed, UnlessValue, Untimed, When,
};
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::observe::Live;

/// Attempts again until it succeeds or must stop.
///
/// A policy is built once and used for any number of calls, by any number of threads. It is made of a
/// checked [`RetryConfig`] and of what the methods below add to it; each can be left out. The type's
/// parameters are the rules that were added, see [`rules`](super::rules); plain `Retry` has none, and
/// judges errors by what they say of themselves ([`Retryable`](crate::Retryable)).
///
/// A first attempt that succeeds costs the call itself and no more: no clock, no allocation, no shared
/// write. Each of a [name](Self::named) and a [budget](Self::budget) adds one addition in the thread's own
/// cache line, a [deadline](Self::deadline) a reading of the clock.
///
/// ```
/// use fusewire::{Retry, RetryConfig};
/// use std::time::Duration;
///
/// #[derive(Debug)]
/// enum VenueError { UnknownSymbol, Timeout }
///
/// let retry = Retry::new(RetryConfig::new().max_attempts(4).base_delay(Duration::from_millis(50)))?
///     .when(|error: &VenueError| matches!(error, VenueError::Timeout))
///     .on_retry(|attempt| eprintln!("attempt {} failed: {:?}", attempt.attempt, attempt.error))
///     .deadline(Duration::from_secs(2));
///
/// let error = retry.call(|| Err::<(), _>(VenueError::UnknownSymbol)).unwrap_err();
/// assert_eq!((error.attempts, error.reason.as_str()), (1, "not_retryable"));
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing until something is called with it"]
pub struct Retry<J = ByTrait, V = AnyValue, O = Silent, M = Untimed> {
    pub(super) settings: Settings,
    pub(super) rules: Rules<J, V, O>,
    pub(super) time_limit: M,
}

/// What a policy is told that is no rule.
#[derive(Clone, Default)]
pub(super) struct Settings {
    /// It was checked.
    config: RetryConfig,
    deadline: Option<Duration>,
    retry_open: bool,
    /// Not without a value while there is a deadline.
    clock: Option<Clock>,
    pub(super) budget: Option<RetryBudget>,
    pub(super) named: Option<Arc<Named>>,
}

/// The rules that a driver asks, whatever it drives.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules<J = ByTrait, V = AnyValue, O = Silent> {
    pub(super) errors: J,
    pub(super) values: V,
    pub(super) watch: O,
}

impl Retry {
    /// A policy of nothing but its configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn new(config: RetryConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { settings: Settings { config, ..Settings::default() }, ..Self::default() })
    }

    /// A policy that counts its calls, and stands under its name in the directory of live instances until
    /// its last clone is dropped: see [`totals`](Self::totals) and [`NamedRetry`]. Names need not be
    /// unique: two policies of one name are independent, and merge when they are exported.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn named(name: impl Into<Arc<str>>, config: RetryConfig) -> Result<Self, ConfigError> {
        let mut retry = Self::new(config.clone())?;
        retry.settings.named = Some(Named::new(name.into(), config));
        Ok(retry)
    }

    /// All named retries that are alive; see [`NamedRetry::live`].
    pub fn live() -> Vec<NamedRetry> {
        NamedRetry::live()
    }
}

impl Default for Retry {
    /// The policy of the default configuration.
    fn default() -> Self {
        Self { settings: Settings::default(), rules: Rules::default(), time_limit: Untimed }
    }
}

impl<J, V, O, M> Retry<J, V, O, M> {
    /// Judges errors by `judge` alone, which gives a `bool` (whether to try again) or a [`Verdict`]; what
    /// the error says of itself is not asked, so it may be of any type.
    ///
    /// Not asked either is whether a circuit was open, or how long a refusal asks to wait: [`Verdict::of`] an
    /// error that knows gives both. For the error of a guarded call say so:
    ///
    /// ```
    /// use fusewire::{CallError, CircuitBreaker, Retry, RetryConfig, retry::Verdict};
    /// use std::fmt::Error; // stands for an error of another crate
    ///
    /// let retry = Retry::new(RetryConfig::new())?.when(|error: &CallError<Error>| match error {
    ///     CallError::Open(open) => Verdict::OpenCircuit(open.time_until_retry),
    ///     CallError::Inner(_) => Verdict::Retry,
    /// });
    /// # let _ = retry;
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    pub fn when<E, R, F>(self, judge: F) -> Retry<When<F>, V, O, M>
    where
        R: Into<Verdict>,
        F: Fn(&E) -> R,
    {
        self.judged_by(|_| When(judge))
    }

    /// Takes the least wait before the next attempt from the error: a server's `Retry-After` (RFC 9110,
    /// section 10.2.3). It replaces what [`Retryable::retry_after`](crate::Retryable::retry_after) says;
    /// `None` is none. Errors that are not retried stay so, and open circuits keep their own time.
    ///
    /// The wait is the longer of this and the one that was drawn. It may exceed `max_delay`, never the
    /// [deadline](Self::deadline); [`Duration::MAX`] is never, and stops.
    pub fn retry_after<E, F>(self, after: F) -> Retry<After<J, F>, V, O, M>
    where
        J: ErrorRule<E>,
        F: Fn(&E) -> Option<Duration>,
    {
        self.judged_by(|rule| After { rule, after })
    }

    fn judged_by<K>(self, change: impl FnOnce(J) -> K) -> Retry<K, V, O, M> {
        let Self { settings, rules, time_limit } = self;
        let rules = Rules { errors: change(rules.errors), values: rules.values, watch: rules.watch };
        Retry { settings, rules, time_limit }
    }

    /// Tries again, too, while `unwanted` is true of the value. When it must stop, such a value is
    /// returned as it is, in `Ok`; it counts as a failed call.
    pub fn retry_if_value<T, F>(self, unwanted: F) -> Retry<J, UnlessValue<F>, O, M>
    where
        F: Fn(&T) -> bool,
    {
        let Self { settings, rules, time_limit } = self;
        let values = UnlessValue(unwanted);
        Retry { settings, rules: Rules { errors: rules.errors, values, watch: rules.watch }, time_limit }
    }

    /// Tells `listener` of every failed attempt that will be followed by another, before the wait.
    pub fn on_retry<E, F>(self, listener: F) -> Retry<J, V, OnRetry<F>, M>
    where
        F: Fn(&RetryAttempt<'_, E>),
    {
        let Self { settings, rules, time_limit } = self;
        let watch = OnRetry(listener);
        Retry { settings, rules: Rules { errors: rules.errors, values: rules.values, watch }, time_limit }
    }

    /// Drops an attempt that has not finished after `limit`, and goes on as if it had failed with what
    /// `error` makes of the limit; that error is judged as any other. Zero is legal: such an attempt is
    /// polled once. With a [deadline](Self::deadline) the limit is at most what is left of it.
    ///
    /// Only futures can be dropped, so a policy with this has no `call`:
    ///
    /// ```compile_fail
    /// # use fusewire::{Retry, RetryConfig};
    /// # use std::time::Duration;
    /// let retry = Retry::new(RetryConfig::new())?.attempt_timeout(Duration::from_secs(1), |_| "too slow");
    /// retry.call(|| Ok(()));
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    ///
    /// ```
    /// # use fusewire::{Retry, RetryConfig};
    /// # use std::time::Duration;
    /// let retry = Retry::new(RetryConfig::new())?.attempt_timeout(Duration::from_secs(1), |_| "too slow");
    /// let call = retry.call_async_with(|_wait| async {}, || async { Ok(()) });
    /// # drop(call);
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    pub fn attempt_timeout<E, F>(self, limit: Duration, error: F) -> Retry<J, V, O, Timed<F>>
    where
        F: Fn(Duration) -> E,
    {
        Retry { settings: self.settings, rules: self.rules, time_limit: Timed { limit, error } }
    }

    /// No attempt begins this long after the first one began, or later. A wait that would end there is
    /// not begun: the call stops at once, with [`StopReason::Deadline`](super::StopReason::Deadline). The
    /// first attempt is made in any case. An attempt that is running is not interrupted but by
    /// [`attempt_timeout`](Self::attempt_timeout). Default (`None`): no deadline.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.settings.deadline = deadline.into();
        if self.settings.deadline.is_some() {
            self.settings.clock.get_or_insert_default();
        }
        self
    }

    /// Where the time comes from that the [deadline](Self::deadline) is held against; nothing else asks
    /// it. Default: [`Clock::precise`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.settings.clock = Some(clock.into());
        self
    }

    /// Pays for each retry from `budget`, which many policies may share: when it is spent, the call stops
    /// with [`StopReason::Budget`](super::StopReason::Budget). Each call is counted in it. Default: none.
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.settings.budget = Some(budget.clone());
        self
    }

    /// Whether to try again after a circuit breaker refused an attempt. If so, it waits at least until
    /// the breaker may let a call pass, also when that is longer than `max_delay`; one that will not
    /// reopen by itself still stops the call. Default: no, the call stops with
    /// [`StopReason::OpenCircuit`](super::StopReason::OpenCircuit).
    pub fn retry_open(mut self, retry: bool) -> Self {
        self.settings.retry_open = retry;
        self
    }

    /// The configuration.
    pub fn config(&self) -> &RetryConfig {
        &self.settings.config
    }

    /// The name, of a named policy.
    pub fn name(&self) -> Option<&str> {
        self.settings.named.as_deref().map(Live::name)
    }

    /// What a named policy and its clones have counted.
    pub fn totals(&self) -> Option<RetryTotals> {
        self.settings.named.clone().map(|named| NamedRetry(named).totals())
    }

    /// The decisions of one call by this policy, for whoever drives the attempts in another way. Rules
    /// and budget are not part of it.
    pub fn plan(&self) -> RetryPlan {
        self.settings.plan()
    }
}

impl Settings {
    pub(super) fn plan(&self) -> RetryPlan {
        RetryPlan::of(Backoff::new(self.config.clone())).deadline(self.deadline).retry_open(self.retry_open)
    }

    /// The clock, if one must be read.
    #[inline(always)]
    pub(super) fn timer(&self) -> Option<&Clock> {
        self.deadline.and(self.clock.as_ref())
    }

    pub(super) fn total_time(&self) -> Option<Duration> {
        self.deadline
    }
}

impl<J, V, O, M> fmt::Debug for Retry<J, V, O, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.name())
            .field("config", self.config())
            .field("deadline", &self.settings.deadline)
            .field("retry_open", &self.settings.retry_open)
            .finish_non_exhaustive()
    }
}
