//! Many threads at once.

use std::thread;

use crate::random::Random;

pub(crate) const THREADS: u64 = 4;

/// Runs `work` on every thread, each with other numbers, and `beside` on this one until they are done and once after.
pub(crate) fn together(work: impl Fn(Random) + Sync, mut beside: impl FnMut()) {
    thread::scope(|scope| {
        let work = &work;
        let working: Vec<_> =
            (1..=THREADS).map(|seed| scope.spawn(move || work(Random::new(seed)))).collect();
        while !working.iter().all(thread::ScopedJoinHandle::is_finished) {
            beside();
            thread::yield_now();
        }
    });
    beside();
}
