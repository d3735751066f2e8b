//! Clocks, and times that callers bring themselves.

use std::thread;
use std::time::Duration;

use fusewire::{
    CircuitBreaker, CircuitBreakerBuilder, CircuitState, Clock, CoarseClock, ManualClock, Outcome,
};

const SECOND: u64 = 1_000_000_000;

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("clocks")
        .failure_threshold(1)
        .half_open_requests(1)
        .recovery_timeout(Duration::from_secs(1))
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

/// Fails, is refused, and recovers, by the breaker's own clock, which `wait` moves past two seconds.
fn goes_round(breaker: &CircuitBreaker, wait: impl FnOnce()) {
    breaker.try_acquire().expect("closed").failure();
    assert!(breaker.try_acquire().is_err());
    assert!(breaker.time_until_retry() > Duration::ZERO);
    wait();
    assert_eq!(breaker.time_until_retry(), Duration::ZERO);
    breaker.try_acquire().expect("its time has passed").success();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_breaker_goes_by_a_manual_clock() {
    let clock = ManualClock::new();
    let breaker = build(builder().clock(&clock));
    goes_round(&breaker, || {
        clock.advance(Duration::from_secs(2));
    });
    assert_eq!(breaker.now(), 2 * SECOND);
    assert_eq!(breaker.last_failure_at(), Some(0));
}

#[test]
fn a_breaker_goes_by_a_coarse_clock_that_its_caller_drives() {
    let clock = CoarseClock::driven();
    let breaker = build(builder().clock(&clock));
    let start = clock.now();
    goes_round(&breaker, || {
        clock.tick_to(start + 2 * SECOND);
    });
    assert_eq!(clock.tick_to(start), start + 2 * SECOND, "it never goes back");
    assert_eq!(breaker.now(), start + 2 * SECOND);
}

#[test]
fn a_coarse_clock_lags_and_is_never_ahead() {
    let (precise, coarse) = (Clock::precise(), CoarseClock::driven());
    for _ in 0..100 {
        let ticked = coarse.tick();
        assert!(ticked <= precise.now());
        assert_eq!(coarse.now(), ticked);
    }
}

#[test]
fn a_breaker_goes_by_a_coarse_clock_with_its_own_thread() {
    let clock = Clock::coarse(Duration::from_micros(200)).expect("a thread");
    let breaker = build(builder().recovery_timeout(Duration::from_millis(5)).clock(clock));
    let patience = Clock::precise();
    let deadline = patience.now() + 30 * SECOND;
    breaker.try_acquire().expect("closed").failure();
    // Polled, because the thread moves the clock when it is scheduled.
    while breaker.try_acquire().map(fusewire::Permit::success).is_err() {
        assert!(patience.now() < deadline, "the clock stands still");
        thread::yield_now();
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_resolution_of_zero_is_refused() {
    assert!(Clock::coarse(Duration::ZERO).is_err());
}

#[test]
fn the_default_clock_is_precise_and_goes_on() {
    let breaker = build(builder().recovery_timeout(Duration::from_millis(1)));
    let deadline = breaker.now() + 30 * SECOND;
    breaker.try_acquire().expect("closed").failure();
    while breaker.try_acquire().map(fusewire::Permit::success).is_err() {
        assert!(breaker.now() < deadline, "the clock stands still");
        thread::yield_now();
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn clones_of_a_clock_are_one_clock() {
    let manual = ManualClock::new();
    let (one, other) = (Clock::from(&manual), Clock::from(&manual.clone()));
    manual.set(77);
    assert_eq!((one.now(), other.clone().now()), (77, 77));
    assert_eq!(manual.advance(Duration::MAX), u64::MAX, "it saturates");
    assert_eq!(one.now(), u64::MAX);
    manual.set(3);
    assert_eq!(one.now(), 3, "a manual clock may go back");
}

#[test]
fn the_callers_own_time_serves_every_operation() {
    // The breaker's clock stands at zero throughout: nothing may read it.
    let breaker = build(builder().failure_threshold(2).clock(&ManualClock::new()));
    let mut now = 1_700_000_000 * SECOND;
    assert_eq!(breaker.call_at(|| now, || Ok::<_, ()>(1)), Ok(1));
    breaker.try_acquire_at(now).expect("closed").failure_at(now);
    let moved = breaker.record_at(breaker.admit_at(now).expect("closed"), Outcome::Failure, now);
    assert!(moved.is_some());
    assert!(breaker.time_until_retry_at(now) >= Duration::from_secs(1));
    assert_eq!(breaker.snapshot_at(now).last_failure_at, Some(now));
    now += 2 * SECOND;
    breaker.try_acquire_owned_at(now).expect("a probe").success_at(now);
    assert_eq!(breaker.state(), CircuitState::Closed);
    breaker.record_untracked_at(Outcome::Failure, now);
    for moved in [
        breaker.force_open_at(now),
        breaker.force_close_at(now),
        breaker.disable_at(now),
        breaker.enable_at(now),
        breaker.reset_at(now),
    ] {
        assert!(moved.is_some());
    }
    let since = breaker.snapshot_at(now).since.expect("it was told a time");
    assert!(since.abs_diff(now) < 1_000_000);
    assert_eq!(breaker.now(), 0);
}

#[test]
fn gaps_of_years_are_told_apart_from_moments() {
    let year = 365 * 24 * 3600 * SECOND;
    let breaker = build(builder().clock(&ManualClock::new()));
    let mut now = SECOND;
    for _ in 0..5 {
        breaker.try_acquire_at(now).expect("closed").failure_at(now);
        assert!(breaker.admit_at(now + SECOND / 2).is_err());
        now += year;
        assert!(breaker.try_acquire_at(now).expect("a probe").success_at(now).is_some());
        now += year / 2;
    }
    assert_eq!(breaker.totals().transitions.closed, 5);
}

#[test]
fn past_its_horizon_a_breaker_does_not_wait() {
    let year = 365 * 24 * 3600 * SECOND;
    let breaker = build(builder().clock(&ManualClock::new()));
    assert_eq!(breaker.force_close_at(0), None);
    for now in [10 * year, 40 * year, 500 * year] {
        breaker.try_acquire_at(now).expect("closed").failure_at(now);
        assert_eq!(breaker.time_until_retry_at(now), Duration::ZERO);
        assert!(breaker.try_acquire_at(now).expect("a probe").success_at(now).is_some());
    }
}
