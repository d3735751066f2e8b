//! The waiting queue driven by hand, and the shells over it: one that blocks, one that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use fusewire::limit::Turn;
use fusewire::{Clock, Limiter, ManualClock, Reservation, TokenBucketRateLimiter};

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

#[test]
fn first_come_first_served_whatever_the_size() {
    let bucket = empty(1.0, 10);
    let sizes = [10, 1, 7, 2, 10, 1, 1];
    let waiters: Vec<_> = sizes.iter().map(|n| Waiter::join(&bucket, *n, 0)).collect();
    let mut sum = 0;
    for (waiter, n) in waiters.iter().zip(sizes) {
        sum += n;
        assert_eq!(waiter.due(0), Some(sum));
    }
    // Each in its turn, to the second.
    for second in 0..=sum {
        bucket.try_acquire_at(second * SECOND + 9).expect_err("behind them, and nothing is left");
        let mut due = 0;
        for (waiter, n) in waiters.iter().zip(sizes) {
            due += n;
            assert_eq!(waiter.reservation.is_ready_at(second * SECOND + 9), second >= due, "{n} at {second}");
        }
    }
    assert_eq!(bucket.waiting(), 0);
    assert_eq!(bucket.totals().allowed, 10 + sum);
    bucket.try_acquire_at((sum + 1) * SECOND + 9).expect("nobody waits");
}

#[test]
fn small_requests_do_not_starve_a_large_one() {
    let bucket = empty(1.0, 10);
    let large = Waiter::join(&bucket, 10, 0);
    for step in 1..100 {
        // They try ten times a second, and some of them wait.
        let now = step * SECOND / 10;
        bucket.try_acquire_at(now).expect_err("behind the large one");
        let mut lease = bucket.lease_handle(1).expect("a valid batch");
        lease.try_acquire_at(now).expect_err("behind the large one");
        if step % 20 == 0 {
            assert!(bucket.reserve_at(1, now).expect("it fills").cancel_at(now));
        }
    }
    assert_eq!(large.turn(10 * SECOND + 2), Turn::Granted);
}

#[test]
fn nobody_passes_those_who_wait_and_is_told_when_to_come() {
    let bucket = empty(1.0, 10);
    let waiter = Waiter::join(&bucket, 5, 0);
    let refused = bucket.try_acquire_n_at(3, 4 * SECOND).expect_err("four are there, for somebody else");
    assert_eq!(refused.retry_after.as_secs(), 4);
    let then = 4 * SECOND + refused.retry_after.as_nanos() as u64;
    bucket.try_acquire_n_at(3, then - 4).expect_err("too early");
    bucket.try_acquire_n_at(3, then).expect("told to come");
    assert_eq!(waiter.turn(then), Turn::Granted, "served by whoever came");
    assert_eq!(bucket.totals().allowed, 10 + 5 + 3);
}

#[test]
fn a_request_is_debited_when_it_was_due_however_late_its_owner_looks() {
    let bucket = empty(1.0, 10);
    let waiters = [2, 3].map(|n| Waiter::join(&bucket, n, 0));
    // Nobody looks for a minute. Five of sixty went to those who waited; the bucket is full.
    assert_eq!(bucket.remaining_at(60 * SECOND), 10);
    bucket.try_acquire_n_at(10, 60 * SECOND).expect("full");
    bucket.try_acquire_at(60 * SECOND).expect_err("empty");
    for waiter in waiters {
        assert_eq!(waiter.turn(60 * SECOND), Turn::Granted);
    }
    // Seven seconds: two are there.
    let bucket = empty(1.0, 10);
    let _waiters = [2, 3].map(|n| Waiter::join(&bucket, n, 0));
    assert_eq!(bucket.remaining_at(7 * SECOND + 2), 2);
}

#[test]
fn reservations_may_be_dropped_in_any_order() {
    let orders =
        [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [0, 3, 1, 2], [1, 2, 3, 0], [3, 0, 2, 1]];
    for order in orders {
        let clock = ManualClock::new();
        let bucket = bucket(&clock, 1.0, 10);
        bucket.try_acquire_n(10).expect("full");
        let sizes = [4, 10, 1, 3];
        let mut waiting: Vec<_> = sizes.iter().map(|n| Some(bucket.reserve(*n).expect("it fills"))).collect();
        for left in order {
            waiting[left] = None;
            let mut sum = 0;
            for (reservation, n) in
                waiting.iter().zip(sizes).filter_map(|(kept, n)| Some((kept.as_ref()?, n)))
            {
                sum += n;
                assert_eq!(reservation.ready_at() / SECOND, sum, "all moved up");
            }
        }
        assert_eq!((bucket.waiting(), bucket.totals().allowed), (0, 10));
        clock.advance(Duration::from_millis(1_001));
        bucket.try_acquire().expect("nobody waits, and nothing was taken");
        bucket.try_acquire().expect_err("one only");
    }
}

#[test]
fn a_reservation_that_is_due_is_spent_by_a_drop() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 10);
    drop(bucket.reserve(4).expect("there"));
    assert_eq!((bucket.remaining(), bucket.totals().allowed), (6, 4));
    let reservation = bucket.reserve(8).expect("it fills");
    clock.advance(Duration::from_millis(2_001));
    assert!(reservation.is_ready());
    assert_eq!(reservation.ready_at(), clock.now());
    drop(reservation);
    assert_eq!((bucket.remaining(), bucket.totals().allowed), (0, 12));
    // Cancelled in time, it says so.
    let reservation = bucket.reserve(5).expect("it fills");
    assert!(reservation.cancel_at(clock.now()));
    let reservation = bucket.reserve(5).expect("it fills");
    assert!(!reservation.cancel_at(clock.now() + 6 * SECOND));
    assert_eq!(bucket.totals().allowed, 17);
}

#[test]
fn a_forgotten_reservation_costs_its_tokens_and_stops_nobody() {
    let bucket = empty(1.0, 10);
    std::mem::forget(bucket.reserve_at(6, 0).expect("it fills"));
    std::mem::forget(bucket.reserve_at(10, 0).expect("it fills"));
    let waiter = Waiter::join(&bucket, 2, 0);
    assert_eq!(waiter.due(0), Some(18));
    assert_eq!(waiter.due(17 * SECOND), Some(18));
    assert_eq!(bucket.waiting(), 1, "both got theirs");
    assert_eq!(waiter.turn(18 * SECOND + 4), Turn::Granted);
    bucket.try_acquire_at(18 * SECOND + 4).expect_err("all spent");
    bucket.try_acquire_at(19 * SECOND + 4).expect("nobody waits");
    assert_eq!(bucket.totals().allowed, 10 + 18 + 1);
}

#[test]
fn whoever_is_granted_is_woken_by_whoever_served() {
    let bucket = empty(1.0, 10);
    let [first, second, third] = [2, 3, 4].map(|n| Waiter::join(&bucket, n, 0));
    for waiter in [&first, &second, &third] {
        waiter.due(0);
    }
    bucket.try_acquire_at(5 * SECOND + 3).expect_err("behind the third");
    assert!(first.bell.rang() && second.bell.rang());
    assert!(third.bell.rang(), "it is the first who waits now");
    assert_eq!(third.due(5 * SECOND + 3), Some(9));
    bucket.try_acquire_at(5 * SECOND + 3).expect_err("behind the third");
    assert!(!third.bell.rang(), "nothing has changed");
}

#[test]
fn a_waker_may_come_back_into_the_queue() {
    struct Reenter(TokenBucketRateLimiter, AtomicU64);
    impl Wake for Reenter {
        fn wake(self: Arc<Self>) {
            // As an executor that runs a task at once.
            self.1.store(1 + self.0.waiting() as u64, Ordering::Relaxed);
            let _ = self.0.try_acquire_at(0);
        }
    }
    let bucket = empty(1.0, 10);
    let (first, second) =
        (bucket.reserve_at(2, 0).expect("it fills"), bucket.reserve_at(2, 0).expect("it fills"));
    let waker = Arc::new(Reenter(bucket.clone(), AtomicU64::new(0)));
    let _ = second.turn_at(0, &Waker::from(waker.clone()));
    assert!(first.cancel_at(0));
    assert_eq!(waker.1.load(Ordering::Relaxed), 2, "woken, with one that waits");
}

#[test]
fn all_who_wait_keep_their_places_through_a_change() {
    let bucket = empty(1.0, 10);
    let [first, second] = [4, 6].map(|n| Waiter::join(&bucket, n, 0));
    assert_eq!((first.due(0), second.due(0)), (Some(4), Some(10)));
    bucket.reconfigure_at(0.0, 10, SECOND).expect("valid");
    assert!(first.bell.rang());
    assert_eq!((first.turn(SECOND), second.turn(SECOND)), (Turn::At(u64::MAX), Turn::At(u64::MAX)));
    bucket.try_acquire_at(100 * SECOND).expect_err("it does not fill");
    bucket.reconfigure_at(1.0, 10, 200 * SECOND).expect("valid");
    assert!(first.bell.rang());
    // A part of a token is lost where the rate is zero.
    assert!((203..=204).contains(&first.due(200 * SECOND).expect("it waits")));
    assert!((209..=210).contains(&second.due(200 * SECOND).expect("it waits")));
    bucket.reconfigure_at(1e9, 10, 201 * SECOND).expect("valid");
    assert_eq!((first.due(202 * SECOND), second.due(202 * SECOND)), (None, None));
}

#[test]
fn what_waits_and_leaves_never_lets_more_through_than_the_bound() {
    // Random joins and leaves; what is granted, by the time at which it is seen, is within the bound by due
    // times: whoever is granted at a look has been due by then, and after the look before.
    let mut random = 0x9E37_79B9_u64;
    let mut below = |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) % n
    };
    for _ in 0..20 {
        let bucket = bucket(&ManualClock::new(), 1.0, 10);
        let mut waiters: Vec<Waiter> = Vec::new();
        let (mut now, mut looks) = (SECOND, Vec::new());
        for _ in 0..300 {
            now += below(2 * SECOND);
            match below(4) {
                0 if !waiters.is_empty() => {
                    let index = below(waiters.len() as u64) as usize;
                    waiters.swap_remove(index).reservation.cancel_at(now);
                }
                1 | 2 => waiters.push(Waiter::join(&bucket, 1 + below(10), now)),
                _ => drop(bucket.try_acquire_at(now)),
            }
            looks.push((now, bucket.totals().allowed));
        }
        for (i, (from, before)) in looks.iter().enumerate() {
            for (to, after) in &looks[i + 1..] {
                let most = 10.0 + (to - from) as f64 / 1e9;
                assert!((after - before) as f64 <= most + 1e-6, "{before} to {after} from {from} to {to}");
            }
        }
    }
}

#[test]
fn a_wait_that_is_too_long_ends_before_it_begins() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 10);
    bucket.acquire_timeout(10, Duration::ZERO).expect("full");
    for timeout in [Duration::ZERO, Duration::from_secs(1), Duration::from_millis(2_999)] {
        // The clock stands still: whoever would wait here waits for ever.
        let refused = bucket.acquire_timeout(3, timeout).expect_err("due in three seconds");
        assert_eq!(refused.retry_after.as_secs(), 3);
    }
    assert_eq!((bucket.waiting(), bucket.totals().allowed, bucket.totals().refused), (0, 10, 9));
    clock.advance(Duration::from_millis(1_001));
    bucket.try_acquire().expect("nothing was taken, and nobody waits");
    // Behind others it takes longer.
    let ahead = bucket.reserve(10).expect("it fills");
    bucket.acquire_timeout(1, Duration::from_secs(10)).expect_err("in eleven seconds");
    assert_eq!(bucket.waiting(), 1);
    drop(ahead);
    // A bucket that does not fill.
    bucket.reconfigure(0.0, 10).expect("valid");
    bucket.acquire_timeout(1, Duration::MAX).expect_err("never");
    assert_eq!(bucket.waiting(), 0);
}

/// Until `done`, at most half a minute.
fn wait_until(mut done: impl FnMut() -> bool) {
    let clock = Clock::precise();
    let deadline = clock.now() + 30 * SECOND;
    while !done() {
        assert!(clock.now() < deadline, "it never comes");
        thread::yield_now();
    }
}

#[test]
fn a_thread_that_waits_is_woken_when_it_is_granted_and_when_it_moves_up() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1e-3, 10);
    bucket.try_acquire_n(10).expect("full");
    thread::scope(|scope| {
        // By this clock, days: a thread that is not woken never ends.
        let ahead = bucket.reserve(10).expect("it fills");
        let waiting = scope.spawn(|| bucket.acquire_timeout(5, Duration::from_hours(24)));
        wait_until(|| bucket.waiting() == 2);
        drop(ahead);
        clock.advance(Duration::from_secs(5_001));
        // Whoever comes serves those who wait.
        bucket.try_acquire().expect_err("five for the thread");
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
    thread::scope(|scope| {
        let waiting = scope.spawn(|| bucket.acquire_timeout(5, Duration::from_hours(24)));
        wait_until(|| bucket.waiting() == 1);
        // A change that makes it due, and nobody else who comes.
        bucket.reconfigure(1e9, 10).expect("valid");
        clock.advance(Duration::from_micros(1));
        bucket.reconfigure(1e9, 10).expect("valid");
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
    assert_eq!((bucket.waiting(), bucket.totals().allowed), (0, 20));
}

#[test]
fn threads_of_all_sizes_wait_in_real_time() {
    let builder = TokenBucketRateLimiter::builder("waiting").rate(1e6).capacity(100);
    let bucket = builder.build().expect("a valid bucket");
    let begun = bucket.now();
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let bucket = &bucket;
            scope.spawn(move || {
                for turn in 0..60 {
                    let n = 1 + (worker * 37 + turn * 13) % 100;
                    bucket.acquire_timeout(n, Duration::from_secs(30)).expect("its turn comes");
                }
            });
        }
    });
    let asked: u64 = (0..4).flat_map(|w| (0..60).map(move |t| 1 + (w * 37 + t * 13) % 100)).sum();
    assert_eq!((bucket.waiting(), bucket.totals().allowed), (0, asked));
    assert!(asked as f64 <= 100.0 + (bucket.now() - begun) as f64 / 1e3 + 1.0, "more than flowed in");
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use super::*;

    /// A runtime whose time moves when all its tasks wait.
    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(future)
    }

    fn poll<F: Future>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(bell.clone())))
    }

    /// Moves both times.
    async fn advance(clock: &ManualClock, by: Duration) {
        clock.advance(by);
        tokio::time::advance(by).await;
    }

    #[test]
    fn tokens_that_are_there_need_no_wait() {
        run(async {
            let bucket = bucket(&ManualClock::new(), 1.0, 10);
            let bell = Arc::default();
            assert_eq!(poll(pin!(bucket.until_ready(10)), &bell), Poll::Ready(Ok(())));
            for n in [0, 11] {
                assert!(
                    matches!(poll(pin!(bucket.until_ready(n)), &bell), Poll::Ready(Err(error)) if error.is_invalid())
                );
            }
            bucket.reconfigure(0.0, 10).expect("valid");
            assert!(matches!(poll(pin!(bucket.until_ready(1)), &bell), Poll::Ready(Err(_))));
            assert_eq!(bucket.totals().allowed, 10);
        });
    }

    #[test]
    fn nothing_is_polled_before_its_time() {
        run(async {
            let clock = ManualClock::new();
            let bucket = bucket(&clock, 1.0, 10);
            bucket.try_acquire_n(10).expect("full");
            let bell = Arc::<Bell>::default();
            let mut waiting = pin!(bucket.until_ready(5));
            assert!(poll(waiting.as_mut(), &bell).is_pending());
            for _ in 0..49 {
                advance(&clock, Duration::from_millis(100)).await;
                assert!(!bell.rang(), "polled at {clock:?}");
            }
            advance(&clock, Duration::from_millis(102)).await;
            assert!(bell.rang());
            assert_eq!(poll(waiting.as_mut(), &bell), Poll::Ready(Ok(())));
        });
    }

    #[test]
    fn a_future_that_is_dropped_takes_nothing_and_lets_the_next_move_up() {
        run(async {
            let clock = ManualClock::new();
            let bucket = bucket(&clock, 1.0, 10);
            bucket.try_acquire_n(10).expect("full");
            let (first_bell, bell) = (Arc::default(), Arc::<Bell>::default());
            let mut first = Box::pin(bucket.until_ready(9));
            let mut second = pin!(bucket.until_ready(2));
            assert!(poll(first.as_mut(), &first_bell).is_pending());
            assert!(poll(second.as_mut(), &bell).is_pending());
            advance(&clock, Duration::from_millis(1_500)).await;
            assert!(!bell.rang());
            drop(first);
            assert!(bell.rang(), "it moved up");
            assert!(poll(second.as_mut(), &bell).is_pending(), "half a second is missing");
            assert_eq!((bucket.waiting(), bucket.totals().allowed), (1, 10));
            advance(&clock, Duration::from_millis(502)).await;
            assert!(bell.rang());
            assert_eq!(poll(second.as_mut(), &bell), Poll::Ready(Ok(())));
            assert_eq!((bucket.waiting(), bucket.totals().allowed), (0, 12));
        });
    }

    #[test]
    fn a_change_and_a_returned_lease_wake_whoever_waits() {
        run(async {
            let clock = ManualClock::new();
            let bucket = bucket(&clock, 1e-6, 10);
            let mut lease = bucket.lease_handle(10).expect("a valid batch");
            lease.try_acquire().expect("full");
            let bell = Arc::<Bell>::default();
            let mut waiting = pin!(bucket.until_ready(9));
            assert!(poll(waiting.as_mut(), &bell).is_pending());
            // Nine come back: it is served by the return.
            drop(lease);
            assert!(bell.rang());
            assert_eq!(poll(waiting.as_mut(), &bell), Poll::Ready(Ok(())));
            let mut waiting = pin!(bucket.until_ready(10));
            assert!(poll(waiting.as_mut(), &bell).is_pending());
            bucket.reconfigure(1_000.0, 10).expect("valid");
            assert!(bell.rang());
            assert!(poll(waiting.as_mut(), &bell).is_pending());
            advance(&clock, Duration::from_millis(11)).await;
            assert!(bell.rang());
            assert_eq!(poll(waiting.as_mut(), &bell), Poll::Ready(Ok(())));
        });
    }

    #[test]
    fn tasks_are_served_in_their_order() {
        run(async {
            let clock = ManualClock::new();
            let bucket = bucket(&clock, 1_000.0, 10);
            bucket.try_acquire_n(10).expect("full");
            let sizes = [10, 1, 7, 1, 10, 2, 1, 1];
            let bells: Vec<Arc<Bell>> = sizes.iter().map(|_| Arc::default()).collect();
            let mut tasks: Vec<_> = sizes.iter().map(|n| Some(Box::pin(bucket.until_ready(*n)))).collect();
            for (task, bell) in tasks.iter_mut().zip(&bells) {
                assert!(poll(task.as_mut().expect("new").as_mut(), bell).is_pending());
            }
            let (mut served, mut polls) = (Vec::new(), 0);
            for _ in 0..34 {
                advance(&clock, Duration::from_millis(1)).await;
                for index in 0..sizes.len() {
                    if !bells[index].rang() {
                        continue;
                    }
                    polls += 1;
                    let Some(task) = &mut tasks[index] else { continue };
                    if poll(task.as_mut(), &bells[index]).is_ready() {
                        tasks[index] = None;
                        served.push(index);
                    }
                }
            }
            assert_eq!(served, (0..sizes.len()).collect::<Vec<_>>());
            assert!(polls <= 4 * sizes.len(), "{polls} polls: that is no sleep");
        });
    }
}
