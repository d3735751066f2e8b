//! A drainable set of members: marking is one bit, draining takes all marked ones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use arc_swap::ArcSwap;

use crate::sync::{AtomicU64, Ordering, fence};

/// Members a leaf.
const LEAF: usize = 64;

/// Members that announce themselves by setting a bit.
///
/// Members and the drainer meet only at the bits: marking takes no lock and allocates nothing.
/// Joining, leaving and draining share a lock.
#[derive(Debug)]
pub(crate) struct ReadySet<T> {
    members: Mutex<Members<T>>,
    /// How many threads wait, so that marking looks at the list only when there is one.
    waiting: AtomicU64,
    waiters: ArcSwap<Vec<Thread>>,
}

#[derive(Debug)]
struct Members<T> {
    leaves: Vec<Arc<AtomicU64>>,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

/// A member's bit.
#[derive(Debug)]
pub(crate) struct Place {
    leaf: Arc<AtomicU64>,
    index: usize,
}

impl<T: Clone> ReadySet<T> {
    pub(crate) fn new() -> Self {
        Self {
            members: Mutex::new(Members { leaves: Vec::new(), slots: Vec::new(), free: Vec::new() }),
            waiting: AtomicU64::new(0),
            waiters: ArcSwap::default(),
        }
    }

    /// A panic while the lock is held cannot leave the lists in disorder, so poison is no news.
    fn members(&self) -> MutexGuard<'_, Members<T>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self, member: T) -> Place {
        let mut members = self.members();
        let index = members.free.pop().unwrap_or(members.slots.len());
        if index == members.slots.len() {
            members.slots.push(None);
        }
        if index / LEAF == members.leaves.len() {
            members.leaves.push(Arc::new(AtomicU64::new(0)));
        }
        members.slots[index] = Some(member);
        Place { leaf: members.leaves[index / LEAF].clone(), index }
    }

    /// Takes a member out. A mark that it left behind is drained as nothing, or as a needless visit
    /// to the member that has its place by then.
    pub(crate) fn leave(&self, index: usize) {
        let mut members = self.members();
        if members.slots.get_mut(index).and_then(Option::take).is_some() {
            members.free.push(index);
        }
    }

    /// Marks a member and wakes whoever sleeps for it.
    pub(crate) fn mark(&self, place: &Place) {
        // Release: pairs with the Acquire of the swap in `take`; the drainer sees what was written
        // before the mark.
        place.leaf.fetch_or(1 << (place.index % LEAF), Ordering::Release);
        // SeqCst: pairs with the fence in `wait`; either the drainer sees the mark or this thread sees
        // that it waits.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            // All of them: one that takes nothing sleeps again, one that was not woken might be the only
            // one left.
            for thread in self.waiters.load().iter() {
                thread.unpark();
            }
        }
    }

    /// Takes all marked members, with their indices, and unmarks them.
    pub(crate) fn take(&self) -> Vec<(usize, T)> {
        let members = self.members();
        let mut marked = Vec::new();
        for (base, leaf) in members.leaves.iter().enumerate() {
            if leaf.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Acquire: pairs with the Release in `mark`.
            let mut bits = leaf.swap(0, Ordering::Acquire);
            while bits != 0 {
                let index = base * LEAF + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(member) = members.slots.get(index).cloned().flatten() {
                    marked.push((index, member));
                }
            }
        }
        marked
    }

    /// The member at `index`, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<T> {
        self.members().slots.get(index).cloned().flatten()
    }

    /// All members.
    pub(crate) fn all(&self) -> Vec<T> {
        self.members().slots.iter().flatten().cloned().collect()
    }

    fn any_marked(&self) -> bool {
        self.members().leaves.iter().any(|leaf| leaf.load(Ordering::Relaxed) != 0)
    }

    /// Parks the calling thread until a member is marked or somebody unparks it; it may also return
    /// early. Any number of threads may wait.
    pub(crate) fn wait(&self, keep_waiting: impl Fn() -> bool) {
        let me = std::thread::current();
        self.waiters.rcu(|waiters| waiters.iter().chain([&me]).cloned().collect::<Vec<_>>());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `mark`.
        fence(Ordering::SeqCst);
        if !self.any_marked() && keep_waiting() {
            std::thread::park();
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let others = |waiter: &&Thread| waiter.id() != me.id();
        self.waiters.rcu(|waiters| waiters.iter().filter(others).cloned().collect::<Vec<_>>());
    }
}

impl Place {
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}
