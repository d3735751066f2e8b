//! Many rows of counts summed into one, a block of columns at a time: the sums stay in registers while every row
//! passes by.

use std::array;

use fearless_simd::{Simd, prelude::*, u64x4};

use super::pairs::{self, Plus};

/// Below this length the twin is used, and by levels with vectors of 128 bits always.
pub const SHORT: usize = 32;

/// Columns that fit the registers of any machine: half of sixteen vectors of two.
const BLOCK: usize = 16;
/// The same for the kernel's vectors of four.
const VECTORS: usize = 8;

/// How many columns every row has.
fn common(into: &[u64], rows: &[&[u64]]) -> usize {
    rows.iter().fold(into.len(), |least, row| least.min(row.len()))
}

#[inline(always)]
pub fn twin(into: &mut [u64], rows: &[&[u64]]) {
    let columns = common(into, rows);
    let blocks = into[..columns].as_chunks_mut::<BLOCK>().0;
    let done = blocks.len() * BLOCK;
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut sums = *block;
        for row in rows {
            for (sum, count) in sums.iter_mut().zip(&row[index * BLOCK..][..BLOCK]) {
                *sum = sum.wrapping_add(*count);
            }
        }
        *block = sums;
    }
    for row in rows {
        pairs::twin::<Plus>(&mut into[done..], row.get(done..).unwrap_or_default());
    }
}

#[inline(always)]
pub fn kernel<S: Simd>(simd: S, into: &mut [u64], rows: &[&[u64]]) {
    let columns = common(into, rows);
    let blocks = into[..columns].as_chunks_mut::<{ 4 * VECTORS }>().0;
    let done = blocks.len() * 4 * VECTORS;
    for (index, block) in blocks.iter_mut().enumerate() {
        let block = block.as_chunks_mut::<4>().0;
        let mut sums: [u64x4<S>; VECTORS] = array::from_fn(|k| u64x4::load_array_ref(simd, &block[k]));
        for row in rows {
            let row = &row[index * 4 * VECTORS..][..4 * VECTORS];
            for (sum, counts) in sums.iter_mut().zip(row.as_chunks::<4>().0) {
                *sum += u64x4::load_array_ref(simd, counts);
            }
        }
        for (block, sum) in block.iter_mut().zip(sums) {
            sum.store_array(block);
        }
    }
    for row in rows {
        pairs::kernel::<S, Plus>(simd, &mut into[done..], row.get(done..).unwrap_or_default());
    }
}
