//! What can be refused: a configuration, a name, a call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A setting outside its range. Its text names the field, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    value: String,
    allowed: &'static str,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, value: impl fmt::Debug, allowed: &'static str) -> Self {
        Self { field, value: format!("{value:?}"), allowed }
    }

    pub(crate) fn stripes(stripes: usize) -> Self {
        Self::new("stripes", stripes, "1 to 65")
    }

    /// The setting's name, as in the builder.
    pub fn field(&self) -> &str {
        self.field
    }

    /// The value that was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The range that is allowed.
    pub fn allowed(&self) -> &str {
        self.allowed
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}; allowed: {}", self.field, self.value, self.allowed)
    }
}

impl std::error::Error for ConfigError {}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The breaker is open and its open duration has not passed.
    Open,
    /// The breaker is half-open and every place of the round is taken.
    HalfOpen,
    /// The breaker was forced open.
    ForcedOpen,
    /// The breaker closed lately and admits only a share of the calls yet.
    RampUp,
    /// The open duration has passed, but probes are granted by a fleet and none has been yet.
    AwaitingGrant,
}

impl RejectReason {
    /// Each reason, in the order of their discriminants.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::RampUp, Self::AwaitingGrant];

    /// The name used in labels and records, such as `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::RampUp => "ramp_up",
            Self::AwaitingGrant => "awaiting_grant",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused admission. It is `Copy`, and making one allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: RejectReason,
    /// How long until a call may pass: [`Duration::MAX`] when nothing but a caller's act will open the
    /// way, zero when one may pass at any moment. While half-open it is the time until the round is
    /// replaced if its probes never answer.
    pub retry_after: Duration,
}

impl Rejected {
    #[inline(always)]
    pub(crate) const fn new(reason: RejectReason, retry_after: Duration) -> Self {
        Self { reason, retry_after }
    }
}

/// Writes when to try again, for the texts that end with it.
fn write_retry(f: &mut fmt::Formatter<'_>, after: Duration, never: &str) -> fmt::Result {
    if after == Duration::MAX { f.write_str(never) } else { write!(f, "; retry in {}", Span(after)) }
}

/// What is said of a breaker that stays open until somebody acts.
const STAYS_OPEN: &str = "; it will not reopen by itself";

/// A time as texts show it: a tenth of a second is enough for long ones, but short ones are not nothing.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(time) = *self;
        if time.is_zero() || time >= Duration::from_millis(100) {
            write!(f, "{:.1} s", time.as_secs_f64())
        } else if time >= Duration::from_micros(100) {
            write!(f, "{:.1} ms", time.as_secs_f64() * 1e3)
        } else if time >= Duration::from_nanos(100) {
            write!(f, "{:.1} us", time.as_secs_f64() * 1e6)
        } else {
            write!(f, "{} ns", time.as_nanos())
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call refused ({})", self.reason)?;
        write_retry(f, self.retry_after, STAYS_OPEN)
    }
}

impl std::error::Error for Rejected {}

/// A call that was refused because its circuit is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitOpenError {
    /// The breaker's name.
    pub name: Arc<str>,
    /// Why it was refused.
    pub reason: RejectReason,
    /// How long until a call may pass; see [`Rejected::retry_after`].
    pub time_until_retry: Duration,
}

impl fmt::Display for CircuitOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circuit '{}' refused the call ({})", self.name, self.reason)?;
        write_retry(f, self.time_until_retry, STAYS_OPEN)
    }
}

impl std::error::Error for CircuitOpenError {}

/// What came of a guarded call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// It did not run: the circuit refused it.
    Open(CircuitOpenError),
    /// It ran and gave this error.
    Inner(E),
}

impl<E> CallError<E> {
    /// The call's own error, if it ran.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Open(_) => None,
            Self::Inner(error) => Some(error),
        }
    }

    /// Whether the circuit refused the call.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(open) => open.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(_) => None,
            // `Display` already shows the inner error, so the chain goes on below it.
            Self::Inner(error) => error.source(),
        }
    }
}

impl<E> From<CircuitOpenError> for CallError<E> {
    fn from(open: CircuitOpenError) -> Self {
        Self::Open(open)
    }
}

/// A request that a rate limiter refused. It is `Copy`, and making one allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitExceeded {
    /// Permits in one window: of a token bucket, its capacity.
    pub limit: u64,
    /// The window that the limit is for: of a token bucket, the time in which it fills from empty, and
    /// [`Duration::MAX`] when it never does.
    pub window: Duration,
    /// How long until the same request may pass: [`Duration::MAX`] when waiting will not help.
    pub retry_after: Duration,
    /// Permits that were asked for.
    pub requested: u64,
    /// The most permits that one request can be given.
    pub most: u64,
    pub(crate) _tag: Tag,
}

/// Where a `Result` keeps whether it is `Ok`. The compiler takes the field with the most values to spare;
/// without this one that would be the nanoseconds of `retry_after`, and whoever asks no more than whether a
/// request was refused would wait until it is known for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Tag {
    Refused,
}

const _: () = assert!(size_of::<Result<(), RateLimitExceeded>>() == size_of::<RateLimitExceeded>());

impl RateLimitExceeded {
    /// A refusal, for limiters of your own.
    #[inline(always)]
    pub const fn new(limit: u64, window: Duration, retry_after: Duration, requested: u64, most: u64) -> Self {
        Self { limit, window, retry_after, requested, most, _tag: Tag::Refused }
    }

    /// Whether the request was refused for its size: nothing was asked for, or more than one request can
    /// ever be given. Waiting will not help, and it counts as no refusal.
    pub const fn is_invalid(&self) -> bool {
        self.requested == 0 || self.requested > self.most
    }
}

impl fmt::Display for RateLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, window, retry_after, requested, most, .. } = *self;
        if self.is_invalid() {
            return write!(f, "n is {requested}; allowed: 1 to {most}");
        }
        write!(f, "rate limit exceeded: {limit}")?;
        if window != Duration::MAX {
            write!(f, " per {window:?}")?;
        }
        write_retry(f, retry_after, "; it will not refill")
    }
}

impl std::error::Error for RateLimitExceeded {}

/// What an error says about trying again. Every method has a default that suits the error of a service
/// that may recover, so `impl Retryable for MyError {}` is enough for one of your own; an error of another
/// crate is judged by a predicate instead (see [`Retry::when`](crate::Retry::when)).
pub trait Retryable {
    /// Whether another attempt may succeed. Default: yes.
    fn is_retryable(&self) -> bool {
        true
    }

    /// The least time to wait before the next attempt, as a server's `Retry-After` says it. Default: none.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Whether the call did not run because a circuit breaker refused it. Default: no.
    fn is_open_circuit(&self) -> bool {
        false
    }
}

impl<E: Retryable> Retryable for CallError<E> {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Inner(error) => error.is_retryable(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Open(open) => Some(open.time_until_retry),
            Self::Inner(error) => error.retry_after(),
        }
    }

    fn is_open_circuit(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Inner(error) => error.is_open_circuit(),
        }
    }
}

impl Retryable for CircuitOpenError {
    fn retry_after(&self) -> Option<Duration> {
        Some(self.time_until_retry)
    }

    fn is_open_circuit(&self) -> bool {
        true
    }
}

impl Retryable for Rejected {
    fn retry_after(&self) -> Option<Duration> {
        Some(self.retry_after)
    }

    fn is_open_circuit(&self) -> bool {
        true
    }
}

impl Retryable for RateLimitExceeded {
    fn is_retryable(&self) -> bool {
        self.retry_after != Duration::MAX
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(self.retry_after)
    }
}

macro_rules! always_retryable {
    ($($error:ty),+ $(,)?) => { $(impl Retryable for $error {})+ };
}

always_retryable!(
    (),
    &str,
    String,
    std::io::Error,
    fmt::Error,
    Box<dyn std::error::Error>,
    Box<dyn std::error::Error + Send>,
    Box<dyn std::error::Error + Send + Sync>,
    std::convert::Infallible,
);

/// A name that is already taken by an instance with other settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryConflict {
    pub(crate) name: Arc<str>,
    pub(crate) existing: String,
    pub(crate) requested: String,
}

impl RegistryConflict {
    /// The name that both want.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings of the instance that has the name, where they differ.
    pub fn existing(&self) -> &str {
        &self.existing
    }

    /// The settings that were asked for, where they differ.
    pub fn requested(&self) -> &str {
        &self.requested
    }
}

impl fmt::Display for RegistryConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' exists with {}, but {} was asked for", self.name, self.existing, self.requested)
    }
}

impl std::error::Error for RegistryConflict {}

/// Why a registry gave no instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// The settings are not valid.
    Config(ConfigError),
    /// The name is taken by an instance with other settings.
    Conflict(RegistryConflict),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Conflict(conflict) => conflict.fmt(f),
        }
    }
}

impl std::error::Error for RegistryError {}

impl From<ConfigError> for RegistryError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_what_is_wrong_and_when_to_come_back() {
        let error = ConfigError::new("failure_threshold", 0, "1 or more");
        assert_eq!(error.to_string(), "failure_threshold is 0; allowed: 1 or more");
        let rejected = Rejected::new(RejectReason::Open, Duration::from_millis(1500));
        assert_eq!(rejected.to_string(), "call refused (open); retry in 1.5 s");
        let forced = Rejected::new(RejectReason::ForcedOpen, Duration::MAX);
        assert_eq!(forced.to_string(), "call refused (forced_open); it will not reopen by itself");
    }

    #[test]
    fn a_short_wait_is_not_shown_as_none() {
        let times = [0, 1, 1_000, 99_940, 100_000, 5_040_000, 100_000_000, 1_250_000_000, 60_000_000_000];
        let texts = times.map(|nanos| Span(Duration::from_nanos(nanos)).to_string());
        let expected = ["0.0 s", "1 ns", "1.0 us", "99.9 us", "0.1 ms", "5.0 ms", "0.1 s", "1.2 s", "60.0 s"];
        assert_eq!(texts, expected);
        let (window, wait) = (Duration::from_micros(10), Duration::from_nanos(1_002));
        let refused = RateLimitExceeded::new(10, window, wait, 1, 10);
        assert_eq!(refused.to_string(), "rate limit exceeded: 10 per 10µs; retry in 1.0 us");
    }

    #[test]
    fn each_reason_has_its_place() {
        for (i, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
