//! The one door to atomics: those of std in every normal build, those of loom under the private
//! cfg `fusewire_loom`, so that each protocol is model-checked as it ships.

#[cfg(not(fusewire_loom))]
mod imp {
    pub use atomic::Atomic;
    pub use std::sync::atomic::AtomicU64;
    pub use std::sync::atomic::{AtomicBool, Ordering, fence};
    pub use std::sync::{Mutex, MutexGuard};

    /// No mutant exists outside the models: each question about one folds to `false`.
    #[inline(always)]
    pub const fn mutant(_: super::Mutant) -> bool {
        false
    }
}

#[cfg(fusewire_loom)]
mod imp {
    use std::cell::Cell;
    use std::marker::PhantomData;

    pub use loom::sync::atomic::AtomicU64;
    pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
    pub use loom::sync::{Mutex, MutexGuard};

    /// `atomic::Atomic` over loom's `AtomicU64`; only the 64-bit words of this crate need it.
    #[derive(Debug)]
    pub struct Atomic<W>(AtomicU64, PhantomData<W>);

    impl<W: bytemuck::Pod> Atomic<W> {
        pub fn new(word: W) -> Self {
            Self(AtomicU64::new(bytemuck::cast(word)), PhantomData)
        }

        pub fn load(&self, order: Ordering) -> W {
            bytemuck::cast(self.0.load(order))
        }

        /// loom 0.7 remembers one last access per atomic, so a plain load at the head of a CAS loop
        /// hides an earlier load of another thread; an RMW does not.
        pub fn load_for_update(&self, order: Ordering) -> W {
            bytemuck::cast(self.0.fetch_add(0, order))
        }

        pub fn store(&self, word: W, order: Ordering) {
            self.0.store(bytemuck::cast(word), order);
        }

        pub fn compare_exchange(&self, old: W, new: W, ok: Ordering, err: Ordering) -> Result<W, W> {
            self.0
                .compare_exchange(bytemuck::cast(old), bytemuck::cast(new), ok, err)
                .map(bytemuck::cast)
                .map_err(bytemuck::cast)
        }
    }

    thread_local! {
        static ACTIVE: Cell<Option<super::Mutant>> = const { Cell::new(None) };
    }

    /// Whether the model now running asked for this fault. loom runs all threads of a model on one
    /// OS thread, so a thread-local reaches them all and models may run side by side.
    pub fn mutant(which: super::Mutant) -> bool {
        ACTIVE.with(|active| active.get() == Some(which))
    }

    /// Runs `model` with one fault planted.
    pub fn with_mutant<R>(which: Option<super::Mutant>, model: impl FnOnce() -> R) -> R {
        struct Restore(Option<super::Mutant>);
        impl Drop for Restore {
            fn drop(&mut self) {
                ACTIVE.with(|active| active.set(self.0));
            }
        }
        let _restore = Restore(ACTIVE.with(|active| active.replace(which)));
        model()
    }
}

pub use imp::*;

/// The planted faults: for each model of `loom-tests` at least one of them must make it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(fusewire_loom), allow(dead_code, reason = "some faults exist in the models alone"))]
pub enum Mutant {
    /// A word is stored where it must be compared and exchanged.
    WordStoreForCas,
    /// A word is exchanged with Relaxed ordering.
    WordRelaxed,
    /// OPEN is stored before its deadline.
    OpenBeforeDeadline,
    /// The count of an opening is that of whoever wrote it last.
    LosersCount,
    /// A result or a returned place is applied whatever its epoch.
    IgnoreEpoch,
    /// A refused caller leaves the side word to the thread that moved the state.
    NoHelping,
    /// The side word is stored whatever epoch it holds.
    SideStore,
    /// A boundary is published without winning the decided bit.
    NoDecision,
    /// The decided bit is won with Relaxed ordering.
    RelaxedDecision,
    /// A snapshot is written without ordering.
    SlotRelaxed,
    /// A snapshot is written without claiming its slot.
    SlotNoClaim,
    /// A snapshot is read without looking at its tag again.
    SlotNoReread,
    /// No fence between the add of a failing call and its sum.
    NoTripFence,
    /// A lane changes owners with Relaxed ordering.
    LaneRelaxed,
    /// A counter that all threads share is stored where it must be added to.
    WideStoreForAdd,
    /// A histogram is read before the lock that orders its snapshots is taken.
    SamplesUnlocked,
    /// A reader takes the newest event although an older one is still being written.
    EventSkipsUnwritten,
    /// An event is announced before it is written.
    EventMarkFirst,
    /// A window restarts after the state moved instead of before.
    FloorAfterMove,
    /// A drain of the dirty set does not look again at what the last one handed out.
    NoSecondLook,
    /// A window opens the hot edge without looking whether it was replaced.
    EdgeUnchecked,
    /// A bucket begins whatever its word shows.
    BeginTwice,
    /// The beginning of a bucket's line is that of whoever wrote it last.
    BeginStores,
    /// A bucket's word names terms that are not written yet.
    TermsAfterWord,
    /// No fence before terms are written over older ones.
    TermsNoFence,
    /// A refusal is made without looking whether its terms were being replaced.
    TermsUnchecked,
    /// A refused request writes to the bucket.
    RefusalWrites,
    /// A queue does not hold back those who do not wait.
    QueueNoHold,
    /// The hold on those who do not wait is set after the lock that covers the queue is released.
    QueueHoldsLate,
    /// A waker is kept in a second look at the queue.
    QueueWakerLate,
    /// A waker that is not called is dropped while the queue is locked.
    QueueDropsWithin,
    /// The request that comes to the head of a queue is not told.
    QueueHeadUntold,
    /// A queue is served before the terms change instead of after.
    ServedBeforeChange,
    /// A request that left the queue is served all the same.
    QueueServesLeft,
    /// A lease gives back what it was given, whatever it spent.
    LeaseReturnsAll,
    /// A lease gives tokens back under terms that are not those it took them under.
    LeaseForgetsTerms,
    /// A budget takes what lapsed for what was spent, so that an old sum gives back what others paid.
    BudgetForgetsSpent,
    /// A ring's slot is stored where it must be compared and exchanged.
    RingStoreForCas,
    /// A slot is taken although the head only lags behind it.
    RingNoLag,
    /// A ring is judged without looking whether its head moved meanwhile.
    RingNoRecheck,
    /// A ring's slots and head are read and written with Relaxed ordering.
    RingRelaxed,
    /// A ring's head moves before the slot is written.
    RingHeadFirst,
    /// A refused request leaves its time in the ring.
    RingWriteOnRefusal,
    /// Only the first of a ring's rules is asked.
    RingFirstRuleOnly,
    /// A word of two counters is stored where it must be compared and exchanged.
    EstimateStoreForCas,
    /// A bucket begins while the one before may still be counted in.
    EstimateNoSeal,
    /// The words of two counters are read without looking at the first again.
    EstimateNoRecheck,
    /// The words of two counters are read and written with Relaxed ordering.
    EstimateRelaxed,
    /// A lease that gives back looks for a queue before it does so, not as it does.
    LeaseLooksFirst,
    /// A lease takes the number of changes for that of its terms.
    LeaseCountsChanges,
}

/// `strong`, or `Relaxed` when the model planted `fault`.
#[inline(always)]
pub fn ordering(fault: Mutant, strong: Ordering) -> Ordering {
    if mutant(fault) { Ordering::Relaxed } else { strong }
}

/// The first load of a CAS loop over a plain `AtomicU64`; see `load_for_update` above for why loom
/// needs another one. Not for a cell that is also written by plain stores: loom keeps no order between
/// those and the write that this makes of the load.
#[inline(always)]
pub fn load_for_update(cell: &AtomicU64, order: Ordering) -> u64 {
    #[cfg(fusewire_loom)]
    return cell.fetch_add(0, order);
    #[cfg(not(fusewire_loom))]
    cell.load(order)
}
