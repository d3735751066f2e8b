//! A few words that are read together or not at all: a seqlock tagged with what it holds.

use super::{Counts, WINDOWED};
use crate::sync::{AtomicU64, Mutant, Ordering, fence, mutant, ordering};

/// The tag of a snapshot that was never written.
const VACANT: u64 = 0;

/// Counts under a growing tag. A tag of `t` stands as `(t + 1) << 1`; the low bit says that somebody
/// is writing.
///
/// Writers never wait: one that finds another at work, or a tag as new as its own, leaves.
#[derive(Debug)]
pub struct Snapshot {
    tag: AtomicU64,
    counts: [AtomicU64; WINDOWED],
}

impl Snapshot {
    pub fn new() -> Self {
        Self { tag: AtomicU64::new(VACANT), counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Writes `counts` under `tag`, unless a tag as new stands or is being written.
    pub fn write(&self, tag: u64, counts: &Counts) {
        let done = (tag + 1) << 1;
        let old = self.tag.load(Ordering::Relaxed);
        if !mutant(Mutant::SlotNoClaim) {
            if old & 1 == 1 || old >= done {
                return;
            }
            // Acquire: pairs with the Release of the writer before, whose counts this one replaces.
            if self.tag.compare_exchange(old, done | 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                return;
            }
        }
        if !mutant(Mutant::SlotRelaxed) {
            // Release: pairs with the Acquire fence in `read`; a reader of any new count finds the tag
            // no longer what it was.
            fence(Ordering::Release);
        }
        for (cell, count) in self.counts.iter().zip(counts) {
            cell.store(*count, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire load of the tag in `read`.
        self.tag.store(done, ordering(Mutant::SlotRelaxed, Ordering::Release));
    }

    /// The counts under `tag`, if they are there and stayed there while they were read.
    pub fn read(&self, tag: u64) -> Option<Counts> {
        let done = (tag + 1) << 1;
        // Acquire: pairs with the Release store of the tag in `write`.
        if self.tag.load(Ordering::Acquire) != done {
            return None;
        }
        let counts = std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed));
        // Acquire: pairs with the Release fence in `write`.
        fence(Ordering::Acquire);
        (self.tag.load(Ordering::Relaxed) == done || mutant(Mutant::SlotNoReread)).then_some(counts)
    }
}
