//! What a limiter must do to take part, and the checks and paths that are the same for all.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fusewire_harness::HotPath;

use super::work;
use crate::suite::{Entry, path_name};

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
    fn take_times<const ADDED: bool>(&self, times: u64, between: impl Fn()) -> u64 {
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

pub(crate) const ALLOW_1T: &str = "allow 1T";
pub(crate) const ALLOW_2T: &str = "allow 2T";
pub(crate) const ALLOW_WORK_2T: &str = "allow 2T + work";
pub(crate) const DENY_1T: &str = "deny 1T";
pub(crate) const DENY_2T: &str = "deny 2T";

/// Without a branch on the answer.
const DENY_ADDED_1T: &str = "deny 1T, added up";

pub(crate) const COLUMNS: [&str; 6] = [ALLOW_1T, ALLOW_2T, ALLOW_WORK_2T, DENY_1T, DENY_2T, DENY_ADDED_1T];

/// Checks the contender, then builds a limiter of its own for each column. Each sample looks at its answers:
/// an `allow` that refused once is no measurement.
pub(crate) fn enter<C: Contender>(name: &'static str) -> Entry {
    check::<C>(name);
    let path = |column: &'static str| {
        let denies = column.starts_with("deny");
        let limiter = C::new(if denies { SCARCE } else { PLENTY });
        if denies {
            assert!(limiter.take(), "{name}: no first permit");
        }
        let path = path_name(name, column);
        let body = move |iterations: u64, given: u64| {
            assert_eq!(given, if denies { 0 } else { iterations }, "{name}: {column}");
        };
        let path = if column == ALLOW_WORK_2T {
            let rounds = work::rounds();
            HotPath::batch(path, move |times| {
                body(times, limiter.take_times::<false>(times, || work::run(rounds)));
            })
        } else if column == DENY_ADDED_1T {
            HotPath::batch(path, move |times| body(times, limiter.take_times::<true>(times, || ())))
        } else {
            HotPath::batch(path, move |times| body(times, limiter.take_times::<false>(times, || ())))
        };
        path.threads(if column.contains("2T") { 2 } else { 1 })
    };
    let columns = COLUMNS.into_iter().filter(|column| C::SHARED || column.contains("1T"));
    Entry { name, in_bars: C::SHARED, paths: columns.map(path).collect() }
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
