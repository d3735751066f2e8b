//! The histogram that calls record into.

use std::fmt;
use std::time::Duration;

use super::layout::{HistogramConfig, Layout};
use super::snapshot::HistogramSnapshot;
use crate::clock::nanos;
use crate::error::ConfigError;
use crate::tally::wide::WideTally;

/// A latency histogram that many threads record into at once.
///
/// It is cumulative: slots only grow, so the histogram of any stretch of time is the difference of two
/// [snapshots](HistogramSnapshot), and whoever reads disturbs nobody. Recording takes no lock, allocates nothing and
/// reads no clock: it finds the slot by a shift and adds one in the thread's own lane (see
/// [`stripes`](HistogramConfig::stripes)).
///
/// Breakers keep one for those who ask for it:
/// [`CircuitBreakerBuilder::latency`](crate::CircuitBreakerBuilder::latency).
///
/// ```
/// use fusewire::stats::{HistogramConfig, LatencyHistogram};
/// use std::time::Duration;
///
/// let latency = LatencyHistogram::new(HistogramConfig::new())?;
/// for micros in 1..=1000 {
///     latency.record(Duration::from_micros(micros));
/// }
/// let [p50, p99] = latency.snapshot().quantiles([0.5, 0.99]).expect("calls were recorded");
/// assert!(p50 >= Duration::from_micros(500) && p50 <= Duration::from_micros(508));
/// assert!(p99 >= Duration::from_micros(990) && p99 <= Duration::from_micros(1006));
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
pub struct LatencyHistogram {
    layout: Layout,
    tally: WideTally,
}

impl LatencyHistogram {
    /// An empty histogram.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn new(config: HistogramConfig) -> Result<Self, ConfigError> {
        let (layout, stripes) = config.checked()?;
        Ok(Self { layout, tally: WideTally::new(layout.slots(), stripes) })
    }

    /// Counts one call that took `latency`.
    #[inline]
    pub fn record(&self, latency: Duration) {
        self.record_nanos(nanos(latency));
    }

    /// As [`record`](Self::record), in nanoseconds.
    #[inline]
    pub fn record_nanos(&self, latency: u64) {
        self.tally.add(self.layout.slot(latency));
    }

    /// Everything recorded so far. Calls that are recorded meanwhile may or may not be in it; what one snapshot has,
    /// every later one has too.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut snapshot = self.blank();
        self.tally.read(snapshot.counts_mut());
        snapshot
    }

    /// As [`snapshot`](Self::snapshot) into one that is there, which is as good as new afterwards. It allocates only if
    /// that one has other slots.
    pub fn snapshot_into(&self, snapshot: &mut HistogramSnapshot) {
        if snapshot.layout() != self.layout {
            *snapshot = self.blank();
        }
        self.tally.read(snapshot.counts_mut());
    }

    /// A snapshot of nothing, with these slots.
    pub(super) fn blank(&self) -> HistogramSnapshot {
        HistogramSnapshot::empty(self.layout)
    }
}

impl fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyHistogram").field("slots", &self.layout.slots()).finish_non_exhaustive()
    }
}
