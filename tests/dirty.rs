//! The set of instances that counted something.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::observe::Live;
use fusewire::{CircuitBreaker, CircuitBreakerBuilder, DirtySet, ManualClock, Outcome, Permit, WindowConfig};

fn build(
    name: &str,
    set: &DirtySet,
    rules: impl Fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder,
) -> CircuitBreaker {
    let builder = CircuitBreaker::builder(name).stripes(1).clock(&ManualClock::new()).dirty_set(set);
    rules(builder).build().expect("valid settings")
}

fn plain(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    builder.failure_threshold(1_000_000)
}

fn breaker(live: Arc<dyn Live>) -> CircuitBreaker {
    CircuitBreaker::from_live(live).expect("only breakers join")
}

/// The names that a drain hands out, sorted.
fn drained(set: &DirtySet) -> Vec<String> {
    let mut names = Vec::new();
    let count = set.drain(|live| names.push(live.name().to_owned()));
    assert_eq!(count, names.len());
    names.sort_unstable();
    names
}

#[test]
fn each_instance_that_counted_is_drained_and_once_more() {
    let set = DirtySet::new();
    let fleet: Vec<CircuitBreaker> = (0..200).map(|n| build(&format!("{n:03}"), &set, plain)).collect();
    assert_eq!(drained(&set), [""; 0]);
    for n in [3, 77, 64, 199] {
        fleet[n].try_acquire().expect("closed").success();
    }
    let counted = ["003", "064", "077", "199"];
    assert_eq!(drained(&set), counted);
    fleet[5].try_acquire().expect("closed").success();
    fleet[77].try_acquire().expect("closed").success();
    // Those of the last drain are looked at again; one that counted anew is handed out once.
    assert_eq!(drained(&set), ["003", "005", "064", "077", "199"]);
    assert_eq!(drained(&set), ["005", "077"]);
    assert_eq!(drained(&set), [""; 0]);
}

#[test]
fn whatever_is_counted_marks() {
    let time = WindowConfig::time(Duration::from_secs(1), 2);
    let windowed = |b: CircuitBreakerBuilder| b.failure_threshold(None).failure_rate(1.0).minimum_calls(99);
    let timed = move |b: CircuitBreakerBuilder| windowed(b).window(time);
    let counted = move |b: CircuitBreakerBuilder| windowed(b).window(WindowConfig::count(100, 10));
    let followed = |b: CircuitBreakerBuilder| b.failure_threshold(9).count_hung_after(Duration::from_secs(1));
    let rules: [&dyn Fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder; 4] =
        [&plain, &timed, &counted, &followed];
    let acts: [&dyn Fn(&CircuitBreaker); 8] = [
        &|b| {
            let _ = b.try_acquire().map(Permit::success);
        },
        &|b| {
            let _ = b.try_acquire().map(Permit::failure);
        },
        &|b| {
            let _ = b.try_acquire().map(Permit::ignore);
        },
        &|b| drop(b.try_acquire()),
        &|b| {
            b.force_open();
        },
        &|b| assert!(b.try_acquire().is_err()),
        &|b| {
            b.reset();
        },
        &|b| {
            b.record_untracked(Outcome::Success);
        },
    ];
    for rules in rules {
        let set = DirtySet::new();
        let breaker = build("it", &set, rules);
        for (n, act) in acts.iter().enumerate() {
            act(&breaker);
            assert_eq!(drained(&set), ["it"], "act {n}");
            assert_eq!(drained(&set), ["it"], "the second look");
            assert_eq!(drained(&set), [""; 0]);
        }
        // What counts nothing leaves it clean.
        let token = breaker.admit().expect("closed");
        let _ = (breaker.state(), breaker.totals(), breaker.snapshot());
        assert_eq!(drained(&set), [""; 0]);
        breaker.record(token, Outcome::Success);
    }
}

#[test]
fn a_dropped_instance_leaves() {
    let set = DirtySet::new();
    let kept = build("kept", &set, plain);
    let gone = build("gone", &set, plain);
    for breaker in [&kept, &gone] {
        breaker.try_acquire().expect("closed").success();
    }
    drop(gone);
    assert_eq!(drained(&set), ["kept"]);
    // Its place goes to another, which is not taken for it.
    let fresh = build("fresh", &set, plain);
    assert!(drained(&set).iter().all(|name| name != "gone"));
    fresh.try_acquire().expect("closed").success();
    assert!(drained(&set).contains(&"fresh".to_owned()));
}

#[test]
fn a_visitor_may_call_the_breaker_and_the_set() {
    let set = DirtySet::new();
    let one = build("one", &set, plain);
    one.try_acquire().expect("closed").success();
    let mut other = None;
    set.drain(|live| {
        breaker(live).try_acquire().expect("closed").success();
        other = Some(build("other", &set, plain));
        set.drain(|_| ());
    });
    assert!(other.is_some());
    one.try_acquire().expect("closed").success();
    assert!(drained(&set).contains(&"one".to_owned()));
}

#[test]
fn no_count_goes_unseen_for_longer_than_two_drains() {
    let set = DirtySet::new();
    let fleet: Vec<CircuitBreaker> = (0..70).map(|n| build(&format!("{n}"), &set, plain)).collect();
    let (threads, calls) = (3, 20_000);
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut look = || {
        set.drain(|live| {
            let breaker = breaker(live);
            let totals = breaker.totals();
            seen.insert(breaker.name().to_owned(), totals.success + totals.failure);
        });
        seen.values().sum::<u64>()
    };
    let done = AtomicBool::new(false);
    let total = thread::scope(|scope| {
        let counting: Vec<_> = (0..threads)
            .map(|thread| {
                let fleet = &fleet;
                scope.spawn(move || {
                    for call in 0..calls {
                        let permit =
                            fleet[(call * (thread + 1)) % fleet.len()].try_acquire().expect("closed");
                        if call % 5 == 0 {
                            permit.failure()
                        } else {
                            permit.success()
                        };
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            for thread in counting {
                thread.join().expect("no panic");
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            look();
        }
        look();
        look()
    });
    assert_eq!(total, (threads * calls) as u64);
}
