//! The comparison of the runs, as tables.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ink::Ink;
use crate::layers;
use crate::record::Record;
use crate::run::{Place, Setup};
use crate::spell::{grouped, short};
use crate::table::{Figure, Row, Run, Table};
use crate::tally::{Item, Tally};

pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What a run is, in words.
pub(crate) fn title(setup: &Setup, record: &Record) -> String {
    match &setup.place {
        Place::Target { name, .. } => name.clone(),
        Place::Own { .. } if record.protection.is_some() => "Protected: retry, limiter and breaker".into(),
        Place::Own { .. } => "Unprotected: the same script".into(),
    }
}

/// All the tables of the summary.
pub(crate) fn tables(setup: &Setup, runs: &[Run]) -> Vec<Table> {
    let mut tables = vec![orders(setup, runs)];
    if let Some((rules, counted)) = &runs[0].0.protection {
        tables.extend(layers::did(&runs[0], rules, counted));
    }
    tables.extend(times(setup, runs));
    tables
}

fn orders(setup: &Setup, runs: &[Run]) -> Table {
    let mut table = Table::of_runs("Orders, each counted once", runs);
    let due = runs.iter().map(|(record, _)| Figure::Count(record.schedule.total())).collect();
    table.row((0, "fell due", Ink::Plain), "/orders/due", due);
    table.count((1, setup.filled(), Ink::Good), "/orders/filled", runs, Item::Filled);
    let late = format!("more than {} after falling due", short(setup.scale.patience));
    table.count((2, &late, Ink::Faint), "/orders/filled_late", runs, Item::Stale);
    let declined = (1, "declined by the venue (a fair answer)", Ink::Plain);
    table.count(declined, "/orders/declined", runs, Item::Declined);
    for (layer, item) in [("limiter", Item::RefusedByLimiter), ("breaker", Item::RefusedByBreaker)] {
        let name = format!("refused by the {layer}, never sent");
        table.count((1, &name, Ink::Warning), &format!("/orders/refused_by/{layer}"), runs, item);
    }
    let failed = runs.iter().map(|(_, tally)| Figure::Count(tally.counts.failed())).collect();
    table.row((1, "failed", Ink::Bad), "/orders/failed", failed);
    for (name, fault, item) in [
        ("timed out", "timed_out", Item::TimedOut),
        ("no connection: the venue was gone", "unreachable", Item::Unreachable),
        ("connection broken", "broken", Item::Broken),
        ("answered 'unavailable'", "unavailable", Item::Unavailable),
        ("banned by the venue: too many orders", "banned", Item::Banned),
    ] {
        table.count((2, name, Ink::Faint), &format!("/orders/failed_by/{fault}"), runs, item);
    }
    let unsent = (1, "still queued at the end, never sent", Ink::Warning);
    table.count(unsent, "/orders/unsent", runs, Item::Unsent);
    table
}

fn times(setup: &Setup, runs: &[Run]) -> Vec<Table> {
    let mut lost = Table::of_runs("Time lost waiting, summed over the threads", runs);
    let sums = |of: fn(&Tally) -> Duration| runs.iter().map(|(_, tally)| Figure::Time(of(tally))).collect();
    lost.row((0, "in attempts that failed", Ink::Bad), "/lost/failed_attempts", sums(|tally| tally.lost));
    let slowly = (0, "in attempts that were slow and did not fail", Ink::Warning);
    lost.row(slowly, "/lost/slow_attempts", sums(|tally| tally.slow));
    lost.row((0, "between attempts", Ink::Plain), "/lost/waits", sums(|tally| tally.waits));
    lost.note(format!("slow: {} or more, by the breaker's rule", short(setup.scale.slow)));

    let mut orders = Table::of_runs("Latency of every order, since it fell due", runs);
    quantiles(&mut orders, "due_to_outcome", runs, |tally| &tally.experienced);
    orders.note(
        "Orders fall due by the clock, be their thread free or not: what queues behind a stuck attempt \
         counts with its wait (no coordinated omission). Refused orders count too, and so does a late \
         wake-up from sleep. Orders never sent at the end have no latency.",
    );

    let mut attempts = Table::of_runs("Latency of the attempts sent, failures included", runs);
    quantiles(&mut attempts, "attempt", runs, |tally| &tally.call);
    attempts.note("The attempt alone, no queueing; after a failure it includes connecting again.");

    let mut tables = vec![lost, orders, attempts];
    if runs.iter().any(|(_, tally)| !tally.refusal.is_empty()) {
        let mut refusals = Table::of_runs("Time to refuse an order without a retry", runs);
        quantiles(&mut refusals, "refusal", runs, |tally| &tally.refusal);
        refusals.note("Through the whole stack, between two readings of the clock, which are part of it.");
        tables.push(refusals);
    }
    tables
}

fn quantiles(table: &mut Table, name: &str, runs: &[Run], of: impl Fn(&Tally) -> &Histogram<u64>) {
    let mut row = |quantile: &str, value: &dyn Fn(&Histogram<u64>) -> u64| {
        let figure = |histogram: &Histogram<u64>| match histogram.len() {
            0 => Figure::Nothing,
            _ => Figure::Time(Duration::from_nanos(value(histogram))),
        };
        let figures = runs.iter().map(|(_, tally)| figure(of(tally))).collect();
        table.row((0, quantile, Ink::Plain), format!("/latency_ns/{name}/{quantile}"), figures);
    };
    for (name, quantile) in QUANTILES {
        row(name, &|histogram| histogram.value_at_quantile(quantile));
    }
    row("max", &Histogram::max);
}

/// What two runs come to, in a few figures.
pub(crate) fn points(setup: &Setup, with: &Tally, without: &Tally) -> Vec<Row> {
    let row = |name: &str, ink, path: &str, of: &dyn Fn(&Tally) -> Figure| Row {
        depth: 0,
        name: name.into(),
        ink,
        path: path.into(),
        figures: vec![of(with), of(without)],
    };
    let count = |item| move |tally: &Tally| Figure::Count(tally.counts[item]);
    let patience = short(setup.scale.patience);
    vec![
        row(&format!("filled within {patience}"), Ink::Good, "/orders/filled_in_time", &|tally| {
            Figure::Count(tally.in_time())
        }),
        row("filled too late", Ink::Warning, "/orders/filled_late", &count(Item::Stale)),
        row("sent and failed", Ink::Bad, "/orders/failed", &|tally| Figure::Count(tally.counts.failed())),
        row("of them banned by the venue", Ink::Bad, "/orders/failed_by/banned", &count(Item::Banned)),
        row("lost in attempts that failed", Ink::Bad, "/lost/failed_attempts", &|tally| {
            Figure::Time(tally.lost)
        }),
    ]
}

/// What the protection cost, in words.
pub(crate) fn price(with: &Tally) -> String {
    let [limiter, breaker, up] = [Item::RefusedByLimiter, Item::RefusedByBreaker, Item::RefusedWhileUp]
        .map(|item| grouped(with.counts[item]));
    format!(
        "The price: {limiter} orders refused by the limiter, {breaker} by the breaker. {up} of the latter \
         fell due while the venue took orders, well, slow or flaky: so many at most would have been filled \
         without it."
    )
}
