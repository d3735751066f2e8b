//! What each decision of a retry may be, in wide integers where the settings are whole numbers, and within a
//! millionth where they are not.

use std::time::Duration;

use fusewire::retry::{Decision, StopReason, Verdict};
use fusewire::{Jitter, RetryConfig};

/// From the shortest to the longest that a wait may be, in nanoseconds.
type Range = (u128, u128);

pub(crate) struct Twin<'a> {
    config: &'a RetryConfig,
    deadline: Option<u128>,
    retry_open: bool,
    /// Between what the last wait was drawn; a longer one that was asked for hides it.
    last: Range,
    pub(crate) attempts: u32,
    pub(crate) total_delay: Duration,
}

impl<'a> Twin<'a> {
    /// The name of a setting that is out of its range.
    pub(crate) fn check(config: &RetryConfig) -> Result<(), &'static str> {
        if config.max_attempts == 0 {
            return Err("max_attempts");
        }
        if !config.exponential_base.is_finite() || config.exponential_base < 1.0 {
            return Err("exponential_base");
        }
        Ok(())
    }

    pub(crate) fn new(config: &'a RetryConfig, deadline: Option<Duration>, retry_open: bool) -> Self {
        let base = config.base_delay.min(config.max_delay).as_nanos();
        Self {
            config,
            deadline: deadline.map(|deadline| deadline.as_nanos()),
            retry_open,
            last: (base, base),
            attempts: 0,
            total_delay: Duration::ZERO,
        }
    }

    /// The longest wait after an attempt.
    fn longest(&self, attempt: u32) -> Range {
        let Self { config, .. } = *self;
        let (base, cap) = (config.base_delay.as_nanos(), config.max_delay.as_nanos());
        let retries = attempt.saturating_sub(1);
        if !config.exponential {
            let exact = base.saturating_add(config.increment.as_nanos().saturating_mul(u128::from(retries)));
            return (exact.min(cap), exact.min(cap));
        }
        let factor = config.exponential_base;
        if factor.fract() <= 0.0 && factor < 1e9 {
            let mut exact = base;
            for _ in 0..retries {
                if factor <= 1.0 || exact == 0 || exact >= cap {
                    break;
                }
                exact = exact.saturating_mul(factor as u128);
            }
            // Exact while the factor is a `u32`, which is as long as anybody waits.
            let whole = factor.powf(f64::from(retries)) <= f64::from(u32::MAX);
            return if whole { (exact.min(cap), exact.min(cap)) } else { around(exact as f64, cap) };
        }
        let grown = base as f64 * (f64::from(retries) * factor.ln()).exp();
        if base == 0 { (0, 0) } else { around(grown, cap) }
    }

    pub(crate) fn hold_longest(&self, attempt: u32, longest: Duration) {
        let (low, high) = self.longest(attempt);
        let longest = longest.as_nanos();
        assert!((low..=high).contains(&longest), "{longest} is not in {low} to {high}: {:?}", self.config);
    }

    /// What may be drawn after the attempt that was counted last.
    fn drawn(&self) -> Range {
        let (low, high) = self.longest(self.attempts);
        let (base, cap) = (self.config.base_delay.as_nanos(), self.config.max_delay.as_nanos());
        match self.config.jitter {
            Jitter::None => (low, high),
            Jitter::Full => (0, high),
            Jitter::Equal => (low / 2, high),
            Jitter::Decorrelated => (base.min(cap), (self.last.1 * 3).min(cap)),
            other => panic!("no twin for {other:?}"),
        }
    }

    /// Holds a decision against what may be decided.
    pub(crate) fn hold(&mut self, verdict: Verdict, elapsed: Duration, decision: &Decision) {
        self.attempts += 1;
        let floor = match verdict {
            Verdict::Stop | Verdict::RetryAfter(Duration::MAX) => {
                return assert_eq!(*decision, Decision::Stop(StopReason::NotRetryable));
            }
            Verdict::OpenCircuit(after) if !self.retry_open || after == Duration::MAX => {
                return assert_eq!(*decision, Decision::Stop(StopReason::OpenCircuit));
            }
            Verdict::Retry => 0,
            Verdict::RetryAfter(after) | Verdict::OpenCircuit(after) => after.as_nanos(),
        };
        if self.attempts >= self.config.max_attempts {
            return assert_eq!(*decision, Decision::Stop(StopReason::Exhausted));
        }
        let drawn = self.drawn();
        let (low, high) = (drawn.0.max(floor), drawn.1.max(floor));
        let over = elapsed.max(self.total_delay).as_nanos();
        let in_time = |wait: u128| self.deadline.is_none_or(|deadline| over + wait < deadline);
        match decision {
            Decision::Wait(wait) => {
                let nanos = wait.as_nanos();
                assert!((low..=high).contains(&nanos), "{nanos} is not in {low} to {high}");
                assert!(in_time(nanos), "{nanos} past the deadline");
                self.last = if nanos > floor { (nanos, nanos) } else { (drawn.0, floor.min(drawn.1)) };
                self.total_delay = self.total_delay.saturating_add(*wait);
            }
            Decision::Stop(reason) => {
                assert_eq!(*reason, StopReason::Deadline);
                assert!(!in_time(high), "there was time for {high}");
            }
        }
    }
}

/// A millionth and a few nanoseconds around a number, at most `cap`.
fn around(number: f64, cap: u128) -> Range {
    // Conversions saturate.
    let (low, high) = ((number * (1.0 - 1e-6)) as u128, (number * (1.0 + 1e-6)) as u128);
    (low.saturating_sub(2).min(cap), high.saturating_add(2).min(cap))
}
