//! Where the running total of a histogram reaches given ranks.
//!
//! One pass over blocks: a block's sum says whether the next rank lies in it, and only then is it looked into.

use fearless_simd::{Simd, prelude::*, u64x8};

/// Below this length the twin is used.
pub const SHORT: usize = 64;

const BLOCK: usize = 64;
/// What the kernel tells apart within a block before it counts slots.
const GROUP: usize = 16;
const GROUPS: usize = BLOCK / GROUP;

/// What a level knows about a block.
trait Look: Copy {
    fn sum(self, block: &[u64; BLOCK]) -> u64;
    /// How many of the running totals from `start` are less than `rank`. No branch may depend on the counts: where a
    /// rank lies cannot be guessed, and a wrong guess costs more than the whole search.
    fn before(self, block: &[u64; BLOCK], start: u64, rank: u64) -> usize;
}

/// Goes on from the block that the rank before lay in, so ranks ascend.
#[inline(always)]
fn scan(look: impl Look, counts: &[u64], ranks: &[u64], slots: &mut [usize]) {
    let wanted = ranks.len().min(slots.len());
    let (ranks, slots) = (&ranks[..wanted], &mut slots[..wanted]);
    let (blocks, tail) = counts.as_chunks::<BLOCK>();
    let (mut next, mut least, mut start) = (0, 0_u64, 0_u64);
    for (index, block) in blocks.iter().enumerate() {
        let end = start.wrapping_add(look.sum(block));
        while next < wanted && ranks[next] <= end {
            least = least.max(ranks[next]);
            slots[next] = index * BLOCK + look.before(block, start, least);
            next += 1;
        }
        if next == wanted {
            return;
        }
        start = end;
    }
    for (rank, slot) in ranks.iter().zip(slots).skip(next) {
        least = least.max(*rank);
        *slot = blocks.len() * BLOCK + before(tail, start, least);
    }
}

#[inline(always)]
fn before(counts: &[u64], start: u64, rank: u64) -> usize {
    let mut total = start;
    let mut less = 0;
    for count in counts {
        total = total.wrapping_add(*count);
        less += usize::from(total < rank);
    }
    less
}

#[derive(Clone, Copy)]
struct Portable;

impl Look for Portable {
    /// Eight sums side by side, which most targets can do two or more at a time.
    #[inline(always)]
    fn sum(self, block: &[u64; BLOCK]) -> u64 {
        let mut sums = [0_u64; 8];
        for counts in block.as_chunks::<8>().0 {
            for k in 0..8 {
                sums[k] = sums[k].wrapping_add(counts[k]);
            }
        }
        sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
    }

    #[inline(always)]
    fn before(self, block: &[u64; BLOCK], start: u64, rank: u64) -> usize {
        before(block, start, rank)
    }
}

#[derive(Clone, Copy)]
struct Vectors<S>(S);

impl<S: Simd> Vectors<S> {
    #[inline(always)]
    fn sum_all<const N: usize>(self, counts: &[u64; N]) -> u64 {
        let mut sum = u64x8::splat(self.0, 0);
        for counts in counts.as_chunks::<8>().0 {
            sum += u64x8::load_array_ref(self.0, counts);
        }
        sum.reduce_sum()
    }

    /// Running totals within a vector, in three steps of doubling width.
    #[inline(always)]
    fn running(self, counts: &[u64; 8]) -> u64x8<S> {
        let zero = u64x8::splat(self.0, 0);
        let one = u64x8::load_array_ref(self.0, counts);
        let two = one + zero.slide::<7>(one);
        let four = two + zero.slide::<6>(two);
        four + zero.slide::<4>(four)
    }
}

impl<S: Simd> Look for Vectors<S> {
    #[inline(always)]
    fn sum(self, block: &[u64; BLOCK]) -> u64 {
        self.sum_all(block)
    }

    #[inline(always)]
    fn before(self, block: &[u64; BLOCK], start: u64, rank: u64) -> usize {
        let groups = block.as_chunks::<GROUP>().0;
        let mut starts = [start; GROUPS];
        for (index, group) in groups[..GROUPS - 1].iter().enumerate() {
            starts[index + 1] = starts[index].wrapping_add(self.sum_all(group));
        }
        let at = starts[1..].iter().map(|end| usize::from(*end < rank)).sum::<usize>() % GROUPS;
        let [low, high] = [0, 1].map(|half| self.running(&groups[at].as_chunks::<8>().0[half]));
        let low = low + u64x8::splat(self.0, starts[at]);
        let high = high + u64x8::splat(self.0, low[7]);
        let rank = u64x8::splat(self.0, rank);
        let less = low.simd_lt(rank).to_bitmask() | high.simd_lt(rank).to_bitmask() << 8;
        at * GROUP + less.count_ones() as usize
    }
}

#[inline(always)]
pub fn twin(counts: &[u64], ranks: &[u64], slots: &mut [usize]) {
    scan(Portable, counts, ranks, slots);
}

#[inline(always)]
pub fn kernel<S: Simd>(simd: S, counts: &[u64], ranks: &[u64], slots: &mut [usize]) {
    scan(Vectors(simd), counts, ranks, slots);
}
