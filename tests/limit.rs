//! Token buckets, reservations, leases and waiting through the public API.

use std::time::Duration;

use fusewire::{Clock, Limiter, ManualClock, RateLimiter, TokenBucketRateLimiter};

const SECOND: u64 = 1_000_000_000;

fn bucket(clock: &ManualClock, rate: f64, capacity: u64) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("test").rate(rate).capacity(capacity);
    builder.clock(Clock::from(clock)).build().expect("a valid bucket")
}

/// A bucket that is given every time.
fn timed(rate: f64, capacity: u64) -> TokenBucketRateLimiter {
    bucket(&ManualClock::new(), rate, capacity)
}

/// How many single tokens it gives at `now`.
fn drain(bucket: &TokenBucketRateLimiter, now: u64) -> u64 {
    let mut got = 0;
    while bucket.try_acquire_at(now).is_ok() {
        got += 1;
    }
    got
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 10.0, 5);
    for _ in 0..5 {
        bucket.try_acquire().expect("the burst");
    }
    let refused = bucket.try_acquire().expect_err("empty");
    assert_eq!((refused.limit, refused.window), (5, Duration::from_millis(500)));
    assert!(refused.retry_after <= Duration::from_nanos(100_000_002), "{refused:?}");
    clock.advance(refused.retry_after);
    bucket.try_acquire().expect("refilled");
    bucket.try_acquire().expect_err("one only");
    assert_eq!(bucket.totals().allowed, 6);
    assert_eq!(bucket.totals().refused, 2);
    clock.advance(Duration::from_hours(5));
    assert_eq!(bucket.remaining(), 5);
}

#[test]
fn reservations_move_up_when_one_ahead_is_dropped() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 10);
    bucket.try_acquire_n(10).expect("the burst");
    let first = bucket.reserve(4).expect("it fills");
    let second = bucket.reserve(2).expect("it fills");
    assert_eq!(second.ready_at() / 1_000_000, 6_000);
    bucket.try_acquire().expect_err("behind those who wait");
    drop(first);
    assert_eq!(second.ready_at() / 1_000_000, 2_000);
    clock.advance(Duration::from_millis(2_001));
    assert!(second.is_ready());
    drop(second);
    assert_eq!(bucket.waiting(), 0);
    assert_eq!(bucket.totals().allowed, 12);
    clock.advance(Duration::from_millis(1_001));
    bucket.try_acquire().expect("nobody waits");
}

#[test]
fn a_lease_spends_what_was_debited_and_gives_the_rest_back() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 100);
    let mut lease = bucket.lease_handle(32).expect("a valid batch");
    for _ in 0..10 {
        lease.try_acquire().expect("there");
    }
    assert_eq!((bucket.remaining(), lease.left()), (68, 22));
    drop(lease);
    assert_eq!(bucket.remaining(), 90);
}

#[test]
fn changes_at_times_that_go_back_and_forth_make_no_tokens() {
    let bucket = timed(10.0, 10);
    assert_eq!(drain(&bucket, 0), 10);
    let mut got = 0;
    for _ in 0..10 {
        bucket.reconfigure_at(10.0, 10, SECOND).expect("valid");
        bucket.reconfigure_at(10.0, 10, 0).expect("valid");
        got += drain(&bucket, SECOND);
    }
    assert!((9..=10).contains(&got), "{got} tokens in a second at ten a second");
}

#[test]
fn a_lease_that_is_returned_by_a_clock_that_lags_makes_no_tokens() {
    let bucket = timed(1e9, 10);
    let mut lease = bucket.lease_handle(10).expect("a valid batch");
    lease.try_acquire_at(100).expect("full");
    bucket.try_acquire_n_at(10, 200).expect("full again");
    lease.give_back_at(100);
    bucket.try_acquire_at(200).expect_err("ten were given at this time");
}

#[test]
fn one_request_a_nanosecond_is_allowed_for_any_window() {
    for nanos in (1..2_000).chain([9_007_199_254_740_993, 1 << 56]) {
        let builder = RateLimiter::builder("dense").max_requests(nanos).window(Duration::from_nanos(nanos));
        builder.build().expect("a request a nanosecond");
    }
    let over = RateLimiter::builder("denser").max_requests(8).window(Duration::from_nanos(7)).build();
    assert_eq!(over.expect_err("more than one").field(), "max_requests");
}

#[test]
fn after_a_stall_those_who_waited_come_together_within_what_flowed_in() {
    let bucket = timed(1000.0, 10);
    bucket.try_acquire_n_at(10, 0).expect("full");
    let waiting: Vec<_> = (0..500).map(|_| bucket.reserve_at(1, 0).expect("it fills")).collect();
    // Nobody looks for a second.
    assert!(waiting.iter().all(|place| place.is_ready_at(SECOND)));
    assert_eq!(drain(&bucket, SECOND), 10, "a full bucket besides");
}

#[test]
fn what_was_taken_at_a_wild_time_is_missing_until_then() {
    let bucket = timed(1.0, 10);
    bucket.try_acquire_n_at(10, 86_400 * SECOND).expect("full");
    bucket.reconfigure_at(1.0, 10, SECOND).expect("valid");
    for now in [SECOND, 86_399 * SECOND] {
        assert_eq!(drain(&bucket, now), 0);
    }
    assert_eq!(drain(&bucket, 86_405 * SECOND + 3), 5);
}

#[test]
fn a_limiter_is_resized_at_the_callers_time() {
    // Its own clock stands at zero.
    let builder = RateLimiter::builder("resized").max_requests(10).window(Duration::from_secs(10));
    let limiter = builder.clock(&ManualClock::new()).build().expect("valid");
    limiter.try_acquire_n_at(10, 100 * SECOND).expect("full");
    limiter.resize_at(20, Duration::from_secs(1), 103 * SECOND).expect("valid");
    assert_eq!(limiter.remaining_at(103 * SECOND + 2), 3, "three seconds of the old rate");
    assert_eq!(limiter.remaining_at(103 * SECOND + SECOND / 2 + 4), 13);
    assert_eq!(limiter.resize_at(0, Duration::from_secs(1), 0).expect_err("none").field(), "max_requests");
}

#[test]
fn a_bucket_outlives_the_line_that_its_word_has_room_for() {
    const YEARS: u64 = 54 * 365 * 86_400 * SECOND;
    for origin in [0, 1_000] {
        let bucket = timed(1.0, 10);
        bucket.try_acquire_n_at(10, origin).expect("the first");
        let mut lease = bucket.lease_handle(5).expect("a valid batch");
        lease.try_acquire_at(origin + 5 * SECOND).expect("five seconds");
        for at in [YEARS, 2 * YEARS, 4 * YEARS] {
            assert_eq!(bucket.remaining_at(at), 10);
            bucket.try_acquire_n_at(10, at).expect("idle for long");
            let refused = bucket.try_acquire_at(at).expect_err("empty");
            assert!(refused.retry_after <= Duration::from_nanos(SECOND + 3), "{refused:?}");
            assert_eq!(drain(&bucket, at + 7 * SECOND + 3), 7);
            let reservation = bucket.reserve_at(2, at + 7 * SECOND + 3).expect("it fills");
            assert!(reservation.is_ready_at(at + 9 * SECOND + 3));
            assert_eq!(bucket.remaining_at(at + 12 * SECOND + 6), 3);
        }
        lease.give_back_at(4 * YEARS);
        assert_eq!(bucket.remaining_at(4 * YEARS + 9 * SECOND), 0, "it was given long ago");
    }
}

#[test]
fn a_queue_outlives_the_line_that_its_word_has_room_for() {
    const YEARS: u64 = 40 * 365 * 86_400 * SECOND;
    let bucket = timed(1.0, 10);
    bucket.try_acquire_n_at(10, 0).expect("full");
    // The bucket is empty where the line ends.
    bucket.try_acquire_n_at(10, YEARS).expect("full");
    let reservation = bucket.reserve_at(10, YEARS + SECOND).expect("it fills");
    assert_eq!(reservation.ready_at() / SECOND, YEARS / SECOND + 10);
    assert!(!reservation.is_ready_at(YEARS + 10 * SECOND - 1));
    assert!(reservation.is_ready_at(YEARS + 10 * SECOND + 3));
}

#[test]
fn a_change_by_a_clock_that_lags_does_not_make_a_debt_of_the_tokens_given_meanwhile() {
    let bucket = timed(1e9, 10);
    bucket.try_acquire_n_at(10, 0).expect("full");
    bucket.try_acquire_n_at(10, SECOND).expect("full");
    // Ten at ten a second, by somebody who read the clock a while ago.
    bucket.reconfigure_at(10.0, 10, 1_000).expect("valid");
    let refused = bucket.try_acquire_at(SECOND).expect_err("empty");
    assert!(refused.retry_after <= Duration::from_millis(100) + Duration::from_nanos(3), "{refused:?}");
    assert_eq!(drain(&bucket, 2 * SECOND + 3), 10);
}

#[test]
fn whoever_lags_behind_a_change_gets_nothing_early() {
    let bucket = timed(10.0, 10);
    assert_eq!(drain(&bucket, SECOND), 10);
    bucket.reconfigure_at(10.0, 10, 2 * SECOND + 3).expect("valid");
    assert_eq!(drain(&bucket, SECOND), 0, "what flowed in within the next second");
    assert_eq!(drain(&bucket, SECOND + SECOND / 2 + 6), 5);
    assert_eq!(drain(&bucket, 2 * SECOND + 6), 5);
    // A jump of half a century ahead and back.
    bucket.try_acquire_at(1_700_000_000 * SECOND).expect("full");
    assert_eq!(drain(&bucket, 2 * SECOND + 6), 0);
}

#[test]
fn a_time_that_falls_from_the_end_of_all_times_to_their_beginning_makes_no_tokens() {
    for origin in [u64::MAX, u64::MAX - 365 * 86_400 * SECOND, u64::MAX / 16 * 15 + 1_000] {
        let bucket = timed(3.0, 10);
        bucket.try_acquire_n_at(10, origin).expect("full");
        for now in [0, 1, 86_400 * SECOND] {
            bucket.try_acquire_at(now).expect_err("time went back");
            assert_eq!(bucket.remaining_at(now), 0);
        }
    }
}

#[test]
fn tokens_that_are_there_can_be_had_before_the_first_request() {
    let bucket = timed(10.0, 10);
    bucket.try_acquire_at(SECOND).expect("full");
    // By a clock that lags.
    assert_eq!(bucket.remaining_at(SECOND - 1), 9);
    bucket.peek_at(9, SECOND - 1).expect("there");
    let refused = bucket.peek_at(10, SECOND - 1).expect_err("one is missing");
    assert_eq!(refused.retry_after.as_nanos(), 100_000_002);
    bucket.try_acquire_n_at(9, SECOND - 1).expect("there");
}
