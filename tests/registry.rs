//! Registries, and the directory of all live instances.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::observe::{Kind, live};
use fusewire::{
    CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig, CircuitState, Clock, EventQueue,
    ManualClock, Outcome, Registry, RegistryError,
};

/// A registry of small breakers that read no real clock.
fn registry() -> Registry {
    let clock = ManualClock::new();
    Registry::with_template(move |builder| builder.stripes(1).clock(&clock))
}

fn with_threshold(failures: u32) -> CircuitBreakerConfig {
    let mut config = CircuitBreakerConfig::default();
    config.failure_threshold = Some(failures);
    config
}

fn any(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    builder
}

/// How many live breakers have this name. Other tests of the process have breakers too.
fn alive(name: &str) -> usize {
    CircuitBreaker::live().iter().filter(|breaker| breaker.name() == name).count()
}

#[test]
fn one_instance_per_name_from_many_threads() {
    let registry = registry();
    let (threads, names) = (8, 50);
    let (together, built) = (Barrier::new(threads), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                together.wait();
                for name in 0..names {
                    let breaker = registry.get_or_init(&format!("b{name}"), |builder| {
                        built.fetch_add(1, Ordering::Relaxed);
                        builder.failure_threshold(u32::MAX)
                    });
                    breaker.expect("valid settings").try_acquire().expect("closed").failure();
                }
            });
        }
    });
    assert_eq!((registry.len(), registry.breakers().len()), (names, names));
    // Had two threads got different instances, the failures would be spread over them.
    assert!(registry.breakers().iter().all(|breaker| breaker.failure_count() == threads as u64));
    assert!(built.into_inner() >= names);
}

#[test]
fn a_conflict_names_both() {
    let registry = registry();
    registry.get_or_create("venue", with_threshold(3)).expect("the first");
    registry.get_or_create("venue", with_threshold(3)).expect("the same settings");
    let error = registry.get_or_create("venue", with_threshold(4)).expect_err("other settings");
    let RegistryError::Conflict(conflict) = &error else { panic!("{error}") };
    assert_eq!(conflict.name(), "venue");
    assert_eq!(conflict.existing(), "failure_threshold: Some(3)");
    assert_eq!(conflict.requested(), "failure_threshold: Some(4)");
    assert_eq!(
        error.to_string(),
        "'venue' exists with failure_threshold: Some(3), but failure_threshold: Some(4) was asked for"
    );
    assert_eq!(registry.get("venue").expect("it stays").config().failure_threshold, Some(3));
}

#[test]
fn settings_out_of_range_are_not_registered() {
    let registry = registry();
    let error = registry.get_or_create("venue", with_threshold(0)).expect_err("no failures at all");
    assert!(matches!(error, RegistryError::Config(ref error) if error.field() == "failure_threshold"));
    registry.get_or_init("venue", |builder| builder.minimum_calls(0)).expect_err("no calls at all");
    assert!(registry.is_empty() && registry.get("venue").is_none());
}

#[test]
fn the_first_init_wins() {
    let registry = registry();
    let first = registry.get_or_init("venue", |b| b.failure_threshold(1)).expect("valid settings");
    let second = registry.get_or_init("venue", |b| b.failure_threshold(9)).expect("the first one's");
    assert_eq!(second.config().failure_threshold, Some(1));
    first.try_acquire().expect("closed").failure();
    assert_eq!(second.state(), CircuitState::Open, "they are one");
}

#[test]
fn a_template_reaches_every_breaker() {
    let (events, clock) = (EventQueue::new(), ManualClock::new());
    let (queue, source) = (events.clone(), Clock::from(&clock));
    let registry = Registry::with_template(move |builder| builder.events(&queue).clock(source.clone()));
    clock.set(5);
    registry.get_or_init("venue", any).expect("valid settings").force_open();
    let event = events.pop().expect("the template's queue");
    assert_eq!((&*event.breaker, event.at), ("venue", 5));
}

#[test]
fn the_switch_reaches_breakers_that_are_made_meanwhile() {
    for _ in 0..50 {
        let registry = registry();
        let together = Barrier::new(4);
        thread::scope(|scope| {
            for maker in 0..3 {
                let (registry, together) = (&registry, &together);
                scope.spawn(move || {
                    together.wait();
                    for name in 0..20 {
                        let breaker = registry.get_or_init(&format!("{maker}-{name}"), any);
                        breaker.expect("valid settings");
                    }
                });
            }
            scope.spawn(|| {
                together.wait();
                registry.disable_all();
            });
        });
        assert_eq!(registry.len(), 60);
        let missed = registry.breakers().into_iter().find(|b| b.state() != CircuitState::Disabled);
        assert!(missed.is_none(), "{missed:?}");
    }
}

#[test]
fn the_switch_goes_both_ways() {
    let registry = registry();
    let breaker = registry.get_or_create("venue", with_threshold(1)).expect("valid settings");
    registry.disable_all();
    assert!(registry.is_disabled());
    breaker.try_acquire().expect("everything passes").failure();
    let added = registry.get_or_init("added", any).expect("valid settings");
    assert_eq!(added.state(), CircuitState::Disabled);
    registry.enable_all();
    assert!(!registry.is_disabled());
    let states = [&breaker, &added].map(CircuitBreaker::state);
    assert_eq!(states, [CircuitState::Closed; 2]);
    breaker.try_acquire().expect("closed").failure();
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn the_switch_can_be_turned_by_the_callers_time() {
    let unix = 1_790_000_000_000_000_000;
    let registry = registry();
    let breaker = registry.get_or_create("unix", with_threshold(1)).expect("valid settings");
    registry.disable_all_at(unix);
    let late = registry.get_or_create("late", with_threshold(1)).expect("valid settings");
    assert_eq!(late.state(), CircuitState::Disabled);
    assert_eq!(late.totals().transitions.disabled, 0, "it was built so");
    registry.enable_all_at(unix);
    for breaker in [breaker, late] {
        let token = breaker.admit_at(unix).expect("closed");
        breaker.record_at(token, Outcome::Failure, unix);
        assert!(breaker.admit_at(unix + 1).is_err(), "open for its time");
    }
}

#[test]
fn a_removed_breaker_lives_on_with_those_who_hold_it() {
    let registry = registry();
    let held = registry.get_or_create("removed", with_threshold(1)).expect("valid settings");
    let removed = registry.remove("removed").expect("it was there");
    assert!(registry.get("removed").is_none() && registry.remove("removed").is_none());
    removed.force_open();
    assert_eq!(held.state(), CircuitState::Open);
    let fresh = registry.get_or_create("removed", with_threshold(2)).expect("the name is free");
    assert_eq!(fresh.state(), CircuitState::Closed);
    assert_eq!(alive("removed"), 2);
}

#[test]
fn the_directory_keeps_nothing_alive() {
    let name = "kept by nobody";
    let registry = registry();
    let held = registry.get_or_init(name, any).expect("valid settings");
    assert_eq!(alive(name), 1);
    registry.remove(name);
    assert_eq!(alive(name), 1, "somebody holds it");
    drop(held);
    // The map's deferred reclamation must not wait for more removals.
    assert_eq!(alive(name), 0);
}

#[test]
fn breakers_of_one_name_are_all_in_the_directory() {
    let build =
        || CircuitBreaker::builder("twice").clock(&ManualClock::new()).build().expect("valid settings");
    let (one, other) = (build(), build());
    one.force_open();
    let states: HashSet<CircuitState> =
        CircuitBreaker::live().iter().filter(|b| b.name() == "twice").map(CircuitBreaker::state).collect();
    assert_eq!(states, HashSet::from([CircuitState::Open, CircuitState::Closed]));
    let entries = live().into_iter().filter(|entry| entry.name() == "twice");
    assert_eq!(entries.map(|entry| entry.kind()).collect::<Vec<_>>(), [Kind::CircuitBreaker; 2]);
    drop(one);
    assert_eq!(alive("twice"), 1);
    drop(other);
    assert_eq!(alive("twice"), 0);
}

#[test]
fn the_directory_is_read_while_breakers_come_and_go() {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let making: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let breaker = CircuitBreaker::builder("brief").stripes(1).clock(&ManualClock::new());
                        drop(breaker.build().expect("valid settings"));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                assert!(CircuitBreaker::live().iter().all(|b| b.name() != "brief" || b.failure_count() == 0));
            }
        });
        for thread in making {
            thread.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(alive("brief"), 0);
}

#[test]
fn a_hundred_thousand_instances_register() {
    let registry = registry();
    let (threads, each) = (2, 50_000);
    thread::scope(|scope| {
        for thread in 0..threads {
            let registry = &registry;
            scope.spawn(move || {
                for n in 0..each {
                    registry.get_or_init(&format!("{thread}-{n}"), any).expect("valid settings");
                }
            });
        }
    });
    assert_eq!(registry.len(), threads * each);
    assert_eq!(registry.breakers().len(), threads * each);
    assert!(registry.get("1-49999").is_some() && registry.get("2-0").is_none());
    assert!(CircuitBreaker::live().len() >= threads * each);
}

#[test]
fn registries_are_independent_and_clones_share() {
    let (one, other) = (registry(), registry());
    let clone = one.clone();
    one.get_or_create("venue", with_threshold(1)).expect("valid settings");
    assert!(clone.get("venue").is_some() && other.get("venue").is_none());
    assert!(other.get_or_create("venue", with_threshold(2)).is_ok(), "no conflict across registries");
    let global = Registry::global().get_or_init("of this test", |b| b.recovery_timeout(Duration::ZERO));
    assert_eq!(global.expect("valid settings").name(), "of this test");
    assert!(Registry::global().remove("of this test").is_some());
}
