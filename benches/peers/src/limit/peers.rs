//! The peers, each with the same rate and burst.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use better_bucket::{BucketConfig, BucketCore};
use governor::clock::QuantaUpkeepClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use super::contender::{Contender, Quota, count};

fn governor_quota(quota: Quota) -> governor::Quota {
    let burst = NonZeroU32::new(quota.burst).expect("a burst");
    governor::Quota::with_period(quota.period / quota.permits).expect("a period").allow_burst(burst)
}

/// `governor` with its default clock.
pub(crate) struct Governor(governor::DefaultDirectRateLimiter);

impl Contender for Governor {
    fn new(quota: Quota) -> Self {
        Self(governor::RateLimiter::direct(governor_quota(quota)))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.check().is_ok()
    }
}

type Upkept = governor::RateLimiter<
    NotKeyed,
    InMemoryState,
    QuantaUpkeepClock,
    NoOpMiddleware<<QuantaUpkeepClock as governor::clock::Clock>::Instant>,
>;

/// `governor` with the clock that a thread keeps, at the resolution of our coarse one.
pub(crate) struct GovernorUpkeep(Upkept);

impl Contender for GovernorUpkeep {
    fn new(quota: Quota) -> Self {
        // A process can have one.
        static CLOCK: OnceLock<QuantaUpkeepClock> = OnceLock::new();
        let clock = CLOCK.get_or_init(|| {
            QuantaUpkeepClock::from_interval(Duration::from_millis(1)).expect("a thread for the clock")
        });
        Self(Upkept::direct_with_clock(governor_quota(quota), clock.clone()))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.check().is_ok()
    }
}

fn leaky_bucket(quota: Quota, fair: bool) -> leaky_bucket::RateLimiter {
    // It refills in steps: of a permit, or of a millisecond where that is longer.
    let each = quota.period / quota.permits;
    let interval = each.max(Duration::from_millis(1));
    let refill = (interval.as_nanos() / each.as_nanos()) as usize;
    let burst = quota.burst as usize;
    leaky_bucket::RateLimiter::builder()
        .max(burst)
        .initial(burst)
        .refill(refill)
        .interval(interval)
        .fair(fair)
        .build()
}

/// `leaky-bucket` as it comes.
pub(crate) struct LeakyBucket(leaky_bucket::RateLimiter);

impl Contender for LeakyBucket {
    fn new(quota: Quota) -> Self {
        Self(leaky_bucket(quota, true))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.try_acquire(1)
    }
}

/// `leaky-bucket` without fairness, which has a shorter way to a permit that is there. Of two threads one is
/// refused whenever the other has taken the state out to look at it, however full the bucket: 1.1 refused most of
/// the calls of the columns of two threads.
pub(crate) struct LeakyBucketUnfair(leaky_bucket::RateLimiter);

impl Contender for LeakyBucketUnfair {
    const SHARED: bool = false;

    fn new(quota: Quota) -> Self {
        Self(leaky_bucket(quota, false))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.try_acquire(1)
    }
}

/// `ratelimit`.
pub(crate) struct Ratelimit(ratelimit::Ratelimiter);

impl Contender for Ratelimit {
    fn new(quota: Quota) -> Self {
        let burst = quota.burst.into();
        let builder = ratelimit::Ratelimiter::builder(quota.permits.into()).period(quota.period);
        Self(builder.max_tokens(burst).initial_available(burst).build().expect("a valid configuration"))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.try_wait().is_ok()
    }
}

fn better_bucket(quota: Quota) -> BucketConfig {
    BucketConfig::new(quota.burst, quota.permits, quota.period, quota.burst).expect("a valid configuration")
}

/// `better-bucket`.
pub(crate) struct BetterBucket(better_bucket::Bucket);

impl Contender for BetterBucket {
    fn new(quota: Quota) -> Self {
        Self(better_bucket::Bucket::from_config(better_bucket(quota)))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.0.try_acquire(1)
    }
}

/// `better-bucket` where the caller gives the time.
pub(crate) struct BetterBucketGiven {
    bucket: BucketCore,
    start: Instant,
    now: AtomicU64,
}

impl Contender for BetterBucketGiven {
    fn new(quota: Quota) -> Self {
        let bucket = BucketCore::new(better_bucket(quota), Duration::ZERO);
        Self { bucket, start: Instant::now(), now: AtomicU64::new(0) }
    }

    fn take(&self) -> bool {
        let now = self.start.elapsed();
        self.now.store(now.as_nanos() as u64, Ordering::Relaxed);
        self.bucket.try_acquire_at(1, now)
    }

    #[inline(always)]
    fn take_times<const ADDED: bool>(&self, times: u64, mut between: impl FnMut()) -> u64 {
        let mut now = Duration::from_nanos(self.now.load(Ordering::Relaxed));
        let given = count::<ADDED>(times, || {
            between();
            now += Duration::from_nanos(10);
            black_box(&self.bucket).try_acquire_at(1, now)
        });
        self.now.fetch_max(now.as_nanos() as u64, Ordering::Relaxed);
        given
    }
}
