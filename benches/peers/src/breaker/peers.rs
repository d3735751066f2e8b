//! The peers, each set up as near to the consecutive rule as it comes.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failsafe::CircuitBreaker as _;
use tower::{Layer, Service};

use super::contender::{Contender, FAILURES, Fault};

#[expect(clippy::unnecessary_wraps, reason = "a call's result")]
#[inline(always)]
pub(crate) fn good() -> Result<u32, Fault> {
    Ok(black_box(1))
}

#[inline(always)]
pub(crate) fn bad() -> Result<u32, Fault> {
    Err(black_box(Fault))
}

type Constant = failsafe::backoff::Constant;
type Machine = failsafe::StateMachine<failsafe::failure_policy::ConsecutiveFailures<Constant>, ()>;

fn failsafe(open: Duration) -> Machine {
    let policy = failsafe::failure_policy::consecutive_failures(FAILURES, failsafe::backoff::constant(open));
    failsafe::Config::new().failure_policy(policy).build()
}

/// `failsafe`, consecutive failures, its closure form.
pub(crate) struct Failsafe(Machine);

impl Contender for Failsafe {
    fn closed(open: Duration) -> Self {
        Self(failsafe(open))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        self.0.call(good).is_ok()
    }

    fn fail(&self) -> bool {
        matches!(self.0.call(bad), Err(failsafe::Error::Inner(_)))
    }
}

/// `failsafe` again, asked and told step by step.
pub(crate) struct FailsafeSteps(Machine);

impl Contender for FailsafeSteps {
    fn closed(open: Duration) -> Self {
        Self(failsafe(open))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        let permitted = self.0.is_call_permitted();
        if permitted && good().is_ok() {
            self.0.on_success();
        }
        permitted
    }

    fn fail(&self) -> bool {
        let permitted = self.0.is_call_permitted();
        if permitted && bad().is_err() {
            self.0.on_error();
        }
        permitted
    }
}

/// `recloser` knows rates only: all of the last [`FAILURES`] calls, judged once as many have been seen.
pub(crate) struct Recloser(recloser::Recloser);

impl Contender for Recloser {
    fn closed(open: Duration) -> Self {
        let length = FAILURES as usize;
        Self(
            recloser::Recloser::custom()
                .error_rate_closed(1.0)
                .error_rate_half_open(0.5)
                .closed_len(length)
                .half_open_len(1)
                .open_wait(open)
                .build(),
        )
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        self.0.call(good).is_ok()
    }

    fn fail(&self) -> bool {
        matches!(self.0.call(bad), Err(recloser::Error::Inner(_)))
    }
}

/// `nobreak`.
pub(crate) struct Nobreak(nobreak::CircuitBreaker);

impl Contender for Nobreak {
    fn closed(open: Duration) -> Self {
        let builder = nobreak::builder().with_failure_threshold(FAILURES as usize).with_success_threshold(1);
        Self(builder.with_open_duration(open).build())
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        self.0.call(good).is_ok()
    }

    fn fail(&self) -> bool {
        matches!(self.0.call(bad), Err(nobreak::CircuitError::Failed { .. }))
    }
}

/// `circuit_breaker`, and after a success the call that makes it forget failures: its `execute` leaves that out
/// while it is closed.
pub(crate) struct CircuitBreaker(circuit_breaker::CircuitBreaker);

impl Contender for CircuitBreaker {
    fn closed(open: Duration) -> Self {
        Self(circuit_breaker::CircuitBreaker::new(FAILURES, open))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        let admitted = self.0.execute(good).is_ok();
        if admitted {
            self.0.handle_success();
        }
        admitted
    }

    fn fail(&self) -> bool {
        self.0.execute(bad).is_err_and(|error| error.is::<Fault>())
    }
}

/// `circuit_breaker` by `execute` alone, which counts failures since it was last closed and no successes.
pub(crate) struct CircuitBreakerExecute(circuit_breaker::CircuitBreaker);

impl Contender for CircuitBreakerExecute {
    const FORGETS: bool = false;

    fn closed(open: Duration) -> Self {
        Self(circuit_breaker::CircuitBreaker::new(FAILURES, open))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        self.0.execute(good).is_ok()
    }

    fn fail(&self) -> bool {
        self.0.execute(bad).is_err_and(|error| error.is::<Fault>())
    }
}

/// `circuitbreaker-rs`: its failure rate cannot be switched off, so it asks for a throughput that is never reached.
pub(crate) struct CircuitBreakerRs(
    circuitbreaker_rs::CircuitBreaker<circuitbreaker_rs::DefaultPolicy, Fault>,
);

impl Contender for CircuitBreakerRs {
    fn closed(open: Duration) -> Self {
        Self(
            circuitbreaker_rs::CircuitBreaker::<circuitbreaker_rs::DefaultPolicy, Fault>::builder()
                .min_throughput(u64::MAX)
                .consecutive_failures(u64::from(FAILURES))
                .consecutive_successes(1)
                .probe_interval(1)
                .cooldown(open)
                .build(),
        )
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        self.0.call(good).is_ok()
    }

    fn fail(&self) -> bool {
        matches!(self.0.call(bad), Err(circuitbreaker_rs::BreakerError::Operation(_)))
    }
}

/// The service that `tower-resilience-circuitbreaker` guards here: ready at once, as the closures are.
#[derive(Clone)]
pub(crate) struct Leaf;

impl Service<bool> for Leaf {
    type Response = u32;
    type Error = Fault;
    type Future = std::future::Ready<Result<u32, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, succeeds: bool) -> Self::Future {
        std::future::ready(if succeeds { good() } else { bad() })
    }
}

type Guarded =
    tower_resilience_circuitbreaker::CircuitBreaker<Leaf, tower_resilience_circuitbreaker::DefaultClassifier>;

/// `tower-resilience-circuitbreaker`, consecutive failures, its futures polled in place.
pub(crate) struct TowerResilience(Guarded);

impl TowerResilience {
    fn call(
        service: &mut Guarded,
        succeeds: bool,
    ) -> Result<u32, tower_resilience_circuitbreaker::CircuitBreakerError<Fault>> {
        let mut future = pin!(service.call(succeeds));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::hint::spin_loop(), // another thread holds its lock
            }
        }
    }
}

impl Contender for TowerResilience {
    fn closed(open: Duration) -> Self {
        let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
            .consecutive_failures(FAILURES as usize)
            .permitted_calls_in_half_open(1)
            .wait_duration_in_open(open)
            .build()
            .expect("a valid configuration");
        Self(layer.layer(Leaf))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        Self::call(&mut self.0.clone(), true).is_ok()
    }

    fn fail(&self) -> bool {
        Self::call(&mut self.0.clone(), false).is_err_and(|error| !error.is_circuit_open())
    }

    #[inline(always)]
    fn succeed_times(&self, times: u64, mut between: impl FnMut()) {
        let mut service = self.0.clone(); // what a server does for each connection
        for _ in 0..times {
            between();
            black_box(Self::call(black_box(&mut service), true).is_ok());
        }
    }
}
