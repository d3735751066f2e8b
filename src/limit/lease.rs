//! Tokens drawn in batches, for one thread to spend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::TokenBucketRateLimiter;
use super::bucket::Bucket;
use crate::clock::nanos;
use crate::error::{ConfigError, RateLimitExceeded};
use crate::sync::{Mutant, mutant};

/// A thread's own tokens: drawn from the bucket in batches, and spent with no write that another thread
/// sees and no clock read.
///
/// Use one where several threads share a bucket that gives them thousands of tokens a second or more: the
/// bucket's word is then written once a batch, not once a call. The price is delay elsewhere: what one handle
/// holds, the others cannot have until it is spent, given back or expired.
///
/// What is drawn obeys the bucket's bound exactly, whatever the number of handles. What is spent can be
/// later than it was drawn: in any interval of `w` seconds at most `capacity + rate * (w + max_hold)`, where
/// a [`max_hold`](Self::max_hold) is set and the clock is coarse or the caller's own; without one at most
/// `capacity + rate * w + handles * batch`.
///
/// What is left is given back when the handle is dropped; if it was drawn at a time that the owner gave,
/// only by [`give_back_at`](Self::give_back_at).
///
/// ```
/// use fusewire::TokenBucketRateLimiter;
///
/// let orders = TokenBucketRateLimiter::builder("orders").rate(1e6).capacity(10_000).build()?;
/// let mut lease = orders.lease_handle(256)?;
/// for _ in 0..1000 {
///     lease.try_acquire()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LeaseHandle {
    /// Tokens that are left to spend and do not expire: all, without a `max_hold`.
    lasting: u64,
    /// Tokens that are left to spend before they expire: all, with a `max_hold`.
    expiring: u64,
    /// When they do, on the limiter's clock.
    expires: u64,
    batch: u64,
    max_hold: u64,
    /// When what is left was drawn, and under which terms.
    drawn: u64,
    terms: u64,
    /// Whether they were drawn at a time that the owner gave.
    by_owner: bool,
    bucket: Arc<Bucket>,
}

impl LeaseHandle {
    pub(super) fn new(bucket: Arc<Bucket>, batch: u64) -> Self {
        Self {
            lasting: 0,
            expiring: 0,
            expires: u64::MAX,
            batch,
            max_hold: u64::MAX,
            drawn: 0,
            terms: 0,
            by_owner: false,
            bucket,
        }
    }

    /// Sets how long tokens may be held before they expire. Without it they expire only when the handle is
    /// dropped, or its owner calls [`maintain_at`](Self::maintain_at). With it, each
    /// [`try_acquire`](Self::try_acquire) reads the limiter's clock: one load if that is coarse, ten
    /// nanoseconds if it is precise.
    #[must_use]
    pub fn max_hold(mut self, hold: Duration) -> Self {
        self.max_hold = nanos(hold);
        let left = self.take_left();
        self.hold(left);
        self
    }

    /// Spends a token; draws the next batch when there is none left.
    ///
    /// # Errors
    ///
    /// [`RateLimitExceeded`] when the bucket has none either.
    #[inline(always)]
    pub fn try_acquire(&mut self) -> Result<(), RateLimitExceeded> {
        if let Some(left) = self.lasting.checked_sub(1) {
            self.lasting = left;
            return Ok(());
        }
        match self.acquire_by_clock() {
            Ok(()) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    #[inline(never)]
    fn acquire_by_clock(&mut self) -> Result<(), RateLimitExceeded> {
        let now = self.bucket.clock.now();
        if self.expiring > 0 && now < self.expires {
            self.expiring -= 1;
            return Ok(());
        }
        self.refill(now, false)
    }

    /// [`try_acquire`](Self::try_acquire) at `now`.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    #[inline(always)]
    pub fn try_acquire_at(&mut self, now: u64) -> Result<(), RateLimitExceeded> {
        if let Some(left) = self.lasting.checked_sub(1) {
            self.lasting = left;
            return Ok(());
        }
        if self.expiring > 0 && now < self.expires {
            self.expiring -= 1;
            return Ok(());
        }
        match self.refill(now, true) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self, now: u64, by_owner: bool) -> Result<(), RateLimitExceeded> {
        self.give_back_at(now);
        let (drawn, terms) = self.bucket.draw(self.batch, now)?;
        self.terms = terms;
        self.drawn = now;
        self.by_owner = by_owner;
        self.hold(drawn - 1);
        Ok(())
    }

    /// Holds `tokens` that were drawn when the handle last drew.
    fn hold(&mut self, tokens: u64) {
        if self.max_hold == u64::MAX {
            self.lasting = tokens;
        } else {
            self.expiring = tokens;
            self.expires = self.drawn.saturating_add(self.max_hold);
        }
    }

    fn take_left(&mut self) -> u64 {
        std::mem::take(&mut self.lasting) + std::mem::take(&mut self.expiring)
    }

    /// Tokens that are left to spend.
    pub fn left(&self) -> u64 {
        self.lasting + self.expiring
    }

    /// Lets tokens that have been held too long expire at `now`, as the next
    /// [`try_acquire_at`](Self::try_acquire_at) would: for handles that rest.
    pub fn maintain_at(&mut self, now: u64) {
        if self.expiring > 0 && now >= self.expires {
            self.give_back_at(now);
        }
    }

    /// [`maintain_at`](Self::maintain_at) by the limiter's clock.
    pub fn maintain(&mut self) {
        self.maintain_at(self.bucket.clock.now());
    }

    /// Gives back what is left, at `now`: of `n` tokens drawn at `t`, `n - rate * (now - t)`, since so many
    /// have flowed in meanwhile that would not have fitted; none if the limiter was reconfigured.
    pub fn give_back_at(&mut self, now: u64) {
        let left = self.take_left();
        let left = if mutant(Mutant::LeaseReturnsAll) { self.batch } else { left };
        if left > 0 {
            self.bucket.give_back(left, self.drawn, self.terms, now);
        }
    }

    /// [`give_back_at`](Self::give_back_at) by the limiter's clock, which must be that of the times at which
    /// the tokens were drawn.
    pub fn give_back(&mut self) {
        self.give_back_at(self.bucket.clock.now());
    }
}

impl Drop for LeaseHandle {
    fn drop(&mut self) {
        // The limiter's clock may count from elsewhere than the owner's times; what cannot be dated lapses.
        if self.left() > 0 && !self.by_owner {
            self.give_back_at(self.bucket.clock.now());
        }
    }
}

impl fmt::Debug for LeaseHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseHandle")
            .field("left", &self.left())
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl TokenBucketRateLimiter {
    /// A handle that draws `batch` tokens at a time, or as many as there are. Nothing is drawn before the
    /// first use.
    ///
    /// # Errors
    ///
    /// When `batch` is 0 or above the capacity.
    pub fn lease_handle(&self, batch: u64) -> Result<LeaseHandle, ConfigError> {
        if batch == 0 || batch > self.capacity() {
            return Err(ConfigError::new("batch", batch, "1 to the capacity"));
        }
        Ok(LeaseHandle::new(self.core.clone(), batch))
    }
}
