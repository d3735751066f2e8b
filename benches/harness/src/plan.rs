//! How to measure: repetitions, and the length of a sample.

use std::time::{Duration, Instant};

use crate::path::HotPath;
use crate::series::{Measurements, Series};
use crate::team::Team;

/// How often a disturbed sample is taken again.
const RETRIES: u32 = 10;

/// How much measuring is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How often every path is run.
    ///
    /// | repetitions | good for |
    /// | --- | --- |
    /// | 11 | does it run at all |
    /// | 101 | a quiet machine |
    /// | 301 | a shared one |
    pub repetitions: usize,
    /// How long one run of one path takes, about. Keep it below a scheduler's time slice (3 ms).
    pub sample: Duration,
    /// How long measuring may take. A sample during which a thread had to wait for a core (only Linux tells) is
    /// taken again while no more than half of this has passed; once all of it has, no further repetition begins.
    pub patience: Duration,
}

impl Plan {
    /// Runs every path once in each repetition, in turn. The turn begins at another path each time, so that none
    /// always follows the same neighbour's leftovers first.
    ///
    /// # Panics
    ///
    /// If two paths share a name.
    pub fn measure(&self, paths: &[HotPath]) -> Measurements {
        let begin = Instant::now();
        let team = Team::new(paths.iter().map(HotPath::thread_count).max().unwrap_or(1));
        let iterations: Vec<u64> = paths.iter().map(|path| self.calibrate(&team, path)).collect();
        let mut series: Vec<Series> = paths
            .iter()
            .map(|path| Series::new(path.name(), path.thread_count(), self.repetitions))
            .collect();
        for repetition in 0..self.repetitions {
            if repetition > 0 && begin.elapsed() > self.patience {
                break;
            }
            for turn in 0..paths.len() {
                let index = (repetition + turn) % paths.len();
                let mut sample = team.time(&paths[index], iterations[index]);
                for _ in 0..RETRIES {
                    if !sample.disturbed || begin.elapsed() > self.patience / 2 {
                        break;
                    }
                    sample = team.time(&paths[index], iterations[index]);
                }
                series[index].push(&sample);
            }
        }
        Measurements::new(series)
    }

    /// How many iterations fill a sample. It warms the path up as well.
    fn calibrate(&self, team: &Team, path: &HotPath) -> u64 {
        let sample = self.sample.as_nanos() as f64;
        let mut iterations = 1;
        loop {
            // The best of three: a sample that is preempted would end the search too soon.
            let each = (0..3).map(|_| team.time(path, iterations).nanoseconds).fold(f64::INFINITY, f64::min);
            let each = each.max(0.01);
            if each * iterations as f64 >= sample / 2.0 {
                return ((sample / each).ceil() as u64).max(1);
            }
            iterations *= 2;
        }
    }
}

impl Default for Plan {
    /// 301 repetitions of half a millisecond, within a minute.
    fn default() -> Self {
        Self { repetitions: 301, sample: Duration::from_micros(500), patience: Duration::from_mins(1) }
    }
}
