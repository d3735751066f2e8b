//! Retries, to be tracked from version to version: `cargo bench --bench retry`.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use fusewire::{Clock, ManualClock, Retry, RetryBudget, RetryConfig, retry};

fn policy() -> Retry {
    Retry::new(RetryConfig::new()).expect("a valid configuration")
}

/// A sleeper that does not.
fn awake(wait: Duration) {
    let _ = black_box(wait);
}

fn named() -> Retry {
    Retry::named("bench", RetryConfig::new()).expect("a valid configuration")
}

fn budget(min_per_second: f64, burst: u32) -> RetryBudget {
    let builder = RetryBudget::builder().ratio(0.0).min_per_second(min_per_second).burst(burst);
    builder.clock(&ManualClock::new()).build().expect("a valid configuration")
}

#[inline(always)]
#[allow(clippy::unnecessary_wraps, reason = "a call that may fail")]
fn succeed() -> Result<u32, &'static str> {
    Ok(black_box(1))
}

/// The first attempt succeeds.
fn first_success(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first success");
    group.bench_function("the call alone", |bencher| bencher.iter(|| black_box(succeed())));
    let config = RetryConfig::new();
    group.bench_function("retry", |bencher| bencher.iter(|| black_box(retry(black_box(&config), succeed))));
    let mut track = |name: &str, policy: Retry| {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(black_box(&policy).call(succeed))));
    };
    track("policy", policy());
    track("named", named());
    track("budget", policy().budget(&budget(0.0, 1)));
    let second = Duration::from_secs(1);
    track("deadline, precise clock", policy().clock(Clock::precise()).deadline(second));
    track("deadline, manual clock", policy().clock(&ManualClock::new()).deadline(second));
    group.finish();
}

/// Attempts that fail, with sleepers that do not sleep.
fn failures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("failures");
    let (plain, counted) = (policy(), named());
    let fail = || Err::<u32, _>(black_box("refused"));
    group.bench_function("three attempts", |bencher| {
        bencher.iter(|| black_box(plain.call_with(awake, fail)));
    });
    group.bench_function("three attempts, named", |bencher| {
        bencher.iter(|| black_box(counted.call_with(awake, fail)));
    });
    let stop = policy().when(|_: &&str| false);
    group.bench_function("not retryable", |bencher| bencher.iter(|| black_box(stop.call(fail))));
    group.bench_function("a wait drawn", |bencher| {
        let endless = RetryConfig::new().max_attempts(u32::MAX);
        let mut backoff = endless.backoff().expect("a valid configuration");
        bencher.iter(|| backoff.next());
    });
    group.finish();
}

fn budgets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("budget");
    let shared = budget(1e6, 1);
    group.bench_function("deposit", |bencher| bencher.iter(|| black_box(&shared).deposit()));
    let mut now = 0;
    group.bench_function("withdrawal", |bencher| {
        bencher.iter(|| {
            now += 1_000;
            shared.try_withdraw_at(now)
        });
    });
    group.bench_function("refusal", |bencher| bencher.iter(|| black_box(&shared).try_withdraw_at(0)));
    group.finish();
}

criterion_group!(benches, first_success, failures, budgets);
criterion_main!(benches);
