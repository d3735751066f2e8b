//! What a configuration compiles to: the form in which the paths that decide read it.

use std::sync::Arc;

use super::config::{CircuitBreakerConfig, OpenBackoff, ProbeMode, WindowConfig};
use super::counters::WindowCounts;
use super::hung::HungTable;
use crate::clock::nanos;
use crate::window::Window;
use crate::word::breaker::{Cause, WordRules, units_up};

/// One published configuration with the state that depends on it.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) config: CircuitBreakerConfig,
    pub(super) word: WordRules,
    pub(super) rates: Option<Rates>,
    pub(super) hung: Option<Arc<HungTable>>,
    /// The table before it, for the calls that were out when it was replaced.
    pub(super) retired: Option<Arc<HungTable>>,
    /// How many tables of outstanding calls there were, so that no two of them are taken for one.
    tables: u16,
    /// How long an undecided round stands, in units.
    pub(super) round: u64,
    /// The how many-th configuration of the breaker this is, from zero.
    pub(super) version: u64,
}

/// The rules on rates and their window.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) window: Arc<Window>,
    pub(super) span: Span,
    minimum_calls: u64,
    failure: Option<Share>,
    slow: Option<Share>,
    /// Nanoseconds that a call may take without being slow.
    pub(super) slow_after: u64,
    /// The version of the rules that these belong to.
    pub(super) version: u64,
}

/// A bucket's width.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    Nanos(u64),
    Calls(u64),
}

/// A share in billionths, so that a rate of exactly the threshold is found equal to it.
#[derive(Clone, Copy, Debug)]
struct Share(u64);

impl Share {
    const ONE: f64 = 1e9;

    fn new(share: f64) -> Self {
        Self((share * Self::ONE).round() as u64)
    }

    fn reached(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 1_000_000_000 >= u128::from(self.0) * u128::from(whole)
    }
}

impl Rates {
    fn new(config: &CircuitBreakerConfig, window: Arc<Window>, version: u64) -> Self {
        let width = config.window.width();
        Self {
            window,
            span: match config.window {
                WindowConfig::Time { .. } => Span::Nanos(width),
                WindowConfig::Count { .. } => Span::Calls(width),
            },
            minimum_calls: u64::from(config.minimum_calls),
            failure: config.failure_rate.map(Share::new),
            slow: config.slow_calls.map(|slow| Share::new(slow.rate)),
            slow_after: config.slow_calls.map_or(u64::MAX, |slow| nanos(slow.threshold)),
            version,
        }
    }

    /// The rule that `counts` make true, with the calls that made it so.
    pub(super) fn trip(&self, counts: &WindowCounts) -> Option<(Cause, u64)> {
        if counts.calls < self.minimum_calls {
            return None;
        }
        let reached =
            |share: Option<Share>, part| share.is_some_and(|share| share.reached(part, counts.calls));
        if reached(self.failure, counts.failures) {
            Some((Cause::FailureRate, counts.failures))
        } else if reached(self.slow, counts.slow) {
            Some((Cause::SlowCallRate, counts.slow))
        } else {
            None
        }
    }
}

impl Rules {
    /// Compiles a checked configuration. What `before` had and the new one has alike is kept: the
    /// window with its counts, the table with its calls.
    pub(super) fn new(
        config: CircuitBreakerConfig,
        before: Option<&Self>,
        new_window: impl FnOnce(WindowConfig) -> Window,
    ) -> Self {
        let version = before.map_or(0, |before| before.version + 1);
        let same_window = before.filter(|before| before.config.window == config.window);
        let rates = config.has_rates().then(|| {
            let kept = same_window.and_then(|before| before.rates.as_ref());
            let window = kept.map(|rates| rates.window.clone());
            let window = window.unwrap_or_else(|| Arc::new(new_window(config.window)));
            Rates::new(&config, window, version)
        });
        let mut tables = before.map_or(0, |before| before.tables);
        let same_after = before.filter(|before| before.config.count_hung_after == config.count_hung_after);
        let hung = config.count_hung_after.map(|after| {
            let kept = same_after.and_then(|before| before.hung.clone());
            kept.unwrap_or_else(|| {
                tables = tables.wrapping_add(1);
                Arc::new(HungTable::new(nanos(after), tables))
            })
        });
        let table = before.and_then(|before| before.hung.as_ref());
        let replaced = table.filter(|table| hung.as_ref().is_none_or(|new| new.id() != table.id()));
        let retired = replaced.or(before.and_then(|before| before.retired.as_ref())).cloned();
        let word = WordRules {
            failure_threshold: config.failure_threshold.map_or(u64::MAX, u64::from),
            half_open_requests: u64::from(config.half_open_requests),
            ramp: config.ramp_up.is_some(),
            granted: config.probes == ProbeMode::Granted,
        };
        let round = units_up(nanos(config.round_timeout()));
        Self { config, word, rates, hung, retired, tables, round, version }
    }

    /// How long the open period lasts that begins as the `nth` in a row (from 1); `draw` is a random
    /// number of [0, 1).
    pub(super) fn open_nanos(&self, nth: u64, draw: impl FnOnce() -> f64) -> u64 {
        let first = nanos(self.config.recovery_timeout);
        let Some(OpenBackoff { factor, max, jitter, .. }) = self.config.open_backoff else {
            return first;
        };
        // Zero stays zero; times an infinite power it would not be a number, and the cap would take that.
        if first == 0 {
            return 0;
        }
        let exponent = i32::try_from(nth.saturating_sub(1)).unwrap_or(i32::MAX);
        // An overflow is infinite, and the cap takes it.
        let length = (first as f64 * factor.powi(exponent)).min(nanos(max) as f64);
        (length * (1.0 - jitter * draw())) as u64
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rules(change: impl FnOnce(&mut CircuitBreakerConfig)) -> Rules {
        let mut config = CircuitBreakerConfig::default();
        change(&mut config);
        Rules::new(config, None, |window| Window::new(window.buckets(), &[0; 4], 0))
    }

    #[test]
    fn a_rate_trips_at_exactly_its_share() {
        let rules = rules(|c| {
            c.failure_rate = Some(0.1);
            c.minimum_calls = 1;
        });
        let rates = rules.rates.as_ref().expect("a rate rule");
        for calls in [10_u64, 30, 70, 1_000_000_000] {
            let at = WindowCounts { calls, failures: calls / 10, slow: 0 };
            assert_eq!(rates.trip(&at), Some((Cause::FailureRate, calls / 10)));
            let below = WindowCounts { failures: calls / 10 - 1, ..at };
            assert_eq!(rates.trip(&below), None);
        }
    }

    #[test]
    fn open_periods_grow_to_the_cap_and_jitter_never_exceeds_it() {
        let rules = rules(|c| {
            c.recovery_timeout = Duration::from_secs(1);
            let max = Duration::from_secs(10);
            c.open_backoff = Some(OpenBackoff { max, jitter: 0.5, ..OpenBackoff::default() });
        });
        let at = |nth, draw| rules.open_nanos(nth, || draw);
        assert_eq!([1, 2, 3, 4, 5].map(|n| at(n, 0.0) / 1_000_000_000), [1, 2, 4, 8, 10]);
        assert_eq!(at(u64::MAX, 0.0), 10_000_000_000);
        assert_eq!(at(5, 1.0), 5_000_000_000);
    }

    #[test]
    fn a_recovery_timeout_of_zero_stays_zero_however_often_it_grows() {
        let rules = rules(|c| {
            c.recovery_timeout = Duration::ZERO;
            c.open_backoff = Some(OpenBackoff::default());
        });
        for nth in [1, 2, 1_024, 1_025, u64::MAX] {
            assert_eq!(rules.open_nanos(nth, || 0.0), 0);
        }
    }

    #[test]
    fn an_unchanged_window_is_kept_and_another_is_not() {
        let before = rules(|c| c.failure_rate = Some(0.5));
        let mut config = before.config.clone();
        config.minimum_calls = 50;
        let kept = Rules::new(config.clone(), Some(&before), |_| unreachable!("kept"));
        let window = |rules: &Rules| Arc::as_ptr(&rules.rates.as_ref().expect("rates").window);
        assert_eq!(window(&kept), window(&before));
        config.window = WindowConfig::count(100, 10);
        let fresh = Rules::new(config, Some(&before), |w| Window::new(w.buckets(), &[0; 4], 0));
        assert_ne!(window(&fresh), window(&before));
    }
}
