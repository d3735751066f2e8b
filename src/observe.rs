//! What can be seen from outside: events of state changes, the set of instances that changed, and the
//! weak directory of all live ones. Nothing here runs on a path that decides, except to mark.

mod directory;
mod dirty;
mod dispatcher;
mod events;
mod journal;
mod ready;

pub use directory::{Kind, Live, live, sample_latencies};
pub(crate) use directory::{Registration, register};
pub(crate) use dirty::DirtyMark;
pub use dirty::DirtySet;
pub use dispatcher::Dispatcher;
pub(crate) use events::Publisher;
pub use events::{Event, EventQueue};
pub(crate) use journal::Record;

/// For the models, which drive the journal's protocol themselves.
#[cfg(fusewire_loom)]
pub(crate) mod model {
    pub use super::journal::{Journal, Record};
}
