//! Many threads on one bucket, for a bounded number of steps: what must hold whoever wins each race.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::{Limiter, ManualClock, TokenBucketRateLimiter};

#[path = "shared/random.rs"]
mod random;
#[path = "shared/together.rs"]
mod together;

use random::Random;
use together::{THREADS, together};

const SECOND: u64 = 1_000_000_000;

fn bucket(clock: &ManualClock, rate: f64, capacity: u64) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("stress").rate(rate).capacity(capacity);
    builder.clock(clock).stripes(3).build().expect("a valid bucket")
}

#[test]
fn a_bucket_that_does_not_fill_gives_what_it_has_and_no_more() {
    const CAPACITY: u64 = 100_000;
    let bucket = bucket(&ManualClock::new(), 0.0, CAPACITY);
    let (given, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    together(
        |mut random| {
            for _ in 0..40_000 {
                let n = 1 + random.below(4);
                // At times that disagree.
                let tally =
                    if bucket.try_acquire_n_at(n, random.below(1_000)).is_ok() { &given } else { &refused };
                tally.fetch_add(n, Ordering::Relaxed);
            }
        },
        || assert!(bucket.totals().allowed <= CAPACITY),
    );
    let totals = bucket.totals();
    assert_eq!((totals.allowed, totals.refused), (given.into_inner(), refused.into_inner()));
    assert_eq!(totals.allowed + bucket.remaining(), CAPACITY);
    assert!(bucket.remaining() < 4, "nothing was left that anybody asked for");
}

#[test]
fn no_more_is_given_than_flows_in() {
    for (rate, capacity) in [(1e9, 50), (1e6, 1_000), (3e8, 7)] {
        let bucket = bucket(&ManualClock::new(), rate, capacity);
        let (time, given) = (AtomicU64::new(SECOND), AtomicU64::new(0));
        together(
            |mut random| {
                for _ in 0..30_000 {
                    // Each thread reads the time on its own, up to two microseconds late.
                    let now = time.fetch_add(random.below(300), Ordering::Relaxed) - random.below(2_000);
                    let n = 1 + random.below(capacity.min(9));
                    if bucket.try_acquire_n_at(n, now).is_ok() {
                        given.fetch_add(n, Ordering::Relaxed);
                    }
                }
            },
            || (),
        );
        let (time, given) = (time.into_inner() - SECOND + 2_000, given.into_inner());
        let most = capacity as f64 + rate * (time as f64 / 1e9);
        assert!(given as f64 <= most, "{given} given, not {most}");
        assert_eq!(bucket.totals().allowed, given);
    }
}

#[test]
fn waiters_of_all_sizes_are_served_while_others_try() {
    const CAPACITY: u64 = 64;
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1e9, CAPACITY);
    let (granted, taken, left) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let begun = clock.now();
    together(
        |mut random| {
            let mut waiting = Vec::new();
            for _ in 0..2_000 {
                match random.below(4) {
                    0 if bucket.try_acquire().is_ok() => {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                    1 => drop(bucket.peek(3)),
                    2 if !waiting.is_empty() => {
                        let (n, reservation): (u64, fusewire::Reservation) =
                            waiting.swap_remove(random.below(waiting.len() as u64) as usize);
                        let tally = if reservation.cancel_at(bucket.now()) { &left } else { &granted };
                        tally.fetch_add(n, Ordering::Relaxed);
                    }
                    _ if waiting.len() < 4 => {
                        let n = 1 + random.below(CAPACITY);
                        waiting.push((n, bucket.reserve(n).expect("it fills")));
                    }
                    _ => {}
                }
            }
            // The rest are waited for, in order, and nobody waits for ever.
            for (n, reservation) in waiting {
                while !reservation.is_ready() {
                    thread::yield_now();
                }
                granted.fetch_add(n, Ordering::Relaxed);
            }
        },
        || {
            clock.advance(Duration::from_nanos(40));
        },
    );
    let (granted, taken) = (granted.into_inner(), taken.into_inner());
    assert_eq!(bucket.waiting(), 0);
    assert_eq!(bucket.totals().allowed, granted + taken, "what left took nothing");
    assert!(granted + taken <= CAPACITY + (clock.now() - begun), "{granted} and {taken} of {clock:?}");
    assert!(granted > 0 && left.into_inner() > 0);
    clock.advance(Duration::from_micros(1));
    bucket.try_acquire_n(CAPACITY).expect("nobody waits, and it is full");
}

#[test]
fn reservations_are_granted_in_the_order_in_which_they_came() {
    // One thread joins, others serve: the granted ones are always the oldest.
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1e9, 32);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = bucket.try_acquire();
                    thread::yield_now();
                }
            });
        }
        let mut random = Random::new(99);
        let mut waiting: std::collections::VecDeque<fusewire::Reservation> = [].into();
        for _ in 0..3_000 {
            if waiting.len() < 6 {
                waiting.push_back(bucket.reserve(1 + random.below(32)).expect("it fills"));
            }
            clock.advance(Duration::from_nanos(random.below(40)));
            // From the back: who is ready there says that all before are.
            let ready: Vec<bool> = waiting.iter().rev().map(fusewire::Reservation::is_ready).collect();
            assert!(ready.is_sorted(), "{ready:?} from the back");
            while waiting.front().is_some_and(fusewire::Reservation::is_ready) {
                waiting.pop_front();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn leases_of_many_threads_spend_what_was_drawn_and_return_the_rest() {
    const CAPACITY: u64 = 50_000;
    // Nothing flows in, so all that was drawn is spent or comes back.
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 0.0, CAPACITY);
    let spent = AtomicU64::new(0);
    together(
        |mut random| {
            let mut lease = bucket.lease_handle(64).expect("a valid batch");
            for _ in 0..11_000 {
                if random.below(50) == 0 {
                    lease = bucket.lease_handle(1 + random.below(64)).expect("a valid batch");
                }
                if random.below(70) == 0 {
                    lease.give_back_at(0);
                }
                spent.fetch_add(u64::from(lease.try_acquire().is_ok()), Ordering::Relaxed);
            }
        },
        || assert!(bucket.remaining() <= CAPACITY),
    );
    let spent = spent.into_inner();
    assert_eq!(spent, THREADS * 11_000);
    assert_eq!(bucket.remaining(), CAPACITY - spent);
    // And where it flows, no more than the bound.
    let bucket = self::bucket(&clock, 1e9, 200);
    let (time, spent) = (AtomicU64::new(SECOND), AtomicU64::new(0));
    together(
        |mut random| {
            let mut lease =
                bucket.lease_handle(30).expect("a valid batch").max_hold(Duration::from_micros(1));
            for _ in 0..20_000 {
                let now = time.fetch_add(random.below(4), Ordering::Relaxed);
                spent.fetch_add(u64::from(lease.try_acquire_at(now).is_ok()), Ordering::Relaxed);
            }
        },
        || (),
    );
    let (spent, time) = (spent.into_inner(), time.into_inner() - SECOND);
    assert!(spent <= 200 + time + 1_000, "{spent} in {time}");
}

#[test]
fn extreme_changes_under_load_neither_make_tokens_nor_wedge() {
    const CAPACITIES: [u64; 2] = [1_000, 10];
    const RATES: [f64; 2] = [1e9, 1.0 / 86_400.0];
    let bucket = bucket(&ManualClock::new(), RATES[0], CAPACITIES[0]);
    let (time, given) = (AtomicU64::new(SECOND), AtomicU64::new(0));
    let (mut fast, mut turn) = (0_u64, 0_usize);
    together(
        |mut random| {
            for _ in 0..60_000 {
                let now = time.load(Ordering::Relaxed) - random.below(2_000);
                let n = 1 + random.below(4);
                match random.below(16) {
                    0 => drop(bucket.peek_at(n, now)),
                    1 => assert!(bucket.remaining_at(now) <= 1_000),
                    // Forgotten, given up, or granted at once.
                    2 => {
                        let before = bucket.reserve_at(n, now).expect("it fills");
                        drop(before);
                    }
                    _ => {
                        if bucket.try_acquire_n_at(n, now).is_ok() {
                            given.fetch_add(n, Ordering::Relaxed);
                        }
                    }
                }
            }
        },
        || {
            // A microsecond at 10^9 a second, a millisecond at one a day.
            let (by, lag) =
                if turn.is_multiple_of(2) { (1_000, 0) } else { (1_000_000, turn as u64 * 37 % 2_000) };
            fast += if turn.is_multiple_of(2) { by } else { 0 };
            let now = time.fetch_add(by, Ordering::Relaxed) + by;
            turn += 1;
            // Its clock lags too, where it goes from slow to fast.
            let now = if turn.is_multiple_of(2) { now - lag } else { now };
            fast += if turn.is_multiple_of(2) { lag } else { 0 };
            bucket.reconfigure_at(RATES[turn % 2], CAPACITIES[turn % 2], now).expect("valid");
        },
    );
    let totals = bucket.totals();
    // What reservations got counts as well.
    let most = CAPACITIES[0] + fast + 1_000;
    assert!(totals.allowed <= most, "{} given, {fast} flowed in, {turn} changes", totals.allowed);
    assert!(given.into_inner() <= totals.allowed);
    // It goes on as if nothing had been.
    let now = time.into_inner() + SECOND;
    bucket.reconfigure_at(1e9, 1_000, now).expect("valid");
    bucket.try_acquire_n_at(1_000, now + 1_001).expect("nothing is wedged");
    assert_eq!(bucket.waiting(), 0);
    bucket.reconfigure_at(1.0, 10, now + 1_001).expect("valid");
    bucket.try_acquire_n_at(10, now + 1_001 + 10 * SECOND + 3).expect("nothing is wedged");
    bucket.try_acquire_at(now + 1_001 + 10 * SECOND + 3).expect_err("ten, by the last terms");
}

#[test]
fn leases_and_waiters_survive_changes_under_load() {
    let clock = ManualClock::new();
    clock.set(SECOND);
    let bucket = bucket(&clock, 1e9, 1_000);
    let mut turn = 0_u64;
    together(
        |mut random| {
            let mut lease = bucket.lease_handle(10).expect("a valid batch");
            for _ in 0..10_000 {
                match random.below(8) {
                    0 => lease.give_back_at(clock.now()),
                    1 => lease = bucket.lease_handle(1 + random.below(10)).expect("a valid batch"),
                    2 => {
                        let _ = bucket.acquire_timeout(1 + random.below(10), Duration::ZERO);
                    }
                    3 => {
                        let _ = bucket.reserve(1 + random.below(10)).map(std::mem::forget);
                    }
                    _ => {
                        let _ = lease.try_acquire();
                    }
                }
                assert!(bucket.remaining() <= 1_000);
            }
        },
        || {
            turn += 1;
            clock.advance(Duration::from_nanos(500));
            let (rate, capacity) = [(1e9, 1_000), (1e-4, 10), (7.0, 100)][(turn % 3) as usize];
            bucket.reconfigure(rate, capacity).expect("valid");
        },
    );
    // Who was forgotten gets its tokens, and then all is free again.
    bucket.reconfigure(1e9, 1_000).expect("valid");
    let asked = 10 * 10_000 * THREADS;
    clock.advance(Duration::from_nanos(asked + 2_000) + Duration::from_hours(24));
    assert_eq!(bucket.remaining(), 1_000);
    bucket.try_acquire_n(1_000).expect("nobody waits");
    assert_eq!(bucket.waiting(), 0);
}
