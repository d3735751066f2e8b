//! Cumulative counters that are never reset, striped over cache-padded lanes.
//!
//! Everything that the engine counts is a difference of tallies: a window is the tally now less the
//! tally at a boundary, an exporter reads the tally itself. Counting costs one addition in a lane
//! that no other thread writes.

pub mod lanes;
pub mod wide;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// `C` counters in every lane.
///
/// The owned lanes belong to one thread each (see [`lanes`]) and are counted with a load and a store;
/// the shared one serves every thread without a lane of its own and is counted with a
/// read-modify-write.
#[derive(Debug)]
pub struct Tally<const C: usize> {
    owned: Box<[Lane<C>]>,
    shared: Box<Lane<C>>,
}

type Lane<const C: usize> = CachePadded<[AtomicU64; C]>;

impl<const C: usize> Tally<C> {
    /// `stripes` lanes, at least one.
    pub fn new(stripes: usize) -> Self {
        let lane = || CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { owned: (1..stripes).map(|_| lane()).collect(), shared: Box::new(lane()) }
    }

    /// How many lanes there are.
    pub fn stripes(&self) -> usize {
        self.owned.len() + 1
    }

    /// Adds one to `counter` and gives the value that this lane's counter has now.
    #[inline(always)]
    pub fn add(&self, counter: usize) -> u64 {
        self.add_n(counter, 1)
    }

    /// Adds `n` to `counter` and gives the value that this lane's counter has now.
    #[inline(always)]
    pub fn add_n(&self, counter: usize, n: u64) -> u64 {
        match self.owned.get(lanes::current()) {
            Some(lane) => Self::add_in(lane, counter, n),
            None => self.add_unclaimed(counter, n),
        }
    }

    /// As [`add`](Self::add) in the lane that the calling thread owns; without one, nothing is counted.
    #[inline(always)]
    pub fn add_if_owned(&self, lane: usize, counter: usize) -> Option<u64> {
        Some(Self::add_in(self.owned.get(lane)?, counter, 1))
    }

    /// The first count of a thread, and every count of a thread without a lane here.
    #[cold]
    #[inline(never)]
    fn add_unclaimed(&self, counter: usize, n: u64) -> u64 {
        match self.owned.get(lanes::claim()) {
            Some(lane) => Self::add_in(lane, counter, n),
            None => self.add_shared(counter, n),
        }
    }

    /// Adds one in a lane that the calling thread owns, for models that name their lanes.
    #[cfg(fusewire_loom)]
    pub fn add_owned(&self, lane: usize, counter: usize) -> u64 {
        Self::add_in(&self.owned[lane], counter, 1)
    }

    #[inline(always)]
    fn add_in(lane: &Lane<C>, counter: usize, n: u64) -> u64 {
        let cell = &lane[counter];
        let value = cell.load(Ordering::Relaxed).wrapping_add(n);
        // Release: pairs with the Acquire loads of `sum`; who counts the event also sees the window's
        // head that its recorder saw. No mutant can show its loss: loom does not delay a store past
        // the load that comes before it in the same thread.
        cell.store(value, Ordering::Release);
        value
    }

    /// Adds `n` in the lane that all threads share.
    #[inline]
    pub fn add_shared(&self, counter: usize, n: u64) -> u64 {
        // Release: as in `add_in`.
        self.shared[counter].fetch_add(n, Ordering::Release).wrapping_add(n)
    }

    /// The first `N` counters, each summed over the lanes.
    pub fn sum<const N: usize>(&self) -> [u64; N] {
        let mut sums = [0_u64; N];
        for lane in self.owned.iter().chain([&*self.shared]) {
            for (sum, counter) in sums.iter_mut().zip(lane.iter()) {
                // Acquire: pairs with the Release of `add_in` and `add_shared`.
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
