//! A hot path: what is timed.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

pub(crate) type Body = Arc<dyn Fn(u64) + Send + Sync>;

/// A named operation to be timed, and the number of threads that run it at once.
#[derive(Clone)]
pub struct HotPath {
    name: String,
    threads: usize,
    body: Body,
}

impl HotPath {
    /// A path of one thread that repeats `operation`.
    ///
    /// What `operation` captures is opaque to the optimiser in every iteration, as it would be to a caller who
    /// comes back after other work, and what it returns counts as used.
    pub fn new<R>(name: impl Into<String>, operation: impl Fn() -> R + Send + Sync + 'static) -> Self {
        Self::batch(name, move |iterations| {
            for _ in 0..iterations {
                black_box(black_box(&operation)());
            }
        })
    }

    /// A path whose body runs its own loop of so many iterations, for operations that need state of the thread.
    pub fn batch(name: impl Into<String>, body: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { name: name.into(), threads: 1, body: Arc::new(body) }
    }

    /// Runs it so often on the calling thread, untimed: for a look at what it does before it is measured.
    pub fn run(&self, iterations: u64) {
        (self.body)(iterations);
    }

    /// Lets `threads` threads run the path at once. What it captures, they share.
    ///
    /// # Panics
    ///
    /// If `threads` is zero.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a path needs a thread to run on");
        self.threads = threads;
        self
    }

    /// The name that budgets and tables use.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }
}

impl fmt::Debug for HotPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotPath")
            .field("name", &self.name)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
