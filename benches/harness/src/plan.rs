//! How to measure: repetitions, and the length of a sample.

use std::time::{Duration, Instant};

use crate::canary::{CALM, Canary};
use crate::path::HotPath;
use crate::series::{Measurements, Series};
use crate::team::Team;

/// How often a disturbed sample is taken again before the next path has its turn.
const RETRIES: u32 = 10;

/// How much measuring is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// How many undisturbed samples of each path are wanted, one a repetition.
    ///
    /// | repetitions | good for |
    /// | --- | --- |
    /// | 11 | does it run at all |
    /// | 101 | a quiet machine |
    /// | 301 | a shared one |
    pub repetitions: usize,
    /// How long one run of one path takes, about. Keep it below a scheduler's time slice (3 ms).
    pub sample: Duration,
    /// How long measuring may take. Until then, disturbed samples are taken again, and repetitions are added for
    /// paths of which half the samples were disturbed; then no further repetition begins.
    pub patience: Duration,
    /// What the canary may show on a core that nothing else runs on: the time of eight counts, each with a load, a
    /// test, an addition and a store, as a multiple of a step of one dependent exclusive or and multiplication.
    /// Samples beside which it showed more are thrown away, and so are those beside which it showed a tenth more
    /// than the least in the run.
    ///
    /// A Zen 4 shows 1.43, and 1.9 to 2.3 while the other hardware thread of its core is busy. Raise it from the
    /// default of 1.75 for a processor that never shows less; `Measurements::canary` says what there is.
    pub calm: f64,
}

impl Plan {
    /// Runs every path once in each repetition, in turn. The turn begins at another path each time, so that none
    /// always follows the same neighbour's leftovers first.
    ///
    /// A sample is thrown away, and counted, if a thread had to wait for a core (only Linux tells) or shared it.
    ///
    /// # Panics
    ///
    /// If two paths share a name.
    pub fn measure(&self, paths: &[HotPath]) -> Measurements {
        let begin = Instant::now();
        let team = Team::new(paths.iter().map(HotPath::thread_count).max().unwrap_or(1));
        let mut canary = Canary::new(self.calm);
        let iterations: Vec<u64> =
            paths.iter().map(|path| self.calibrate(&team, &mut canary, path)).collect();
        let mut series: Vec<Series> =
            paths.iter().map(|path| Series::new(path.name(), path.thread_count())).collect();
        for repetition in 0.. {
            let enough = repetition >= self.repetitions
                && series.iter().all(|series| series.kept() >= self.repetitions.div_ceil(2));
            if enough || repetition > 0 && begin.elapsed() > self.patience {
                break;
            }
            for turn in 0..paths.len() {
                let index = (repetition + turn) % paths.len();
                for _ in 0..=RETRIES {
                    let sample = team.time(&paths[index], iterations[index]);
                    if series[index].take(&sample, &mut canary) || begin.elapsed() > self.patience {
                        break;
                    }
                }
                series[index].end_repetition();
            }
        }
        Measurements::new(series, canary.least())
    }

    /// How many iterations fill a sample. It warms the path up as well.
    fn calibrate(&self, team: &Team, canary: &mut Canary, path: &HotPath) -> u64 {
        let wanted = self.sample.as_nanos() as f64;
        let mut iterations = 1;
        loop {
            // The best of three: a sample that is preempted would end the search too soon.
            let samples = [(); 3].map(|()| team.time(path, iterations));
            for sample in &samples {
                canary.is_shared(sample.look);
            }
            let each =
                samples.iter().map(|sample| sample.nanoseconds).fold(f64::INFINITY, f64::min).max(0.01);
            if each * iterations as f64 >= wanted / 2.0 {
                return ((wanted / each).ceil() as u64).max(1);
            }
            iterations *= 2;
        }
    }
}

impl Default for Plan {
    /// 301 repetitions of half a millisecond, within a minute.
    fn default() -> Self {
        Self {
            repetitions: 301,
            sample: Duration::from_micros(500),
            patience: Duration::from_mins(1),
            calm: CALM,
        }
    }
}
