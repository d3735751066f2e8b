//! Many threads on one breaker, in real time but for a bounded number of steps: what must hold whoever
//! wins each race.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::{
    Cause, CircuitBreaker, CircuitBreakerBuilder, CircuitState, Clock, EventQueue, LimitSet, Limiter,
    LimiterTotals, ManualClock, Outcome, Permit, RejectReason, Retry, RetryBudget, RetryConfig,
    SlidingWindowRateLimiter, SlowCalls, Token, WindowConfig,
};

#[path = "shared/random.rs"]
mod random;
#[path = "shared/together.rs"]
mod together;

use random::Random;
use together::{THREADS, together};

const MILLISECOND: u64 = 1_000_000;

fn build(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("valid settings")
}

/// At least `n` steps, and more until there was enough of what the test is about: how much happens in a
/// step depends on the machine. Fails after half a minute.
fn steps(n: u64, enough: impl Fn() -> bool) -> impl Iterator<Item = u64> {
    let clock = Clock::precise();
    let deadline = clock.now() + 30_000 * MILLISECOND;
    (0..).take_while(move |step| {
        if *step < n || step % 256 != 0 {
            return true;
        }
        assert!(clock.now() < deadline, "too little happened");
        !enough()
    })
}

fn some_outcome(random: &mut Random) -> Outcome {
    match random.below(10) {
        0..4 => Outcome::Success,
        4..8 => Outcome::Failure,
        8 => Outcome::Ignored,
        _ => Outcome::Cancelled,
    }
}

/// All rules at once, short periods, and so many transitions.
fn busy() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("busy")
        .failure_threshold(4)
        .recovery_timeout(Duration::from_micros(300))
        .half_open_timeout(Duration::from_micros(300))
        .half_open_requests(2)
        .failure_rate(0.6)
        .slow_calls(Duration::from_micros(50), 0.9)
        .minimum_calls(10)
        .window(WindowConfig::time(Duration::from_millis(2), 4))
        .count_hung_after(Duration::from_millis(1))
        .ramp_up(Duration::from_micros(500))
}

#[test]
fn attempts_and_results_are_conserved() {
    let breaker = build(busy());
    let [attempts, admitted, lost] = [(); 3].map(|()| AtomicU64::new(0));
    let greatest = AtomicU64::new(0);
    together(
        |mut random| {
            let mut out: Vec<Token> = Vec::new();
            for _ in steps(20_000, || breaker.totals().transitions.half_open > 10) {
                attempts.fetch_add(1, Ordering::Relaxed);
                if let Ok(token) = breaker.admit() {
                    admitted.fetch_add(1, Ordering::Relaxed);
                    out.push(token);
                }
                if out.len() > random.below(8) as usize {
                    let token = out.swap_remove(random.below(out.len() as u64) as usize);
                    breaker.record(token, some_outcome(&mut random));
                }
            }
            lost.fetch_add(out.len() as u64, Ordering::Relaxed);
        },
        || {
            // Counts only ever grow, also for one who reads beside it all.
            let totals = breaker.totals();
            let sum = totals.success + totals.failure + totals.late + totals.rejected.total();
            assert!(greatest.fetch_max(sum, Ordering::Relaxed) <= sum);
        },
    );
    let totals = breaker.totals();
    let [attempts, admitted, lost] = [attempts, admitted, lost].map(AtomicU64::into_inner);
    assert_eq!(admitted + totals.rejected.total(), attempts);
    assert_eq!(totals.ended() + lost, admitted);
}

/// Follows who holds the places of each round.
#[derive(Default)]
struct Rounds(Mutex<HashMap<u64, u32>>);

impl Rounds {
    fn round(token: Token) -> u64 {
        token.to_raw().1 & 0x3F_FFFF
    }

    /// After a probe was admitted: how many of its round are out or succeeded.
    fn take(&self, token: Token) -> u32 {
        let mut rounds = self.0.lock().expect("no panic under the lock");
        let places = rounds.entry(Self::round(token)).or_default();
        *places += 1;
        *places
    }

    /// Before a probe's place is given back.
    fn give_back(&self, token: Token) {
        let mut rounds = self.0.lock().expect("no panic under the lock");
        *rounds.entry(Self::round(token)).or_default() -= 1;
    }
}

/// Threads that take and return probes of a breaker that nothing but probes can close.
fn probe_rounds(breaker: &CircuitBreaker, most: u32, beside: impl FnMut()) {
    let rounds = Rounds::default();
    together(
        |mut random| {
            let mut out: Vec<Token> = Vec::new();
            for _ in steps(20_000, || breaker.totals().transitions.half_open > 10) {
                match breaker.admit() {
                    Ok(token) if token.is_probe() => {
                        let places = rounds.take(token);
                        assert!(places <= most, "{places} probes of one round are out or succeeded");
                        out.push(token);
                    }
                    Ok(token) => {
                        breaker.record(token, Outcome::Failure);
                    }
                    Err(_) => {}
                }
                if out.len() > random.below(3) as usize {
                    let token = out.swap_remove(random.below(out.len() as u64) as usize);
                    let outcome = some_outcome(&mut random);
                    if matches!(outcome, Outcome::Ignored | Outcome::Cancelled) {
                        rounds.give_back(token);
                    }
                    breaker.record(token, outcome);
                }
            }
        },
        beside,
    );
}

/// Opens at any failure and probes at once; rounds last, so that their places matter.
fn probing(probes: u32) -> CircuitBreaker {
    let rules = CircuitBreaker::builder("probing").failure_threshold(1).half_open_requests(probes);
    build(rules.recovery_timeout(Duration::ZERO).half_open_timeout(Duration::from_millis(1)))
}

#[test]
fn no_more_probes_of_a_round_than_allowed() {
    probe_rounds(&probing(3), 3, || ());
}

#[test]
fn no_more_probes_than_allowed_while_the_number_changes() {
    let breaker = probing(4);
    let mut turn = 0;
    probe_rounds(&breaker, 4, || {
        turn += 1;
        let mut config = breaker.config();
        config.half_open_requests = [1, 4, 2, 3][turn % 4];
        breaker.reconfigure(config).expect("valid settings");
    });
}

#[test]
fn transitions_follow_each_other_without_a_gap() {
    let events = EventQueue::with_capacity(1 << 16);
    let breaker = build(busy().events(&events));
    let (mut state, mut sequence) = (CircuitState::Closed, 0);
    let mut entered = [0_u64; 4];
    let made = AtomicU64::new(0);
    let (breaker_ref, made_ref) = (&breaker, &made);
    together(
        |mut random| {
            for step in steps(20_000, || breaker_ref.totals().sequence > 100) {
                let moved = match (random.below(400), breaker_ref.admit()) {
                    (0, _) => breaker_ref.force_open(),
                    (1 | 2, _) => breaker_ref.force_close(),
                    (3, _) => breaker_ref.disable(),
                    (4..8, _) => breaker_ref.enable(),
                    (8, _) => breaker_ref.reset(),
                    (_, Ok(token)) => breaker_ref.record(token, some_outcome(&mut random)),
                    (_, Err(rejected)) => {
                        // Nothing but a hand ends a forced opening.
                        if rejected.reason == RejectReason::ForcedOpen && step % 16 == 0 {
                            breaker_ref.force_close()
                        } else {
                            None
                        }
                    }
                };
                made_ref.fetch_add(u64::from(moved.is_some()), Ordering::Relaxed);
            }
        },
        || {
            events.drain(|event| {
                sequence += 1;
                assert_eq!(event.sequence, sequence, "a gap, or out of order");
                assert_eq!(event.from, state, "{event}");
                assert!(is_legal(event.from, event.to, event.cause), "{event}");
                state = event.to;
                entered[event.to as usize] += u64::from(event.from != event.to);
            });
        },
    );
    let totals = breaker.totals();
    assert_eq!((events.dropped(), totals.sequence), (0, sequence));
    assert_eq!(breaker.state(), state);
    assert_eq!(CircuitState::ALL.map(|state| totals.transitions.to(state)), entered);
    // Those that admissions made were not returned to anybody.
    assert!(made.into_inner() <= sequence);
}

/// The arrows of the state machine.
fn is_legal(from: CircuitState, to: CircuitState, cause: Cause) -> bool {
    use CircuitState::{Closed, Disabled, HalfOpen, Open};
    match cause {
        Cause::ConsecutiveFailures | Cause::FailureRate | Cause::SlowCallRate => (from, to) == (Closed, Open),
        Cause::RecoveryTimeout => (from, to) == (Open, HalfOpen),
        Cause::RoundExpired => (from, to) == (HalfOpen, HalfOpen),
        Cause::ProbesSucceeded => (from, to) == (HalfOpen, Closed),
        Cause::ProbeFailed => (from, to) == (HalfOpen, Open),
        Cause::ForcedOpen => to == Open,
        Cause::ForcedClose => from != Closed && to == Closed,
        Cause::Disabled => from != Disabled && to == Disabled,
        Cause::Enabled => (from, to) == (Disabled, Closed),
        Cause::Reset => to == Closed,
        _ => false,
    }
}

#[test]
fn windows_conserve_what_many_threads_count() {
    // Nothing trips, and nothing is old enough to leave the window of time.
    let windows = [WindowConfig::time(Duration::from_hours(24), 1000), WindowConfig::count(1 << 30, 64)];
    for window in windows {
        let rules = CircuitBreaker::builder("window").failure_threshold(None).failure_rate(1.0);
        let breaker = build(rules.minimum_calls(u32::MAX).window(window).stripes(3));
        together(
            |mut random| {
                for _ in 0..20_000 {
                    let outcome = if random.below(4) == 0 { Outcome::Failure } else { Outcome::Success };
                    breaker.record(breaker.admit().expect("nothing trips"), outcome);
                }
            },
            || {
                let held = breaker.totals().window.expect("closed, with a rate rule");
                assert!(held.failures <= held.calls && held.calls <= THREADS * 20_000, "{held:?}");
            },
        );
        let totals = breaker.totals();
        let held = totals.window.expect("closed, with a rate rule");
        assert_eq!((held.calls, held.failures), (THREADS * 20_000, totals.failure));
    }
}

#[test]
fn a_count_window_keeps_its_size_between_threads() {
    let (calls, buckets, stripes) = (4_000_u64, 10, 3);
    let rules = CircuitBreaker::builder("window").failure_threshold(None).failure_rate(1.0).stripes(stripes);
    let breaker = build(rules.minimum_calls(u32::MAX).window(WindowConfig::count(calls as u32, buckets)));
    together(
        |_| {
            for _ in 0..20_000 {
                breaker.record(breaker.admit().expect("nothing trips"), Outcome::Success);
            }
        },
        || (),
    );
    let held = breaker.totals().window.expect("closed, with a rate rule").calls;
    // A bucket that is not full yet, and half a one that the lanes have not looked at.
    let bucket = calls / u64::from(buckets);
    assert!((calls - 2 * bucket..=calls + bucket).contains(&held), "{held} of {calls}");
}

#[test]
fn each_decision_is_made_by_one_configuration() {
    // One trips at once and opens for ten seconds, the other never trips and would open for a thousand.
    let breaker = build(CircuitBreaker::builder("two minds").failure_threshold(1));
    let mut config = breaker.config();
    config.recovery_timeout = Duration::from_secs(10);
    breaker.reconfigure(config.clone()).expect("valid settings");
    let mut other = config.clone();
    other.failure_threshold = None;
    other.recovery_timeout = Duration::from_secs(1_000);
    let tripped = AtomicU64::new(0);
    together(
        |_| {
            for _ in steps(10_000, || tripped.load(Ordering::Relaxed) > 10) {
                let moved = breaker.admit().ok().and_then(|token| breaker.record(token, Outcome::Failure));
                if moved.is_some() {
                    tripped.fetch_add(1, Ordering::Relaxed);
                    let left = breaker.time_until_retry();
                    assert!(left < Duration::from_secs(11), "a mixture: {left:?}");
                    breaker.force_close();
                }
            }
        },
        || {
            for next in [&other, &config] {
                breaker.reconfigure(next.clone()).expect("valid settings");
            }
        },
    );
}

#[test]
fn everything_at_once_neither_loses_a_count_nor_wedges() {
    let events = EventQueue::with_capacity(64);
    let breaker = build(busy().events(&events));
    let [attempts, admitted] = [(); 2].map(|()| AtomicU64::new(0));
    let mut turn = 0_u64;
    together(
        |mut random| {
            for _ in 0..15_000 {
                attempts.fetch_add(1, Ordering::Relaxed);
                if let Ok(permit) = breaker.try_acquire() {
                    admitted.fetch_add(1, Ordering::Relaxed);
                    match random.below(3) {
                        0 => drop(permit),
                        _ => drop(permit.record(some_outcome(&mut random)).is_some()),
                    }
                }
            }
        },
        || {
            turn += 1;
            let mut config = breaker.config();
            config.half_open_requests = 1 + (turn % 3) as u32;
            config.window = match turn % 4 {
                0 => WindowConfig::count(64, 4),
                1 => WindowConfig::time(Duration::from_micros(10), 10),
                _ => config.window,
            };
            config.failure_rate = (!turn.is_multiple_of(5)).then_some(0.5);
            config.slow_calls =
                (!turn.is_multiple_of(7)).then_some(SlowCalls { threshold: Duration::ZERO, rate: 0.99 });
            config.count_hung_after =
                (!turn.is_multiple_of(6)).then_some(Duration::from_millis(1 + turn % 2));
            breaker.reconfigure(config).expect("valid settings");
            let snapshot = breaker.snapshot();
            assert!(snapshot.totals.ended() <= attempts.load(Ordering::Relaxed));
            events.drain(|_| ());
        },
    );
    let totals = breaker.totals();
    assert_eq!(totals.ended(), admitted.load(Ordering::Relaxed));
    assert_eq!(totals.ended() + totals.rejected.total(), attempts.load(Ordering::Relaxed));
    // Whatever state it was left in, calls bring it back.
    let clock = Clock::precise();
    let deadline = clock.now() + 30_000 * MILLISECOND;
    while breaker.try_acquire().map(Permit::success).is_err() || breaker.state() != CircuitState::Closed {
        assert!(clock.now() < deadline, "wedged: {breaker:?}");
        thread::yield_now();
    }
}

#[test]
fn one_probe_at_a_time_is_one_call_at_a_time() {
    // With places for one, what the probes guard is never entered twice at once.
    let breaker = build(
        CircuitBreaker::builder("single")
            .failure_threshold(1)
            .recovery_timeout(Duration::ZERO)
            .half_open_requests(1)
            .half_open_timeout(Duration::from_mins(1)),
    );
    breaker.try_acquire().expect("closed").failure();
    let (inside, entered) = (AtomicBool::new(false), AtomicU64::new(0));
    together(
        |mut random| {
            for _ in 0..5_000 {
                let Ok(permit) = breaker.try_acquire() else { continue };
                assert!(permit.is_probe());
                assert!(!inside.swap(true, Ordering::SeqCst), "two probes at once");
                entered.fetch_add(1, Ordering::Relaxed);
                inside.store(false, Ordering::SeqCst);
                // Never a success, so that it stays half-open.
                if random.below(2) == 0 { permit.ignore() } else { drop(permit) }
            }
        },
        || (),
    );
    assert_eq!(breaker.totals().ignored + breaker.totals().cancelled, entered.into_inner());
}

/// An admission by a limiter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Admitted {
    /// The time that it was asked for with.
    at: u64,
    permits: u64,
    /// How far the clock had gone on when it was there.
    took: u64,
}

/// What threads at one limiter got, the earliest first, and how many permits were refused.
fn at_limiter(
    limiter: &(impl Limiter + Sync),
    weights: u64,
    mut beside: impl FnMut(),
) -> (Vec<Admitted>, u64) {
    let (admitted, refused) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    together(
        |mut random| {
            let mut mine = Vec::new();
            for _ in 0..40_000 {
                let n = 1 + random.below(weights);
                // Now and then by a clock that is two microseconds behind.
                let now = limiter.now().saturating_sub(random.below(8) / 7 * 2_000);
                match limiter.try_acquire_n_at(n, now) {
                    Ok(()) => mine.push(Admitted { at: now, permits: n, took: limiter.now() - now }),
                    Err(_) => {
                        refused.fetch_add(n, Ordering::Relaxed);
                    }
                }
                if random.below(500) == 0 {
                    thread::yield_now();
                }
            }
            admitted.lock().expect("no panic under the lock").extend(mine);
        },
        &mut beside,
    );
    let mut admitted = admitted.into_inner().expect("no panic under the lock");
    admitted.sort_unstable();
    (admitted, refused.into_inner())
}

/// The most permits in any window, wherever it begins.
fn densest(admitted: &[Admitted], window: Duration) -> u64 {
    let window = window.as_nanos() as u64;
    let (mut first, mut held, mut most) = (0, 0, 0);
    for one in admitted {
        held += one.permits;
        while admitted[first].at + window <= one.at {
            held -= admitted[first].permits;
            first += 1;
        }
        most = most.max(held);
    }
    most
}

fn agree(totals: LimiterTotals, admitted: &[Admitted], refused: u64) {
    let permits: u64 = admitted.iter().map(|one| one.permits).sum();
    assert_eq!((totals.allowed, totals.refused), (permits, refused));
    assert!(!admitted.is_empty());
}

#[test]
fn no_window_holds_more_than_its_limit() {
    for (limit, micros) in [(1, 20), (3, 40), (64, 500), (1_000, 3_000)] {
        let window = Duration::from_micros(micros);
        let builder = SlidingWindowRateLimiter::builder("stress").max_requests(limit).window(window);
        let limiter = builder.build().expect("valid settings");
        let (admitted, refused) = at_limiter(&limiter, 1, || assert!(limiter.remaining() <= limit));
        agree(limiter.totals(), &admitted, refused);
        assert_eq!(admitted.len() as u64 + refused, THREADS * 40_000);
        let most = densest(&admitted, window);
        assert!(most <= limit, "{most} of {limit} in {window:?}");
    }
}

#[test]
fn no_window_of_a_set_holds_more_than_its_limit() {
    let limits = [(4, 30), (20, 400), (90, 4_000)].map(|(n, micros)| (n, Duration::from_micros(micros)));
    let none = LimitSet::builder("stress");
    let builder = limits.iter().fold(none, |set, (limit, window)| set.limit(*limit, *window));
    let set = builder.build().expect("valid settings");
    let (admitted, refused) = at_limiter(&set, 1, || assert!(set.remaining() <= 4));
    agree(set.totals(), &admitted, refused);
    for (limit, window) in limits {
        let most = densest(&admitted, window);
        assert!(most <= limit, "{most} of {limit} in {window:?}");
    }
}

#[test]
fn an_estimate_holds_less_than_twice_its_limit() {
    for (limit, micros) in [(1, 20), (50, 100), (1_000, 2_000)] {
        let window = Duration::from_micros(micros);
        let builder = SlidingWindowRateLimiter::builder("stress").max_requests(limit).window(window);
        let limiter = builder.approximate().build().expect("valid settings");
        let weights = limit.min(5);
        let (mut admitted, refused) = at_limiter(&limiter, weights, || assert!(limiter.remaining() <= limit));
        agree(limiter.totals(), &admitted, refused);
        // A thread that stalls on its way in is counted where the others are: what is promised of the
        // times that were given, is promised if they lie no more than a window behind.
        admitted.retain(|one| Duration::from_nanos(one.took) < window);
        let most = densest(&admitted, window);
        assert!(most <= 2 * limit, "{most} of {limit} in {window:?}");
    }
}

#[test]
fn a_budget_is_never_overdrawn_and_loses_nothing() {
    // Nothing lapses: the burst holds all that is earned.
    let burst = 50_000;
    let budget = RetryBudget::builder().ratio(0.25).min_per_second(1_000.0).burst(burst).stripes(3);
    let budget = budget.clock(&ManualClock::new()).build().expect("valid settings");
    let (asked, permitted) = (AtomicU64::new(0), AtomicU64::new(0));
    assert!(budget.try_withdraw_at(0), "time counts from here");
    together(
        |mut random| {
            for step in 0..40_000 {
                budget.deposit();
                // Each thread's clock is a little off, and may go back.
                let now = step * 100_000 - random.below(100_000).min(step);
                if random.below(2) == 0 {
                    asked.fetch_add(1, Ordering::Relaxed);
                    permitted.fetch_add(u64::from(budget.try_withdraw_at(now)), Ordering::Relaxed);
                }
            }
        },
        || {
            // What the threads count may run behind, never what the budget counts itself.
            let retries = budget.retries();
            let earned = u64::from(burst) + budget.calls() / 4 + 4_000;
            assert!(retries <= earned, "{retries} of {earned}");
        },
    );
    // The burst, a quarter of the calls and four seconds of a thousand: less what lapsed at the beginning,
    // while the budget was full.
    let earned = u64::from(burst) + THREADS * 10_000 + 4_000;
    let last = 40_000 * 100_000;
    let rest = (0..=earned).find(|_| !budget.try_withdraw_at(last)).expect("it has an end");
    let spent = 1 + permitted.into_inner() + rest;
    assert_eq!((budget.retries(), budget.calls()), (spent, THREADS * 40_000));
    assert!(asked.into_inner() > THREADS * 15_000);
    assert!((earned - 1_000..=earned).contains(&spent), "{spent} of {earned}");
}

#[test]
fn a_small_budget_under_contention_gives_no_more_than_comes_in() {
    let budget = RetryBudget::builder().ratio(0.5).min_per_second(0.0).burst(1).build();
    let budget = budget.expect("valid settings");
    let permitted = AtomicU64::new(0);
    together(
        |_| {
            for _ in 0..20_000 {
                budget.deposit();
                permitted.fetch_add(u64::from(budget.try_withdraw()), Ordering::Relaxed);
            }
        },
        || (),
    );
    let permitted = permitted.into_inner();
    assert!(permitted <= THREADS * 10_000 + 1, "{permitted} retries");
    assert_eq!((budget.retries(), budget.calls()), (permitted, THREADS * 20_000));
}

#[test]
fn named_retries_lose_no_count() {
    let config = RetryConfig::new().max_attempts(5).base_delay(Duration::ZERO);
    let retry = Retry::named("stress", config).expect("valid settings");
    let (succeeded, attempts) = (AtomicU64::new(0), AtomicU64::new(0));
    together(
        |mut random| {
            for _ in 0..10_000 {
                let result = retry.call_with(
                    |_| (),
                    || {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        if random.below(2) == 0 { Ok(()) } else { Err("refused") }
                    },
                );
                succeeded.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
            }
        },
        || {
            let totals = retry.totals().expect("it has a name");
            assert!(totals.calls() <= THREADS * 10_000);
        },
    );
    let totals = retry.totals().expect("it has a name");
    assert_eq!((totals.calls(), totals.cancelled), (THREADS * 10_000, 0));
    assert_eq!((totals.succeeded(), totals.failed()), (succeeded.into_inner(), totals.stopped.exhausted));
    assert_eq!(totals.calls() + totals.retries, attempts.into_inner());
}
