//! What became of the orders, and how long it took.

use std::ops::{AddAssign, Index, IndexMut};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ink::CELLS;
use crate::line::Fault;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    // Where an order ends: each in exactly one of these.
    Filled,
    /// By the venue, for a business reason, which is no fault of its.
    Declined,
    /// Refused by the limiter: never sent.
    RefusedByLimiter,
    /// Refused by the breaker: never sent.
    RefusedByBreaker,
    TimedOut,
    Unreachable,
    Broken,
    Unavailable,
    Banned,
    /// Due, but the run ended before the thread came round to them.
    Unsent,
    // Parts of those.
    /// Filled later after they were due than they are worth something.
    Stale,
    /// Answered after a retry.
    Saved,
    /// Filled by an attempt that had seemed to fail.
    FilledBefore,
    /// Failed in spite of a retry.
    FailedAgain,
    /// Refused by the breaker while the venue took orders, however badly.
    RefusedWhileUp,
    // Attempts that were sent, of all orders.
    Sent,
    SentInVain,
}

const ITEMS: usize = Item::SentInVain as usize + 1;

impl Item {
    pub(crate) const FAULTS: [Self; 5] =
        [Self::TimedOut, Self::Unreachable, Self::Broken, Self::Unavailable, Self::Banned];

    pub(crate) fn of_fault(fault: Fault) -> Self {
        match fault {
            Fault::TimedOut => Self::TimedOut,
            Fault::Unreachable => Self::Unreachable,
            Fault::Broken => Self::Broken,
            Fault::Unavailable => Self::Unavailable,
            Fault::Banned => Self::Banned,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts([u64; ITEMS]);

impl Index<Item> for Counts {
    type Output = u64;

    fn index(&self, item: Item) -> &u64 {
        &self.0[item as usize]
    }
}

impl IndexMut<Item> for Counts {
    fn index_mut(&mut self, item: Item) -> &mut u64 {
        &mut self.0[item as usize]
    }
}

impl Counts {
    pub(crate) fn failed(&self) -> u64 {
        Item::FAULTS.iter().map(|&fault| self[fault]).sum()
    }

    pub(crate) fn answered(&self) -> u64 {
        self[Item::Filled] + self[Item::Declined]
    }

    /// Orders that a thread came round to.
    pub(crate) fn attempted(&self) -> u64 {
        self.answered() + self.failed() + self[Item::RefusedByLimiter] + self[Item::RefusedByBreaker]
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - earlier.0[i]))
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

/// Counts and latencies of one thread, or of all. Latencies are in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Orders filled in each cell of the strip.
    pub(crate) cells: [u64; CELLS],
    /// From the moment an order was due until its outcome was known, refusals included.
    pub(crate) experienced: Histogram<u64>,
    /// From the beginning of an order's first attempt until its outcome was known, of those sent.
    pub(crate) order: Histogram<u64>,
    /// Of each attempt that was sent: from sending (and connecting, if need be) to the outcome.
    pub(crate) call: Histogram<u64>,
    /// Of the orders refused at once: how long that took.
    pub(crate) refusal: Histogram<u64>,
    /// Time spent inside attempts that failed.
    pub(crate) lost: Duration,
    /// Time spent inside attempts that succeeded slowly.
    pub(crate) slow: Duration,
    /// Time spent between attempts.
    pub(crate) waits: Duration,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            cells: [0; CELLS],
            experienced: histogram(),
            order: histogram(),
            call: histogram(),
            refusal: histogram(),
            lost: Duration::ZERO,
            slow: Duration::ZERO,
            waits: Duration::ZERO,
        }
    }
}

impl Tally {
    /// Orders that were filled before the fill was worth nothing.
    pub(crate) fn in_time(&self) -> u64 {
        self.counts[Item::Filled] - self.counts[Item::Stale]
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.counts += other.counts;
        for (sum, cell) in self.cells.iter_mut().zip(other.cells) {
            *sum += cell;
        }
        self.experienced += &other.experienced;
        self.order += &other.order;
        self.call += &other.call;
        self.refusal += &other.refusal;
        self.lost += other.lost;
        self.slow += other.slow;
        self.waits += other.waits;
    }
}

/// Three digits, and growing to whatever value comes.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are within 0 to 5")
}

pub(crate) fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.record(took.as_nanos() as u64).expect("an auto-sizing histogram takes any value");
}
