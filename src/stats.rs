//! Latency statistics: histograms that many threads record into, windows over them, and what can be read from a
//! snapshot.
//!
//! Like every count of the engine a [`LatencyHistogram`] only grows. A [`HistogramSnapshot`] is a plain copy of it; the
//! difference of two is the histogram of the time between them, which a [`LatencyWindow`] makes for whoever reads.
//! Taking snapshots is work for those who look, not for those who call: the reader does it, or a thread that has
//! time (see [`observe::sample_latencies`](crate::observe::sample_latencies)).

#[cfg(feature = "hdrhistogram")]
mod export;
mod histogram;
mod layout;
mod snapshot;
mod window;

#[cfg(feature = "hdrhistogram")]
pub use export::ExportError;
pub use histogram::LatencyHistogram;
pub use layout::{HistogramConfig, LayoutMismatch};
pub use snapshot::{HistogramSnapshot, Slot};
pub use window::{LatencyWindow, RecentLatency};
