//! An account of retries: what came in, to the last fraction, and what was spent.

/// A retry, in the fractions that everything is counted in: billionths of a billionth.
const RETRY: i128 = BILLION * BILLION;
const BILLION: i128 = 1_000_000_000;
/// The engine counts hundred-thousandths: it may see so much less.
const GRAIN: i128 = RETRY / 100_000;

pub(crate) struct Account {
    per_call: i128,
    per_nano: i128,
    burst: i128,
    origin: Option<u64>,
    calls: u64,
    retries: u64,
    /// What was spent or has lapsed.
    gone: i128,
}

impl Account {
    pub(crate) fn new(ratio: f64, per_second: f64, burst: u32) -> Self {
        Self {
            per_call: (ratio * 1e9).round() as i128 * BILLION,
            per_nano: (per_second * 1e9).round() as i128,
            burst: i128::from(burst) * RETRY,
            origin: None,
            calls: 0,
            retries: 0,
            gone: 0,
        }
    }

    pub(crate) fn deposit(&mut self) {
        self.calls += 1;
    }

    /// All that has come in by now.
    fn income(&self, now: u64) -> i128 {
        let nanos = self.origin.map_or(0, |origin| now.saturating_sub(origin));
        self.burst + i128::from(self.calls) * self.per_call + i128::from(nanos) * self.per_nano
    }

    /// Holds the answer to a withdrawal against the account.
    pub(crate) fn hold(&mut self, now: u64, permitted: bool) {
        self.origin.get_or_insert(now);
        let income = self.income(now);
        let gone = self.gone.max(income - self.burst);
        let left = income - gone;
        if permitted {
            assert!(left > RETRY - GRAIN, "{left} was not enough");
            self.gone = gone + RETRY;
            self.retries += 1;
            assert!(i128::from(self.retries) * RETRY <= income, "more was spent than ever came in");
        } else {
            assert!(left < RETRY + GRAIN, "{left} was enough");
        }
    }

    pub(crate) fn hold_available(&self, now: u64, available: u64) {
        let left = (self.income(now) - self.gone).min(self.burst).max(0);
        let (low, high) = ((left - GRAIN).max(0) / RETRY, (left + GRAIN) / RETRY);
        assert!((low..=high).contains(&i128::from(available)), "{available} of {left}");
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries
    }
}
