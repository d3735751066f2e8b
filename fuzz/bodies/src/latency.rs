//! Latency histograms and windows over them, against a list of every latency.

use std::time::Duration;

use fusewire::stats::{HistogramConfig, HistogramSnapshot, LatencyHistogram, LatencyWindow};

use crate::input::Input;

const MOST_OPERATIONS: usize = 300;

/// What the settings promise.
struct Promise {
    precision: u64,
    resolution: u64,
    max: u64,
}

impl Promise {
    /// Whether a latency of `exact` may be shown as `shown`: at least itself, and at most a step more. Beyond the
    /// greatest latency the shown one may be any that is at least that.
    fn allows(&self, exact: u64, shown: u64) -> bool {
        let step = (exact / self.precision).max(self.resolution - 1);
        let above = shown >= exact && shown <= exact.saturating_add(step);
        above || exact > self.max && shown >= self.max && shown <= exact
    }
}

/// Records, samples and reads at times that mostly grow, and compares everything that a snapshot tells.
///
/// # Panics
///
/// Where the engine differs from the list.
pub fn latency(bytes: &[u8]) {
    let input = &mut Input::new(bytes);
    let precision = input.pick(&[8_u32, 16, 32, 64, 128, 1024]);
    let resolution = input.pick(&[1_u64, 3, 1_000, 1_000_000]);
    let max =
        input.pick(&[20_000_u64, 1_000_000_000, 33_000_000_000, 86_400_000_000_000]).max(resolution + 1);
    let length = (input.number() % 1_000_000).max(1);
    let buckets = input.below(6) + 1;
    let config = HistogramConfig::new()
        .precision(precision)
        .resolution(Duration::from_nanos(resolution))
        .max(Duration::from_nanos(max))
        .stripes(1 + input.below(2));
    let histogram = LatencyHistogram::new(config).expect("settings in range");
    let promise = Promise { precision: precision.into(), resolution, max };
    let length = length.max(buckets as u64);
    let mut window = LatencyWindow::new(Duration::from_nanos(length), buckets).expect("settings in range");
    // The twin: every latency in the order of recording, and how many there were at each mark.
    let mut all: Vec<u64> = Vec::new();
    let mut marks: Vec<(u64, usize)> = Vec::new();
    let mut now = input.pick(&[0, 5, 1 << 40, u64::MAX - 10_000]);

    let mut steady = true;
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { break };
        match kind % 8 {
            0..=3 => {
                let latency = input.number();
                for _ in 0..=kind / 8 % 4 {
                    histogram.record_nanos(latency);
                    all.push(latency);
                }
            }
            4 => now = now.saturating_add(input.number() % (2 * length)),
            5 => {
                let back = input.number() % (3 * length);
                steady &= back == 0;
                now = now.saturating_sub(back);
            }
            6 => {
                let due = is_due(&mut marks, now, length, buckets);
                assert_eq!(window.sample_at(&histogram, now), due);
                if due {
                    marks.push((now, all.len()));
                }
            }
            _ => {
                if is_due(&mut marks, now, length, buckets) {
                    marks.push((now, all.len()));
                }
                let recent = window.read_at(&histogram, now);
                let kept = marks.len().saturating_sub(buckets + 1);
                let old = |at: u64| now >= at && now - at >= length;
                let base = marks[kept..].iter().rev().find(|(at, _)| old(*at));
                let base = base.or(if kept > 0 { marks.get(kept) } else { None });
                let covers = base.map(|(at, _)| Duration::from_nanos(now.saturating_sub(*at)));
                assert_eq!(recent.covers, covers, "at {now}, marks {marks:?}");
                let whole = covers.is_none_or(|covers| covers.as_nanos() >= length.into());
                assert!(whole || !steady, "{covers:?} of {length}");
                compare(&recent.histogram, &all[base.map_or(0, |(_, seen)| *seen)..], &promise, input);
            }
        }
    }
    compare(&histogram.snapshot(), &all, &promise, input);
    let mut twice = histogram.snapshot();
    twice.merge(&histogram.snapshot()).expect("the same slots");
    assert_eq!(twice.count(), 2 * all.len() as u64);
    let mut three = histogram.snapshot();
    three
        .merge_all(&[&three.clone(), &twice.clone().since(&three).expect("the same slots")])
        .expect("the same slots");
    assert_eq!(three.count(), 3 * all.len() as u64);
    assert_eq!(twice.since(&histogram.snapshot()).expect("the same slots"), histogram.snapshot());
}

/// Whether a mark is to be made. Marks of more than a length ahead are forgotten.
fn is_due(marks: &mut Vec<(u64, usize)>, now: u64, length: u64, buckets: usize) -> bool {
    if marks.last().is_some_and(|(at, _)| *at > now && at - now > length) {
        marks.clear();
    }
    marks.last().is_none_or(|(at, _)| now.saturating_sub(*at) >= length.div_ceil(buckets as u64))
}

fn compare(shown: &HistogramSnapshot, latencies: &[u64], promise: &Promise, input: &mut Input<'_>) {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as u64;
    assert_eq!(shown.count(), n);
    assert_eq!(shown.is_empty(), n == 0);
    let [Some(&first), Some(&last)] = [sorted.first(), sorted.last()] else {
        assert_eq!((shown.min(), shown.max(), shown.mean()), (None, None, None));
        assert_eq!(shown.quantiles([0.5, 0.1]), None);
        assert!(shown.share_above(Duration::ZERO).abs() < 1e-12);
        return;
    };
    let nanos = |latency: Duration| u64::try_from(latency.as_nanos()).expect("of 64 bits");

    // Shares of a thousandth, so that the rank is exact; in any order, one of them twice.
    let thousandths = [u64::from(input.byte()) * 4 % 1001, 999, 0, 1000, 500, 500, 990];
    let quantiles = shown.quantiles(thousandths.map(|share| share as f64 / 1000.0)).expect("not empty");
    for (share, quantile) in thousandths.into_iter().zip(quantiles) {
        let rank = (share * n).div_ceil(1000).max(1);
        let exact = sorted[rank as usize - 1];
        assert!(promise.allows(exact, nanos(quantile)), "{share} of {n}: {exact} is shown as {quantile:?}");
    }
    assert!(promise.allows(last, nanos(shown.max().expect("not empty"))), "{last} is the greatest");
    let min = nanos(shown.min().expect("not empty"));
    assert!(min <= first, "{first} is the least, not {min}");

    let told = sorted.partition_point(|latency| *latency <= promise.max);
    assert!(shown.out_of_range() <= n - told as u64, "{} of {n}", shown.out_of_range());
    if told == sorted.len() {
        let exact = sorted.iter().map(|latency| *latency as f64).sum::<f64>() / n as f64;
        let mean = nanos(shown.mean().expect("not empty")) as f64;
        let most = exact / promise.precision as f64 / 2.0 + promise.resolution as f64 / 2.0 + 1.0;
        assert!((mean - exact).abs() <= most, "a mean of {exact} is shown as {mean}");
    }
    // A threshold: whoever took less is never above it, whoever took a step more always.
    let threshold = input.number();
    let share = shown.share_above(Duration::from_nanos(threshold)) * n as f64;
    let above = n - sorted.partition_point(|latency| *latency <= threshold) as u64;
    let step = (threshold / promise.precision).max(promise.resolution);
    let surely = n - sorted.partition_point(|latency| *latency <= threshold.saturating_add(step)) as u64;
    assert!(share <= above as f64 + 1e-6, "{share} of {n} above {threshold}, not {above}");
    if threshold.saturating_add(step) < promise.max {
        assert!(share >= surely as f64 - 1e-6, "{share} of {n} above {threshold}, not {surely}");
    }
    let slots: Vec<_> = shown.slots().collect();
    assert_eq!(slots.iter().map(|slot| slot.count).sum::<u64>(), n);
    assert!(slots.is_sorted_by(|a, b| a.highest < b.lowest));
}
