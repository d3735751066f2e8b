//! What the runs come to, to read: a comparison, and what each layer did.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ink::{CELLS, Ink, grouped, short};
use crate::layers;
use crate::page::{Page, ROOM, Run};
use crate::record::Record;
use crate::run::{Place, Setup};
use crate::screen::{entry_line, strips};
use crate::tally::{Item, Tally};

pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
/// More entries than this are shortened in the middle.
const LONGEST_TIMELINE: usize = 80;

/// The summary as text.
pub(crate) fn page(setup: &Setup, runs: &[Run], colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    let record = &runs[0].0;
    glance(&mut page, setup, runs);
    if let Some((rules, _)) = &record.protection {
        layers::told(&mut page, setup, rules);
    }
    timeline(&mut page, record);
    orders(&mut page, setup, runs);
    if let Some((rules, counted)) = &record.protection {
        layers::did(&mut page, &runs[0], rules, counted);
    }
    latencies(&mut page, setup, runs);
    conclusion(&mut page, setup, runs);
    page.blank();
    page.text
}

fn glance(page: &mut Page, setup: &Setup, runs: &[Run]) {
    for (record, _) in runs {
        page.heading(match &setup.place {
            Place::Target { name, .. } => name,
            Place::Own { .. } if record.protection.is_some() => "With retry, limiter and breaker",
            Place::Own { .. } => "The same script without protection",
        });
        for strip in strips(record, CELLS, ROOM, page.colour) {
            let _ = writeln!(page.text, "{strip}");
        }
    }
    let seconds = setup.scale.length.as_secs_f64() / CELLS as f64;
    page.note(&format!(
        "          one column is {seconds:.2} s; filled: bars against what fell due, █ all of it"
    ));
    page.note("          breaker: ─ closed  █ open  ▒ half-open");
}

fn orders(page: &mut Page, setup: &Setup, runs: &[Run]) {
    page.columns("Orders, each counted once", runs);
    page.row("fell due", Ink::Plain, runs, |run| grouped(run.0.schedule.total()));
    page.count(&format!("  {}", setup.filled()), Ink::Good, runs, Item::Filled);
    let stale = format!("    more than {} after falling due", short(setup.scale.patience));
    page.count(&stale, Ink::Faint, runs, Item::Stale);
    page.count("  declined by the venue (a fair answer)", Ink::Plain, runs, Item::Declined);
    page.count("  kept back by the limiter, never sent", Ink::Warning, runs, Item::Limited);
    page.count("  kept back by the breaker, never sent", Ink::Warning, runs, Item::Rejected);
    page.row("  failed", Ink::Bad, runs, |run| grouped(run.1.counts.failed()));
    page.count("    timed out", Ink::Faint, runs, Item::TimedOut);
    page.count("    connection refused", Ink::Faint, runs, Item::Refused);
    page.count("    connection broken", Ink::Faint, runs, Item::Broken);
    page.count("    answered 'unavailable'", Ink::Faint, runs, Item::Unavailable);
    page.count("    banned: too many orders", Ink::Faint, runs, Item::Banned);
    page.count("  still queued at the end, never sent", Ink::Warning, runs, Item::Unsent);
}

fn latencies(page: &mut Page, setup: &Setup, runs: &[Run]) {
    page.columns("Time lost waiting, summed over the threads", runs);
    page.row("in attempts that failed", Ink::Bad, runs, |run| short(run.1.lost));
    page.row("in attempts that succeeded slowly", Ink::Warning, runs, |run| short(run.1.slow));
    page.row("between attempts", Ink::Plain, runs, |run| short(run.1.waits));
    page.note(&format!("  slow: {} or more, by the breaker's rule", short(setup.scale.slow)));

    page.columns("Latency of every order, since it fell due", runs);
    quantiles(page, runs, |tally| &tally.experienced);
    page.note("  Orders fall due by the clock, be their thread free or not: what queues");
    page.note("  behind a stuck call counts with its wait (no coordinated omission). The late");
    page.note("  wake-up from sleep counts too. Orders never sent at the end have no latency.");

    page.columns("Latency of the attempts sent, failures included", runs);
    quantiles(page, runs, |tally| &tally.call);
    page.note("  The attempt alone, no queueing; after a failure it includes connecting again.");

    if runs.iter().any(|run| !run.1.refusal.is_empty()) {
        page.columns("Time to turn an order away without a retry", runs);
        quantiles(page, runs, |tally| &tally.refusal);
        page.note("  Through the whole stack, between two readings of the clock, which are part of it.");
    }
}

fn conclusion(page: &mut Page, setup: &Setup, runs: &[Run]) {
    let [(_, with), (_, without)] = runs else { return };
    page.heading("In short");
    let mut row = |words: &str, values: [String; 2]| {
        let [with, without] = values;
        page.line(|line| {
            line.put(Ink::Plain, format!("  {words} "))
                .put(Ink::Good, with)
                .put(Ink::Plain, ", without protection ")
                .put(Ink::Bad, without)
        });
    };
    let both = |value: &dyn Fn(&Tally) -> String| [value(with), value(without)];
    let count = |item| both(&|tally| grouped(tally.counts[item]));
    let patience = short(setup.scale.patience);
    row(&format!("filled within {patience}:"), both(&|tally| grouped(tally.in_time())));
    row("filled too late:", count(Item::Stale));
    row("sent and failed:", both(&|tally| grouped(tally.counts.failed())));
    row("of them banned by the exchange:", count(Item::Banned));
    row("lost in attempts that failed:", both(&|tally| short(tally.lost)));
    let [limited, rejected, missed] =
        [Item::Limited, Item::Rejected, Item::Missed].map(|item| grouped(with.counts[item]));
    page.note(&format!(
        "  The price: {limited} orders kept back by the limiter, {rejected} by the breaker. {missed} of"
    ));
    page.note("  the latter fell due while the venue took orders, well, slow or flaky: so many");
    page.note("  at most would have been filled without it.");
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
    page.heading("Timeline of the protected run");
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
