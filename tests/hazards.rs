//! What goes wrong elsewhere, a test each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::{
    Cause, CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig, CircuitState, Dispatcher, EventQueue,
    Jitter, Limiter, ManualClock, Outcome, Registry, RejectReason, RetryBudget, RetryConfig, Token,
    TokenBucketRateLimiter, WindowConfig,
};

const SECOND: u64 = 1_000_000_000;

/// Opens at the first failure; the open period is over a second later, and a round lasts a second.
fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("hazard")
        .clock(&ManualClock::new())
        .failure_threshold(1)
        .recovery_timeout(Duration::from_millis(900))
        .half_open_requests(1)
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

fn admit(breaker: &CircuitBreaker, now: u64) -> Token {
    breaker.admit_at(now).expect("it lets the call through")
}

fn fail(breaker: &CircuitBreaker, now: u64) {
    breaker.record_at(admit(breaker, now), Outcome::Failure, now);
}

/// Half-open at `SECOND`, its only probe taken by the caller.
fn probing(builder: CircuitBreakerBuilder) -> (CircuitBreaker, Token) {
    let breaker = build(builder);
    fail(&breaker, 0);
    let probe = admit(&breaker, SECOND);
    assert!(probe.is_probe() && breaker.admit_at(SECOND).is_err());
    (breaker, probe)
}

fn assert_recovers(breaker: &CircuitBreaker, now: u64) {
    let moved = breaker.record_at(admit(breaker, now), Outcome::Success, now);
    assert_eq!(moved.map(|moved| moved.to), Some(CircuitState::Closed));
}

// ---- half-open

#[test]
fn a_hung_probe_does_not_wedge() {
    let (breaker, hung) = probing(builder());
    assert_recovers(&breaker, 3 * SECOND);
    assert_eq!(breaker.record_at(hung, Outcome::Failure, 4 * SECOND), None);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_hung_probe_is_a_failure_where_hung_calls_count() {
    let (breaker, _hung) = probing(builder().count_hung_after(Duration::from_millis(100)));
    assert_eq!(breaker.admit_at(SECOND + SECOND / 2).map_err(|r| r.reason), Err(RejectReason::Open));
    assert_recovers(&breaker, 3 * SECOND);
}

#[test]
fn a_cancelled_probe_gives_its_place_back() {
    let (breaker, probe) = probing(builder());
    assert_eq!(breaker.record_at(probe, Outcome::Cancelled, SECOND), None);
    assert_recovers(&breaker, SECOND);
}

#[test]
fn a_dropped_probe_gives_its_place_back() {
    let clock = ManualClock::new();
    let breaker = build(builder().clock(&clock));
    fail(&breaker, 0);
    clock.set(SECOND);
    drop(breaker.try_acquire().expect("a probe"));
    drop(breaker.try_acquire_owned().expect("the same place"));
    assert_recovers(&breaker, SECOND);
}

#[test]
fn a_forgotten_probe_does_not_wedge() {
    let clock = ManualClock::new();
    let breaker = build(builder().clock(&clock));
    fail(&breaker, 0);
    clock.set(SECOND);
    std::mem::forget(breaker.try_acquire().expect("a probe"));
    assert_recovers(&breaker, 3 * SECOND);
}

#[test]
fn a_panicking_probe_reopens() {
    let clock = ManualClock::new();
    let breaker = build(builder().clock(&clock));
    fail(&breaker, 0);
    clock.set(SECOND);
    let call = AssertUnwindSafe(|| breaker.call(|| -> Result<(), ()> { panic!("a panic of the test") }));
    assert!(catch_unwind(call).is_err(), "the panic goes on");
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_recovers(&breaker, 3 * SECOND);
}

#[test]
fn a_throwing_classifier_does_not_wedge() {
    let clock = ManualClock::new();
    let breaker = build(builder().clock(&clock));
    let guarded = breaker.with_classifier(|_: Result<&(), &()>| panic!("a panic of the test"));
    let call = || catch_unwind(AssertUnwindSafe(|| guarded.call(|| Ok(()))));
    assert!(call().is_err());
    assert_eq!((breaker.state(), breaker.totals().failure), (CircuitState::Open, 1));
    clock.set(SECOND);
    assert!(call().is_err(), "as a probe");
    assert_eq!((breaker.state(), breaker.totals().failure), (CircuitState::Open, 2));
    assert_recovers(&breaker, 3 * SECOND);
}

#[test]
fn cancellation_is_not_success() {
    let (breaker, probe) = probing(builder());
    for outcome in [Outcome::Cancelled, Outcome::Ignored] {
        let probe = if outcome == Outcome::Cancelled { probe } else { admit(&breaker, SECOND) };
        assert_eq!(breaker.record_at(probe, outcome, SECOND), None);
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
    }
    let closed = build(builder().failure_threshold(2));
    fail(&closed, 0);
    closed.record_at(admit(&closed, 0), Outcome::Cancelled, 0);
    assert_eq!(closed.failure_count(), 1, "a cancelled call ended the run of failures");
}

#[test]
fn no_more_probes_than_allowed() {
    let breaker = build(builder().half_open_requests(3));
    fail(&breaker, 0);
    let threads = 8;
    let together = Barrier::new(threads);
    let admitted: usize = thread::scope(|scope| {
        let asking = (0..threads).map(|_| {
            scope.spawn(|| {
                together.wait();
                (0..10).filter(|_| breaker.admit_at(SECOND).is_ok()).count()
            })
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(admitted, 3);
}

#[test]
fn a_permit_of_the_closed_era_does_not_raise_the_cap() {
    let breaker = build(builder());
    let old: Vec<Token> = (0..10).map(|_| admit(&breaker, 0)).collect();
    fail(&breaker, 0);
    let _probe = admit(&breaker, SECOND);
    for token in old {
        breaker.record_at(token, Outcome::Cancelled, SECOND);
        assert!(breaker.admit_at(SECOND).is_err(), "a place of no round came back");
    }
    assert_eq!(breaker.totals().late, 10);
}

// ---- late results, deadlines, totals

#[test]
fn a_late_result_of_an_earlier_state_moves_nothing() {
    let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Ignored, Outcome::Cancelled];
    for outcome in outcomes {
        // Admitted while closed; it comes while open, half-open and closed again.
        let breaker = build(builder());
        let old = [admit(&breaker, 0), admit(&breaker, 0), admit(&breaker, 0)];
        fail(&breaker, 0);
        let late = |token, state| {
            assert_eq!(breaker.record_at(token, outcome, SECOND), None);
            assert_eq!(breaker.state(), state);
        };
        late(old[0], CircuitState::Open);
        let probe = admit(&breaker, SECOND);
        late(old[1], CircuitState::HalfOpen);
        breaker.record_at(probe, Outcome::Success, SECOND);
        late(old[2], CircuitState::Closed);
        assert_eq!((breaker.failure_count(), breaker.totals().late), (0, 3));
    }
}

#[test]
fn open_is_never_published_without_its_deadline() {
    let breaker = build(builder());
    let rounds = 5_000;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                fail(&breaker, SECOND);
                breaker.force_close_at(SECOND);
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                // The clock stands: whoever finds it open must be refused.
                assert!(breaker.admit_at(SECOND).map_or(true, |token| !token.is_probe()));
            }
        });
    });
    assert_eq!(breaker.totals().transitions.open, rounds);
    assert_eq!(breaker.totals().transitions.half_open, 0);
}

#[test]
fn a_long_healthy_past_does_not_make_it_untrippable() {
    for window in [WindowConfig::count(100, 10), WindowConfig::time(Duration::from_secs(10), 10)] {
        let rules = builder().failure_threshold(None).failure_rate(0.5).minimum_calls(20).window(window);
        let breaker = build(rules);
        for _ in 0..20_000 {
            breaker.record_at(admit(&breaker, 0), Outcome::Success, 0);
        }
        let failures = (1..1_000).take_while(|_| {
            breaker
                .admit_at(100 * SECOND)
                .is_ok_and(|token| breaker.record_at(token, Outcome::Failure, 100 * SECOND).is_none())
        });
        assert!(failures.count() < 60, "the present is worse than half");
    }
}

#[test]
fn all_calls_hang_and_it_still_trips() {
    let rules = builder().failure_threshold(5).count_hung_after(Duration::from_secs(2));
    let breaker = build(rules);
    // One call a second, and none of them ever answers.
    let refused = (0..60).find(|second| breaker.admit_at(second * SECOND).is_err());
    assert!(refused.is_some_and(|second| second <= 8), "{refused:?}");
    assert_eq!(breaker.state(), CircuitState::Open);
    assert!(breaker.totals().hung >= 5);
}

// ---- listeners, callers, names

#[test]
fn a_listener_may_call_the_breaker() {
    let events = EventQueue::new();
    let breaker = build(builder().events(&events));
    let inner = breaker.clone();
    let listener = Dispatcher::spawn(&events, move |event| {
        if event.cause == Cause::ConsecutiveFailures {
            assert!(inner.force_close_at(0).is_some());
        }
    });
    let listener = listener.expect("a thread");
    fail(&breaker, 0);
    // Dropping it delivers what is there, and then what the listener itself caused.
    drop(listener);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn events_are_numbered_in_the_order_of_transitions() {
    use CircuitState::{Closed, Disabled, HalfOpen, Open};
    let events = EventQueue::new();
    let breaker = build(builder().events(&events));
    fail(&breaker, 0);
    breaker.record_at(admit(&breaker, SECOND), Outcome::Success, SECOND);
    breaker.disable_at(SECOND);
    let mut seen = Vec::new();
    events.drain(|event| seen.push((event.sequence, event.to)));
    assert_eq!(seen, [(1, Open), (2, HalfOpen), (3, Closed), (4, Disabled)]);
}

#[test]
fn calls_are_not_serialised() {
    let breaker = build(builder());
    // Each call waits until the other runs as well: with a lock round the call this never ends.
    let together = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| breaker.call(|| Ok::<_, ()>(together.wait().is_leader())).expect("closed"));
        }
    });
    assert_eq!(breaker.totals().success, 2);
}

#[test]
fn two_instances_under_one_name_are_two_and_a_registry_has_one() {
    let (one, other) = (build(builder()), build(builder().failure_threshold(3)));
    fail(&one, 0);
    assert_eq!((one.state(), other.state()), (CircuitState::Open, CircuitState::Closed));

    let registry = Registry::new();
    let mut config = CircuitBreakerConfig::default();
    registry.get_or_create("venue", config.clone()).expect("the first");
    config.failure_threshold = Some(7);
    let conflict = registry.get_or_create("venue", config).expect_err("other settings under one name");
    let text = conflict.to_string();
    assert!(text.contains("Some(5)") && text.contains("Some(7)"), "{text}");
}

// ---- windows

#[test]
fn a_window_of_one_bucket_counts_and_forgets() {
    let window = WindowConfig::time(Duration::from_secs(1), 1);
    let rules = builder().failure_threshold(None).failure_rate(0.5).minimum_calls(3);
    let breaker = build(rules.window(window));
    let start = 5 * SECOND;
    let held = |now| breaker.snapshot_at(now).totals.window.map(|window| window.calls);
    fail(&breaker, start);
    fail(&breaker, start + 1);
    assert_eq!(held(start + 1), Some(2));
    assert_eq!(held(start + SECOND), Some(0));
    fail(&breaker, start + SECOND);
    fail(&breaker, start + SECOND);
    assert_eq!(breaker.state(), CircuitState::Closed);
    fail(&breaker, start + SECOND);
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn a_window_of_one_bucket_of_one_call() {
    let rules = builder().failure_threshold(None).failure_rate(1.0).minimum_calls(1).stripes(1);
    let breaker = build(rules.window(WindowConfig::count(1, 1)));
    for _ in 0..100 {
        breaker.record_at(admit(&breaker, 0), Outcome::Success, 0);
    }
    fail(&breaker, 0);
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn counts_never_go_negative_after_rotations_were_missed() {
    let window = WindowConfig::time(Duration::from_secs(1), 10);
    let breaker = build(builder().failure_threshold(None).failure_rate(1.0).window(window));
    let mut now = SECOND;
    for step in 0..2_000_u64 {
        now += step % 37 * SECOND / 20;
        breaker.record_at(admit(&breaker, now), Outcome::Success, now);
        let held = breaker.snapshot_at(now).totals.window.expect("closed, with a rate rule");
        assert!((1..=21).contains(&held.calls) && held.failures == 0, "{held:?}");
    }
}

#[test]
fn no_count_is_lost_while_buckets_rotate() {
    // All ticks of the test lie within the window, so that it must hold every call.
    let window = WindowConfig::time(Duration::from_secs(1_000), 1_000);
    let rules = builder().failure_threshold(None).failure_rate(1.0).minimum_calls(u32::MAX);
    let breaker = build(rules.window(window));
    let (threads, calls) = (4_u64, 2_000_u64);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for call in 0..calls {
                    let now = SECOND + call * SECOND / 4;
                    let outcome = if call % 3 == 0 { Outcome::Failure } else { Outcome::Success };
                    breaker.record_at(admit(&breaker, now), outcome, now);
                }
            });
        }
    });
    let held = breaker.totals().window.expect("closed, with a rate rule");
    assert_eq!((held.calls, held.failures), (threads * calls, threads * calls.div_ceil(3)));
}

#[test]
fn a_long_idle_does_not_alias() {
    let nanosecond_buckets = WindowConfig::time(Duration::from_micros(10), 10);
    for bits in [16, 20, 21, 22, 24, 31, 32, 40, 42, 50] {
        for off in -12..=12_i64 {
            let rules = builder().failure_threshold(None).failure_rate(0.1).minimum_calls(1_000);
            let breaker = build(rules.window(nanosecond_buckets));
            let start = 86_400 * SECOND;
            for _ in 0..10 {
                fail(&breaker, start);
            }
            let ticks = (1_u64 << bits).saturating_add_signed(off);
            let later = start + ticks * 1_000;
            assert_eq!(breaker.snapshot_at(later).totals.window.map(|w| w.calls), Some(0), "2^{bits}{off:+}");
            fail(&breaker, later);
            assert_eq!(breaker.totals().window.map(|w| w.calls), Some(1), "2^{bits}{off:+}");
        }
    }
}

#[test]
fn a_long_idle_does_not_forget_a_hung_call_or_mistake_its_result() {
    for bits in [8, 16, 20, 21, 22, 32, 40] {
        for off in -20..=20_i64 {
            let rules = builder().failure_threshold(None).count_hung_after(Duration::from_micros(8));
            let breaker = build(rules);
            let start = 86_400 * SECOND;
            let hung = admit(&breaker, start);
            let mut now = start + (1_u64 << bits).saturating_add_signed(off) * 1_000;
            let other = admit(&breaker, now);
            // A call whose age is a lap of ticks may be found nine ticks later.
            now += 12_000;
            breaker.record_at(other, Outcome::Success, now);
            admit(&breaker, now);
            assert_eq!(breaker.totals().hung, 1, "2^{bits}{off:+}");
            breaker.record_at(hung, Outcome::Failure, now);
            let totals = breaker.totals();
            assert_eq!((totals.success, totals.failure, totals.late), (1, 1, 1), "2^{bits}{off:+}");
        }
    }
}

// ---- time

#[test]
fn a_clock_that_goes_back_neither_opens_the_way_nor_breaks_anything() {
    let breaker = build(builder());
    let noon = 43_200 * SECOND;
    fail(&breaker, noon);
    for back in [1, SECOND, noon] {
        let refused = breaker.admit_at(noon - back).expect_err("its period has not passed");
        assert_eq!(refused.reason, RejectReason::Open);
        assert!(refused.retry_after > Duration::from_nanos(back));
    }
    assert_recovers(&breaker, noon + SECOND);
}

#[test]
fn wall_and_monotonic_origins_are_alike() {
    for origin in [0, 1, 1_700_000_000 * SECOND, u64::MAX - 10 * SECOND] {
        let breaker = build(builder());
        fail(&breaker, origin);
        assert!(breaker.admit_at(origin + SECOND / 2).is_err());
        assert_recovers(&breaker, origin + SECOND);
    }
}

// ---- limiters (waiting, reservations and leases: waiting.rs, limit.rs)

fn bucket(rate: f64, capacity: u64) -> TokenBucketRateLimiter {
    TokenBucketRateLimiter::builder("hazard").rate(rate).capacity(capacity).build().expect("valid settings")
}

#[test]
fn time_that_goes_back_makes_no_tokens_and_refuses_for_no_longer() {
    let bucket = bucket(1_000.0, 5);
    let now = 1_700_000_000 * SECOND;
    bucket.try_acquire_n_at(5, now).expect("full");
    for back in [0, 2_000, SECOND, 3_600 * SECOND] {
        for _ in 0..10 {
            let refused = bucket.try_acquire_at(now - back).expect_err("empty");
            assert!(refused.retry_after <= Duration::from_nanos(back + 1_000_004), "{back}: {refused:?}");
        }
    }
    // And nothing was written back by whoever was late: a millisecond on there is one.
    bucket.try_acquire_at(now + 1_000_004).expect("refilled");
    bucket.try_acquire_at(now + 1_000_004).expect_err("one");
}

#[test]
fn an_interval_is_not_rounded() {
    // 300,000,007 a second: an interval of 3.33 ns. Rounded to 3 or 4 it would be a tenth or a fifth off.
    let bucket = bucket(300_000_007.0, 1_000_000_000);
    bucket.try_acquire_n_at(1_000_000_000, 0).expect("full");
    assert_eq!(bucket.remaining_at(SECOND), 300_000_007 - 1, "to the last, which is on its way");
}

#[test]
fn rates_of_nothing_and_beyond_all_bounds_are_answered() {
    let never = bucket(0.0, 1);
    never.try_acquire_at(0).expect("full");
    assert_eq!(never.try_acquire_at(u64::MAX - 1).expect_err("never").retry_after, Duration::MAX);
    for rate in [-1.0, f64::NAN, f64::INFINITY, 1e300, f64::MIN_POSITIVE] {
        let error = TokenBucketRateLimiter::builder("hazard").rate(rate).capacity(1).build();
        assert_eq!(error.expect_err("out of range").field(), "rate");
    }
}

#[test]
fn the_burst_is_exact_to_one_at_its_edge() {
    for capacity in [1, 2, 7, 1_000] {
        let bucket = bucket(1.0, capacity);
        for _ in 0..capacity {
            bucket.try_acquire_at(SECOND).expect("within the burst");
        }
        bucket.try_acquire_at(SECOND).expect_err("one too many");
        bucket.try_acquire_at(2 * SECOND - 4).expect_err("four nanoseconds too early");
        bucket.try_acquire_at(2 * SECOND + 2).expect("a second later");
    }
}

// ---- retry (deadlines, Retry-After, open circuits: retry.rs)

#[test]
fn no_wait_is_above_the_cap_nor_at_the_cap_alone() {
    let cap = Duration::from_secs(2);
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        let config = RetryConfig::new().max_attempts(200).max_delay(cap).jitter(jitter).seed(7);
        let waits: Vec<_> = config.backoff().expect("valid settings").collect();
        assert!(waits.iter().all(|wait| *wait <= cap));
        let at_cap = waits.iter().filter(|wait| **wait == cap).count();
        assert!(at_cap < waits.len() / 2, "{jitter:?}: {at_cap} callers in step");
    }
}

#[test]
fn no_number_of_attempts_overflows() {
    let config = RetryConfig::new().max_attempts(u32::MAX).exponential_base(1e6).jitter(false);
    assert_eq!(config.longest_delay(u32::MAX), config.max_delay);
    let mut backoff = config.backoff().expect("valid settings");
    assert_eq!(backoff.nth(5_000), Some(config.max_delay));
}

#[test]
fn a_budget_is_not_overdrawn_by_those_who_ask_at_once() {
    let budget = RetryBudget::builder().ratio(0.0).min_per_second(0.0).burst(100).build().expect("valid");
    let given: usize = thread::scope(|scope| {
        let askers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..100).filter(|_| budget.try_withdraw_at(0)).count())).collect();
        askers.into_iter().map(|asker| asker.join().expect("no panic")).sum()
    });
    assert_eq!(given, 100);
}
