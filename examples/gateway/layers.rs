//! The layers of the protected run: what each was told, and what each did.

use std::time::Duration;

use fusewire::{Cause, CircuitBreakerConfig, CircuitState, WindowConfig};

use crate::ink::Ink;
use crate::record::{Record, What};
use crate::run::{Place, Setup};
use crate::spell::{cause_name, grouped, short};
use crate::stack::{Counted, Rules};
use crate::table::{Run, Table};
use crate::tally::Item;

/// A layer's name, what it is told in one sentence, and what there is to add.
pub(crate) type Told = (&'static str, String, Vec<String>);

/// What the layers are told, outermost first.
pub(crate) fn told(setup: &Setup, rules: &Rules) -> [Told; 3] {
    let Rules { retry, deadline, budget, rate, burst, breaker } = rules;
    let (tries, base) = (retry.max_attempts, short(retry.base_delay));
    let (whole, each) = (short(*deadline), short(setup.scale.attempt));
    let (share, per_second, saved) = (percent(budget.share), budget.per_second, budget.saved);
    let (rate, burst) = (grouped((*rate).into()), grouped((*burst).into()));
    let mut venue = Vec::new();
    if let Place::Own { .. } = setup.place {
        let (most, ban) = (grouped(setup.allowance().burst.into()), short(setup.scale.ban));
        venue.push(format!("the venue takes as many, {most} at once, and bans whoever sends more for {ban}"));
    }
    [
        (
            "retry",
            format!("{tries} attempts an order, {each} each and {whole} in all; waits from {base}, doubling"),
            vec![format!("the budget: {share} of the orders, {per_second} a second, and {saved} saved up")],
        ),
        ("limiter", format!("{rate} attempts a second, {burst} at once"), venue),
        ("breaker", format!("opens at {}", opens_at(breaker)), breaker_details(breaker)),
    ]
}

fn breaker_details(breaker: &CircuitBreakerConfig) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(length) = window_length(breaker) {
        let (length, attempts) = (short(length), breaker.minimum_calls);
        details.push(format!("shares are of the last {length}, if it holds {attempts} attempts or more"));
    }
    if let Some(after) = breaker.count_hung_after {
        let after = short(after);
        details.push(format!("an attempt out for over {after} counts as a failure while it still waits"));
    }
    let (probes, after) = (breaker.half_open_requests, short(breaker.recovery_timeout));
    details.push(format!(
        "probes after {after}, {probes} at a time; {probes} successes close it, one failure reopens"
    ));
    details
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn opens_at(config: &CircuitBreakerConfig) -> String {
    let mut rules = Vec::new();
    if let Some(failures) = config.failure_threshold {
        rules.push(format!("{failures} failures in a row"));
    }
    if let Some(rate) = config.failure_rate {
        rules.push(format!("{} failures", percent(rate)));
    }
    if let Some(slow) = &config.slow_calls {
        rules.push(format!("{} slower than {}", percent(slow.rate), short(slow.threshold)));
    }
    rules.join(", or ")
}

/// Of a window in time, which is what the gateway sets.
pub(crate) fn window_length(config: &CircuitBreakerConfig) -> Option<Duration> {
    if let WindowConfig::Time { length, .. } = config.window { Some(length) } else { None }
}

/// What each layer did.
pub(crate) fn did(run: &Run, rules: &Rules, counted: &Counted) -> [Table; 3] {
    [retry(run, counted), limiter(run, counted), breaker(run, rules, counted)]
}

fn retry((_, tally): &Run, Counted { retry, .. }: &Counted) -> Table {
    const AT: &str = "/layers/retry";
    let mut table = Table::of_layer("Retry");
    table.part((0, "orders", Ink::Plain), format!("{AT}/calls"), retry.calls());
    for (index, bucket) in retry.attempts.iter().enumerate() {
        if bucket.succeeded + bucket.failed == 0 {
            continue;
        }
        let attempts = match bucket.most {
            Some(1) => "1 attempt".into(),
            Some(most) => format!("{most} attempts"),
            None => "more attempts".into(),
        };
        for (name, end, count) in
            [("answered", "succeeded", bucket.succeeded), ("not answered", "failed", bucket.failed)]
        {
            let path = format!("{AT}/attempts/{index}/{end}");
            table.part((1, &format!("{name} after {attempts}"), Ink::Faint), path, count);
        }
    }
    table.part((0, "retries made", Ink::Plain), format!("{AT}/retries"), retry.retries);
    let [saved, before] = [Item::Saved, Item::FilledBefore].map(|item| tally.counts[item]);
    table.part((0, "orders saved: answered after a retry", Ink::Good), "/orders/saved_by_retry", saved);
    table.part((1, "filled by an attempt that seemed to fail", Ink::Faint), "/orders/filled_before", before);
    table.part((0, "orders given up", Ink::Plain), format!("{AT}/failed"), retry.failed());
    let stopped = &retry.stopped;
    for (name, reason, count) in [
        ("the breaker was open", "open_circuit", stopped.open_circuit),
        ("the budget was spent", "budget", stopped.budget),
        ("the deadline was near", "deadline", stopped.deadline),
        ("every attempt was made", "exhausted", stopped.exhausted),
        ("no use in trying again", "not_retryable", stopped.not_retryable),
    ] {
        table.part((1, name, Ink::Faint), format!("{AT}/stopped/{reason}"), count);
    }
    let share = retry.retries as f64 * 100.0 / (retry.calls().max(1)) as f64;
    table.note(format!(
        "{share:.1} retries to 100 orders; the longest way of an order that was sent took {}",
        short(Duration::from_nanos(tally.order.max()))
    ));
    table
}

fn limiter((_, tally): &Run, Counted { limiter, .. }: &Counted) -> Table {
    const AT: &str = "/layers/limiter";
    let mut table = Table::of_layer("Limiter");
    table.part((0, "attempts let through", Ink::Plain), format!("{AT}/allowed"), limiter.allowed);
    table.part((0, "attempts refused", Ink::Warning), format!("{AT}/refused"), limiter.refused);
    let orders = tally.counts[Item::RefusedByLimiter];
    table.part((1, "orders that gave up over it", Ink::Faint), "/orders/refused_by/limiter", orders);
    table
}

fn breaker((record, tally): &Run, rules: &Rules, Counted { breaker, .. }: &Counted) -> Table {
    const AT: &str = "/layers/breaker";
    let mut table = Table::of_layer("Breaker");
    let [sent, in_vain] = [Item::Sent, Item::SentInVain].map(|item| tally.counts[item]);
    table.part((0, "attempts let through", Ink::Plain), "/sent/attempts", sent);
    table.part((1, "that failed", Ink::Faint), "/sent/in_vain", in_vain);
    let refused = &breaker.rejected;
    let all = refused.open + refused.half_open;
    table.part((0, "attempts refused", Ink::Warning), format!("{AT}/refused/all"), all);
    table.part((1, "open", Ink::Faint), format!("{AT}/refused/open"), refused.open);
    let probes = format!("half-open, the {} probes all taken", rules.breaker.half_open_requests);
    table.part((1, &probes, Ink::Faint), format!("{AT}/refused/half_open"), refused.half_open);
    table.part((0, "times opened", Ink::Plain), format!("{AT}/opened/times"), record.times_opened() as u64);
    for (cause, times) in causes(record) {
        let path = format!("{AT}/opened/causes/{cause}");
        table.part((1, &cause_name(cause), Ink::Faint), path, times);
    }
    table
}

/// What opened the breaker, and how often, in the order of first appearance.
pub(crate) fn causes(record: &Record) -> Vec<(Cause, u64)> {
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
