//! What the runs come to, as data.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::args::Options;
use crate::compare::QUANTILES;
use crate::layers::{causes, window_length};
use crate::record::What;
use crate::run::{Place, Setup};
use crate::series::{Refusal, Slice};
use crate::spell::state_name;
use crate::stack::{Counted, Rules};
use crate::table::Run;
use crate::tally::Item;

/// The summary as data; times are in seconds unless a name says otherwise.
pub(crate) fn data(options: &Options, setup: &Setup, runs: &[Run]) -> Value {
    let target = match &setup.place {
        Place::Own { .. } => Value::Null,
        Place::Target { name, address, orders } => {
            json!({ "name": name, "address": address.to_string(), "orders": orders })
        }
    };
    json!({
        "seconds": options.seconds,
        "threads": options.threads,
        "rate": options.rate,
        "target": target,
        "patience": setup.scale.patience.as_secs_f64(),
        "rules": runs[0].0.protection.as_ref().map(|(rules, _)| rules_data(rules)),
        "runs": runs.iter().map(run_data).collect::<Vec<_>>(),
    })
}

fn rules_data(rules: &Rules) -> Value {
    let Rules { retry, deadline, budget, rate, burst, breaker } = rules;
    json!({
        "retry": {
            "max_attempts": retry.max_attempts,
            "base_delay": retry.base_delay.as_secs_f64(),
            "max_delay": retry.max_delay.as_secs_f64(),
            "deadline": deadline.as_secs_f64(),
            "budget": { "ratio": budget.share, "min_per_second": budget.per_second, "burst": budget.saved },
        },
        "limiter": { "rate": rate, "burst": burst },
        "breaker": {
            "failure_threshold": breaker.failure_threshold,
            "failure_rate": breaker.failure_rate,
            "slow_calls": breaker.slow_calls.map(|slow| {
                json!({ "threshold": slow.threshold.as_secs_f64(), "rate": slow.rate })
            }),
            "window": window_length(breaker).map(|length| length.as_secs_f64()),
            "minimum_calls": breaker.minimum_calls,
            "count_hung_after": breaker.count_hung_after.map(|after| after.as_secs_f64()),
            "recovery_timeout": breaker.recovery_timeout.as_secs_f64(),
            "half_open_requests": breaker.half_open_requests,
        },
    })
}

fn layers_data(run: &Run, counted: &Counted) -> Value {
    let Counted { retry, budget, limiter, breaker } = counted;
    let causes: Map<String, Value> =
        causes(&run.0).into_iter().map(|(cause, times)| (cause.to_string(), times.into())).collect();
    json!({
        "retry": {
            "calls": retry.calls(),
            "succeeded": retry.succeeded(),
            "failed": retry.failed(),
            "retries": retry.retries,
            "attempts": retry.attempts.iter().map(|bucket| json!({
                "most": bucket.most, "succeeded": bucket.succeeded, "failed": bucket.failed,
            })).collect::<Vec<_>>(),
            "stopped": {
                "exhausted": retry.stopped.exhausted,
                "not_retryable": retry.stopped.not_retryable,
                "deadline": retry.stopped.deadline,
                "budget": retry.stopped.budget,
                "open_circuit": retry.stopped.open_circuit,
            },
            "budget": { "calls": budget.calls, "retries": budget.retries },
        },
        "limiter": { "allowed": limiter.allowed, "refused": limiter.refused },
        "breaker": {
            "success": breaker.success,
            "failure": breaker.failure,
            "slow_success": breaker.slow_success,
            "slow_failure": breaker.slow_failure,
            "late": breaker.late,
            "hung": breaker.hung,
            "cancelled": breaker.cancelled,
            "refused": {
                "all": breaker.rejected.open + breaker.rejected.half_open,
                "open": breaker.rejected.open,
                "half_open": breaker.rejected.half_open,
            },
            "opened": { "times": run.0.times_opened(), "causes": causes },
        },
    })
}

fn run_data(run: &Run) -> Value {
    let (record, tally) = run;
    let counts = &tally.counts;
    json!({
        "elapsed": record.elapsed.as_secs_f64(),
        "put_off": record.put_off.as_secs_f64(),
        "orders": {
            "due": record.schedule.total(),
            "filled": counts[Item::Filled],
            "filled_in_time": tally.in_time(),
            "filled_late": counts[Item::Stale],
            "filled_before": counts[Item::FilledBefore],
            "declined": counts[Item::Declined],
            "saved_by_retry": counts[Item::Saved],
            "refused_by": {
                "limiter": counts[Item::RefusedByLimiter],
                "breaker": counts[Item::RefusedByBreaker],
            },
            "refused_while_up": counts[Item::RefusedWhileUp],
            "failed": counts.failed(),
            "failed_again": counts[Item::FailedAgain],
            "failed_by": {
                "timed_out": counts[Item::TimedOut],
                "unreachable": counts[Item::Unreachable],
                "broken": counts[Item::Broken],
                "unavailable": counts[Item::Unavailable],
                "banned": counts[Item::Banned],
            },
            "unsent": counts[Item::Unsent],
        },
        "sent": { "attempts": counts[Item::Sent], "in_vain": counts[Item::SentInVain] },
        "lost": {
            "failed_attempts": tally.lost.as_secs_f64(),
            "slow_attempts": tally.slow.as_secs_f64(),
            "waits": tally.waits.as_secs_f64(),
        },
        "latency_ns": {
            "due_to_outcome": latency_data(&tally.experienced),
            "order": latency_data(&tally.order),
            "attempt": latency_data(&tally.call),
            "refusal": latency_data(&tally.refusal),
        },
        "layers": record.protection.as_ref().map(|(_, counted)| layers_data(run, counted)),
        "events_dropped": record.events_dropped,
        "timeline": record.entries.iter().map(|entry| match &entry.what {
            What::Script { phase, words } => {
                json!({ "at": entry.at.as_secs_f64(), "of": "script", "phase": phase, "words": words })
            }
            What::Load { words } => json!({ "at": entry.at.as_secs_f64(), "of": "load", "words": words }),
            What::Breaker { from, to, cause, spent } => json!({
                "at": entry.at.as_secs_f64(),
                "of": "breaker",
                "from": state_name(*from),
                "to": state_name(*to),
                "cause": cause.to_string(),
                "spent": spent.as_secs_f64(),
            }),
        }).collect::<Vec<_>>(),
        "filled_by_column": record.cells.as_slice(),
        "slices": record.series.slices().iter().map(slice_data).collect::<Vec<_>>(),
    })
}

/// Orders but for `sent` and `refusals`, which are attempts.
fn slice_data(slice: &Slice) -> Value {
    let refusals: Map<String, Value> = Refusal::ALL
        .iter()
        .map(|&refusal| {
            let name = format!("{}: {}", refusal.layer(), refusal.reason());
            (name, slice.refusals.count(refusal).into())
        })
        .collect();
    let latency: Option<Map<String, Value>> = slice.latency.map(|latency| {
        let names = Slice::QUANTILES.iter().map(|(name, _)| (*name).to_string());
        names.zip(latency.map(|at| (at.as_nanos() as u64).into())).collect()
    });
    json!({
        "from": slice.from.as_secs_f64(),
        "until": slice.until.as_secs_f64(),
        "sent": slice.counts[Item::Sent],
        "filled": slice.counts[Item::Filled],
        "failed": slice.counts.failed(),
        "refused": slice.refused(),
        "refusals": refusals,
        "latency_ns": latency,
    })
}

fn latency_data(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let mut data = Map::new();
    data.insert("count".into(), histogram.len().into());
    for (name, quantile) in QUANTILES {
        data.insert(name.into(), histogram.value_at_quantile(quantile).into());
    }
    data.insert("max".into(), histogram.max().into());
    Value::Object(data)
}
