//! What the runs come to: a comparison and a timeline to read, and the same as data.

use std::fmt::Write as _;
use std::time::Duration;

use fusewire::{Cause, CircuitBreakerConfig, CircuitState, WindowConfig};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::args::Options;
use crate::ink::{CELLS, Ink, Line, cause_name, grouped, short, state_name};
use crate::load::Tally;
use crate::run::{Place, Record, Setup, What};
use crate::screen::{entry_line, strips};

/// A run and what its threads counted.
pub(crate) type Run = (Record, Tally);

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
const ROOM: usize = 100;
/// More entries than this are shortened in the middle.
const LONGEST_TIMELINE: usize = 80;

struct Page {
    text: String,
    colour: bool,
    runs: usize,
}

impl Page {
    fn line(&mut self, make: impl FnOnce(Line) -> Line) {
        let line = make(Line::new(ROOM, self.colour)).text();
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.blank();
        self.line(|line| line.put(Ink::Bold, text));
    }

    /// A row of the comparison: one value for each run.
    fn row(&mut self, name: &str, ink: Ink, runs: &[Run], value: impl Fn(&Run) -> String) {
        let values: Vec<String> = runs.iter().take(self.runs).map(value).collect();
        self.line(|mut line| {
            line = line.put(Ink::Plain, format!("  {name:<40}"));
            for value in values {
                line = line.put(ink, format!("{value:>16}"));
            }
            line
        });
    }

    fn note(&mut self, text: &str) {
        self.line(|line| line.put(Ink::Faint, text));
    }
}

/// The summary as text.
pub(crate) fn page(setup: &Setup, runs: &[Run], colour: bool) -> String {
    let mut page = Page { text: String::new(), colour, runs: runs.len() };
    glance(&mut page, setup, runs);
    rules(&mut page, &runs[0].0.config);
    timeline(&mut page, &runs[0].0);
    orders(&mut page, setup, runs);
    openings(&mut page, runs);
    latencies(&mut page, setup, runs);
    conclusion(&mut page, runs);
    page.blank();
    page.text
}

fn glance(page: &mut Page, setup: &Setup, runs: &[Run]) {
    for (record, _) in runs {
        page.heading(match &setup.place {
            Place::Target { name, .. } => name,
            Place::Own { .. } if record.guarded => "With the breaker",
            Place::Own { .. } => "The same script, breaker disabled",
        });
        for strip in strips(record, setup.rate, CELLS, ROOM, page.colour) {
            let _ = writeln!(page.text, "{strip}");
        }
    }
    let seconds = setup.scale.length.as_secs_f64() / CELLS as f64;
    page.note(&format!("          one column is {seconds:.2} s; bars: orders filled, █ all that fell due"));
    page.note("          breaker: ─ closed  █ open  ▒ half-open  blank: disabled");
}

/// What opens and closes the breaker, in words.
fn rules(page: &mut Page, config: &CircuitBreakerConfig) {
    let percent = |rate: f64| format!("{:.0} %", rate * 100.0);
    let mut opens = Vec::new();
    if let Some(failures) = config.failure_threshold {
        opens.push(format!("{failures} failures in a row"));
    }
    if let Some(rate) = config.failure_rate {
        opens.push(format!("{} failures", percent(rate)));
    }
    if let Some(slow) = &config.slow_calls {
        opens.push(format!("{} slower than {}", percent(slow.rate), short(slow.threshold)));
    }
    page.heading("Rules");
    page.line(|line| line.put(Ink::Plain, format!("  opens at {}", opens.join(", or "))));
    if let Some(length) = window_length(config) {
        let calls = config.minimum_calls;
        page.note(&format!("  shares are of the last {}, if it holds {calls} calls or more", short(length)));
    }
    if let Some(after) = config.count_hung_after {
        page.note(&format!(
            "  a call out for over {} counts as a failure while it still waits",
            short(after)
        ));
    }
    let (probes, after) = (config.half_open_requests, short(config.recovery_timeout));
    page.note(&format!(
        "  probes after {after}, {probes} at a time; {probes} successes close it, one failure reopens"
    ));
}

/// Of a window in time, which is what the gateway sets.
fn window_length(config: &CircuitBreakerConfig) -> Option<Duration> {
    if let WindowConfig::Time { length, .. } = config.window { Some(length) } else { None }
}

fn orders(page: &mut Page, setup: &Setup, runs: &[Run]) {
    page.blank();
    page.line(|mut line| {
        line = line.put(Ink::Bold, format!("{:<42}", "Orders"));
        for (record, _) in runs {
            line = line
                .put(Ink::Bold, format!("{:>16}", if record.guarded { "with breaker" } else { "disabled" }));
        }
        line
    });
    page.row("attempted", Ink::Plain, runs, |run| grouped(run.1.counts.attempted()));
    page.row(&format!("  {}", setup.filled()), Ink::Good, runs, |run| grouped(run.1.counts.filled));
    let stale = format!("    more than {} after falling due", short(setup.scale.patience));
    page.row(&stale, Ink::Faint, runs, |run| grouped(run.1.counts.stale));
    page.row("  declined by the venue (a fair answer)", Ink::Plain, runs, |run| {
        grouped(run.1.counts.declined)
    });
    page.row("  rejected at once by the breaker", Ink::Warning, runs, |run| grouped(run.1.counts.rejected));
    page.row("    open", Ink::Faint, runs, |run| grouped(run.0.totals.rejected.open));
    page.row("    half-open, probes all taken", Ink::Faint, runs, |run| {
        grouped(run.0.totals.rejected.half_open)
    });
    page.row("  failed", Ink::Bad, runs, |run| grouped(run.1.counts.failed()));
    page.row("    timed out", Ink::Faint, runs, |run| grouped(run.1.counts.timed_out));
    page.row("    connection refused", Ink::Faint, runs, |run| grouped(run.1.counts.refused));
    page.row("    connection broken", Ink::Faint, runs, |run| grouped(run.1.counts.broken));
    page.row("    answered 'unavailable'", Ink::Faint, runs, |run| grouped(run.1.counts.unavailable));
    if runs.iter().any(|run| run.1.counts.unsent > 0) {
        page.row("never sent: still queued at the end", Ink::Warning, runs, |run| {
            grouped(run.1.counts.unsent)
        });
    }
}

fn openings(page: &mut Page, runs: &[Run]) {
    let total = |run: &Run| grouped(run.0.times_opened() as u64);
    page.heading("The breaker opened");
    page.row("times", Ink::Plain, runs, total);
    for (cause, _) in causes(&runs[0].0) {
        page.row(&format!("  {}", cause_name(cause)), Ink::Faint, runs, |run| {
            let causes = causes(&run.0);
            grouped(causes.iter().find(|known| known.0 == cause).map_or(0, |known| known.1))
        });
    }
}

fn latencies(page: &mut Page, setup: &Setup, runs: &[Run]) {
    page.heading("Time lost waiting, summed over the threads");
    page.row("in calls that failed", Ink::Bad, runs, |run| short(run.1.lost));
    page.row("in calls that succeeded slowly", Ink::Warning, runs, |run| short(run.1.slow));
    page.note(&format!("  slow: {} or more, by the breaker's rule", short(setup.scale.slow)));

    page.heading("Latency of every order, from the moment it was due");
    quantiles(page, runs, |tally| &tally.experienced);
    page.note("  Orders fall due by the clock, be their thread free or not: what queues");
    page.note("  behind a stuck call counts with its wait (no coordinated omission). The late");
    page.note("  wake-up from sleep counts too. Orders never sent have no latency.");

    page.heading("Latency of the calls let through, from sending to outcome, failures included");
    quantiles(page, runs, |tally| &tally.call);
    page.note("  The call alone, no queueing; after a failure it includes connecting again.");

    if runs.iter().any(|run| !run.1.rejection.is_empty()) {
        page.heading("Time the breaker took to reject");
        quantiles(page, runs, |tally| &tally.rejection);
        page.note("  Between two readings of the clock, which are part of it.");
    }
}

fn conclusion(page: &mut Page, runs: &[Run]) {
    let [(_, guarded), (_, bare)] = runs else { return };
    let (lost, would_be) = (short(guarded.lost), short(bare.lost));
    let (late, later) = (grouped(guarded.counts.stale), grouped(bare.counts.stale));
    let (filled, more) = (grouped(guarded.counts.filled), grouped(bare.counts.filled));
    let rejected = grouped(guarded.counts.rejected);
    page.heading("In short");
    let mut row = |words: &str, with: &str, without: &str| {
        page.line(|line| {
            line.put(Ink::Plain, format!("  {words} "))
                .put(Ink::Good, with)
                .put(Ink::Plain, ", without the breaker ")
                .put(Ink::Bad, without)
        });
    };
    row("lost in calls that failed:", &lost, &would_be);
    row("filled, but too late:", &late, &later);
    page.note(&format!("  The price: {rejected} orders rejected at once, and {filled} filled, not {more}:"));
    page.note("  an open breaker turns away what a slow or flaky venue would have filled.");
}

fn quantiles(page: &mut Page, runs: &[Run], of: impl Fn(&Tally) -> &Histogram<u64>) {
    let cell = |histogram: &Histogram<u64>, nanos: u64| {
        if histogram.is_empty() { "-".into() } else { short(Duration::from_nanos(nanos)) }
    };
    for (name, quantile) in QUANTILES {
        page.row(name, Ink::Plain, runs, |run| {
            let histogram = of(&run.1);
            cell(histogram, histogram.value_at_quantile(quantile))
        });
    }
    page.row("max", Ink::Plain, runs, |run| cell(of(&run.1), of(&run.1).max()));
}

fn timeline(page: &mut Page, record: &Record) {
    page.heading("Timeline of the run with the breaker");
    let entries = &record.entries;
    let cut = if entries.len() > LONGEST_TIMELINE { LONGEST_TIMELINE / 2 } else { entries.len() };
    let colour = page.colour;
    for entry in &entries[..cut] {
        let _ = writeln!(page.text, "{}", entry_line(entry, ROOM, colour));
    }
    if cut < entries.len() {
        let rest = entries.len() - cut;
        page.note(&format!("          ... {} more, all of them in --json ...", rest - cut));
        for entry in &entries[rest..] {
            let _ = writeln!(page.text, "{}", entry_line(entry, ROOM, colour));
        }
    }
    if entries.is_empty() {
        page.note("  nothing happened");
    }
    if !record.put_off.is_zero() {
        let late = short(record.put_off);
        page.note(&format!("  the machine stood still: the script ended {late} late and met less load"));
    }
    if record.events_dropped > 0 {
        page.note(&format!("  {} events were dropped, the queue being full", record.events_dropped));
    }
}

/// What opened the breaker, and how often, in the order of first appearance.
fn causes(record: &Record) -> Vec<(Cause, u64)> {
    let mut causes: Vec<(Cause, u64)> = Vec::new();
    for entry in &record.entries {
        if let What::Breaker { to: CircuitState::Open, cause, .. } = entry.what {
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, times)) => *times += 1,
                None => causes.push((cause, 1)),
            }
        }
    }
    causes
}

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
        "rules": rules_data(&runs[0].0.config),
        "runs": runs.iter().map(run_data).collect::<Vec<_>>(),
    })
}

fn rules_data(config: &CircuitBreakerConfig) -> Value {
    json!({
        "failure_threshold": config.failure_threshold,
        "failure_rate": config.failure_rate,
        "slow_calls": config.slow_calls.map(|slow| {
            json!({ "threshold": slow.threshold.as_secs_f64(), "rate": slow.rate })
        }),
        "window": window_length(config).map(|length| length.as_secs_f64()),
        "minimum_calls": config.minimum_calls,
        "count_hung_after": config.count_hung_after.map(|after| after.as_secs_f64()),
        "recovery_timeout": config.recovery_timeout.as_secs_f64(),
        "half_open_requests": config.half_open_requests,
    })
}

fn run_data((record, tally): &Run) -> Value {
    let counts = &tally.counts;
    let totals = &record.totals;
    let causes: Map<String, Value> =
        causes(record).into_iter().map(|(cause, times)| (cause.to_string(), times.into())).collect();
    json!({
        "breaker": record.guarded,
        "elapsed": record.elapsed.as_secs_f64(),
        "put_off": record.put_off.as_secs_f64(),
        "orders": {
            "attempted": counts.attempted(),
            "filled": counts.filled,
            "filled_late": counts.stale,
            "declined": counts.declined,
            "rejected": counts.rejected,
            "failed": counts.failed(),
            "failed_by": {
                "timed_out": counts.timed_out,
                "refused": counts.refused,
                "broken": counts.broken,
                "unavailable": counts.unavailable,
            },
            "unsent": counts.unsent,
        },
        "lost": { "failed_calls": tally.lost.as_secs_f64(), "slow_calls": tally.slow.as_secs_f64() },
        "latency_ns": {
            "due_to_outcome": latency_data(&tally.experienced),
            "call": latency_data(&tally.call),
            "rejection": latency_data(&tally.rejection),
        },
        "totals": {
            "success": totals.success,
            "failure": totals.failure,
            "slow_success": totals.slow_success,
            "slow_failure": totals.slow_failure,
            "late": totals.late,
            "hung": totals.hung,
            "cancelled": totals.cancelled,
            "rejected": { "open": totals.rejected.open, "half_open": totals.rejected.half_open },
        },
        "opened": { "times": record.times_opened(), "causes": causes },
        "events_dropped": record.events_dropped,
        "timeline": record.entries.iter().map(|entry| match &entry.what {
            What::Script { phase, words } => {
                json!({ "at": entry.at.as_secs_f64(), "of": "script", "phase": phase, "words": words })
            }
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
