//! A run over time: what was counted in each of up to sixty slices of it.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ink::CELLS;
use crate::stack::Counted;
use crate::tally::{Counts, Item};

/// No slice is shorter: the counters are looked at every 50 ms.
const SHORTEST: Duration = Duration::from_millis(100);

/// Why an attempt was refused by a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Limiter,
    Open,
    HalfOpen,
    Budget,
    Deadline,
}

impl Refusal {
    pub(crate) const ALL: [Self; 5] =
        [Self::Limiter, Self::Open, Self::HalfOpen, Self::Budget, Self::Deadline];

    pub(crate) fn layer(self) -> &'static str {
        match self {
            Self::Limiter => "limiter",
            Self::Open | Self::HalfOpen => "breaker",
            Self::Budget | Self::Deadline => "retry",
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Limiter => "no permit left",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Budget => "budget spent",
            Self::Deadline => "deadline near",
        }
    }

    /// Where the data of a run have how many there were.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Limiter => "/layers/limiter/refused",
            Self::Open => "/layers/breaker/refused/open",
            Self::HalfOpen => "/layers/breaker/refused/half_open",
            Self::Budget => "/layers/retry/stopped/budget",
            Self::Deadline => "/layers/retry/stopped/deadline",
        }
    }
}

/// How many attempts were refused for each reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusals([u64; 5]);

impl Refusals {
    pub(crate) fn of(counted: &Counted) -> Self {
        let Counted { retry, limiter, breaker, .. } = counted;
        Self(Refusal::ALL.map(|refusal| match refusal {
            Refusal::Limiter => limiter.refused,
            Refusal::Open => breaker.rejected.open,
            Refusal::HalfOpen => breaker.rejected.half_open,
            Refusal::Budget => retry.stopped.budget,
            Refusal::Deadline => retry.stopped.deadline,
        }))
    }

    pub(crate) fn count(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize]
    }

    fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].saturating_sub(earlier.0[i])))
    }
}

/// What was counted from one time of the run to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) counts: Counts,
    pub(crate) refusals: Refusals,
    /// Of the orders that ended here, since they fell due: [`Slice::QUANTILES`], if there were any.
    pub(crate) latency: Option<[Duration; 3]>,
}

impl Slice {
    pub(crate) const QUANTILES: [(&'static str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

    pub(crate) fn seconds(&self) -> f64 {
        self.until.saturating_sub(self.from).as_secs_f64()
    }

    pub(crate) fn middle(&self) -> f64 {
        (self.from + self.until).as_secs_f64() / 2.0
    }

    /// Orders that a layer refused and that were never sent.
    pub(crate) fn refused(&self) -> u64 {
        self.counts[Item::RefusedByLimiter] + self.counts[Item::RefusedByBreaker]
    }
}

/// All that was counted by some time; none of it ever shrinks.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) at: Duration,
    pub(crate) counts: Counts,
    pub(crate) refusals: Refusals,
    pub(crate) latency: Histogram<u64>,
}

impl Totals {
    fn since(&self, earlier: &Self) -> Slice {
        let mut latency = self.latency.clone();
        latency.subtract(&earlier.latency).expect("the earlier counts are among the later");
        let quantile = |(_, quantile)| Duration::from_nanos(latency.value_at_quantile(quantile));
        Slice {
            from: earlier.at,
            until: self.at,
            counts: self.counts.since(&earlier.counts),
            refusals: self.refusals.since(&earlier.refusals),
            latency: (!latency.is_empty()).then(|| Slice::QUANTILES.map(quantile)),
        }
    }
}

/// The slices of a run, each the difference of two totals, so that together they are the whole run.
#[derive(Debug)]
pub(crate) struct Series {
    every: Duration,
    next: Duration,
    slices: Vec<Slice>,
    /// The totals at the beginning and at the end of the last slice.
    bounds: [Totals; 2],
}

impl Series {
    pub(crate) fn new(length: Duration, latency: Histogram<u64>) -> Self {
        let every = (length / CELLS as u32).max(SHORTEST);
        let start =
            Totals { at: Duration::ZERO, counts: Counts::default(), refusals: Refusals::default(), latency };
        Self { every, next: every, slices: Vec::new(), bounds: [start.clone(), start] }
    }

    /// Whether a slice ends about now.
    pub(crate) fn is_due(&self, at: Duration) -> bool {
        at >= self.next
    }

    pub(crate) fn add(&mut self, totals: Totals) {
        while self.next <= totals.at {
            self.next += self.every;
        }
        self.slices.push(totals.since(&self.bounds[1]));
        self.bounds.swap(0, 1);
        self.bounds[1] = totals;
    }

    /// Takes what came after the last slice into it where that is too short for one of its own.
    pub(crate) fn end(&mut self, totals: Totals) {
        if !self.slices.is_empty() && totals.at.saturating_sub(self.bounds[1].at) < self.every / 2 {
            self.slices.pop();
            self.bounds.swap(0, 1);
        }
        self.add(totals);
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    pub(crate) fn until(&self) -> Duration {
        self.bounds[1].at
    }
}
