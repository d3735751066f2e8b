//! The state word of a circuit breaker: state, epoch and deadline in one `u64`, and each transition
//! as a pure function of the word.
//!
//! ```text
//!  63                                     24 23 22 21       0
//! +-----------------------------------------+-----+----------+
//! |r:1 failures:39                          | st:2| epoch:22 |  closed (r: ramping up)
//! +-----------------------------------------+-----+----------+
//! | deadline:40, in units of 2^18 ns        | st:2| epoch:22 |  open (all ones: forced open)
//! +--------------------+--------------------+-----+----------+
//! | out:20             | succeeded:20       | st:2| epoch:22 |  half-open
//! +--------------------+--------------------+-----+----------+
//! | 0                                       | st:2| epoch:22 |  disabled
//! +-----------------------------------------+-----+----------+
//! ```
//!
//! State, epoch and deadline move in one exchange, so nobody sees OPEN without its deadline. Each
//! transition enters the next epoch; what was admitted in an earlier one cannot move the word.
//!
//! Closed is state zero and the epoch stands lowest, so a closed word with nothing pending is its epoch:
//! a small number, which one comparison tells from all others.

use std::fmt;

use super::cell::Step;
use super::{EPOCH_BITS, Field, next_epoch};
use crate::sync::{Mutant, mutant};

const EPOCH: Field = Field::lowest(EPOCH_BITS);
const STATE: Field = EPOCH.then(2);
const SUCCEEDED: Field = STATE.then(20);
const OUT: Field = SUCCEEDED.then(20);
const FAILURES: Field = STATE.then(39);
const RAMPING: Field = FAILURES.then(1);
const DEADLINE: Field = STATE.then(40);
const _: () = assert!(CircuitState::Closed as u64 == 0);
const _: () = assert!(OUT.end() == 64 && RAMPING.end() == 64 && DEADLINE.end() == 64);

/// The greatest `half_open_requests`.
pub(crate) const MAX_PROBES: u32 = OUT.max() as u32;

/// The payload of OPEN that no time reaches.
const FORCED: u64 = DEADLINE.max();

/// log2 of the unit of deadlines, in nanoseconds.
pub(crate) const UNIT_SHIFT: u32 = 18;

/// Nanoseconds as whole units, rounded up, so that a deadline is never early.
#[inline(always)]
pub(crate) const fn units_up(nanos: u64) -> u64 {
    (nanos >> UNIT_SHIFT) + (nanos & ((1 << UNIT_SHIFT) - 1) != 0) as u64
}

/// Where a circuit breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// Calls pass and their results are watched.
    Closed,
    /// Calls are refused until the open duration has passed.
    Open,
    /// A limited number of probes pass; their results decide.
    HalfOpen,
    /// Calls pass and nothing is decided.
    Disabled,
}

impl CircuitState {
    /// Each state, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::Disabled];

    /// The name used in labels and records: `closed`, `open`, `half_open`, `disabled`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Disabled => "disabled",
        }
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self::ALL[(bits & 3) as usize]
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// As many failures in a row as the threshold.
    ConsecutiveFailures,
    /// The failure rate of the window reached its threshold.
    FailureRate,
    /// The slow-call rate of the window reached its threshold.
    SlowCallRate,
    /// The open duration had passed when a call came.
    RecoveryTimeout,
    /// Enough probes of one round succeeded.
    ProbesSucceeded,
    /// A probe failed.
    ProbeFailed,
    /// A round of probes was still undecided at its deadline.
    RoundExpired,
    /// A fleet granted probes.
    Granted,
    /// `force_open` was called.
    ForcedOpen,
    /// `force_close` was called.
    ForcedClose,
    /// `disable` was called.
    Disabled,
    /// `enable` was called.
    Enabled,
    /// `reset` was called.
    Reset,
    /// The fleet's shared state moved.
    Remote,
}

impl Cause {
    pub(crate) const ALL: [Self; 14] = [
        Self::ConsecutiveFailures,
        Self::FailureRate,
        Self::SlowCallRate,
        Self::RecoveryTimeout,
        Self::ProbesSucceeded,
        Self::ProbeFailed,
        Self::RoundExpired,
        Self::Granted,
        Self::ForcedOpen,
        Self::ForcedClose,
        Self::Disabled,
        Self::Enabled,
        Self::Reset,
        Self::Remote,
    ];

    /// The name used in labels and records, such as `consecutive_failures`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowCallRate => "slow_call_rate",
            Self::RecoveryTimeout => "recovery_timeout",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ProbeFailed => "probe_failed",
            Self::RoundExpired => "round_expired",
            Self::Granted => "granted",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClose => "forced_close",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Reset => "reset",
            Self::Remote => "remote",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What of a configuration the pure transitions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordRules {
    /// Failures in a row that trip; `u64::MAX` when the rule is off.
    pub(crate) failure_threshold: u64,
    /// Probes of a round, and the successes that close.
    pub(crate) half_open_requests: u64,
    /// Closing by probes begins a ramp.
    pub(crate) ramp: bool,
    /// Probes are granted from outside instead of taken.
    pub(crate) granted: bool,
}

/// When an open period that begins now would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenUntil {
    /// At this many units after the breaker's origin; saturates just below `Forced`.
    Units(u64),
    /// Not by itself.
    Forced,
}

/// What is known of the present round of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Its deadline has passed.
    Over,
    /// It has until this deadline, in units.
    Until(u64),
    /// Its mover has not written its start yet.
    Unstamped,
}

/// The word's answer to a caller who wants in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Let through; no place was taken.
    Free { epoch: u32 },
    /// Let through if the ramp says so.
    Ramp { epoch: u32 },
    /// Let through as a probe of the present round.
    Probe { epoch: u32 },
    /// Let through as the first probe of a new round.
    Opened { epoch: u32, moved: Moved },
    /// Refused until the deadline, in units.
    Open { until: u64 },
    /// Refused until somebody closes the breaker.
    Forced,
    /// Refused: no place is left in this round.
    Full { epoch: u32, round: Round },
    /// Refused: the open duration has passed, but probes are granted from outside.
    AwaitingGrant,
    /// A round that was granted from outside ran out; the breaker is open and past its deadline.
    RoundLapsed { moved: Moved },
}

/// The word's answer to a grant of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It began a round.
    Began(Moved),
    /// It is one more for the round of this epoch.
    Within { epoch: u32 },
    /// The state has no use for it.
    Refused,
}

/// A transition that the exchange just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) from: CircuitState,
    pub(crate) to: CircuitState,
    pub(crate) cause: Cause,
    /// The epoch that was entered.
    pub(crate) epoch: u32,
}

/// A result as the word sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    /// So many failures at once: one for a call, several when hung calls are found together.
    Failures(u64),
    /// Neither: a probe's place is given back.
    Returned,
}

/// What a result did to the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Its epoch is over; nothing changed.
    Late,
    /// It counted without a change of state.
    Counted,
    /// It changed the state.
    Moved(Moved),
}

/// A breaker's packed state; see the module for the diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct BreakerWord(u64);

impl BreakerWord {
    /// Closed, first epoch, no failures.
    pub(crate) const NEW: Self = Self::calm(0);

    /// State bits that no word has beside a payload.
    pub(crate) const ALONE: u64 = STATE.put(CircuitState::Disabled as u64);

    /// Disabled, first epoch.
    pub(crate) const NEW_DISABLED: Self = Self::pack(CircuitState::Disabled, 0, 0);

    const fn pack(state: CircuitState, epoch: u32, payload: u64) -> Self {
        Self(STATE.put(state as u64) | EPOCH.put(epoch as u64) | payload)
    }

    /// Closed with nothing pending: the word on which a success writes nothing.
    #[inline(always)]
    pub(crate) const fn calm(epoch: u32) -> Self {
        Self::pack(CircuitState::Closed, epoch, 0)
    }

    /// Closed with failures pending.
    #[cfg(test)]
    pub(crate) const fn failing(epoch: u32, failures: u64) -> Self {
        Self::closed(epoch, failures, false)
    }

    /// Whether it is the calm word of its epoch.
    #[inline(always)]
    pub(crate) const fn is_calm(self) -> bool {
        self.0 <= EPOCH.max()
    }

    /// The word as it is packed.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    const fn closed(epoch: u32, failures: u64, ramping: bool) -> Self {
        Self::pack(
            CircuitState::Closed,
            epoch,
            FAILURES.put_saturating(failures) | RAMPING.put(ramping as u64),
        )
    }

    pub(crate) const fn open(epoch: u32, until: OpenUntil) -> Self {
        let deadline = match until {
            OpenUntil::Forced => FORCED,
            OpenUntil::Units(units) if units >= FORCED => FORCED - 1,
            OpenUntil::Units(units) => units,
        };
        Self::pack(CircuitState::Open, epoch, DEADLINE.put(deadline))
    }

    pub(crate) const fn half_open(epoch: u32, out: u64, succeeded: u64) -> Self {
        Self::pack(
            CircuitState::HalfOpen,
            epoch,
            OUT.put_saturating(out) | SUCCEEDED.put_saturating(succeeded),
        )
    }

    #[inline(always)]
    pub(crate) const fn state(self) -> CircuitState {
        CircuitState::from_bits(STATE.get(self.0))
    }

    #[inline(always)]
    pub(crate) const fn epoch(self) -> u32 {
        EPOCH.get(self.0) as u32
    }

    /// Disabled, or closed and not ramping: anybody may pass.
    #[inline(always)]
    pub(crate) const fn admits_all(self) -> bool {
        // The ramp's bit is the payload's top bit in either state.
        let state = STATE.get(self.0);
        (state == CircuitState::Closed as u64 || state == CircuitState::Disabled as u64)
            && RAMPING.get(self.0) == 0
    }

    /// The deadline of an open word, in units; `None` in another state or when forced open.
    #[inline(always)]
    pub(crate) const fn open_until(self) -> Option<u64> {
        // The deadline stands uppermost: none is greater than that of a forced word.
        let forced = self.0 >= DEADLINE.put(FORCED);
        if !forced && STATE.get(self.0) == CircuitState::Open as u64 {
            Some(DEADLINE.get(self.0))
        } else {
            None
        }
    }

    pub(crate) const fn is_forced_open(self) -> bool {
        STATE.get(self.0) == CircuitState::Open as u64 && DEADLINE.get(self.0) == FORCED
    }

    /// Failures in a row of a closed word; zero in other states.
    pub(crate) const fn failures(self) -> u64 {
        match self.state() {
            CircuitState::Closed => FAILURES.get(self.0),
            _ => 0,
        }
    }

    const fn is_ramping(self) -> bool {
        matches!(self.state(), CircuitState::Closed) && RAMPING.get(self.0) == 1
    }

    /// Probes that are out and that succeeded of a half-open word.
    pub(crate) const fn probes(self) -> Option<(u64, u64)> {
        match self.state() {
            CircuitState::HalfOpen => Some((OUT.get(self.0), SUCCEEDED.get(self.0))),
            _ => None,
        }
    }

    /// How many calls more the round lets through; `granted` is how many it was granted from outside.
    ///
    /// The word counts what is out and not what is left, so that a round follows the rules as they
    /// stand: nothing in it has to be put right when they change.
    pub(crate) fn places_left(self, granted: Option<u64>, rules: &WordRules) -> u64 {
        let Some((out, succeeded)) = self.probes() else { return 0 };
        let places = if rules.granted {
            granted.unwrap_or(0).min(rules.half_open_requests)
        } else {
            // One that has as many successes as a smaller number now asks for closes with the next.
            rules.half_open_requests.max(succeeded + 1)
        };
        places.saturating_sub(out + succeeded).min(OUT.max() - out)
    }

    fn moved(self, to: CircuitState, cause: Cause) -> Moved {
        Moved { from: self.state(), to, cause, epoch: next_epoch(self.epoch()) }
    }

    /// Enters `to`'s next epoch with `next` made for that epoch.
    fn enter(self, cause: Cause, next: impl FnOnce(u32) -> Self) -> (Self, Moved) {
        let epoch = next_epoch(self.epoch());
        let next = next(epoch);
        (next, self.moved(next.state(), cause))
    }

    /// A caller wants in at `now` (units); `granted` is as in `places_left`.
    pub(crate) fn admit(
        self,
        now: u64,
        round: Round,
        granted: Option<u64>,
        rules: &WordRules,
    ) -> Step<Self, Admission> {
        let epoch = self.epoch();
        match self.state() {
            CircuitState::Closed if self.is_ramping() => Step::Keep(Admission::Ramp { epoch }),
            CircuitState::Closed | CircuitState::Disabled => Step::Keep(Admission::Free { epoch }),
            CircuitState::Open => match self.open_until() {
                None => Step::Keep(Admission::Forced),
                Some(until) if now < until => Step::Keep(Admission::Open { until }),
                Some(_) if rules.granted => Step::Keep(Admission::AwaitingGrant),
                Some(_) => self.first_probe(Cause::RecoveryTimeout),
            },
            CircuitState::HalfOpen => {
                let (out, succeeded) = (OUT.get(self.0), SUCCEEDED.get(self.0));
                match round {
                    // A grant ends with its time, whatever it left unused: others may have it by now.
                    Round::Over if rules.granted => {
                        let (next, moved) =
                            self.enter(Cause::RoundExpired, |e| Self::open(e, OpenUntil::Units(0)));
                        Step::Set(next, Admission::RoundLapsed { moved })
                    }
                    // A round with places left is not replaced: one that sees a call an hour must
                    // still be able to close.
                    _ if self.places_left(granted, rules) > 0 => {
                        Step::Set(Self::half_open(epoch, out + 1, succeeded), Admission::Probe { epoch })
                    }
                    Round::Over => self.first_probe(Cause::RoundExpired),
                    round => Step::Keep(Admission::Full { epoch, round }),
                }
            }
        }
    }

    fn first_probe(self, cause: Cause) -> Step<Self, Admission> {
        let (next, moved) = self.enter(cause, |e| Self::half_open(e, 1, 0));
        Step::Set(next, Admission::Opened { epoch: next.epoch(), moved })
    }

    /// A call that was admitted in `epoch` ended. `trip` is the rate rule that its result made true;
    /// `until` when a period opened by it would end.
    pub(crate) fn finish(
        self,
        epoch: u32,
        verdict: Verdict,
        trip: Option<Cause>,
        until: OpenUntil,
        rules: &WordRules,
    ) -> Step<Self, Effect> {
        if epoch != self.epoch() && !mutant(Mutant::IgnoreEpoch) {
            return Step::Keep(Effect::Late);
        }
        match self.state() {
            CircuitState::Closed => self.finish_closed(verdict, trip, until, rules),
            CircuitState::HalfOpen => self.finish_probe(verdict, until, rules),
            CircuitState::Disabled => Step::Keep(Effect::Counted),
            CircuitState::Open => Step::Keep(Effect::Late),
        }
    }

    fn finish_closed(
        self,
        verdict: Verdict,
        trip: Option<Cause>,
        until: OpenUntil,
        rules: &WordRules,
    ) -> Step<Self, Effect> {
        let failures = match verdict {
            Verdict::Success => 0,
            Verdict::Failures(n) => self.failures().saturating_add(n).min(FAILURES.max()),
            Verdict::Returned => self.failures(),
        };
        let counted_out = matches!(verdict, Verdict::Failures(_)) && failures >= rules.failure_threshold;
        let cause = if counted_out { Some(Cause::ConsecutiveFailures) } else { trip };
        if let Some(cause) = cause {
            let (next, moved) = self.enter(cause, |e| Self::open(e, until));
            return Step::Set(next, Effect::Moved(moved));
        }
        let next = Self::closed(self.epoch(), failures, self.is_ramping());
        if next == self { Step::Keep(Effect::Counted) } else { Step::Set(next, Effect::Counted) }
    }

    fn finish_probe(self, verdict: Verdict, until: OpenUntil, rules: &WordRules) -> Step<Self, Effect> {
        let (out, succeeded) = (OUT.get(self.0), SUCCEEDED.get(self.0));
        // Saturates for untracked results only: a tracked probe was counted out.
        let out = out.saturating_sub(1);
        match verdict {
            Verdict::Success if succeeded + 1 >= rules.half_open_requests => {
                let (next, moved) = self.enter(Cause::ProbesSucceeded, |e| Self::closed(e, 0, rules.ramp));
                Step::Set(next, Effect::Moved(moved))
            }
            Verdict::Success => Step::Set(Self::half_open(self.epoch(), out, succeeded + 1), Effect::Counted),
            Verdict::Failures(_) => {
                let (next, moved) = self.enter(Cause::ProbeFailed, |e| Self::open(e, until));
                Step::Set(next, Effect::Moved(moved))
            }
            Verdict::Returned => {
                let next = Self::half_open(self.epoch(), out, succeeded);
                if next == self { Step::Keep(Effect::Counted) } else { Step::Set(next, Effect::Counted) }
            }
        }
    }

    /// The ramp of `epoch` is over.
    pub(crate) fn end_ramp(self, epoch: u32) -> Step<Self, ()> {
        if self.epoch() == epoch && self.is_ramping() {
            Step::Set(Self::closed(epoch, self.failures(), false), ())
        } else {
            Step::Keep(())
        }
    }

    /// Probes are granted at `now` (units): to an open word whose time has passed, or to the round that
    /// runs.
    pub(crate) fn grant(self, now: u64) -> Step<Self, Grant> {
        match self.state() {
            CircuitState::Open if self.open_until().is_some_and(|until| now >= until) => {
                let (next, moved) = self.enter(Cause::Granted, |e| Self::half_open(e, 0, 0));
                Step::Set(next, Grant::Began(moved))
            }
            CircuitState::HalfOpen => Step::Keep(Grant::Within { epoch: self.epoch() }),
            _ => Step::Keep(Grant::Refused),
        }
    }

    /// Opens whatever the state.
    pub(crate) fn force(self, cause: Cause, until: OpenUntil) -> Step<Self, Option<Moved>> {
        if until == OpenUntil::Forced && self.is_forced_open() {
            return Step::Keep(None);
        }
        let (next, moved) = self.enter(cause, |e| Self::open(e, until));
        Step::Set(next, Some(moved))
    }

    /// Closes with no failures pending. A word that is closed already enters a new epoch only when
    /// `restart` asks for it.
    pub(crate) fn close(self, cause: Cause, restart: bool) -> Step<Self, Option<Moved>> {
        if self.state() == CircuitState::Closed && !restart {
            return Step::Keep(None);
        }
        let (next, moved) = self.enter(cause, Self::calm);
        Step::Set(next, Some(moved))
    }

    /// Lets everything through and decides nothing.
    pub(crate) fn disable(self) -> Step<Self, Option<Moved>> {
        if self.state() == CircuitState::Disabled {
            return Step::Keep(None);
        }
        let (next, moved) = self.enter(Cause::Disabled, |e| Self::pack(CircuitState::Disabled, e, 0));
        Step::Set(next, Some(moved))
    }

    /// Closes a disabled word and no other.
    pub(crate) fn enable(self) -> Step<Self, Option<Moved>> {
        if self.state() == CircuitState::Disabled {
            self.close(Cause::Enabled, true)
        } else {
            Step::Keep(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: WordRules =
        WordRules { failure_threshold: 3, half_open_requests: 2, ramp: false, granted: false };

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn set<R>(step: Step<BreakerWord, R>) -> BreakerWord {
        match step {
            Step::Set(word, _) => word,
            Step::Keep(_) => panic!("the word should have changed"),
        }
    }

    #[test]
    fn a_deadline_saturates_below_forced() {
        let word = BreakerWord::open(1, OpenUntil::Units(u64::MAX));
        assert_eq!(word.open_until(), Some(FORCED - 1));
        assert!(!word.is_forced_open());
        assert!(BreakerWord::open(1, OpenUntil::Forced).is_forced_open());
    }

    #[test]
    fn failures_saturate_and_never_reach_the_ramp_bit() {
        let rules = WordRules { failure_threshold: u64::MAX, ..RULES };
        let word = BreakerWord::NEW;
        let step = word.finish(0, Verdict::Failures(u64::MAX), None, OpenUntil::Units(0), &rules);
        let word = set(step);
        assert_eq!(word.failures(), FAILURES.max());
        assert!(word.admits_all());
    }

    #[test]
    fn a_success_on_a_calm_word_writes_nothing() {
        let step = BreakerWord::calm(7).finish(7, Verdict::Success, None, OpenUntil::Units(0), &RULES);
        assert!(matches!(step, Step::Keep(Effect::Counted)));
    }

    #[test]
    fn a_round_with_places_left_outlives_its_deadline() {
        let word = BreakerWord::half_open(4, 0, 1);
        assert!(matches!(
            word.admit(9, Round::Over, None, &RULES),
            Step::Set(_, Admission::Probe { epoch: 4 })
        ));
        let full = BreakerWord::half_open(4, 1, 1);
        assert!(matches!(
            full.admit(9, Round::Over, None, &RULES),
            Step::Set(_, Admission::Opened { epoch: 5, .. })
        ));
    }

    #[test]
    fn untracked_results_saturate() {
        let fresh = BreakerWord::half_open(4, 0, 0);
        let back = fresh.finish(4, Verdict::Returned, None, OpenUntil::Units(0), &RULES);
        assert!(matches!(back, Step::Keep(Effect::Counted)));
        let one = set(fresh.finish(4, Verdict::Success, None, OpenUntil::Units(0), &RULES));
        assert_eq!((one.probes(), one.places_left(None, &RULES)), (Some((0, 1)), 1));
    }

    #[test]
    fn a_round_follows_a_new_size() {
        let places =
            |word: BreakerWord, n| word.places_left(None, &WordRules { half_open_requests: n, ..RULES });
        let word = BreakerWord::half_open(4, 2, 1);
        assert_eq!([1, 3, 4, 5].map(|n| places(word, n)), [0, 0, 1, 2]);
        // With successes enough and nobody out, one more may come and close it.
        assert_eq!([1, 2, 3].map(|n| places(BreakerWord::half_open(4, 0, 2), n)), [1, 1, 1]);
        assert_eq!(places(BreakerWord::half_open(4, OUT.max(), 0), OUT.max()), 0);
    }

    #[test]
    fn a_granted_round_has_the_places_that_were_granted() {
        let rules = WordRules { granted: true, ..RULES };
        let word = BreakerWord::half_open(4, 1, 1);
        assert_eq!([None, Some(1), Some(2), Some(7)].map(|n| word.places_left(n, &rules)), [0, 0, 0, 0]);
        let fresh = BreakerWord::half_open(4, 0, 0);
        assert_eq!([None, Some(1), Some(7)].map(|n| fresh.places_left(n, &rules)), [0, 1, 2]);
    }

    #[test]
    fn every_cause_and_state_has_its_place() {
        for (i, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, i);
        }
        for (i, state) in CircuitState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, i);
        }
    }
}
