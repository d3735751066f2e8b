#![doc = include_str!("../README.md")]

pub mod breaker;
pub mod clock;
pub mod error;
pub mod observe;
pub mod registry;

mod sync;
mod tally;
mod window;
mod word;

/// The protocols' parts, for the models of `loom-tests`.
#[cfg(fusewire_loom)]
#[allow(missing_docs, reason = "documented where they are internal")]
pub mod model {
    pub use crate::observe::model::{Journal, Record};
    pub use crate::sync::{AtomicU64, Mutant, Ordering, with_mutant};
    pub use crate::tally::Tally;
    pub use crate::tally::lanes::{LaneIds, assume};
    pub use crate::window::Window;
    pub use crate::window::snapshot::Snapshot;
}

pub use breaker::{
    BreakerSnapshot, Cancelled, CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig, OpenBackoff,
    Outcome, OwnedPermit, Permit, ProbeMode, SlowCalls, Token, Totals, Transition, WindowConfig,
};
pub use clock::{Clock, CoarseClock, ManualClock};
pub use error::{
    CallError, CircuitOpenError, ConfigError, RegistryConflict, RegistryError, RejectReason, Rejected,
};
pub use observe::{DirtySet, Dispatcher, Event, EventQueue};
pub use registry::Registry;
pub use word::breaker::{Cause, CircuitState};
