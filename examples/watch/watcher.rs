//! Looks at all live instances again and again, and makes rows of what changed in between.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fusewire::observe::{self, Live};
use fusewire::{CircuitBreaker, LimitSet, LimiterTotals, SlidingWindowRateLimiter, TokenBucketRateLimiter};

use crate::rows::{HISTORY, Kind, Row, State};

/// Rates are taken over so many looks.
const LOOKS: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Watcher {
    /// By the instance's address, which nothing else has while we hold a weak reference to it.
    known: HashMap<usize, Known>,
}

struct Known {
    instance: Weak<dyn Live>,
    looks: VecDeque<(Duration, Counts)>,
    history: VecDeque<u64>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("looks", &self.looks).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u64,
    failed: u64,
    refused: u64,
}

/// An instance, looked at once.
struct Look {
    kind: Kind,
    counts: Counts,
    /// Of a limiter, what it refused lately decides.
    state: Option<State>,
    latency: Option<[Duration; 2]>,
}

impl Watcher {
    /// The rows at this time since the watch began, in no order.
    pub(crate) fn look(&mut self, at: Duration) -> Vec<Row> {
        self.known.retain(|_, known| known.instance.strong_count() > 0);
        observe::live().into_iter().filter_map(|live| self.row(live, at)).collect()
    }

    fn row(&mut self, live: Arc<dyn Live>, at: Duration) -> Option<Row> {
        let name = live.name().to_string();
        let known = self.known.entry(Arc::as_ptr(&live).addr()).or_insert_with(|| Known {
            instance: Arc::downgrade(&live),
            looks: VecDeque::new(),
            history: VecDeque::new(),
        });
        let look = look_at(live)?;
        let Counts { calls, failed, refused } = look.counts;
        if let Some((last, counts)) = known.looks.back() {
            let calls = per_second(calls.saturating_sub(counts.calls), at.saturating_sub(*last));
            if known.history.len() == HISTORY {
                known.history.pop_front();
            }
            known.history.push_back(calls);
        }
        known.looks.push_back((at, look.counts));
        if known.looks.len() > LOOKS + 1 {
            known.looks.pop_front();
        }
        let (since, before) = known.looks.front().copied().unwrap_or_default();
        let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), at.saturating_sub(since));
        let refused = rate(refused, before.refused);
        Some(Row {
            kind: look.kind,
            name,
            state: look.state.unwrap_or(if refused > 0 { State::Refusing } else { State::Passing }),
            calls: rate(calls, before.calls),
            failed: (look.kind == Kind::Breaker).then(|| rate(failed, before.failed)),
            refused,
            latency: look.latency,
            history: known.history.iter().copied().collect(),
        })
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    if time.is_zero() { 0 } else { (count as f64 / time.as_secs_f64()).round() as u64 }
}

/// What is shown of an instance; nothing for a kind that has no row.
fn look_at(live: Arc<dyn Live>) -> Option<Look> {
    match live.kind() {
        observe::Kind::CircuitBreaker => {
            CircuitBreaker::from_live(live).map(|breaker| breaker_look(&breaker))
        }
        observe::Kind::RateLimiter => limiter_totals(&live).map(|totals| Look {
            kind: Kind::Limiter,
            counts: Counts { calls: totals.allowed, failed: 0, refused: totals.refused },
            state: None,
            latency: None,
        }),
        _ => None,
    }
}

fn breaker_look(breaker: &CircuitBreaker) -> Look {
    let totals = breaker.totals();
    let rejected = &totals.rejected;
    Look {
        kind: Kind::Breaker,
        counts: Counts {
            calls: totals.success + totals.failure,
            failed: totals.failure,
            refused: rejected.open
                + rejected.half_open
                + rejected.forced_open
                + rejected.ramp_up
                + rejected.awaiting_grant,
        },
        state: Some(State::Breaker(breaker.state())),
        latency: breaker.recent_latency().and_then(|recent| recent.histogram.quantiles([0.5, 0.99])),
    }
}

fn limiter_totals(live: &Arc<dyn Live>) -> Option<LimiterTotals> {
    TokenBucketRateLimiter::from_live(live.clone())
        .map(|limiter| limiter.totals())
        .or_else(|| SlidingWindowRateLimiter::from_live(live.clone()).map(|limiter| limiter.totals()))
        .or_else(|| LimitSet::from_live(live.clone()).map(|limiter| limiter.totals()))
}
