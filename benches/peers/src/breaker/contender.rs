//! What a breaker must do to take part, and the checks and paths that are the same for all.

use std::fmt;
use std::time::{Duration, Instant};

use fusewire_harness::HotPath;

use crate::suite::{Entry, path_name};

/// Consecutive failures after which every contender opens, or the nearest thing to it that it offers.
pub(crate) const FAILURES: u32 = 5;

/// The error of a failing call. The same type for all, since some peers box it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fault")
    }
}

impl std::error::Error for Fault {}

/// A breaker that can be timed. Both calls run a body that does nothing but return.
pub(crate) trait Contender: Send + Sync + 'static {
    /// Whether a success makes it forget earlier failures: without that, the rule is not the consecutive one and
    /// the number does not count in a comparison.
    const FORGETS: bool = true;

    /// A closed breaker that opens after [`FAILURES`] failures in a row and stays open for `open`.
    fn closed(open: Duration) -> Self;

    /// A call that succeeds if it is let through; whether it was.
    fn succeed(&self) -> bool;

    /// A call that fails if it is let through; whether it was.
    fn fail(&self) -> bool;

    /// The calls of one thread, for contenders that want a handle of the thread.
    fn succeed_times(&self, iterations: u64) {
        for _ in 0..iterations {
            std::hint::black_box(std::hint::black_box(self).succeed());
        }
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// The columns of the table: state and threads.
pub(crate) const COLUMNS: [&str; 4] = ["closed 1T", "closed 2T", "open 1T", "open 2T"];

/// Checks the contender, then builds a breaker of its own for each column.
pub(crate) fn enter<C: Contender>(name: &'static str) -> Entry {
    check::<C>(name);
    let path = |column: &str| {
        let breaker = C::closed(HOUR);
        let open = column.starts_with("open");
        let threads = if column.ends_with("2T") { 2 } else { 1 };
        if open {
            trip(&breaker, name);
        }
        assert_eq!(breaker.succeed(), !open, "{name} is not {column}");
        HotPath::batch(path_name(name, column), move |iterations| breaker.succeed_times(iterations))
            .threads(threads)
    };
    Entry { name, in_bars: C::FORGETS, paths: COLUMNS.into_iter().map(path).collect() }
}

/// A number counts only for a breaker that breaks: it must trip, refuse, and come back.
fn check<C: Contender>(name: &str) {
    let breaker = C::closed(HOUR);
    for _ in 0..100 {
        assert!(breaker.succeed(), "{name}: refused while closed");
    }
    trip(&breaker, name);
    for _ in 0..100 {
        assert!(!breaker.succeed(), "{name}: admitted while open");
    }

    let breaker = C::closed(HOUR);
    for _ in 1..FAILURES {
        assert!(breaker.fail(), "{name}: opened too early");
    }
    assert!(breaker.succeed(), "{name}: opened too early");
    let refused = (1..=FAILURES).filter(|_| !breaker.fail()).count();
    assert_eq!(refused == 0, C::FORGETS, "{name}: refused {refused} failures after a success");

    let breaker = C::closed(Duration::from_millis(5));
    trip(&breaker, name);
    let patience = Instant::now() + Duration::from_secs(5);
    let mut admitted = 0;
    while admitted < 100 {
        admitted = if breaker.succeed() { admitted + 1 } else { 0 };
        assert!(Instant::now() < patience, "{name}: has not closed again");
    }
    assert!(breaker.fail() && breaker.succeed(), "{name}: one failure opened it");
}

/// Fails until it is open. Rate-based peers see a window of successes first, so they get more than [`FAILURES`].
fn trip<C: Contender>(breaker: &C, name: &str) {
    let failures = (0..4 * FAILURES).take_while(|_| breaker.fail()).count();
    assert!(failures >= FAILURES as usize, "{name}: opened after {failures} failures");
    assert!(!breaker.fail(), "{name}: still closed after {failures} failures");
}
