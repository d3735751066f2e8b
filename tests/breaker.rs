//! What users of a breaker see of its rules, through the public API.

use std::time::Duration;

use fusewire::{
    CallError, Cancelled, Cause, CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig, CircuitState,
    ManualClock, OpenBackoff, Outcome, ProbeMode, RejectReason, Rejected, SlowCalls, Token, Transition,
    WindowConfig,
};

const SECOND: u64 = 1_000_000_000;
/// The grain of deadlines: they are rounded up to it.
const UNIT: u64 = 1 << 18;

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("orders").clock(&ManualClock::new()).stripes(1)
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

fn admit(breaker: &CircuitBreaker, now: u64) -> Token {
    breaker.admit_at(now).expect("it lets the call through")
}

fn refused(breaker: &CircuitBreaker, now: u64) -> Rejected {
    breaker.admit_at(now).expect_err("it refuses the call")
}

fn call(breaker: &CircuitBreaker, outcome: Outcome, now: u64) -> Option<Transition> {
    breaker.record_at(admit(breaker, now), outcome, now)
}

fn fail(breaker: &CircuitBreaker, times: u64, now: u64) -> Option<Transition> {
    (0..times).fold(None, |_, _| call(breaker, Outcome::Failure, now))
}

fn succeed(breaker: &CircuitBreaker, times: u64, now: u64) -> Option<Transition> {
    (0..times).fold(None, |_, _| call(breaker, Outcome::Success, now))
}

/// Changes some settings while the breaker runs.
fn reconfigure(breaker: &CircuitBreaker, change: impl FnOnce(&mut CircuitBreakerConfig)) {
    let mut config = breaker.config();
    change(&mut config);
    breaker.reconfigure(config).expect("valid settings");
}

// ---- consecutive failures

#[test]
fn failures_in_a_row_open_it_and_a_success_between_does_not_count() {
    let breaker = build(builder().failure_threshold(3));
    assert_eq!(fail(&breaker, 2, 0), None);
    assert_eq!(breaker.failure_count(), 2);
    succeed(&breaker, 1, 0);
    assert_eq!(breaker.failure_count(), 0);
    let moved = fail(&breaker, 3, 0).expect("the third in a row");
    assert_eq!((moved.from, moved.to), (CircuitState::Closed, CircuitState::Open));
    assert_eq!((moved.cause, moved.sequence), (Cause::ConsecutiveFailures, 1));
    assert_eq!(breaker.failure_count(), 3);
}

#[test]
fn without_a_rule_nothing_opens() {
    let breaker = build(builder().failure_threshold(None));
    assert_eq!(fail(&breaker, 1_000, 0), None);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn ignored_and_cancelled_calls_neither_add_nor_reset() {
    let breaker = build(builder().failure_threshold(2));
    fail(&breaker, 1, 0);
    call(&breaker, Outcome::Ignored, 0);
    call(&breaker, Outcome::Cancelled, 0);
    assert_eq!(breaker.failure_count(), 1);
    assert!(fail(&breaker, 1, 0).is_some());
    let totals = breaker.totals();
    assert_eq!((totals.failure, totals.ignored, totals.cancelled), (2, 1, 1));
}

#[test]
fn a_cancelled_call_is_a_failure_where_it_was_asked_for() {
    let breaker = build(builder().failure_threshold(1).cancelled_as(Cancelled::Failure));
    drop(breaker.try_acquire().expect("closed"));
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!((breaker.totals().failure, breaker.totals().cancelled), (1, 0));
}

// ---- open

#[test]
fn an_open_breaker_refuses_with_the_time_left_until_a_call_moves_it() {
    let breaker = build(builder().failure_threshold(1).recovery_timeout(Duration::from_secs(30)));
    fail(&breaker, 1, 7);
    let soon = refused(&breaker, 7);
    assert_eq!(soon.reason, RejectReason::Open);
    let most = Duration::from_nanos(30 * SECOND + UNIT);
    assert!(soon.retry_after >= Duration::from_secs(30) && soon.retry_after < most, "{soon}");
    let at = 7 + soon.retry_after.as_nanos() as u64;
    assert_eq!(refused(&breaker, at - 1).retry_after, Duration::from_nanos(1));
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!(breaker.time_until_retry_at(at), Duration::ZERO);
    assert_eq!(breaker.state(), CircuitState::Open, "nobody called");
    assert!(admit(&breaker, at).is_probe());
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
}

#[test]
fn a_recovery_timeout_of_zero_makes_the_next_call_a_probe() {
    let breaker = build(builder().failure_threshold(1).recovery_timeout(Duration::ZERO));
    fail(&breaker, 1, 12_345);
    assert!(admit(&breaker, 12_345).is_probe());
}

#[test]
fn open_periods_grow_to_their_cap_and_start_anew_when_healthy() {
    let seconds = Duration::from_secs;
    let backoff = OpenBackoff { factor: 2.0, max: seconds(5), jitter: 0.0, healthy_after: seconds(100) };
    let rules = builder().failure_threshold(1).half_open_requests(1);
    let breaker = build(rules.recovery_timeout(seconds(1)).open_backoff(backoff));
    let mut now = SECOND;
    fail(&breaker, 1, now);
    let mut periods = Vec::new();
    for _ in 0..5 {
        let left = breaker.time_until_retry_at(now).as_nanos() as u64;
        periods.push(left / SECOND);
        now += left;
        call(&breaker, Outcome::Failure, now);
    }
    assert_eq!(periods, [1, 2, 4, 5, 5]);
    now += 6 * SECOND;
    succeed(&breaker, 1, now);
    assert_eq!(breaker.state(), CircuitState::Closed);
    fail(&breaker, 1, now + 99 * SECOND);
    assert_eq!(breaker.time_until_retry_at(now + 99 * SECOND).as_secs(), 5, "not healthy for long enough");
    now += 110 * SECOND;
    succeed(&breaker, 1, now);
    fail(&breaker, 1, now + 101 * SECOND);
    assert_eq!(breaker.time_until_retry_at(now + 101 * SECOND).as_secs(), 1);
}

#[test]
fn an_open_period_of_zero_stays_zero_however_often_it_grows() {
    let backoff = OpenBackoff { factor: 1000.0, jitter: 0.0, ..OpenBackoff::default() };
    let rules = builder().failure_threshold(1).recovery_timeout(Duration::ZERO);
    let breaker = build(rules.open_backoff(backoff));
    fail(&breaker, 1, 0);
    // A power of the factor is infinite long before this.
    for opening in 0..400 {
        assert_eq!(breaker.time_until_retry_at(0), Duration::ZERO, "after {opening} failed probes");
        call(&breaker, Outcome::Failure, 0);
    }
}

#[test]
fn jitter_shortens_a_period_and_a_seed_repeats_it() {
    let period = |seed| {
        let max = Duration::from_secs(100);
        let backoff = OpenBackoff { jitter: 0.5, max, ..OpenBackoff::default() };
        let rules = builder().failure_threshold(1).recovery_timeout(max).open_backoff(backoff);
        let breaker = build(rules.seed(seed));
        fail(&breaker, 1, 0);
        breaker.time_until_retry_at(0)
    };
    let periods: Vec<Duration> = (0..50).map(period).collect();
    let grain = Duration::from_nanos(UNIT);
    assert!(periods.iter().all(|p| (Duration::from_secs(50)..Duration::from_secs(100) + grain).contains(p)));
    assert_eq!(period(7), periods[7]);
    let (shortest, longest) = (periods.iter().min(), periods.iter().max());
    assert!(longest.zip(shortest).is_some_and(|(l, s)| *l > *s + Duration::from_secs(25)), "{periods:?}");
}

// ---- half-open

/// A breaker that opened at zero and is past its open period at `SECOND`.
fn opened(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    let breaker = build(builder.failure_threshold(1).recovery_timeout(Duration::from_millis(900)));
    fail(&breaker, 1, 0);
    breaker
}

#[test]
fn probes_close_it_together_and_one_failure_opens_it_again() {
    let breaker = opened(builder().half_open_requests(2));
    assert_eq!(succeed(&breaker, 1, SECOND), None);
    let closed = succeed(&breaker, 1, SECOND).expect("the second success");
    assert_eq!((closed.to, closed.cause), (CircuitState::Closed, Cause::ProbesSucceeded));
    assert_eq!(breaker.failure_count(), 0);

    let breaker = opened(builder().half_open_requests(2));
    succeed(&breaker, 1, SECOND);
    let opened = fail(&breaker, 1, SECOND).expect("one failure is enough");
    assert_eq!((opened.to, opened.cause), (CircuitState::Open, Cause::ProbeFailed));
    assert_eq!(breaker.failure_count(), 2);
    assert_eq!(refused(&breaker, SECOND).reason, RejectReason::Open);
}

#[test]
fn a_full_round_refuses_and_is_replaced_at_its_deadline() {
    let timeout = Duration::from_secs(4);
    let breaker = opened(builder().half_open_requests(2).half_open_timeout(timeout));
    let old = [admit(&breaker, SECOND), admit(&breaker, SECOND)];
    let full = refused(&breaker, 2 * SECOND);
    assert_eq!(full.reason, RejectReason::HalfOpen);
    assert_eq!(full.retry_after, breaker.time_until_retry_at(2 * SECOND));
    let replaced = 2 * SECOND + full.retry_after.as_nanos() as u64;
    assert!((5 * SECOND..5 * SECOND + 2 * UNIT).contains(&replaced));
    assert!(breaker.admit_at(replaced - 1).is_err());
    assert!(admit(&breaker, replaced).is_probe());
    assert_eq!(breaker.totals().sequence, 3, "the fresh round is an epoch of its own");
    for probe in old {
        assert_eq!(breaker.record_at(probe, Outcome::Failure, replaced), None);
    }
    assert_eq!(breaker.totals().late, 2);
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
}

#[test]
fn a_round_with_places_left_is_never_replaced() {
    let breaker = opened(builder().half_open_requests(2));
    succeed(&breaker, 1, SECOND);
    let much_later = 400 * 24 * 3600 * SECOND;
    assert!(succeed(&breaker, 1, much_later).is_some_and(|moved| moved.to == CircuitState::Closed));
}

#[test]
fn the_round_of_the_default_lasts_a_second_at_least() {
    let rules = builder().failure_threshold(1).recovery_timeout(Duration::ZERO).half_open_requests(1);
    let breaker = build(rules);
    fail(&breaker, 1, 0);
    admit(&breaker, 0);
    let left = refused(&breaker, 0).retry_after;
    assert!(left >= Duration::from_secs(1) && left < Duration::from_nanos(SECOND + 2 * UNIT));
}

#[test]
fn as_many_probes_as_can_be_configured() {
    let most = (1 << 20) - 1;
    let breaker = opened(builder().half_open_requests(most));
    let first = admit(&breaker, SECOND);
    let probes = breaker.snapshot_at(SECOND).probes.expect("half-open");
    assert_eq!((probes.places_left, probes.succeeded), (u64::from(most) - 1, 0));
    breaker.record_at(first, Outcome::Ignored, SECOND);
    assert_eq!(breaker.snapshot_at(SECOND).probes.map(|p| p.places_left), Some(u64::from(most)));
    let closed = succeed(&breaker, u64::from(most), SECOND);
    assert!(closed.is_some_and(|moved| moved.cause == Cause::ProbesSucceeded));
}

// ---- ramp-up

#[test]
fn a_ramp_admits_a_share_that_grows_to_all() {
    let breaker = opened(builder().half_open_requests(1).ramp_up(Duration::from_secs(100)));
    succeed(&breaker, 1, SECOND);
    let admitted = |at: u64| (0..1_000).filter(|_| breaker.admit_at(at).is_ok()).count();
    let shares = [1, 21, 51, 91].map(|second| admitted(second * SECOND));
    for (share, expected) in shares.into_iter().zip([100_usize, 200, 500, 900]) {
        assert!(share.abs_diff(expected) <= 12, "{share} of 1000 instead of {expected}");
    }
    let totals = breaker.totals();
    assert_eq!(totals.rejected.ramp_up, 4_000 - shares.iter().sum::<usize>() as u64);
    assert_eq!(admitted(102 * SECOND), 1_000);
    // Once over it stays over, whatever the clock does.
    assert_eq!(admitted(SECOND), 1_000);
}

#[test]
fn a_trip_ends_a_ramp_and_the_next_closing_begins_another() {
    let breaker = opened(builder().half_open_requests(1).ramp_up(Duration::from_secs(100)));
    succeed(&breaker, 1, SECOND);
    let during = SECOND + 50 * SECOND;
    let token = (0..20).find_map(|_| breaker.admit_at(during).ok()).expect("half of them pass");
    assert!(breaker.record_at(token, Outcome::Failure, during).is_some());
    let later = during + 2 * SECOND;
    succeed(&breaker, 1, later);
    let passed = (0..1_000).filter(|_| breaker.admit_at(later).is_ok()).count();
    assert!((80..=120).contains(&passed), "{passed} of 1000");
}

// ---- rates

#[test]
fn a_failure_rate_opens_at_exactly_its_share_and_not_before_the_minimum() {
    let breaker = build(builder().failure_threshold(None).failure_rate(0.5).minimum_calls(10));
    succeed(&breaker, 5, 0);
    assert_eq!(fail(&breaker, 4, 0), None, "nine calls");
    let moved = fail(&breaker, 1, 0).expect("five of ten");
    assert_eq!(moved.cause, Cause::FailureRate);
    assert_eq!(breaker.failure_count(), 5);
}

#[test]
fn slow_calls_open_it_whether_they_fail_or_not() {
    let slow = Duration::from_millis(100);
    let breaker = build(builder().failure_threshold(None).slow_calls(slow, 0.6).minimum_calls(5));
    let took = |nanos: u64| breaker.record_at(admit(&breaker, 0), Outcome::Success, nanos);
    let just = slow.as_nanos() as u64;
    for _ in 0..2 {
        assert_eq!(took(just), None, "as long as the threshold is not slow");
    }
    assert_eq!(took(just + 1), None);
    assert_eq!(took(just + 1), None, "two of four calls, and too few");
    let moved = took(just + 1).expect("three of five");
    assert_eq!(moved.cause, Cause::SlowCallRate);
    let totals = breaker.totals();
    assert_eq!((totals.success, totals.slow_success, totals.failure), (5, 3, 0));
}

#[test]
fn any_of_the_rules_opens_it() {
    let rules = || {
        let slow = SlowCalls { threshold: Duration::ZERO, rate: 1.0 };
        let mut config = CircuitBreakerConfig::default();
        config.failure_threshold = Some(2);
        config.failure_rate = Some(0.5);
        config.slow_calls = Some(slow);
        config.minimum_calls = 4;
        build(builder().config(config))
    };
    let consecutive = rules();
    succeed(&consecutive, 3, 0);
    assert_eq!(fail(&consecutive, 2, 0).map(|m| m.cause), Some(Cause::ConsecutiveFailures));
    let rate = rules();
    let mixed = [Outcome::Failure, Outcome::Success, Outcome::Success, Outcome::Failure];
    let moved = mixed.map(|outcome| call(&rate, outcome, 0));
    assert_eq!(moved[3].map(|m| m.cause), Some(Cause::FailureRate));
    let slow = rules();
    let moved = (0..4).fold(None, |_, _| slow.record_at(admit(&slow, 0), Outcome::Success, 1));
    assert_eq!(moved.map(|m| m.cause), Some(Cause::SlowCallRate));
}

#[test]
fn a_success_that_completes_the_minimum_lets_the_next_bucket_decide() {
    let window = WindowConfig::time(Duration::from_secs(10), 10);
    let breaker = build(builder().failure_threshold(None).failure_rate(0.5).minimum_calls(4).window(window));
    fail(&breaker, 2, 0);
    assert_eq!(succeed(&breaker, 2, 0), None);
    let moved = succeed(&breaker, 1, 2 * SECOND);
    assert_eq!(moved, None, "two of five by now");
    let breaker = build(builder().failure_threshold(None).failure_rate(0.5).minimum_calls(4).window(window));
    fail(&breaker, 3, 0);
    succeed(&breaker, 1, 0);
    assert!(succeed(&breaker, 1, 2 * SECOND).is_some_and(|moved| moved.cause == Cause::FailureRate));
}

#[test]
fn a_count_window_holds_as_many_calls_as_its_minimum_may_ask_for() {
    for (calls, buckets) in [(10, 1), (10, 10), (100, 10)] {
        let rules = builder().failure_threshold(None).failure_rate(0.5).minimum_calls(calls);
        let breaker = build(rules.window(WindowConfig::count(calls, buckets)));
        assert_eq!(fail(&breaker, u64::from(calls) - 1, 0), None);
        assert!(fail(&breaker, 1, 0).is_some(), "{calls} failures in a window of {calls} calls");
    }
}

#[test]
fn a_count_window_forgets_what_is_older_than_its_calls() {
    let rules = builder().failure_threshold(None).failure_rate(0.5).minimum_calls(10);
    let breaker = build(rules.window(WindowConfig::count(10, 10)));
    fail(&breaker, 4, 0);
    succeed(&breaker, 10, 0);
    assert_eq!(breaker.totals().window.map(|window| window.failures), Some(0));
    assert_eq!(fail(&breaker, 4, 0), None, "four of the last ten");
    assert!(fail(&breaker, 1, 0).is_some(), "five of the last ten");
}

#[test]
fn successes_of_followed_calls_move_a_count_window_on() {
    // Calls that are followed for `count_hung_after` take the longer path; their successes must be
    // looked at as often, or failures meet an empty window and a few of them make all of it.
    let rules = builder().failure_threshold(None).failure_rate(0.5).minimum_calls(10);
    let rules = rules.window(WindowConfig::count(100, 10)).count_hung_after(Duration::from_mins(1));
    let breaker = build(rules);
    succeed(&breaker, 1_000, 0);
    assert_eq!(fail(&breaker, 20, 0), None, "20 of about 100 calls");
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_new_count_window_begins_with_the_next_call() {
    let breaker = build(builder().failure_threshold(None));
    succeed(&breaker, 1_003, 0);
    reconfigure(&breaker, |config| {
        config.failure_rate = Some(1.0);
        config.minimum_calls = 1;
        config.window = WindowConfig::count(10, 2);
    });
    assert!(fail(&breaker, 1, 0).is_some(), "one failure of one call");
}

#[test]
fn failures_from_before_a_trip_do_not_trip_again() {
    let rules = builder().failure_threshold(None).failure_rate(0.5).minimum_calls(4);
    let breaker = build(rules.recovery_timeout(Duration::ZERO).half_open_requests(1));
    assert!(fail(&breaker, 4, 0).is_some());
    assert!(succeed(&breaker, 1, 0).is_some_and(|moved| moved.to == CircuitState::Closed));
    assert_eq!(breaker.totals().window.map(|window| window.calls), Some(0));
    assert_eq!(fail(&breaker, 3, 0), None, "the minimum counts anew");
    assert!(fail(&breaker, 1, 0).is_some());
}

#[test]
fn probes_and_late_results_stay_out_of_the_window() {
    let rules = builder().failure_threshold(None).failure_rate(1.0).minimum_calls(1);
    let breaker = build(rules.recovery_timeout(Duration::ZERO).half_open_requests(2));
    let late = admit(&breaker, 0);
    fail(&breaker, 1, 0);
    succeed(&breaker, 2, 0);
    assert_eq!(breaker.state(), CircuitState::Closed);
    breaker.record_at(late, Outcome::Failure, 0);
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(breaker.totals().window.map(|window| window.calls), Some(0));
    let totals = breaker.totals();
    assert_eq!((totals.success, totals.failure, totals.late), (2, 1, 1));
}

// ---- by hand

#[test]
fn forced_open_it_stays_until_somebody_closes_it() {
    let breaker = build(builder().recovery_timeout(Duration::from_secs(1)));
    assert!(breaker.force_open_at(0).is_some());
    assert_eq!(breaker.force_open_at(0), None, "it is already");
    let century = 100 * 365 * 24 * 3600 * SECOND;
    let never = refused(&breaker, century);
    assert_eq!((never.reason, never.retry_after), (RejectReason::ForcedOpen, Duration::MAX));
    assert!(breaker.snapshot_at(century).forced_open);
    let closed = breaker.force_close_at(century).expect("it was open");
    assert_eq!((closed.from, closed.cause), (CircuitState::Open, Cause::ForcedClose));
    assert_eq!(breaker.force_close_at(century), None);
    admit(&breaker, century);
}

#[test]
fn disabled_it_lets_everything_through_and_still_counts() {
    let breaker = build(builder().failure_threshold(1));
    let before = admit(&breaker, 0);
    assert!(breaker.disable_at(0).is_some());
    assert_eq!(breaker.disable_at(0), None);
    assert_eq!(fail(&breaker, 100, 0), None);
    assert_eq!((breaker.state(), breaker.totals().failure), (CircuitState::Disabled, 100));
    assert_eq!(breaker.record_at(before, Outcome::Failure, 0), None, "it is of another epoch");
    assert_eq!(breaker.enable_at(0).map(|moved| moved.to), Some(CircuitState::Closed));
    assert_eq!(breaker.enable_at(0), None);
    assert_eq!(breaker.failure_count(), 0);
    assert!(fail(&breaker, 1, 0).is_some());
}

#[test]
fn reset_forgets_failures_and_makes_what_is_out_late() {
    let breaker = build(builder().failure_threshold(3));
    let out = admit(&breaker, 5);
    fail(&breaker, 2, 5);
    assert_eq!(breaker.last_failure_at(), Some(5));
    let moved = breaker.reset_at(6).expect("always a transition");
    assert_eq!(
        (moved.from, moved.to, moved.cause),
        (CircuitState::Closed, CircuitState::Closed, Cause::Reset)
    );
    assert_eq!((breaker.failure_count(), breaker.last_failure_at()), (0, None));
    breaker.record_at(out, Outcome::Failure, 6);
    assert_eq!((breaker.failure_count(), breaker.totals().late), (0, 1));
    assert_eq!(breaker.totals().failure, 2, "the totals stay");
}

#[test]
fn the_failure_count_of_an_opening_is_never_below_the_threshold() {
    let breaker = build(builder().failure_threshold(5));
    fail(&breaker, 5, 0);
    assert_eq!(breaker.failure_count(), 5);
    breaker.force_open_at(0);
    assert_eq!(breaker.failure_count(), 5, "what opened it before stands");
    breaker.disable_at(0);
    assert_eq!(breaker.failure_count(), 0);
    breaker.force_open_at(0);
    assert_eq!(breaker.failure_count(), 5, "never fewer than the threshold while open");
}

#[test]
fn the_last_failure_is_the_latest_even_at_the_end_of_time() {
    let breaker = build(builder().failure_threshold(None));
    assert_eq!(breaker.last_failure_at(), None);
    fail(&breaker, 1, 10);
    fail(&breaker, 1, 9);
    assert_eq!(breaker.last_failure_at(), Some(10));
    fail(&breaker, 1, u64::MAX);
    assert!(breaker.last_failure_at().is_some_and(|at| at >= u64::MAX - 1));
}

// ---- new settings

#[test]
fn new_settings_keep_what_was_consumed() {
    let breaker = build(builder().failure_threshold(5).recovery_timeout(Duration::from_secs(10)));
    let out = admit(&breaker, 0);
    fail(&breaker, 3, 0);
    reconfigure(&breaker, |config| config.failure_threshold = Some(4));
    assert_eq!(breaker.failure_count(), 3);
    assert!(breaker.record_at(out, Outcome::Failure, 0).is_some(), "the fourth, of before");
    reconfigure(&breaker, |config| config.recovery_timeout = Duration::from_secs(1));
    assert!(breaker.time_until_retry_at(0) >= Duration::from_secs(10), "a deadline that runs stays");
    assert_eq!(breaker.totals().failure, 4);
}

#[test]
fn settings_out_of_range_leave_the_old_ones() {
    let breaker = build(builder());
    let before = breaker.config();
    let mut wrong = before.clone();
    wrong.failure_threshold = Some(9);
    wrong.minimum_calls = 0;
    let error = breaker.reconfigure(wrong).expect_err("no calls at all");
    assert_eq!((error.field(), error.value()), ("minimum_calls", "0"));
    assert_eq!(breaker.config(), before);
}

#[test]
fn a_running_round_follows_a_new_number_of_probes() {
    let breaker = opened(builder().half_open_requests(3));
    let out = [admit(&breaker, SECOND), admit(&breaker, SECOND)];
    let left = || breaker.snapshot_at(SECOND).probes.map(|probes| probes.places_left);
    reconfigure(&breaker, |config| config.half_open_requests = 1);
    assert_eq!(left(), Some(0));
    breaker.record_at(out[0], Outcome::Cancelled, SECOND);
    assert_eq!(left(), Some(0), "one is out, and one is allowed");
    reconfigure(&breaker, |config| config.half_open_requests = 3);
    assert_eq!(left(), Some(2));
    reconfigure(&breaker, |config| config.half_open_requests = 1);
    assert!(breaker.record_at(out[1], Outcome::Success, SECOND).is_some(), "one success is enough now");
}

#[test]
fn fewer_probes_and_more_again_never_add_up_to_too_many() {
    let breaker = opened(builder().half_open_requests(3));
    admit(&breaker, SECOND);
    admit(&breaker, SECOND);
    for probes in [1, 3, 1, 2, 3] {
        reconfigure(&breaker, |config| config.half_open_requests = probes);
    }
    admit(&breaker, SECOND);
    assert_eq!(refused(&breaker, SECOND).reason, RejectReason::HalfOpen, "three are out");
}

#[test]
fn a_round_with_successes_enough_for_a_smaller_number_still_closes() {
    let breaker = opened(builder().half_open_requests(3));
    succeed(&breaker, 2, SECOND);
    reconfigure(&breaker, |config| config.half_open_requests = 2);
    assert!(succeed(&breaker, 1, SECOND).is_some_and(|moved| moved.to == CircuitState::Closed));
}

#[test]
fn results_of_calls_from_before_following_was_off_and_on_again_count() {
    let after = Some(Duration::from_secs(1));
    let rules = builder().failure_threshold(1).half_open_requests(1);
    let breaker = build(rules.count_hung_after(Duration::from_secs(1)));
    let out = admit(&breaker, 0);
    reconfigure(&breaker, |config| config.count_hung_after = None);
    reconfigure(&breaker, |config| config.count_hung_after = after);
    assert!(breaker.record_at(out, Outcome::Failure, 1).is_some(), "a failure in time");
    assert_eq!((breaker.totals().failure, breaker.totals().late), (1, 0));
}

// ---- a fleet

#[test]
fn a_state_from_elsewhere_is_taken_over_once() {
    let breaker = build(builder().failure_threshold(5).recovery_timeout(Duration::from_secs(10)));
    fail(&breaker, 1, 0);
    let remote = |generation, state, at| breaker.apply_remote_at(generation, state, at, at);
    let opened = remote(3, CircuitState::Open, SECOND).expect("newer than nothing");
    assert_eq!((opened.to, opened.cause), (CircuitState::Open, Cause::Remote));
    assert_eq!(breaker.failure_count(), 5, "never fewer than the threshold while open");
    assert_eq!(remote(3, CircuitState::Closed, SECOND), None, "not newer");
    assert_eq!(breaker.remote_generation(), 3);
    assert!(remote(4, CircuitState::Closed, SECOND).is_some());
    breaker.force_open_at(SECOND);
    assert_eq!(remote(5, CircuitState::Closed, SECOND), None, "what was done by hand stands");
    assert_eq!(breaker.remote_generation(), 4, "and what was said is not taken over");
    breaker.force_close_at(SECOND);
    assert!(remote(5, CircuitState::Open, 2 * SECOND).is_some(), "so it can be said again");
    assert_eq!(breaker.apply_remote_at(6, CircuitState::Open, 2 * SECOND, 2 * SECOND), None, "nothing new");
    assert_eq!(breaker.remote_generation(), 6);
}

#[test]
fn a_grant_ends_with_its_time_and_never_exceeds_a_round() {
    let breaker = opened(builder().half_open_requests(2).probes(ProbeMode::Granted));
    assert!(!breaker.grant_probes_at(1, SECOND, SECOND), "its time has passed");
    assert!(breaker.grant_probes_at(100, 5 * SECOND, SECOND));
    let probes: Vec<_> = (0..10).filter_map(|_| breaker.admit_at(SECOND).ok()).collect();
    assert_eq!(probes.len(), 2);
    breaker.record_at(probes[0], Outcome::Cancelled, SECOND);
    // A place is free, but its time is over: somebody else may have it by now.
    assert_eq!(refused(&breaker, 6 * SECOND).reason, RejectReason::AwaitingGrant);
    let local = opened(builder().half_open_requests(2));
    assert!(local.admit_at(SECOND).is_ok());
    assert!(!local.grant_probes_at(1, 5 * SECOND, SECOND), "it takes its own");
}

#[test]
fn grants_work_after_any_number_of_transitions() {
    let breaker = build(builder().half_open_requests(3).probes(ProbeMode::Granted));
    for _ in 0..(1 << 21) + 5 {
        breaker.reset_at(0);
    }
    fail(&breaker, 5, 0);
    let later = 100 * SECOND;
    assert!(breaker.grant_probes_at(3, later + SECOND, later));
    assert!(breaker.admit_at(later).is_ok(), "a tag of half a circle ago hides the grant");
}

#[test]
fn a_hung_call_counts_once_across_a_reconfiguration() {
    let breaker = build(builder().count_hung_after(Duration::from_secs(1)));
    let (hung, out) = (admit(&breaker, 0), admit(&breaker, SECOND));
    admit(&breaker, 2 * SECOND - 1);
    assert_eq!(breaker.totals().hung, 1);
    reconfigure(&breaker, |config| config.count_hung_after = Some(Duration::from_secs(2)));
    breaker.record_at(hung, Outcome::Failure, 2 * SECOND);
    assert_eq!((breaker.totals().failure, breaker.totals().late), (1, 1));
    admit(&breaker, 4 * SECOND);
    assert_eq!(breaker.totals().hung, 3, "those that were out are still found");
    breaker.record_at(out, Outcome::Success, 4 * SECOND);
    assert_eq!(breaker.totals().late, 2);
}

#[test]
fn a_permit_by_the_callers_time_is_abandoned_by_it() {
    let unix = 1_790_000_000 * SECOND;
    let breaker = build(builder().failure_threshold(1));
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _permit = breaker.try_acquire_at(unix).expect("closed");
        panic!("in mid-flight");
    }));
    assert!(dropped.is_err());
    assert_eq!(breaker.last_failure_at(), Some(unix));
    assert!(breaker.admit_at(unix + 1).is_err());
}

#[test]
fn looking_does_not_decide_when_a_breaker_began() {
    let unix = 1_790_000_000 * SECOND;
    let breaker = build(builder().failure_threshold(1));
    // By the process's own clock, as an exporter would.
    breaker.snapshot();
    breaker.time_until_retry();
    breaker.totals();
    fail(&breaker, 1, unix);
    assert!(breaker.admit_at(unix + 1).is_err(), "open for its time");
}

#[test]
fn totals_never_go_back() {
    let breaker = build(builder());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    breaker.disable_at(0);
                    breaker.enable_at(0);
                }
            });
        }
        let mut last = 0;
        for _ in 0..200_000 {
            let closed = breaker.totals().transitions.closed;
            assert!(closed >= last, "{closed} after {last}");
            last = closed;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_thread_local_may_hold_the_last_handle() {
    use std::cell::RefCell;
    thread_local! {
        static HELD: RefCell<Option<CircuitBreaker>> = const { RefCell::new(None) };
    }
    std::thread::spawn(|| {
        // The slot's destructor is registered before anything that building registers.
        HELD.with(|held| *held.borrow_mut() = None);
        let breaker = build(builder());
        HELD.with(|held| *held.borrow_mut() = Some(breaker));
    })
    .join()
    .expect("the destructor neither panics nor aborts");
}

#[test]
fn granted_probes_pass_one_by_one_and_a_lapsed_round_asks_again() {
    let breaker = opened(builder().half_open_requests(2).probes(ProbeMode::Granted));
    assert!(!breaker.wants_probes());
    assert_eq!(refused(&breaker, SECOND).reason, RejectReason::AwaitingGrant);
    assert!(breaker.wants_probes());
    assert!(!breaker.grant_probes_at(1, 5 * SECOND, SECOND / 2), "its time has not passed");
    assert!(breaker.grant_probes_at(1, 5 * SECOND, SECOND));
    assert!(!breaker.wants_probes());
    let first = admit(&breaker, SECOND);
    assert_eq!(refused(&breaker, SECOND).reason, RejectReason::HalfOpen);
    assert!(breaker.grant_probes_at(1, 6 * SECOND, SECOND));
    let second = admit(&breaker, SECOND);
    breaker.record_at(first, Outcome::Success, SECOND);
    assert_eq!(refused(&breaker, 6 * SECOND - 1).reason, RejectReason::HalfOpen);
    // The second probe never answered: nothing wedges, and the fleet is asked again.
    assert_eq!(refused(&breaker, 7 * SECOND).reason, RejectReason::AwaitingGrant);
    assert!(breaker.wants_probes());
    assert_eq!(breaker.state(), CircuitState::Open);
    breaker.record_at(second, Outcome::Success, 7 * SECOND);
    assert_eq!(breaker.totals().late, 1);
    breaker.force_open_at(7 * SECOND);
    assert!(!breaker.wants_probes(), "a grant would be of no use");
}

#[test]
fn new_settings_do_not_add_to_what_a_fleet_granted() {
    let breaker = opened(builder().half_open_requests(2).probes(ProbeMode::Granted));
    assert!(breaker.grant_probes_at(1, 5 * SECOND, SECOND));
    reconfigure(&breaker, |config| config.half_open_requests = 9);
    admit(&breaker, SECOND);
    assert_eq!(refused(&breaker, SECOND).reason, RejectReason::HalfOpen);
}

// ---- without tokens

#[test]
fn untracked_results_are_of_the_present_state() {
    let breaker = build(builder().failure_threshold(2).recovery_timeout(Duration::from_secs(1)));
    breaker.record_untracked_at(Outcome::Failure, 0);
    let moved = breaker.record_untracked_at(Outcome::Failure, 0).expect("the second in a row");
    assert_eq!(moved.cause, Cause::ConsecutiveFailures);
    assert_eq!(breaker.record_untracked_at(Outcome::Success, 0), None);
    assert_eq!(breaker.totals().late, 1, "nobody is admitted while open");
    admit(&breaker, 2 * SECOND);
    for _ in 0..2 {
        assert_eq!(breaker.record_untracked_at(Outcome::Cancelled, 2 * SECOND), None);
    }
    assert_eq!(breaker.snapshot_at(2 * SECOND).probes.map(|p| p.places_left), Some(3), "places saturate");
    let closed = (0..3).fold(None, |_, _| breaker.record_untracked_at(Outcome::Success, 2 * SECOND));
    assert_eq!(closed.map(|moved| moved.to), Some(CircuitState::Closed));
}

#[test]
fn tokens_of_no_call_are_harmless() {
    let breaker = build(builder().failure_threshold(1));
    let words = [0, 1, 1 << 24, 1 << 26, 1 << 27, 15 << 24, 1 << 32, u64::MAX >> 10, u64::MAX];
    for started in words {
        for rest in words {
            for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored, Outcome::Cancelled] {
                breaker.record_at(Token::from_raw((started, rest)), outcome, 0);
                breaker.reset_at(0);
            }
        }
    }
    assert_eq!(breaker.totals().ended(), 9 * 9 * 4);
}

// ---- guarded calls

#[test]
fn a_guarded_call_gives_its_value_its_error_or_the_refusal() {
    let breaker = build(builder().failure_threshold(1).recovery_timeout(Duration::from_secs(30)));
    assert_eq!(breaker.call(|| Ok::<_, ()>(5)), Ok(5));
    assert_eq!(breaker.call(|| Err::<(), _>("no")), Err(CallError::Inner("no")));
    let refused = breaker.call(|| -> Result<(), &str> { unreachable!("it is open") });
    let Err(CallError::Open(error)) = refused else { panic!("{refused:?}") };
    assert_eq!((&*error.name, error.reason), ("orders", RejectReason::Open));
    assert_eq!(error.to_string(), "circuit 'orders' refused the call (open); retry in 30.0 s");
}

#[test]
fn a_classifier_judges_errors_and_values() {
    let breaker = build(builder().failure_threshold(1));
    let guarded = breaker.with_classifier(|result: Result<&u32, &u32>| match result {
        Ok(0) => Outcome::Failure,
        Ok(_) | Err(0) => Outcome::Success,
        Err(1) => Outcome::Ignored,
        Err(_) => Outcome::Cancelled,
    });
    for result in [Ok(1), Err(0), Err(1), Err(2)] {
        assert_eq!(guarded.call(|| result), result.map_err(CallError::Inner));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(guarded.call(|| Ok(0)), Ok(0), "a failure by its value is a value all the same");
    assert_eq!(breaker.state(), CircuitState::Open);
    let totals = breaker.totals();
    assert_eq!((totals.success, totals.failure, totals.ignored, totals.cancelled), (2, 1, 1, 1));
}

#[test]
fn a_call_that_panics_is_a_failure_on_the_callers_clock() {
    // The breaker's own clock stands at zero; the caller's counts from 1970.
    let breaker = build(builder().failure_threshold(1).recovery_timeout(Duration::from_secs(30)));
    let now = 1_700_000_000 * SECOND;
    let panicking = std::panic::AssertUnwindSafe(|| {
        breaker.call_at(|| now, || -> Result<(), ()> { panic!("a panic of the test") })
    });
    assert!(std::panic::catch_unwind(panicking).is_err(), "the panic goes on");
    assert_eq!(breaker.last_failure_at(), Some(now));
    assert_eq!(refused(&breaker, now + 29 * SECOND).reason, RejectReason::Open);
}

#[test]
fn an_owned_permit_goes_to_another_thread() {
    let breaker = build(builder().failure_threshold(1));
    let permit = breaker.try_acquire_owned().expect("closed");
    let moved = std::thread::spawn(move || permit.failure()).join().expect("no panic");
    assert_eq!(moved.map(|moved| moved.to), Some(CircuitState::Open));
    assert!(breaker.try_acquire_owned().is_err());
}

#[test]
fn a_permit_becomes_a_token_that_records_only_when_told() {
    let breaker = build(builder());
    let token = breaker.try_acquire().expect("closed").into_token();
    let owned = breaker.try_acquire_owned().expect("closed").into_token();
    assert_eq!(breaker.totals().ended(), 0, "neither recorded itself");
    breaker.record_at(token, Outcome::Success, 0);
    breaker.record_at(owned, Outcome::Success, 0);
    assert_eq!(breaker.totals().success, 2);
}
