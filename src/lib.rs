//! Lock-free circuit breakers, rate limiters and retries, cheap enough to sit inside the order path of a
//! trading server or the tick of a game server.
//!
//! Start with [`CircuitBreaker::builder`], [`RateLimiter::builder`], [`retry()`](retry::retry), or with
//! [`Protection`], which puts them around one call. The modules:
//!
//! - [`breaker`]: [`CircuitBreaker`], its permits and tokens, its rules and their configuration, snapshots;
//! - [`limit`]: [`TokenBucketRateLimiter`], [`SlidingWindowRateLimiter`], [`RateLimiter`], [`LimitSet`], what
//!   they have in common ([`Limiter`]), waiting and leases;
//! - [`mod@retry`]: [`Retry`], [`RetryConfig`], [`RetryBudget`]: attempts again, with growing waits;
//! - [`stack`]: [`Protection`], the three in one, with one error;
//! - [`stats`]: latency histograms, windows over them, percentiles;
//! - [`simd`]: [`Kernels`](simd::Kernels), the vector instructions that histograms and many breakers are read by;
//! - [`registry`]: [`Registry`], breakers by name;
//! - [`observe`]: [`EventQueue`] and [`Dispatcher`] for changes of state, [`DirtySet`] for whoever publishes
//!   the counts of many breakers, the directory of all live instances;
//! - [`clock`]: [`Clock`], precise, coarse or manual; every decision of a breaker or a limiter has a twin that
//!   takes the caller's `now`;
//! - [`error`]: what can be refused.
//!
//! Feature `tokio` (off by default) adds timers for async callers who wait: `retry_async`, `Retry::call_async`,
//! `call_async` of a [`Protection`] with a retry, and the limiters' `until_ready`. Feature `hdrhistogram` writes latency
//! histograms in the HDR formats.
//!
//! The chapters: [latencies], [limiters], [sliding windows], [retries], [the stack], [a breaker's states], [its windows],
//! [kernels], [performance], [limitations].
//!
//! [latencies]: https://docs.rs/crate/fusewire/latest/source/docs/latency.md
//! [limiters]: https://docs.rs/crate/fusewire/latest/source/docs/limiters.md
//! [sliding windows]: https://docs.rs/crate/fusewire/latest/source/docs/sliding-windows.md
//! [retries]: https://docs.rs/crate/fusewire/latest/source/docs/retry.md
//! [the stack]: https://docs.rs/crate/fusewire/latest/source/docs/stack.md
//! [a breaker's states]: https://docs.rs/crate/fusewire/latest/source/docs/state-machine.md
//! [its windows]: https://docs.rs/crate/fusewire/latest/source/docs/windows.md
//! [kernels]: https://docs.rs/crate/fusewire/latest/source/docs/simd.md
//! [performance]: https://docs.rs/crate/fusewire/latest/source/docs/performance.md
//! [limitations]: https://docs.rs/crate/fusewire/latest/source/docs/limitations.md
//!
//! ```
//! use fusewire::{CallError, CircuitBreaker};
//! use std::time::Duration;
//!
//! let breaker = CircuitBreaker::builder("payment_api")
//!     .failure_threshold(5)
//!     .recovery_timeout(Duration::from_secs(30))
//!     .half_open_requests(3)
//!     .build()?;
//!
//! match breaker.call(|| Err::<u32, _>("connection refused")) {
//!     Ok(receipt) => println!("charged: {receipt}"),
//!     Err(CallError::Open(open)) => println!("try again in {:?}", open.time_until_retry),
//!     Err(CallError::Inner(error)) => println!("the service failed: {error}"),
//! }
//! # Ok::<(), fusewire::ConfigError>(())
//! ```

pub mod breaker;
pub mod clock;
pub mod error;
pub mod limit;
pub mod observe;
pub mod registry;
pub mod retry;
pub mod simd;
pub mod stack;
pub mod stats;

mod sync;
mod tally;
mod window;
mod word;

/// The protocols' parts, for the models of `loom-tests`.
#[cfg(fusewire_loom)]
#[allow(missing_docs, reason = "documented where they are internal")]
pub mod model {
    pub use crate::limit::model::{Estimate, Refusal, Ring, Rule};
    pub use crate::observe::model::{Journal, Record};
    pub use crate::sync::{AtomicU64, Mutant, Ordering, mutant, with_mutant};
    pub use crate::tally::Tally;
    pub use crate::tally::lanes::{LaneIds, assume};
    pub use crate::tally::wide::WideTally;
    pub use crate::window::Window;
    pub use crate::window::snapshot::Snapshot;
}

#[doc(inline)]
pub use breaker::{
    BreakerScan, BreakerSnapshot, Cancelled, CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig,
    OpenBackoff, Outcome, OwnedPermit, Permit, ProbeMode, SlowCalls, Token, Totals, Transition, WindowConfig,
};
#[doc(inline)]
pub use clock::{Clock, CoarseClock, ManualClock};
#[doc(inline)]
pub use error::{
    CallError, CircuitOpenError, ConfigError, RateLimitExceeded, RegistryConflict, RegistryError,
    RejectReason, Rejected, Retryable,
};
#[doc(inline)]
pub use limit::{
    LeaseHandle, LimitSet, LimitSetBuilder, Limiter, LimiterTotals, RateLimiter, RateLimiterBuilder,
    Reservation, SlidingWindowRateLimiter, SlidingWindowRateLimiterBuilder, TokenBucketBuilder,
    TokenBucketRateLimiter,
};
#[doc(inline)]
pub use observe::{DirtySet, Dispatcher, Event, EventQueue};
#[doc(inline)]
pub use registry::Registry;
#[cfg(feature = "tokio")]
#[doc(inline)]
pub use retry::retry_async;
#[doc(inline)]
pub use retry::{Jitter, Retry, RetryBudget, RetryConfig, RetryError, retry};
#[doc(inline)]
pub use stack::{Protection, ProtectionBuilder, ProtectionError, RefusedBy};
#[doc(inline)]
pub use word::breaker::{Cause, CircuitState};

/// The examples of the README and of the book are tests.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../docs/latency.md")]
    struct Latency;
    #[doc = include_str!("../docs/limiters.md")]
    struct Limiters;
    #[doc = include_str!("../docs/retry.md")]
    struct Retry;
    #[doc = include_str!("../docs/simd.md")]
    struct Simd;
    #[doc = include_str!("../docs/sliding-windows.md")]
    struct SlidingWindows;
    #[doc = include_str!("../docs/stack.md")]
    struct Stack;
}
