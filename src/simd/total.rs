//! The sum of a row of counts.

use fearless_simd::{Simd, prelude::*, u64x8};

/// Below this length the twin is used.
pub const SHORT: usize = 32;

/// Sums side by side, so that none waits for the one before, and no more than the registers of any machine hold.
const SUMS: usize = 16;
/// The same for one step of the kernel.
const STEP: usize = 32;

#[inline(always)]
fn fold(counts: &[u64], sum: u64) -> u64 {
    counts.iter().fold(sum, |sum, count| sum.wrapping_add(*count))
}

#[inline(always)]
pub fn twin(counts: &[u64]) -> u64 {
    let (steps, tail) = counts.as_chunks::<SUMS>();
    let mut sums = [0_u64; SUMS];
    for step in steps {
        for (sum, count) in sums.iter_mut().zip(step) {
            *sum = sum.wrapping_add(*count);
        }
    }
    fold(tail, fold(&sums, 0))
}

#[inline(always)]
pub fn kernel<S: Simd>(simd: S, counts: &[u64]) -> u64 {
    let (steps, tail) = counts.as_chunks::<STEP>();
    let mut sums = [u64x8::splat(simd, 0); STEP / 8];
    for step in steps {
        for (sum, counts) in sums.iter_mut().zip(step.as_chunks::<8>().0) {
            *sum += u64x8::load_array_ref(simd, counts);
        }
    }
    let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    fold(tail, sum.reduce_sum())
}
