//! The layers of the protected run: what each was told, and what each did.

use std::time::Duration;

use fusewire::{Cause, CircuitBreakerConfig, CircuitState, WindowConfig};

use crate::ink::{Ink, cause_name, grouped, short};
use crate::page::{Page, Run};
use crate::record::{Record, What};
use crate::run::{Place, Setup};
use crate::stack::{Counted, Rules};
use crate::tally::Item;

/// What the layers are told, in words.
pub(crate) fn told(page: &mut Page, setup: &Setup, rules: &Rules) {
    let percent = |rate: f64| format!("{:.0} %", rate * 100.0);
    page.heading("The layers, outermost first");
    let layer = |page: &mut Page, name: &str, words: &str| {
        page.line(|line| line.put(Ink::Plain, format!("  {name:<9}")).put(Ink::Plain, words));
    };
    let Rules { retry, deadline, budget, rate, burst, breaker } = rules;
    let (tries, base) = (retry.max_attempts, short(retry.base_delay));
    let (whole, each) = (short(*deadline), short(setup.scale.attempt));
    layer(
        page,
        "retry",
        &format!("{tries} attempts an order, {each} each and {whole} in all; waits from {base}, doubling"),
    );
    let (share, per_second, saved) = (percent(budget.share), budget.per_second, budget.saved);
    page.note(&format!(
        "           the budget: {share} of the calls, {per_second} a second, and {saved} saved up"
    ));
    let (rate, burst) = (grouped((*rate).into()), grouped((*burst).into()));
    layer(page, "limiter", &format!("{rate} orders a second, {burst} at once"));
    if let Place::Own { .. } = setup.place {
        let (most, ban) = (grouped(setup.allowance().burst.into()), short(setup.scale.ban));
        page.note(&format!(
            "           the exchange takes as many, {most} at once, and bans whoever sends more for {ban}"
        ));
    }
    layer(page, "breaker", &format!("opens at {}", opens_at(breaker)));
    if let Some(length) = window_length(breaker) {
        let calls = breaker.minimum_calls;
        page.note(&format!(
            "           shares are of the last {}, if it holds {calls} calls or more",
            short(length)
        ));
    }
    if let Some(after) = breaker.count_hung_after {
        page.note(&format!(
            "           a call out for over {} counts as a failure while it still waits",
            short(after)
        ));
    }
    let (probes, after) = (breaker.half_open_requests, short(breaker.recovery_timeout));
    page.note(&format!(
        "           probes after {after}, {probes} at a time; {probes} successes close it, one failure reopens"
    ));
}

fn opens_at(config: &CircuitBreakerConfig) -> String {
    let percent = |rate: f64| format!("{:.0} %", rate * 100.0);
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
pub(crate) fn did(page: &mut Page, run: &Run, rules: &Rules, counted: &Counted) {
    let (record, tally) = run;
    let Counted { retry, limiter, breaker, .. } = counted;

    page.heading("Retry");
    page.part("orders", Ink::Plain, retry.calls());
    for bucket in retry.attempts.iter().filter(|bucket| bucket.succeeded + bucket.failed > 0) {
        let attempts = match bucket.most {
            Some(1) => "1 attempt".into(),
            Some(most) => format!("{most} attempts"),
            None => "more attempts".into(),
        };
        page.part(&format!("  answered after {attempts}"), Ink::Faint, bucket.succeeded);
        page.part(&format!("  not answered after {attempts}"), Ink::Faint, bucket.failed);
    }
    page.part("retries made", Ink::Plain, retry.retries);
    page.part("orders saved: answered after a retry", Ink::Good, tally.counts[Item::Saved]);
    page.part("  filled by an attempt that seemed to fail", Ink::Faint, tally.counts[Item::FilledBefore]);
    page.part("orders given up", Ink::Plain, retry.failed());
    let stopped = &retry.stopped;
    page.part("  the circuit was open", Ink::Faint, stopped.open_circuit);
    page.part("  the budget was spent", Ink::Faint, stopped.budget);
    page.part("  the deadline was near", Ink::Faint, stopped.deadline);
    page.part("  every attempt was made", Ink::Faint, stopped.exhausted);
    page.part("  no use in trying again", Ink::Faint, stopped.not_retryable);
    let share = retry.retries as f64 * 100.0 / (retry.calls().max(1)) as f64;
    page.note(&format!(
        "  {share:.1} retries to 100 orders; the longest way of an order that was sent took {}",
        short(Duration::from_nanos(tally.order.max()))
    ));

    page.heading("Limiter");
    page.part("permits given, one for each attempt", Ink::Plain, limiter.allowed);
    page.part("permits refused", Ink::Warning, limiter.refused);
    page.part("  orders that gave up over it", Ink::Faint, tally.counts[Item::Limited]);

    page.heading("Breaker");
    page.part("attempts let through", Ink::Plain, tally.counts[Item::Sent]);
    page.part("  that failed", Ink::Faint, tally.counts[Item::SentInVain]);
    page.part("attempts refused", Ink::Warning, breaker.rejected.open + breaker.rejected.half_open);
    page.part("  open", Ink::Faint, breaker.rejected.open);
    let probes = format!("  half-open, the {} probes all taken", rules.breaker.half_open_requests);
    page.part(&probes, Ink::Faint, breaker.rejected.half_open);
    page.part("opened", Ink::Plain, record.times_opened() as u64);
    for (cause, times) in causes(record) {
        page.part(&format!("  {}", cause_name(cause)), Ink::Faint, times);
    }
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
