//! Private work between two calls: what a caller does with what it was allowed.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use fusewire_harness::HotPath;

const NANOSECONDS: f64 = 200.0;

/// Rounds of arithmetic that take 200 ns on this machine: found once, and the same for all.
pub(crate) fn rounds() -> u64 {
    static ROUNDS: OnceLock<u64> = OnceLock::new();
    *ROUNDS.get_or_init(|| {
        const PROBE: u64 = 100_000;
        // The best of many: what the neighbours do meanwhile is no property of the work.
        let best = (0..200).map(|_| {
            let start = Instant::now();
            run(PROBE);
            start.elapsed().as_nanos() as f64
        });
        let best = best.fold(f64::INFINITY, f64::min);
        (PROBE as f64 * NANOSECONDS / best).round() as u64
    })
}

/// A chain of multiplications, each waiting for the one before, with nothing in memory.
#[inline(never)]
pub(crate) fn run(rounds: u64) {
    let mut value = black_box(rounds);
    for _ in 0..rounds {
        value = step(value);
    }
    black_box(value);
}

#[inline(always)]
fn step(value: u64) -> u64 {
    value.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (value >> 29)
}

/// The work with nothing in between.
pub(crate) fn path(name: String) -> HotPath {
    let rounds = rounds();
    HotPath::batch(name, move |iterations| {
        for _ in 0..iterations {
            run(rounds);
        }
    })
}
