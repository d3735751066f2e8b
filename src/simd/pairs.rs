//! Two rows of counts, slot by slot: one added to the other, or taken from it.

use fearless_simd::{Simd, prelude::*, u64x4};

/// Below this length the twin is used.
pub const SHORT: usize = 128;

/// Counts for which one step of the kernel is long.
const STEP: usize = 16;
/// Where a store never crosses two cache lines.
const ALIGNMENT: usize = 64;

/// What is done to two counts.
pub trait Operation {
    fn one(left: u64, right: u64) -> u64;
    fn four<S: Simd>(left: u64x4<S>, right: u64x4<S>) -> u64x4<S>;
}

pub struct Plus;
pub struct Minus;

impl Operation for Plus {
    #[inline(always)]
    fn one(left: u64, right: u64) -> u64 {
        left.wrapping_add(right)
    }

    #[inline(always)]
    fn four<S: Simd>(left: u64x4<S>, right: u64x4<S>) -> u64x4<S> {
        left + right
    }
}

impl Operation for Minus {
    #[inline(always)]
    fn one(left: u64, right: u64) -> u64 {
        left.wrapping_sub(right)
    }

    #[inline(always)]
    fn four<S: Simd>(left: u64x4<S>, right: u64x4<S>) -> u64x4<S> {
        left - right
    }
}

#[inline(always)]
pub fn twin<O: Operation>(into: &mut [u64], from: &[u64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = O::one(*into, *from);
    }
}

/// Stores bound it: one of at most 32 bytes a cycle, if it stays within a line. So `into` is aligned first, and
/// wider vectors would gain nothing.
#[inline(always)]
pub fn kernel<S: Simd, O: Operation>(simd: S, into: &mut [u64], from: &[u64]) {
    let common = into.len().min(from.len());
    let head = into.as_ptr().align_offset(ALIGNMENT).min(common);
    let (into_head, into) = into[..common].split_at_mut(head);
    let (from_head, from) = from[..common].split_at(head);
    twin::<O>(into_head, from_head);
    let (into, into_tail) = into.as_chunks_mut::<STEP>();
    let (from, from_tail) = from.as_chunks::<STEP>();
    for (into, from) in into.iter_mut().zip(from) {
        for (into, from) in into.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
            O::four(u64x4::load_array_ref(simd, into), u64x4::load_array_ref(simd, from)).store_array(into);
        }
    }
    twin::<O>(into_tail, from_tail);
}
