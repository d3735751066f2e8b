//! Fusewire, in the forms and settings that the bars name.

use std::time::Duration;

use fusewire::{CallError, CircuitBreaker, CircuitBreakerBuilder, WindowConfig};

use super::contender::{Contender, FAILURES, Fault};
use super::peers::{bad, good};
use crate::suite::coarse;

fn consecutive(open: Duration) -> CircuitBreakerBuilder {
    let builder = CircuitBreaker::builder("contender").failure_threshold(FAILURES);
    builder.recovery_timeout(open).half_open_requests(1)
}

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("a valid configuration")
}

#[inline(always)]
fn succeed(breaker: &CircuitBreaker) -> bool {
    match breaker.try_acquire() {
        Ok(permit) => {
            if good().is_ok() {
                permit.success();
            }
            true
        }
        Err(_) => false,
    }
}

#[inline(always)]
fn fail(breaker: &CircuitBreaker) -> bool {
    match breaker.try_acquire() {
        Ok(permit) => {
            if bad().is_err() {
                permit.failure();
            }
            true
        }
        Err(_) => false,
    }
}

/// The consecutive rule and a coarse clock; a permit, then its result.
pub(crate) struct Permits(CircuitBreaker);

impl Contender for Permits {
    fn closed(open: Duration) -> Self {
        Self(build(consecutive(open).clock(coarse())))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        succeed(&self.0)
    }

    fn fail(&self) -> bool {
        fail(&self.0)
    }
}

/// The same in the closure form, as the peers have it. A refusal carries the breaker's name.
pub(crate) struct Calls(CircuitBreaker);

impl Contender for Calls {
    fn closed(open: Duration) -> Self {
        Self(build(consecutive(open).clock(coarse())))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        self.0.call(good).is_ok()
    }

    fn fail(&self) -> bool {
        matches!(self.0.call(bad), Err(CallError::Inner(Fault)))
    }
}

/// As it is built by default: precise time.
pub(crate) struct Precise(CircuitBreaker);

impl Contender for Precise {
    fn closed(open: Duration) -> Self {
        Self(build(consecutive(open)))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        succeed(&self.0)
    }

    fn fail(&self) -> bool {
        fail(&self.0)
    }
}

/// A failure rate over ten seconds beside the consecutive rule.
pub(crate) struct Windowed(CircuitBreaker);

impl Contender for Windowed {
    fn closed(open: Duration) -> Self {
        let window = WindowConfig::time(Duration::from_secs(10), 10);
        Self(build(consecutive(open).window(window).failure_rate(0.5).minimum_calls(100).clock(coarse())))
    }

    #[inline(always)]
    fn succeed(&self) -> bool {
        succeed(&self.0)
    }

    fn fail(&self) -> bool {
        fail(&self.0)
    }
}
