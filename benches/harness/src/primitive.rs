//! The primitives that hot paths are compared with.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use crate::path::HotPath;

/// A step that every machine has, cheap enough to be the unit of a budget. All are uncontended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// `relaxed_load`: one atomic load.
    RelaxedLoad,
    /// `fetch_add`: an atomic addition to a stripe, a cache line that no other thread writes.
    FetchAdd,
    /// `cas`: a load and a compare-and-exchange of what it read, on such a line too.
    Cas,
    /// `tsc`: the unscaled read of the processor's time stamp counter (`quanta`'s raw reading).
    Tsc,
    /// `mutex`: `std::sync::Mutex`, locked, written through and unlocked.
    Mutex,
}

impl Primitive {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::RelaxedLoad, Self::FetchAdd, Self::Cas, Self::Tsc, Self::Mutex];

    /// The name that budgets use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RelaxedLoad => "relaxed_load",
            Self::FetchAdd => "fetch_add",
            Self::Cas => "cas",
            Self::Tsc => "tsc",
            Self::Mutex => "mutex",
        }
    }

    /// Whether a path of that name is one of them.
    pub(crate) fn is_named(name: &str) -> bool {
        Self::ALL.iter().any(|primitive| primitive.name() == name)
    }

    /// The path that times it.
    pub fn path(self) -> HotPath {
        match self {
            Self::RelaxedLoad => {
                let word = Box::new(CachePadded::new(AtomicU64::new(1)));
                HotPath::new(self.name(), move || word.load(Relaxed))
            }
            Self::FetchAdd => {
                let word = Box::new(CachePadded::new(AtomicU64::new(1)));
                HotPath::new(self.name(), move || word.fetch_add(1, Relaxed))
            }
            Self::Cas => {
                let word = Box::new(CachePadded::new(AtomicU64::new(1)));
                HotPath::new(self.name(), move || {
                    let seen = word.load(Relaxed);
                    word.compare_exchange(seen, seen.wrapping_add(1), Relaxed, Relaxed)
                })
            }
            Self::Tsc => {
                let clock = quanta::Clock::new();
                HotPath::new(self.name(), move || clock.raw())
            }
            Self::Mutex => {
                let count = Box::new(CachePadded::new(Mutex::new(0_u64)));
                HotPath::new(self.name(), move || {
                    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
                    *count += 1;
                    *count
                })
            }
        }
    }

    /// A path for each of them.
    pub fn paths() -> Vec<HotPath> {
        Self::ALL.into_iter().map(Self::path).collect()
    }
}
