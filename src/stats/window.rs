//! The latencies of the last stretch of time, as the difference of two snapshots.

use std::collections::VecDeque;
use std::time::Duration;

use super::histogram::LatencyHistogram;
use super::snapshot::HistogramSnapshot;
use crate::clock::nanos;
use crate::error::ConfigError;

/// A sliding window over a [`LatencyHistogram`], kept by whoever reads it.
///
/// It holds snapshots of the past, at least a bucket (`length / buckets`) apart; what it shows is the histogram now less
/// the youngest of those that are `length` old. So it covers at least `length`, and at most one bucket and one interval
/// between samples more: sampled each half bucket, one and a half buckets. If nobody was there to sample, it reaches
/// back to the last snapshot that there is. [`covers`](RecentLatency::covers) says how far, and nothing is lost between
/// two readings.
///
/// Until somebody has sampled for `length`, it holds everything since the histogram was built.
///
/// Each reader has a window of its own, or shares the one that a breaker keeps
/// ([`CircuitBreaker::recent_latency`](crate::CircuitBreaker::recent_latency)). It holds `buckets + 1` snapshots of
/// 8 bytes a slot, and they are all that sampling allocates.
///
/// All its times are of one clock. One that lies more than `length` before the last sample begins the window anew.
///
/// ```
/// use fusewire::stats::{HistogramConfig, LatencyHistogram, LatencyWindow};
/// use std::time::Duration;
///
/// let latency = LatencyHistogram::new(HistogramConfig::new())?;
/// let mut window = LatencyWindow::new(Duration::from_secs(10), 5)?;
/// let second = 1_000_000_000;
///
/// latency.record(Duration::from_millis(900)); // a slow start
/// window.sample_at(&latency, second);
/// latency.record(Duration::from_millis(3));
///
/// let recent = window.read_at(&latency, 11 * second);
/// assert_eq!(recent.covers, Some(Duration::from_secs(10)));
/// assert!(recent.histogram.max() < Some(Duration::from_millis(4)));
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LatencyWindow {
    length: u64,
    /// The least between two marks, rounded up so that all of them together reach back a whole length.
    width: u64,
    buckets: usize,
    /// The oldest first.
    marks: VecDeque<Mark>,
    /// Whether marks have left: until then the histogram's empty beginning may be the base.
    begun: bool,
}

#[derive(Clone, Debug)]
struct Mark {
    at: u64,
    histogram: HistogramSnapshot,
}

/// What a window shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentLatency {
    /// The calls of the window.
    pub histogram: HistogramSnapshot,
    /// How long the window is; `None` as long as it holds everything since the histogram was built.
    pub covers: Option<Duration>,
}

impl LatencyWindow {
    /// A window of about `length`, more than zero, in 1 to 1024 `buckets`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting outside its range.
    pub fn new(length: Duration, buckets: usize) -> Result<Self, ConfigError> {
        if !(1..=1024).contains(&buckets) {
            return Err(ConfigError::new("latency_window.buckets", buckets, "1 to 1024"));
        }
        let nanos = nanos(length);
        if nanos < buckets as u64 || nanos == u64::MAX {
            let allowed = "at least a nanosecond a bucket, at most 584 years";
            return Err(ConfigError::new("latency_window.length", length, allowed));
        }
        Ok(Self {
            length: nanos,
            width: nanos.div_ceil(buckets as u64),
            buckets,
            marks: VecDeque::new(),
            begun: false,
        })
    }

    /// Takes a snapshot of `histogram` if the last one is a bucket old at `now`, in nanoseconds; whether it did.
    /// Times that go back a little take none. A window is for one histogram.
    pub fn sample_at(&mut self, histogram: &LatencyHistogram, now: u64) -> bool {
        let due = self.is_due(now);
        if due {
            self.mark(now, histogram, |mark| histogram.snapshot_into(mark));
        }
        due
    }

    /// The window that ends at `now`. Samples as [`sample_at`](Self::sample_at) does, so that a lone reader needs
    /// nobody else.
    pub fn read_at(&mut self, histogram: &LatencyHistogram, now: u64) -> RecentLatency {
        let present = histogram.snapshot();
        if self.is_due(now) {
            self.mark(now, histogram, |mark| mark.copy_from(&present));
        }
        let start = now.checked_sub(self.length);
        let base = self.marks.iter().rev().find(|mark| start.is_some_and(|start| mark.at <= start));
        // Before a window's length has passed there is none; once marks have left, the oldest one is the best.
        let base = base.or(if self.begun { self.marks.front() } else { None });
        let Some(base) = base else { return RecentLatency { histogram: present, covers: None } };
        let covers = Some(Duration::from_nanos(now.saturating_sub(base.at)));
        if let Ok(histogram) = present.since(&base.histogram) {
            return RecentLatency { histogram, covers };
        }
        // Another histogram than before, of other slots: its window begins anew.
        self.begin_anew();
        RecentLatency { histogram: histogram.snapshot(), covers: None }
    }

    /// Whether the last mark is a bucket old. Marks that lie more than a window ahead are of another time and go.
    fn is_due(&mut self, now: u64) -> bool {
        if self.marks.back().is_some_and(|last| last.at.saturating_sub(now) > self.length) {
            self.begin_anew();
        }
        self.marks.back().is_none_or(|last| now.saturating_sub(last.at) >= self.width)
    }

    /// Forgets all snapshots, as if nobody had looked yet.
    pub(crate) fn begin_anew(&mut self) {
        self.marks.clear();
        self.begun = false;
    }

    /// Keeps what `take` writes, in the memory of the oldest snapshot once there are enough.
    fn mark(&mut self, now: u64, histogram: &LatencyHistogram, take: impl FnOnce(&mut HistogramSnapshot)) {
        self.begun |= self.marks.len() > self.buckets;
        let oldest = if self.marks.len() > self.buckets { self.marks.pop_front() } else { None };
        let mut snapshot = oldest.map_or_else(|| histogram.blank(), |mark| mark.histogram);
        take(&mut snapshot);
        self.marks.push_back(Mark { at: now, histogram: snapshot });
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;
    use crate::stats::HistogramConfig;

    fn histogram() -> LatencyHistogram {
        LatencyHistogram::new(HistogramConfig::new().precision(8).stripes(1)).expect("valid")
    }

    fn window(length: u64, buckets: usize) -> LatencyWindow {
        LatencyWindow::new(Duration::from_nanos(length), buckets).expect("valid")
    }

    fn shown(recent: &RecentLatency) -> (u64, Option<u64>) {
        (recent.histogram.count(), recent.covers.map(nanos))
    }

    #[test]
    fn it_covers_its_length_to_one_bucket_more_when_sampled() {
        let (histogram, mut window) = (histogram(), window(100, 5));
        // One call at each of these times, so the count tells the window's beginning.
        for now in 0..1_000_u64 {
            histogram.record_nanos(1);
            let recent = window.read_at(&histogram, now);
            match recent.covers {
                None => assert_eq!((recent.histogram.count(), now < 100), (now + 1, true)),
                Some(covers) => {
                    let covers = nanos(covers);
                    assert!((100..120).contains(&covers), "{covers} at {now}");
                    assert_eq!(recent.histogram.count(), covers);
                }
            }
        }
    }

    #[test]
    fn a_reader_who_comes_seldom_misses_nothing() {
        let (histogram, mut window) = (histogram(), window(100, 2));
        let mut seen = 0;
        for now in (0..100_000).step_by(1_000) {
            histogram.record_nanos(now);
            seen += window.read_at(&histogram, now).histogram.count();
        }
        assert_eq!(seen, 100);
        histogram.record_nanos(1);
        assert_eq!(shown(&window.read_at(&histogram, 99_010)), (2, Some(1_010)));
    }

    #[test]
    fn time_that_goes_back_marks_nothing_and_loses_nothing() {
        let (histogram, mut window) = (histogram(), window(100, 1));
        assert!(window.sample_at(&histogram, 1_000));
        histogram.record_nanos(1);
        assert!(!window.sample_at(&histogram, 950));
        assert_eq!(shown(&window.read_at(&histogram, 950)), (1, None));
        assert!(!window.sample_at(&histogram, 1_099));
        assert!(window.sample_at(&histogram, 1_100));
        assert_eq!(shown(&window.read_at(&histogram, u64::MAX)), (0, Some(u64::MAX - 1_100)));
        // That was a wild time: the next true one begins anew, and the window is right again after its length.
        histogram.record_nanos(1);
        assert_eq!(shown(&window.read_at(&histogram, 2_000)), (2, None));
        assert_eq!(shown(&window.read_at(&histogram, 2_100)), (0, Some(100)));
    }

    #[test]
    fn it_never_covers_less_than_its_length() {
        for (length, buckets) in [(1_999, 1_000), (100, 3), (100, 7), (10, 10)] {
            let (histogram, mut window) = (histogram(), window(length, buckets));
            for now in 0..5 * length {
                let covers = window.read_at(&histogram, now).covers.map(nanos);
                assert!(covers.is_none_or(|covers| covers >= length), "{covers:?} of {length} in {buckets}");
            }
        }
    }

    #[test]
    fn another_histogram_begins_anew() {
        let (one, mut window) = (histogram(), window(10, 1));
        window.sample_at(&one, 0);
        for now in 1..10 {
            window.sample_at(&one, 10 * now);
        }
        let other = LatencyHistogram::new(HistogramConfig::new().precision(16)).expect("valid");
        other.record_nanos(1);
        assert_eq!(shown(&window.read_at(&other, 5_000)), (1, None));
        assert_eq!(shown(&window.read_at(&other, 5_001)), (1, None));
        assert_eq!(shown(&window.read_at(&other, 10_000)), (0, Some(4_999)));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |length, buckets| {
            let error = LatencyWindow::new(length, buckets).expect_err("out of range");
            error.field().to_owned()
        };
        let second = Duration::from_secs(1);
        assert_eq!(refused(second, 0), "latency_window.buckets");
        assert_eq!(refused(second, 1025), "latency_window.buckets");
        assert_eq!(refused(Duration::ZERO, 1), "latency_window.length");
        assert_eq!(refused(Duration::from_nanos(9), 10), "latency_window.length");
        assert_eq!(refused(Duration::MAX, 10), "latency_window.length");
    }
}
