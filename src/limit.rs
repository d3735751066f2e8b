//! Rate limiters: how many calls may be made in a time.
//!
//! [`TokenBucketRateLimiter`] allows bursts and holds an average; [`SlidingWindowRateLimiter`] holds an exact
//! count over every window; [`RateLimiter`] is the bucket described by a count and a window; [`LimitSet`]
//! holds several windows at once. All decide without a lock, and a refusal writes nothing that another
//! thread's decision reads.

mod bucket;
mod builder;
mod counters;
mod estimate;
mod lease;
mod queue;
mod rate;
mod ring;
mod set;
mod sliding;
mod terms;
mod wait;

use crate::error::RateLimitExceeded;

pub use bucket::TokenBucketRateLimiter;
pub use builder::{RateLimiterBuilder, TokenBucketBuilder};
pub use counters::LimiterTotals;
pub use lease::LeaseHandle;
pub use queue::{Source, Ticket, Turn, WaitQueue};
pub use rate::RateLimiter;
pub use set::{LimitSet, LimitSetBuilder};
pub use sliding::{SlidingWindowRateLimiter, SlidingWindowRateLimiterBuilder};
pub use wait::Reservation;

/// The greatest limit that is logged: a ring of 2^24 times, 128 MiB.
const MAX_LOGGED: u64 = (1 << 24) - 1;

/// For the models, which drive the protocols themselves.
#[cfg(fusewire_loom)]
pub(crate) mod model {
    pub use super::estimate::Estimate;
    pub use super::ring::{Refusal, Ring, Rule};
}

/// What every limiter can be asked. The forms without a time take it from the limiter's own clock.
pub trait Limiter {
    /// The time by the limiter's clock, in nanoseconds.
    fn now(&self) -> u64;

    /// Takes `n` permits at `now`, in nanoseconds from any origin, as long as one limiter sees one origin.
    ///
    /// # Errors
    ///
    /// [`RateLimitExceeded`] says when the same request may pass. A request for none, or for more than the
    /// limiter can ever give at once, is refused for good ([`RateLimitExceeded::is_invalid`]).
    fn try_acquire_n_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded>;

    /// Whether `n` permits could be had at `now`, without taking or counting anything.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_n_at`](Self::try_acquire_n_at).
    fn peek_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded>;

    /// Permits that could be had at `now`.
    fn remaining_at(&self, now: u64) -> u64;

    /// Takes one permit at `now`.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_n_at`](Self::try_acquire_n_at).
    #[inline(always)]
    fn try_acquire_at(&self, now: u64) -> Result<(), RateLimitExceeded> {
        self.try_acquire_n_at(1, now)
    }

    /// Takes one permit.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_n_at`](Self::try_acquire_n_at).
    #[inline(always)]
    fn try_acquire(&self) -> Result<(), RateLimitExceeded> {
        self.try_acquire_at(self.now())
    }

    /// Takes `n` permits, all or none.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_n_at`](Self::try_acquire_n_at).
    #[inline(always)]
    fn try_acquire_n(&self, n: u64) -> Result<(), RateLimitExceeded> {
        self.try_acquire_n_at(n, self.now())
    }

    /// Whether `n` permits could be had now, without taking or counting anything.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_n_at`](Self::try_acquire_n_at).
    #[inline]
    fn peek(&self, n: u64) -> Result<(), RateLimitExceeded> {
        self.peek_at(n, self.now())
    }

    /// Permits that could be had now.
    #[inline]
    fn remaining(&self) -> u64 {
        self.remaining_at(self.now())
    }
}
