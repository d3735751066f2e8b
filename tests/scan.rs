//! Many breakers read at once, against each read by itself.

use std::time::Duration;

use fusewire::{BreakerScan, CircuitBreaker, CircuitState, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder("scan")
        .failure_threshold(3)
        .recovery_timeout(Duration::from_secs(1))
        .slow_calls(Duration::from_millis(1), 1.0)
        .minimum_calls(1_000)
        .stripes(2)
        .build()
        .expect("valid settings")
}

/// Calls that ended and failures among them, from the breaker's own totals.
fn counted(breaker: &CircuitBreaker) -> (u64, u64) {
    let totals = breaker.totals();
    (totals.success + totals.failure, totals.failure)
}

/// What a scan of `breakers` should show, given the counts that each place had before.
fn check(scan: &BreakerScan, breakers: &[CircuitBreaker], before: &[(u64, u64)]) {
    let mut in_state = [0; 4];
    assert_eq!(scan.len(), breakers.len());
    for (i, breaker) in breakers.iter().enumerate() {
        let (calls, failures) = counted(breaker);
        let (calls_before, failures_before) = before[i];
        let recent = calls - calls_before;
        assert_eq!(scan.state(i), Some(breaker.state()));
        assert_eq!(scan.recent_calls()[i], recent);
        assert_eq!((scan.total_calls()[i], scan.total_failures()[i]), (calls, failures));
        let rate = if recent == 0 { 0.0 } else { (failures - failures_before) as f64 / recent as f64 };
        assert!((scan.failure_rates()[i] - rate).abs() < 1e-15, "{i}: {rate}");
        in_state[breaker.state() as usize] += 1;
    }
    let states = scan.states();
    assert_eq!([states.closed, states.open, states.half_open, states.disabled], in_state);
    assert_eq!(scan.state(breakers.len()), None);
}

/// The counts that each place starts from: those of the last read, if the same breaker stood there.
fn before(who: &[usize], last: &[(usize, (u64, u64))]) -> Vec<(u64, u64)> {
    let start = |(i, id): (usize, &usize)| match last.get(i) {
        Some((same, counts)) if same == id => *counts,
        _ => (0, 0),
    };
    who.iter().enumerate().map(start).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_scan_shows_what_each_breaker_shows(steps in vec((any::<u8>(), any::<u8>()), 0..200)) {
        let mut breakers: Vec<CircuitBreaker> = Vec::new();
        // Who stands where, and who stood where in the last read, with its counts then.
        let (mut who, mut last) = (Vec::new(), Vec::new());
        let mut scan = BreakerScan::new();
        let mut now = 0;
        for (id, (kind, which)) in steps.into_iter().enumerate() {
            now += 100_000_000;
            let place = usize::from(which) % breakers.len().max(1);
            match (kind % 16, breakers.get(place)) {
                (0, _) | (_, None) => {
                    breakers.push(breaker());
                    who.push(id);
                }
                (1, Some(_)) => {
                    // Likely at the address of the one that goes.
                    breakers.remove(place);
                    breakers.insert(place, breaker());
                    who[place] = id;
                }
                (2, Some(_)) => {
                    breakers.truncate(place);
                    who.truncate(place);
                }
                (3, Some(_)) => {
                    let other = usize::from(kind / 16) % breakers.len();
                    breakers.swap(place, other);
                    who.swap(place, other);
                }
                (4, Some(breaker)) => { breaker.disable_at(now); }
                (5, Some(breaker)) => { breaker.force_open_at(now); }
                (6, Some(breaker)) => { breaker.reset_at(now); }
                (7..=9, Some(_)) => {
                    scan.read(&breakers);
                    check(&scan, &breakers, &before(&who, &last));
                    last = who.iter().copied().zip(breakers.iter().map(counted)).collect();
                }
                (kind, Some(breaker)) => {
                    let outcome = [Outcome::Success, Outcome::Failure, Outcome::Ignored][usize::from(kind % 3)];
                    if let Ok(token) = breaker.admit_at(now) {
                        let slow = u64::from(kind / 16 % 2) * 10_000_000;
                        breaker.record_at(token, outcome, now + slow);
                    }
                }
            }
        }
        scan.read(&breakers);
        check(&scan, &breakers, &before(&who, &last));
    }
}

#[test]
fn a_thousand_breakers_in_every_state() {
    let breakers: Vec<_> = (0..1000).map(|_| breaker()).collect();
    for (i, breaker) in breakers.iter().enumerate() {
        let fail = |times: usize, now: u64| {
            for _ in 0..times {
                let token = breaker.admit_at(now).expect("it admits");
                breaker.record_at(token, Outcome::Failure, now);
            }
        };
        match i % 4 {
            0 => fail(2, 0),
            1 => fail(3, 0),
            2 => {
                fail(3, 0);
                let token = breaker.admit_at(2_000_000_000).expect("a probe");
                breaker.record_at(token, Outcome::Success, 2_000_000_000);
            }
            _ => {
                breaker.disable_at(0);
            }
        }
    }
    let mut scan = BreakerScan::new();
    assert!(scan.is_empty());
    scan.read(&breakers);
    check(&scan, &breakers, &vec![(0, 0); 1000]);
    let states = scan.states();
    assert_eq!([states.closed, states.open, states.half_open, states.disabled], [250; 4]);
    assert_eq!(scan.state(2), Some(CircuitState::HalfOpen));
    scan.read(&breakers);
    assert!(scan.failure_rates().iter().all(|rate| *rate == 0.0), "nothing was called since");
}
