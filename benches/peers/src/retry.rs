//! Retries: the first attempt succeeds, which is what nearly every call does.

use std::hint::black_box;
use std::time::Duration;

use fusewire::{Retry, RetryConfig};

use crate::bar::{Against, Bar};
use crate::column::Column;
use crate::entry::{Body, Entry, Kind};
use crate::suite::Suite;

const FIRST: &str = "first success";
const FIRST_1T: Column = Column::new(FIRST, 1);
const FIRST_2T: Column = Column::new(FIRST, 2);
const COLUMNS: [Column; 4] = [FIRST_1T, FIRST_2T, Column::with_work(FIRST, 1), Column::with_work(FIRST, 2)];
const TAILS: [Column; 2] = [FIRST_1T, FIRST_2T];

const FUSEWIRE: &str = "fusewire, retry";
const POLICY: &str = "fusewire, policy";
const NAMED: &str = "fusewire, named";
const BACKON: &str = "backon";

const BARS: [Bar; 2] = [
    Bar { ours: FUSEWIRE, column: FIRST_1T, against: Against::Row(BACKON), at_most: 1.2 },
    // One addition in the thread's own lane more.
    Bar { ours: NAMED, column: FIRST_1T, against: Against::Row(POLICY), at_most: 1.25 },
];

/// Attempts of a call that fails always.
const ATTEMPTS: u32 = 3;

fn config(delay: Duration) -> RetryConfig {
    RetryConfig::new().max_attempts(ATTEMPTS).base_delay(delay)
}

/// The first wait where nothing waits.
const DELAY: Duration = Duration::from_millis(100);

#[inline(always)]
fn one<F: FnMut() -> Result<u32, Fault>>(call: F) -> F {
    call
}

/// The error of a failing call.
#[derive(Debug, Clone, Copy)]
struct Fault;

impl fusewire::Retryable for Fault {}

/// Puts a policy through the checks, then into the table. `run` gives the answer of a call under the policy; its
/// argument is the first wait.
fn enter<P: Send + Sync + 'static>(
    name: &'static str,
    policy: fn(Duration) -> P,
    run: fn(&P, &mut dyn FnMut() -> Result<u32, Fault>) -> bool,
    first: fn(&P) -> bool,
) -> Entry {
    let quick = policy(Duration::from_micros(1));
    let mut calls = 0;
    assert!(
        !run(&quick, &mut || {
            calls += 1;
            Err(Fault)
        }),
        "{name}: made a success of a failure"
    );
    assert_eq!(calls, ATTEMPTS, "{name}: made another number of attempts");
    let mut calls = 0;
    let second = run(&quick, &mut || {
        calls += 1;
        if calls < 2 { Err(Fault) } else { Ok(1) }
    });
    assert!(second && calls == 2, "{name}: did not try again");

    let mut calls = 0;
    let once = run(&quick, &mut || {
        calls += 1;
        Ok(1)
    });
    assert!(once && calls == 1, "{name}: did not stop at a success");

    Entry::new(name, Kind::of(name, true), COLUMNS, TAILS, |_| Called { policy: policy(DELAY), first, name })
}

/// A policy whose calls succeed at once.
struct Called<P> {
    policy: P,
    first: fn(&P) -> bool,
    name: &'static str,
}

impl<P: Send + Sync + 'static> Body for Called<P> {
    #[inline(always)]
    fn run(&self, times: u64, mut between: impl FnMut()) {
        let mut succeeded = 0;
        for _ in 0..times {
            between();
            if (self.first)(black_box(&self.policy)) {
                black_box(());
                succeeded += 1;
            }
        }
        assert_eq!(succeeded, times, "{} failed", self.name);
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a call's result")]
#[inline(always)]
fn good() -> Result<u32, Fault> {
    Ok(black_box(1))
}

fn backon(delay: Duration) -> ::backon::ExponentialBuilder {
    ::backon::ExponentialBuilder::default()
        .with_min_delay(delay)
        .with_max_times(ATTEMPTS as usize - 1)
        .with_jitter()
}

/// What the `retry` crate takes its waits from: made anew for each call, as they are used up.
#[inline(always)]
fn waits(delay: Duration) -> impl Iterator<Item = Duration> {
    let first = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).max(1);
    ::retry::delay::Exponential::from_millis(first).map(::retry::delay::jitter).take(ATTEMPTS as usize - 1)
}

pub(crate) fn suite() -> Suite {
    use ::backon::BlockingRetryable as _;
    Suite {
        name: "retry",
        columns: &COLUMNS,
        tail_columns: &TAILS,
        entries: vec![
            enter(
                FUSEWIRE,
                config,
                |config, call| fusewire::retry(config, call).is_ok(),
                |config| fusewire::retry(config, good).is_ok(),
            ),
            enter(
                POLICY,
                |delay| Retry::new(config(delay)).expect("a valid configuration"),
                |policy, call| policy.call(call).is_ok(),
                |policy| policy.call(good).is_ok(),
            ),
            enter(
                NAMED,
                |delay| Retry::named("contender", config(delay)).expect("a valid configuration"),
                |policy, call| policy.call(call).is_ok(),
                |policy| policy.call(good).is_ok(),
            ),
            enter(
                BACKON,
                backon,
                |builder, call| one(call).retry(*builder).call().is_ok(),
                |builder| good.retry(*builder).call().is_ok(),
            ),
            enter(
                "retry",
                |delay| delay,
                |delay, call| ::retry::retry(waits(*delay), call).is_ok(),
                |delay| ::retry::retry(waits(*delay), good).is_ok(),
            ),
            Entry::floor(&COLUMNS, &TAILS),
        ],
        bars: &BARS,
        notes: "every policy is built once, the waits of a call whenever the peer wants them",
    }
}
