//! Many breakers read at once.

use std::fmt;
use std::sync::{Arc, Weak};

use super::CircuitBreaker;
use super::core::Core;
use super::counters::calls_and_failures;
use crate::simd::Kernels;
use crate::word::breaker::CircuitState;

/// States and failure rates of many breakers, for a display or an exporter.
///
/// [`read`](Self::read) gathers them into plain arrays, in the order of the breakers, and computes on those by the
/// [kernels](crate::simd::Kernels). Each breaker is read by itself while calls go on, so the arrays are no moment common
/// to all. The memory is kept from one read to the next.
///
/// ```
/// use fusewire::{BreakerScan, CircuitBreaker};
///
/// let breakers = [CircuitBreaker::builder("eu").build()?, CircuitBreaker::builder("us").build()?];
/// let mut scan = BreakerScan::new();
/// let _ = breakers[0].call(|| Err::<(), _>("down"));
/// breakers[1].force_open();
/// scan.read(&breakers);
/// assert_eq!(scan.failure_rates(), [1.0, 0.0]);
/// assert_eq!((scan.states().closed, scan.states().open), (1, 1));
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct BreakerScan {
    /// Which breaker stands where. Weak: a breaker that is gone has left its address to no other one.
    who: Vec<Weak<Core>>,
    states: Vec<u8>,
    /// Totals as of this read and as of the one before, and what lies between.
    now: Counted,
    before: Counted,
    recent: Counted,
    rates: Vec<f64>,
}

/// Counts of all breakers.
#[derive(Clone, Default)]
struct Counted {
    calls: Vec<u64>,
    failures: Vec<u64>,
}

impl Counted {
    fn clear(&mut self) {
        self.calls.clear();
        self.failures.clear();
    }

    fn resize(&mut self, breakers: usize) {
        self.calls.resize(breakers, 0);
        self.failures.resize(breakers, 0);
    }
}

/// How many breakers are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateCounts {
    /// Closed.
    pub closed: u64,
    /// Open, forced or not, whether or not their time has passed.
    pub open: u64,
    /// Half-open.
    pub half_open: u64,
    /// Disabled.
    pub disabled: u64,
}

impl BreakerScan {
    /// A scan that has read nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads all of `breakers`. One that stands where it stood in the last read has the rate of its calls since then;
    /// any other, of all its calls: keep the order of the list, and add new ones at its end.
    pub fn read(&mut self, breakers: &[CircuitBreaker]) {
        self.gather(breakers);
        self.compute();
    }

    /// Reads states and totals, breaker by breaker.
    fn gather(&mut self, breakers: &[CircuitBreaker]) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.before.resize(breakers.len());
        self.who.resize_with(breakers.len(), Weak::new);
        self.now.clear();
        self.states.clear();
        for (i, CircuitBreaker { core }) in breakers.iter().enumerate() {
            self.states.push(core.hot.word.load().state() as u8);
            let [calls, failures] = calls_and_failures(&core.hot.tally.sum());
            self.now.calls.push(calls);
            self.now.failures.push(failures);
            if self.who[i].as_ptr() != Arc::as_ptr(core) {
                self.who[i] = Arc::downgrade(core);
                (self.before.calls[i], self.before.failures[i]) = (0, 0);
            }
        }
    }

    /// Works on what was gathered.
    fn compute(&mut self) {
        let kernels = Kernels::detect();
        let Self { now, before, recent, rates, .. } = self;
        recent.calls.clone_from(&now.calls);
        recent.failures.clone_from(&now.failures);
        kernels.difference(&mut recent.calls, &before.calls);
        kernels.difference(&mut recent.failures, &before.failures);
        rates.resize(now.calls.len(), 0.0);
        kernels.rates(&recent.calls, &recent.failures, rates);
    }

    /// How many breakers were read last.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The state of the breaker in this place, if there is one. As [`CircuitBreaker::state`], a breaker whose open
    /// duration has passed is open until a call moves it.
    pub fn state(&self, place: usize) -> Option<CircuitState> {
        let state = *self.states.get(place)?;
        CircuitState::ALL.into_iter().find(|known| *known as u8 == state)
    }

    /// How many breakers were in each state.
    pub fn states(&self) -> StateCounts {
        let [closed, open, half_open, disabled] = Kernels::detect().states(&self.states);
        StateCounts { closed, open, half_open, disabled }
    }

    /// The share of failures among the calls since the read before, 0 to 1, for each breaker; 0 without calls. Slow
    /// ones, probes and hung calls are in it; calls that were ignored or late are not, nor cancelled ones that count
    /// as nothing.
    pub fn failure_rates(&self) -> &[f64] {
        &self.rates
    }

    /// The calls that the rates are of.
    pub fn recent_calls(&self) -> &[u64] {
        &self.recent.calls
    }

    /// All calls that ended with success or failure since each breaker was built.
    pub fn total_calls(&self) -> &[u64] {
        &self.now.calls
    }

    /// Those of them that failed.
    pub fn total_failures(&self) -> &[u64] {
        &self.now.failures
    }
}

impl fmt::Debug for BreakerScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerScan")
            .field("len", &self.len())
            .field("states", &self.states())
            .finish_non_exhaustive()
    }
}
