//! The time of each single operation: what a median of loops cannot show.
//!
//! A thread reads the counter before every operation. The reading that begins an operation ends the one before, so
//! that laps lie side by side and no time is lost between them: a delay is in one lap or in the next. A lap contains
//! one reading, and counters move in steps (10 ns on some machines), so laps are to be seen beside those of a loop
//! that does nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quanta::Clock;

use crate::path::HotPath;
use crate::team::Team;

/// Laps of a round that are not counted: they pay for what the path before has left in the caches.
const WARM: usize = 256;

/// Laps of a thread in a round: their readings fit beside a path's own data in a first-level cache.
const LAPS: usize = WARM + 2048;

/// Laps that must lie beyond a quantile. With fewer it would be a maximum by another name.
const BEYOND: u64 = 10;

/// The readings of one thread in one round.
#[derive(Debug)]
pub struct Laps {
    clock: Clock,
    readings: Vec<u64>,
}

impl Laps {
    /// Ends an operation and begins the next.
    #[inline(always)]
    pub fn lap(&mut self) {
        self.readings.push(self.clock.raw());
    }
}

/// A named operation whose single laps are timed, and the number of threads that run it at once.
#[derive(Clone)]
pub struct TailPath {
    path: HotPath,
    shelf: Arc<Shelf>,
}

/// Where threads take empty laps from, and leave them.
#[derive(Default)]
struct Shelf {
    spare: Mutex<Vec<Laps>>,
    full: Mutex<Vec<Laps>>,
}

impl TailPath {
    /// A path of one thread. Its body repeats the operation so often, and calls [`Laps::lap`] before each.
    pub fn new(name: impl Into<String>, body: impl Fn(u64, &mut Laps) + Send + Sync + 'static) -> Self {
        let shelf = Arc::new(Shelf::default());
        let path = HotPath::batch(name, {
            let shelf = Arc::clone(&shelf);
            move |times| {
                let mut laps = shelf.take();
                body(times, &mut laps);
                // With fewer, this thread only keeps the others company until they are done.
                let counts = times >= LAPS as u64;
                lock(if counts { &shelf.full } else { &shelf.spare }).push(laps);
            }
        });
        Self { path, shelf }
    }

    /// Lets `threads` threads run the path at once. What it captures, they share.
    ///
    /// # Panics
    ///
    /// If `threads` is zero.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.path = self.path.threads(threads);
        self
    }
}

impl fmt::Debug for TailPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailPath").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shelf {
    fn take(&self) -> Laps {
        let mut laps =
            lock(&self.spare).pop().unwrap_or_else(|| Laps { clock: Clock::new(), readings: vec![0; LAPS] });
        laps.readings.clear();
        laps
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many laps are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailPlan {
    /// How often each path has its turn; in each, every thread has 2048 laps that count.
    pub rounds: usize,
    /// Once so much time has passed, no further round begins.
    pub patience: Duration,
}

impl TailPlan {
    /// Runs every path once in each round, in turn, so that whatever else the machine does hits all alike. The turn
    /// begins at another path each time.
    pub fn measure(&self, paths: &[TailPath]) -> Vec<Tail> {
        let begin = Instant::now();
        let team = Team::new(paths.iter().map(|path| path.path.thread_count()).max().unwrap_or(1));
        let mut tails: Vec<Tail> = paths.iter().map(|path| Tail::new(&path.path)).collect();
        for round in 0..self.rounds {
            if round > 0 && begin.elapsed() > self.patience {
                break;
            }
            for turn in 0..paths.len() {
                let index = (round + turn) % paths.len();
                let sample = team.time(&paths[index].path, LAPS as u64);
                let mut full = lock(&paths[index].shelf.full);
                for laps in full.drain(..) {
                    tails[index].add(laps.readings.get(WARM..).unwrap_or_default());
                    lock(&paths[index].shelf.spare).push(laps);
                }
                tails[index].rounds += 1;
                tails[index].disturbed += usize::from(sample.waited);
            }
        }
        tails
    }
}

impl Default for TailPlan {
    /// 200 rounds, within eight seconds.
    fn default() -> Self {
        Self { rounds: 200, patience: Duration::from_secs(8) }
    }
}

/// All laps of a path, exact to the counter's step.
#[derive(Debug, Clone)]
pub struct Tail {
    name: String,
    threads: usize,
    /// How many laps took so many ticks.
    counts: BTreeMap<u64, u64>,
    laps: u64,
    nanoseconds_per_tick: f64,
    rounds: usize,
    disturbed: usize,
}

impl Tail {
    fn new(path: &HotPath) -> Self {
        const TICKS: u64 = 1_000_000_000;
        Self {
            name: path.name().to_owned(),
            threads: path.thread_count(),
            counts: BTreeMap::new(),
            laps: 0,
            nanoseconds_per_tick: Clock::new().delta_as_nanos(0, TICKS) as f64 / TICKS as f64,
            rounds: 0,
            disturbed: 0,
        }
    }

    /// Adds the laps between these readings.
    fn add(&mut self, readings: &[u64]) {
        // A thread that is moved to another core may read a little less than before.
        let mut ticks: Vec<u64> = readings.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        ticks.sort_unstable();
        for alike in ticks.chunk_by(|a, b| a == b) {
            *self.counts.entry(alike[0]).or_default() += alike.len() as u64;
        }
        self.laps += ticks.len() as u64;
    }

    /// The path's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many threads ran it at once.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// How many laps were counted.
    pub fn laps(&self) -> u64 {
        self.laps
    }

    /// The share of the rounds during which a thread had to wait for a core. Their laps count like all others.
    pub fn disturbed(&self) -> f64 {
        self.disturbed as f64 / self.rounds.max(1) as f64
    }

    /// The nanoseconds that a share `q` (0 to 1) of all laps does not exceed. Nothing where fewer than ten laps are
    /// longer than it by rank: that would be a maximum by another name.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((self.laps as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        if self.laps < rank + BEYOND {
            return None;
        }
        let mut below = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        reached.map(|(ticks, _)| *ticks as f64 * self.nanoseconds_per_tick)
    }

    /// The longest lap in nanoseconds, if there is one. On a shared machine that is as a rule one in which the
    /// thread was not running.
    pub fn max(&self) -> Option<f64> {
        self.counts.last_key_value().map(|(ticks, _)| *ticks as f64 * self.nanoseconds_per_tick)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A tail of laps that took so many ticks of a nanosecond each.
    fn tail(ticks: impl IntoIterator<Item = u64>) -> Tail {
        let mut tail = Tail { nanoseconds_per_tick: 1.0, ..Tail::new(&HotPath::new("a", || ())) };
        let mut now = 0;
        let mut readings = vec![now];
        for lap in ticks {
            now += lap;
            readings.push(now);
        }
        tail.add(&readings);
        tail
    }

    #[test]
    fn quantiles_are_exact_by_rank() {
        let tail = tail((1..=100_000).rev());
        assert_eq!(tail.laps(), 100_000);
        for (q, expected) in [(0.0, 1.0), (0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            assert_eq!(tail.quantile(q), Some(expected), "{q}");
        }
        assert_eq!(tail.max(), Some(100_000.0));
    }

    #[test]
    fn a_quantile_is_no_maximum_by_another_name() {
        // Of 1,000 laps one is beyond p99.9, ten are beyond p99.
        let tail = tail(1..=1_000);
        assert_eq!(tail.quantile(0.999), None);
        assert_eq!(tail.quantile(0.99), Some(990.0));
        assert_eq!(tail.quantile(1.0), None);
    }

    #[test]
    fn one_long_lap_moves_the_maximum_alone() {
        let tail = tail((0..100_000).map(|lap| if lap == 7 { 1_000_000 } else { 20 }));
        assert_eq!((tail.quantile(0.999), tail.max()), (Some(20.0), Some(1_000_000.0)));
    }

    #[test]
    fn nothing_has_no_tail() {
        let tail = tail([]);
        assert_eq!((tail.quantile(0.5), tail.max(), tail.laps()), (None, None, 0));
    }

    #[test]
    fn a_counter_that_steps_back_makes_a_lap_of_nothing() {
        let mut tail = tail([]);
        tail.add(&[5, 3, 4]);
        assert_eq!((tail.laps(), tail.max()), (2, Some(1.0)));
    }

    #[test]
    fn every_thread_has_its_laps_in_every_round() {
        let path = |name: &str, threads| {
            let calls = AtomicU64::new(0);
            TailPath::new(name, move |times, laps: &mut Laps| {
                for _ in 0..times {
                    laps.lap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
            .threads(threads)
        };
        let plan = TailPlan { rounds: 3, ..TailPlan::default() };
        let tails = plan.measure(&[path("one", 1), path("two", 2)]);
        let counted = (LAPS - WARM - 1) as u64;
        let seen: Vec<(&str, usize, u64)> =
            tails.iter().map(|tail| (tail.name(), tail.threads(), tail.laps())).collect();
        assert_eq!(seen, [("one", 1, 3 * counted), ("two", 2, 6 * counted)]);
        for tail in tails {
            assert!((0.0..=1.0).contains(&tail.disturbed()));
            assert!(tail.max() >= tail.quantile(0.99) && tail.quantile(0.99) >= tail.quantile(0.5));
        }
    }
}
