//! Fusewire, in the forms and settings that the bars name.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fusewire::{Clock, LeaseHandle, Limiter, TokenBucketBuilder, TokenBucketRateLimiter};

use super::contender::{Contender, Quota, count};
use crate::suite::coarse;

fn bucket(
    quota: Quota,
    configure: impl FnOnce(TokenBucketBuilder) -> TokenBucketBuilder,
) -> TokenBucketRateLimiter {
    let rate = f64::from(quota.permits) / quota.period.as_secs_f64();
    let builder = TokenBucketRateLimiter::builder("contender").rate(rate).capacity(quota.burst.into());
    configure(builder).build().expect("a valid configuration")
}

/// As it is built by default: precise time.
pub(crate) struct Precise(TokenBucketRateLimiter);

impl Contender for Precise {
    fn new(quota: Quota) -> Self {
        Self(bucket(quota, |builder| builder))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.try_acquire().is_ok()
    }
}

/// A coarse clock.
pub(crate) struct Coarse(TokenBucketRateLimiter);

impl Contender for Coarse {
    fn new(quota: Quota) -> Self {
        Self(bucket(quota, |builder| builder.clock(coarse())))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.try_acquire().is_ok()
    }
}

/// The caller gives the time, which it has from elsewhere: here it adds ten nanoseconds a call.
pub(crate) struct Given {
    bucket: TokenBucketRateLimiter,
    clock: Clock,
    now: AtomicU64,
}

impl Contender for Given {
    fn new(quota: Quota) -> Self {
        let clock = Clock::precise();
        Self { bucket: bucket(quota, |builder| builder), now: AtomicU64::new(clock.now()), clock }
    }

    fn take(&self) -> bool {
        let now = self.clock.now();
        self.now.store(now, Ordering::Relaxed);
        self.bucket.try_acquire_at(now).is_ok()
    }

    #[inline(always)]
    fn take_times<const ADDED: bool>(&self, times: u64, mut between: impl FnMut()) -> u64 {
        let mut now = self.now.load(Ordering::Relaxed);
        let given = count::<ADDED>(times, || {
            between();
            now += 10;
            black_box(&self.bucket).try_acquire_at(now).is_ok()
        });
        self.now.fetch_max(now, Ordering::Relaxed);
        given
    }
}

/// A lease for each thread, precise time where a batch is drawn.
pub(crate) struct Lease {
    bucket: TokenBucketRateLimiter,
    batch: u64,
    /// For the checks.
    handle: Mutex<LeaseHandle>,
}

impl Contender for Lease {
    fn new(quota: Quota) -> Self {
        let bucket = bucket(quota, |builder| builder);
        let batch = 256.min(quota.burst.into());
        let handle = Mutex::new(bucket.lease_handle(batch).expect("a batch that fits"));
        Self { bucket, batch, handle }
    }

    fn take(&self) -> bool {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).try_acquire().is_ok()
    }

    #[inline(always)]
    fn take_times<const ADDED: bool>(&self, times: u64, mut between: impl FnMut()) -> u64 {
        let mut lease = self.bucket.lease_handle(self.batch).expect("a batch that fits");
        count::<ADDED>(times, || {
            between();
            black_box(&mut lease).try_acquire().is_ok()
        })
    }
}
