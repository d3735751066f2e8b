//! Sliding-window limiters and sets of limits against a list of every admission.

use std::time::Duration;

use fusewire::{LimitSet, Limiter, SlidingWindowRateLimiter};

use crate::input::Input;
use crate::twin::sliding::{Estimate, Exact};

const DAY: u64 = 24 * 3600 * 1_000_000_000;
const MOST_OPERATIONS: usize = 400;
/// Admissions of one case, so that the naive list stays short.
const MOST_ADMISSIONS: usize = 300;

const ORIGINS: [u64; 6] = [0, 1, DAY, 1_700_000_000_000_000_000, u64::MAX - DAY, u64::MAX - 50];
const WINDOWS: [u64; 8] = [1, 2, 10, 99, 1_000, 1_000_000_007, DAY, u64::MAX];

/// Random requests of an exact limiter, of a set of limits or of an estimate, at times that go back and forth.
///
/// Each decision, each wait, the limit that is named and what remains must be those of the twin at every
/// step; and the twin's list must keep the bound that is promised.
///
/// # Panics
///
/// Where the two differ, or a window holds too much.
pub fn sliding(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(4) {
        0 => one(&mut input),
        1 | 2 => several(&mut input),
        _ => estimate(&mut input),
    }
}

fn limit(input: &mut Input<'_>) -> u64 {
    let small = u64::from(input.byte() % 40) + 1;
    input.pick(&[1, 2, 3, 4, 7, 8, 16, small, small, small])
}

fn window(input: &mut Input<'_>) -> u64 {
    let any = (input.number() >> input.below(64)).max(1);
    if input.one_in(4) { any } else { input.pick(&WINDOWS) }
}

fn one(input: &mut Input<'_>) {
    let rule = (limit(input), window(input));
    let builder = SlidingWindowRateLimiter::builder("sliding").max_requests(rule.0).stripes(1);
    let limiter = builder.window(Duration::from_nanos(rule.1)).build().expect("valid settings");
    exact(input, &limiter, &[rule]);
    let _ = format!("{limiter:?}");
}

fn several(input: &mut Input<'_>) {
    let mut rules: Vec<(u64, u64)> = Vec::new();
    for _ in 0..=input.below(LimitSet::MAX_LIMITS) {
        let mut rule = (limit(input), window(input));
        // Often one that shares a limit, a window or both with another.
        if let Some(other) = rules.last() {
            rule.0 = if input.one_in(4) { other.0 } else { rule.0 };
            rule.1 = if input.one_in(4) { other.1 } else { rule.1 };
        }
        rules.push(rule);
    }
    let none = LimitSet::builder("sliding").stripes(1);
    let builder = rules.iter().fold(none, |set, (n, window)| set.limit(*n, Duration::from_nanos(*window)));
    exact(input, &builder.build().expect("valid settings"), &rules);
}

/// Where the next request comes from: a step on, to an edge of a window, or back.
fn travel(input: &mut Input<'_>, now: u64, window: u64) -> u64 {
    let near = u64::from(input.byte() % 3);
    match input.below(8) {
        0..=2 => now.saturating_add(u64::from(input.byte()).saturating_mul(window.div_ceil(128))),
        3 => now.saturating_add(window.saturating_sub(1)).saturating_add(near),
        4 => (now / window).saturating_add(1).saturating_mul(window).saturating_sub(1).saturating_add(near),
        5 => now.saturating_add(input.number() >> 4),
        6 => now.saturating_sub(u64::from(input.byte()).saturating_mul(window.div_ceil(256))),
        _ => now.saturating_sub(input.number() % window.saturating_mul(2).max(2_000)),
    }
}

fn exact(input: &mut Input<'_>, limiter: &impl Limiter, rules: &[(u64, u64)]) {
    let mut twin = Exact::new(rules);
    let mut now = input.pick(&ORIGINS);
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { break };
        if twin.admitted() > MOST_ADMISSIONS {
            break;
        }
        let requests = match kind % 4 {
            0 | 1 => {
                let (_, window) = input.pick(rules);
                now = travel(input, now, window);
                1
            }
            2 => 1,
            _ => input.byte() % 48,
        };
        for _ in 0..requests {
            let expected = twin.refusal(now);
            for answer in [limiter.peek_at(1, now), limiter.try_acquire_at(now)] {
                match (answer, expected) {
                    (Ok(()), None) => {}
                    (Err(refused), Some((rule, wait))) => {
                        let (limit, window) = rules[rule];
                        assert_eq!((refused.limit, refused.window), (limit, Duration::from_nanos(window)));
                        assert_eq!(refused.retry_after.as_nanos().cast_signed(), wait, "{refused:?}");
                    }
                    (answer, expected) => panic!("{answer:?} at {now}, not {expected:?}"),
                }
            }
            if expected.is_none() {
                twin.admit(now);
            }
        }
        assert_eq!(i128::from(limiter.remaining_at(now)), twin.remaining(now));
    }
    twin.check();
}

fn estimate(input: &mut Input<'_>) {
    let window = window(input).max(4);
    let (some, any) = (limit(input), input.number());
    // Short of what the twin's products hold.
    let most = input.pick(&[1, 2, some, some, any, u64::MAX]).clamp(1, (window / 4).min(1 << 60));
    let builder = SlidingWindowRateLimiter::builder("sliding").max_requests(most).approximate().stripes(1);
    let limiter = builder.window(Duration::from_nanos(window)).build().expect("valid settings");
    let mut twin = Estimate::new(most, window);
    let mut now = input.pick(&ORIGINS);
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { break };
        if twin.calls() > MOST_ADMISSIONS {
            break;
        }
        if kind % 2 == 0 {
            now = travel(input, now, window);
        }
        let left = limiter.remaining_at(now);
        let time = i128::from(now);
        assert!(left == 0 || twin.has_room(left.into(), time), "{left} remain at {now}");
        assert!(
            left == most || !twin.has_room(i128::from(left) + 1, time),
            "more than {left} remain at {now}"
        );
        let n = match kind / 2 % 4 {
            0 => left,
            1 => left.saturating_add(1),
            2 => left / 4 + 1,
            _ => input.number() % most + 1,
        }
        .clamp(1, most);
        let room = twin.has_room(n.into(), time);
        for answer in [limiter.peek_at(n, now), limiter.try_acquire_n_at(n, now)] {
            assert_eq!(answer.is_ok(), room, "{n} at {now}");
            if let Err(refused) = answer {
                assert_eq!((refused.limit, refused.requested, refused.most), (most, n, most));
                // The same request passes then and not a nanosecond before, if there is such a time.
                let wait = refused.retry_after.as_nanos().cast_signed();
                assert!(wait > 0);
                if time + wait < i128::from(u64::MAX) {
                    assert!(twin.has_room(n.into(), time + wait), "{n} at {now} after {wait}");
                    assert!(!twin.has_room(n.into(), time + wait - 1), "{n} at {now} before {wait}");
                }
            }
        }
        if room {
            twin.admit(n, now);
        }
    }
    assert_eq!(i128::from(limiter.totals().allowed), twin.admitted() % (1 << 64));
    twin.check();
}
