//! The kernels, to be tracked from version to version: `cargo bench --bench simd`.
#![allow(missing_docs, reason = "criterion's macros")]

fn main() {}
