//! What a breaker counts.

use crate::error::RejectReason;
use crate::window::WINDOWED;
use crate::word::breaker::CircuitState;

use super::token::Outcome;

/// Counters of a breaker's tally: one cache line of sixteen. Each result is in exactly one of the
/// first eleven.
pub(super) const COUNTERS: usize = 16;

/// Results that windows are made of come first: closed-state calls.
pub(super) const SUCCESS: usize = 0;
pub(super) const FAILURE: usize = 1;
const SLOW_SUCCESS: usize = 2;
const SLOW_FAILURE: usize = 3;
const PROBE_SUCCESS: usize = 4;
pub(super) const PROBE_FAILURE: usize = 5;
const SLOW_PROBE_SUCCESS: usize = 6;
const SLOW_PROBE_FAILURE: usize = 7;
pub(super) const IGNORED: usize = 8;
pub(super) const CANCELLED: usize = 9;
pub(super) const LATE: usize = 10;
const REJECTED: usize = 11;
const _: () = assert!(WINDOWED == SLOW_FAILURE + 1);
const _: () = assert!(REJECTED + RejectReason::ALL.len() == COUNTERS);

/// Calls that ended with success or failure, of the first counters of a tally, and those of them that failed.
pub(super) fn calls_and_failures(counts: &[u64; IGNORED]) -> [u64; 2] {
    let failures = [FAILURE, SLOW_FAILURE, PROBE_FAILURE, SLOW_PROBE_FAILURE];
    [counts.iter().sum(), failures.iter().map(|counter| counts[*counter]).sum()]
}

/// The counter of a result.
pub(super) const fn of(outcome: Outcome, slow: bool, probe: bool) -> usize {
    match (outcome, slow, probe) {
        (Outcome::Success, false, false) => SUCCESS,
        (Outcome::Success, true, false) => SLOW_SUCCESS,
        (Outcome::Failure, false, false) => FAILURE,
        (Outcome::Failure, true, false) => SLOW_FAILURE,
        (Outcome::Success, false, true) => PROBE_SUCCESS,
        (Outcome::Success, true, true) => SLOW_PROBE_SUCCESS,
        (Outcome::Failure, false, true) => PROBE_FAILURE,
        (Outcome::Failure, true, true) => SLOW_PROBE_FAILURE,
        (Outcome::Ignored, ..) => IGNORED,
        (Outcome::Cancelled, ..) => CANCELLED,
    }
}

/// The counter of a refusal.
#[inline(always)]
pub(super) const fn rejected(reason: RejectReason) -> usize {
    REJECTED + reason as usize
}

/// Refused calls by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedTotals {
    /// While open.
    pub open: u64,
    /// While half-open, with every place of the round taken.
    pub half_open: u64,
    /// While forced open.
    pub forced_open: u64,
    /// During a ramp after closing.
    pub ramp_up: u64,
    /// Past the open duration, before a fleet granted probes.
    pub awaiting_grant: u64,
}

impl RejectedTotals {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.open + self.half_open + self.forced_open + self.ramp_up + self.awaiting_grant
    }
}

/// Transitions by the state that was entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionTotals {
    /// Into closed.
    pub closed: u64,
    /// Into open, forced or not.
    pub open: u64,
    /// Into half-open.
    pub half_open: u64,
    /// Into disabled.
    pub disabled: u64,
}

impl TransitionTotals {
    pub(super) const fn from_array([closed, open, half_open, disabled]: [u64; 4]) -> Self {
        Self { closed, open, half_open, disabled }
    }

    /// Transitions into `state`.
    pub const fn to(&self, state: CircuitState) -> u64 {
        match state {
            CircuitState::Closed => self.closed,
            CircuitState::Open => self.open,
            CircuitState::HalfOpen => self.half_open,
            CircuitState::Disabled => self.disabled,
        }
    }
}

/// Calls of the present window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowCounts {
    /// All of them.
    pub calls: u64,
    /// Those that failed, slow or not.
    pub failures: u64,
    /// Those that were slow, failed or not.
    pub slow: u64,
}

impl WindowCounts {
    pub(super) const fn new([success, failure, slow_success, slow_failure]: [u64; WINDOWED]) -> Self {
        Self {
            calls: success + failure + slow_success + slow_failure,
            failures: failure + slow_failure,
            slow: slow_success + slow_failure,
        }
    }
}

/// Everything that a breaker counted since it was built. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Successful calls, slow ones and probes included.
    pub success: u64,
    /// Failed calls, slow ones, probes and hung ones included.
    pub failure: u64,
    /// Successful calls that were slow.
    pub slow_success: u64,
    /// Failed calls that were slow.
    pub slow_failure: u64,
    /// Calls that said nothing about the service.
    pub ignored: u64,
    /// Calls that ended without a result.
    pub cancelled: u64,
    /// Results that came after their epoch was over, or after their call was counted as hung.
    pub late: u64,
    /// Calls that were counted as failures because they were out too long; `failure` has them too.
    pub hung: u64,
    /// Refused calls.
    pub rejected: RejectedTotals,
    /// Changes of state.
    pub transitions: TransitionTotals,
    /// Failures in a row that are pending while closed.
    pub consecutive_failures: u64,
    /// The present window, when a rate rule is on and the breaker is closed.
    pub window: Option<WindowCounts>,
    /// The number of the last transition that these counts belong to.
    pub sequence: u64,
}

impl Totals {
    pub(super) fn from_counters(c: [u64; COUNTERS]) -> Self {
        let rejected = |reason| c[rejected(reason)];
        Self {
            success: c[SUCCESS] + c[SLOW_SUCCESS] + c[PROBE_SUCCESS] + c[SLOW_PROBE_SUCCESS],
            failure: c[FAILURE] + c[SLOW_FAILURE] + c[PROBE_FAILURE] + c[SLOW_PROBE_FAILURE],
            slow_success: c[SLOW_SUCCESS] + c[SLOW_PROBE_SUCCESS],
            slow_failure: c[SLOW_FAILURE] + c[SLOW_PROBE_FAILURE],
            ignored: c[IGNORED],
            cancelled: c[CANCELLED],
            late: c[LATE],
            rejected: RejectedTotals {
                open: rejected(RejectReason::Open),
                half_open: rejected(RejectReason::HalfOpen),
                forced_open: rejected(RejectReason::ForcedOpen),
                ramp_up: rejected(RejectReason::RampUp),
                awaiting_grant: rejected(RejectReason::AwaitingGrant),
            },
            ..Self::default()
        }
    }

    /// Calls whose end was recorded. A hung call that answered after all is in it once, as late; one
    /// that never did is in `hung` only.
    pub const fn ended(&self) -> u64 {
        let all = self.success + self.failure + self.ignored + self.cancelled + self.late;
        all.saturating_sub(self.hung)
    }
}
