//! The sliding-window limiters and sets of limits, through the public API, at explicit times.

use std::time::Duration;

use fusewire::{
    Clock, LimitSet, Limiter, ManualClock, RateLimitExceeded, Retryable, SlidingWindowRateLimiter,
    SlidingWindowRateLimiterBuilder,
};

const SECOND: u64 = 1_000_000_000;
const UNIX: u64 = 1_700_000_000 * SECOND;
const ORIGINS: [u64; 6] = [0, 1, 7 * SECOND, UNIX, 1 << 63, u64::MAX - 1_000 * SECOND];

fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

fn builder(limit: u64, window: u64) -> SlidingWindowRateLimiterBuilder {
    SlidingWindowRateLimiter::builder("test").max_requests(limit).window(nanos(window)).stripes(1)
}

fn exact(limit: u64, window: u64) -> SlidingWindowRateLimiter {
    builder(limit, window).build().expect("valid settings")
}

fn approximate(limit: u64, window: u64) -> SlidingWindowRateLimiter {
    builder(limit, window).approximate().build().expect("valid settings")
}

fn set(limits: &[(u64, u64)]) -> LimitSet {
    let builder = LimitSet::builder("test").stripes(1);
    let builder =
        limits.iter().fold(builder, |builder, (limit, window)| builder.limit(*limit, nanos(*window)));
    builder.build().expect("valid settings")
}

fn wait(answer: Result<(), RateLimitExceeded>) -> Option<u64> {
    answer.err().map(|refused| u64::try_from(refused.retry_after.as_nanos()).unwrap_or(u64::MAX))
}

/// How many pass at once.
fn burst(limiter: &impl Limiter, now: u64) -> u64 {
    let left = limiter.remaining_at(now);
    let passed = (0..=left).take_while(|_| limiter.try_acquire_at(now).is_ok()).count() as u64;
    assert_eq!(passed, left, "remaining is exact");
    passed
}

#[test]
fn so_many_pass_in_a_window_whatever_the_origin() {
    for origin in ORIGINS {
        for limit in [1, 2, 3, 4, 7, 8, 100] {
            let limiter = exact(limit, 10 * SECOND);
            assert_eq!(burst(&limiter, origin), limit);
            let refused = limiter.try_acquire_at(origin + SECOND).expect_err("full");
            assert_eq!((refused.limit, refused.window), (limit, nanos(10 * SECOND)));
            assert_eq!((refused.retry_after, refused.requested, refused.most), (nanos(9 * SECOND), 1, 1));
            assert!(!refused.is_invalid() && refused.is_retryable());
            assert_eq!(wait(limiter.peek_at(1, origin + 10 * SECOND - 1)), Some(1));
            assert_eq!(limiter.remaining_at(origin + 10 * SECOND - 1), 0);
            assert_eq!(burst(&limiter, origin + 10 * SECOND), limit, "from {origin}");
        }
    }
}

#[test]
fn entries_leave_one_by_one_as_they_came() {
    let limiter = exact(3, 10);
    for now in [0, 4, 4] {
        assert!(limiter.try_acquire_at(now).is_ok());
    }
    let left = [9, 10, 13, 14, 1_000].map(|now| limiter.remaining_at(now));
    assert_eq!(left, [0, 1, 1, 3, 3]);
    assert_eq!(wait(limiter.try_acquire_at(5)), Some(5));
    assert_eq!(wait(limiter.try_acquire_at(10)), None);
    assert_eq!(wait(limiter.try_acquire_at(10)), Some(4));
    let totals = limiter.totals();
    assert_eq!((totals.allowed, totals.refused), (4, 2));
}

#[test]
fn one_request_is_one_permit_of_an_exact_limiter() {
    let limiter = exact(5, 10);
    let limits = set(&[(5, 10), (9, 20)]);
    for n in [0, 2, 5, u64::MAX] {
        for answer in [
            limiter.try_acquire_n_at(n, 0),
            limiter.peek_at(n, 0),
            limits.try_acquire_n_at(n, 0),
            limits.peek_at(n, 0),
        ] {
            let refused = answer.expect_err("invalid");
            assert!(refused.is_invalid() && !refused.is_retryable());
            assert_eq!((refused.requested, refused.most, refused.limit), (n, 1, 5));
            assert_eq!(refused.retry_after, Duration::MAX);
        }
    }
    assert_eq!(limiter.try_acquire_n_at(1, 0), Ok(()));
    assert_eq!((limiter.totals().allowed, limiter.totals().refused), (1, 0), "invalid is no refusal");
    assert_eq!(limits.totals().refused, 0);
}

#[test]
fn a_peek_takes_and_counts_nothing() {
    for limiter in [exact(2, 10), approximate(2, 10)] {
        for _ in 0..10 {
            assert_eq!(limiter.peek_at(1, 3), Ok(()));
        }
        assert_eq!(burst(&limiter, 3), 2);
        let counted = limiter.totals();
        assert!(limiter.peek_at(1, 3).is_err());
        assert_eq!((limiter.totals(), counted.allowed, counted.refused), (counted, 2, 1));
    }
}

#[test]
fn time_that_goes_back_neither_mints_nor_refuses_for_longer_than_the_jump() {
    for origin in ORIGINS {
        let (window, jump) = (10 * SECOND, 2_000);
        let start = origin + jump;
        let limiter = exact(4, window);
        assert_eq!(burst(&limiter, start), 4);
        assert_eq!(wait(limiter.try_acquire_at(start - jump)), Some(window + jump));
        // Admissions by a clock that lags are written at the time that the log stands at.
        for now in [start + window, start + window - jump, start + window + 5, start + window + 1] {
            let expected = (now < start + window).then_some(jump);
            assert_eq!(wait(limiter.try_acquire_at(now)), expected);
        }
        assert_eq!(limiter.remaining_at(start + window + 5), 1);
        assert_eq!(wait(limiter.try_acquire_at(start + window)), None);
        // The last three were written at 5, and so no earlier than they came, and no more than that later.
        assert_eq!(wait(limiter.try_acquire_at(start + window)), Some(window));
        assert_eq!(burst(&limiter, start + 2 * window), 1);
        assert_eq!(burst(&limiter, start + 2 * window + 5), 3);
    }
}

#[test]
fn the_end_of_time_neither_wraps_nor_panics() {
    for limiter in [exact(2, 10), approximate(2, 10)] {
        assert_eq!(burst(&limiter, u64::MAX), 2);
        for now in [u64::MAX, u64::MAX - 1, 0] {
            assert!(limiter.try_acquire_at(now).is_err());
            assert_eq!(limiter.remaining_at(now), 0);
        }
    }
    let longest = [
        SlidingWindowRateLimiter::builder("longest").window(Duration::MAX).max_requests(2),
        SlidingWindowRateLimiter::builder("longest").window(Duration::MAX).max_requests(2).approximate(),
    ];
    for limiter in longest.map(|builder| builder.build().expect("valid settings")) {
        assert_eq!(limiter.window(), nanos(u64::MAX));
        assert_eq!(burst(&limiter, 0), 2);
        assert_eq!(burst(&limiter, u64::MAX - 2), 0);
        assert!(limiter.try_acquire_at(1 << 40).is_err());
    }
    let limits = set(&[(1, u64::MAX), (3, 1)]);
    assert_eq!(burst(&limits, u64::MAX), 1);
    assert!(limits.try_acquire_at(u64::MAX).is_err() && limits.try_acquire_at(0).is_err());
}

#[test]
fn settings_outside_their_range_are_named() {
    let said = |builder: SlidingWindowRateLimiterBuilder| builder.build().expect_err("refused").to_string();
    assert_eq!(said(builder(0, 1)), "max_requests is 0; allowed: 1 to 16777215");
    assert_eq!(said(builder(1 << 24, 1)), "max_requests is 16777216; allowed: 1 to 16777215");
    assert_eq!(said(builder(1, 0)), "window is 0ns; allowed: more than zero");
    assert_eq!(said(builder(1, 1).stripes(0)), "stripes is 0; allowed: 1 to 65");
    assert_eq!(said(builder(1, 1).stripes(66)), "stripes is 66; allowed: 1 to 65");
    let quarter = "allowed: 1 to a quarter of the window's nanoseconds";
    for (limit, window) in [(0, 100), (26, 100), (1, 3), (u64::MAX, u64::MAX)] {
        let error = said(builder(limit, window).approximate());
        assert_eq!(error, format!("max_requests is {limit}; {quarter}"));
    }
    assert!(builder(25, 100).approximate().build().is_ok());
    assert!(builder(u64::MAX / 4, u64::MAX).approximate().build().is_ok());

    let said = |limits: &[(u64, u64)]| {
        let none = LimitSet::builder("test");
        let builder = limits.iter().fold(none, |builder, (n, window)| builder.limit(*n, nanos(*window)));
        builder.build().expect_err("refused").to_string()
    };
    assert_eq!(said(&[]), "limits is 0; allowed: 1 to 8");
    assert_eq!(said(&[(1, 1); 9]), "limits is 9; allowed: 1 to 8");
    assert_eq!(said(&[(1, 1), (0, 1)]), "limit is 0; allowed: 1 to 16777215");
    assert_eq!(said(&[(1, 1), (1, 0)]), "window is 0ns; allowed: more than zero");
    let error = LimitSet::builder("test").limit(1, nanos(1)).stripes(0).build().expect_err("refused");
    assert_eq!((error.field(), error.value()), ("stripes", "0"));
}

#[test]
fn names_and_settings_are_shown_and_the_directory_lists_what_is_alive() {
    let limiter = SlidingWindowRateLimiter::builder("sliding directory").build().expect("defaults");
    assert_eq!((limiter.max_requests(), limiter.window()), (100, Duration::from_mins(1)));
    assert_eq!((limiter.name(), limiter.is_approximate()), ("sliding directory", false));
    assert!(approximate(5, 100).is_approximate());
    let limits = LimitSet::builder("sliding directory").limit(3, nanos(5)).build().expect("valid");
    assert_eq!(limits.name(), "sliding directory");
    assert_eq!(limits.limits().collect::<Vec<_>>(), [(3, nanos(5))]);
    let shown = format!("{limiter:?} {limits:?}");
    assert!(shown.contains("max_requests: 100") && shown.contains("limits: [(3, 5ns)]"), "{shown}");

    let alive = || {
        let limiters = SlidingWindowRateLimiter::live().into_iter();
        let sets = LimitSet::live().into_iter();
        (
            limiters.filter(|live| live.name() == "sliding directory").count(),
            sets.filter(|live| live.name() == "sliding directory").count(),
        )
    };
    assert_eq!(alive(), (1, 1));
    let clone = limiter.clone();
    drop((limiter, limits));
    assert_eq!(alive(), (1, 0));
    drop(clone);
    assert_eq!(alive(), (0, 0));
}

#[test]
fn clones_share_the_log_and_the_clock_is_asked_when_no_time_is_given() {
    let clock = ManualClock::new();
    let limiter = builder(2, 10).clock(Clock::from(&clock)).build().expect("valid settings");
    let other = limiter.clone();
    assert!(limiter.try_acquire().is_ok() && other.try_acquire().is_ok());
    assert_eq!((limiter.remaining(), other.remaining(), other.peek(1).is_err()), (0, 0, true));
    clock.advance(nanos(10));
    assert!(limiter.try_acquire_n(1).is_ok());
    let limits = LimitSet::builder("test").limit(1, nanos(10)).clock(Clock::from(&clock)).build();
    let limits = limits.expect("valid settings");
    assert!(limits.try_acquire().is_ok() && limits.clone().try_acquire().is_err());
    assert_eq!(limits.now(), 10);
}

#[test]
fn a_set_admits_under_all_limits_or_charges_none() {
    let limits = set(&[(2, 10), (5, 100), (6, 1_000)]);
    // Two at a time, until the second limit is what is left.
    assert_eq!([0, 10, 20].map(|now| burst(&limits, now)), [2, 2, 1]);
    let refused = limits.try_acquire_at(20).expect_err("full");
    assert_eq!((refused.limit, refused.window, wait(Err(refused))), (5, nanos(100), Some(80)));
    // Refusals charge nothing to anyone: the short window is as empty as if they had not been.
    for now in 30..99 {
        assert_eq!(wait(limits.try_acquire_at(now)), Some(100 - now));
    }
    assert_eq!(limits.remaining_at(100), 1, "the third leaves one of six");
    assert_eq!(burst(&limits, 100), 1);
    let refused = limits.try_acquire_at(100).expect_err("full");
    assert_eq!((refused.limit, wait(Err(refused))), (6, Some(900)));
    assert_eq!(burst(&limits, 1_000), 2);
    assert_eq!(limits.totals().allowed, 8);
}

#[test]
fn a_set_says_the_longest_wait_and_of_equal_ones_the_first() {
    let limits = set(&[(1, 10), (1, 30), (1, 30), (1, 20)]);
    assert_eq!(burst(&limits, 5), 1);
    let refused = limits.try_acquire_at(6).expect_err("full");
    assert_eq!((refused.limit, refused.window, wait(Err(refused))), (1, nanos(30), Some(29)));
    let limits = set(&[(3, 30), (2, 30)]);
    assert_eq!([burst(&limits, 0), burst(&limits, 1)], [2, 0]);
    assert_eq!(limits.try_acquire_at(1).expect_err("full").limit, 2);
    let limits = set(&[(2, 30), (1, 20), (1, 30)]);
    assert_eq!(burst(&limits, 0), 1);
    let refused = limits.peek_at(1, 0).expect_err("full");
    assert_eq!((refused.limit, refused.window), (1, nanos(30)));
}

#[test]
fn limits_whose_slots_coincide_do_not_disturb_each_other() {
    // Each in eight slots: the greatest limits reach round the ring to the slot that is next.
    for limits in [vec![(7, 70), (6, 60)], vec![(7, 7), (7, 9)], (1..=7).map(|n| (n, n * 10)).collect()] {
        let set = set(&limits);
        let mut passed: Vec<u64> = Vec::new();
        for now in 0..2_000 {
            let allowed = limits.iter().all(|(limit, window)| {
                (passed.iter().filter(|then| **then + window > now).count() as u64) < *limit
            });
            assert_eq!(set.try_acquire_at(now).is_ok(), allowed, "{limits:?} at {now}");
            if allowed {
                passed.push(now);
            }
        }
        assert!(passed.len() > 100);
    }
}

#[test]
fn an_estimate_counts_its_bucket_and_a_share_of_the_one_before() {
    for origin in [0, 1_000, UNIX, u64::MAX / 1_000 * 1_000 - 10_000] {
        let limiter = approximate(100, 1_000);
        assert_eq!(limiter.try_acquire_n_at(80, origin + 10), Ok(()));
        assert_eq!(limiter.remaining_at(origin + 20), 20);
        // Of the eighty, the window covers all, three quarters, a tenth and none.
        let left = [1_000, 1_250, 1_900, 2_000].map(|into| limiter.remaining_at(origin + into));
        assert_eq!(left, [20, 40, 92, 100]);
        let refused = limiter.try_acquire_n_at(41, origin + 1_250).expect_err("no room");
        assert_eq!((refused.requested, refused.most, refused.limit), (41, 100, 100));
        assert_eq!(refused.retry_after, nanos(13), "80 * 737 / 1000 is under 59");
        assert_eq!(limiter.try_acquire_n_at(40, origin + 1_250), Ok(()));
        // The whole limit at once has to wait for two buckets that count nothing.
        assert_eq!(wait(limiter.try_acquire_n_at(100, origin + 1_250)), Some(1_750));
        assert_eq!(wait(limiter.try_acquire_n_at(61, origin + 1_250)), Some(750 + 25));
        assert_eq!(limiter.try_acquire_n_at(100, origin + 3_000), Ok(()));
        assert_eq!((limiter.totals().allowed, limiter.totals().refused), (220, 41 + 100 + 61));
    }
}

#[test]
fn an_estimate_takes_any_weight_up_to_its_limit_and_no_other() {
    let limiter = approximate(100, 1_000);
    for n in [0, 101, u64::MAX] {
        let refused = limiter.try_acquire_n_at(n, 0).expect_err("invalid");
        assert!(refused.is_invalid() && refused.most == 100 && limiter.peek_at(n, 0).is_err());
    }
    assert_eq!(limiter.totals().refused, 0);
    assert_eq!(limiter.try_acquire_n_at(100, 0), Ok(()));
}

#[test]
fn an_estimate_takes_a_time_before_its_bucket_for_the_buckets_beginning() {
    let limiter = approximate(100, 1_000);
    assert_eq!(limiter.try_acquire_n_at(60, 999), Ok(()));
    assert_eq!(limiter.try_acquire_n_at(1, 1_000), Ok(()));
    assert_eq!([0, 999, 1_000].map(|now| limiter.remaining_at(now)), [39; 3]);
    assert_eq!(wait(limiter.try_acquire_n_at(40, 998)), Some(2 + 17));
    assert_eq!(limiter.try_acquire_n_at(39, 998), Ok(()));
    assert!(limiter.try_acquire_at(998).is_err());
}

/// The bound of docs/sliding-windows.md, and that it is reached.
#[test]
fn an_estimate_admits_less_than_twice_its_limit_and_no_less_than_one_less() {
    let (limit, window) = (100, 1_000);
    let limiter = approximate(limit, window);
    let early = burst(&limiter, window - 1);
    let late: u64 = (window..2 * window - 1).map(|now| burst(&limiter, now)).sum();
    assert_eq!(early + late, 2 * limit - 1);
    assert_eq!(approximate(1, 4).remaining_at(0), 1);
}

#[test]
fn an_idle_estimate_forgets_all_however_long_the_gap() {
    for gap in [2_000, 3_000, 1 << 20, 1 << 32, (1 << 32) + 1_000, 1 << 40, 1 << 62] {
        for start in [0, 1_500] {
            let limiter = approximate(100, 1_000);
            assert_eq!(limiter.try_acquire_n_at(100, start), Ok(()));
            assert_eq!(limiter.remaining_at(start + gap), 100);
            assert_eq!(limiter.try_acquire_n_at(100, start + gap), Ok(()));
        }
    }
}

#[test]
fn a_wait_that_is_not_due_in_time_ends_at_once_and_takes_nothing() {
    let clock = ManualClock::new();
    for limiter in [builder(2, SECOND), builder(2, SECOND).approximate()] {
        let limiter = limiter.clock(Clock::from(&clock)).build().expect("valid settings");
        limiter.try_acquire().expect("the first");
        limiter.try_acquire().expect("the second");
        let refused = limiter.acquire_timeout(1, nanos(SECOND / 4)).expect_err("a window away");
        assert!(refused.retry_after > nanos(SECOND / 4), "{refused:?}");
        assert_eq!((limiter.waiting(), limiter.totals().allowed, limiter.totals().refused), (0, 2, 1));
        clock.advance(nanos(2 * SECOND));
        limiter.acquire_timeout(1, Duration::ZERO).expect("there is room");
        assert_eq!(limiter.remaining(), 1);
        clock.advance(nanos(4 * SECOND));
    }
}

/// Threads that wait get what they wait for, whatever else is asked for meanwhile.
#[test]
fn all_who_wait_for_a_window_are_served() {
    let (window, all) = (2_000_000, 12);
    let exact = exact(1, window);
    let approximate = approximate(1, window);
    let set = set(&[(1, window), (1_000, SECOND)]);
    let patience = nanos(60 * SECOND);
    let waits: [&(dyn Fn() -> bool + Sync); 3] = [
        &|| exact.acquire_timeout(1, patience).is_ok(),
        &|| approximate.acquire_timeout(1, patience).is_ok(),
        &|| set.acquire_timeout(1, patience).is_ok(),
    ];
    let tries: [&dyn Fn() -> bool; 3] =
        [&|| exact.try_acquire().is_ok(), &|| approximate.try_acquire().is_ok(), &|| {
            set.try_acquire().is_ok()
        }];
    for (wait, try_once) in waits.into_iter().zip(tries) {
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..all).map(|_| scope.spawn(wait)).collect();
            while waiters.iter().any(|waiter| !waiter.is_finished()) {
                try_once();
                std::thread::yield_now();
            }
            for waiter in waiters {
                assert!(waiter.join().expect("no panic"), "a waiter was refused");
            }
        });
    }
    assert!(exact.totals().allowed >= all && set.totals().allowed >= all);
    assert_eq!((exact.waiting(), approximate.waiting(), set.waiting()), (0, 0, 0));
}
