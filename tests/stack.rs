//! The layers composed: what each order does, and what the one error says.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fusewire::{
    CircuitBreaker, Clock, Limiter, ManualClock, Outcome, Protection, ProtectionError, RateLimiter,
    RefusedBy, Retry, RetryConfig,
};

const SECOND: Duration = Duration::from_secs(1);

/// A limiter of `permits` a second, a breaker that opens at the second failure in a row, and a retry of three
/// attempts a second apart, on one clock that sleeping moves.
struct World {
    clock: ManualClock,
    limiter: RateLimiter,
    breaker: CircuitBreaker,
    retry: Retry,
    slept: RefCell<Vec<Duration>>,
}

impl World {
    fn new(permits: u64) -> Self {
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder("api").max_requests(permits).window(SECOND);
        let breaker = CircuitBreaker::builder("service").failure_threshold(2).recovery_timeout(10 * SECOND);
        let config = RetryConfig::new().base_delay(SECOND).exponential(false).jitter(false);
        Self {
            limiter: limiter.clock(&clock).build().expect("valid"),
            breaker: breaker.clock(Clock::from(&clock)).build().expect("valid"),
            retry: Retry::named("service", config).expect("valid"),
            slept: RefCell::default(),
            clock,
        }
    }

    fn sleep(&self) -> impl Fn(Duration) {
        |wait| {
            self.slept.borrow_mut().push(wait);
            self.clock.advance(wait);
        }
    }
}

#[test]
fn by_default_each_attempt_pays_a_permit_and_asks_the_breaker() {
    let world = World::new(10);
    let protection = Protection::builder()
        .breaker(world.breaker.clone())
        .limiter(world.limiter.clone())
        .retry(world.retry.clone())
        .build();
    let calls = Cell::new(0);
    let reply = protection.call_with(world.sleep(), || {
        calls.set(calls.get() + 1);
        if calls.get() == 1 { Err("timed out") } else { Ok(calls.get()) }
    });
    assert_eq!(reply, Ok(2));
    assert_eq!(world.limiter.totals().allowed, 2);
    assert_eq!((world.breaker.totals().success, world.breaker.totals().failure), (1, 1));
    assert_eq!(*world.slept.borrow(), [SECOND]);
}

#[test]
fn an_open_circuit_ends_a_retry_unless_it_was_told_to_wait() {
    let world = World::new(10);
    let protection = Protection::builder().retry(world.retry.clone()).breaker(world.breaker.clone()).build();
    let error = protection.call_with(world.sleep(), || Err::<(), _>("down")).expect_err("it is down");
    // Two failures opened it, and the third attempt was refused.
    assert_eq!(error.refused_by(), Some(RefusedBy::Breaker));
    // Which must not look like a call that never ran.
    assert_eq!(error.attempts(), 3);
    assert!(matches!(error, ProtectionError::GaveUp { reached: 2, .. }), "{error}");
    let error = protection.call_with(world.sleep(), || Ok::<_, &str>(())).expect_err("it is open");
    assert!(matches!(error, ProtectionError::Open(_)), "{error}");
    assert_eq!(error.attempts(), 1);
    let wait = error.retry_after().expect("a breaker that reopens");
    assert!(wait >= 9 * SECOND && wait < 9 * SECOND + SECOND / 1000, "{wait:?}");
    assert_eq!(error.service(), None);
    assert_eq!(world.breaker.totals().failure, 2);

    world.slept.borrow_mut().clear();
    let patient = world.retry.clone().retry_open(true);
    let protection = Protection::builder().retry(patient).breaker(world.breaker.clone()).build();
    assert_eq!(protection.call_with(world.sleep(), || Ok::<_, &str>("up")), Ok("up"));
    assert_eq!(world.slept.borrow().len(), 1);
    assert!(world.slept.borrow()[0] >= 9 * SECOND);
}

#[test]
fn a_limiters_refusal_is_waited_out_and_is_no_failure() {
    let world = World::new(1);
    let protection = Protection::builder()
        .retry(world.retry.clone())
        .limiter(world.limiter.clone())
        .breaker(world.breaker.clone())
        .build();
    assert_eq!(protection.call_with(world.sleep(), || Ok::<_, &str>(1)), Ok(1));
    assert_eq!(protection.call_with(world.sleep(), || Ok::<_, &str>(2)), Ok(2));
    assert_eq!(world.slept.borrow().len(), 1);
    assert_eq!(world.breaker.totals().failure, 0);

    // Without a retry the refusal comes out, and says when to come back.
    let bare = Protection::builder().limiter(world.limiter.clone()).breaker(world.breaker.clone()).build();
    let error = bare.call(|| Ok::<_, &str>(3)).expect_err("no permit left");
    assert_eq!(error.refused_by(), Some(RefusedBy::Limiter));
    assert!(error.retry_after().is_some_and(|wait| wait > Duration::ZERO && wait <= SECOND + SECOND / 1000));
    assert_eq!(world.breaker.totals().success, 2);
}

#[test]
fn a_breaker_ignores_what_a_limiter_inside_it_refuses() {
    let world = World::new(1);
    let protection = Protection::in_order().then(world.breaker.clone()).then(world.limiter.clone());
    assert_eq!(protection.call(|| Ok::<_, &str>(())), Ok(()));
    for _ in 0..5 {
        protection.call(|| Ok::<_, &str>(())).expect_err("no permit left");
    }
    assert_eq!((world.breaker.totals().failure, world.breaker.totals().ignored), (0, 5));
    assert!(world.breaker.try_acquire().is_ok(), "still closed");

    // A probe that the limiter stops gives its place back.
    world.breaker.force_open();
    world.breaker.force_close();
    world.limiter.try_acquire().expect_err("empty");
    world.breaker.try_acquire().expect("closed").failure();
    world.breaker.try_acquire().expect("closed").failure();
    world.clock.advance(10 * SECOND + SECOND / 1000);
    world.limiter.try_acquire().expect("a second passed");
    for _ in 0..10 {
        let error = protection.call(|| Ok::<_, &str>(())).expect_err("no permit left");
        assert_eq!(error.refused_by(), Some(RefusedBy::Limiter), "the round has a place still");
    }
}

#[test]
fn with_the_retry_inside_the_breaker_a_call_counts_once() {
    let world = World::new(10);
    let protection = Protection::in_order().then(world.breaker.clone()).retry(world.retry.clone());
    let error = protection.call_with(world.sleep(), || Err::<(), _>("down")).expect_err("it is down");
    let ProtectionError::GaveUp { ended: gave_up, reached: 3 } = &error else { panic!("{error}") };
    assert_eq!((gave_up.attempts, gave_up.total_delay, error.attempts()), (3, 2 * SECOND, 3));
    assert_eq!(error.service(), Some(&"down"));
    assert_eq!((error.refused_by(), error.retry_after()), (None, None));
    assert_eq!(world.breaker.totals().failure, 1);
    assert_eq!(error.to_string(), "gave up after 3 attempts and 2.0 s of waits (exhausted): down");
    assert_eq!(error.into_service(), Some("down"));
}

#[test]
fn a_classifier_sees_only_what_the_service_said() {
    let world = World::new(2);
    let protection = Protection::builder()
        .limiter(world.limiter.clone())
        .breaker_judging(world.breaker.clone(), |result: Result<&u32, &&str>| match result {
            Ok(0) => Outcome::Failure,
            Err(&"no such symbol") => Outcome::Ignored,
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        })
        .build();
    assert_eq!(protection.call(|| Ok(0)), Ok(0));
    assert_eq!(protection.call(|| Err("no such symbol")), Err(ProtectionError::Service("no such symbol")));
    protection.call(|| Ok(1)).expect_err("no permit left");
    let totals = world.breaker.totals();
    assert_eq!((totals.success, totals.failure, totals.ignored), (0, 1, 1));
}

#[test]
fn an_asynchronous_call_runs_nothing_before_it_is_polled_and_can_be_dropped() {
    fn is_send(_: &impl Send) {}

    let world = World::new(10);
    let protection = Protection::builder()
        .retry(world.retry.clone())
        .limiter(world.limiter.clone())
        .breaker(world.breaker.clone())
        .build();
    let mut context = Context::from_waker(Waker::noop());

    let sleep = |_: Duration| ready(());
    let call = protection.call_async_with(sleep, || async { Ok::<_, &str>(7) });
    is_send(&call);
    assert_eq!(world.limiter.totals().allowed, 0);
    assert_eq!(pin!(call).poll(&mut context), Poll::Ready(Ok(7)));

    world.breaker.force_open();
    let made = Cell::new(false);
    let refused = protection.call_async_with(sleep, || {
        made.set(true);
        ready(Ok::<_, &str>(7))
    });
    let Poll::Ready(Err(_)) = pin!(refused).poll(&mut context) else { panic!("the circuit is open") };
    assert!(!made.get(), "a future was made before the call was let through");
    world.breaker.force_close();

    {
        let mut call = pin!(protection.call_async_with(sleep, pending::<Result<(), &str>>));
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(world.breaker.totals().cancelled, 1);
    assert_eq!(world.limiter.totals().allowed, 3);

    let failing = protection.call_async_with(sleep, || async { Err::<(), _>("down") });
    let Poll::Ready(Err(error)) = pin!(failing).poll(&mut context) else { panic!("it fails at once") };
    assert_eq!(error.refused_by(), Some(RefusedBy::Breaker));
}

#[test]
fn layers_that_are_not_given_do_nothing() {
    assert_eq!(Protection::builder().build().call(|| Ok::<_, &str>(1)), Ok(1));
    let error = Protection::builder().build().call(|| Err::<(), _>("down"));
    assert_eq!(error, Err(ProtectionError::Service("down")));
}

#[test]
fn a_refusal_in_the_end_does_not_hide_the_failures_before_it() {
    let world = World::new(1);
    // Permits are scarce: of three attempts the first gets one, and all the others in that second none.
    let config = RetryConfig::new().base_delay(SECOND / 1000).exponential(false).jitter(false);
    let retry = Retry::new(config).expect("valid").when(|_: &ProtectionError<&str>| true);
    let order = Protection::in_order().then(world.breaker.clone()).retry(retry).then(world.limiter.clone());
    for failures in 1..=2 {
        let error = order.call_with(world.sleep(), || Err::<(), _>("down")).expect_err("it is down");
        assert_eq!((error.attempts(), error.reached()), (3, 1));
        assert_eq!((error.refused_by(), error.service()), (Some(RefusedBy::Limiter), None));
        assert_eq!(world.breaker.totals().failure, failures);
        world.clock.advance(SECOND);
    }
    let error =
        order.call_with(world.sleep(), || Ok::<(), _>(())).expect_err("two failures in a row opened it");
    assert_eq!((error.refused_by(), error.reached()), (Some(RefusedBy::Breaker), 0));
}
