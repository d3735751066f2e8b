//! What happens to the venue and when, scaled to the length of a run.

use std::io;
use std::time::Duration;

use crate::process::Venue;
use crate::venue::Mood;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Kill,
    Restart,
    Stall,
    Resume,
    Slow(Duration),
    Flaky,
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
    /// How long a caller waits for a connection or an answer.
    pub(crate) patience: Duration,
    /// A call as long as this is slow.
    pub(crate) slow: Duration,
    /// Recovery timeout of the breaker, and the length of its window.
    pub(crate) recovery: Duration,
}

impl Scale {
    pub(crate) fn scripted(length: Duration) -> Self {
        let patience = (length / 60).clamp(Duration::from_millis(50), Duration::from_millis(200));
        let recovery = (length / 24).clamp(Duration::from_millis(100), Duration::from_millis(500));
        Self { length, patience, slow: patience / 8, recovery }
    }

    /// For a service that we know nothing about and do nothing to.
    pub(crate) fn target(length: Duration) -> Self {
        let recovery = Duration::from_secs(1);
        Self { length, patience: Duration::from_millis(250), slow: Duration::from_millis(100), recovery }
    }

    /// How late the venue answers when it is slow: slow by the rule, yet within the caller's patience.
    pub(crate) fn slow_answer(&self) -> Duration {
        self.patience * 3 / 10
    }
}

/// The script: faults with a quiet stretch after each, in 48ths of the run.
pub(crate) fn faults(scale: &Scale) -> Vec<Step> {
    [
        (6, Action::Kill),
        (12, Action::Restart),
        (17, Action::Stall),
        (25, Action::Resume),
        (29, Action::Slow(scale.slow_answer())),
        (35, Action::Recover),
        (39, Action::Flaky),
        (44, Action::Recover),
    ]
    .map(|(part, action)| Step { at: scale.length * part / 48, action })
    .into()
}

impl Action {
    /// The venue's condition from this step on.
    pub(crate) fn phase(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Stall => "stalled",
            Self::Slow(_) => "slow",
            Self::Flaky => "flaky",
            Self::Restart | Self::Resume | Self::Recover => "well",
        }
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
            Self::Flaky => {
                venue.tell(Mood::Flaky)?;
                "venue flaky: every other order answered 'unavailable'".into()
            }
            Self::Recover => {
                venue.tell(Mood::Well)?;
                "venue well again".into()
            }
        })
    }
}
