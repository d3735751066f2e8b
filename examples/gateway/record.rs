//! What is known of a run.

use std::time::Duration;

use fusewire::{Cause, CircuitState};

use crate::ink::{self, CELLS};
use crate::load::Schedule;
use crate::series::Series;
use crate::stack::{Counted, Rules};

/// Something that happened, at a time since the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Script { phase: &'static str, words: String },
    Load { words: String },
    Breaker { from: CircuitState, to: CircuitState, cause: Cause, spent: Duration },
}

/// What is known of a run: at its end all of it, and on the way what there is to show.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) schedule: Schedule,
    pub(crate) elapsed: Duration,
    pub(crate) entries: Vec<Entry>,
    /// How late the script was at its end because the machine stood still.
    pub(crate) put_off: Duration,
    /// Orders filled in each cell of the strip.
    pub(crate) cells: [u64; CELLS],
    pub(crate) series: Series,
    /// What the layers were told and what they have counted, if there are any.
    pub(crate) protection: Option<(Rules, Counted)>,
    pub(crate) events_dropped: u64,
}

impl Record {
    pub(crate) fn state_at(&self, at: Duration) -> CircuitState {
        let states =
            self.entries.iter().rev().filter(|entry| entry.at <= at).find_map(|entry| match entry.what {
                What::Breaker { to, .. } => Some(to),
                What::Script { .. } | What::Load { .. } => None,
            });
        states.unwrap_or(CircuitState::Closed)
    }

    /// The cell and name of each phase of the script.
    pub(crate) fn phases(&self) -> Vec<(usize, &'static str)> {
        let mut phases = Vec::new();
        for entry in &self.entries {
            if let What::Script { phase, .. } = entry.what {
                let mark = (self.cell(entry.at), phase);
                if phases.last() != Some(&mark) {
                    phases.push(mark);
                }
            }
        }
        phases
    }

    /// The state in the middle of each cell of the strip.
    pub(crate) fn states(&self) -> impl Iterator<Item = CircuitState> {
        (0..CELLS as u32)
            .map(|cell| self.state_at(self.schedule.length * (2 * cell + 1) / (2 * CELLS as u32)))
    }

    pub(crate) fn cell(&self, at: Duration) -> usize {
        ink::cell(at, self.schedule.length)
    }

    pub(crate) fn times_opened(&self) -> usize {
        let opened = |entry: &&Entry| matches!(entry.what, What::Breaker { to: CircuitState::Open, .. });
        self.entries.iter().filter(opened).count()
    }
}
