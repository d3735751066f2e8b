//! The gate: every hot path of breakers, limiters and retries beside the machine's primitives, held to the budgets
//! of `gate.toml`.
//!
//! `cargo bench --bench gate` prints one table and writes `target/gate.json`. It exits with 1 if a path is over budget
//! and with 2 if the machine is too noisy to say. `-- closed` after it measures only paths with that in their names.
//! docs/perf-gating.md says how it judges.
#![allow(clippy::disallowed_methods, reason = "it measures: wall time")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fusewire::stats::{HistogramConfig, LatencyHistogram};
use fusewire::{
    CircuitBreaker, CircuitBreakerBuilder, Clock, DirtySet, Limiter, LimiterTotals, Retry, RetryConfig,
    TokenBucketRateLimiter, Totals, WindowConfig, retry,
};
use fusewire_harness::{Gate, HotPath};

fn main() -> ExitCode {
    let paths = || hot_paths().into_iter().chain(limiter_paths()).chain(retries());
    // `CARGO_TARGET_TMPDIR` is a folder in the folder of builds, wherever that is.
    Gate::new(include_str!("gate.toml"), paths)
        .json(concat!(env!("CARGO_TARGET_TMPDIR"), "/../gate.json"))
        .main()
}

fn breaker(configure: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    configure(CircuitBreaker::builder("gate")).build().expect("a valid configuration")
}

/// One clock for all: its thread should be as idle here as in a program.
fn coarse() -> Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| Clock::coarse(Duration::from_millis(1)).expect("a thread for the clock")).clone()
}

/// Ten seconds in ten buckets.
fn windowed(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    let window = WindowConfig::time(Duration::from_secs(10), 10);
    builder.window(window).failure_rate(0.5).minimum_calls(100).clock(coarse())
}

/// Hung calls are looked for after a time that no call here takes.
fn hung(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    builder.clock(coarse()).count_hung_after(Duration::from_mins(1))
}

/// A path on one breaker. A number for a path that does not count its calls would be worth nothing.
fn on(
    name: &str,
    breaker: CircuitBreaker,
    counted: fn(&Totals) -> u64,
    operation: impl Fn(&CircuitBreaker) + Send + Sync + 'static,
) -> HotPath {
    let totals = breaker.clone();
    let path = HotPath::new(name, move || operation(&breaker));
    let before = counted(&totals.totals());
    path.run(1000);
    assert_eq!(counted(&totals.totals()) - before, 1000, "{name} does not count every call");
    path
}

fn success(name: &str, breaker: CircuitBreaker) -> HotPath {
    on(
        name,
        breaker,
        |totals| totals.success,
        |breaker| {
            if let Ok(permit) = breaker.try_acquire() {
                black_box(());
                permit.success();
            }
        },
    )
}

fn call(name: &str, breaker: CircuitBreaker) -> HotPath {
    on(
        name,
        breaker,
        |totals| totals.success,
        |breaker| {
            let _ = black_box(breaker.call(|| Ok::<u32, ()>(black_box(1))).is_ok());
        },
    )
}

fn failure(name: &str, breaker: CircuitBreaker) -> HotPath {
    on(
        name,
        breaker,
        |totals| totals.failure,
        |breaker| {
            if let Ok(permit) = breaker.try_acquire() {
                black_box(());
                permit.failure();
            }
        },
    )
}

fn refusal(name: &str, breaker: CircuitBreaker) -> HotPath {
    on(
        name,
        breaker,
        |totals| totals.rejected.open,
        |breaker| {
            let _ = black_box(breaker.try_acquire().is_err());
        },
    )
}

/// A success whose latency is kept, and is in the histogram as often as in the totals.
fn kept(name: &str) -> HotPath {
    let breaker = breaker(|builder| builder.latency(HistogramConfig::new()).clock(coarse()));
    let path = success(name, breaker.clone());
    let recorded = breaker.latency_histogram().map(|histogram| histogram.snapshot().count());
    assert_eq!(recorded, Some(breaker.totals().success), "{name} does not keep every latency");
    path
}

/// Latencies of 2 us to a second, each in another slot than the one before.
fn record(name: &str) -> HotPath {
    let histogram = Arc::new(LatencyHistogram::new(HistogramConfig::new()).expect("a valid configuration"));
    let recorded = Arc::clone(&histogram);
    let path = HotPath::batch(name, move |iterations| {
        for n in 0..iterations {
            let latency = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (34 + (n & 15));
            black_box(&*histogram).record_nanos(latency);
        }
    });
    path.run(1000);
    assert_eq!(recorded.snapshot().count(), 1000, "{name} does not record every latency");
    path
}

fn open() -> CircuitBreaker {
    let breaker = breaker(|builder| {
        builder.failure_threshold(1).recovery_timeout(Duration::from_hours(1)).clock(coarse())
    });
    breaker.try_acquire().expect("closed").failure();
    breaker
}

/// A bucket that two threads cannot empty.
fn plenty(clock: Clock) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("gate").rate(1e9).capacity(1_000_000_000);
    builder.clock(clock).build().expect("a valid configuration")
}

/// A bucket that is empty, and stays so.
fn spent(clock: Clock) -> TokenBucketRateLimiter {
    let builder = TokenBucketRateLimiter::builder("gate").rate(0.0).capacity(1);
    let bucket = builder.clock(clock).build().expect("a valid configuration");
    bucket.try_acquire().expect("the first token");
    bucket
}

/// A path on one bucket, whose body repeats itself so often. A number for a path that does not count would be worth
/// nothing: a thousand calls must make so many in the totals.
fn on_bucket(
    name: &str,
    bucket: TokenBucketRateLimiter,
    counted: fn(&LimiterTotals) -> u64,
    of_thousand: u64,
    body: impl Fn(&TokenBucketRateLimiter, u64) + Send + Sync + 'static,
) -> HotPath {
    let totals = bucket.clone();
    let path = HotPath::batch(name, move |iterations| body(&bucket, iterations));
    let before = counted(&totals.totals());
    path.run(1000);
    let seen = counted(&totals.totals()) - before;
    assert_eq!(seen, of_thousand, "{name} does not count every call");
    path
}

/// Asks by the bucket's clock, and goes one way or the other, as callers do.
fn take(name: &str, bucket: TokenBucketRateLimiter, counted: fn(&LimiterTotals) -> u64) -> HotPath {
    on_bucket(name, bucket, counted, 1000, |bucket, iterations| {
        for _ in 0..iterations {
            if black_box(bucket).try_acquire().is_ok() {
                black_box(());
            }
        }
    })
}

/// The same at times that the caller has, ten nanoseconds apart.
fn take_at(name: &str, bucket: TokenBucketRateLimiter, counted: fn(&LimiterTotals) -> u64) -> HotPath {
    on_bucket(name, bucket, counted, 1000, |bucket, iterations| {
        let mut now = bucket.now();
        for _ in 0..iterations {
            now += 10;
            if black_box(bucket).try_acquire_at(now).is_ok() {
                black_box(());
            }
        }
    })
}

/// Spends leases of 256, which the tally has in whole batches.
fn lease(name: &str) -> HotPath {
    on_bucket(
        name,
        plenty(Clock::precise()),
        |totals| totals.allowed,
        1024,
        |bucket, iterations| {
            let mut lease = bucket.lease_handle(256).expect("a batch that fits");
            for _ in 0..iterations {
                if black_box(&mut lease).try_acquire().is_ok() {
                    black_box(());
                }
            }
        },
    )
}

fn limiter_paths() -> Vec<HotPath> {
    let allowed = |totals: &LimiterTotals| totals.allowed;
    let refused = |totals: &LimiterTotals| totals.refused;
    vec![
        take_at("bucket, given time", plenty(Clock::precise()), allowed),
        take_at("bucket, given time, two threads", plenty(Clock::precise()), allowed).threads(2),
        take("bucket, coarse clock", plenty(coarse()), allowed),
        take("bucket, coarse clock, two threads", plenty(coarse()), allowed).threads(2),
        take("bucket, precise clock", plenty(Clock::precise()), allowed),
        take("bucket, precise clock, two threads", plenty(Clock::precise()), allowed).threads(2),
        take_at("bucket refuses, given time", spent(Clock::precise()), refused),
        take("bucket refuses, coarse clock", spent(coarse()), refused),
        take("bucket refuses, coarse clock, two threads", spent(coarse()), refused).threads(2),
        lease("lease"),
        lease("lease, two threads").threads(2),
    ]
}

/// First attempts that succeed; the named one counts each.
fn retries() -> Vec<HotPath> {
    let config = RetryConfig::new();
    let retried = move || {
        let _ = black_box(retry(black_box(&config), || Ok::<u32, ()>(black_box(1))).is_ok());
    };
    let named = |name: &str| {
        let policy = Retry::named("gate", RetryConfig::new()).expect("a valid configuration");
        let counts = policy.clone();
        let path = HotPath::new(name, move || {
            let _ = black_box(black_box(&policy).call(|| Ok::<u32, ()>(black_box(1))).is_ok());
        });
        path.run(1000);
        let counted = counts.totals().map(|totals| (totals.calls(), totals.retries));
        assert_eq!(counted, Some((1000, 0)), "{name} does not count every call");
        path
    };
    vec![HotPath::new("retry", retried), named("retry, named"), named("retry, named, two threads").threads(2)]
}

fn hot_paths() -> Vec<HotPath> {
    let plain = || breaker(|builder| builder);
    let slow = |builder| windowed(builder).slow_calls(Duration::from_secs(1), 0.5);
    let count = |builder: CircuitBreakerBuilder| {
        builder.window(WindowConfig::count(1000, 10)).failure_rate(0.5).minimum_calls(100)
    };
    let never = |builder: CircuitBreakerBuilder| builder.failure_threshold(u32::MAX).clock(coarse());
    let dirty = DirtySet::new();
    vec![
        success("closed", plain()),
        success("closed, two threads", plain()).threads(2),
        call("closed, call", plain()),
        call("closed, call, two threads", plain()).threads(2),
        success("closed, windowed", breaker(windowed)),
        success("closed, windowed, two threads", breaker(windowed)).threads(2),
        success("closed, slow calls", breaker(slow)),
        kept("closed, latency"),
        kept("closed, latency, two threads").threads(2),
        record("latency, record"),
        success("closed, count window", breaker(count)),
        success("closed, hung calls", breaker(hung)),
        success("closed, hung calls, two threads", breaker(hung)).threads(2),
        success("closed, dirty set", breaker(|builder| builder.dirty_set(&dirty))),
        failure("failure", breaker(never)),
        refusal("open", open()),
        refusal("open, two threads", open()).threads(2),
    ]
}
