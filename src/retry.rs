//! Retry: attempts again, with growing waits, until it succeeds or must stop.
//!
//! [`retry()`] and `retry_async` (feature `tokio`) take a [`RetryConfig`] and a call. [`Retry`] is a policy that
//! adds a deadline, a [`RetryBudget`], predicates, a name. What they decide is decided by a [`RetryPlan`],
//! which neither sleeps nor reads a clock, from the waits of a [`Backoff`].

mod backoff;
mod budget;
mod call;
mod config;
mod error;
mod jitter;
mod named;
mod plan;
mod policy;
pub mod rules;

pub use backoff::Backoff;
pub use budget::{RetryBudget, RetryBudgetBuilder};
#[cfg(feature = "tokio")]
pub use call::retry_async;
pub(crate) use call::sleep;
pub use call::{retry, retry_async_with, retry_with};
pub use config::RetryConfig;
pub use error::{RetryError, StopReason};
pub use jitter::Jitter;
pub use named::{AttemptBucket, NamedRetry, RetryTotals, StopTotals};
pub use plan::{Decision, RetryPlan, Verdict};
pub use policy::Retry;
pub use rules::RetryAttempt;
