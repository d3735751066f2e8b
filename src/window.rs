//! Sliding windows as differences of a tally: a lock-free ring of boundary snapshots.
//!
//! A window of `n` buckets that ends in tick `t` is the tally now less the tally at the boundary
//! where tick `t - n + 1` began. The ring holds snapshots, not counts, so a rotation can neither lose
//! nor double an event: differences telescope.
//!
//! The protocol. `head = tick << 1 | decided`. A recorder first moves the head to its tick, then adds
//! (Release); whoever sums loads Acquire. The thread that moved the head sums, then exchanges
//! `(tick, 0)` for `(tick, 1)`: only success proves that no later tick began during the sum, and only
//! then it writes the snapshot. A boundary whose mover was overtaken stays absent, and the window
//! begins at the next one that is present: shorter after a stall, never wrong.

pub mod snapshot;

use crate::sync::{AtomicU64, Mutant, Ordering, load_for_update, mutant, ordering};
use snapshot::Snapshot;

/// The counters of a tally that windows are made of: fast successes, fast failures, slow successes,
/// slow failures.
pub const WINDOWED: usize = 4;

/// Cumulative counts of the windowed counters.
pub type Counts = [u64; WINDOWED];

/// Calls in `counts`.
pub fn calls(counts: &Counts) -> u64 {
    counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
}

/// A ring of boundary snapshots.
#[derive(Debug)]
pub struct Window {
    head: AtomicU64,
    buckets: u64,
    slots: Box<[Snapshot]>,
    floor: Snapshot,
}

impl Window {
    /// A window of `buckets` buckets over a tally that stands at `now`; its first epoch is `epoch`.
    pub fn new(buckets: u64, now: &Counts, epoch: u64) -> Self {
        let slots: Box<[_]> = (0..=buckets).map(|_| Snapshot::new()).collect();
        slots[0].write(0, now);
        let floor = Snapshot::new();
        floor.write(epoch, now);
        Self { head: AtomicU64::new(1), buckets, slots, floor }
    }

    /// The tick that the window stands in.
    #[inline]
    pub fn tick(&self) -> u64 {
        // Acquire: pairs with the Release of the exchange in `advance`.
        self.head.load(Ordering::Acquire) >> 1
    }

    /// Moves the head to `tick` if it is behind. Whoever moves it sums the tally and decides the
    /// boundary; true for that thread.
    pub fn advance(&self, tick: u64, sum: impl FnOnce() -> Counts) -> bool {
        let mut head = load_for_update(&self.head, Ordering::Acquire);
        while head >> 1 < tick {
            // AcqRel: Acquire pairs with the Release of `decide`, so that this boundary's sum holds all
            // that the last one held; Release pairs with the Acquire of recorders who see the new tick
            // and add after it.
            match self.head.compare_exchange(head, tick << 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.decide(tick, &sum());
                    return true;
                }
                Err(found) => head = found,
            }
        }
        false
    }

    /// Publishes `sum` as the boundary of `tick`, if no later tick began since the head moved there.
    pub fn decide(&self, tick: u64, sum: &Counts) {
        if mutant(Mutant::NoDecision) {
            self.slot(tick).write(tick, sum);
            return;
        }
        // AcqRel: Release pairs with the Acquire of the next mover (see `advance`), and so boundaries
        // grow; Acquire is its twin for a head that this thread helped to move.
        let ok = ordering(Mutant::RelaxedDecision, Ordering::AcqRel);
        if self.head.compare_exchange(tick << 1, tick << 1 | 1, ok, Ordering::Relaxed).is_ok() {
            self.slot(tick).write(tick, sum);
        }
    }

    fn slot(&self, tick: u64) -> &Snapshot {
        &self.slots[(tick % self.slots.len() as u64) as usize]
    }

    /// The boundary of `tick`, if it is present.
    pub fn boundary(&self, tick: u64) -> Option<Counts> {
        self.slot(tick).read(tick)
    }

    /// Makes `sum` the oldest base of the windows of `epoch`, so that what was counted before does
    /// not count in it. The first caller of an epoch decides.
    pub fn restart(&self, epoch: u64, sum: &Counts) {
        self.floor.write(epoch, sum);
    }

    /// What the window of `epoch` that ends in `tick` holds, given the tally's present `sum`. `None`
    /// when no boundary of it is present, right after a stalled mover, or its floor is missing.
    pub fn counts(&self, epoch: u64, sum: &Counts, tick: u64) -> Option<Counts> {
        let oldest = (tick + 1).saturating_sub(self.buckets);
        let head = self.tick();
        // Past the head nothing was counted: a window that begins there is empty.
        let base = if oldest > head { *sum } else { (oldest..=head).find_map(|tick| self.boundary(tick))? };
        let floor = self.floor.read(epoch)?;
        Some(std::array::from_fn(|i| sum[i].saturating_sub(base[i].max(floor[i]))))
    }
}
