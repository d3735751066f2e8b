//! What happens to the venue and when, scaled to the length of a run.

use std::io;
use std::time::Duration;

use crate::desk::Mood;
use crate::process::Venue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Kill,
    Restart,
    Stall,
    Resume,
    Slow(Duration),
    /// One order in so many is answered `Unavailable`.
    Flaky(u32),
    Hiccups(u32),
    Recover,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) action: Action,
}

/// The times that have to fit each other and the length of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) length: Duration,
    /// How long after it fell due an answer to an order is worth something; an unprotected caller
    /// waits as long for it.
    pub(crate) patience: Duration,
    /// How long a protected order may take, all attempts together.
    pub(crate) deadline: Duration,
    /// How long a protected caller waits for a connection or an answer, at each attempt.
    pub(crate) attempt: Duration,
    /// A call out for so long counts as a failure.
    pub(crate) hung: Duration,
    /// A call as long as this is slow.
    pub(crate) slow: Duration,
    /// Recovery timeout of the breaker, and the length of its window.
    pub(crate) recovery: Duration,
    /// How long the venue serves nobody after more orders than it allows.
    pub(crate) ban: Duration,
}

impl Scale {
    pub(crate) fn scripted(length: Duration) -> Self {
        let patience = (length / 60).clamp(Duration::from_millis(50), Duration::from_millis(200));
        let recovery = (length / 24).clamp(Duration::from_millis(100), Duration::from_millis(500));
        let ban = (length / 15).clamp(Duration::from_millis(100), Duration::from_secs(1));
        Self::of(length, patience, patience / 8, recovery, ban)
    }

    /// For a service that we know nothing about and do nothing to.
    pub(crate) fn target(length: Duration) -> Self {
        let recovery = Duration::from_secs(1);
        Self::of(length, Duration::from_millis(250), Duration::from_millis(100), recovery, Duration::ZERO)
    }

    fn of(length: Duration, patience: Duration, slow: Duration, recovery: Duration, ban: Duration) -> Self {
        // The system's timers are some milliseconds late.
        let deadline = patience * 9 / 10;
        // Room for two attempts.
        let attempt = deadline / 2;
        Self { length, patience, deadline, attempt, hung: attempt * 9 / 10, slow, recovery, ban }
    }

    fn part(&self, sixtieths: u32) -> Duration {
        self.length * sixtieths / 60
    }

    /// From when to when the load surges.
    pub(crate) fn surge(&self) -> [Duration; 2] {
        [self.part(54), self.part(58)]
    }

    /// How late the venue answers when it is slow: slow by the rule, yet within the caller's patience.
    pub(crate) fn slow_answer(&self) -> Duration {
        self.patience * 3 / 10
    }
}

/// The script: faults with a quiet stretch after each, in 60ths of the run.
pub(crate) fn faults(scale: &Scale) -> Vec<Step> {
    [
        (4, Action::Kill),
        (10, Action::Restart),
        (14, Action::Stall),
        (21, Action::Resume),
        (25, Action::Slow(scale.slow_answer())),
        (31, Action::Recover),
        (35, Action::Flaky(2)),
        (40, Action::Recover),
        (44, Action::Hiccups(8)),
        (51, Action::Recover),
    ]
    .map(|(part, action)| Step { at: scale.part(part), action })
    .into()
}

impl Action {
    /// The venue's condition from this step on.
    pub(crate) fn phase(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Stall => "stalled",
            Self::Slow(_) => "slow",
            Self::Flaky(_) => "flaky",
            Self::Hiccups(_) => "hiccups",
            Self::Restart | Self::Resume | Self::Recover => "well",
        }
    }

    /// Whether the venue takes orders from this step on, however badly.
    pub(crate) fn leaves_it_up(self) -> bool {
        !matches!(self, Self::Kill | Self::Stall)
    }

    /// Does it, and says in words what was done.
    pub(crate) fn perform(self, venue: &mut Venue) -> io::Result<String> {
        let old = venue.pid();
        Ok(match self {
            Self::Kill => {
                venue.kill()?;
                format!("venue killed: kill -9 {old}")
            }
            Self::Restart => {
                venue.restart()?;
                format!("venue restarted: pid {} on the same port", venue.pid())
            }
            Self::Stall => {
                venue.stall()?;
                format!("venue stalled: SIGSTOP to {old}, connections stay open")
            }
            Self::Resume => {
                venue.resume()?;
                format!("venue resumed: SIGCONT to {old}")
            }
            Self::Slow(by) => {
                venue.tell(Mood::Slow(by))?;
                format!("venue slow: each answer {} ms late", by.as_millis())
            }
            Self::Flaky(one_in) | Self::Hiccups(one_in) => {
                venue.tell(Mood::Flaky(one_in))?;
                let phase = self.phase();
                format!("venue {phase}: one order in {one_in} answered 'unavailable'")
            }
            Self::Recover => {
                venue.tell(Mood::Well)?;
                "venue well again".into()
            }
        })
    }
}
