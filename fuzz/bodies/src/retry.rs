//! The decisions of a retry against its documentation, and its drivers against its plan.

use std::time::Duration;

use fusewire::retry::{Decision, RetryPlan, StopReason, Verdict};
use fusewire::{Jitter, ManualClock, Retry, RetryConfig};

use crate::input::Input;
use crate::twin::retry::Twin;

const MOST_ATTEMPTS: usize = 48;

/// Random settings and failures: each decision must be one that the twin allows, and a call that is driven
/// with the same failures must come to the same waits and the same end.
///
/// # Panics
///
/// Where the engine does otherwise.
pub fn retry(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config = config(&mut input);
    if let Err(field) = Twin::check(&config) {
        assert_eq!(config.check().expect_err("out of range").field(), field);
        assert!(RetryPlan::new(&config).is_err() && Retry::new(config).is_err());
        return;
    }
    let deadline = input.flag().then(|| duration(&mut input));
    let retry_open = input.flag();
    let script = script(&mut input);
    let attempt = u32::try_from(input.number() & 0xFFFF_FFFF).unwrap_or(u32::MAX);
    Twin::new(&config, deadline, retry_open).hold_longest(attempt, config.longest_delay(attempt));

    let (waits, end) = decide(&config, deadline, retry_open, &script);
    if config.seed.is_some() {
        assert_eq!(decide(&config, deadline, retry_open, &script).0, waits, "another call of the same seed");
        drive(config, deadline, retry_open, &script, &waits, end.as_ref());
    }
}

/// What an attempt comes to, and how long it took.
type Failure = (Verdict, Duration);

fn duration(input: &mut Input<'_>) -> Duration {
    match input.byte() % 8 {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        2 => Duration::new(u64::MAX, input.number() as u32 % 1_000_000_000),
        3 => Duration::from_millis(u64::from(input.byte())),
        4 => Duration::from_secs(u64::from(input.byte())),
        _ => Duration::from_nanos(input.number()),
    }
}

fn config(input: &mut Input<'_>) -> RetryConfig {
    let mut config = RetryConfig::new();
    config.max_attempts = input.pick(&[3, 0, 1, 2, 5, 10, 40, u32::MAX]);
    config.exponential_base = match input.byte() {
        byte if byte % 16 == 0 => f64::from_bits(input.number()),
        byte => [2.0, 1.0, 1.5, 3.0, 10.0, 1.1, 1e300, 1.000_000_1][usize::from(byte) % 8],
    };
    config.base_delay = duration(input);
    config.max_delay = duration(input);
    config.exponential = !input.one_in(3);
    config.increment = duration(input);
    config.jitter = input.pick(&[Jitter::Full, Jitter::None, Jitter::Equal, Jitter::Decorrelated]);
    config.seed = (!input.one_in(4)).then(|| input.number());
    config
}

fn script(input: &mut Input<'_>) -> Vec<Failure> {
    let mut script = Vec::new();
    while script.len() < MOST_ATTEMPTS {
        let Some(kind) = input.next() else { break };
        let verdict = match kind % 16 {
            0 => Verdict::Stop,
            1..=3 => Verdict::RetryAfter(duration(input)),
            4 => Verdict::OpenCircuit(duration(input)),
            _ => Verdict::Retry,
        };
        let took = if kind & 0x80 == 0 { Duration::ZERO } else { duration(input) };
        script.push((verdict, took));
    }
    script
}

/// Asks a plan after each failure of the script, on a clock that counts attempts and waits.
fn decide(
    config: &RetryConfig,
    deadline: Option<Duration>,
    retry_open: bool,
    script: &[Failure],
) -> (Vec<Duration>, Option<StopReason>) {
    let mut plan = RetryPlan::new(config).expect("checked").deadline(deadline).retry_open(retry_open);
    let mut twin = Twin::new(config, deadline, retry_open);
    let (mut waits, mut now) = (Vec::new(), 0_u64);
    for &(verdict, took) in script {
        now = forward(now, took);
        let elapsed = Duration::from_nanos(now);
        let decision = plan.after(verdict, elapsed);
        twin.hold(verdict, elapsed, &decision);
        assert_eq!((plan.attempts(), plan.total_delay()), (twin.attempts, twin.total_delay));
        match decision {
            Decision::Wait(wait) => {
                waits.push(wait);
                now = forward(now, wait);
            }
            Decision::Stop(reason) => return (waits, Some(reason)),
        }
    }
    (waits, None)
}

fn forward(now: u64, by: Duration) -> u64 {
    now.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
}

/// A call that fails as the script says, then succeeds.
fn drive(
    config: RetryConfig,
    deadline: Option<Duration>,
    retry_open: bool,
    script: &[Failure],
    waits: &[Duration],
    end: Option<&StopReason>,
) {
    let clock = ManualClock::new();
    let retry = Retry::new(config).expect("checked").clock(&clock).deadline(deadline);
    let retry = retry.retry_open(retry_open).when(|failure: &Failure| failure.0);
    let (mut slept, mut attempts) = (Vec::new(), 0);
    let result = retry.call_with(
        |wait| {
            slept.push(wait);
            clock.advance(wait);
        },
        || {
            let failure = script.get(attempts);
            attempts += 1;
            match failure {
                None => Ok(()),
                Some(failure) => {
                    clock.advance(failure.1);
                    Err(*failure)
                }
            }
        },
    );
    // A wait that the plan's clock cannot count may end past a deadline that a `u64` cannot hold.
    assert_eq!(slept, waits);
    match (result, end) {
        (Ok(()), None) => assert_eq!(attempts, script.len() + 1),
        (Err(error), Some(reason)) => {
            assert_eq!((error.attempts as usize, &error.reason), (attempts, reason));
            assert_eq!(error.error, script[attempts - 1]);
        }
        (result, end) => panic!("the call gave {result:?}, the plan {end:?}"),
    }
}
