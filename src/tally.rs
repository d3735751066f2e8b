//! Cumulative counters that are never reset, striped over cache-padded lanes.
//!
//! Everything that the engine counts is a difference of tallies: a window is the tally now less the
//! tally at a boundary, an exporter reads the tally itself. Counting costs one addition in a lane
//! that no other thread writes.

pub mod lanes;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// `C` counters in every lane.
///
/// All lanes but the last belong to one thread each (see [`lanes`]) and are counted with a load and
/// a store; the last is shared by every thread without a lane of its own and counted with a
/// read-modify-write.
#[derive(Debug)]
pub struct Tally<const C: usize> {
    lanes: Box<[CachePadded<[AtomicU64; C]>]>,
}

impl<const C: usize> Tally<C> {
    /// `stripes` lanes, at least one.
    pub fn new(stripes: usize) -> Self {
        let lane = |_| CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { lanes: (0..stripes.max(1)).map(lane).collect() }
    }

    /// How many lanes there are.
    pub fn stripes(&self) -> usize {
        self.lanes.len()
    }

    /// Adds one to `counter` and gives the value that this lane's counter has now.
    #[inline(always)]
    pub fn add(&self, counter: usize) -> u64 {
        let shared = self.lanes.len() - 1;
        let mut lane = lanes::current();
        if lane >= shared {
            lane = lanes::claim();
        }
        if lane < shared { self.add_owned(lane, counter) } else { self.add_shared(counter, 1) }
    }

    /// Adds one in a lane that the calling thread owns.
    #[inline(always)]
    pub fn add_owned(&self, lane: usize, counter: usize) -> u64 {
        let cell = &self.lanes[lane][counter];
        let value = cell.load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the Acquire loads of `sum`; who counts the event also sees the window's
        // head that its recorder saw. No mutant can show its loss: loom does not delay a store past
        // the load that comes before it in the same thread.
        cell.store(value, Ordering::Release);
        value
    }

    /// Adds `n` in the lane that all threads share.
    #[inline]
    pub fn add_shared(&self, counter: usize, n: u64) -> u64 {
        let shared = self.lanes.len() - 1;
        // Release: as in `add_owned`.
        self.lanes[shared][counter].fetch_add(n, Ordering::Release).wrapping_add(n)
    }

    /// The first `N` counters, each summed over the lanes.
    pub fn sum<const N: usize>(&self) -> [u64; N] {
        let mut sums = [0_u64; N];
        for lane in &self.lanes {
            for (sum, counter) in sums.iter_mut().zip(lane.iter()) {
                // Acquire: pairs with the Release of `add_owned` and `add_shared`.
                *sum = sum.wrapping_add(counter.load(Ordering::Acquire));
            }
        }
        sums
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_lanes_lose_nothing() {
        let tally = Tally::<2>::new(3);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        tally.add(1);
                    }
                });
            }
        });
        assert_eq!(tally.sum(), [0, 80_000]);
    }

    #[test]
    fn lanes_pass_from_thread_to_thread() {
        let tally = Tally::<1>::new(2);
        for _ in 0..200 {
            std::thread::scope(|scope| {
                scope.spawn(|| tally.add(0));
            });
        }
        assert_eq!(tally.sum(), [200]);
    }
}
