//! Guarded futures, without any runtime.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fusewire::{CallError, CircuitBreaker, CircuitBreakerBuilder, CircuitState, ManualClock, Outcome};

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("async").clock(&ManualClock::new()).failure_threshold(1).half_open_requests(1)
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}

/// Pending as many times, then ready.
struct After(u32);

impl Future for After {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn a_future_gives_its_value_its_error_or_the_refusal() {
    let breaker = build(builder());
    let value = breaker.call_async(|| async {
        After(3).await;
        Ok::<_, ()>(7)
    });
    assert_eq!(block_on(value), Ok(7));
    assert_eq!(block_on(breaker.call_async(|| async { Err::<(), _>("no") })), Err(CallError::Inner("no")));
    let refused =
        breaker.call_async(|| -> std::future::Ready<Result<(), &str>> { unreachable!("it is open") });
    assert!(block_on(refused).expect_err("it is open").is_open());
    let totals = breaker.totals();
    assert_eq!((totals.success, totals.failure, totals.rejected.open), (1, 1, 1));
}

#[test]
fn nothing_runs_and_no_place_is_taken_before_the_first_poll() {
    let breaker = build(builder().recovery_timeout(Duration::ZERO));
    breaker.try_acquire().expect("closed").failure();
    let ran = Cell::new(false);
    let future = breaker.call_async(|| {
        ran.set(true);
        async { Ok::<(), ()>(()) }
    });
    assert!(!ran.get());
    assert_eq!(breaker.state(), CircuitState::Open, "the call was not even admitted");
    drop(future);
    assert!(!ran.get());
    assert_eq!(breaker.totals().ended(), 1, "only the failure from before");
    assert!(breaker.try_acquire().expect("the place is free").is_probe());
}

#[test]
fn dropped_in_mid_flight_it_is_cancelled() {
    let breaker = build(builder().recovery_timeout(Duration::ZERO));
    breaker.try_acquire().expect("closed").failure();
    {
        let mut future = pin!(breaker.call_async(|| async {
            After(u32::MAX).await;
            Ok::<(), ()>(())
        }));
        assert!(poll(future.as_mut()).is_pending());
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        assert!(breaker.try_acquire().is_err(), "the probe is out");
    }
    assert_eq!(breaker.totals().cancelled, 1);
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    breaker.try_acquire().expect("its place came back").success();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_panic_in_a_poll_is_a_failure() {
    let breaker = build(builder());
    let mut future = Box::pin(breaker.call_async(|| async {
        After(1).await;
        assert!(breaker.totals().success > 0, "a panic of the test");
        Ok::<(), ()>(())
    }));
    assert!(poll(future.as_mut()).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| poll(future.as_mut()))).is_err(), "the panic goes on");
    drop(future);
    let totals = breaker.totals();
    assert_eq!((totals.failure, totals.cancelled), (1, 0));
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn a_panic_while_the_future_is_made_is_a_failure() {
    let breaker = build(builder());
    let future =
        breaker.call_async(|| -> std::future::Ready<Result<(), ()>> { panic!("a panic of the test") });
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(future))).is_err());
    assert_eq!(breaker.totals().failure, 1);
}

#[test]
fn a_classifier_judges_futures_too() {
    let breaker = build(builder());
    let guarded = breaker.with_classifier(|result: Result<&u32, &()>| match result {
        Ok(0) => Outcome::Failure,
        _ => Outcome::Ignored,
    });
    assert_eq!(block_on(guarded.call_async(|| async { Ok(1) })), Ok(1));
    assert_eq!(block_on(guarded.call_async(|| async { Ok(0) })), Ok(0));
    assert_eq!((breaker.totals().ignored, breaker.totals().failure), (1, 1));
}

#[test]
fn the_callers_time_counts_also_when_it_is_dropped() {
    let now = 1_700_000_000_000_000_000;
    let day = 24 * 3600 * 1_000_000_000;
    let breaker = build(builder().cancelled_as(fusewire::Cancelled::Failure));
    {
        let mut future = pin!(breaker.call_async_at(
            || now,
            || async {
                After(9).await;
                Ok::<(), ()>(())
            }
        ));
        assert!(poll(future.as_mut()).is_pending());
    }
    assert_eq!(breaker.last_failure_at(), Some(now));
    assert!(breaker.admit_at(now + 29_000_000_000).is_err());
    assert!(breaker.admit_at(now + day).is_ok());
}

#[test]
fn guarded_futures_and_all_handles_are_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<CircuitBreaker>();
    is_shared::<fusewire::OwnedPermit>();
    is_shared::<fusewire::Registry>();
    is_shared::<fusewire::EventQueue>();
    is_shared::<fusewire::DirtySet>();
    let breaker = build(builder());
    let call = is_send(breaker.call_async(|| async { Ok::<(), String>(()) }));
    assert_eq!(block_on(call), Ok(()));
    let guarded = is_send(breaker.with_classifier(|_: Result<&u8, &String>| Outcome::Success));
    assert_eq!(block_on(is_send(guarded.call_async(|| async { Ok(1) }))), Ok(1));
}
