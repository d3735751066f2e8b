//! The waiting queue driven by hand, and the shells over it: one that blocks, one that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use fusewire::limit::Turn;
use fusewire::{Limiter, ManualClock, Reservation, TokenBucketRateLimiter};

const SECOND: u64 = 1_000_000_000;

/// A waker that counts its calls.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    /// Whether it rang since the last time that somebody asked.
    fn rang(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// A request with its bell.
struct Waiter {
    reservation: Reservation,
    bell: Arc<Bell>,
}

impl Waiter {
    fn join(bucket: &TokenBucketRateLimiter, n: u64, now: u64) -> Self {
        Self { reservation: bucket.reserve_at(n, now).expect("it fills"), bell: Arc::default() }
    }

    fn turn(&self, now: u64) -> Turn {
        self.reservation.turn_at(now, &Waker::from(self.bell.clone()))
    }

    /// The second in which it is due, if all goes on as it is.
    fn due(&self, now: u64) -> Option<u64> {
        match self.turn(now) {
            Turn::Granted => None,
            Turn::At(at) => Some(at / SECOND),
        }
    }
}

fn bucket(clock: &ManualClock, rate: f64, capacity: u64) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("waiting").rate(rate).capacity(capacity);
    builder.clock(clock).build().expect("a valid bucket")
}

/// An empty bucket that is given every time.
fn empty(rate: f64, capacity: u64) -> TokenBucketRateLimiter {
    let bucket = bucket(&ManualClock::new(), rate, capacity);
    bucket.try_acquire_n_at(capacity, 0).expect("full");
    bucket
}

#[test]
fn whoever_listens_is_told_when_someone_ahead_leaves_although_the_head_does_not_listen() {
    let bucket = empty(1.0, 10);
    let silent = bucket.reserve_at(1, 0).expect("it fills");
    let between = Waiter::join(&bucket, 8, 0);
    let last = Waiter::join(&bucket, 1, 0);
    assert_eq!((between.due(0), last.due(0)), (Some(9), Some(10)));
    assert!(between.reservation.cancel_at(0));
    assert!(last.bell.rang(), "eight seconds nearer");
    assert_eq!(last.due(0), Some(2));
    // The head goes, and nobody told it how to be called.
    assert!(silent.cancel_at(0));
    assert!(last.bell.rang());
    assert_eq!(last.due(0), Some(1));
}

#[test]
fn whoever_listens_is_told_of_a_change_behind_a_forgotten_reservation() {
    let bucket = empty(1.0 / 86_400.0, 10);
    std::mem::forget(bucket.reserve_at(5, 0).expect("it fills"));
    let waiter = Waiter::join(&bucket, 5, 0);
    assert_eq!(waiter.due(0), Some(864_000));
    bucket.reconfigure_at(1e9, 10, 0).expect("valid");
    assert!(waiter.bell.rang(), "ten days nearer");
    assert_eq!(waiter.due(0), Some(0));
    assert_eq!(waiter.turn(11), Turn::Granted);
}

#[test]
fn whoever_listens_is_told_of_a_returned_lease_behind_a_reservation() {
    let bucket = bucket(&ManualClock::new(), 1.0, 10);
    let mut lease = bucket.lease_handle(10).expect("a valid batch");
    lease.try_acquire_at(0).expect("full");
    let silent = bucket.reserve_at(10, 0).expect("it fills");
    let waiter = Waiter::join(&bucket, 1, 0);
    assert_eq!(waiter.due(0), Some(11));
    lease.give_back_at(0);
    assert!(waiter.bell.rang(), "nine seconds nearer");
    assert_eq!(waiter.due(0), Some(2));
    drop(silent);
}

#[test]
fn when_a_request_is_due_does_not_wrap_after_centuries() {
    let bucket = empty(1.0 / 86_400.0, 8_000);
    let waiting: Vec<_> = (0..80).map(|_| bucket.reserve_at(8_000, 0).expect("it fills")).collect();
    let due: Vec<u64> = waiting.iter().map(Reservation::ready_at).collect();
    assert!(due.is_sorted(), "{due:?}");
    assert_eq!((due[0] / SECOND, due[79]), (8_000 * 86_400, u64::MAX));
    let refused = bucket.try_acquire_at(0).expect_err("behind all");
    assert_eq!(refused.retry_after, Duration::MAX);
}

#[test]
fn what_is_left_beside_a_queue_is_what_can_be_had() {
    let bucket = empty(1.0, 10);
    let _waiting = bucket.reserve_at(5, 0).expect("it fills");
    assert_eq!(bucket.remaining_at(3 * SECOND), 0, "three, and five are waited for");
    let refused = bucket.peek_at(1, 3 * SECOND).expect_err("behind the queue");
    assert_eq!(refused.retry_after.as_secs(), 3);
    // The sixth second's token is the first that nobody waits for, whether or not the queue was served.
    assert_eq!(bucket.remaining_at(8 * SECOND + 2), 3);
    bucket.peek_at(3, 8 * SECOND + 2).expect("they can be had");
    bucket.peek_at(4, 8 * SECOND + 2).expect_err("three only");
    bucket.try_acquire_n_at(3, 8 * SECOND + 2).expect("they can be had");
    assert_eq!(bucket.remaining_at(8 * SECOND + 2), 0);
}

#[test]
fn a_request_that_a_smaller_capacity_overtook_is_still_due_in_time() {
    let bucket = empty(1.0, 10);
    let large = Waiter::join(&bucket, 10, 0);
    let behind = Waiter::join(&bucket, 1, 0);
    bucket.reconfigure_at(1.0, 2, 0).expect("valid");
    for second in 0..=10 {
        assert_eq!((large.due(second * SECOND), behind.due(second * SECOND)), (Some(10), Some(11)));
    }
    assert_eq!((large.due(11 * SECOND), behind.due(11 * SECOND)), (None, Some(11)));
    assert_eq!(behind.due(12 * SECOND), None);
}

#[test]
fn whoever_runs_when_told_and_drops_without_a_word_has_paid() {
    // By the owner's times the limiter cannot know that it ran.
    let bucket = empty(1.0, 1);
    for second in 1..=5 {
        let reservation = bucket.reserve_at(1, 0).expect("it fills");
        assert_eq!(reservation.ready_at() / SECOND, second);
    }
    assert_eq!(bucket.waiting(), 5);
    // Who was not told, or says that it leaves, pays nothing.
    drop(bucket.reserve_at(1, 0).expect("it fills"));
    let reservation = bucket.reserve_at(1, 0).expect("it fills");
    assert_eq!(reservation.ready_at() / SECOND, 6);
    assert!(reservation.cancel_at(0));
    assert_eq!(bucket.waiting(), 5);
    let reservation = bucket.reserve_at(1, 0).expect("it fills");
    assert!(!reservation.is_ready_at(SECOND + 3));
    drop(reservation);
    assert_eq!(bucket.waiting(), 4, "and at that time one of the five was due");
    bucket.try_acquire_at(7 * SECOND).expect("they got theirs");
    assert_eq!(bucket.totals().allowed, 1 + 5 + 1);
}
