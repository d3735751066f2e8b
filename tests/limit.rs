//! Token buckets, reservations, leases and waiting through the public API.

use std::time::Duration;

use fusewire::{Clock, Limiter, ManualClock, RateLimiter, TokenBucketRateLimiter};

#[path = "shared/random.rs"]
mod random;

use random::Random;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const YEAR: u64 = 365 * 24 * HOUR;

/// From one a day to 10^9 a second, round numbers and others.
const RATES: [f64; 21] = [
    1.0 / 86_400.0,
    0.001,
    0.3,
    0.999,
    1.0,
    3.0,
    7.0,
    10.0,
    99.99,
    999.9,
    1_000.0,
    12_345.678,
    65_536.0,
    1e6,
    1_234_567.89,
    33_333_333.3,
    123_456_789.1,
    536_870_912.0,
    5e8,
    999_999_999.9,
    1e9,
];

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

/// As many tokens as flow in within 25 years, if not `most`.
fn enough(rate: f64, most: u64) -> u64 {
    most.min((rate * (25 * YEAR / SECOND) as f64) as u64)
}

#[test]
fn the_rate_is_kept_whatever_the_requests() {
    const CAPACITY: u64 = 1_000;
    for rate in RATES {
        let bucket = timed(rate, CAPACITY);
        let (origin, mut now, mut random) = (YEAR, YEAR, Random::new(7));
        bucket.try_acquire_n_at(CAPACITY, now).expect("full");
        let (mut given, enough) = (0, enough(rate, 1_000_000) - CAPACITY);
        while given < enough {
            // Never long enough for it to fill.
            now += 1 + (random.below(CAPACITY * 9 / 10) as f64 * 1e9 / rate) as u64;
            let there = bucket.remaining_at(now);
            if there > 0 {
                bucket.try_acquire_n_at(there, now).expect("they are there");
                given += there;
            }
        }
        // All that flowed in, but for a part of a token, and of a millionth.
        let ideal = rate * ((now - origin) as f64 / 1e9);
        let missing = ideal - given as f64;
        assert!(
            (-1e-6 * ideal..1.0 + 1e-6 * ideal).contains(&missing),
            "{rate} a second: {given} of {ideal}"
        );
    }
}

#[test]
fn the_rate_is_kept_to_a_thousandth_of_a_percent_a_token_at_a_time() {
    // A caller who comes back when it is told to, and never later.
    for rate in RATES {
        let bucket = timed(rate, 5);
        let (mut now, mut given) = (0, 0_u64);
        bucket.try_acquire_n_at(5, now).expect("full");
        while given < enough(rate, 300_000) {
            match bucket.try_acquire_at(now) {
                Ok(()) => given += 1,
                Err(refused) => now += refused.retry_after.as_nanos() as u64,
            }
        }
        let ideal = rate * (now as f64 / 1e9);
        let wrong = (given as f64 - ideal) / ideal;
        assert!(wrong.abs() < 1e-5, "{rate} a second: {given} given, not {ideal}");
    }
}

#[test]
fn idling_fills_the_bucket_and_changes_no_rate() {
    for rate in RATES {
        for idle in [HOUR, 5 * HOUR, YEAR, 17 * YEAR] {
            let bucket = timed(rate, 3);
            bucket.try_acquire_n_at(3, 0).expect("full");
            let full = rate * (idle as f64 / 1e9) >= 3.0;
            if !full {
                // One a day, after an hour or five.
                assert_eq!(bucket.remaining_at(idle), 0);
                continue;
            }
            assert_eq!(bucket.remaining_at(idle), 3);
            assert_eq!(drain(&bucket, idle), 3);
            let ten = (10.0 * 1e9 / rate) as u64;
            let mut given = 0;
            for step in 1..=100 {
                given += drain(&bucket, idle + ten * step / 100 + 4);
            }
            // But for a part of a token here, and a part of one that was there after the burst.
            let ideal = rate * ((ten + 4) as f64 / 1e9);
            assert!((given as f64 - ideal).abs() < 1.1, "{rate}: {given} of {ideal} after {idle}");
        }
    }
}

#[test]
fn nobody_is_told_to_come_back_early_or_more_than_three_nanoseconds_late() {
    for rate in RATES {
        let bucket = timed(rate, 10);
        let (mut now, mut random) = (SECOND, Random::new(3));
        for _ in 0..200 {
            let n = 1 + random.below(10);
            if let Err(refused) = bucket.try_acquire_n_at(n, now) {
                let after = refused.retry_after.as_nanos() as u64;
                if after > 3 {
                    bucket
                        .try_acquire_n_at(n, now + after - 4)
                        .expect_err("told to wait for longer than needed");
                }
                now += after;
                bucket.try_acquire_n_at(n, now).expect("told to come now");
            }
            now += random.below((3e9 / rate) as u64 + 2);
        }
    }
}

#[test]
fn a_rate_of_zero_never_refills() {
    let bucket = timed(0.0, 3);
    assert_eq!(drain(&bucket, 0), 3);
    for now in [0, SECOND, YEAR, u64::MAX] {
        let refused = bucket.try_acquire_at(now).expect_err("never");
        assert_eq!((refused.retry_after, refused.window), (Duration::MAX, Duration::MAX));
        assert_eq!(bucket.remaining_at(now), 0);
        let reserved = bucket.reserve_at(1, now).expect_err("waiting will not help");
        assert_eq!(reserved.retry_after, Duration::MAX);
    }
    assert_eq!(bucket.totals().refused, 9);
}

/// Nothing given in any interval exceeds a full bucket, what flows in, and `more`.
fn check_bound(given: &mut [(u64, u64)], rate: f64, capacity: u64, more: f64) {
    given.sort_unstable();
    for (i, (from, _)) in given.iter().enumerate() {
        let mut sum = 0;
        for (to, n) in &given[i..] {
            sum += n;
            let most = capacity as f64 + rate * ((to - from) as f64 / 1e9) + more + 1e-6;
            assert!(sum as f64 <= most, "{sum} from {from} to {to}, not {most}");
        }
    }
}

#[test]
fn times_that_jump_back_and_forth_make_no_tokens_in_any_interval() {
    for (rate, capacity) in [(10.0, 5), (1e6, 100), (1e9, 50), (0.7, 3)] {
        let tick = (1e9 / rate) as u64 + 1;
        for seed in 1..8 {
            let bucket = timed(rate, capacity);
            let (mut now, mut random) = (1_000_000 * tick, Random::new(seed));
            let mut given = Vec::new();
            for _ in 0..1_500 {
                now = match random.below(8) {
                    0 => now - 2_000.min(now),
                    1 => now - (random.below(30) * tick).min(now),
                    2 => now + random.below(40) * tick,
                    _ => now + random.below(tick),
                };
                let n = 1 + random.below(capacity);
                if bucket.try_acquire_n_at(n, now).is_ok() {
                    given.push((now, n));
                }
            }
            check_bound(&mut given, rate, capacity, 2.0 * rate * 2e-9);
        }
    }
}

#[test]
fn a_jump_back_refuses_for_no_longer_than_the_jump() {
    for jump in [2_000, SECOND, HOUR, YEAR, 10 * YEAR] {
        for (rate, changed) in [(0.5, false), (10.0, true), (10.0, false), (1e9, true)] {
            let bucket = timed(rate, 5);
            let now = 11 * YEAR;
            bucket.try_acquire_at(now).expect("full");
            if changed {
                bucket.reconfigure_at(rate, 5, now).expect("valid");
            }
            let early = bucket.try_acquire_at(now - jump);
            if let Err(refused) = early {
                assert!(refused.retry_after <= Duration::from_nanos(jump + 3), "{jump}: {refused:?}");
            }
            assert_eq!(drain(&bucket, now), 4 - u64::from(early.is_ok()));
        }
    }
}

#[test]
fn refusals_leave_no_trace() {
    let (refusing, quiet) = (timed(3.0, 4), timed(3.0, 4));
    refusing.try_acquire_n_at(5, 0).expect_err("invalid, and so no first request");
    for bucket in [&refusing, &quiet] {
        bucket.try_acquire_at(SECOND).expect("full");
    }
    let mut random = Random::new(11);
    for now in (SECOND..200 * SECOND).step_by(123_456_789) {
        // At all times, of all sizes, valid or not.
        for _ in 0..5 {
            let at = now - random.below(SECOND);
            let n = [0, 5, u64::MAX][random.below(3) as usize];
            refusing.try_acquire_n_at(n, at).expect_err("invalid");
            let there = refusing.remaining_at(at);
            if there < 4 {
                refusing.try_acquire_n_at(there + 1, at).expect_err("not there");
            }
        }
        let n = 1 + random.below(4);
        assert_eq!(refusing.peek_at(n, now), quiet.peek_at(n, now));
        assert_eq!(refusing.try_acquire_n_at(n, now), quiet.try_acquire_n_at(n, now));
        assert_eq!(refusing.remaining_at(now), quiet.remaining_at(now));
    }
    assert_eq!(refusing.totals().allowed, quiet.totals().allowed);
}

#[test]
fn invalid_requests_say_so_and_count_nothing() {
    let bucket = timed(1.0, 10);
    for n in [0, 11, u64::MAX] {
        let errors = [
            bucket.try_acquire_n_at(n, 0).expect_err("invalid"),
            bucket.peek_at(n, 0).expect_err("invalid"),
            bucket.reserve_at(n, 0).expect_err("invalid"),
            bucket.acquire_timeout(n, Duration::MAX).expect_err("invalid"),
        ];
        for error in errors {
            assert!(error.is_invalid());
            assert_eq!((error.requested, error.most, error.retry_after), (n, 10, Duration::MAX));
            assert_eq!(error.to_string(), format!("n is {n}; allowed: 1 to 10"));
        }
    }
    for batch in [0, 11] {
        let error = bucket.lease_handle(batch).expect_err("invalid");
        assert_eq!((error.field(), error.value()), ("batch", batch.to_string().as_str()));
    }
    assert_eq!(bucket.totals(), fusewire::LimiterTotals::default());
    assert_eq!(bucket.remaining_at(0), 10);
}

#[test]
fn settings_out_of_range_name_the_field_the_value_and_the_range() {
    let build = |rate: f64, capacity| {
        let builder = TokenBucketRateLimiter::builder("invalid").rate(rate).capacity(capacity);
        builder.build().expect_err("out of range")
    };
    for (rate, value) in [
        (-1.0, "-1.0"),
        (-1e-300, "-1e-300"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (1_000_000_000.1, "1000000000.1"),
        (4e-10, "4e-10"),
        (5e-324, "5e-324"),
    ] {
        let error = build(rate, 1);
        assert_eq!((error.field(), error.value()), ("rate", value));
        assert_eq!(error.to_string(), format!("rate is {value}; allowed: {}", error.allowed()));
        assert!(error.allowed().starts_with('0'), "{error}");
    }
    assert_eq!(build(1.0, 0).to_string(), "capacity is 0; allowed: 1 or more");
    assert_eq!(build(1.0, u64::MAX).field(), "capacity");
    assert_eq!(build(1e9, 1 << 60).field(), "capacity");
    let builder = || TokenBucketRateLimiter::builder("invalid");
    assert_eq!(builder().capacity(1).build().expect_err("no rate").field(), "rate");
    assert_eq!(builder().rate(1.0).build().expect_err("no capacity").field(), "capacity");
    let error = builder().rate(1.0).capacity(3).initial_tokens(4).build().expect_err("too many");
    assert_eq!((error.field(), error.value()), ("initial_tokens", "4"));
    for stripes in [0, 66] {
        let error = builder().rate(1.0).capacity(3).stripes(stripes).build().expect_err("out of range");
        assert_eq!(error.field(), "stripes");
    }
    let limiter = || RateLimiter::builder("invalid");
    assert_eq!(limiter().max_requests(0).build().expect_err("none").field(), "max_requests");
    assert_eq!(limiter().window(Duration::ZERO).build().expect_err("zero").field(), "window");
    assert_eq!(limiter().window(Duration::MAX).build().expect_err("too long").field(), "window");
    // Nothing changes by a change that is refused.
    let bucket = timed(2.0, 4);
    for (rate, capacity) in [(f64::NAN, 4), (-0.5, 4), (2e9, 4), (2.0, 0), (2.0, u64::MAX)] {
        bucket.reconfigure_at(rate, capacity, 0).expect_err("out of range");
    }
    assert_eq!((bucket.rate().to_bits(), bucket.capacity()), (2.0_f64.to_bits(), 4));
    let limiter = limiter().build().expect("defaults");
    limiter.resize(0, Duration::from_secs(1)).expect_err("none");
    limiter.resize(1, Duration::ZERO).expect_err("no window");
    assert_eq!(limiter.capacity(), 100);
}

#[test]
fn the_first_request_anchors_the_line_at_any_origin() {
    for origin in [0, 1, SECOND, 1_700_000_000 * SECOND, u64::MAX - 10 * SECOND] {
        let bucket = timed(2.0, 3);
        assert_eq!(drain(&bucket, origin), 3);
        assert_eq!(bucket.remaining_at(origin + SECOND + 2), 2);
        assert_eq!(drain(&bucket, origin + 2 * SECOND + 2), 3, "full");
    }
    let bucket = timed(1e9, 3);
    assert_eq!(drain(&bucket, u64::MAX), 3);
    bucket.try_acquire_at(u64::MAX).expect_err("at the end of time");
}

#[test]
fn tokens_to_begin_with_are_those_at_the_first_request() {
    for initial in [0, 1, 9, 10] {
        let builder = TokenBucketRateLimiter::builder("initial").rate(1.0).capacity(10);
        let bucket = builder.initial_tokens(initial).build().expect("valid");
        assert_eq!(bucket.remaining_at(5 * YEAR), initial, "the line has not begun");
        assert_eq!(drain(&bucket, 5 * YEAR), initial);
        assert_eq!(bucket.remaining_at(5 * YEAR + 3 * SECOND + 2), 3);
        assert_eq!(bucket.remaining_at(6 * YEAR), 10);
    }
    // A change before the first request keeps them.
    let builder = TokenBucketRateLimiter::builder("initial").rate(1.0).capacity(10);
    let bucket = builder.initial_tokens(4).build().expect("valid");
    bucket.reconfigure_at(2.0, 20, SECOND).expect("valid");
    assert_eq!(drain(&bucket, SECOND), 4);
    // A request that is not valid is no first one.
    let builder = TokenBucketRateLimiter::builder("initial").rate(1.0).capacity(10);
    let bucket = builder.initial_tokens(0).build().expect("valid");
    bucket.try_acquire_n_at(11, 0).expect_err("invalid");
    bucket.reserve_at(0, 0).expect_err("invalid");
    assert_eq!(drain(&bucket, 5 * SECOND), 0);
}

#[test]
fn a_change_is_not_retroactive_and_keeps_what_is_there() {
    let bucket = timed(1.0, 100);
    assert_eq!(drain(&bucket, 0), 100);
    // Ten flow in, and the new rate counts from then on.
    bucket.reconfigure_at(1000.0, 100, 10 * SECOND + 2).expect("valid");
    assert_eq!(bucket.remaining_at(10 * SECOND + 2), 10);
    assert_eq!(drain(&bucket, 10 * SECOND + 2), 10);
    assert_eq!(drain(&bucket, 10 * SECOND + 2 + SECOND / 100 + 4), 10);
    // Back: ten of the old rate take ten seconds.
    bucket.reconfigure_at(1.0, 100, 11 * SECOND).expect("valid");
    let there = bucket.remaining_at(11 * SECOND);
    assert_eq!(bucket.remaining_at(12 * SECOND + 4), there.min(100) + u64::from(there < 100));
    // At most the new capacity; and what it holds less does not come back.
    bucket.reconfigure_at(1.0, 7, 500 * SECOND).expect("valid");
    assert_eq!(bucket.remaining_at(500 * SECOND), 7);
    bucket.reconfigure_at(1.0, 100, 500 * SECOND).expect("valid");
    assert_eq!(bucket.remaining_at(500 * SECOND), 7);
    assert_eq!(drain(&bucket, 500 * SECOND), 7);
}

#[test]
fn extreme_changes_keep_the_bound() {
    const DAY: f64 = 1.0 / 86_400.0;
    let bucket = timed(1e9, 1_000);
    let (mut now, mut fast, mut given) = (SECOND, 0, 0);
    for turn in 0..200 {
        given += drain(&bucket, now);
        bucket.reconfigure_at(DAY, 10, now).expect("valid");
        // A millisecond at one a day: a million tokens in the old units.
        now += 1_000_000;
        given += drain(&bucket, now);
        bucket.reconfigure_at(1e9, 1_000, now).expect("valid");
        now += turn % 7;
        fast += turn % 7;
    }
    assert!(given <= 1_000 + fast, "{given} given, {fast} flowed in");
    assert!(
        given + 200 >= 1_000 + fast,
        "{given} given, {fast} flowed in: a change rounds off less than one"
    );
}

#[test]
fn a_lease_returns_what_would_have_been_there() {
    let bucket = timed(1.0, 100);
    for (later, returned) in [(0, 22), (7, 15), (21, 1), (22, 0), (1_000, 0)] {
        let now = bucket.totals().allowed * YEAR + YEAR;
        let mut lease = bucket.lease_handle(32).expect("a valid batch");
        for _ in 0..10 {
            lease.try_acquire_at(now).expect("there");
        }
        // Somebody empties it meanwhile, so that nothing flows over.
        bucket.try_acquire_n_at(68, now).expect("there");
        let then = now + later * SECOND;
        let before = bucket.remaining_at(then);
        assert_eq!(before, later.min(100));
        lease.give_back_at(then);
        assert_eq!(bucket.remaining_at(then), (before + returned).min(100), "after {later} s");
        assert_eq!(lease.left(), 0);
        lease.give_back_at(then);
        assert_eq!(bucket.remaining_at(then), (before + returned).min(100), "twice is once");
    }
    // A lease counts when it is drawn.
    assert_eq!(bucket.totals().allowed, 5 * 100);
}

#[test]
fn leased_tokens_lapse_across_a_change_and_with_a_clock_that_is_not_the_limiters() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 100);
    let mut lease = bucket.lease_handle(50).expect("a valid batch");
    lease.try_acquire().expect("there");
    bucket.reconfigure(1.0, 100).expect("valid");
    drop(lease);
    assert_eq!(bucket.remaining(), 50, "lapsed, although the terms are the same");
    let mut lease = bucket.lease_handle(30).expect("a valid batch");
    lease.try_acquire_at(0).expect("there");
    drop(lease);
    assert_eq!(bucket.remaining(), 20, "drawn at the owner's time");
    let mut lease = bucket.lease_handle(100).expect("a valid batch");
    lease.try_acquire().expect("as many as there are");
    assert_eq!((lease.left(), bucket.remaining()), (19, 0));
    // The capacity shrank below the batch.
    bucket.reconfigure(1.0, 10).expect("valid");
    drop(lease);
    clock.advance(Duration::from_hours(1));
    let mut lease = bucket.lease_handle(10).expect("a valid batch");
    bucket.reconfigure(1.0, 4).expect("valid");
    lease.try_acquire().expect("there");
    assert_eq!(lease.left(), 3);
}

#[test]
fn a_lease_expires_after_its_hold() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1e-3, 100);
    let mut lease = bucket.lease_handle(10).expect("a valid batch").max_hold(Duration::from_secs(1));
    lease.try_acquire().expect("there");
    clock.advance(Duration::from_millis(999));
    lease.try_acquire().expect("there");
    assert_eq!((lease.left(), bucket.remaining()), (8, 90));
    clock.advance(Duration::from_millis(1));
    lease.try_acquire().expect("the next batch");
    // Almost all eight came back, and ten were drawn.
    assert_eq!((lease.left(), bucket.remaining()), (9, 88));
    lease.maintain_at(clock.now());
    assert_eq!(lease.left(), 9);
    lease.maintain_at(clock.now() + SECOND);
    assert_eq!((lease.left(), bucket.remaining_at(clock.now() + SECOND)), (0, 97));
}

/// Random spending by several handles; gives what was spent when.
fn spend(seed: u64, rate: f64, capacity: u64, handles: u64, hold: Option<u64>) -> Vec<(u64, u64)> {
    let bucket = timed(rate, capacity);
    let mut random = Random::new(seed);
    let batch = |random: &mut Random| 1 + random.below(capacity.min(8));
    let lease = |random: &mut Random| {
        let lease = bucket.lease_handle(batch(random)).expect("a valid batch");
        hold.map_or_else(
            || bucket.lease_handle(8.min(capacity)).expect("valid"),
            |hold| lease.max_hold(Duration::from_nanos(hold)),
        )
    };
    let mut leases: Vec<_> = (0..handles).map(|_| lease(&mut random)).collect();
    let (mut now, mut spent) = (SECOND, Vec::new());
    let tick = (1e9 / rate) as u64;
    while spent.len() < 300 {
        now += match random.below(10) {
            0 => random.below(20 * tick),
            1..4 => random.below(2 * tick),
            _ => 0,
        };
        let index = random.below(handles) as usize;
        match random.below(12) {
            0 => leases[index].give_back_at(now),
            1 => leases[index].maintain_at(now),
            2 if bucket.try_acquire_at(now).is_ok() => spent.push((now, 1)),
            _ if leases[index].try_acquire_at(now).is_ok() => spent.push((now, 1)),
            _ => {}
        }
    }
    spent
}

#[test]
fn what_leases_spend_is_bounded_by_their_hold() {
    for seed in 1..60 {
        let (rate, capacity, handles) = (10.0, 3 + seed % 20, 1 + seed % 5);
        let hold = [0, SECOND / 10, SECOND, 5 * SECOND][seed as usize % 4];
        let mut spent = spend(seed, rate, capacity, handles, Some(hold));
        check_bound(&mut spent, rate, capacity, rate * (hold as f64 / 1e9) + 1e-6);
    }
}

#[test]
fn what_leases_spend_without_a_hold_is_bounded_by_their_batches() {
    for seed in 1..60 {
        let (rate, capacity, handles) = (10.0, 3 + seed % 20, 1 + seed % 5);
        let mut spent = spend(seed, rate, capacity, handles, None);
        check_bound(&mut spent, rate, capacity, (handles * capacity.min(8)) as f64 + 1e-6);
    }
}

#[test]
fn what_is_drawn_and_not_returned_obeys_the_bound_exactly() {
    // Nothing is ever given back here, so what is drawn is what is given.
    for seed in 1..30 {
        let bucket = timed(10.0, 20);
        let (mut random, mut now) = (Random::new(seed), SECOND);
        let mut leases: Vec<_> = (1..=6).map(|n| bucket.lease_handle(3 * n).expect("valid")).collect();
        let mut drawn = Vec::new();
        for _ in 0..400 {
            now += random.below(SECOND / 10);
            let before = bucket.totals().allowed;
            let index = random.below(6) as usize;
            let _ = leases[index].try_acquire_at(now);
            drawn.push((now, bucket.totals().allowed - before));
        }
        check_bound(&mut drawn, 10.0, 20, 1e-6);
    }
}

#[test]
fn requests_of_a_window_are_a_bucket() {
    let clock = ManualClock::new();
    let builder = RateLimiter::builder("window").max_requests(60).window(Duration::from_mins(1));
    let limiter = builder.clock(&clock).build().expect("valid");
    assert_eq!((limiter.rate().to_bits(), limiter.capacity()), (1.0_f64.to_bits(), 60));
    for _ in 0..60 {
        limiter.try_acquire().expect("the burst");
    }
    let refused = limiter.try_acquire().expect_err("empty");
    assert!(refused.to_string().starts_with("rate limit exceeded: 60 per 60"), "{refused}");
    assert!(refused.to_string().ends_with("retry in 1.0 s"), "{refused}");
    limiter.resize(120, Duration::from_mins(1)).expect("valid");
    assert_eq!(limiter.remaining(), 0, "not retroactive");
    clock.advance(Duration::from_secs(1));
    assert!((1..=2).contains(&limiter.remaining()));
}

#[test]
fn a_lease_is_looked_after_by_the_limiters_clock() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 100);
    let mut lease = bucket.lease_handle(10).expect("a valid batch").max_hold(Duration::from_secs(3));
    lease.try_acquire().expect("there");
    clock.advance(Duration::from_nanos(2_000_000_004));
    lease.maintain();
    assert_eq!((lease.left(), bucket.remaining()), (9, 92));
    clock.advance(Duration::from_secs(1));
    lease.maintain();
    assert_eq!((lease.left(), bucket.remaining()), (0, 99));
    lease.try_acquire().expect("there");
    lease.give_back();
    assert_eq!((lease.left(), bucket.remaining()), (0, 98));
}

#[test]
fn a_reservation_says_how_long_it_takes() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 10);
    assert_eq!(bucket.reserve(10).expect("full").time_until_ready(), Duration::ZERO);
    let waiting = bucket.reserve(4).expect("it fills");
    assert!(waiting.time_until_ready().abs_diff(Duration::from_secs(4)) < Duration::from_micros(1));
    clock.advance(Duration::from_secs(9));
    assert_eq!(waiting.time_until_ready(), Duration::ZERO);
    let stopped = bucket.reserve(10).expect("it fills");
    bucket.reconfigure(0.0, 10).expect("valid settings");
    assert_eq!(stopped.time_until_ready(), Duration::MAX);
}
