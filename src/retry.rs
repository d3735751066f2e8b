//! Retry: attempts again, with growing waits, until it succeeds or must stop.

/// Attempts again until it succeeds or must stop.
#[derive(Debug)]
pub struct Retry;
