//! The breaker's own paths, to be tracked from version to version: `cargo bench --bench breaker`.
//!
//! `gate.rs` holds them to budgets, `peers/` compares them with others.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::disallowed_methods, reason = "it measures: wall time")]

use std::hint::black_box;
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use fusewire::{
    CircuitBreaker, CircuitBreakerBuilder, Clock, DirtySet, EventQueue, ManualClock, WindowConfig,
};

fn breaker(configure: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    configure(CircuitBreaker::builder("bench")).build().expect("a valid configuration")
}

/// One clock for all: its thread should be as idle here as in a program.
fn coarse() -> Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| Clock::coarse(Duration::from_millis(1)).expect("a thread for the clock")).clone()
}

fn windowed(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    let window = WindowConfig::time(Duration::from_secs(10), 10);
    builder.window(window).failure_rate(0.5).minimum_calls(100)
}

fn count(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    builder.window(WindowConfig::count(1000, 10)).failure_rate(0.5).minimum_calls(100)
}

#[inline(always)]
fn success(breaker: &CircuitBreaker) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.success();
    }
}

#[inline(always)]
fn failure(breaker: &CircuitBreaker) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.failure();
    }
}

fn track(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    breaker: &CircuitBreaker,
    step: impl Fn(&CircuitBreaker),
) {
    group.bench_function(name, |bencher| bencher.iter(|| step(black_box(breaker))));
}

/// The same with `threads` threads on the one breaker; time per operation of each.
fn track_shared(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    threads: u32,
    breaker: &CircuitBreaker,
    step: impl Fn(&CircuitBreaker) + Sync,
) {
    let time = |iterations: u64| {
        let line = Barrier::new(threads as usize);
        let run = || {
            line.wait();
            let start = Instant::now();
            for _ in 0..iterations {
                step(black_box(breaker));
            }
            start.elapsed()
        };
        thread::scope(|scope| {
            let runs: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let total: Duration = runs.into_iter().map(|run| run.join().expect("no step panics")).sum();
            total / threads
        })
    };
    group.bench_function(name, |bencher| bencher.iter_custom(time));
}

fn closed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("closed");
    let dirty = DirtySet::new();
    track(&mut group, "success", &breaker(|builder| builder), success);
    track(
        &mut group,
        "success, coarse window",
        &breaker(|builder| windowed(builder).clock(coarse())),
        success,
    );
    track(&mut group, "success, precise window", &breaker(windowed), success);
    track(&mut group, "success, count window", &breaker(count), success);
    let slow = |builder| windowed(builder).slow_calls(Duration::from_secs(1), 0.5).clock(coarse());
    track(&mut group, "success, slow calls", &breaker(slow), success);
    track(&mut group, "success, dirty set", &breaker(|builder| builder.dirty_set(&dirty)), success);
    let call = |breaker: &CircuitBreaker| drop(black_box(breaker.call(|| Ok::<u32, ()>(black_box(1)))));
    track(&mut group, "call", &breaker(|builder| builder), call);
    let cancel = |breaker: &CircuitBreaker| drop(breaker.try_acquire());
    track(&mut group, "cancelled", &breaker(|builder| builder), cancel);
    track(&mut group, "failure", &breaker(|builder| builder.failure_threshold(u32::MAX)), failure);
    let never = |builder: CircuitBreakerBuilder| builder.failure_threshold(u32::MAX).clock(coarse());
    track(&mut group, "failure, coarse clock", &breaker(never), failure);
    let owned = |breaker: &CircuitBreaker| {
        if let Ok(permit) = breaker.try_acquire_owned() {
            permit.success();
        }
    };
    track(&mut group, "success, owned permit", &breaker(|builder| builder), owned);

    track_shared(&mut group, "success, two threads", 2, &breaker(|builder| builder), success);
    let coarsely = breaker(|builder| windowed(builder).clock(coarse()));
    track_shared(&mut group, "success, coarse window, two threads", 2, &coarsely, success);
}

/// What looking for hung calls costs, beside the same breaker without it.
fn hung(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("count_hung_after");
    let off = |builder: CircuitBreakerBuilder| builder.clock(coarse());
    let on = |builder: CircuitBreakerBuilder| off(builder).count_hung_after(Duration::from_mins(1));
    track(&mut group, "off", &breaker(off), success);
    track(&mut group, "on", &breaker(on), success);
    track_shared(&mut group, "off, two threads", 2, &breaker(off), success);
    track_shared(&mut group, "on, two threads", 2, &breaker(on), success);
    let outstanding = breaker(on);
    let held: Vec<_> = (0..1000).filter_map(|_| outstanding.try_acquire_owned().ok()).collect();
    track(&mut group, "on, a thousand calls out", &outstanding, success);
    drop(held);
}

fn refused(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refused");
    let open = |clock: Clock| {
        let hour = Duration::from_hours(1);
        let breaker = breaker(|builder| builder.failure_threshold(1).recovery_timeout(hour).clock(clock));
        failure(&breaker);
        breaker
    };
    let ask = |breaker: &CircuitBreaker| drop(black_box(breaker.try_acquire()));
    track(&mut group, "open, coarse clock", &open(coarse()), ask);
    track(&mut group, "open, precise clock", &open(Clock::precise()), ask);
    let call = |breaker: &CircuitBreaker| drop(black_box(breaker.call(|| Ok::<u32, ()>(1))));
    track(&mut group, "open, call", &open(coarse()), call);
    track_shared(&mut group, "open, coarse clock, two threads", 2, &open(coarse()), ask);

    let clock = ManualClock::new();
    let full = open(Clock::from(&clock));
    clock.advance(Duration::from_secs(3601));
    let probe = full.try_acquire_owned();
    track(&mut group, "half-open and full", &full, ask);
    drop(probe);
}

fn cold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cold");
    let clock = ManualClock::new();
    let events = EventQueue::new();
    let turning = breaker(|builder| {
        let builder =
            builder.failure_threshold(1).half_open_requests(1).recovery_timeout(Duration::from_secs(1));
        builder.clock(Clock::from(&clock)).events(&events)
    });
    group.bench_function("trip, probe, close", |bencher| {
        bencher.iter(|| {
            failure(&turning);
            clock.advance(Duration::from_secs(2));
            success(&turning);
            events.drain(|event| drop(black_box(event)))
        });
    });
    let seen = breaker(|builder| windowed(builder).clock(coarse()));
    group.bench_function("totals", |bencher| bencher.iter(|| black_box(&seen).totals()));
    group.bench_function("snapshot", |bencher| bencher.iter(|| black_box(&seen).snapshot()));
    let failing =
        breaker(|builder| windowed(builder).failure_threshold(None).minimum_calls(u32::MAX).clock(coarse()));
    track(&mut group, "failure that sums a window", &failing, failure);
}

criterion_group!(benches, closed, hung, refused, cold);
criterion_main!(benches);
