//! The waiting queue: whoever is told of what, and what panics and poisoned locks leave behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use fusewire::limit::{Source, Turn, WaitQueue};
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

/// A waker whose call panics.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("a broken waker");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_from_being_told() {
    let bucket = empty(1.0, 10);
    let broken = bucket.reserve_at(1, 0).expect("it fills");
    let waiter = Waiter::join(&bucket, 1, 0);
    assert_eq!(broken.turn_at(0, &Waker::from(Arc::new(Broken))), Turn::At(SECOND + 1));
    assert_eq!(waiter.due(0), Some(2));
    let served = catch_unwind(AssertUnwindSafe(|| bucket.try_acquire_at(5 * SECOND)));
    assert!(served.is_err(), "the panic goes to whoever called the waker");
    assert!(waiter.bell.rang(), "granted, and never told");
    assert_eq!((bucket.waiting(), waiter.turn(5 * SECOND)), (0, Turn::Granted));
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
    let bucket = empty(1.0 / 86_400.0, 10);
    let leaked = Waiter::join(&bucket, 1, 0);
    let waiter = Waiter::join(&bucket, 1, 0);
    assert_eq!((leaked.due(0), waiter.due(0)), (Some(86_400), Some(172_800)));
    std::mem::forget(leaked);
    bucket.reconfigure_at(1e9, 10, 0).expect("valid");
    assert!(waiter.bell.rang(), "two days nearer");
    assert_eq!(waiter.turn(3), Turn::Granted);
}

/// As many threads as wait, for all sizes, beside one that does not.
#[test]
fn large_requests_of_threads_that_wait_are_not_starved_by_small_ones() {
    let builder = TokenBucketRateLimiter::builder("waiting").rate(1e5).capacity(64);
    let bucket = builder.initial_tokens(0).build().expect("a valid bucket");
    let wait = |n| bucket.acquire_timeout(n, Duration::from_mins(1));
    std::thread::scope(|scope| {
        let waiters = [1, 64, 2, 64, 33, 1].map(|n| scope.spawn(move || wait(n)));
        while waiters.iter().any(|waiter| !waiter.is_finished()) {
            let _ = bucket.try_acquire();
            std::thread::yield_now();
        }
        for waiter in waiters {
            waiter.join().expect("no panic").expect("a minute is enough");
        }
    });
    assert_eq!(bucket.waiting(), 0);
}

#[test]
fn a_wait_for_a_bucket_that_is_not_due_in_time_ends_at_once_and_takes_nothing() {
    let clock = ManualClock::new();
    let bucket = bucket(&clock, 1.0, 10);
    bucket.try_acquire_n(10).expect("full");
    let refused = bucket.acquire_timeout(3, Duration::from_secs(2)).expect_err("a second too long");
    assert_eq!((refused.requested, refused.retry_after.as_secs()), (3, 3));
    assert_eq!((bucket.waiting(), bucket.totals().allowed, bucket.totals().refused), (0, 10, 3));
    clock.advance(Duration::from_millis(3_001));
    bucket.acquire_timeout(3, Duration::ZERO).expect("three are there");
    assert_eq!(bucket.remaining(), 0);
}

#[cfg(feature = "tokio")]
mod futures {
    use super::*;
    use fusewire::{Clock, LimitSet, RateLimitExceeded, SlidingWindowRateLimiter};
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    type Ready<'a> = Pin<Box<dyn Future<Output = Result<(), RateLimitExceeded>> + Send + 'a>>;

    fn poll(future: &mut Ready<'_>, bell: &Arc<Bell>) -> Poll<Result<(), RateLimitExceeded>> {
        future.as_mut().poll(&mut Context::from_waker(&Waker::from(bell.clone())))
    }

    /// Runs a test on tokio's time, which stands still but for `pass`.
    fn paused(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(test);
    }

    /// Moves the clock and tokio's time on.
    async fn pass(clock: &ManualClock, time: Duration) {
        clock.advance(time);
        tokio::time::advance(time).await;
    }

    /// Whether a limiter whose next permit is a second away is waited for with one timer and no polling.
    async fn waits_without_polling(clock: &ManualClock, mut ready: Ready<'_>) {
        let bell = Arc::new(Bell::default());
        assert!(poll(&mut ready, &bell).is_pending());
        for _ in 0..99 {
            pass(clock, Duration::from_millis(10)).await;
            assert!(!bell.rang(), "woken too early");
        }
        pass(clock, Duration::from_millis(12)).await;
        assert!(bell.rang(), "not woken when due");
        assert_eq!(poll(&mut ready, &bell), Poll::Ready(Ok(())));
    }

    #[test]
    fn each_limiter_is_waited_for_without_polling() {
        paused(async {
            let clock = ManualClock::new();
            let second = Duration::from_secs(1);

            let bucket = bucket(&clock, 1.0, 1);
            bucket.try_acquire().expect("full");
            waits_without_polling(&clock, Box::pin(bucket.until_ready(1))).await;

            let exact = SlidingWindowRateLimiter::builder("waiting").max_requests(1).window(second);
            let exact = exact.clock(Clock::from(&clock)).build().expect("valid");
            exact.try_acquire().expect("one in a window");
            waits_without_polling(&clock, Box::pin(exact.until_ready(1))).await;

            let set = LimitSet::builder("waiting").limit(1, second).limit(100, 100 * second);
            let set = set.clock(Clock::from(&clock)).build().expect("valid");
            set.try_acquire().expect("one in a window");
            waits_without_polling(&clock, Box::pin(set.until_ready(1))).await;

            assert_eq!((bucket.waiting(), exact.waiting(), set.waiting()), (0, 0, 0));
            assert_eq!((exact.totals().allowed, set.totals().allowed), (2, 2));
        });
    }

    #[test]
    fn a_future_that_is_dropped_takes_nothing_and_all_behind_it_move_up() {
        paused(async {
            let clock = ManualClock::new();
            let bucket = bucket(&clock, 1.0, 10);
            bucket.try_acquire_n(10).expect("full");
            let (large_bell, small_bell) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
            let mut large: Ready<'_> = Box::pin(bucket.until_ready(10));
            let mut small: Ready<'_> = Box::pin(bucket.until_ready(1));
            assert!(poll(&mut large, &large_bell).is_pending() && poll(&mut small, &small_bell).is_pending());
            assert_eq!(bucket.waiting(), 2);
            drop(large);
            assert!(small_bell.rang(), "ten seconds nearer");
            assert!(poll(&mut small, &small_bell).is_pending());
            pass(&clock, Duration::from_millis(1_002)).await;
            assert_eq!(poll(&mut small, &small_bell), Poll::Ready(Ok(())));
            drop(small);
            assert_eq!((bucket.totals().allowed, bucket.waiting()), (11, 0));
            // Nothing is taken and nobody joins before the first poll.
            drop(bucket.until_ready(1));
            assert_eq!((bucket.totals().allowed, bucket.waiting()), (11, 0));
        });
    }

    #[test]
    fn a_large_future_is_not_starved_by_those_who_do_not_wait() {
        paused(async {
            let clock = ManualClock::new();
            let bucket = bucket(&clock, 10.0, 10);
            bucket.try_acquire_n(10).expect("full");
            let bell = Arc::new(Bell::default());
            let mut large: Ready<'_> = Box::pin(bucket.until_ready(10));
            assert!(poll(&mut large, &bell).is_pending());
            for _ in 0..9 {
                pass(&clock, Duration::from_millis(100)).await;
                let refused = bucket.try_acquire().expect_err("behind the one who waits");
                assert!(!refused.retry_after.is_zero());
            }
            pass(&clock, Duration::from_millis(102)).await;
            assert_eq!(poll(&mut large, &bell), Poll::Ready(Ok(())));
        });
    }

    #[test]
    fn waiting_ends_at_once_where_it_will_not_help() {
        paused(async {
            let bucket = bucket(&ManualClock::new(), 0.0, 2);
            bucket.until_ready(2).await.expect("full");
            for n in [0, 1, 2, 3, u64::MAX] {
                let refused = bucket.until_ready(n).await.expect_err("it never fills");
                assert_eq!((refused.requested, refused.retry_after), (n, Duration::MAX));
            }
            assert_eq!((bucket.waiting(), bucket.totals().refused), (0, 3));
        });
    }
}
