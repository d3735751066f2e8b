//! Where the running total of a histogram reaches given ranks.
//!
//! One pass over blocks: a block's sum says whether the next rank lies in it, and only then is it looked into.

use fearless_simd::{Simd, prelude::*, u64x8};

/// Below this length the twin is used.
pub const SHORT: usize = 64;

const BLOCK: usize = 64;
const GROUP: usize = 16;

/// What a level knows about a block.
trait Sums: Copy {
    /// The sum of a whole block or group.
    fn sum(self, counts: &[u64]) -> u64;
    /// How many of the running totals from `start` are less than `rank`.
    fn before(self, counts: &[u64; GROUP], start: u64, rank: u64) -> usize;
}

/// Goes on from the block that a rank lies in, so ranks must ascend.
#[inline(always)]
fn scan(sums: impl Sums, counts: &[u64], ranks: &[u64], slots: &mut [usize]) {
    let mut wanted = ranks.iter().copied().zip(slots).peekable();
    let mut least = 0;
    let (blocks, tail) = counts.as_chunks::<BLOCK>();
    let mut start = 0_u64;
    for (index, block) in blocks.iter().enumerate() {
        let end = start.wrapping_add(sums.sum(block));
        while let Some((rank, slot)) = wanted.next_if(|(rank, _)| (*rank).max(least) <= end) {
            least = least.max(rank);
            *slot = index * BLOCK + within(sums, block, start, least);
        }
        if wanted.peek().is_none() {
            return;
        }
        start = end;
    }
    let done = blocks.len() * BLOCK;
    for (rank, slot) in wanted {
        least = least.max(rank);
        *slot = done + before(tail, start, least);
    }
}

/// The slot within a block whose running total reaches `rank`.
#[inline(always)]
fn within(sums: impl Sums, block: &[u64; BLOCK], start: u64, rank: u64) -> usize {
    let groups = block.as_chunks::<GROUP>().0;
    let (mut at, mut begin, mut end) = (0, start, start);
    for (index, group) in groups[..groups.len() - 1].iter().enumerate() {
        end = end.wrapping_add(sums.sum(group));
        if end < rank {
            (at, begin) = (index + 1, end);
        }
    }
    at * GROUP + sums.before(&groups[at], begin, rank).min(GROUP - 1)
}

fn before(counts: &[u64], start: u64, rank: u64) -> usize {
    let mut total = start;
    let less = |count: &u64| {
        total = total.wrapping_add(*count);
        usize::from(total < rank)
    };
    counts.iter().map(less).sum()
}

#[derive(Clone, Copy)]
struct Portable;

impl Sums for Portable {
    /// Eight sums side by side, which most targets can do two or more at a time.
    #[inline(always)]
    fn sum(self, counts: &[u64]) -> u64 {
        let mut sums = [0_u64; 8];
        for counts in counts.as_chunks::<8>().0 {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.wrapping_add(*count);
            }
        }
        sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
    }

    #[inline(always)]
    fn before(self, counts: &[u64; GROUP], start: u64, rank: u64) -> usize {
        before(counts, start, rank)
    }
}

#[derive(Clone, Copy)]
struct Vectors<S>(S);

impl<S: Simd> Vectors<S> {
    /// Running totals within a vector, in three steps of doubling width.
    #[inline(always)]
    fn running(self, counts: u64x8<S>) -> u64x8<S> {
        let zero = u64x8::splat(self.0, 0);
        let two = counts + zero.slide::<7>(counts);
        let four = two + zero.slide::<6>(two);
        four + zero.slide::<4>(four)
    }
}

impl<S: Simd> Sums for Vectors<S> {
    #[inline(always)]
    fn sum(self, counts: &[u64]) -> u64 {
        let mut sum = u64x8::splat(self.0, 0);
        for counts in counts.as_chunks::<8>().0 {
            sum += u64x8::load_array_ref(self.0, counts);
        }
        sum.reduce_sum()
    }

    #[inline(always)]
    fn before(self, counts: &[u64; GROUP], start: u64, rank: u64) -> usize {
        let [low, high] = [0, 8].map(|at| self.running(u64x8::from_slice(self.0, &counts[at..at + 8])));
        let low = low + u64x8::splat(self.0, start);
        let high = high + u64x8::splat(self.0, low[7]);
        let rank = u64x8::splat(self.0, rank);
        let less = low.simd_lt(rank).to_bitmask() | high.simd_lt(rank).to_bitmask() << 8;
        less.count_ones() as usize
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
