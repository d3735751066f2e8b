//! What a breaker must do to take part, and the checks and paths that are the same for all.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::column::Column;
use crate::entry::{Body, Entry, Kind};

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

    /// The calls of one thread, each after `between`, for contenders that want a handle of the thread.
    #[inline(always)]
    fn succeed_times(&self, times: u64, mut between: impl FnMut()) {
        for _ in 0..times {
            between();
            black_box(black_box(self).succeed());
        }
    }
}

const HOUR: Duration = Duration::from_hours(1);

const CLOSED: &str = "closed";
const OPEN: &str = "open";

pub(crate) const CLOSED_1T: Column = Column::new(CLOSED, 1);
pub(crate) const CLOSED_2T: Column = Column::new(CLOSED, 2);
pub(crate) const OPEN_1T: Column = Column::new(OPEN, 1);
pub(crate) const OPEN_2T: Column = Column::new(OPEN, 2);

pub(crate) const COLUMNS: [Column; 8] = [
    CLOSED_1T,
    CLOSED_2T,
    Column::with_work(CLOSED, 1),
    Column::with_work(CLOSED, 2),
    OPEN_1T,
    OPEN_2T,
    Column::with_work(OPEN, 1),
    Column::with_work(OPEN, 2),
];

pub(crate) const TAILS: [Column; 4] = [CLOSED_1T, CLOSED_2T, OPEN_1T, OPEN_2T];

/// Checks the contender, then builds a breaker of its own for each column.
pub(crate) fn enter<C: Contender>(name: &'static str) -> Entry {
    check::<C>(name);
    let kind = Kind::of(name, C::FORGETS);
    Entry::new(name, kind, COLUMNS, TAILS, |column| {
        let breaker = C::closed(HOUR);
        let closed = column.case == CLOSED;
        if !closed {
            trip(&breaker, name);
        }
        Guarded { breaker, closed, name }
    })
}

/// A breaker that stays in one state.
struct Guarded<C> {
    breaker: C,
    closed: bool,
    name: &'static str,
}

impl<C: Contender> Body for Guarded<C> {
    #[inline(always)]
    fn run(&self, times: u64, between: impl FnMut()) {
        self.breaker.succeed_times(times, between);
        // One more than counted: a sample has hundreds at least.
        assert_eq!(self.breaker.succeed(), self.closed, "{} left its state", self.name);
    }
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
