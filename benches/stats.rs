//! Latency statistics, to be tracked from version to version: `cargo bench --bench stats`.
//!
//! Recording, and reading end to end: what a reader waits for, and how much of it is gathering from the counters that
//! threads share. The kernels by themselves are in `kernels.rs`.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use fusewire::stats::{HistogramConfig, LatencyHistogram, LatencyWindow};
use fusewire::{BreakerScan, CircuitBreaker, CircuitBreakerBuilder, ManualClock};

fn breaker(configure: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    configure(CircuitBreaker::builder("bench")).build().expect("a valid configuration")
}

/// A histogram that has seen latencies of all lengths up to a second.
fn filled(config: HistogramConfig) -> LatencyHistogram {
    let histogram = LatencyHistogram::new(config).expect("a valid configuration");
    let mut bits = 1_u64;
    for _ in 0..100_000 {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        histogram.record_nanos(bits >> (34 + bits % 24));
    }
    histogram
}

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let histogram = filled(HistogramConfig::new());
    let mut latency = 1_u64;
    group.bench_function("histogram", |bencher| {
        bencher.iter(|| {
            latency = latency.wrapping_mul(5) & 0xFFFF_FFFF | 1;
            black_box(&histogram).record_nanos(latency);
        });
    });
    let clock = ManualClock::new();
    let with = breaker(|builder| builder.clock(&clock).latency(HistogramConfig::new()));
    // The same but for the histogram: it reads the same clock as often.
    let without = breaker(|builder| {
        let never = Duration::from_hours(1);
        builder.clock(&clock).slow_calls(never, 1.0).minimum_calls(1_000_000)
    });
    for (name, breaker) in [("success, timed, with latency", with), ("success, timed", without)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                if let Ok(permit) = black_box(&breaker).try_acquire() {
                    permit.success();
                }
            });
        });
    }
    group.finish();
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for stripes in [1, 5, 33] {
        let histogram = filled(HistogramConfig::new().stripes(stripes));
        let mut snapshot = histogram.snapshot();
        group.bench_function(format!("snapshot of {stripes} stripes"), |bencher| {
            bencher.iter(|| black_box(&histogram).snapshot_into(&mut snapshot));
        });
        let mut window = LatencyWindow::new(Duration::from_secs(10), 5).expect("a valid window");
        let mut now = 0;
        group.bench_function(format!("window and five quantiles, {stripes} stripes"), |bencher| {
            bencher.iter(|| {
                now += 1_000_000_000;
                let recent = window.read_at(black_box(&histogram), now);
                recent.histogram.quantiles([0.5, 0.9, 0.99, 0.999, 1.0])
            });
        });
    }
    let snapshot = filled(HistogramConfig::new()).snapshot();
    group.bench_function("five quantiles of a snapshot", |bencher| {
        bencher.iter(|| black_box(&snapshot).quantiles([0.5, 0.9, 0.99, 0.999, 1.0]));
    });
    group.bench_function("mean of a snapshot", |bencher| bencher.iter(|| black_box(&snapshot).mean()));
    group.finish();
}

fn scanning(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    for count in [100, 10_000] {
        let breakers: Vec<_> = (0..count).map(|_| breaker(|builder| builder.stripes(1))).collect();
        let mut scan = BreakerScan::new();
        group.bench_function(format!("{count} breakers"), |bencher| {
            bencher.iter(|| {
                scan.read(black_box(&breakers));
                scan.states()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = recording, reading, scanning
}
criterion_main!(benches);
