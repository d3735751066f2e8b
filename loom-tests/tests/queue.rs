//! Those who wait for a bucket, and those who do not: the queue, the hold in the bucket's word, the wakers.
#![cfg(fusewire_loom)]

use fusewire::limit::{Source, Turn, WaitQueue};
use fusewire::model::{AtomicU64, Mutant, Ordering};
use fusewire::{Clock, Limiter, ManualClock, Reservation, TokenBucketRateLimiter};
use loom::thread::{self, Thread};
use loom_tests::check;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{Wake, Waker};

/// When one token has flowed in, with a nanosecond to round up.
const SECOND: u64 = 1_000_000_001;

type Bucket = TokenBucketRateLimiter;

/// A bucket of a token a second, whose line began at time 0, when all but `left` tokens were taken.
fn begun(capacity: u64, left: u64) -> Bucket {
    let clock = Clock::from(&ManualClock::new());
    let builder = TokenBucketRateLimiter::builder("model").clock(clock).stripes(1);
    let bucket = builder.rate(1.0).capacity(capacity).build().expect("valid settings");
    bucket.try_acquire_n_at(capacity - left, 0).expect("a full bucket");
    bucket
}

fn spawn<R: 'static>(bucket: &Bucket, run: impl FnOnce(Bucket) -> R + 'static) -> thread::JoinHandle<R> {
    let bucket = bucket.clone();
    thread::spawn(move || run(bucket))
}

fn join<R>(handle: thread::JoinHandle<R>) -> R {
    handle.join().expect("no panic")
}

/// A reservation that a failing model does not drop: that would take loom's lock outside of loom.
struct Place(ManuallyDrop<Reservation>);

impl Place {
    fn take(bucket: &Bucket, n: u64) -> Self {
        Self(ManuallyDrop::new(bucket.reserve_at(n, 0).expect("a bucket that fills")))
    }

    /// Gives it up; whether it had cost nothing.
    fn leave(self, now: u64) -> bool {
        ManuallyDrop::into_inner(self.0).cancel_at(now)
    }

    fn is_ready(&self, now: u64) -> bool {
        self.0.is_ready_at(now)
    }

    /// Sleeps until it is granted at time 0, or due at `soon`; only a wake ends the sleep.
    fn wait(&self, soon: u64) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while let Turn::At(at) = self.0.turn_at(0, &waker)
            && at > soon
        {
            thread::park();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn those_who_do_not_wait_cannot_pass_one_who_does() {
    check(3, &[Mutant::QueueNoHold, Mutant::WordStoreForCas], || {
        let bucket = begun(1, 0);
        let joined = Arc::new(AtomicU64::new(0));
        let waiter = spawn(&bucket, {
            let joined = joined.clone();
            move |b| {
                let place = Place::take(&b, 1);
                joined.store(1, Ordering::Release);
                place
            }
        });
        let other = spawn(&bucket, move |b| {
            let behind = joined.load(Ordering::Acquire) == 1;
            let passed = b.try_acquire_at(SECOND).is_ok();
            assert!(!(behind && passed), "passed one who waits");
            passed
        });
        let (place, passed) = (join(waiter), join(other));
        assert_eq!(place.is_ready(SECOND), !passed, "one token, for one of the two");
        place.leave(2 * SECOND);
        assert_eq!(bucket.totals().allowed, 2 + u64::from(passed));
    });
}

#[test]
fn a_waiter_is_served_exactly_once() {
    check(2, &[Mutant::WordStoreForCas, Mutant::QueueNoHold], || {
        let bucket = begun(2, 0);
        let place = Place::take(&bucket, 1);
        // Both find the token of the one who waits, and serve it; the second token is for one of them.
        let others = [0; 2].map(|_| spawn(&bucket, |b| u64::from(b.try_acquire_at(2 * SECOND).is_ok())));
        let mut passed: u64 = others.into_iter().map(join).sum();
        assert!(place.is_ready(2 * SECOND));
        assert!(!place.leave(2 * SECOND), "it was spent");
        assert!(passed <= 1, "three of two tokens");
        passed += u64::from(bucket.try_acquire_at(2 * SECOND).is_ok());
        assert_eq!((passed, bucket.totals().allowed), (1, 4));
    });
}

#[test]
fn a_request_that_left_is_not_served() {
    check(3, &[Mutant::QueueServesLeft], || {
        let bucket = begun(1, 0);
        let place = Place::take(&bucket, 1);
        let leaver = spawn(&bucket, move |_| place.leave(0));
        let other = spawn(&bucket, |b| b.try_acquire_at(SECOND).is_ok());
        let (left, passed) = (join(leaver), join(other));
        assert!(left || !passed, "the only token was spent twice");
        // Whoever left in time left the token for others, and holds them back no more.
        assert_eq!(bucket.try_acquire_at(SECOND).is_ok(), left && !passed);
        assert_eq!((bucket.totals().allowed, bucket.waiting()), (2, 0));
    });
}

#[test]
fn a_hold_ends_with_the_last_who_waits() {
    check(2, &[Mutant::QueueHoldsLate, Mutant::QueueServesLeft], || {
        let bucket = begun(1, 0);
        let leaver = spawn(&bucket, |b| Place::take(&b, 1).leave(0));
        let waiter = spawn(&bucket, |b| {
            let place = Place::take(&b, 1);
            place.is_ready(SECOND);
            place.leave(SECOND)
        });
        let other = spawn(&bucket, |b| b.try_acquire_at(SECOND).is_ok());
        join(leaver);
        join(waiter);
        join(other);
        assert_eq!(bucket.waiting(), 0);
        assert!(bucket.try_acquire_at(4 * SECOND).is_ok(), "held, but nobody waits");
    });
}

#[test]
fn a_change_of_terms_keeps_the_hold() {
    check(3, &[Mutant::WordStoreForCas, Mutant::QueueNoHold], || {
        let bucket = begun(1, 0);
        let waiter = spawn(&bucket, |b| Place::take(&b, 1));
        let changer = spawn(&bucket, |b| b.reconfigure_at(0.5, 1, 0).expect("valid settings"));
        let place = join(waiter);
        join(changer);
        assert!(bucket.try_acquire_at(2 * SECOND).is_err(), "passed one who waits");
        assert!(place.is_ready(2 * SECOND));
        assert!(!place.leave(2 * SECOND));
        assert_eq!(bucket.remaining_at(2 * SECOND), 0);
    });
}

#[test]
fn whoever_moves_up_is_woken_when_the_head_leaves() {
    check(3, &[Mutant::QueueWakerLate], || {
        let bucket = begun(2, 1);
        let ahead = Place::take(&bucket, 2);
        let behind = Place::take(&bucket, 1);
        let waiter = spawn(&bucket, move |_| {
            behind.wait(0);
            assert!(!behind.leave(0), "granted, so spent");
        });
        let leaver = spawn(&bucket, move |_| ahead.leave(0));
        assert!(join(leaver));
        join(waiter);
        assert_eq!((bucket.waiting(), bucket.remaining_at(0)), (0, 0));
    });
}

#[test]
fn whoever_comes_to_the_head_is_told_that_its_time_is_nearer() {
    check(3, &[Mutant::QueueWakerLate], || {
        let bucket = begun(2, 0);
        let ahead = Place::take(&bucket, 1);
        let behind = Place::take(&bucket, 1);
        let waiter = spawn(&bucket, move |_| {
            behind.wait(SECOND);
            assert!(behind.leave(0));
        });
        let leaver = spawn(&bucket, move |_| ahead.leave(0));
        assert!(join(leaver));
        join(waiter);
        assert_eq!((bucket.waiting(), bucket.remaining_at(SECOND)), (0, 1));
    });
}

#[test]
fn whoever_moves_up_behind_a_silent_head_is_told() {
    check(3, &[Mutant::QueueWakerLate, Mutant::QueueHeadUntold], || {
        let bucket = begun(3, 0);
        let [head, between, behind] = [0; 3].map(|_| Place::take(&bucket, 1));
        let waiter = spawn(&bucket, move |_| {
            behind.wait(2 * SECOND);
            assert!(behind.leave(0));
        });
        let leaver = spawn(&bucket, move |_| between.leave(0));
        assert!(join(leaver));
        join(waiter);
        assert!(head.leave(0));
        assert_eq!((bucket.waiting(), bucket.remaining_at(SECOND)), (0, 1));
    });
}

#[test]
fn whoever_moves_up_is_woken_when_the_head_is_served() {
    check(3, &[Mutant::QueueHeadUntold], || {
        let bucket = begun(2, 0);
        let ahead = Place::take(&bucket, 1);
        let behind = Place::take(&bucket, 2);
        let waiter = spawn(&bucket, move |b| {
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            while behind.0.turn_at(0, &waker) != Turn::Granted && b.waiting() == 2 {
                thread::park();
            }
            behind.leave(0)
        });
        assert!(ahead.is_ready(SECOND));
        ahead.leave(SECOND);
        assert!(join(waiter));
        assert_eq!((bucket.waiting(), bucket.remaining_at(2 * SECOND)), (0, 1));
    });
}

#[test]
fn whoever_is_served_by_another_is_woken() {
    check(2, &[Mutant::QueueWakerLate], || {
        let bucket = begun(1, 0);
        let place = Place::take(&bucket, 1);
        let waiter = spawn(&bucket, move |_| {
            place.wait(0);
            assert!(!place.leave(0), "granted, so spent");
        });
        let newcomer = spawn(&bucket, |b| {
            let behind = b.reserve_at(1, SECOND).map(|place| Place(ManuallyDrop::new(place)));
            behind.expect("a bucket that fills").leave(SECOND)
        });
        assert!(join(newcomer));
        join(waiter);
        assert_eq!((bucket.waiting(), bucket.totals().allowed), (0, 2));
    });
}

/// A source that has nothing and counts how often it is asked.
#[derive(Default)]
struct Dry(std::sync::atomic::AtomicU64);

impl Source for Dry {
    fn take(&self, _: u64, _: u64, _: u64) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn due(&self, _: u64, _: u64) -> u64 {
        u64::MAX
    }

    fn hold(&self, _: bool) {}
}

/// A waker that comes back to its queue when it is dropped.
struct Asks(Arc<(WaitQueue, Dry)>);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.0.try_serve(&self.0.1, 0);
    }
}

#[test]
fn a_waker_is_dropped_where_it_may_come_back() {
    check(2, &[Mutant::QueueDropsWithin], || {
        let dry = Dry::default();
        let both = Arc::new((WaitQueue::new(), Dry::default()));
        let (queue, asked) = &*both;
        let [first, second] = [(); 2].map(|()| queue.join(&dry, 1, 0));
        // One is replaced, and its successor leaves with the request.
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Asks(both.clone())));
            assert_eq!(queue.turn(&dry, &second, 0, Some(&waker)), Turn::At(u64::MAX));
        }
        assert!(queue.leave(&dry, second, 0));
        assert_eq!(asked.0.load(Ordering::Relaxed), 2, "dropped under the lock");
        assert!(queue.leave(&dry, first, 0));
    });
}

#[test]
fn tokens_that_a_lease_gives_back_wake_whoever_waits() {
    check(2, &[Mutant::LeaseLooksFirst, Mutant::QueueWakerLate], || {
        let bucket = begun(3, 2);
        let waiter = spawn(&bucket, |b| {
            let place = Place::take(&b, 1);
            place.wait(0);
            place.leave(0);
        });
        let lease = spawn(&bucket, |b| {
            let mut lease = b.lease_handle(2).expect("a valid batch");
            let spent = u64::from(lease.try_acquire_at(0).is_ok());
            lease.give_back_at(0);
            spent
        });
        let spent = join(lease);
        join(waiter);
        assert_eq!((bucket.waiting(), 1 + spent + bucket.remaining_at(0)), (0, 2));
    });
}

#[test]
fn a_change_of_terms_wakes_whoever_waits() {
    check(3, &[Mutant::ServedBeforeChange, Mutant::QueueWakerLate], || {
        let bucket = begun(1, 0);
        let place = Place::take(&bucket, 1);
        let waiter = spawn(&bucket, move |_| {
            // Due after a second, then after a thousandth.
            place.wait(SECOND / 100);
            assert!(place.leave(0));
        });
        let changer = spawn(&bucket, |b| b.reconfigure_at(1_000.0, 1, 0).expect("valid settings"));
        join(changer);
        join(waiter);
        assert_eq!(bucket.waiting(), 0);
    });
}
