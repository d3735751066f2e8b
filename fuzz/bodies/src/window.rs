//! Windows and the rules on rates against a list of every call.

use std::time::Duration;

use fusewire::{
    Cause, CircuitBreaker, CircuitBreakerConfig, CircuitState, Outcome, SlowCalls, Token, Transition,
    WindowConfig,
};

use crate::input::Input;
use crate::twin::window::{Counts, Window};

const DAY: u64 = 24 * 3600 * 1_000_000_000;
const YEAR: u64 = 365 * DAY;
/// Results of one case, so that the naive list stays short.
const MOST_RESULTS: usize = 2_500;

/// Random results of a breaker that only rates over a window can open, compared with a list of them.
///
/// A window of time must hold exactly the calls of its buckets. One of calls may be off by as many
/// successes as pass between two looks, but it must hold the last so many calls, whatever their number,
/// and decide by them.
///
/// # Panics
///
/// Where the two differ.
pub fn window(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let stripes = input.pick(&[1, 1, 3, 65]);
    let now = input.pick(&[0, 1, DAY, 1_700_000_000_000_000_000, u64::MAX - YEAR]);
    let mut driver = Driver::new(config(&mut input), stripes, now);
    while let Some(kind) = input.next() {
        if driver.results > MOST_RESULTS {
            return;
        }
        driver.step(kind, &mut input);
    }
}

fn config(input: &mut Input<'_>) -> CircuitBreakerConfig {
    let mut config = CircuitBreakerConfig::default();
    config.failure_threshold = None;
    config.recovery_timeout = Duration::ZERO;
    config.half_open_requests = 1;
    let buckets = input.pick(&[1_u32, 1, 2, 3, 10, 60, 1024]);
    config.window = if input.flag() {
        let width = input.pick(&[1_u32, 2, 4, 7, 10, 32, 100]);
        WindowConfig::count(width * buckets.min(60) - input.below(width as usize) as u32, buckets.min(60))
    } else {
        let width = input.pick(&[1_000_u64, 1_001, 1_000_000, 100_000_000, YEAR / 200]);
        WindowConfig::time(Duration::from_nanos(width * u64::from(buckets)), buckets)
    };
    settle(&mut config, input);
    config
}

/// The settings that may change while a window keeps its calls.
fn settle(config: &mut CircuitBreakerConfig, input: &mut Input<'_>) {
    config.minimum_calls = match input.byte() {
        // As many as the window holds: the greatest number that may still be reached.
        byte if byte % 4 == 0 => match config.window {
            WindowConfig::Count { calls, .. } => calls,
            _ => 100,
        },
        byte => u32::from(byte >> 2).max(1),
    };
    config.failure_rate = Some(input.pick(&[1e-9, 0.1, 1.0 / 3.0, 0.5, 0.999_999_999, 1.0]));
    config.slow_calls = input.flag().then(|| SlowCalls {
        threshold: Duration::from_nanos(input.pick(&[0, 500, 1_000_000])),
        rate: input.pick(&[1e-9, 0.25, 1.0]),
    });
}

struct Driver {
    breaker: CircuitBreaker,
    config: CircuitBreakerConfig,
    stripes: usize,
    window: Window,
    now: u64,
    origin: u64,
    counted: u64,
    results: usize,
    /// Calls of a state that is over: their results must not be seen.
    stale: Vec<Token>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with {} stripes and {:?}", self.stripes, self.config);
        }
    }
}

impl Driver {
    fn new(config: CircuitBreakerConfig, stripes: usize, now: u64) -> Self {
        let breaker = CircuitBreaker::builder("window").config(config.clone()).stripes(stripes).build();
        let breaker = breaker.expect("only valid settings are decoded");
        // The first operation that needs a time says when the breaker began.
        assert_eq!(breaker.force_close_at(now), None);
        Self {
            breaker,
            window: Window::new(config.window, 0),
            config,
            stripes,
            now,
            origin: now.saturating_sub(DAY),
            counted: 0,
            results: 0,
            stale: Vec::new(),
        }
    }

    fn step(&mut self, kind: u8, input: &mut Input<'_>) {
        match kind % 16 {
            0..=2 => self.results(usize::from(input.byte()), input.byte(), 0),
            3 => self.results(1, 0xFF, 0),
            4 | 5 => self.results(usize::from(input.byte() % 32), input.byte(), input.number() >> 20),
            6..=8 => self.now = self.now.saturating_add(input.number() >> 20),
            9 => {
                // To the edge of a bucket, or a nanosecond before.
                let width = self.window.width() as u64;
                let into = self.elapsed() as u64 % width;
                let off = u64::from(input.byte() % 2);
                self.now = self.now.saturating_add(width * u64::from(input.byte()) + width - into - off);
            }
            10 => self.now = self.now.saturating_sub(input.number() % DAY),
            11 => self.now = self.now.saturating_add(YEAR * u64::from(input.byte() % 20)),
            12 => self.stale_results(input.pick(&[Outcome::Success, Outcome::Failure])),
            13 => self.stale.extend(self.breaker.admit_at(self.now)),
            14 => {
                settle(&mut self.config, input);
                if input.one_in(4) {
                    self.config = config(input);
                    if self.config.window != self.window.config() {
                        self.window = Window::new(self.config.window, self.counted);
                    }
                }
                assert_eq!(self.breaker.reconfigure(self.config.clone()), Ok(()));
            }
            _ => {
                self.breaker.reset_at(self.now);
                self.window.restart();
            }
        }
        self.compare();
    }

    fn elapsed(&self) -> i128 {
        i128::from(self.now.saturating_sub(self.origin))
    }

    /// So many calls, of which those fail whose bits in `failing` are set, each taking `took`.
    fn results(&mut self, calls: usize, failing: u8, took: u64) {
        for call in 0..calls {
            let Ok(token) = self.breaker.admit_at(self.now) else { panic!("a closed breaker refused") };
            self.now = self.now.saturating_add(took);
            let started = token.started().map_or(0, |started| self.now - started);
            let slow =
                self.config.slow_calls.is_some_and(|slow| u128::from(started) > slow.threshold.as_nanos());
            let failed = failing >> (call % 8) & 1 == 1;
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            let moved = self.breaker.record_at(token, outcome, self.now);
            let crossed = self.window.count(self.elapsed(), failed, slow);
            self.counted += 1;
            self.results += 1;
            self.judge(moved, crossed || failed || slow);
            if moved.is_some() {
                self.recover();
            }
        }
    }

    /// Compares a decision. `looks` says that this result is one that must be decided by.
    fn judge(&self, moved: Option<Transition>, looks: bool) {
        let count = self.breaker.failure_count();
        let made = moved.map(|moved| (moved.cause, count));
        if self.window.is_timed() {
            let expected = if looks { self.rule(self.window.decided_by()) } else { None };
            assert_eq!(made, expected, "decision over {:?}", self.window.decided_by());
            return;
        }
        let (least, most) = self.holds();
        let tails = std::iter::once((0, 0, 0)).chain(self.window.tails());
        let tails: Vec<Counts> = tails.take(most + 1).collect();
        let possible = &tails[least.min(tails.len() - 1)..];
        let rules = || possible.iter().map(|counts| self.rule(*counts));
        match made {
            Some(made) => {
                assert!(rules().any(|rule| rule == Some(made)), "tripped by {made:?} of {possible:?}");
            }
            // A success is looked at only now and then, unless the buckets are narrow.
            None if looks || self.interval() == 1 => {
                assert!(rules().any(|rule| rule.is_none()), "did not trip by {possible:?}");
            }
            None => {}
        }
    }

    /// How many successes pass at most between two looks at a window of calls: half a bucket's worth,
    /// shared by the lanes.
    fn interval(&self) -> usize {
        (self.window.width() as usize / (2 * self.stripes)).max(1)
    }

    /// How many calls a window of calls holds at a decision: all buckets but the latest, and of this one
    /// a call to all; less by what was not looked at when the oldest began.
    fn holds(&self) -> (usize, usize) {
        let width = self.window.width() as usize;
        let WindowConfig::Count { buckets, .. } = self.config.window else { return (0, 0) };
        let most = width * buckets as usize;
        ((most - width + 2).saturating_sub(self.interval()), most)
    }

    /// What the documentation says of the rates, in integers of a billionth.
    fn rule(&self, (calls, failures, slow): Counts) -> Option<(Cause, u64)> {
        let reached = |rate: f64, part: u64| {
            i128::from(part) * 1_000_000_000 >= (rate * 1e9).round() as i128 * i128::from(calls)
        };
        if calls < u64::from(self.config.minimum_calls) {
            return None;
        }
        let failed = self.config.failure_rate.filter(|rate| reached(*rate, failures));
        let slowed = self.config.slow_calls.filter(|rule| reached(rule.rate, slow));
        let failed = failed.map(|_| (Cause::FailureRate, failures));
        failed.or(slowed.map(|_| (Cause::SlowCallRate, slow)))
    }

    /// Through one probe back to closed. Neither the probe nor what comes late counts in a window.
    fn recover(&mut self) {
        assert_eq!(self.breaker.state(), CircuitState::Open);
        let probe = self.breaker.admit_at(self.now).expect("the open period is zero");
        assert!(probe.is_probe());
        self.breaker.record_at(probe, Outcome::Success, self.now);
        assert_eq!(self.breaker.state(), CircuitState::Closed);
        self.window.restart();
    }

    fn stale_results(&mut self, outcome: Outcome) {
        let stale = std::mem::take(&mut self.stale);
        if stale.is_empty() {
            return;
        }
        let late = self.breaker.totals().late;
        // Whatever they were admitted under, it is over after this.
        self.breaker.reset_at(self.now);
        self.window.restart();
        for token in &stale {
            assert_eq!(self.breaker.record_at(*token, outcome, self.now), None);
        }
        assert_eq!(self.breaker.totals().late, late + stale.len() as u64);
    }

    fn compare(&self) {
        let shown = self.breaker.snapshot_at(self.now);
        let window = shown.totals.window.expect("the breaker is closed and has a rate rule");
        let window = (window.calls, window.failures, window.slow);
        if self.window.is_timed() {
            assert_eq!(window, self.window.shown(Some(self.elapsed())), "window at {}", self.now);
            let last = self.breaker.totals().window.map(|last| (last.calls, last.failures, last.slow));
            assert_eq!(last, Some(self.window.shown(None)), "window as of the last call");
            return;
        }
        let (least, most) = self.holds();
        let held = usize::try_from(window.0).expect("a small window");
        let since_floor = self.window.tails().count();
        assert!(held < most + self.interval(), "the window holds {held} of {most} calls");
        assert!(held + 1 >= least.min(since_floor), "the window holds {held} of {least} calls");
        let mut tails = std::iter::once((0, 0, 0)).chain(self.window.tails());
        assert_eq!(Some(window), tails.nth(held), "not the last calls");
    }
}
