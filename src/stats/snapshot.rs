//! A histogram at one moment, or of a stretch of time: plain data, and what can be read from it.

use std::fmt;
use std::time::Duration;

use super::layout::{Layout, LayoutMismatch};
use crate::clock::nanos;
use crate::simd::Kernels;

/// Latencies counted by slot.
///
/// A plain value: it belongs to whoever took it. The work on it (differences, merges, percentiles) is vectorised where
/// that pays; see [`simd`](crate::simd).
///
/// ```
/// use fusewire::stats::{HistogramConfig, LatencyHistogram};
/// use std::time::Duration;
///
/// let latency = LatencyHistogram::new(HistogramConfig::new())?;
/// latency.record(Duration::from_millis(3));
/// let before = latency.snapshot();
/// latency.record(Duration::from_millis(7));
///
/// let lately = latency.snapshot().since(&before)?;
/// assert_eq!(lately.count(), 1);
/// assert_eq!(lately.share_above(Duration::from_millis(5)), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    layout: Layout,
    counts: Box<[u64]>,
}

/// Some calls whose latencies are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// The shortest latency that is counted here.
    pub lowest: Duration,
    /// The longest one; [`Duration::MAX`] for calls out of range.
    pub highest: Duration,
    /// How many calls.
    pub count: u64,
}

impl HistogramSnapshot {
    pub(super) fn empty(layout: Layout) -> Self {
        Self { layout, counts: vec![0; layout.slots()].into() }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn counts_mut(&mut self) -> &mut [u64] {
        &mut self.counts
    }

    /// Takes over the counts of another one.
    pub(super) fn copy_from(&mut self, other: &Self) {
        if self.layout == other.layout {
            self.counts.copy_from_slice(&other.counts);
        } else {
            self.clone_from(other);
        }
    }

    /// How many calls there are.
    pub fn count(&self) -> u64 {
        Kernels::detect().total(&self.counts)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Calls that took longer than the histogram tells apart, which is at least its `max`. They stand for the longest time that it does tell
    /// apart in percentiles, mean and maximum, which are then less than the true ones.
    pub fn out_of_range(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    /// The latency that a share `q` of the calls does not exceed; `None` without calls. See
    /// [`quantiles`](Self::quantiles).
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.quantiles([q]).map(|[latency]| latency)
    }

    /// The latencies that these shares of the calls do not exceed, all found in one pass; `None` without calls.
    ///
    /// A share is from 0, the shortest call, to 1, the longest; what is outside is taken for the nearer end, and not a
    /// number for 0. In any order. Each latency is the longest of its slot: at least the true one, and above it by
    /// no more than the [precision](super::HistogramConfig) or one step of the resolution.
    pub fn quantiles<const N: usize>(&self, q: [f64; N]) -> Option<[Duration; N]> {
        let kernels = Kernels::detect();
        let count = kernels.total(&self.counts);
        if count == 0 {
            return None;
        }
        let rank = |q: f64| {
            if q >= 1.0 {
                return count;
            }
            let product = q.max(0.0) * count as f64;
            // One that is whole but for its rounding is not rounded up: 0.28 of 75 calls are 21.
            let rounding = (product * 2.0 * f64::EPSILON).min(0.5);
            ((product - rounding).ceil() as u64).clamp(1, count)
        };
        let mut order: [usize; N] = std::array::from_fn(|i| i);
        let ranks = q.map(rank);
        order.sort_unstable_by_key(|i| ranks[*i]);
        let mut slots = [0; N];
        kernels.ranks(&self.counts, &order.map(|i| ranks[i]), &mut slots);
        let mut latencies = [Duration::ZERO; N];
        for (i, slot) in order.into_iter().zip(slots) {
            latencies[i] = self.longest(slot);
        }
        Some(latencies)
    }

    /// The shortest latency of the first slot in use, so at most the true minimum; `None` without calls.
    pub fn min(&self) -> Option<Duration> {
        let slot = self.counts.iter().position(|count| *count != 0)?;
        Some(Duration::from_nanos(self.layout.lowest(slot)))
    }

    /// The longest latency of the last slot in use, so at least the true maximum; `None` without calls.
    pub fn max(&self) -> Option<Duration> {
        let slot = self.counts.iter().rposition(|count| *count != 0)?;
        Some(self.longest(slot))
    }

    /// The mean, to half a slot: each call counts as the middle of its slot. `None` without calls.
    pub fn mean(&self) -> Option<Duration> {
        let count = self.count();
        let middle = |slot: usize| {
            let highest = self.layout.highest(slot).min(self.layout.limit());
            let lowest = self.layout.lowest(slot).min(highest);
            f64::midpoint(lowest as f64, highest as f64)
        };
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count != 0);
        let sum: f64 = used.map(|(slot, count)| *count as f64 * middle(slot)).sum();
        (count != 0).then(|| Duration::from_nanos((sum / count as f64).round() as u64))
    }

    /// The share of calls that took longer than `threshold`, 0 to 1; 0 without calls. Calls in the slot of the
    /// threshold itself count as not longer; so do those [out of range](Self::out_of_range) if the threshold is out of
    /// range too.
    pub fn share_above(&self, threshold: Duration) -> f64 {
        let kernels = Kernels::detect();
        let above = self.layout.slot(nanos(threshold)) + 1;
        let count = kernels.total(&self.counts);
        let above = kernels.total(self.counts.get(above..).unwrap_or_default());
        if count == 0 { 0.0 } else { above as f64 / count as f64 }
    }

    /// The slots in use, the shortest first.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count != 0);
        used.map(|(slot, count)| {
            let last = slot + 1 == self.counts.len();
            Slot {
                lowest: Duration::from_nanos(self.layout.lowest(slot)),
                highest: if last { Duration::MAX } else { self.longest(slot) },
                count: *count,
            }
        })
    }

    /// What was recorded after `earlier` was taken of the same histogram. What is given of two histograms has no
    /// meaning, but is not an error.
    ///
    /// # Errors
    ///
    /// [`LayoutMismatch`] when the two have different slots.
    pub fn since(mut self, earlier: &Self) -> Result<Self, LayoutMismatch> {
        self.matches(earlier)?;
        Kernels::detect().difference(&mut self.counts, &earlier.counts);
        Ok(self)
    }

    /// Adds the calls of another one: of a second breaker, or of the next stretch of time. Each slot counts modulo
    /// 2^64.
    ///
    /// # Errors
    ///
    /// [`LayoutMismatch`] when the two have different slots; nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), LayoutMismatch> {
        self.matches(other)?;
        Kernels::detect().merge(&mut self.counts, &other.counts);
        Ok(())
    }

    /// Adds the calls of many others in one pass, as [`merge`](Self::merge) does of each.
    ///
    /// # Errors
    ///
    /// [`LayoutMismatch`] when one of them has different slots; nothing is added.
    pub fn merge_all(&mut self, others: &[&Self]) -> Result<(), LayoutMismatch> {
        for other in others {
            self.matches(other)?;
        }
        let rows: Vec<&[u64]> = others.iter().map(|other| &*other.counts).collect();
        Kernels::detect().merge_rows(&mut self.counts, &rows);
        Ok(())
    }

    fn matches(&self, other: &Self) -> Result<(), LayoutMismatch> {
        if self.layout == other.layout {
            Ok(())
        } else {
            Err(LayoutMismatch { one: self.layout, other: other.layout })
        }
    }

    /// The longest latency of a slot that can be told.
    fn longest(&self, slot: usize) -> Duration {
        let limit = self.layout.limit();
        Duration::from_nanos(if slot + 1 < self.counts.len() { self.layout.highest(slot) } else { limit })
    }
}

impl fmt::Debug for HistogramSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistogramSnapshot")
            .field("count", &self.count())
            .field("quantiles", &self.quantiles([0.5, 0.99, 1.0]))
            .finish_non_exhaustive()
    }
}
