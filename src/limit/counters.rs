//! What a limiter counts.

use crate::tally::Tally;

const ALLOWED: usize = 0;
const REFUSED: usize = 1;

/// Everything that a limiter counted since it was built; never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterTotals {
    /// Permits given. Leased ones count when the lease draws them.
    pub allowed: u64,
    /// Permits refused: those of each request that was refused for want of them.
    pub refused: u64,
}

/// A limiter's tally.
#[derive(Debug)]
pub(super) struct Counters(Tally<2>);

impl Counters {
    pub(super) fn new(stripes: usize) -> Self {
        Self(Tally::new(stripes))
    }

    #[inline(always)]
    pub(super) fn allow(&self, n: u64) {
        self.0.add_n(ALLOWED, n);
    }

    #[inline(always)]
    pub(super) fn refuse(&self, n: u64) {
        self.0.add_n(REFUSED, n);
    }

    pub(super) fn totals(&self) -> LimiterTotals {
        let [allowed, refused] = self.0.sum();
        LimiterTotals { allowed, refused }
    }
}
