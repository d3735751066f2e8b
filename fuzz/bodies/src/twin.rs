//! A naive circuit breaker: one thread, plain lists, wide integers, a match for each state.
//!
//! It is written from what the engine's documentation promises. Where a promise has a granularity, it
//! is named here: deadlines and the beginning of a state are rounded up to units of 2^18 ns from the
//! origin, which lies a day before the first time that the breaker was told.

pub(crate) mod budget;
pub(crate) mod hung;
pub(crate) mod retry;
pub(crate) mod sliding;
pub(crate) mod window;

use std::time::Duration;

use fusewire::{
    Cancelled, Cause, CircuitBreakerConfig, CircuitState, Event, OpenBackoff, Outcome, ProbeMode,
    RejectReason,
};

use hung::Outstanding;
use window::{Counts, Window};

const UNIT: i128 = 1 << 18;
const DAY: i128 = 86_400_000_000_000;
/// Deadlines of open periods saturate here, 9.1 years after the origin: an open period that would end
/// later ends then.
const LAST_DEADLINE: i128 = (1 << 40) - 2;
/// So do the times at which states began, 36 years after it.
const LAST_TIME: i128 = (1 << 42) - 1;
/// Places and successes of a round of probes.
const MOST_PROBES: i128 = (1 << 20) - 1;

/// Whole units that hold `nanos`.
fn units_up(nanos: i128) -> i128 {
    (nanos + UNIT - 1) / UNIT
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(nanos.max(0) as u64)
}

/// A change of state, with all that an event says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) sequence: u64,
    pub(crate) from: CircuitState,
    pub(crate) to: CircuitState,
    pub(crate) cause: Cause,
    pub(crate) failure_count: u64,
    pub(crate) elapsed: Duration,
    pub(crate) at: u64,
}

impl Move {
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            sequence: event.sequence,
            from: event.from,
            to: event.to,
            cause: event.cause,
            failure_count: event.failure_count,
            elapsed: event.elapsed,
            at: event.at,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed {
        failures: u64,
        ramping: bool,
    },
    /// Until this many units after the origin; `None` when forced.
    Open(Option<i128>),
    HalfOpen {
        out: i128,
        succeeded: i128,
        /// How many probes were granted from outside, and until when, in units.
        granted: Option<(i128, i128)>,
    },
    Disabled,
}

impl State {
    fn kind(self) -> CircuitState {
        match self {
            Self::Closed { .. } => CircuitState::Closed,
            Self::Open(_) => CircuitState::Open,
            Self::HalfOpen { .. } => CircuitState::HalfOpen,
            Self::Disabled => CircuitState::Disabled,
        }
    }
}

/// A call that was let through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    id: usize,
    epoch: u64,
    started: Option<u64>,
    pub(crate) probe: bool,
    /// Which list of outstanding calls it was entered into.
    list: Option<u64>,
}

/// A refusal.
pub(crate) type Refused = (RejectReason, Duration);

/// What the engine said where it may decide either way: by the share of a ramp, and whether it noted
/// when the call began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    pub(crate) admitted: bool,
    pub(crate) started: Option<u64>,
}

/// The counts that [`fusewire::Totals`] also has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) success: u64,
    pub(crate) failure: u64,
    pub(crate) slow_success: u64,
    pub(crate) slow_failure: u64,
    pub(crate) ignored: u64,
    pub(crate) cancelled: u64,
    pub(crate) late: u64,
    pub(crate) hung: u64,
    pub(crate) rejected: [u64; 5],
    pub(crate) transitions: [u64; 4],
}

pub(crate) struct Twin {
    config: CircuitBreakerConfig,
    origin: i128,
    state: State,
    /// When the state began, in units.
    since: i128,
    /// Transitions so far; calls of an earlier number are late.
    epoch: u64,
    /// Open periods in a row.
    streak: u64,
    /// Failures that made the last opening.
    tripped_by: u64,
    last_failure: Option<u64>,
    generation: u64,
    wanted: bool,
    pub(crate) counted: Counted,
    pub(crate) window: Option<Window>,
    /// All results that windows are made of, since the breaker was built.
    windowed: u64,
    outstanding: Option<Outstanding>,
    /// The number of the list that is in use.
    list: u64,
    /// The list before it, with its number.
    retired: Option<(u64, Outstanding)>,
    calls: usize,
    /// Admissions in a row under one share of a ramp: the share, how many, how many passed.
    ramp: (f64, u32, u32),
    /// What moved since somebody took it.
    pub(crate) moves: Vec<Move>,
}

impl Twin {
    pub(crate) fn new(config: CircuitBreakerConfig, first_time: u64) -> Self {
        let mut twin = Self {
            origin: 0,
            state: State::Closed { failures: 0, ramping: false },
            since: 0,
            epoch: 0,
            streak: 0,
            tripped_by: 0,
            last_failure: None,
            generation: 0,
            wanted: false,
            counted: Counted::default(),
            window: None,
            windowed: 0,
            outstanding: None,
            list: 0,
            retired: None,
            calls: 0,
            ramp: (0.0, 0, 0),
            moves: Vec::new(),
            config,
        };
        twin.anchor(first_time);
        twin.follow_config(None);
        twin
    }

    /// The first time that the breaker is told.
    pub(crate) fn anchor(&mut self, first_time: u64) {
        self.origin = (i128::from(first_time) - DAY).max(0);
        self.since = units_up(i128::from(first_time) - self.origin);
    }

    fn elapsed(&self, now: u64) -> i128 {
        (i128::from(now) - self.origin).max(0)
    }

    fn requests(&self) -> i128 {
        i128::from(self.config.half_open_requests)
    }

    fn is_granted(&self) -> bool {
        self.config.probes == ProbeMode::Granted
    }

    // ---- transitions

    fn enter(&mut self, state: State, cause: Cause, failure_count: u64, now: u64) {
        let elapsed = self.elapsed(now);
        let (from, to) = (self.state.kind(), state.kind());
        self.epoch += 1;
        self.moves.push(Move {
            sequence: self.epoch,
            from,
            to,
            cause,
            failure_count,
            elapsed: duration(elapsed - self.since * UNIT),
            at: now,
        });
        self.state = state;
        self.since = units_up(elapsed).min(LAST_TIME);
        self.wanted = false;
        if from != to {
            self.counted.transitions[to as usize] += 1;
        }
        if to == CircuitState::Closed
            && let Some(window) = &mut self.window
        {
            window.restart();
        }
    }

    /// A result opens the breaker, for the next of the open periods in a row.
    fn trip(&mut self, cause: Cause, failures: u64, now: u64) {
        let elapsed = self.elapsed(now);
        let nth = match &self.config.open_backoff {
            None => 1,
            Some(backoff) => {
                let closed_for = elapsed - self.since * UNIT;
                let closed = matches!(self.state, State::Closed { .. });
                let healthy = closed && closed_for.max(0) >= nanos(backoff.healthy_after);
                if healthy { 1 } else { self.streak + 1 }
            }
        };
        let length = self.open_nanos(nth);
        let until = if length == 0 { 0 } else { units_up(elapsed + length).min(LAST_DEADLINE) };
        self.tripped_by = failures;
        self.enter(State::Open(Some(until)), cause, failures, now);
        self.streak = nth;
    }

    /// How long the `nth` open period in a row lasts.
    fn open_nanos(&self, nth: u64) -> i128 {
        let first = nanos(self.config.recovery_timeout);
        let Some(OpenBackoff { factor, max, .. }) = self.config.open_backoff else { return first };
        let (factor, max) = (factor as i128, nanos(max));
        let mut length = first;
        for _ in 1..nth {
            if length >= max || factor == 1 || first == 0 {
                break;
            }
            length *= factor;
        }
        length.min(max)
    }

    // ---- admission

    /// The round's deadline, in units.
    fn round_until(&self, granted: Option<(i128, i128)>) -> i128 {
        let config = &self.config;
        let timeout = config.half_open_timeout.unwrap_or(config.recovery_timeout.max(Duration::from_secs(1)));
        match granted {
            Some((_, until)) if self.is_granted() => until,
            _ => self.since + units_up(nanos(timeout)),
        }
    }

    /// How many probes more may pass: those of a round that are out or succeeded are never more than
    /// `half_open_requests`, or than were granted.
    fn room(&self) -> i128 {
        let State::HalfOpen { out, succeeded, granted } = self.state else { return 0 };
        let places = if self.is_granted() {
            granted.map_or(0, |(places, _)| places.min(self.requests()))
        } else {
            // A round that a smaller number finds with successes enough closes with one more.
            self.requests().max(succeeded + 1)
        };
        (places - out - succeeded).min(MOST_PROBES - out).max(0)
    }

    fn refuse(&mut self, reason: RejectReason, after: Duration) -> Refused {
        self.counted.rejected[reason as usize] += 1;
        (reason, after)
    }

    fn await_grant(&mut self) -> Refused {
        self.wanted = true;
        self.refuse(RejectReason::AwaitingGrant, Duration::ZERO)
    }

    fn refuse_until(&mut self, reason: RejectReason, until: i128, now: u64) -> Refused {
        let after = duration(until * UNIT - self.elapsed(now));
        self.refuse(reason, after)
    }

    fn first_probe(&mut self, cause: Cause, now: u64) {
        let state = State::HalfOpen { out: 1, succeeded: 0, granted: None };
        self.enter(state, cause, self.tripped_by, now);
    }

    /// Whether nothing is promised about an admission at this time: see [`Outstanding::is_past_horizon`].
    pub(crate) fn is_past_horizon(&self, now: u64) -> bool {
        let elapsed = self.elapsed(now);
        let mut lists = self.outstanding.iter().chain(self.retired.iter().map(|(_, calls)| calls));
        lists.any(|calls| calls.is_past_horizon(elapsed))
    }

    pub(crate) fn admit(&mut self, now: u64, hint: Hint) -> Result<Call, Refused> {
        let units = self.elapsed(now) / UNIT;
        if let State::Open(Some(until)) = self.state
            && units < until
        {
            return Err(self.refuse_until(RejectReason::Open, until, now));
        }
        self.find_hung(now);
        let probe = match self.state {
            State::Disabled | State::Closed { ramping: false, .. } => false,
            State::Closed { ramping: true, failures } => {
                self.check_ramp(failures, now, hint.admitted)?;
                false
            }
            State::Open(None) => return Err(self.refuse(RejectReason::ForcedOpen, Duration::MAX)),
            // The hung calls that were just found opened it.
            State::Open(Some(until)) if units < until => {
                return Err(self.refuse_until(RejectReason::Open, until, now));
            }
            State::Open(Some(_)) if self.is_granted() => return Err(self.await_grant()),
            State::Open(Some(_)) => {
                self.first_probe(Cause::RecoveryTimeout, now);
                true
            }
            // A grant ends with its time, used or not.
            State::HalfOpen { granted, .. } if self.is_granted() && units >= self.round_until(granted) => {
                self.enter(State::Open(Some(0)), Cause::RoundExpired, self.tripped_by, now);
                return Err(self.await_grant());
            }
            State::HalfOpen { out, succeeded, granted } if self.room() > 0 => {
                self.state = State::HalfOpen { out: out + 1, succeeded, granted };
                true
            }
            State::HalfOpen { granted, .. } => {
                let until = self.round_until(granted);
                if units < until {
                    return Err(self.refuse_until(RejectReason::HalfOpen, until, now));
                }
                self.first_probe(Cause::RoundExpired, now);
                true
            }
        };
        Ok(self.call(probe, now, hint.started))
    }

    fn call(&mut self, probe: bool, now: u64, started: Option<u64>) -> Call {
        let times = self.config.slow_calls.is_some() || self.outstanding.is_some();
        assert!(started.is_some() || !times, "the beginning of a call was not noted");
        assert!(started.is_none_or(|started| started == now), "a call began at another time");
        self.calls += 1;
        let (elapsed, epoch) = (self.elapsed(now), self.epoch);
        let mut call = Call { id: self.calls, epoch, started, probe, list: None };
        if let Some(outstanding) = &mut self.outstanding {
            let followed = outstanding.follow(call.id, elapsed, epoch);
            call.list = followed.then_some(self.list);
        }
        call
    }

    /// While ramping up, the engine admits a share that grows with time; which calls these are is its
    /// own affair, as long as under one share their number is right.
    fn check_ramp(&mut self, failures: u64, now: u64, admitted: bool) -> Result<(), Refused> {
        let period = self.config.ramp_up.map_or(0, nanos);
        let run = (self.elapsed(now) - self.since * UNIT).max(0);
        if run >= period {
            self.state = State::Closed { failures, ramping: false };
            return Ok(());
        }
        let share = (run as f64 / period as f64).max(0.1);
        let (before, turns, passed) = self.ramp;
        let (turns, passed) = if before.total_cmp(&share).is_eq() { (turns, passed) } else { (0, 0) };
        self.ramp = (share, turns + 1, passed + u32::from(admitted));
        let off = (f64::from(self.ramp.2) - share * f64::from(self.ramp.1)).abs();
        let allowed = 2.0 + f64::from(self.ramp.1).log2();
        assert!(off <= allowed, "a ramp at {share} admitted {} of {}", self.ramp.2, self.ramp.1);
        if admitted { Ok(()) } else { Err(self.refuse(RejectReason::RampUp, Duration::ZERO)) }
    }

    // ---- results

    /// The greatest time of all stands for no failure: one then is noted a nanosecond before.
    fn note_failure(&mut self, now: u64) {
        self.last_failure = self.last_failure.max(Some(now.min(u64::MAX - 1)));
    }

    fn find_hung(&mut self, now: u64) {
        let (elapsed, epoch) = (self.elapsed(now), self.epoch);
        let Some(calls) = &mut self.outstanding else { return };
        let hung = calls.look(elapsed, epoch);
        // Calls that were out when their list was replaced are still looked for.
        let hung = hung + self.retired.as_mut().map_or(0, |(_, calls)| calls.look(elapsed, epoch));
        self.count_hung(hung, now);
    }

    fn count_hung(&mut self, hung: u64, now: u64) {
        if hung == 0 {
            return;
        }
        self.counted.hung += hung;
        self.counted.failure += hung;
        self.note_failure(now);
        if matches!(self.state, State::HalfOpen { .. }) {
            self.trip(Cause::ProbeFailed, self.tripped_by + hung, now);
        } else {
            for _ in 0..hung {
                self.count_windowed(now, true, false);
            }
            let rate = self.rate_rule();
            self.fail(hung, rate, now);
        }
    }

    /// Takes a call out of the list of outstanding ones. False when it counted as hung before.
    fn end(&mut self, call: Call) -> bool {
        match (call.list, &mut self.outstanding, &mut self.retired) {
            (None, ..) => true,
            (Some(list), Some(calls), _) if list == self.list => calls.end(call.id),
            (Some(list), _, Some((retired, calls))) if list == *retired => calls.end(call.id),
            (Some(_), ..) => false,
        }
    }

    pub(crate) fn record(&mut self, call: Call, outcome: Outcome, now: u64) {
        let late = !self.end(call) || call.epoch != self.epoch || matches!(self.state, State::Open(_));
        let slow_after = self.config.slow_calls.map_or(i128::MAX, |slow| nanos(slow.threshold));
        let took = call.started.map_or(0, |started| i128::from(now) - i128::from(started));
        let slow = call.started.is_some() && took > slow_after;
        let outcome = match (outcome, self.config.cancelled_as) {
            (Outcome::Cancelled, Cancelled::Failure) => Outcome::Failure,
            (outcome, _) => outcome,
        };
        match outcome {
            _ if late => self.counted.late += 1,
            Outcome::Ignored | Outcome::Cancelled => {
                let ignored = outcome == Outcome::Ignored;
                *(if ignored { &mut self.counted.ignored } else { &mut self.counted.cancelled }) += 1;
                self.give_back();
            }
            Outcome::Success => {
                self.counted.success += 1;
                self.counted.slow_success += u64::from(slow);
                self.succeed(slow, now);
            }
            Outcome::Failure => {
                self.counted.failure += 1;
                self.counted.slow_failure += u64::from(slow);
                self.note_failure(now);
                if let State::HalfOpen { .. } = self.state {
                    self.trip(Cause::ProbeFailed, self.tripped_by + 1, now);
                } else {
                    self.count_windowed(now, true, slow);
                    let rate = self.rate_rule();
                    self.fail(1, rate, now);
                }
            }
        }
    }

    /// A result without a call is one of the present state.
    pub(crate) fn record_untracked(&mut self, outcome: Outcome, now: u64) {
        let probe = matches!(self.state, State::HalfOpen { .. });
        let call = Call { id: usize::MAX, epoch: self.epoch, started: None, probe, list: None };
        self.record(call, outcome, now);
    }

    /// A probe ended without a verdict. Results without a call may be more than the probes.
    fn give_back(&mut self) {
        if let State::HalfOpen { out, .. } = &mut self.state {
            *out = (*out - 1).max(0);
        }
    }

    fn succeed(&mut self, slow: bool, now: u64) {
        match self.state {
            State::HalfOpen { succeeded, .. } if succeeded + 1 >= self.requests() => {
                let ramping = self.config.ramp_up.is_some();
                self.enter(State::Closed { failures: 0, ramping }, Cause::ProbesSucceeded, 0, now);
            }
            State::HalfOpen { out, succeeded, granted } => {
                self.state = State::HalfOpen { out: (out - 1).max(0), succeeded: succeeded + 1, granted };
            }
            _ => {
                let crossed = self.count_windowed(now, false, slow);
                let looked = crossed || slow || self.window.as_ref().is_some_and(|w| !w.is_timed());
                let rate = if looked { self.rate_rule() } else { None };
                let State::Closed { ramping, .. } = self.state else { return };
                self.state = State::Closed { failures: 0, ramping };
                if let Some((cause, count)) = rate {
                    self.trip(cause, count, now);
                }
            }
        }
    }

    /// Failures while closed, or while nothing is decided.
    fn fail(&mut self, n: u64, rate: Option<(Cause, u64)>, now: u64) {
        let State::Closed { failures, ramping } = self.state else { return };
        let failures = failures + n;
        self.state = State::Closed { failures, ramping };
        if self.config.failure_threshold.is_some_and(|threshold| failures >= u64::from(threshold)) {
            self.trip(Cause::ConsecutiveFailures, failures, now);
        } else if let Some((cause, count)) = rate {
            self.trip(cause, count, now);
        }
    }

    fn count_windowed(&mut self, now: u64, failed: bool, slow: bool) -> bool {
        let elapsed = self.elapsed(now);
        self.windowed += 1;
        self.window.as_mut().is_some_and(|window| window.count(elapsed, failed, slow))
    }

    fn rate_rule(&self) -> Option<(Cause, u64)> {
        self.rate_of(self.window.as_ref()?.decided_by())
    }

    /// The rate rule that the counts make true. A rate is exact to a billionth.
    pub(crate) fn rate_of(&self, (calls, failures, slow): Counts) -> Option<(Cause, u64)> {
        let reached = |rate: f64, part: u64| {
            let billionths = (rate * 1e9).round() as i128;
            i128::from(part) * 1_000_000_000 >= billionths * i128::from(calls)
        };
        if calls < u64::from(self.config.minimum_calls) {
            None
        } else if self.config.failure_rate.is_some_and(|rate| reached(rate, failures)) {
            Some((Cause::FailureRate, failures))
        } else if self.config.slow_calls.is_some_and(|rule| reached(rule.rate, slow)) {
            Some((Cause::SlowCallRate, slow))
        } else {
            None
        }
    }

    // ---- control

    /// The count that a change by hand is announced with: failures in a row that it cuts off. An
    /// opening keeps those that opened the breaker before.
    fn failures_by_hand(&mut self, opens: bool, at_least: u64) -> u64 {
        let pending = match self.state {
            State::Closed { failures, .. } => failures,
            _ => 0,
        };
        if !opens {
            return pending;
        }
        self.tripped_by = match self.state {
            State::Open(_) | State::HalfOpen { .. } => self.tripped_by.max(at_least),
            State::Closed { .. } | State::Disabled => pending.max(at_least),
        };
        self.tripped_by
    }

    pub(crate) fn force_open(&mut self, now: u64) {
        if self.state != State::Open(None) {
            let failures = self.failures_by_hand(true, 0);
            self.enter(State::Open(None), Cause::ForcedOpen, failures, now);
        }
    }

    fn close(&mut self, cause: Cause, now: u64) {
        let failures = self.failures_by_hand(false, 0);
        self.enter(State::Closed { failures: 0, ramping: false }, cause, failures, now);
    }

    pub(crate) fn force_close(&mut self, now: u64) {
        if !matches!(self.state, State::Closed { .. }) {
            self.close(Cause::ForcedClose, now);
            self.streak = 0;
        }
    }

    pub(crate) fn disable(&mut self, now: u64) {
        if self.state != State::Disabled {
            let failures = self.failures_by_hand(false, 0);
            self.enter(State::Disabled, Cause::Disabled, failures, now);
        }
    }

    pub(crate) fn enable(&mut self, now: u64) {
        if self.state == State::Disabled {
            self.close(Cause::Enabled, now);
            self.streak = 0;
        }
    }

    pub(crate) fn reset(&mut self, now: u64) {
        self.close(Cause::Reset, now);
        self.streak = 0;
        self.last_failure = None;
    }

    pub(crate) fn reconfigure(&mut self, config: CircuitBreakerConfig) {
        let before = std::mem::replace(&mut self.config, config);
        self.follow_config(Some(&before));
    }

    /// A window that stays the same keeps its calls, a list of outstanding calls too.
    fn follow_config(&mut self, before: Option<&CircuitBreakerConfig>) {
        let config = &self.config;
        let rates = config.failure_rate.is_some() || config.slow_calls.is_some();
        let kept = self.window.take().filter(|window| window.config() == config.window);
        if rates {
            self.window = Some(kept.unwrap_or_else(|| Window::new(config.window, self.windowed)));
        }
        let after = config.count_hung_after;
        if before.is_none_or(|before| before.count_hung_after != after) {
            if let Some(replaced) = self.outstanding.take() {
                self.retired = Some((self.list, replaced));
            }
            self.list += 1;
            self.outstanding = after.map(|after| Outstanding::new(after.as_nanos()));
        }
    }

    // ---- a fleet

    pub(crate) fn apply_remote(&mut self, generation: u64, state: CircuitState, since: u64, now: u64) {
        if generation <= self.generation {
            return;
        }
        // Not taken over, and so to be said again.
        if matches!(self.state, State::Open(None) | State::Disabled) {
            return;
        }
        self.generation = generation;
        let threshold = self.config.failure_threshold.map_or(1, u64::from);
        let until = match (state, self.state) {
            (CircuitState::Closed, State::Closed { .. }) => return,
            (CircuitState::Closed, _) => return self.close(Cause::Remote, now),
            (CircuitState::Open, _) => {
                let end = self.elapsed(since.min(now)) + nanos(self.config.recovery_timeout);
                units_up(end).min(LAST_DEADLINE)
            }
            (CircuitState::HalfOpen, State::Closed { .. } | State::Open(_)) => 0,
            _ => return,
        };
        if state == CircuitState::Open && self.state == State::Open(Some(until)) {
            return;
        }
        let failures = self.failures_by_hand(true, threshold);
        self.enter(State::Open(Some(until)), Cause::Remote, failures, now);
    }

    pub(crate) fn grant(&mut self, n: u32, until: u64, now: u64) -> bool {
        let (n, units) = (i128::from(n), self.elapsed(now) / UNIT);
        if !self.is_granted() || until <= now {
            return false;
        }
        let until = units_up(self.elapsed(until)).min(LAST_TIME);
        match self.state {
            State::Open(Some(deadline)) if units >= deadline => {
                let state = State::HalfOpen { out: 0, succeeded: 0, granted: Some((n, until)) };
                self.enter(state, Cause::Granted, self.tripped_by, now);
            }
            State::HalfOpen { out, succeeded, granted } => {
                let (places, known) = granted.unwrap_or((0, 0));
                let granted = Some((places + n, known.max(until)));
                self.state = State::HalfOpen { out, succeeded, granted };
            }
            _ => return false,
        }
        self.wanted = false;
        true
    }

    // ---- what it shows

    pub(crate) fn state(&self) -> CircuitState {
        self.state.kind()
    }

    pub(crate) fn is_forced_open(&self) -> bool {
        self.state == State::Open(None)
    }

    pub(crate) fn failure_count(&self) -> u64 {
        match self.state {
            State::Closed { failures, .. } => failures,
            State::Open(_) | State::HalfOpen { .. } => {
                self.tripped_by.max(self.config.failure_threshold.map_or(0, u64::from))
            }
            State::Disabled => 0,
        }
    }

    pub(crate) fn consecutive_failures(&self) -> u64 {
        if let State::Closed { failures, .. } = self.state { failures } else { 0 }
    }

    pub(crate) fn last_failure(&self) -> Option<u64> {
        self.last_failure
    }

    pub(crate) fn since(&self) -> u64 {
        (self.origin + self.since * UNIT).min(i128::from(u64::MAX)) as u64
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn wants_probes(&self) -> bool {
        self.wanted
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn probes(&self) -> Option<(u64, u64)> {
        match self.state {
            State::HalfOpen { succeeded, .. } => Some((self.room() as u64, succeeded as u64)),
            _ => None,
        }
    }

    pub(crate) fn time_until_retry(&self, now: u64) -> Duration {
        let until = match self.state {
            State::Open(None) => return Duration::MAX,
            State::Open(Some(until)) => until,
            State::HalfOpen { granted, .. } if self.room() == 0 => self.round_until(granted),
            _ => return Duration::ZERO,
        };
        duration(until * UNIT - self.elapsed(now))
    }

    /// What the window holds while closed; in the other states nothing is promised.
    pub(crate) fn window_at(&self, now: Option<u64>) -> Option<Counts> {
        let elapsed = now.map(|now| self.elapsed(now));
        Some(self.window.as_ref()?.shown(elapsed))
    }
}

fn nanos(duration: Duration) -> i128 {
    // Past 584 years all durations are alike.
    duration.as_nanos().min(u128::from(u64::MAX)).cast_signed()
}
