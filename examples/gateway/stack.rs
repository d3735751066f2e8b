//! The protection that all threads share: a retry with a budget, a limiter, a breaker.

use std::time::Duration;

use fusewire::limit::LimiterTotals;
use fusewire::retry::RetryTotals;
use fusewire::stack::Chain;
use fusewire::{
    CircuitBreaker, CircuitBreakerConfig, Clock, ConfigError, EventQueue, Protection, Retry, RetryBudget,
    RetryConfig, TokenBucketRateLimiter, Totals, WindowConfig,
};

use crate::script::Scale;

/// Retry outermost, then limiter, then breaker: each attempt pays a permit, and is judged by the breaker.
pub(crate) type Layers = Protection<(), Retry, Chain<TokenBucketRateLimiter, CircuitBreaker>>;

/// What the layers are told.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) retry: RetryConfig,
    /// Of one order, from its first attempt to its last.
    pub(crate) deadline: Duration,
    pub(crate) budget: BudgetRules,
    /// Orders a second, and at once.
    pub(crate) rate: u32,
    pub(crate) burst: u32,
    pub(crate) breaker: CircuitBreakerConfig,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetRules {
    /// Of the calls.
    pub(crate) share: f64,
    pub(crate) per_second: f64,
    pub(crate) saved: u32,
}

/// What the layers have counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) retry: RetryTotals,
    pub(crate) budget: BudgetCounted,
    pub(crate) limiter: LimiterTotals,
    pub(crate) breaker: Totals,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetCounted {
    pub(crate) calls: u64,
    pub(crate) retries: u64,
    pub(crate) left: u64,
}

#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) protection: Layers,
    pub(crate) breaker: CircuitBreaker,
    retry: Retry,
    budget: RetryBudget,
    limiter: TokenBucketRateLimiter,
    rules: Rules,
}

/// What a stack is built for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub(crate) scale: Scale,
    pub(crate) rate: u32,
    pub(crate) burst: u32,
    /// The breaker's window, and how many calls it must hold to be judged.
    pub(crate) window: Duration,
    pub(crate) minimum_calls: u32,
}

impl Stack {
    pub(crate) fn new(purpose: &Purpose, events: &EventQueue, clock: Clock) -> Result<Self, ConfigError> {
        let Purpose { scale, rate, burst, window, minimum_calls } = *purpose;
        let budget_rules = BudgetRules { share: 0.2, per_second: 10.0, saved: 20 };
        let budget = RetryBudget::builder()
            .ratio(budget_rules.share)
            .min_per_second(budget_rules.per_second)
            .burst(budget_rules.saved)
            .build()?;
        let waits = RetryConfig::new()
            .max_attempts(3)
            .base_delay(scale.patience / 100)
            .max_delay(scale.patience / 10);
        let retry = Retry::named("venue", waits)?.deadline(scale.deadline).budget(&budget);
        let limiter =
            TokenBucketRateLimiter::builder("venue").rate(rate.into()).capacity(burst.into()).build()?;
        // All the rules at once: whichever is true first opens the breaker.
        let breaker = CircuitBreaker::builder("venue")
            .failure_threshold(5)
            .failure_rate(0.3)
            .slow_calls(scale.slow, 0.3)
            .window(WindowConfig::time(window, 10))
            .minimum_calls(minimum_calls)
            .count_hung_after(scale.hung)
            .recovery_timeout(scale.recovery)
            .half_open_requests(2)
            .clock(clock)
            .events(events)
            .build()?;
        let rules = Rules {
            retry: retry.config().clone(),
            deadline: scale.deadline,
            budget: budget_rules,
            rate,
            burst,
            breaker: breaker.config(),
        };
        let protection = Protection::builder()
            .retry(retry.clone())
            .limiter(limiter.clone())
            .breaker(breaker.clone())
            .build();
        Ok(Self { protection, breaker, retry, budget, limiter, rules })
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn counted(&self) -> Counted {
        Counted {
            retry: self.retry.totals().expect("the retry has a name"),
            budget: BudgetCounted {
                calls: self.budget.calls(),
                retries: self.budget.retries(),
                left: self.budget.available(),
            },
            limiter: self.limiter.totals(),
            breaker: self.breaker.totals(),
        }
    }
}
