//! What a limiter must do to take part, and the checks and paths that are the same for all.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::column::Column;
use crate::entry::{Body, Entry, Kind};

/// So many permits in such a time, and so many at once.
#[derive(Clone, Copy)]
pub(crate) struct Quota {
    pub(crate) permits: u32,
    pub(crate) period: Duration,
    pub(crate) burst: u32,
}

/// More than two threads can ask for.
const PLENTY: Quota = Quota { permits: 1_000_000_000, period: Duration::from_secs(1), burst: 1_000_000_000 };

/// Used up at once.
const SCARCE: Quota = Quota { permits: 1, period: Duration::from_hours(1), burst: 1 };

/// For the checks: a permit in ten milliseconds.
const BURST: u32 = 10;
const STEADY: Quota = Quota { permits: 100, period: Duration::from_secs(1), burst: BURST };

/// A limiter that can be timed.
pub(crate) trait Contender: Send + Sync + 'static {
    /// Whether two threads that share it get what is there: without that, it has no columns of two threads.
    const SHARED: bool = true;

    /// A full bucket.
    fn new(quota: Quota) -> Self;

    /// Asks for a permit, now; whether it was given.
    fn take(&self) -> bool;

    /// Asks so often, each time after `between`; how many permits were given. For contenders that want a handle
    /// of the thread, or to be told the time. `ADDED` as for [`count`].
    #[inline(always)]
    fn take_times<const ADDED: bool>(&self, times: u64, mut between: impl FnMut()) -> u64 {
        count::<ADDED>(times, || {
            between();
            black_box(self).take()
        })
    }
}

/// Counts the permits: by going one way or the other, as most callers do, or by adding the answers up as numbers,
/// so that each answer must exist as a value. What that costs a contender depends on how its answer is represented.
#[inline(always)]
pub(crate) fn count<const ADDED: bool>(times: u64, mut take: impl FnMut() -> bool) -> u64 {
    let mut given = 0;
    for _ in 0..times {
        if ADDED {
            given += u64::from(take());
        } else if take() {
            black_box(());
            given += 1;
        }
    }
    given
}

const ALLOW: &str = "allow";
const DENY: &str = "deny";
/// Without a branch on the answer.
const DENY_ADDED: &str = "deny, added up,";

pub(crate) const ALLOW_1T: Column = Column::new(ALLOW, 1);
pub(crate) const ALLOW_2T: Column = Column::new(ALLOW, 2);
pub(crate) const ALLOW_WORK_2T: Column = Column::with_work(ALLOW, 2);
pub(crate) const DENY_1T: Column = Column::new(DENY, 1);
pub(crate) const DENY_2T: Column = Column::new(DENY, 2);

pub(crate) const COLUMNS: [Column; 9] = [
    ALLOW_1T,
    ALLOW_2T,
    Column::with_work(ALLOW, 1),
    ALLOW_WORK_2T,
    DENY_1T,
    DENY_2T,
    Column::with_work(DENY, 1),
    Column::with_work(DENY, 2),
    Column::new(DENY_ADDED, 1),
];

pub(crate) const TAILS: [Column; 4] = [ALLOW_1T, ALLOW_2T, DENY_1T, DENY_2T];

/// Checks the contender, then builds a limiter of its own for each column.
pub(crate) fn enter<C: Contender>(name: &'static str) -> Entry {
    check::<C>(name);
    let kind = Kind::of(name, C::SHARED);
    let fits = |column: &Column| C::SHARED || column.threads == 1;
    let (columns, tails) = (COLUMNS.into_iter().filter(fits), TAILS.into_iter().filter(fits));
    Entry::new(name, kind, columns, tails, |column| {
        let allows = column.case == ALLOW;
        let limiter = C::new(if allows { PLENTY } else { SCARCE });
        if !allows {
            assert!(limiter.take(), "{name}: no first permit");
        }
        Asked { limiter, allows, added: column.case == DENY_ADDED, name }
    })
}

/// A limiter that always gives the same answer.
struct Asked<C> {
    limiter: C,
    allows: bool,
    added: bool,
    name: &'static str,
}

impl<C: Contender> Body for Asked<C> {
    /// Each sample looks at its answers: an `allow` that refused once is no measurement.
    #[inline(always)]
    fn run(&self, times: u64, between: impl FnMut()) {
        let given = if self.added {
            self.limiter.take_times::<true>(times, between)
        } else {
            self.limiter.take_times::<false>(times, between)
        };
        assert_eq!(given, if self.allows { times } else { 0 }, "{} gave another answer", self.name);
    }
}

/// A number counts only for a limiter that limits: it must give its burst, refuse, and refill at its rate.
fn check<C: Contender>(name: &str) {
    // A thread that loses its core for ten milliseconds sees a permit too many; three times in a row it will not.
    let burst = (0..3).map(|_| {
        let limiter = C::new(STEADY);
        (0..2 * BURST).filter(|_| limiter.take()).count()
    });
    let burst = burst.min().unwrap_or_default();
    assert_eq!(burst, BURST as usize, "{name}: gave another burst");

    let limiter = C::new(STEADY);
    while limiter.take() {}
    let start = Instant::now();
    let mut given = 0_u32;
    while start.elapsed() < Duration::from_millis(300) {
        given += u32::from(limiter.take());
        std::thread::sleep(Duration::from_micros(100));
    }
    let due = start.elapsed().as_secs_f64() * 100.0;
    assert!((f64::from(given) - due).abs() <= 3.0, "{name}: gave {given} permits where {due:.1} were due");
}
