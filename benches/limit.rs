//! The limiter's own paths, to be tracked from version to version: `cargo bench --bench limit`.
//!
//! `gate.rs` holds them to budgets, `peers/` compares them with others.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::disallowed_methods, reason = "it measures: wall time")]

use std::hint::black_box;
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use fusewire::{Clock, Limiter, TokenBucketRateLimiter};

/// One clock for all: its thread should be as idle here as in a program.
fn coarse() -> Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| Clock::coarse(Duration::from_millis(1)).expect("a thread for the clock")).clone()
}

/// A bucket that nobody here can empty.
fn plenty(clock: Clock) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("bench").rate(1e9).capacity(1_000_000_000);
    builder.clock(clock).build().expect("a valid configuration")
}

/// A bucket that is empty, and stays so for an hour.
fn spent(clock: Clock) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("bench").rate(1.0 / 3600.0).capacity(1);
    let bucket = builder.clock(clock).build().expect("a valid configuration");
    bucket.try_acquire().expect("the first token");
    bucket
}

/// Goes one way or the other, as callers do.
#[inline(always)]
fn ask(bucket: &TokenBucketRateLimiter) {
    if bucket.try_acquire().is_ok() {
        black_box(());
    }
}

fn track(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bucket: &TokenBucketRateLimiter,
    step: impl Fn(&TokenBucketRateLimiter),
) {
    group.bench_function(name, |bencher| bencher.iter(|| step(black_box(bucket))));
}

/// The same at times that the caller has, ten nanoseconds apart.
fn track_at(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bucket: &TokenBucketRateLimiter,
    step: impl Fn(&TokenBucketRateLimiter, u64),
) {
    let mut now = bucket.now();
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            now += 10;
            step(black_box(bucket), now);
        });
    });
}

/// Two threads, each with its own `run` of so many steps; time per step of each.
fn track_shared(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, run: impl Fn(u64) + Sync) {
    let time = |iterations: u64| {
        let line = Barrier::new(2);
        let timed = || {
            line.wait();
            let start = Instant::now();
            run(iterations);
            start.elapsed()
        };
        thread::scope(|scope| {
            let runs = [scope.spawn(timed), scope.spawn(timed)];
            runs.into_iter().map(|run| run.join().expect("no step panics")).sum::<Duration>() / 2
        })
    };
    group.bench_function(name, |bencher| bencher.iter_custom(time));
}

fn allowed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bucket");
    track(&mut group, "precise clock", &plenty(Clock::precise()), ask);
    track(&mut group, "coarse clock", &plenty(coarse()), ask);
    track_at(&mut group, "given time", &plenty(Clock::precise()), |bucket, now| {
        if bucket.try_acquire_at(now).is_ok() {
            black_box(());
        }
    });
    let retuned = plenty(coarse());
    retuned.reconfigure(1e9, 1_000_000_000).expect("valid terms");
    track(&mut group, "coarse clock, reconfigured", &retuned, ask);
    track(&mut group, "three tokens", &plenty(coarse()), |bucket| {
        if bucket.try_acquire_n(black_box(3)).is_ok() {
            black_box(());
        }
    });
    let shared = plenty(coarse());
    track_shared(&mut group, "coarse clock, two threads", |times| {
        (0..times).for_each(|_| ask(black_box(&shared)));
    });
}

fn refused(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bucket refuses");
    track(&mut group, "precise clock", &spent(Clock::precise()), ask);
    track(&mut group, "coarse clock", &spent(coarse()), ask);
    track_at(&mut group, "given time", &spent(Clock::precise()), |bucket, now| {
        if bucket.try_acquire_at(now).is_ok() {
            black_box(());
        }
    });
    track(&mut group, "coarse clock, error read", &spent(coarse()), |bucket| {
        let _ = black_box(bucket.try_acquire());
    });
    let shared = spent(coarse());
    track_shared(&mut group, "coarse clock, two threads", |times| {
        (0..times).for_each(|_| ask(black_box(&shared)));
    });
}

fn lease(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lease of 256");
    let spend = |bucket: &TokenBucketRateLimiter, hold: Option<Duration>, times: u64| {
        let lease = bucket.lease_handle(256).expect("a batch that fits");
        let mut lease = if let Some(hold) = hold { lease.max_hold(hold) } else { lease };
        for _ in 0..times {
            if black_box(&mut lease).try_acquire().is_ok() {
                black_box(());
            }
        }
    };
    let bucket = plenty(coarse());
    let time = |hold: Option<Duration>| {
        let bucket = &bucket;
        move |times: u64| {
            let start = Instant::now();
            spend(bucket, hold, times);
            start.elapsed()
        }
    };
    group.bench_function("spend", |bencher| bencher.iter_custom(time(None)));
    let second = Some(Duration::from_secs(1));
    group.bench_function("spend, max_hold, coarse clock", |bencher| bencher.iter_custom(time(second)));
    track_shared(&mut group, "spend, two threads", |times| spend(&bucket, None, times));
}

fn cold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limiter, cold");
    let bucket = plenty(coarse());
    group.bench_function("remaining", |bencher| bencher.iter(|| black_box(&bucket).remaining()));
    track(&mut group, "peek", &bucket, |bucket| {
        let _ = black_box(bucket.peek(1));
    });
    track(&mut group, "totals", &bucket, |bucket| {
        black_box(bucket.totals());
    });
}

criterion_group!(benches, allowed, refused, lease, cold);
criterion_main!(benches);
