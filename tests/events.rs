//! Events: what is delivered, in which order, and what is dropped.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use fusewire::{
    Cause, CircuitBreaker, CircuitBreakerBuilder, CircuitState, Clock, Dispatcher, Event, EventQueue,
    ManualClock,
};

fn builder(name: &str, events: &EventQueue) -> CircuitBreakerBuilder {
    CircuitBreaker::builder(name).stripes(1).clock(&ManualClock::new()).events(events)
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

fn all(events: &EventQueue) -> Vec<Event> {
    std::iter::from_fn(|| events.pop()).collect()
}

fn sequences(events: &EventQueue) -> Vec<u64> {
    all(events).iter().map(|event| event.sequence).collect()
}

/// Waits for a condition that another thread makes true; fails after half a minute.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let clock = Clock::precise();
    let deadline = clock.now() + 30_000_000_000;
    while !condition() {
        assert!(clock.now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn an_event_says_all_there_is_to_a_transition() {
    let events = EventQueue::new();
    let rules = builder("orders", &events).failure_threshold(2).half_open_requests(1);
    let breaker = build(rules.recovery_timeout(Duration::from_secs(2)));
    let second = 1_000_000_000;
    for now in [second, 3 * second] {
        breaker.try_acquire_at(now).expect("closed").failure_at(now);
    }
    breaker.try_acquire_at(6 * second).expect("a probe").success_at(7 * second);
    let [opened, half_open, closed] = all(&events).try_into().expect("three transitions");
    assert_eq!((&*opened.breaker, opened.sequence, opened.at), ("orders", 1, 3 * second));
    assert_eq!((opened.from, opened.to), (CircuitState::Closed, CircuitState::Open));
    assert_eq!((opened.cause, opened.failure_count), (Cause::ConsecutiveFailures, 2));
    assert!(opened.elapsed.abs_diff(Duration::from_secs(2)) < Duration::from_millis(1));
    assert_eq!((half_open.cause, half_open.failure_count), (Cause::RecoveryTimeout, 2));
    assert_eq!((closed.cause, closed.failure_count, closed.sequence), (Cause::ProbesSucceeded, 0, 3));
    assert!(closed.elapsed.abs_diff(Duration::from_secs(1)) < Duration::from_millis(1));
    assert_eq!(
        opened.to_string(),
        "orders #1: closed -> open (consecutive_failures, 2 failures, after 2.000 s)"
    );
}

#[test]
fn a_ring_keeps_the_last_events_and_counts_the_others() {
    let events = EventQueue::with_capacity(4);
    let breaker = build(builder("flapping", &events));
    for _ in 0..10 {
        breaker.reset_at(0);
    }
    assert_eq!(events.dropped(), 6, "also before anybody looks");
    assert_eq!(sequences(&events), [7, 8, 9, 10]);
    assert_eq!(events.dropped(), 6);
    breaker.reset_at(0);
    assert_eq!(sequences(&events), [11]);
    assert_eq!(events.dropped(), 6);
}

#[test]
fn a_queue_of_no_capacity_keeps_one() {
    let events = EventQueue::with_capacity(0);
    let breaker = build(builder("small", &events));
    breaker.reset_at(0);
    breaker.reset_at(0);
    assert_eq!(sequences(&events), [2]);
}

#[test]
fn one_that_flaps_does_not_crowd_out_the_others() {
    let events = EventQueue::with_capacity(8);
    let (calm, flapping) = (build(builder("calm", &events)), build(builder("flapping", &events)));
    calm.force_open_at(0);
    for _ in 0..1_000 {
        flapping.reset_at(0);
    }
    let of_calm = all(&events).into_iter().filter(|event| &*event.breaker == "calm").count();
    assert_eq!(of_calm, 1);
}

#[test]
fn events_outlive_their_breaker() {
    let events = EventQueue::new();
    for name in ["one", "two"] {
        let breaker = build(builder(name, &events));
        breaker.force_open_at(0);
        breaker.force_close_at(0);
    }
    let mut seen = Vec::new();
    assert_eq!(events.drain(|event| seen.push(format!("{} {}", event.breaker, event.sequence))), 4);
    seen.sort_unstable();
    assert_eq!(seen, ["one 1", "one 2", "two 1", "two 2"]);
    assert_eq!((events.pop(), events.dropped()), (None, 0));
    // Their places serve others.
    build(builder("three", &events)).force_open_at(0);
    assert_eq!(all(&events).len(), 1);
}

#[test]
fn a_queue_that_nobody_drains_stays_bounded() {
    let events = EventQueue::with_capacity(2);
    let made = 5_000;
    for _ in 0..made {
        build(builder("gone", &events)).force_open_at(0);
    }
    let kept = all(&events).len() as u64;
    assert_eq!(kept, 1_024);
    assert_eq!(events.dropped(), made - kept);
}

#[test]
fn many_breakers_share_a_queue_from_many_threads_each_in_order() {
    let events = EventQueue::with_capacity(1_000);
    let (threads, breakers, rounds) = (4, 50, 20_u64);
    let fleet: Vec<CircuitBreaker> =
        (0..breakers).map(|n| build(builder(&format!("b{n}"), &events))).collect();
    let mut last: HashMap<Arc<str>, u64> = HashMap::new();
    thread::scope(|scope| {
        let working: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        for breaker in &fleet {
                            breaker.reset_at(0);
                        }
                    }
                })
            })
            .collect();
        let mut take = || {
            events.drain(|event| {
                let last = last.entry(event.breaker).or_default();
                *last += 1;
                assert_eq!(event.sequence, *last, "out of order, or lost");
            })
        };
        while !working.iter().all(thread::ScopedJoinHandle::is_finished) {
            take();
        }
        take();
    });
    assert_eq!(last.len(), breakers);
    assert!(last.values().all(|last| *last == threads * rounds));
    assert_eq!(events.dropped(), 0);
}

#[test]
fn several_threads_that_pop_take_turns() {
    let events = EventQueue::with_capacity(1_000);
    let breaker = build(builder("popular", &events));
    for _ in 0..1_000 {
        breaker.reset_at(0);
    }
    let mut seen: Vec<u64> = thread::scope(|scope| {
        let popping: Vec<_> = (0..4).map(|_| scope.spawn(|| sequences(&events))).collect();
        let popped = popping.into_iter().map(|thread| thread.join().expect("no panic"));
        let each: Vec<Vec<u64>> = popped.collect();
        assert!(each.iter().all(|seen| seen.is_sorted()), "one popper saw them out of order");
        each.concat()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=1_000).collect::<Vec<u64>>());
}

// ---- the dispatcher

#[test]
fn a_dispatcher_delivers_in_order_and_all_before_it_ends() {
    let events = EventQueue::with_capacity(500);
    let breaker = build(builder("orders", &events));
    let (sender, receiver) = mpsc::channel();
    let dispatcher = Dispatcher::spawn(&events, move |event| sender.send(event.sequence).expect("heard"));
    let dispatcher = dispatcher.expect("a thread");
    for _ in 0..500 {
        breaker.reset_at(0);
    }
    drop(dispatcher);
    assert_eq!(receiver.iter().collect::<Vec<u64>>(), (1..=500).collect::<Vec<u64>>());
}

#[test]
fn a_dispatcher_sleeps_until_there_is_an_event() {
    let events = EventQueue::new();
    let breaker = build(builder("orders", &events));
    let dispatcher = Dispatcher::spawn(&events, |_| ()).expect("a thread");
    for delivered in 1..=200 {
        breaker.reset_at(0);
        wait_until("an event was not delivered", || dispatcher.delivered() == delivered);
    }
}

#[test]
fn a_slow_listener_holds_nobody_up() {
    let events = EventQueue::with_capacity(4);
    let breaker = build(builder("orders", &events));
    let gate = Arc::new(Barrier::new(2));
    let (sender, receiver) = mpsc::channel();
    let waiting = gate.clone();
    let dispatcher = Dispatcher::spawn(&events, move |event| {
        if event.sequence == 1 {
            waiting.wait(); // here
            waiting.wait(); // and on
        }
        sender.send(event.sequence).expect("heard");
    });
    let dispatcher = dispatcher.expect("a thread");
    breaker.reset_at(0);
    gate.wait();
    // The listener stands at the gate; transitions go on, and its ring overflows.
    for _ in 0..100 {
        breaker.reset_at(0);
    }
    gate.wait();
    drop(dispatcher);
    let seen: Vec<u64> = receiver.iter().collect();
    assert!(seen.is_sorted() && seen.first() == Some(&1) && seen.last() == Some(&101), "{seen:?}");
    assert_eq!(events.dropped() + seen.len() as u64, 101);
}

#[test]
fn a_listener_that_panics_is_asked_again() {
    let events = EventQueue::new();
    let breaker = build(builder("orders", &events));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let dispatcher = Dispatcher::spawn(&events, move |event| {
        assert!(event.sequence % 2 == 0, "a panic of the test");
        hearing.lock().expect("no panic under the lock").push(event.sequence);
    });
    let dispatcher = dispatcher.expect("a thread");
    for _ in 0..6 {
        breaker.reset_at(0);
    }
    wait_until("not all events were delivered", || dispatcher.delivered() == 6);
    assert_eq!(dispatcher.panics(), 3);
    drop(dispatcher);
    assert_eq!(*heard.lock().expect("no panic under the lock"), [2, 4, 6]);
}

#[test]
fn a_listener_may_end_its_own_dispatcher() {
    let events = EventQueue::new();
    let breaker = build(builder("orders", &events));
    let slot: Arc<Mutex<Option<Dispatcher>>> = Arc::default();
    let (sender, receiver) = mpsc::channel();
    let inside = slot.clone();
    let dispatcher = Dispatcher::spawn(&events, move |event| {
        drop(inside.lock().expect("no panic under the lock").take());
        sender.send(event.sequence).expect("heard");
    });
    *slot.lock().expect("no panic under the lock") = Some(dispatcher.expect("a thread"));
    breaker.reset_at(0);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(mpsc::RecvError), "the thread has ended");
}

#[test]
fn of_two_dispatchers_on_one_queue_the_one_that_stays_is_woken() {
    let events = EventQueue::new();
    let breaker = build(builder("orders", &events));
    let one = Dispatcher::spawn(&events, |_| ()).expect("a thread");
    let mut made = 0;
    // Both sleep, whichever came last, when the other ends.
    for _ in 0..50 {
        let other = Dispatcher::spawn(&events, |_| ()).expect("a thread");
        breaker.reset_at(0);
        made += 1;
        wait_until("neither was woken", || one.delivered() + other.delivered() >= made);
        made -= other.delivered();
        drop(other);
        breaker.reset_at(0);
        made += 1;
        wait_until("the one that stayed was not woken", || one.delivered() == made);
    }
}

#[test]
fn a_flapping_breaker_keeps_nobody_waiting() {
    let events = EventQueue::new();
    let [flapping, calm] = ["flapping", "calm"]
        .map(|name| CircuitBreaker::builder(name).events(&events).build().expect("valid settings"));
    for _ in 0..10 {
        flapping.reset_at(0);
    }
    calm.force_open_at(0);
    let first: Vec<_> = (0..2).filter_map(|_| events.pop()).map(|event| event.breaker).collect();
    assert_eq!(first.iter().map(|name| &**name).collect::<Vec<_>>(), ["flapping", "calm"]);
    assert_eq!(events.drain(drop), 9);
}
