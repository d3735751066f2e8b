//! The weak directory of all live instances, for exporters.
//!
//! It keeps nothing alive: an instance leaves when it is dropped. Instances of one name are
//! independent, and each has its own entry; an exporter merges them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A circuit breaker.
    CircuitBreaker,
    /// A rate limiter.
    RateLimiter,
    /// A named retry.
    Retry,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CircuitBreaker => "circuit_breaker",
            Self::RateLimiter => "rate_limiter",
            Self::Retry => "retry",
        })
    }
}

/// An instance that stands in the directory.
pub trait Live: Any + Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Its name; not unique.
    fn name(&self) -> &str;
    /// Takes a snapshot of its latencies for whoever reads their window later, by its own clock, if one is due;
    /// whether it did. Never, for an instance that keeps none.
    fn sample_latency(&self) -> bool {
        false
    }
}

type Entries = BTreeMap<usize, Weak<dyn Live>>;

/// Behind a lock that only building, dropping and listing take: a lock-free map would keep entries, and
/// with them the memory of instances that are gone, until many more had left, and could not be left from
/// a thread-local's destructor.
fn entries() -> MutexGuard<'static, Entries> {
    static ENTRIES: Mutex<Entries> = Mutex::new(BTreeMap::new());
    // Nothing that can panic runs under the lock.
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An instance's place in the directory; it leaves on drop. The key is the instance's address, which
/// nothing else can have while the instance, and so this field of it, is alive.
#[derive(Debug)]
pub(crate) struct Registration(usize);

/// Enters an instance. Called from within `Arc::new_cyclic`, so the entry may not be alive yet.
pub(crate) fn register(instance: Weak<dyn Live>) -> Registration {
    let key = instance.as_ptr().addr();
    entries().insert(key, instance);
    Registration(key)
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The entry is let go of after the lock.
        let _entry = entries().remove(&self.0);
    }
}

/// Lets each live instance take a snapshot of its latencies if one is due by its own clock; how many did.
///
/// A window of latencies is the difference of two snapshots, so somebody has to take one for each of its buckets. Any
/// of these may:
///
/// - the reader, who does so by reading ([`recent_latency`](crate::CircuitBreaker::recent_latency)), and needs nobody else
///   as long as it reads at least once a bucket;
/// - the thread of a dispatcher: [`Dispatcher::sampling`](crate::Dispatcher::sampling);
/// - the thread of a coarse clock, which is late for as long as it takes:
///   [`CoarseClock::spawn_with`](crate::CoarseClock::spawn_with) and this function.
///
/// A thread that guards calls takes none, unless it calls one of these functions itself. Instances whose window was
/// read or sampled at a time that the caller gave are left alone, because their own clock may count from elsewhere:
/// [`sample_latency_at`](crate::CircuitBreaker::sample_latency_at) is the way for them.
pub fn sample_latencies() -> usize {
    live().into_iter().filter(|instance| instance.sample_latency()).count()
}

/// All instances that are alive now, in no particular order. One that is made or dropped meanwhile may or
/// may not be among them.
pub fn live() -> Vec<Arc<dyn Live>> {
    entries().values().filter_map(Weak::upgrade).collect()
}
