//! Private work between two calls: what a caller does besides.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

const NANOSECONDS: f64 = 200.0;

/// Rounds of arithmetic that take 200 ns on this machine, called again and again: found once, the same for all.
pub(crate) fn rounds() -> u64 {
    static ROUNDS: OnceLock<u64> = OnceLock::new();
    *ROUNDS.get_or_init(|| {
        // The end of one call overlaps with the beginning of the next, so short calls are timed, not one long one.
        const CALLS: u32 = 500;
        let mut rounds = 200;
        for _ in 0..3 {
            // The best of many: what the neighbours do meanwhile is no property of the work.
            let best = (0..200).map(|_| {
                let start = Instant::now();
                (0..CALLS).for_each(|_| run(rounds));
                start.elapsed().as_nanos() as f64 / f64::from(CALLS)
            });
            let best = best.fold(f64::INFINITY, f64::min);
            rounds = (rounds as f64 * NANOSECONDS / best).round() as u64;
        }
        rounds
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
