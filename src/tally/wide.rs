//! A tally with so many counters that a lane is many cache lines long: the slots of a histogram.

use crossbeam_utils::CachePadded;

use super::lanes;
use crate::sync::{AtomicU64, Mutant, Ordering, mutant};

/// Counters of one line.
const LINE: usize = 16;

type Line = CachePadded<[AtomicU64; LINE]>;

/// Cumulative counters, striped over lanes as those of a [`Tally`](super::Tally) are; how many there are is
/// decided when it is built.
///
/// Everything is Relaxed. A counter that was read before never reads less to whoever knows of that read,
/// which is all that a difference needs, and no counter vouches for another.
#[derive(Debug)]
pub struct WideTally {
    /// Lane after lane, each of as many lines; the last lane is shared.
    lines: Box<[Line]>,
    a_lane: usize,
    owned: usize,
}

impl WideTally {
    /// `stripes` lanes, at least one, of at least `counters` counters.
    pub fn new(counters: usize, stripes: usize) -> Self {
        let a_lane = counters.div_ceil(LINE);
        let owned = stripes.saturating_sub(1);
        let line = || CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let lines = (0..a_lane * (owned + 1)).map(|_| line()).collect();
        Self { lines, a_lane, owned }
    }

    /// Bytes that so many counters take in each lane.
    pub const fn lane_bytes(counters: usize) -> usize {
        counters.div_ceil(LINE) * size_of::<Line>()
    }

    /// Adds one to `counter`. One that does not exist is not counted.
    #[inline]
    pub fn add(&self, counter: usize) {
        let lane = lanes::current();
        if lane < self.owned {
            self.add_owned(lane, counter);
        } else {
            self.add_unclaimed(counter);
        }
    }

    /// The first count of a thread, and every count of a thread without a lane here.
    #[cold]
    #[inline(never)]
    fn add_unclaimed(&self, counter: usize) {
        let lane = lanes::claim();
        if lane < self.owned { self.add_owned(lane, counter) } else { self.add_shared(counter) }
    }

    /// Adds one in a lane that the calling thread owns.
    #[inline]
    pub fn add_owned(&self, lane: usize, counter: usize) {
        if let Some(cell) = self.cell(lane, counter) {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Adds one in the lane that all threads share.
    #[inline]
    pub fn add_shared(&self, counter: usize) {
        if let Some(cell) = self.cell(self.owned, counter) {
            if mutant(Mutant::WideStoreForAdd) {
                return cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn cell(&self, lane: usize, counter: usize) -> Option<&AtomicU64> {
        let (at, place) = (counter / LINE, counter % LINE);
        if at >= self.a_lane {
            return None;
        }
        self.lines.get(lane * self.a_lane + at).map(|line| &line[place])
    }

    /// Writes each counter, summed over the lanes, to its place in `sums`. Places past the counters are zero.
    pub fn read(&self, sums: &mut [u64]) {
        sums.fill(0);
        for lane in self.lines.chunks_exact(self.a_lane.max(1)) {
            for (sum, cell) in sums.iter_mut().zip(lane.iter().flat_map(|line| line.iter())) {
                *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
            }
        }
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_lanes_lose_nothing() {
        let tally = WideTally::new(40, 3);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for i in 0..40_000 {
                        tally.add(i % 40);
                    }
                });
            }
        });
        let mut sums = [0; 40];
        tally.read(&mut sums);
        assert_eq!(sums, [6_000; 40]);
    }

    #[test]
    fn counters_that_do_not_exist_are_not_counted() {
        let tally = WideTally::new(16, 3);
        tally.add(16);
        tally.add(usize::MAX);
        let mut sums = [7; 20];
        tally.read(&mut sums);
        assert_eq!(sums, [0; 20]);
    }
}
