//! Random operations on the engine against naive sequential twins.
//!
//! Each body decodes bytes to operations, carries them out on a real instance at explicit times and on
//! a twin that is written from the documentation with plain lists and wide integers, and compares the
//! two after every step. The fuzz targets, the corpus test and the property tests share the bodies.

mod breaker;
mod bucket;
mod budget;
mod hung;
mod input;
mod latency;
mod retry;
mod simd;
mod sliding;
mod twin;
mod window;

pub use breaker::breaker;
pub use bucket::bucket;
pub use budget::budget;
pub use hung::hung;
pub use latency::latency;
pub use retry::retry;
pub use simd::simd;
pub use sliding::sliding;
pub use window::window;

/// A body: it returns when engine and twin agreed to the end, and panics where they differ.
pub type Body = fn(&[u8]);

/// Each body by the name of its fuzz target.
pub const ALL: [(&str, Body); 9] = [
    ("breaker", breaker),
    ("window", window),
    ("hung", hung),
    ("retry", retry),
    ("budget", budget),
    ("sliding", sliding),
    ("bucket", bucket),
    ("latency", latency),
    ("simd", simd),
];
