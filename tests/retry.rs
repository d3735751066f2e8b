//! Retries as their users have them: what is tried again, how long it waits, and why it stops.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::{Future, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fusewire::observe::{self, Kind};
use fusewire::retry::rules::When;
use fusewire::retry::{
    Decision, NamedRetry, RetryAttempt, RetryBudgetBuilder, RetryPlan, StopReason, Verdict, retry_async_with,
    retry_with,
};
use fusewire::{
    CallError, CircuitBreaker, Jitter, ManualClock, RateLimitExceeded, Retry, RetryBudget, RetryConfig,
    RetryError, Retryable, retry,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Waits that can be foretold: 1 s, 2 s, 4 s and so on.
fn plain() -> RetryConfig {
    RetryConfig::new().jitter(false)
}

fn policy(config: RetryConfig) -> Retry {
    Retry::new(config).expect("valid settings")
}

fn seconds(waits: &[Duration]) -> Vec<f64> {
    waits.iter().map(Duration::as_secs_f64).collect()
}

fn waits(config: &RetryConfig) -> Vec<Duration> {
    config.backoff().expect("valid settings").collect()
}

/// Fails as many times, then succeeds with the number of the attempt.
fn fails(times: u32) -> impl FnMut() -> Result<u32, &'static str> {
    let mut attempt = 0;
    move || {
        attempt += 1;
        if attempt > times { Ok(attempt) } else { Err("refused") }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum ServiceError {
    Busy(Duration),
    Down,
    Wrong,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Error for ServiceError {}

impl Retryable for ServiceError {
    fn is_retryable(&self) -> bool {
        *self != Self::Wrong
    }

    fn retry_after(&self) -> Option<Duration> {
        if let Self::Busy(after) = self { Some(*after) } else { None }
    }
}

/// An error that says nothing of itself.
#[derive(Debug, PartialEq)]
struct Foreign(u8);

// ---- the configuration and its waits

#[test]
fn the_defaults_are_three_attempts_from_one_second_to_sixty_with_full_jitter() {
    let config = RetryConfig::default();
    assert_eq!((config.max_attempts, config.base_delay, config.max_delay), (3, SECOND, 60 * SECOND));
    assert!(config.exponential);
    assert_eq!((config.exponential_base, config.increment), (2.0, Duration::ZERO));
    assert_eq!((config.jitter, config.seed), (Jitter::Full, None));
    assert_eq!((Jitter::from(true), Jitter::from(false)), (Jitter::Full, Jitter::None));
    assert_eq!(Retry::default().config(), &config);
}

#[test]
fn waits_grow_by_the_factor_up_to_the_cap() {
    let config = plain().max_attempts(9);
    assert_eq!(seconds(&waits(&config)), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    let config = config.exponential_base(1.5).max_attempts(4);
    assert_eq!(seconds(&waits(&config)), [1.0, 1.5, 2.25]);
    let config = config.exponential_base(1.0);
    assert_eq!(seconds(&waits(&config)), [1.0, 1.0, 1.0]);
}

#[test]
fn waits_are_fixed_or_grow_by_a_step() {
    let config = plain().max_attempts(5).base_delay(2 * SECOND);
    assert_eq!(seconds(&waits(&config.clone().exponential(false))), [2.0; 4]);
    assert_eq!(seconds(&waits(&config.clone().fixed())), [2.0; 4]);
    let linear = config.linear(3 * SECOND).max_delay(9 * SECOND);
    assert_eq!(seconds(&waits(&linear)), [2.0, 5.0, 8.0, 9.0]);
}

#[test]
fn a_base_above_the_cap_waits_for_the_cap() {
    for jitter in [Jitter::None, Jitter::Decorrelated] {
        let config = plain().max_delay(SECOND / 2).jitter(jitter).max_attempts(4);
        assert_eq!(waits(&config), [SECOND / 2; 3]);
    }
}

#[test]
fn no_setting_and_no_attempt_overflows() {
    for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        for base in [1.0, 1.000_001, 2.0, 1e300, f64::MAX] {
            for delay in [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::MAX] {
                for cap in [Duration::ZERO, SECOND, Duration::MAX] {
                    let config = RetryConfig::new().max_attempts(u32::MAX).jitter(jitter);
                    let config = config.exponential_base(base).base_delay(delay).max_delay(cap);
                    let linear = config.clone().linear(delay);
                    for config in [config, linear] {
                        assert!(config.backoff().expect("valid").take(2_000).all(|wait| wait <= cap));
                        for attempt in [0, 1, 2, 31, 64, 1_000, u32::MAX - 1, u32::MAX] {
                            assert!(config.longest_delay(attempt) <= cap);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn full_jitter_draws_from_all_of_the_capped_wait() {
    let config = RetryConfig::new().max_attempts(4_001).base_delay(10 * SECOND).max_delay(10 * SECOND);
    let drawn = waits(&config.seed(7));
    assert!(drawn.iter().all(|wait| *wait <= 10 * SECOND));
    // No tenth of the range is preferred, the last one in particular: nothing is gathered at the cap.
    for tenth in 0..10 {
        let range = tenth * SECOND..(tenth + 1) * SECOND;
        let hits = drawn.iter().filter(|wait| range.contains(wait)).count();
        assert!((300..500).contains(&hits), "{hits} of 4000 in {range:?}");
    }
    assert!(drawn.iter().filter(|wait| **wait == 10 * SECOND).count() <= 1);
}

#[test]
fn equal_jitter_draws_from_the_upper_half() {
    let config = RetryConfig::new().max_attempts(2_001).jitter(Jitter::Equal).fixed().seed(7);
    let drawn = waits(&config);
    assert!(drawn.iter().all(|wait| (SECOND / 2..=SECOND).contains(wait)));
    let low = drawn.iter().filter(|wait| **wait < SECOND * 3 / 4).count();
    assert!((850..1_150).contains(&low), "{low} of 2000");
}

#[test]
fn decorrelated_jitter_draws_from_the_base_to_three_times_the_last() {
    let config = RetryConfig::new().max_attempts(2_001).jitter(Jitter::Decorrelated).seed(7);
    let drawn = waits(&config);
    let mut last = SECOND;
    for wait in &drawn {
        assert!((SECOND..=(3 * last).min(60 * SECOND)).contains(wait));
        last = *wait;
    }
    assert!(drawn.iter().any(|wait| *wait > 30 * SECOND), "it grows");
    assert!(drawn.iter().filter(|wait| **wait == 60 * SECOND).count() <= 1, "gathered at the cap");
}

#[test]
fn a_seed_makes_each_call_alike_and_without_one_they_differ() {
    let seeded = RetryConfig::new().max_attempts(20).seed(42);
    assert_eq!(waits(&seeded), waits(&seeded));
    assert_ne!(waits(&seeded), waits(&seeded.clone().seed(43)));
    let retry = policy(seeded.clone());
    let calls = [(); 2].map(|()| {
        let mut slept = Vec::new();
        retry.call_with(|wait| slept.push(wait), fails(99)).expect_err("it fails");
        slept
    });
    assert_eq!(calls[0], calls[1]);
    assert_eq!(calls[0], waits(&seeded));
    let unseeded = RetryConfig::new().max_attempts(20);
    assert_ne!(waits(&unseeded), waits(&unseeded));
}

#[test]
fn an_iterator_of_waits_knows_its_length() {
    let mut backoff = plain().max_attempts(3).backoff().expect("valid");
    assert_eq!((backoff.len(), backoff.attempts()), (2, 0));
    assert_eq!((backoff.next(), backoff.len(), backoff.attempts()), (Some(SECOND), 1, 1));
    assert_eq!((backoff.next(), backoff.next(), backoff.next()), (Some(2 * SECOND), None, None));
    assert_eq!(plain().max_attempts(1).backoff().expect("valid").next(), None);
    let endless = plain().max_attempts(u32::MAX).backoff().expect("valid");
    assert_eq!(endless.len(), u32::MAX as usize - 1);
}

#[test]
fn bad_settings_are_named_wherever_they_are_given() {
    let none = plain().max_attempts(0);
    let text = "max_attempts is 0; allowed: 1 or more";
    assert_eq!(none.check().expect_err("none").to_string(), text);
    assert_eq!(none.backoff().expect_err("none").to_string(), text);
    assert_eq!(RetryPlan::new(&none).expect_err("none").to_string(), text);
    assert_eq!(Retry::new(none.clone()).expect_err("none").to_string(), text);
    assert_eq!(Retry::named("wrong", none.clone()).expect_err("none").to_string(), text);
    assert!(NamedRetry::live().iter().all(|retry| retry.name() != "wrong"));

    // The free functions look at it when they need it, and make no second attempt.
    let mut calls = 0;
    let error = retry(&none, || {
        calls += 1;
        Err::<(), _>("refused")
    });
    let error = error.expect_err("it fails");
    assert_eq!((calls, error.attempts, error.error), (1, 1, "refused"));
    assert_eq!(error.to_string(), format!("gave up after 1 attempt ({text})"));
    let StopReason::InvalidConfig(invalid) = error.reason else { panic!("{:?}", error.reason) };
    assert_eq!((invalid.field(), invalid.value(), invalid.allowed()), ("max_attempts", "0", "1 or more"));

    for base in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 0.999] {
        let wrong = plain().exponential_base(base);
        let error = Retry::new(wrong.clone()).expect_err("out of range");
        assert_eq!((error.field(), error.value()), ("exponential_base", &*format!("{base:?}")));
        let error = block_on(retry_async_with(&wrong, |_| ready(()), || ready(Err::<(), _>("refused"))));
        assert_eq!(error.expect_err("it fails").reason.as_str(), "invalid_config");
    }
}

// ---- calls

#[test]
fn a_call_is_tried_until_it_succeeds() {
    let mut slept = Vec::new();
    let reply = retry_with(&plain().max_attempts(5), |wait| slept.push(wait), fails(3));
    assert_eq!((reply, &*seconds(&slept)), (Ok(4), &[1.0, 2.0, 4.0][..]));
    let reply = retry_with(&plain(), |_| panic!("there is nothing to wait for"), fails(0));
    assert_eq!(reply, Ok(1));
    // With the thread's own sleep, which is not long here.
    assert_eq!(retry(&plain().base_delay(Duration::ZERO), fails(2)), Ok(3));
    assert_eq!(policy(plain().base_delay(Duration::ZERO)).call(fails(2)), Ok(3));
}

#[test]
fn attempts_are_calls_in_all() {
    for attempts in [1, 2, 3, 10] {
        let (mut calls, mut slept) = (0, Vec::new());
        let call = || {
            calls += 1;
            Err::<(), _>(calls.to_string())
        };
        let error = retry_with(&plain().max_attempts(attempts), |wait| slept.push(wait), call);
        let error = error.expect_err("it fails");
        assert_eq!((calls, error.attempts), (attempts, attempts));
        assert_eq!(error.error, attempts.to_string(), "the last error");
        assert_eq!(error.total_delay, slept.iter().sum());
        assert_eq!((slept.len() as u32, error.reason), (attempts - 1, StopReason::Exhausted));
    }
}

#[test]
fn an_error_that_is_not_retryable_stops_at_once() {
    let mut calls = 0;
    let error = retry_with(
        &plain(),
        |_| panic!("no wait"),
        || {
            calls += 1;
            Err::<(), _>(ServiceError::Wrong)
        },
    );
    let error = error.expect_err("it fails");
    assert_eq!((calls, error.attempts, error.total_delay), (1, 1, Duration::ZERO));
    assert_eq!((&error.reason, &error.error), (&StopReason::NotRetryable, &ServiceError::Wrong));
    assert_eq!(error.into_inner(), ServiceError::Wrong);

    // Also at the last attempt: the error says more than the count.
    let mut errors = [ServiceError::Down, ServiceError::Wrong].into_iter();
    let mut next = || Err::<(), _>(errors.next().expect("two attempts"));
    let error = retry_with(&plain().max_attempts(2), |_| (), &mut next).expect_err("it fails");
    assert_eq!((error.attempts, error.reason), (2, StopReason::NotRetryable));
}

#[test]
fn an_error_shows_what_happened_and_leads_to_its_cause() {
    let error = retry_with(&plain(), |_| (), || Err::<(), _>(ServiceError::Down)).expect_err("it fails");
    assert_eq!(error.to_string(), "gave up after 3 attempts and 3.0 s of waits (exhausted)");
    let source = error.source().and_then(|source| source.downcast_ref::<ServiceError>());
    assert_eq!(source, Some(&ServiceError::Down));
    let all: Box<dyn Error + Send + Sync> = Box::new(error.clone());
    assert!(all.downcast_ref::<RetryError<ServiceError>>() == Some(&error));
    let reasons = [
        StopReason::Exhausted,
        StopReason::NotRetryable,
        StopReason::Deadline,
        StopReason::Budget,
        StopReason::OpenCircuit,
    ];
    let names = ["exhausted", "not_retryable", "deadline", "budget", "open_circuit"];
    assert_eq!(reasons.map(|reason| reason.to_string()), names);
    // A retry around a retry does not multiply the attempts.
    let mut calls = 0;
    let outer = retry_with(
        &plain(),
        |_| panic!("no wait"),
        || {
            calls += 1;
            retry_with(&plain(), |_| (), || Err::<(), _>("refused"))
        },
    );
    assert_eq!((outer.expect_err("it fails").attempts, calls), (1, 1));
}

#[test]
fn errors_of_the_standard_library_are_retryable() {
    let refused = || Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused));
    assert_eq!(retry_with(&plain(), |_| (), refused).expect_err("it fails").attempts, 3);
    let boxed = || Err::<(), Box<dyn Error + Send + Sync>>("refused".into());
    assert_eq!(retry_with(&plain(), |_| (), boxed).expect_err("it fails").attempts, 3);
}

// ---- rules

#[test]
fn a_predicate_judges_errors_of_any_type() {
    let retry = policy(plain()).when(|error: &Foreign| error.0 < 2);
    for (errors, attempts, reason) in
        [([0, 1, 0], 3, StopReason::Exhausted), ([0, 2, 0], 2, StopReason::NotRetryable)]
    {
        let mut errors = errors.into_iter();
        let next = || Err::<(), _>(Foreign(errors.next().expect("three attempts")));
        let error = retry.call_with(|_| (), next).expect_err("it fails");
        assert_eq!((error.attempts, error.reason), (attempts, reason));
    }
    // It alone decides, also about errors that would say otherwise of themselves.
    let stubborn = policy(plain()).when(|_: &ServiceError| true);
    let error = stubborn.call_with(|_| (), || Err::<(), _>(ServiceError::Wrong)).expect_err("it fails");
    assert_eq!(error.attempts, 3);
}

#[test]
fn a_policy_with_rules_can_be_stored_and_cloned() {
    type Judge = fn(&Foreign) -> bool;
    struct Client {
        retry: Retry<When<Judge>>,
    }
    let client = Client { retry: policy(plain()).when(|error: &Foreign| error.0 == 0) };
    let error = client.retry.clone().call_with(|_| (), || Err::<(), _>(Foreign(1))).expect_err("it fails");
    assert_eq!(error.reason, StopReason::NotRetryable);
    assert!(format!("{:?}", client.retry).contains("max_attempts: 3"));
}

#[test]
fn a_value_can_be_unwanted() {
    let listener = |attempt: &RetryAttempt<'_, &str>| assert!(attempt.error.is_none());
    let retry = policy(plain()).retry_if_value(|value: &u32| *value < 3).on_retry(listener);
    let mut value = 0;
    let reply = retry.call_with(
        |_| (),
        || {
            value += 1;
            Ok::<_, &str>(value)
        },
    );
    assert_eq!(reply, Ok(3));
    // When the attempts are used up, the value is returned as it is.
    let mut calls = 0;
    let reply = retry.call_with(
        |_| (),
        || {
            calls += 1;
            Ok::<_, &str>(0)
        },
    );
    assert_eq!((reply, calls), (Ok(0), 3));
}

#[test]
fn a_listener_is_told_of_each_retry_before_the_wait() {
    let log = RefCell::new(Vec::new());
    let retry = policy(plain()).on_retry(|attempt: &RetryAttempt<'_, &str>| {
        let told = (attempt.attempt, attempt.delay, attempt.total_delay, attempt.error.copied());
        log.borrow_mut().push(Some(told));
    });
    retry.call_with(|_| log.borrow_mut().push(None), fails(9)).expect_err("it fails");
    let told = [
        Some((1, SECOND, SECOND, Some("refused"))),
        None,
        Some((2, 2 * SECOND, 3 * SECOND, Some("refused"))),
        None,
    ];
    assert_eq!(*log.borrow(), told, "the last attempt is followed by none");
}

#[test]
fn what_a_server_asks_for_is_the_least_wait() {
    let busy = |after| move || Err::<(), _>(ServiceError::Busy(after));
    let slept = |retry: &Retry, after| {
        let mut slept = Vec::new();
        let error = retry.call_with(|wait| slept.push(wait), busy(after)).expect_err("it fails");
        assert_eq!(error.total_delay, slept.iter().sum());
        (slept, error.reason)
    };
    let retry = policy(plain());
    assert_eq!(slept(&retry, 3 * SECOND / 2).0, [3 * SECOND / 2, 2 * SECOND]);
    // It may exceed the cap.
    assert_eq!(slept(&retry, 500 * SECOND).0, [500 * SECOND; 2]);
    // But not the deadline.
    let deadline = retry.clone().clock(&ManualClock::new()).deadline(500 * SECOND);
    assert_eq!(slept(&deadline, 500 * SECOND), (vec![], StopReason::Deadline));
    // Never is never.
    assert_eq!(slept(&retry, Duration::MAX), (vec![], StopReason::NotRetryable));

    let limited = RateLimitExceeded::new(1, SECOND, 7 * SECOND, 1, 1);
    let mut waits = Vec::new();
    retry_with(&plain(), |wait| waits.push(wait), || Err::<(), _>(limited)).expect_err("it fails");
    assert_eq!(waits, [7 * SECOND; 2]);
}

#[test]
fn a_closure_or_a_verdict_names_the_least_wait() {
    let mut slept = Vec::new();
    let retry = policy(plain())
        .when(|_: &Foreign| true)
        .retry_after(|error: &Foreign| (error.0 > 0).then_some(u32::from(error.0) * SECOND));
    retry.call_with(|wait| slept.push(wait), || Err::<(), _>(Foreign(9))).expect_err("it fails");
    retry.call_with(|wait| slept.push(wait), || Err::<(), _>(Foreign(0))).expect_err("it fails");
    assert_eq!(seconds(&slept), [9.0, 9.0, 1.0, 2.0]);

    // It replaces what the error says of itself, and changes nothing about whether to go on.
    let retry = policy(plain()).retry_after(|_: &ServiceError| None);
    slept.clear();
    let busy = || Err::<(), _>(ServiceError::Busy(99 * SECOND));
    retry.call_with(|wait| slept.push(wait), busy).expect_err("it fails");
    assert_eq!(seconds(&slept), [1.0, 2.0]);
    let wrong = retry.call_with(|_| panic!("no wait"), || Err::<(), _>(ServiceError::Wrong));
    assert_eq!(wrong.expect_err("it fails").reason, StopReason::NotRetryable);

    let retry = policy(plain()).when(|error: &Foreign| match error.0 {
        0 => Verdict::Stop,
        n => Verdict::RetryAfter(u32::from(n) * SECOND),
    });
    slept.clear();
    retry.call_with(|wait| slept.push(wait), || Err::<(), _>(Foreign(5))).expect_err("it fails");
    assert_eq!(seconds(&slept), [5.0, 5.0]);
}

// ---- open circuits

fn open_breaker(clock: &ManualClock) -> CircuitBreaker {
    let builder = CircuitBreaker::builder("down").failure_threshold(1).half_open_requests(1).clock(clock);
    let breaker = builder.recovery_timeout(90 * SECOND).build().expect("valid settings");
    breaker.call(|| Err::<(), _>(())).expect_err("it fails");
    breaker
}

#[test]
fn an_open_circuit_is_not_retried_by_default() {
    let breaker = open_breaker(&ManualClock::new());
    let guarded = || breaker.call(|| Ok::<_, &str>(1));
    for error in [
        retry_with(&plain(), |_| panic!("no wait"), guarded),
        policy(plain()).call_with(|_| panic!("no wait"), guarded),
    ] {
        let error = error.expect_err("it is open");
        assert_eq!((error.attempts, error.reason), (1, StopReason::OpenCircuit));
        assert!(matches!(error.error, CallError::Open(_)));
    }
    assert_eq!(breaker.totals().rejected.open, 2);
}

#[test]
fn a_circuit_that_opens_under_the_retries_ends_them() {
    let clock = ManualClock::new();
    let breaker = CircuitBreaker::builder("dying").failure_threshold(2).clock(&clock).build();
    let breaker = breaker.expect("valid settings");
    let guarded = || breaker.call(|| Err::<(), _>("refused"));
    let error = retry_with(&plain().max_attempts(10), |_| (), guarded).expect_err("it fails");
    assert_eq!((error.attempts, error.reason), (3, StopReason::OpenCircuit));
}

#[test]
fn an_open_circuit_can_be_waited_for_even_past_the_cap() {
    let clock = ManualClock::new();
    let breaker = open_breaker(&clock);
    let mut slept = Vec::new();
    let retry = policy(plain()).retry_open(true);
    let reply = retry.call_with(
        |wait| {
            slept.push(wait);
            clock.advance(wait);
        },
        || breaker.call(|| Ok::<_, &str>(1)),
    );
    assert_eq!((reply, slept.len()), (Ok(1), 1));
    assert!(slept[0] >= 90 * SECOND && slept[0] < 90 * SECOND + MILLISECOND, "{slept:?}");
}

#[test]
fn a_circuit_that_never_reopens_by_itself_is_not_waited_for() {
    let breaker = open_breaker(&ManualClock::new());
    breaker.force_open();
    let retry = policy(plain()).retry_open(true);
    let error = retry.call_with(|_| panic!("no wait"), || breaker.call(|| Ok::<_, &str>(1)));
    let error = error.expect_err("it is open");
    assert_eq!((error.attempts, error.reason), (1, StopReason::OpenCircuit));
}

#[test]
fn a_refused_permit_is_an_open_circuit_too() {
    let breaker = open_breaker(&ManualClock::new());
    let error = retry_with(&plain(), |_| panic!("no wait"), || breaker.try_acquire().map(drop));
    assert_eq!(error.expect_err("it is open").reason, StopReason::OpenCircuit);
}

// ---- deadlines

#[test]
fn a_wait_that_would_pass_the_deadline_is_not_begun() {
    let clock = ManualClock::new();
    let retry = policy(plain().max_attempts(9)).clock(&clock).deadline(7 * SECOND);
    let mut slept = Vec::new();
    let error = retry.call_with(
        |wait| {
            slept.push(wait);
            clock.advance(wait);
        },
        || {
            clock.advance(SECOND / 2);
            Err::<(), _>("refused")
        },
    );
    let error = error.expect_err("it fails");
    // 0.5, 1, 0.5, 2, 0.5: 4.5 s are over, and 4 s more would be too much.
    assert_eq!((seconds(&slept), error.attempts), (vec![1.0, 2.0], 3));
    assert_eq!((error.total_delay, error.reason), (3 * SECOND, StopReason::Deadline));
    assert_eq!(clock.now(), 4_500_000_000);
}

#[test]
fn no_attempt_begins_at_the_deadline_or_after() {
    let clock = ManualClock::new();
    let retry = policy(plain().max_attempts(9)).clock(&clock).deadline(3 * SECOND);
    let attempts = |late: Duration| {
        let began = clock.now();
        let error = retry.call_with(
            |wait| {
                clock.advance(wait + late);
            },
            || {
                assert!(clock.now() - began < 3_000_000_000, "too late");
                Err::<(), _>("refused")
            },
        );
        let error = error.expect_err("it fails");
        assert_eq!(error.reason, StopReason::Deadline);
        error.attempts
    };
    assert_eq!(attempts(Duration::ZERO), 2, "the second wait would end at the deadline");
    assert_eq!(attempts(5 * SECOND), 1, "the first wait was overslept");
    let none = policy(plain()).clock(&clock).deadline(Duration::ZERO);
    let error = none.call_with(|_| panic!("no wait"), fails(9)).expect_err("it fails");
    assert_eq!((error.attempts, error.reason), (1, StopReason::Deadline));
    assert_eq!(none.call(fails(0)), Ok(1), "the first attempt is made in any case");
    assert_eq!(none.deadline(None).call_with(|_| (), fails(2)), Ok(3));
}

#[test]
fn a_clock_that_stands_still_or_goes_back_gives_no_more_time() {
    let clock = ManualClock::new();
    clock.set(1 << 60);
    let retry = policy(plain().fixed().max_attempts(99)).clock(&clock).deadline(5 * SECOND);
    let error = retry.call_with(|_| clock.set(clock.now() - 1_000), fails(99)).expect_err("it fails");
    assert_eq!((error.attempts, error.total_delay), (5, 4 * SECOND));
    assert_eq!(error.reason, StopReason::Deadline);
}

#[test]
fn a_plan_decides_without_a_clock() {
    let mut plan = policy(plain()).plan();
    assert_eq!(plan.time_left(SECOND), None);
    assert_eq!(plan.after(Verdict::from(true), Duration::MAX), Decision::Wait(SECOND));
    assert_eq!((plan.attempts(), plan.total_delay()), (1, SECOND));
    assert_eq!(plan.after(Verdict::from(false), SECOND), Decision::Stop(StopReason::NotRetryable));
    let error = plan.error(StopReason::NotRetryable, "refused");
    assert_eq!((error.attempts, error.total_delay, error.error), (2, SECOND, "refused"));

    let mut plan = RetryPlan::new(&plain()).expect("valid").deadline(10 * SECOND).retry_open(true);
    assert_eq!(plan.after(Verdict::OpenCircuit(5 * SECOND), SECOND), Decision::Wait(5 * SECOND));
    assert_eq!(plan.time_left(SECOND), Some(5 * SECOND), "the waits alone took so long");
    assert_eq!(plan.time_left(7 * SECOND), Some(3 * SECOND));
    let never = Verdict::OpenCircuit(Duration::MAX);
    assert_eq!(plan.after(never, 7 * SECOND), Decision::Stop(StopReason::OpenCircuit));
}

#[test]
fn an_error_speaks_for_itself() {
    assert_eq!(Verdict::of(&"refused"), Verdict::Retry);
    assert_eq!(Verdict::of(&ServiceError::Wrong), Verdict::Stop);
    assert_eq!(Verdict::of(&ServiceError::Busy(SECOND)), Verdict::RetryAfter(SECOND));
    let guarded = CallError::Inner(ServiceError::Busy(SECOND));
    assert_eq!(Verdict::of(&guarded), Verdict::RetryAfter(SECOND));
    let clock = ManualClock::new();
    let refused = open_breaker(&clock).try_acquire().map(drop).expect_err("it is open");
    assert_eq!(Verdict::of(&refused), Verdict::OpenCircuit(refused.retry_after));
}

// ---- names and counts

#[test]
fn a_named_retry_counts_its_calls_by_attempts() {
    let retry = Retry::named("counted", plain().max_attempts(30).base_delay(Duration::ZERO));
    let retry = retry.expect("valid settings");
    assert_eq!(retry.name(), Some("counted"));
    for failures in [0, 0, 1, 5, 25, 99] {
        let _ = retry.call(fails(failures));
    }
    let judged = retry.clone().when(|_: &&str| false);
    judged.call(fails(1)).expect_err("it is not retried");

    let totals = retry.totals().expect("it has a name");
    let attempts = totals.attempts.map(|bucket| (bucket.most, bucket.succeeded, bucket.failed));
    let expected = [
        (Some(1), 2, 1),
        (Some(2), 1, 0),
        (Some(3), 0, 0),
        (Some(4), 0, 0),
        (Some(5), 0, 0),
        (Some(10), 1, 0),
        (Some(20), 0, 0),
        (None, 1, 1),
    ];
    assert_eq!(attempts, expected);
    assert_eq!((totals.calls(), totals.succeeded(), totals.failed(), totals.cancelled), (7, 5, 2, 0));
    assert_eq!(totals.retries, 1 + 5 + 25 + 29);
    assert_eq!((totals.stopped.exhausted, totals.stopped.not_retryable), (1, 1));
}

#[test]
fn every_reason_to_stop_is_counted() {
    let clock = ManualClock::new();
    let breaker = open_breaker(&clock);
    let retry = Retry::named("stopped", plain()).expect("valid settings").clock(&clock);
    let budget = RetryBudget::builder().ratio(0.0).min_per_second(0.0).burst(1).build().expect("valid");
    retry.call_with(|_| (), || breaker.call(|| Ok::<_, &str>(1))).expect_err("it is open");
    retry.clone().deadline(SECOND / 2).call_with(|_| (), fails(9)).expect_err("it is too late");
    let error = retry.clone().budget(&budget).call_with(|_| (), fails(9)).expect_err("it is spent");
    assert_eq!((error.attempts, error.total_delay), (2, SECOND), "the second wait was not waited");
    let mut overslept = 0;
    let late = retry.clone().deadline(2 * SECOND).call_with(
        |_| {
            overslept += 1;
            clock.advance(9 * SECOND);
        },
        fails(9),
    );
    late.expect_err("it is too late");
    let totals = retry.totals().expect("it has a name");
    let stopped = totals.stopped;
    assert_eq!((stopped.open_circuit, stopped.deadline, stopped.budget), (1, 2, 1));
    assert_eq!((totals.calls(), totals.retries, overslept), (4, 1, 1), "an overslept retry was not made");
}

#[test]
fn an_unwanted_value_counts_as_a_failed_call() {
    let retry = Retry::named("unwanted", plain()).expect("valid").retry_if_value(|value: &u32| *value == 0);
    assert_eq!(retry.call_with(|_| (), || Ok::<_, &str>(0)), Ok(0));
    assert_eq!(retry.call_with(|_| (), || Ok::<_, &str>(1)), Ok(1));
    let totals = retry.totals().expect("it has a name");
    assert_eq!((totals.succeeded(), totals.failed(), totals.stopped.exhausted), (1, 1, 1));
}

#[test]
fn named_retries_stand_in_the_directory_while_they_live() {
    let name = "in the directory";
    let find = || NamedRetry::live().into_iter().find(|retry| retry.name() == name);
    let retry = Retry::named(name, plain()).expect("valid settings");
    let clone = retry.clone().when(|_: &Foreign| true);
    retry.call(fails(0)).expect("it succeeds");
    drop(retry);
    let seen = find().expect("its clone is alive");
    assert_eq!((seen.totals().calls(), seen.config()), (1, &plain()));
    assert!(observe::live().iter().any(|live| (live.kind(), live.name()) == (Kind::Retry, name)));
    assert!(CircuitBreaker::live().iter().all(|breaker| breaker.name() != name));
    assert!(format!("{seen:?}").contains(name));
    drop(seen);
    drop(clone);
    assert!(find().is_none());
    assert_eq!((policy(plain()).name(), policy(plain()).totals()), (None, None));
}

#[test]
fn a_panicking_attempt_counts_as_cancelled() {
    let retry = Retry::named("panics", plain()).expect("valid settings");
    for failures in [0, 1] {
        let mut inner = fails(failures);
        let mut call = || retry.call_with(|_| (), || inner().map(|_| panic!("a panic of the test")));
        catch_unwind(AssertUnwindSafe(|| call().map(|(): ()| ()))).expect_err("the panic goes on");
    }
    let totals = retry.totals().expect("it has a name");
    assert_eq!((totals.calls(), totals.cancelled, totals.retries), (2, 2, 1));
}

// ---- budgets

fn budget(ratio: f64, min_per_second: f64, burst: u32) -> RetryBudget {
    let builder = RetryBudget::builder().ratio(ratio).min_per_second(min_per_second).burst(burst);
    builder.clock(&ManualClock::new()).build().expect("valid settings")
}

fn withdraw_all(budget: &RetryBudget, now: u64) -> u32 {
    (0..u32::MAX).find(|_| !budget.try_withdraw_at(now)).expect("it has an end")
}

#[test]
fn a_budget_begins_with_its_burst_and_grows_by_calls_and_by_time() {
    let budget = budget(0.1, 2.0, 5);
    assert_eq!(budget.available(), 5);
    assert_eq!(withdraw_all(&budget, 0), 5);
    for _ in 0..29 {
        budget.deposit();
    }
    assert_eq!(withdraw_all(&budget, 0), 2);
    budget.deposit();
    assert_eq!(budget.available_at(0), 1);
    assert_eq!(withdraw_all(&budget, 0), 1, "thirty calls earn exactly three");
    assert_eq!(withdraw_all(&budget, 499_999_999), 0);
    assert_eq!(withdraw_all(&budget, 500_000_000), 1);
    assert_eq!(withdraw_all(&budget, u64::MAX), 5, "no more is saved than the burst");
    assert_eq!((budget.calls(), budget.retries()), (30, 14));
}

#[test]
fn a_time_that_goes_back_earns_nothing() {
    let budget = budget(0.0, 1.0, 1);
    let second = 1_000_000_000;
    assert!(budget.try_withdraw_at(10 * second));
    assert!(budget.try_withdraw_at(11 * second));
    for _ in 0..10 {
        assert!(!budget.try_withdraw_at(0) && !budget.try_withdraw_at(11 * second));
    }
    assert_eq!(budget.available_at(0), 0);
    assert!(budget.try_withdraw_at(12 * second), "and it takes nothing");
}

#[test]
fn the_last_moment_of_time_is_a_first_time_too() {
    let budget = budget(0.0, 1.0, 1);
    assert!(budget.try_withdraw_at(u64::MAX));
    assert!(!budget.try_withdraw_at(0) && !budget.try_withdraw_at(u64::MAX));
}

#[test]
fn a_budget_out_of_range_is_named() {
    let refused = |change: fn(RetryBudgetBuilder) -> RetryBudgetBuilder| {
        change(RetryBudget::builder()).build().expect_err("out of range").to_string()
    };
    assert_eq!(refused(|b| b.ratio(-0.1)), "ratio is -0.1; allowed: 0 to 1000");
    assert_eq!(refused(|b| b.ratio(f64::NAN)), "ratio is NaN; allowed: 0 to 1000");
    assert_eq!(refused(|b| b.ratio(1e9)), "ratio is 1000000000.0; allowed: 0 to 1000");
    assert_eq!(refused(|b| b.min_per_second(f64::INFINITY)), "min_per_second is inf; allowed: 0 to 1000000");
    assert_eq!(refused(|b| b.burst(0)), "burst is 0; allowed: 1 or more");
    assert_eq!(refused(|b| b.stripes(0)), "stripes is 0; allowed: 1 to 65");
    assert_eq!(refused(|b| b.stripes(66)), "stripes is 66; allowed: 1 to 65");
}

#[test]
fn a_budget_is_shared_by_policies_and_counts_their_calls() {
    let budget = budget(0.5, 0.0, 1);
    let one = policy(plain()).budget(&budget);
    let two = policy(plain().max_attempts(9)).budget(&budget.clone());
    let error = one.call_with(|_| (), fails(9)).expect_err("it is spent");
    assert_eq!((error.attempts, error.reason, error.total_delay), (2, StopReason::Budget, SECOND));
    // Half a retry is there, which is none; with the call after it there is one.
    let error = two.call_with(|_| panic!("no wait"), fails(9)).expect_err("it is spent");
    assert_eq!((error.attempts, error.reason), (1, StopReason::Budget));
    let error = two.call_with(|_| (), fails(9)).expect_err("it is spent");
    assert_eq!((error.attempts, error.reason), (2, StopReason::Budget));
    assert_eq!(one.call(fails(0)), Ok(1));
    assert_eq!((budget.calls(), budget.retries()), (4, 2));
    // What is not retried for another reason costs nothing.
    one.clone().when(|_: &&str| false).call(fails(9)).expect_err("it is not retried");
    assert_eq!((budget.calls(), budget.retries()), (5, 2));
    assert!(format!("{budget:?}").contains("calls: 5"));
}

#[test]
fn a_service_that_is_down_gets_only_a_share_more() {
    let budget = budget(0.1, 0.0, 10);
    let retry = policy(plain().max_attempts(5)).budget(&budget);
    let mut calls = 0;
    for _ in 0..1_000 {
        let call = || {
            calls += 1;
            Err::<(), _>("refused")
        };
        retry.call_with(|_| (), call).expect_err("it is down");
    }
    // The first call's tenth has lapsed: the budget was full.
    assert_eq!(calls, 1_000 + 99 + 10);
}

// ---- futures

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}

/// A future of each result of a call.
fn in_future<T>(mut call: impl FnMut() -> T) -> impl FnMut() -> std::future::Ready<T> {
    move || ready(call())
}

#[test]
fn a_future_is_tried_until_it_succeeds() {
    let mut slept = Vec::new();
    let mut sleep = |wait| {
        slept.push(wait);
        ready(())
    };
    let config = plain().max_attempts(5);
    assert_eq!(block_on(retry_async_with(&config, &mut sleep, in_future(fails(3)))), Ok(4));
    let error = block_on(retry_async_with(&config, &mut sleep, in_future(fails(9))));
    assert_eq!(error.expect_err("it fails").total_delay, 15 * SECOND);
    assert_eq!(block_on(policy(config).call_async_with(&mut sleep, in_future(fails(1)))), Ok(2));
    assert_eq!(seconds(&slept), [1.0, 2.0, 4.0, 1.0, 2.0, 4.0, 8.0, 1.0]);
}

#[test]
fn nothing_runs_and_nothing_is_counted_before_the_first_poll() {
    let ran = Cell::new(false);
    let op = || {
        ran.set(true);
        ready(Ok::<(), &str>(()))
    };
    let shared = budget(0.0, 0.0, 1);
    let retry = Retry::named("lazy", plain()).expect("valid settings").budget(&shared);
    drop(retry.call_async_with(|_| ready(()), op));
    drop(retry_async_with(&plain(), |_| ready(()), op));
    assert!(!ran.get());
    assert_eq!((shared.calls(), retry.totals().expect("named").calls()), (0, 0));
}

#[test]
fn dropped_while_it_waits_or_runs_it_makes_no_further_attempt() {
    let retry = Retry::named("dropped", plain()).expect("valid settings");
    let attempts = Cell::new(0);
    let fail = || {
        attempts.set(attempts.get() + 1);
        ready(Err::<(), _>("refused"))
    };
    {
        let mut call = pin!(retry.call_async_with(|_| pending::<()>(), fail));
        assert!(poll(call.as_mut()).is_pending() && poll(call.as_mut()).is_pending());
    }
    {
        let mut call = pin!(retry.call_async_with(|_| ready(()), pending::<Result<(), &str>>));
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(attempts.get(), 1);
    let totals = retry.totals().expect("named");
    assert_eq!((totals.calls(), totals.cancelled, totals.retries), (2, 2, 0));
}

#[test]
fn a_slow_attempt_is_dropped_at_its_limit_and_tried_again() {
    struct Noisy<'a>(&'a Cell<u32>);
    impl Drop for Noisy<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let (dropped, mut timers) = (Cell::new(0), Vec::new());
    let retry = policy(plain()).attempt_timeout(5 * SECOND, |limit| format!("nothing for {limit:?}"));
    let sleep = |wait| {
        timers.push(wait);
        ready(())
    };
    let slow = || {
        let noisy = Noisy(&dropped);
        async move {
            let _noisy = noisy;
            pending::<()>().await;
            Ok::<(), String>(())
        }
    };
    let error = block_on(retry.call_async_with(sleep, slow)).expect_err("it is slow");
    assert_eq!((error.error.as_str(), error.attempts), ("nothing for 5s", 3));
    assert_eq!(error.total_delay, 3 * SECOND, "time-outs are no waits");
    assert_eq!((dropped.get(), seconds(&timers)), (3, vec![5.0, 1.0, 5.0, 2.0, 5.0]));
    // One that is done when the timer is polled is not thrown away.
    let retry = policy(plain()).attempt_timeout(Duration::ZERO, |_| "slow");
    assert_eq!(block_on(retry.call_async_with(|_| ready(()), in_future(fails(2)))), Ok(3));
}

#[test]
fn the_error_of_a_slow_attempt_is_judged_as_any_other() {
    let retry = policy(plain()).attempt_timeout(SECOND, |_| ServiceError::Wrong);
    let slow = block_on(retry.call_async_with(|_| ready(()), pending::<Result<(), _>>));
    assert_eq!(slow.expect_err("it is slow").reason, StopReason::NotRetryable);
    let retry = retry.when(|error: &ServiceError| *error == ServiceError::Wrong);
    let slow = block_on(retry.call_async_with(|_| ready(()), pending::<Result<(), _>>));
    assert_eq!(slow.expect_err("it is slow").attempts, 3);
}

#[test]
fn an_attempt_gets_no_more_time_than_the_deadline_leaves() {
    let (clock, limits) = (ManualClock::new(), RefCell::new(Vec::new()));
    let retry = policy(plain())
        .clock(&clock)
        .deadline(10 * SECOND)
        .attempt_timeout(6 * SECOND, |limit| limits.borrow_mut().push(limit));
    let sleep = |wait| {
        clock.advance(wait);
        ready(())
    };
    let error = block_on(retry.call_async_with(sleep, pending::<Result<(), ()>>)).expect_err("it is slow");
    // 6 s, a wait of 1 s, and the 3 s that are left.
    assert_eq!(seconds(&limits.borrow()), [6.0, 3.0]);
    assert_eq!((error.reason, clock.now()), (StopReason::Deadline, 10_000_000_000));
}

#[test]
fn futures_keep_their_deadline_their_budget_and_their_circuit() {
    let clock = ManualClock::new();
    let late = policy(plain().max_attempts(9)).clock(&clock).deadline(3 * SECOND);
    let error = block_on(late.call_async_with(|_| ready(()), in_future(fails(9)))).expect_err("too late");
    assert_eq!((error.attempts, error.reason), (2, StopReason::Deadline));
    let overslept = |_| {
        clock.advance(9 * SECOND);
        ready(())
    };
    let error = block_on(late.call_async_with(overslept, in_future(fails(9)))).expect_err("too late");
    assert_eq!((error.attempts, error.reason), (1, StopReason::Deadline));
    let spent = policy(plain()).budget(&budget(0.0, 0.0, 1));
    let error = block_on(spent.call_async_with(|_| ready(()), in_future(fails(9)))).expect_err("spent");
    assert_eq!((error.attempts, error.reason), (2, StopReason::Budget));
    let breaker = open_breaker(&clock);
    let guarded = || breaker.call_async(|| ready(Ok::<(), &str>(())));
    let error = block_on(retry_async_with(&plain(), |_| ready(()), guarded)).expect_err("open");
    assert_eq!((error.attempts, error.reason), (1, StopReason::OpenCircuit));
}

#[test]
fn policies_budgets_and_futures_are_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Retry>();
    is_shared::<RetryBudget>();
    is_shared::<NamedRetry>();
    is_shared::<RetryError<String>>();
    let retry = Retry::named("send", plain()).expect("valid settings");
    let call = is_send(retry.call_async_with(|_| ready(()), || async { Ok::<_, String>(1) }));
    assert_eq!(block_on(call), Ok(1));
    let config = plain();
    let call = is_send(retry_async_with(&config, |_| ready(()), || async { Ok::<_, String>(1) }));
    assert_eq!(block_on(call), Ok(1));
}

#[cfg(feature = "tokio")]
mod timers {
    use super::*;
    use fusewire::retry_async;

    /// Runs with tokio's time paused: it jumps to the next timer when everything waits.
    fn run<F: Future>(future: F) -> (F::Output, Duration) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(async {
            let began = tokio::time::Instant::now();
            (future.await, began.elapsed())
        })
    }

    #[test]
    fn waits_are_those_of_tokio() {
        let (reply, took) = run(retry_async(&plain(), in_future(fails(2))));
        assert_eq!((reply, took), (Ok(3), 3 * SECOND));
        let (reply, took) = run(retry_async(&plain(), in_future(fails(0))));
        assert_eq!((reply, took), (Ok(1), Duration::ZERO));
        let retry = policy(plain());
        let (error, took) = run(retry.call_async(in_future(fails(9))));
        assert_eq!((error.expect_err("it fails").attempts, took), (3, 3 * SECOND));
    }

    #[test]
    fn time_outs_are_those_of_tokio() {
        let retry = policy(plain()).attempt_timeout(5 * SECOND, |_| "too slow");
        let (error, took) = run(retry.call_async(pending::<Result<(), &str>>));
        assert_eq!((error.expect_err("it is slow").error, took), ("too slow", 18 * SECOND));
        let quick = async || {
            tokio::time::sleep(SECOND).await;
            Ok::<_, &str>(7)
        };
        let (reply, took) = run(retry.call_async(quick));
        assert_eq!((reply, took), (Ok(7), SECOND));
    }
}
