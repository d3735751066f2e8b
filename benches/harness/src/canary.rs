//! Whether a thread has its core to itself.
//!
//! A scheduler tells when a thread waits for a core, but not when the core is shared: by the other hardware thread
//! of the core, which another program or another virtual machine may have. Code that issues as many instructions at
//! once as the core takes, as hot paths do, then runs at half its speed, while code whose every step waits for the
//! one before, as a chain of atomic operations does, hardly notices. So ratios of the one to the other double, and
//! nothing has become slower. The same makes it visible: dense code is timed beside a chain of multiplications.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crossbeam_utils::CachePadded;

/// Each look takes the shortest of so many runs of either part, so that an interrupt in one does not count.
const RUNS: usize = 3;

/// Rounds and steps of either part: about two microseconds each, short beside a sample.
const ROUNDS: u64 = 1200;
const STEPS: u64 = 2000;

/// What a look sees on a core that is not shared lies below this, on cores that issue four instructions at once or
/// more. A Zen 4 shows 1.43, and 1.9 to 2.3 while its other hardware thread is busy.
/// Code that is not optimised says nothing about the core.
pub(crate) const CALM: f64 = if cfg!(debug_assertions) { f64::INFINITY } else { 1.75 };

/// How much more than the least look so far a look may show.
const RISE: f64 = 1.1;

/// What all looks of a run had to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canary {
    /// What no look may exceed, however the others were.
    calm: f64,
    least: f64,
}

impl Canary {
    pub(crate) fn new(calm: f64) -> Self {
        Self { calm, least: f64::INFINITY }
    }

    /// Takes a look into account. Whether the core was shared then.
    pub(crate) fn is_shared(&mut self, look: f64) -> bool {
        self.least = self.least.min(look);
        look > self.calm || look > self.least * RISE
    }

    /// The calmest look.
    pub(crate) fn least(&self) -> f64 {
        self.least
    }
}

/// How long a round of dense code takes now, in steps of a chain. The clock's frequency cancels.
pub(crate) fn look() -> f64 {
    let own = CachePadded::new(Own::default());
    let (mut round, mut step) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        step = step.min(time(STEPS, || chain(STEPS)));
        round = round.min(time(ROUNDS, || dense(black_box(&own), ROUNDS)));
    }
    round / step
}

fn time(times: u64, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / times as f64
}

/// What nobody else touches.
#[derive(Default)]
struct Own {
    stop: AtomicBool,
    counters: [AtomicU64; 8],
}

/// Rounds of eight counts, before each of them a look whether to stop.
#[inline(never)]
fn dense(own: &Own, rounds: u64) {
    for _ in 0..rounds {
        for counter in &own.counters {
            if own.stop.load(Relaxed) {
                return;
            }
            counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }
}

/// Steps of which each needs the result of the one before: an exclusive or, and a multiplication.
#[inline(never)]
fn chain(steps: u64) {
    let (mut value, factor, mask) = (black_box(1_u64), black_box(0x9E37_79B9_7F4A_7C15), black_box(0x55));
    for _ in 0..steps {
        value = (value ^ mask).wrapping_mul(factor);
    }
    black_box(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_above_the_least_one_is_of_a_shared_core() {
        let mut canary = Canary::new(1.75);
        let shared = [1.45, 1.43, 1.50, 1.90, 1.44, 1.60].map(|look| canary.is_shared(look));
        assert_eq!(shared, [false, false, false, true, false, true]);
        assert!((canary.least() - 1.43).abs() < 1e-9);
    }

    #[test]
    fn a_core_that_is_shared_from_the_first_look_on_is_seen_too() {
        let mut canary = Canary::new(1.75);
        assert!([2.1, 2.0, 2.2].iter().all(|&look| canary.is_shared(look)));
    }

    #[test]
    fn dense_code_and_the_chain_both_take_time() {
        let look = look();
        assert!(look.is_finite() && look > 0.0, "{look}");
    }
}
