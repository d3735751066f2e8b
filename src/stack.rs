//! The whole stack: retry, limiter and breaker around one call.
//!
//! [`Protection`] composes the layers, each inside the one before; what each order means is told in
//! `docs/stack.md`. A layer that refuses is no failure of the service: a breaker ignores what a limiter
//! inside it refused, and a limiter never sees what became of a call.

mod error;
mod gate;

mod protection;

pub use error::{ProtectionError, RefusedBy};
pub use gate::{Chain, Gate, Judged};
pub use protection::{NoRetry, Protection, ProtectionBuilder};
