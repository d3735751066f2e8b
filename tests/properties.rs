//! Each fuzz body over random bytes.

use fusewire_fuzz_bodies::{Body, breaker, bucket, budget, hung, latency, retry, simd, sliding, window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Runs the body over `cases` random inputs of up to `bytes` bytes, shrinking one that fails.
fn check(body: Body, cases: u32, bytes: usize) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&vec(any::<u8>(), 0..bytes), |input| {
        body(&input);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn the_breaker_agrees_with_a_naive_one() {
    check(breaker, 2_000, 800);
}

#[test]
fn windows_agree_with_a_list_of_every_call() {
    check(window, 1_000, 200);
}

#[test]
fn hung_calls_are_found_as_promised() {
    check(hung, 2_000, 600);
}

#[test]
fn retries_decide_as_documented() {
    check(retry, 10_000, 200);
}

#[test]
fn the_budget_agrees_with_an_exact_account() {
    check(budget, 3_000, 400);
}

#[test]
fn sliding_windows_agree_with_a_list_of_admissions() {
    check(sliding, 1_000, 500);
}

#[test]
fn buckets_agree_with_exact_arithmetic() {
    check(bucket, 2_000, 600);
}

#[test]
fn latencies_are_told_as_exactly_as_promised() {
    check(latency, 500, 500);
}

#[test]
fn every_level_of_the_kernels_agrees_with_the_definitions() {
    check(simd, 300, 300);
}
