//! The set of instances that counted something since they were last looked at.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::directory::Live;
use super::ready::{Place, ReadySet};
use crate::sync::{AtomicBool, Mutant, Ordering, mutant};

/// Collects the instances that counted something, so that whoever publishes the counts of a large
/// fleet looks only at those.
///
/// Clones share the set. An instance joins when it is built with it; a clean instance pays one relaxed
/// load a call for it, and its first count after a drain sets a flag and a bit.
#[derive(Clone)]
pub struct DirtySet(Arc<Shared>);

struct Shared {
    ready: ReadySet<Member>,
    /// Those handed out by the last drain.
    last: Mutex<Vec<usize>>,
}

#[derive(Clone)]
struct Member {
    instance: Weak<dyn Live>,
    flag: Arc<AtomicBool>,
}

impl DirtySet {
    /// An empty set.
    pub fn new() -> Self {
        Self(Arc::new(Shared { ready: ReadySet::new(), last: Mutex::new(Vec::new()) }))
    }

    /// Hands each instance that counted since the last drain to `visit` and marks it clean; gives how
    /// many there were.
    ///
    /// An instance is handed out once more by the drain after, because a count that another core was
    /// just making may not have been visible: compare its totals with those you saw. So no count goes
    /// unseen for longer than two drains.
    pub fn drain(&self, mut visit: impl FnMut(Arc<dyn Live>)) -> usize {
        let marked = self.0.ready.take();
        let now: Vec<usize> = marked.iter().map(|(index, _)| *index).collect();
        let last = {
            let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, now.clone())
        };
        for (_, member) in &marked {
            // The flag goes before the counts are read, so that a count that is not in them marks anew.
            member.flag.store(false, Ordering::Relaxed);
        }
        let again = last.into_iter().filter(|index| now.binary_search(index).is_err());
        let again = again.filter(|_| !mutant(Mutant::NoSecondLook));
        let again: Vec<_> = again.filter_map(|index| self.0.ready.get(index)).collect();
        let members = marked.into_iter().map(|(_, member)| member).chain(again);
        let live = members.filter_map(|member| member.instance.upgrade());
        live.map(&mut visit).count()
    }

    pub(crate) fn join(&self, instance: Weak<dyn Live>) -> DirtyMark {
        let flag = Arc::new(AtomicBool::new(false));
        let place = self.0.ready.join(Member { instance, flag: flag.clone() });
        DirtyMark { set: self.0.clone(), place, flag }
    }
}

impl Default for DirtySet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DirtySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirtySet").finish_non_exhaustive()
    }
}

/// An instance's membership; it leaves on drop.
pub(crate) struct DirtyMark {
    set: Arc<Shared>,
    place: Place,
    flag: Arc<AtomicBool>,
}

impl DirtyMark {
    /// Says that the instance counted something.
    #[inline(always)]
    pub(crate) fn mark(&self) {
        if !self.flag.load(Ordering::Relaxed) {
            self.mark_first();
        }
    }

    #[cold]
    #[inline(never)]
    fn mark_first(&self) {
        if !self.flag.swap(true, Ordering::Relaxed) {
            self.set.ready.mark(&self.place);
        }
    }
}

impl Drop for DirtyMark {
    fn drop(&mut self) {
        self.set.ready.leave(self.place.index());
    }
}

impl fmt::Debug for DirtyMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirtyMark").field("index", &self.place.index()).finish_non_exhaustive()
    }
}
