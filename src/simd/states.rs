//! How many of many breakers are in each state.

use fearless_simd::{Simd, prelude::*, u8x64};

/// Below this length the twin is used.
pub const SHORT: usize = 64;

const STEP: usize = 64;
/// Steps after which a count of bytes could pass 255.
const MOST: usize = 255;

#[inline(always)]
pub fn twin(states: &[u8]) -> [u64; 4] {
    let mut counts = [0_u64; 4];
    for states in states.chunks(MOST * STEP) {
        let (steps, tail) = states.as_chunks::<STEP>();
        for (state, count) in (0_u8..).zip(&mut counts) {
            let mut lanes = [0_u8; STEP];
            for step in steps {
                for (lane, one) in lanes.iter_mut().zip(step) {
                    *lane += u8::from(*one == state);
                }
            }
            *count += lanes.iter().map(|lane| u64::from(*lane)).sum::<u64>();
            *count += tail.iter().map(|one| u64::from(*one == state)).sum::<u64>();
        }
    }
    counts
}

#[inline(always)]
pub fn kernel<S: Simd>(simd: S, states: &[u8]) -> [u64; 4] {
    let (steps, tail) = states.as_chunks::<STEP>();
    let mut counts = twin(tail);
    let (zero, one) = (u8x64::splat(simd, 0), u8x64::splat(simd, 1));
    for steps in steps.chunks(MOST) {
        let mut lanes = [zero; 4];
        for step in steps {
            let step = u8x64::load_array_ref(simd, step);
            for (state, lanes) in (0_u8..).zip(&mut lanes) {
                *lanes += step.simd_eq(u8x64::splat(simd, state)).select(one, zero);
            }
        }
        for (count, lanes) in counts.iter_mut().zip(lanes) {
            *count += lanes.to_array().iter().map(|lane| u64::from(*lane)).sum::<u64>();
        }
    }
    counts
}
