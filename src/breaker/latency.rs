//! The latencies of a breaker's calls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::CircuitBreaker;
use crate::error::ConfigError;
use crate::stats::{HistogramConfig, LatencyHistogram, LatencyWindow, RecentLatency};

/// A histogram, and the window that its readers share. The lock is for them alone: recording knows nothing of it. The
/// histogram is read under it, so that each snapshot has all of the one before.
pub(super) struct Latencies {
    histogram: LatencyHistogram,
    window: Mutex<Shared>,
}

struct Shared {
    window: LatencyWindow,
    /// Whether its times are given by the caller. The breaker's own clock may count from elsewhere, so it then takes
    /// no snapshots by it.
    given: bool,
}

impl Latencies {
    /// Ten seconds in five buckets, unless the caller wants another window.
    pub(super) fn new(
        config: HistogramConfig,
        window: Option<(Duration, usize)>,
    ) -> Result<Self, ConfigError> {
        let (length, buckets) = window.unwrap_or((Duration::from_secs(10), 5));
        let window = Shared { window: LatencyWindow::new(length, buckets)?, given: false };
        Ok(Self { histogram: LatencyHistogram::new(config)?, window: Mutex::new(window) })
    }

    /// Counts a call that began at `started` and ended at `now`.
    #[inline]
    pub(super) fn record(&self, started: Option<u64>, now: u64) {
        if let Some(started) = started {
            self.histogram.record_nanos(now.saturating_sub(started));
        }
    }

    /// Takes a snapshot for the window if one is due at `now` by the breaker's clock, for those who sample all that
    /// there is.
    pub(super) fn sample_unless_given(&self, now: u64) -> bool {
        let mut shared = self.lock();
        !shared.given && shared.window.sample_at(&self.histogram, now)
    }

    /// The window, for a time that the caller gave or did not.
    fn window(&self, given: bool) -> MutexGuard<'_, Shared> {
        let mut shared = self.lock();
        if given && !shared.given {
            shared.given = true;
            shared.window.begin_anew();
        }
        shared
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sample(&self, now: u64, given: bool) -> bool {
        self.window(given).window.sample_at(&self.histogram, now)
    }

    fn recent(&self, now: u64, given: bool) -> RecentLatency {
        self.window(given).window.read_at(&self.histogram, now)
    }
}

/// Latencies, for breakers that were [built](crate::CircuitBreakerBuilder::latency) to keep them. Each of these is
/// `None`, or false, for all others.
impl CircuitBreaker {
    /// How long calls took since the breaker was built: all that ended with success or failure, probes and late
    /// results included, from admission to result. A call that was dropped without a result is in it if it counts
    /// as a failure; one that never ended is not.
    pub fn latency_histogram(&self) -> Option<&LatencyHistogram> {
        self.core.latency.as_deref().map(|latency| &latency.histogram)
    }

    /// How long the calls of the last stretch of time took, by the breaker's clock; see [`LatencyWindow`]. All
    /// readers of the breaker share its window and wait for each other, and never for a call.
    pub fn recent_latency(&self) -> Option<RecentLatency> {
        Some(self.core.latency.as_deref()?.recent(self.now(), false))
    }

    /// [`recent_latency`](Self::recent_latency) at `now`. Once a breaker was given a time for its window, all of its
    /// readers give one, and [`observe::sample_latencies`](crate::observe::sample_latencies) leaves it alone.
    pub fn recent_latency_at(&self, now: u64) -> Option<RecentLatency> {
        Some(self.core.latency.as_deref()?.recent(now, true))
    }

    /// Takes a snapshot for [`recent_latency`](Self::recent_latency) if the last one is a bucket old; whether it
    /// did. For a thread that has time and does not read; see
    /// [`observe::sample_latencies`](crate::observe::sample_latencies) for all breakers at once.
    pub fn sample_latency(&self) -> bool {
        self.core.latency.as_deref().is_some_and(|latency| latency.sample(self.now(), false))
    }

    /// [`sample_latency`](Self::sample_latency) at `now`; see [`recent_latency_at`](Self::recent_latency_at).
    pub fn sample_latency_at(&self, now: u64) -> bool {
        self.core.latency.as_deref().is_some_and(|latency| latency.sample(now, true))
    }
}
