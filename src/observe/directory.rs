//! The weak directory of all live instances, for exporters.
//!
//! It keeps nothing alive: an instance leaves when it is dropped. Instances of one name are
//! independent, and each has its own entry; an exporter merges them.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A circuit breaker.
    CircuitBreaker,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CircuitBreaker => "circuit_breaker",
        })
    }
}

/// An instance that stands in the directory.
pub trait Live: Any + Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Its name; not unique.
    fn name(&self) -> &str;
}

type Entries = papaya::HashMap<usize, Weak<dyn Live>>;

fn entries() -> &'static Entries {
    static ENTRIES: OnceLock<Entries> = OnceLock::new();
    ENTRIES.get_or_init(Entries::new)
}

/// An instance's place in the directory; it leaves on drop. The key is the instance's address, which
/// nothing else can have while the instance, and so this field of it, is alive.
#[derive(Debug)]
pub(crate) struct Registration(usize);

/// Enters an instance. Called from within `Arc::new_cyclic`, so the entry may not be alive yet.
pub(crate) fn register(instance: Weak<dyn Live>) -> Registration {
    let key = instance.as_ptr().addr();
    entries().pin().insert(key, instance);
    Registration(key)
}

impl Drop for Registration {
    fn drop(&mut self) {
        entries().pin().remove(&self.0);
    }
}

/// All instances that are alive now, in no particular order.
///
/// Lock-free; an instance that is made or dropped meanwhile may or may not be among them.
pub fn live() -> Vec<Arc<dyn Live>> {
    entries().pin().values().filter_map(Weak::upgrade).collect()
}
