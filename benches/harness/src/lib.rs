//! Times hot paths beside the machine's primitives and holds them to budgets given as ratios.
//!
//! Nanoseconds differ from machine to machine and from hour to hour; the ratio of a path to an uncontended
//! `fetch_add` in the same run hardly does. So a budget here says "at most 2.5 of a `fetch_add`", never "at
//! most 5 ns", and it holds on a laptop as on a server.
//!
//! - [`HotPath`]: a named operation and how many threads run it at once.
//! - [`Gate`]: paths and budgets as a program: it measures, prints a table, writes JSON and exits with 0, 1 or 2.
//! - [`Primitive`]: what paths are compared with: a relaxed load, a `fetch_add`, an exchange, a TSC read, a mutex.
//! - [`Plan`]: how many repetitions; [`Plan::measure`] runs every path once in each of them, in turn.
//! - [`Measurements`]: a [`Series`] for each path, with medians, spreads and ratios.
//! - [`TailPath`], [`TailPlan`]: single operations instead of loops, for the quantiles of a [`Tail`].
//! - [`Budgets`]: ratios read from TOML; [`Budgets::hold`] turns measurements into a [`Report`].
//!
//! ```
//! use fusewire_harness::{Budgets, HotPath, Plan, Primitive};
//! use std::time::Duration;
//!
//! let counter = std::sync::atomic::AtomicU64::new(0);
//! let mut paths = Primitive::paths();
//! paths.push(HotPath::new("count", move || counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
//!
//! let plan = Plan { repetitions: 11, sample: Duration::from_micros(50), ..Plan::default() };
//! let measured = plan.measure(&paths);
//! let budgets = Budgets::parse("[count]\nfetch_add = 1000.0")?;
//! let report = budgets.hold(&measured)?;
//! assert!(report.over().is_empty(), "{report}");
//! # Ok::<(), fusewire_harness::BudgetError>(())
//! ```
//!
//! Interleaving makes drift (clock frequency, a noisy neighbour) hit all paths alike, and a ratio is the median
//! of the ratios within repetitions. Samples during which a thread was preempted, or shared its core, are thrown away and
//! counted.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures: wall time, std atomics"
)]

mod budget;
mod canary;
mod command;
mod count;
mod docket;
mod gate;
mod machine;
mod path;
mod plan;
mod primitive;
mod process;
mod report;
mod series;
mod tail;
mod team;

pub use budget::{BudgetError, Budgets};
pub use gate::{Gate, Verdict};
pub use machine::Machine;
pub use path::HotPath;
pub use plan::Plan;
pub use primitive::Primitive;
pub use report::{Finding, Report, Row};
pub use series::{Measurements, Series};
pub use tail::{Laps, Tail, TailPath, TailPlan};
