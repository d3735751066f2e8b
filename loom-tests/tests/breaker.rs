//! The breaker as its users have it, through the public API.
#![cfg(fusewire_loom)]

use fusewire::model::{Mutant, assume};
use fusewire::{
    Cause, CircuitBreaker, CircuitBreakerBuilder, CircuitState, Clock, DirtySet, EventQueue, ManualClock,
    Outcome, Token, WindowConfig,
};
use loom::thread;
use loom_tests::check;
use std::time::Duration;

/// One unit of the word's deadlines.
const UNIT: u64 = 1 << 18;

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("model")
        .clock(Clock::from(&ManualClock::new()))
        .stripes(1)
        .seed(1)
        .failure_threshold(1)
        .recovery_timeout(Duration::from_nanos(10 * UNIT))
        .half_open_timeout(Duration::from_nanos(10 * UNIT))
        .half_open_requests(1)
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

/// A breaker that opened at time 0 and admits probes from 10 units on.
fn opened(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    let breaker = build(builder);
    let token = breaker.admit_at(0).expect("closed");
    breaker.record_at(token, Outcome::Failure, 0).expect("it trips");
    breaker
}

fn spawn<R: 'static>(
    breaker: &CircuitBreaker,
    run: impl FnOnce(CircuitBreaker) -> R + 'static,
) -> thread::JoinHandle<R> {
    let breaker = breaker.clone();
    thread::spawn(move || run(breaker))
}

#[test]
fn one_thread_trips_an_epoch() {
    check(3, &[Mutant::WordStoreForCas], || {
        let breaker = build(builder());
        let tokens = [breaker.admit_at(0), breaker.admit_at(0)].map(|token| token.expect("closed"));
        let threads = tokens.map(|token| spawn(&breaker, move |b| b.record_at(token, Outcome::Failure, 0)));
        let trips = threads.into_iter().filter_map(|t| t.join().expect("no panic")).count();
        assert_eq!(trips, 1);
    });
}

#[test]
fn an_open_state_brings_its_failure_count() {
    check(2, &[Mutant::WordRelaxed], || {
        // Without the consecutive rule, whose threshold the count is never shown below.
        let rates = builder().failure_threshold(None).failure_rate(1.0).minimum_calls(1);
        let breaker = build(rates.window(WindowConfig::time(Duration::from_secs(1), 1)));
        let token = breaker.admit_at(0).expect("closed");
        let tripper = spawn(&breaker, move |b| b.record_at(token, Outcome::Failure, 0));
        let observer = spawn(&breaker, |b| {
            if b.state() == CircuitState::Open {
                assert!(b.failure_count() >= 1, "open without the failure that opened it");
            }
        });
        observer.join().expect("no panic");
        tripper.join().expect("no panic");
    });
}

#[test]
fn an_opening_is_announced_with_its_own_count() {
    check(2, &[Mutant::LosersCount], || {
        let events = EventQueue::with_capacity(4);
        let rules = builder().failure_threshold(2).slow_calls(Duration::from_nanos(5), 0.3).minimum_calls(1);
        let window = WindowConfig::time(Duration::from_secs(1), 1);
        let breaker = build(rules.window(window).events(&events));
        let tokens = [0; 3].map(|_| breaker.admit_at(0).expect("closed"));
        breaker.record_at(tokens[0], Outcome::Failure, 0);
        let failing = spawn(&breaker, move |b| b.record_at(tokens[1], Outcome::Failure, 0));
        // One slow call of two or three opens it as well, with a count of one.
        let slow = spawn(&breaker, move |b| b.record_at(tokens[2], Outcome::Success, 9));
        let moved = [failing, slow].map(|t| t.join().expect("no panic"));
        assert_eq!(moved.iter().flatten().count(), 1, "opened twice");
        let event = events.pop().expect("it opened");
        let least = if event.cause == Cause::ConsecutiveFailures { 2 } else { 1 };
        assert!(event.failure_count >= least, "{event}");
    });
}

#[test]
fn open_is_never_seen_without_its_deadline() {
    check(3, &[Mutant::OpenBeforeDeadline], || {
        let breaker = build(builder());
        let token = breaker.admit_at(0).expect("closed");
        let tripper = spawn(&breaker, move |b| b.record_at(token, Outcome::Failure, 0));
        let caller = spawn(&breaker, |b| {
            if b.state() == CircuitState::Open {
                assert!(b.admit_at(9 * UNIT).is_err(), "a probe before the deadline");
            }
        });
        caller.join().expect("no panic");
        assert!(tripper.join().expect("no panic").is_some());
    });
}

#[test]
fn probes_of_a_round_never_exceed_the_limit() {
    check(2, &[Mutant::WordStoreForCas], || {
        let breaker = opened(builder().half_open_requests(2));
        let threads: Vec<_> = (0..3).map(|_| spawn(&breaker, |b| b.admit_at(10 * UNIT).is_ok())).collect();
        let admitted = threads.into_iter().filter(|_| true).map(|t| t.join().expect("no panic"));
        assert_eq!(admitted.filter(|ok| *ok).count(), 2);
    });
}

#[test]
fn a_place_is_returned_once_and_only_into_its_own_round() {
    check(2, &[Mutant::IgnoreEpoch], || {
        let breaker = opened(builder());
        let old = breaker.admit_at(10 * UNIT).expect("the first probe");
        let canceller = spawn(&breaker, move |b| {
            b.record_at(old, Outcome::Cancelled, 11 * UNIT);
        });
        let second = spawn(&breaker, |b| b.admit_at(20 * UNIT).ok());
        let third = spawn(&breaker, |b| b.admit_at(21 * UNIT).ok());
        canceller.join().expect("no panic");
        let tokens: Vec<Token> =
            [second, third].into_iter().filter_map(|t| t.join().expect("no panic")).collect();
        // Two live probes can only be of two rounds.
        let mut epochs: Vec<u64> = tokens.iter().map(|token| token.to_raw().1 & 0x3F_FFFF).collect();
        epochs.dedup();
        assert_eq!(epochs.len(), tokens.len(), "two probes in a round of one");
    });
}

#[test]
fn a_result_of_an_old_epoch_moves_nothing() {
    check(2, &[Mutant::IgnoreEpoch], || {
        let breaker = opened(builder());
        let old = breaker.admit_at(10 * UNIT).expect("the first probe");
        let late = spawn(&breaker, move |b| b.record_at(old, Outcome::Failure, 11 * UNIT));
        let prober = spawn(&breaker, |b| b.admit_at(20 * UNIT).ok());
        let (moved, probe) = (late.join().expect("no panic"), prober.join().expect("no panic"));
        if let Some(probe) = probe {
            // A new round replaced the old one, so the old result came late.
            assert_eq!(moved, None);
            assert_eq!(
                breaker.record_at(probe, Outcome::Success, 21 * UNIT).expect("closes").to,
                CircuitState::Closed
            );
        }
    });
}

#[test]
fn an_undecided_round_never_wedges() {
    check(2, &[Mutant::NoHelping], || {
        let breaker = opened(builder());
        // Its probe never answers.
        let leaker = spawn(&breaker, |b| b.admit_at(10 * UNIT).is_ok());
        let caller = spawn(&breaker, |b| {
            // Whoever the leaker left its round to, and wherever it stands between its two writes: one
            // refused call starts the lease, and the next one after it gets a round of its own.
            let first = b.admit_at(11 * UNIT).is_ok();
            let second = b.admit_at(30 * UNIT).is_ok();
            let third = b.admit_at(50 * UNIT).is_ok();
            assert!(first || second || third, "nobody was let in for three leases");
        });
        leaker.join().expect("no panic");
        caller.join().expect("no panic");
    });
}

#[test]
fn the_stamp_of_a_newer_round_stays() {
    check(2, &[Mutant::SideStore], || {
        let breaker = opened(builder());
        let stalled = spawn(&breaker, |b| b.admit_at(10 * UNIT).is_ok());
        let caller = spawn(&breaker, |b| {
            let mut last = None;
            for now in [11, 25] {
                let _ = b.admit_at(now * UNIT);
                let seen = b.snapshot_at(now * UNIT);
                let stamp = seen.since.map(|since| (seen.totals.sequence, since));
                if let (Some((epoch, was)), Some((same, is))) = (last, stamp) {
                    assert!(epoch != same || was == is, "the stamp of an epoch changed");
                }
                last = stamp;
            }
        });
        stalled.join().expect("no panic");
        caller.join().expect("no panic");
        // A stamp that went back to an older epoch shows as none.
        assert!(breaker.snapshot_at(60 * UNIT).since.is_some(), "the stamp of the present epoch is gone");
    });
}

#[test]
fn of_two_failing_calls_one_sees_both() {
    check(2, &[Mutant::NoTripFence], || {
        let rates = builder()
            .stripes(3)
            .failure_threshold(None)
            .failure_rate(1.0)
            .minimum_calls(2)
            .window(WindowConfig::time(Duration::from_secs(1), 1));
        let breaker = build(rates);
        let tokens = [breaker.admit_at(0), breaker.admit_at(0)].map(|token| token.expect("closed"));
        let mut lane = 0;
        let threads = tokens.map(|token| {
            let mine = lane;
            lane += 1;
            spawn(&breaker, move |b| {
                assume(mine);
                b.record_at(token, Outcome::Failure, 0)
            })
        });
        let trips = threads.into_iter().filter_map(|t| t.join().expect("no panic")).count();
        assert_eq!(trips, 1, "both failing calls missed the rate");
    });
}

#[test]
fn failures_from_before_a_trip_do_not_trip_again() {
    check(2, &[Mutant::FloorAfterMove], || {
        let rates = builder()
            .failure_threshold(None)
            .failure_rate(1.0)
            .minimum_calls(2)
            .window(WindowConfig::time(Duration::from_secs(3600), 1));
        let breaker = build(rates);
        for _ in 0..2 {
            let token = breaker.admit_at(0).expect("closed");
            breaker.record_at(token, Outcome::Failure, 0);
        }
        let probe = breaker.admit_at(10 * UNIT).expect("a probe");
        let closer = spawn(&breaker, move |b| b.record_at(probe, Outcome::Success, 10 * UNIT));
        let caller = spawn(&breaker, |b| {
            if b.state() == CircuitState::Closed {
                let token = b.admit_at(11 * UNIT).expect("closed");
                b.record_at(token, Outcome::Failure, 11 * UNIT);
                assert_eq!(b.state(), CircuitState::Closed, "one failure tripped a minimum of two");
                // And the second one is in the window with the first.
                let token = b.admit_at(11 * UNIT).expect("closed");
                b.record_at(token, Outcome::Failure, 11 * UNIT);
                assert_eq!(b.state(), CircuitState::Open, "the floor swallowed a failure");
            }
        });
        closer.join().expect("no panic");
        caller.join().expect("no panic");
    });
}

#[test]
fn a_hung_call_counts_once() {
    check(2, &[Mutant::WordStoreForCas], || {
        let breaker = build(builder().failure_threshold(5).count_hung_after(Duration::from_nanos(8)));
        let token = breaker.admit_at(0).expect("closed");
        let result = spawn(&breaker, move |b| {
            b.record_at(token, Outcome::Failure, 20);
        });
        let finder = spawn(&breaker, |b| {
            let _ = b.admit_at(20);
        });
        result.join().expect("no panic");
        finder.join().expect("no panic");
        let totals = breaker.totals();
        assert_eq!(totals.failure, 1, "one call, {} failures", totals.failure);
        assert_eq!(totals.late, totals.hung);
        assert_eq!(totals.consecutive_failures, 1);
    });
}

#[test]
fn events_of_one_breaker_come_in_order() {
    check(2, &[Mutant::EventSkipsUnwritten], || {
        let events = EventQueue::with_capacity(4);
        let breaker = build(builder().events(&events));
        let token = breaker.admit_at(0).expect("closed");
        let tripper = spawn(&breaker, move |b| b.record_at(token, Outcome::Failure, 0));
        let prober = spawn(&breaker, |b| b.admit_at(10 * UNIT).is_ok());
        let drainer = thread::spawn({
            let events = events.clone();
            move || {
                let mut seen = Vec::new();
                events.drain(|event| seen.push(event.sequence));
                seen
            }
        });
        let mut seen = drainer.join().expect("no panic");
        tripper.join().expect("no panic");
        prober.join().expect("no panic");
        events.drain(|event| seen.push(event.sequence));
        let all: Vec<u64> = (1..=breaker.totals().sequence).collect();
        assert_eq!(seen, all, "an event was lost or came out of order");
    });
}

#[test]
fn a_replaced_window_hides_no_bucket() {
    check(2, &[Mutant::EdgeUnchecked], || {
        let breaker =
            build(builder().failure_rate(1.0).window(WindowConfig::time(Duration::from_micros(1_000), 1)));
        let token = breaker.admit_at(0).expect("closed");
        let mut config = breaker.config();
        config.window = WindowConfig::time(Duration::from_micros(2), 2);
        let recorder = spawn(&breaker, move |b| {
            b.record_at(token, Outcome::Success, 0);
        });
        let changer = spawn(&breaker, move |b| b.reconfigure(config).expect("valid settings"));
        recorder.join().expect("no panic");
        changer.join().expect("no panic");
        // Far behind the old window's bucket, but well within it: the new one must have turned.
        let token = breaker.admit_at(5_000).expect("closed");
        breaker.record_at(token, Outcome::Success, 5_000);
        let window = breaker.snapshot_at(6_000).totals.window.expect("a window");
        assert_eq!(window.calls, 1, "the call of the present bucket is not in the window");
    });
}

#[test]
fn no_count_stays_unseen_for_two_drains() {
    check(2, &[Mutant::NoSecondLook], || {
        let dirty = DirtySet::new();
        let breaker = build(builder().stripes(2).dirty_set(&dirty));
        assume(0);
        let token = breaker.admit_at(0).expect("closed");
        breaker.record_at(token, Outcome::Success, 0);
        let recorder = spawn(&breaker, move |b| {
            assume(1);
            b.record_at(token, Outcome::Success, 0);
        });
        let drainer = thread::spawn({
            let dirty = dirty.clone();
            move || seen(&dirty)
        });
        recorder.join().expect("no panic");
        let most = drainer.join().expect("no panic").max(seen(&dirty)).max(seen(&dirty));
        assert_eq!(most, 2, "a count was never handed out");
    });
}

/// The greatest number of successes that a drain shows.
fn seen(dirty: &DirtySet) -> u64 {
    let mut most = 0;
    dirty.drain(|live| {
        let breaker = CircuitBreaker::from_live(live).expect("a breaker");
        most = most.max(breaker.totals().success);
    });
    most
}
