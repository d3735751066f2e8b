//! Wakers and sources that panic, futures that leak: what goes wrong on one side of a queue stays there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use fusewire::limit::{Source, Turn, WaitQueue};
use fusewire::{Limiter, ManualClock, TokenBucketRateLimiter};

const SECOND: u64 = 1_000_000_000;

/// A waker that counts its calls.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An empty bucket of ten.
fn empty(rate: f64) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("faults").rate(rate).capacity(10);
    let bucket = builder.clock(&ManualClock::new()).build().expect("a valid bucket");
    bucket.try_acquire_n_at(10, 0).expect("full");
    bucket
}

/// A waker whose call panics.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("a broken waker");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_from_being_told() {
    let bucket = empty(1.0);
    let broken = bucket.reserve_at(1, 0).expect("it fills");
    let waiter = bucket.reserve_at(1, 0).expect("it fills");
    let bell = Arc::new(Bell::default());
    assert_eq!(broken.turn_at(0, &Waker::from(Arc::new(Broken))), Turn::At(SECOND + 1));
    assert_ne!(waiter.turn_at(0, &Waker::from(bell.clone())), Turn::Granted);
    let served = catch_unwind(AssertUnwindSafe(|| bucket.try_acquire_at(5 * SECOND)));
    assert!(served.is_err(), "the panic goes to whoever called the waker");
    assert_eq!(bell.0.load(Ordering::Relaxed), 1, "granted, and never told");
    assert!(waiter.is_ready_at(5 * SECOND));
    bucket.try_acquire_at(5 * SECOND).expect("nobody waits");
}

/// A source that panics as long as it has nothing.
struct Faulty(AtomicU64);

impl Source for Faulty {
    fn take(&self, n: u64, _: u64, _: u64) -> bool {
        assert!(self.0.load(Ordering::Relaxed) >= n, "a faulty source");
        true
    }

    fn due(&self, _: u64, now: u64) -> u64 {
        now
    }

    fn hold(&self, _: bool) {}
}

#[test]
fn a_source_that_panicked_once_does_not_hold_back_those_who_do_not_wait_for_ever() {
    let (queue, source) = (WaitQueue::new(), Faulty(AtomicU64::new(0)));
    catch_unwind(AssertUnwindSafe(|| queue.join(&source, 1, 0))).expect_err("it has nothing");
    source.0.store(1, Ordering::Relaxed);
    assert!(queue.try_serve(&source, 0), "nobody waits any more");
    assert!(queue.is_empty());
}

#[test]
fn a_change_tells_all_who_listen_since_the_first_may_never_come_back() {
    let bucket = empty(1.0 / 86_400.0);
    let [leaked, waiter] = [0; 2].map(|now| bucket.reserve_at(1, now).expect("it fills"));
    let bells = [&leaked, &waiter].map(|place| {
        let bell = Arc::new(Bell::default());
        assert_ne!(place.turn_at(0, &Waker::from(bell.clone())), Turn::Granted);
        bell
    });
    std::mem::forget(leaked);
    bucket.reconfigure_at(1e9, 10, 0).expect("valid");
    assert_eq!(bells.map(|bell| bell.0.load(Ordering::Relaxed)), [1, 1], "two days nearer");
    assert!(waiter.is_ready_at(3));
}
