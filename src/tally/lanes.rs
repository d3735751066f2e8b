//! Which lane of a tally belongs to the calling thread.
//!
//! A thread claims the lowest free number on its first count and gives it back when it ends, so the
//! numbers in use stay dense and a tally with few lanes still serves the first threads best.

use crate::sync::{AtomicU64, Mutant, Ordering, load_for_update, ordering};

/// The lane of a thread that has not counted yet.
const UNCLAIMED: usize = usize::MAX - 1;
/// The lane of a thread that found none free, or is ending.
const NONE: usize = usize::MAX;

/// How many lanes can be owned at once in a process.
const MAX_OWNED: usize = 64;

/// The lanes in use, a bit each.
#[derive(Debug)]
pub struct LaneIds(AtomicU64);

impl LaneIds {
    #[cfg(not(fusewire_loom))]
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// No lane in use; loom's atomics cannot be made in a constant.
    #[cfg(fusewire_loom)]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The lowest free lane.
    pub fn claim(&self) -> Option<usize> {
        let mut used = load_for_update(&self.0, Ordering::Relaxed);
        loop {
            let lane = used.trailing_ones() as usize;
            if lane >= MAX_OWNED {
                return None;
            }
            // Acquire: pairs with the Release in `release`; the new owner reads the counters as the
            // last owner left them.
            let ok = ordering(Mutant::LaneRelaxed, Ordering::Acquire);
            match self.0.compare_exchange(used, used | 1 << lane, ok, Ordering::Relaxed) {
                Ok(_) => return Some(lane),
                Err(found) => used = found,
            }
        }
    }

    /// Gives a lane back.
    pub fn release(&self, lane: usize) {
        // Release: pairs with the Acquire in `claim`.
        self.0.fetch_and(!(1 << lane), ordering(Mutant::LaneRelaxed, Ordering::Release));
    }
}

#[cfg(not(fusewire_loom))]
mod thread {
    use super::{LaneIds, NONE, UNCLAIMED};
    use std::cell::Cell;

    static IDS: LaneIds = LaneIds::new();

    thread_local! {
        // Without a destructor, so that reading it is one load from the thread's block.
        static LANE: Cell<usize> = const { Cell::new(UNCLAIMED) };
        static OWNED: Owned = const { Owned(Cell::new(None)) };
    }

    /// Gives the thread's lane back when the thread ends.
    struct Owned(Cell<Option<usize>>);

    impl Drop for Owned {
        fn drop(&mut self) {
            LANE.set(NONE);
            if let Some(lane) = self.0.take() {
                IDS.release(lane);
            }
        }
    }

    /// The thread's lane, or a number past every tally's lanes.
    #[inline(always)]
    pub fn current() -> usize {
        LANE.get()
    }

    /// The thread's lane, claimed if this is its first count.
    #[inline]
    pub fn claim() -> usize {
        let lane = LANE.get();
        if lane == UNCLAIMED { claim_first() } else { lane }
    }

    #[cold]
    #[inline(never)]
    fn claim_first() -> usize {
        // Fails only while the thread's locals are being torn down: such a thread owns nothing.
        let claimed = OWNED.try_with(|owned| {
            let lane = IDS.claim();
            owned.0.set(lane);
            lane
        });
        let lane = claimed.ok().flatten().unwrap_or(NONE);
        LANE.set(lane);
        lane
    }
}

#[cfg(fusewire_loom)]
mod thread {
    use super::{NONE, UNCLAIMED};
    use std::cell::Cell;

    loom::thread_local! {
        static LANE: Cell<usize> = Cell::new(UNCLAIMED);
    }

    /// Makes the calling thread the owner of `lane`. Without it a model's threads share the last one.
    pub fn assume(lane: usize) {
        LANE.with(|mine| mine.set(lane));
    }

    pub fn current() -> usize {
        LANE.with(Cell::get)
    }

    pub fn claim() -> usize {
        if current() == UNCLAIMED {
            assume(NONE);
        }
        current()
    }
}

#[cfg(fusewire_loom)]
pub use thread::assume;
pub use thread::{claim, current};

/// Lanes of a tally when the user does not say: an owned one for each of two threads a core, and the
/// shared one.
pub fn default_stripes() -> usize {
    static STRIPES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *STRIPES.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (2 * cores + 1).min(33)
    })
}

/// The stripes that were asked for, or as many as are usual. `Err` has a number that is not allowed.
pub fn stripes(asked: Option<usize>) -> Result<usize, usize> {
    let stripes = asked.unwrap_or_else(default_stripes);
    if (1..=MAX_OWNED + 1).contains(&stripes) { Ok(stripes) } else { Err(stripes) }
}
