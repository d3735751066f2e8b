//! The whole public breaker against the naive one.

use std::time::Duration;

use fusewire::{
    Cancelled, CircuitBreaker, CircuitBreakerConfig, CircuitState, EventQueue, ManualClock, OpenBackoff,
    Outcome, ProbeMode, SlowCalls, Token, Totals, Transition, WindowConfig,
};

use crate::input::Input;
use crate::twin::{Call, Counted, Hint, Move, Twin};

const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;
const DAY: u64 = 24 * 3600 * 1_000_000_000;
/// Operations of one case, so that the naive lists stay short.
const MOST_OPERATIONS: usize = 400;
const MOST_CALLS: usize = 64;

/// Random operations on the whole public breaker, compared with the naive one after each.
///
/// # Panics
///
/// Where the two differ; the operations up to there are written to standard error.
pub fn breaker(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let stripes = input.pick(&[1, 1, 2, 65]);
    let now = input.pick(&[0, 1, DAY - 1, 1_700_000_000_000_000_000, u64::MAX - YEAR, u64::MAX - 1_000_000]);
    let config = config(&mut input, stripes);
    let mut driver = Driver::new(config, stripes, now);
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { return };
        let operation = Operation::decode(kind, &mut input, stripes);
        driver.history.push((driver.now, operation.clone()));
        driver.apply(operation);
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Admit,
    /// Ends one of the calls that are out.
    Finish(usize, Outcome),
    /// A call from its admission to its end, which comes some time later.
    Call(Outcome, u64),
    /// Several calls that end at once.
    Burst(usize, Outcome),
    /// A permit that is dropped: a cancelled call.
    Drop,
    /// One of the calls that are out is never heard of again.
    Lose(usize),
    Untracked(Outcome),
    Time(Time),
    ForceOpen,
    ForceClose,
    Disable,
    Enable,
    Reset,
    Reconfigure(Box<CircuitBreakerConfig>),
    Grant(u32, u64),
    Remote(u64, CircuitState, u64),
}

#[derive(Clone, Copy, Debug)]
enum Time {
    Forward(u64),
    Back(u64),
    /// To just before (0), at (1) or just after (2) the moment at which a call may pass.
    ToRetry(u64),
    To(u64),
}

const OUTCOMES: [Outcome; 4] = [Outcome::Success, Outcome::Failure, Outcome::Ignored, Outcome::Cancelled];

impl Operation {
    fn decode(kind: u8, input: &mut Input<'_>, stripes: usize) -> Self {
        match kind % 32 {
            0..=3 => Self::Admit,
            4..=8 => Self::Finish(input.below(MOST_CALLS), input.pick(&OUTCOMES)),
            9..=11 => Self::Call(input.pick(&OUTCOMES), input.number() >> 16),
            12 => Self::Burst(input.below(12), Outcome::Failure),
            13 => Self::Burst(input.below(12), input.pick(&OUTCOMES)),
            14 => Self::Drop,
            15 => Self::Lose(input.below(MOST_CALLS)),
            16 => Self::Untracked(input.pick(&OUTCOMES)),
            17..=19 => Self::Time(Time::Forward(input.number() >> 14)),
            20 => Self::Time(Time::Back(input.number() % DAY)),
            21 | 22 => Self::Time(Time::ToRetry(u64::from(input.byte() % 3))),
            23 => Self::Time(match input.byte() % 4 {
                0 => Time::Forward(u64::from(input.byte()) * YEAR),
                1 => Time::To(u64::MAX - u64::from(input.byte())),
                2 => Time::To(input.number()),
                _ => Time::Forward(u64::from(input.byte()) << 27),
            }),
            24 => Self::ForceOpen,
            25 => Self::ForceClose,
            26 => Self::Disable,
            27 => Self::Enable,
            28 => Self::Reset,
            29 => Self::Reconfigure(Box::new(config(input, stripes))),
            30 => Self::Grant(input.pick(&[0, 1, 2, 3, 10, u32::MAX]), input.number()),
            _ => {
                let generation = u64::from(input.byte());
                Self::Remote(generation, input.pick(&CircuitState::ALL), input.number())
            }
        }
    }
}

/// Any valid settings for which the twin's promises are exact.
fn config(input: &mut Input<'_>, stripes: usize) -> CircuitBreakerConfig {
    let longest = Duration::from_nanos(9 * YEAR);
    let periods = [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_micros(300),
        Duration::from_millis(40),
        Duration::from_secs(1),
        Duration::from_secs(30),
        longest,
    ];
    let mut config = CircuitBreakerConfig::default();
    config.failure_threshold = input.pick(&[None, Some(1), Some(2), Some(3), Some(5), Some(u32::MAX)]);
    config.recovery_timeout = input.pick(&periods);
    config.half_open_requests = input.pick(&[1, 2, 3, 3, 8, (1 << 20) - 1]);
    config.half_open_timeout = input.flag().then(|| input.pick(&periods[1..]));
    config.open_backoff = (input.one_in(4)).then(|| {
        let recovery = config.recovery_timeout;
        OpenBackoff {
            factor: input.pick(&[1.0, 2.0, 10.0, 1000.0]),
            max: input.pick(&[recovery, recovery.saturating_mul(6).min(longest), longest]),
            jitter: 0.0,
            healthy_after: input.pick(&periods),
        }
    });
    config.failure_rate = input.pick(&[None, None, Some(1e-9), Some(0.3), Some(0.5), Some(1.0)]);
    config.slow_calls = (input.one_in(4))
        .then(|| SlowCalls { threshold: input.pick(&periods), rate: input.pick(&[1e-9, 0.5, 1.0]) });
    config.minimum_calls = input.pick(&[1, 1, 2, 5, 10, u32::MAX]);
    let buckets = input.pick(&[1_u32, 2, 3, 10, 1024]);
    // Every call looks at a window of calls whose buckets are this narrow, if the tally has one lane.
    let width = input.pick(&[1_u32, 2, 3]);
    let count = input.flag() && stripes == 1;
    config.window = if count {
        WindowConfig::count(width * buckets - input.below(width as usize) as u32, buckets)
    } else {
        let least = Duration::from_micros(u64::from(buckets));
        WindowConfig::time(input.pick(&periods).max(least), buckets)
    };
    let hung = input.pick(&[None, None, Some(1), Some(80), Some(1_000_003), Some(2_000_000_000)]);
    // Hung calls are found several at a time, and a window of calls is looked at only after all of them.
    config.count_hung_after = hung.filter(|_| !count).map(Duration::from_nanos);
    config.ramp_up = (input.one_in(4)).then(|| input.pick(&periods[1..]));
    config.cancelled_as = input.pick(&[Cancelled::Ignored, Cancelled::Ignored, Cancelled::Failure]);
    config.probes = input.pick(&[ProbeMode::Local, ProbeMode::Local, ProbeMode::Granted]);
    config
}

/// What an operation says that it moved, if it says.
#[derive(Clone, Copy)]
enum Said {
    Nothing,
    Moved(Option<Transition>),
}

struct Driver {
    breaker: CircuitBreaker,
    twin: Twin,
    events: EventQueue,
    clock: ManualClock,
    now: u64,
    /// Whether the breaker was told a time yet.
    told: bool,
    calls: Vec<(Token, Call)>,
    /// Calls that were let through or recorded without a token.
    begun: u64,
    lost: u64,
    history: Vec<(u64, Operation)>,
}

impl Driver {
    fn new(config: CircuitBreakerConfig, stripes: usize, now: u64) -> Self {
        let (events, clock) = (EventQueue::new(), ManualClock::new());
        clock.set(now);
        let breaker = CircuitBreaker::builder("twin")
            .config(config.clone())
            .stripes(stripes)
            .events(&events)
            .clock(&clock)
            .build()
            .expect("only valid settings are decoded");
        Self {
            twin: Twin::new(config, now),
            breaker,
            events,
            clock,
            now,
            told: false,
            calls: Vec::new(),
            begun: 0,
            lost: 0,
            history: Vec::new(),
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Admit => {
                if self.calls.len() < MOST_CALLS {
                    let admitted = self.admit();
                    self.calls.extend(admitted);
                }
            }
            Operation::Finish(index, outcome) => {
                if index < self.calls.len() {
                    let call = self.calls.swap_remove(index);
                    self.finish(call, outcome);
                }
            }
            Operation::Call(outcome, took) => {
                if let Some(call) = self.admit() {
                    self.calls.push(call);
                    self.set_time(self.now.saturating_add(took));
                    self.check(Said::Nothing);
                    self.calls.pop();
                    self.finish(call, outcome);
                }
            }
            Operation::Burst(calls, outcome) => {
                for _ in 0..calls {
                    if let Some(call) = self.admit() {
                        self.finish(call, outcome);
                    }
                }
            }
            Operation::Drop => self.drop_permit(),
            Operation::Lose(index) => {
                if index < self.calls.len() {
                    self.calls.swap_remove(index);
                    self.lost += 1;
                }
            }
            Operation::Untracked(outcome) => {
                self.begun += 1;
                let moved = self.breaker.record_untracked_at(outcome, self.now);
                self.twin.record_untracked(outcome, self.now);
                self.check(Said::Moved(moved));
            }
            Operation::Time(time) => self.travel(time),
            Operation::ForceOpen => self.steer(CircuitBreaker::force_open_at, Twin::force_open),
            Operation::ForceClose => self.steer(CircuitBreaker::force_close_at, Twin::force_close),
            Operation::Disable => self.steer(CircuitBreaker::disable_at, Twin::disable),
            Operation::Enable => self.steer(CircuitBreaker::enable_at, Twin::enable),
            Operation::Reset => self.steer(CircuitBreaker::reset_at, Twin::reset),
            Operation::Reconfigure(config) => {
                assert_eq!(self.breaker.reconfigure((*config).clone()), Ok(()));
                assert_eq!(self.breaker.config(), *config);
                self.twin.reconfigure(*config);
                self.check(Said::Nothing);
            }
            Operation::Grant(n, ahead) => {
                let until = self.now.saturating_add(ahead);
                let granted = self.breaker.grant_probes_at(n, until, self.now);
                assert_eq!(granted, self.twin.grant(n, until, self.now));
                self.check(Said::Nothing);
            }
            Operation::Remote(generation, state, ago) => {
                // Sometimes a time to come, as another machine's clock may have it.
                let since = self.now.saturating_sub(ago).saturating_add(ago % 5);
                let moved = self.breaker.apply_remote_at(generation, state, since, self.now);
                self.twin.apply_remote(generation, state, since, self.now);
                self.check(Said::Moved(moved));
            }
        }
    }

    fn admit(&mut self) -> Option<(Token, Call)> {
        if self.twin.is_past_horizon(self.now) {
            return None;
        }
        let said = self.breaker.admit_at(self.now);
        let hint = Hint { admitted: said.is_ok(), started: said.ok().and_then(Token::started) };
        let expected = self.twin.admit(self.now, hint);
        let admitted = match (said, expected) {
            (Ok(token), Ok(call)) => {
                assert_eq!(token.is_probe(), call.probe, "probe");
                self.begun += 1;
                Some((token, call))
            }
            (Err(rejected), Err(refused)) => {
                assert_eq!((rejected.reason, rejected.retry_after), refused, "refusal");
                None
            }
            (said, expected) => panic!("the engine said {said:?}, the twin {expected:?}"),
        };
        // It is out while the totals are compared.
        self.calls.extend(admitted);
        self.check(Said::Nothing);
        self.calls.truncate(self.calls.len() - usize::from(admitted.is_some()));
        admitted
    }

    fn finish(&mut self, (token, call): (Token, Call), outcome: Outcome) {
        // Through the raw form, which must lose nothing.
        let token = Token::from_raw(token.to_raw());
        let moved = self.breaker.record_at(token, outcome, self.now);
        self.twin.record(call, outcome, self.now);
        self.check(Said::Moved(moved));
    }

    fn drop_permit(&mut self) {
        if self.twin.is_past_horizon(self.now) {
            return;
        }
        // A permit by the caller's time is dropped by it, wherever the breaker's clock stands.
        self.clock.set(!self.now);
        let said = self.breaker.try_acquire_at(self.now);
        let hint = Hint { admitted: said.is_ok(), started: Some(self.now) };
        let expected = self.twin.admit(self.now, hint);
        assert_eq!(said.is_ok(), expected.is_ok(), "admission through a permit");
        drop(said);
        self.clock.set(self.now);
        if let Ok(call) = expected {
            self.begun += 1;
            self.twin.record(call, Outcome::Cancelled, self.now);
        }
        self.check(Said::Nothing);
    }

    fn steer(
        &mut self,
        breaker: impl Fn(&CircuitBreaker, u64) -> Option<Transition>,
        twin: impl Fn(&mut Twin, u64),
    ) {
        let moved = breaker(&self.breaker, self.now);
        twin(&mut self.twin, self.now);
        self.check(Said::Moved(moved));
    }

    fn set_time(&mut self, now: u64) {
        self.now = now;
        self.clock.set(now);
        if !self.told {
            self.twin.anchor(now);
        }
    }

    fn travel(&mut self, time: Time) {
        let now = match time {
            Time::Forward(by) => self.now.saturating_add(by),
            Time::Back(by) => self.now.saturating_sub(by),
            Time::To(now) => now,
            Time::ToRetry(off) => match self.breaker.time_until_retry_at(self.now) {
                Duration::MAX => self.now,
                left => self.now.saturating_add(left.as_nanos() as u64 + off).saturating_sub(1),
            },
        };
        self.set_time(now);
        self.check(Said::Nothing);
    }

    /// Compares everything that both show.
    fn check(&mut self, said: Said) {
        let expected = std::mem::take(&mut self.twin.moves);
        let mut events = Vec::new();
        self.events.drain(|event| events.push(Move::of(&event)));
        assert_eq!(events, expected, "events");
        assert_eq!(self.events.dropped(), 0);
        if let Said::Moved(moved) = said {
            let told = |t: Transition| (t.sequence, t.from, t.to, t.cause);
            let event = |m: &Move| (m.sequence, m.from, m.to, m.cause);
            assert_eq!(moved.map(told), expected.last().map(event), "transition");
        }
        let (breaker, twin) = (&self.breaker, &self.twin);
        assert_eq!(breaker.state(), twin.state());
        assert_eq!(breaker.failure_count(), twin.failure_count(), "failure_count");
        assert_eq!(breaker.last_failure_at(), twin.last_failure(), "last_failure_at");
        assert_eq!(breaker.time_until_retry_at(self.now), twin.time_until_retry(self.now), "retry");
        assert_eq!(breaker.wants_probes(), twin.wants_probes(), "wants_probes");
        assert_eq!(breaker.remote_generation(), twin.generation());
        self.check_totals(&breaker.totals(), None);
        let shown = breaker.snapshot_at(self.now);
        assert_eq!((shown.state, shown.forced_open), (twin.state(), twin.is_forced_open()));
        // Neither who only looks nor a call that needs no time says when the breaker began.
        self.told |= shown.since.is_some();
        assert_eq!(shown.since, self.told.then(|| twin.since()), "since");
        assert_eq!(shown.failure_count, twin.failure_count());
        assert_eq!(shown.time_until_retry, twin.time_until_retry(self.now));
        assert_eq!(shown.probes.map(|p| (p.places_left, p.succeeded)), twin.probes(), "probes");
        self.check_totals(&shown.totals, Some(self.now));
    }

    fn check_totals(&self, totals: &Totals, now: Option<u64>) {
        let (rejected, transitions) = (&totals.rejected, &totals.transitions);
        let counted = Counted {
            success: totals.success,
            failure: totals.failure,
            slow_success: totals.slow_success,
            slow_failure: totals.slow_failure,
            ignored: totals.ignored,
            cancelled: totals.cancelled,
            late: totals.late,
            hung: totals.hung,
            rejected: [
                rejected.open,
                rejected.half_open,
                rejected.forced_open,
                rejected.ramp_up,
                rejected.awaiting_grant,
            ],
            transitions: CircuitState::ALL.map(|state| transitions.to(state)),
        };
        assert_eq!(counted, self.twin.counted, "totals");
        assert_eq!(totals.consecutive_failures, self.twin.consecutive_failures());
        assert_eq!(totals.sequence, self.twin.epoch());
        assert_eq!(totals.ended() + self.calls.len() as u64 + self.lost, self.begun, "conservation");
        if self.twin.state() == CircuitState::Closed {
            let window = totals.window.map(|window| (window.calls, window.failures, window.slow));
            assert_eq!(window, self.twin.window_at(now), "window");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the engine and its twin differ after:");
            for (now, operation) in &self.history {
                eprintln!("  at {now}: {operation:?}");
            }
        }
    }
}
