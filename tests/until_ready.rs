//! `until_ready` of each limiter, on tokio's time.
#![cfg(feature = "tokio")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fusewire::{
    Clock, LimitSet, Limiter, ManualClock, RateLimitExceeded, SlidingWindowRateLimiter,
    TokenBucketRateLimiter,
};

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

        let bucket = TokenBucketRateLimiter::builder("ready").rate(1.0).capacity(1);
        let bucket = bucket.clock(&clock).build().expect("valid");
        bucket.try_acquire().expect("full");
        waits_without_polling(&clock, Box::pin(bucket.until_ready(1))).await;

        let exact = SlidingWindowRateLimiter::builder("ready").max_requests(1).window(second);
        let exact = exact.clock(Clock::from(&clock)).build().expect("valid");
        exact.try_acquire().expect("one in a window");
        waits_without_polling(&clock, Box::pin(exact.until_ready(1))).await;

        let set = LimitSet::builder("ready").limit(1, second).limit(100, 100 * second);
        let set = set.clock(Clock::from(&clock)).build().expect("valid");
        set.try_acquire().expect("one in a window");
        waits_without_polling(&clock, Box::pin(set.until_ready(1))).await;

        assert_eq!((bucket.waiting(), exact.waiting(), set.waiting()), (0, 0, 0));
        assert_eq!((exact.totals().allowed, set.totals().allowed), (2, 2));
    });
}

#[test]
fn waiting_ends_at_once_where_it_will_not_help() {
    paused(async {
        let bucket = TokenBucketRateLimiter::builder("ready").rate(0.0).capacity(2);
        let bucket = bucket.build().expect("valid");
        bucket.until_ready(2).await.expect("full");
        for n in [0, 1, 2, 3, u64::MAX] {
            let refused = bucket.until_ready(n).await.expect_err("it never fills");
            assert_eq!((refused.requested, refused.retry_after), (n, Duration::MAX));
        }
        assert_eq!((bucket.waiting(), bucket.totals().refused), (0, 3));
        let set = LimitSet::builder("ready").limit(1, Duration::from_secs(1)).build().expect("valid");
        for n in [0, 2] {
            let refused = set.until_ready(n).await.expect_err("one request is one permit");
            assert!(refused.is_invalid());
        }
        // Nobody joins before the first poll.
        drop(set.until_ready(1));
        assert_eq!((set.waiting(), set.totals().allowed), (0, 0));
    });
}
