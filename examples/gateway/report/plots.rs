//! The drawings of a run: its states over its rates, its latency over time, what its layers refused, and
//! its percentiles.

use std::time::Duration;

use fusewire::CircuitState;
use hdrhistogram::Histogram;

use crate::record::{Record, What};
use crate::series::{Refusal, Slice};
use crate::spell::{cause_name, grouped, short, state_name};
use crate::table::{Run, run_name};
use crate::tally::{Item, Tally};

use super::axis::{Frame, Scale, count, decade};
use super::svg::{Area, Svg};

/// How large a drawing is; each is made for a wide page and for a narrow one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    class: &'static str,
    width: f64,
    left: f64,
    tall: f64,
}

pub(super) const PAPERS: [Paper; 2] = [
    Paper { class: "wide", width: 880.0, left: 72.0, tall: 220.0 },
    Paper { class: "narrow", width: 356.0, left: 54.0, tall: 150.0 },
];

impl Paper {
    const MARGIN: f64 = 10.0;
    /// Room for the axis of time.
    const FOOT: f64 = 26.0;

    fn is_wide(self) -> bool {
        self.class == "wide"
    }

    fn place(self, top: f64, bottom: f64) -> Area {
        Area { left: self.left, right: self.width - Self::MARGIN, top, bottom }
    }
}

/// A stretch of a run in which something was the same.
#[derive(Debug)]
struct Stretch<T> {
    from: Duration,
    until: Duration,
    what: T,
    words: String,
}

/// Follows each other without a gap, from the beginning to the end of the run.
fn stretches<T: PartialEq>(
    record: &Record,
    first: Option<T>,
    change: impl Fn(&What) -> Option<(T, String)>,
) -> Vec<Stretch<T>> {
    let end = record.series.until();
    let mut stretches: Vec<Stretch<T>> = Vec::new();
    if let Some(what) = first {
        stretches.push(Stretch { from: Duration::ZERO, until: end, what, words: String::new() });
    }
    for entry in &record.entries {
        if let Some((what, words)) = change(&entry.what) {
            if let Some(last) = stretches.last_mut() {
                last.until = entry.at;
            }
            stretches.push(Stretch { from: entry.at, until: end, what, words });
        }
    }
    stretches
}

fn phases(record: &Record) -> Vec<Stretch<&'static str>> {
    stretches(record, None, |what| match what {
        What::Script { phase, words } => Some((*phase, words.clone())),
        What::Breaker { .. } | What::Load { .. } => None,
    })
}

fn states(record: &Record) -> Vec<Stretch<CircuitState>> {
    if record.protection.is_none() {
        return Vec::new();
    }
    stretches(record, Some(CircuitState::Closed), |what| match what {
        What::Breaker { to, cause, .. } => {
            Some((*to, format!("{}: {}", state_name(*to), cause_name(*cause))))
        }
        What::Script { .. } | What::Load { .. } => None,
    })
}

fn span<T>(frame: &Frame, stretch: &Stretch<T>) -> (f64, f64) {
    let left = frame.x(stretch.from.as_secs_f64());
    (left, frame.x(stretch.until.as_secs_f64()).max(left + 1.0))
}

fn when<T>(stretch: &Stretch<T>) -> String {
    format!(
        "{}, from {:.2} s to {:.2} s",
        stretch.words,
        stretch.from.as_secs_f64(),
        stretch.until.as_secs_f64()
    )
}

/// The class of a state, and how much of its lane it fills: legible without colour.
fn state_look(state: CircuitState) -> (&'static str, f64) {
    match state {
        CircuitState::Closed => ("closed", 0.12),
        CircuitState::HalfOpen => ("half-open", 0.5),
        CircuitState::Open => ("open", 1.0),
        CircuitState::Disabled => ("closed", 0.0),
    }
}

/// Behind a plot: when the breaker was not closed, or without a breaker, when the venue was not well.
fn bands(svg: &mut Svg, frame: &Frame, record: &Record) {
    let Area { top, bottom, .. } = frame.at;
    if record.protection.is_some() {
        for stretch in states(record).iter().filter(|it| it.what != CircuitState::Closed) {
            let (left, right) = span(frame, stretch);
            svg.rect(&format!("band {}", state_look(stretch.what).0), Area { left, right, top, bottom }, "");
        }
    } else {
        for stretch in phases(record).iter().filter(|it| it.what != "well") {
            let (left, right) = span(frame, stretch);
            svg.rect("band fault", Area { left, right, top, bottom }, "");
        }
    }
}

fn lanes(svg: &mut Svg, frame: &Frame, record: &Record, mut top: f64) {
    const LANE: f64 = 17.0;
    let name = |svg: &mut Svg, top: f64, name: &str| {
        svg.words("tick end", (frame.at.left - 8.0, top + 13.0), name);
    };
    let phases = phases(record);
    if !phases.is_empty() {
        name(svg, top, "venue");
        for phase in &phases {
            let (left, right) = span(frame, phase);
            let (middle, bottom) = (top + LANE / 2.0, top + LANE);
            if phase.what == "well" {
                svg.rect(
                    "lane well",
                    Area { left, right, top: middle - 1.0, bottom: middle + 1.0 },
                    &when(phase),
                );
            } else {
                svg.rect("lane fault", Area { left, right, top, bottom }, &when(phase));
                svg.words("name", (left + 3.0, top + 12.5), phase.what);
            }
        }
        top += LANE + 6.0;
    }
    let states = states(record);
    if !states.is_empty() {
        name(svg, top, "breaker");
        for state in &states {
            let (left, right) = span(frame, state);
            let (class, part) = state_look(state.what);
            let bottom = top + LANE;
            let place = Area { left, right, top: bottom - LANE * part, bottom };
            svg.rect(&format!("lane {class}"), place, &when(state));
            let words = state_name(state.what);
            if state.what == CircuitState::Open && right - left > 32.0 {
                svg.words("name on-open", (left + 3.0, top + 12.5), words);
            }
        }
    }
}

fn lanes_height(record: &Record) -> f64 {
    let lanes = u32::from(!phases(record).is_empty()) + u32::from(record.protection.is_some());
    f64::from(lanes) * 23.0
}

/// A count of a slice, as so many a second.
fn rate(slice: &Slice, count: u64) -> f64 {
    count as f64 / slice.seconds()
}

/// A line of the rates: its class, and what it counts in a slice.
pub(super) type Rate = (&'static str, fn(&Slice) -> u64);

/// In the order in which they are drawn.
pub(super) const RATES: [Rate; 4] = [
    ("filled", |slice| slice.counts[Item::Filled]),
    ("sent", |slice| slice.counts[Item::Sent]),
    ("failed", |slice| slice.counts.failed()),
    ("refused", Slice::refused),
];

/// What all runs have to fit, so that they can be compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges {
    time: Scale,
    latency: Scale,
    refusals: Scale,
    percentile: Scale,
}

impl Ranges {
    pub(super) fn of(runs: &[Run]) -> Self {
        let slices = || runs.iter().flat_map(|(record, _)| record.series.slices());
        let until = runs.iter().map(|(record, _)| record.series.until().as_secs_f64()).fold(0.0, f64::max);
        let refusals = Refusal::ALL.map(|refusal| highest(slices(), |slice| slice.refusals.count(refusal)));
        let latencies = slices().filter_map(|slice| slice.latency).flatten();
        let edges = |histogram: &Histogram<u64>| [histogram.min(), histogram.max()];
        let histograms = runs.iter().flat_map(|(_, tally)| [&tally.experienced, &tally.call]);
        Self {
            time: Scale::Linear { most: until },
            latency: Scale::decades(latencies.map(|at| at.as_nanos() as f64)),
            refusals: Scale::counts(refusals.into_iter().fold(0.0, f64::max)),
            percentile: Scale::decades(histograms.flat_map(edges).map(|nanos| nanos as f64)),
        }
    }
}

/// The highest rate of any slice.
fn highest<'s>(slices: impl IntoIterator<Item = &'s Slice>, of: impl Fn(&Slice) -> u64) -> f64 {
    slices.into_iter().map(|slice| rate(slice, of(slice))).fold(0.0, f64::max)
}

/// Of one run: a flood in the other would flatten everything in this one.
fn rate_scale(record: &Record) -> Scale {
    let due = record.schedule.stretches().into_iter().filter(|(length, _)| !length.is_zero());
    let due = due.map(|(_, rate)| f64::from(rate)).fold(0.0, f64::max);
    let slices = record.series.slices();
    Scale::counts(RATES.iter().map(|(_, of)| highest(slices, of)).fold(due, f64::max))
}

/// Where a line through the slices goes: from the beginning of the first to the end of the last.
fn trace(frame: &Frame, slices: &[Slice], of: impl Fn(&Slice) -> Option<f64>) -> Vec<Option<(f64, f64)>> {
    let mut points: Vec<_> =
        slices.iter().map(|slice| of(slice).map(|value| frame.point(slice.middle(), value))).collect();
    if let (Some(first), Some(last)) = (slices.first(), slices.last()) {
        points.insert(0, of(first).map(|value| frame.point(first.from.as_secs_f64(), value)));
        points.push(of(last).map(|value| frame.point(last.until.as_secs_f64(), value)));
    }
    points
}

/// Words for a pointer on each slice, over everything else.
fn pointers(svg: &mut Svg, frame: &Frame, paper: Paper, slices: &[Slice], words: impl Fn(&Slice) -> String) {
    if !paper.is_wide() {
        return;
    }
    let Area { top, bottom, .. } = frame.at;
    for slice in slices {
        let [left, right] = [slice.from, slice.until].map(|at| frame.x(at.as_secs_f64()));
        let words = format!(
            "{:.2} s to {:.2} s\n{}",
            slice.from.as_secs_f64(),
            slice.until.as_secs_f64(),
            words(slice)
        );
        svg.rect("pointer", Area { left, right, top, bottom }, &words);
    }
}

/// The states as bands, and the rates as lines.
pub(super) fn rates(paper: Paper, record: &Record, filled: &str, ranges: &Ranges) -> String {
    let top = lanes_height(record) + 24.0;
    let bottom = top + paper.tall;
    let label = format!(
        "Rates of the {} run over time; the figures are in the table 'The run in slices'",
        run_name(record)
    );
    let mut svg = Svg::new(paper.class, paper.width, bottom + Paper::FOOT, &label);
    let frame = Frame { at: paper.place(top, bottom), x: ranges.time, y: rate_scale(record) };
    let (mut at, mut due) = (0.0, Vec::new());
    for (length, rate) in record.schedule.stretches() {
        let until = at + length.as_secs_f64();
        due.extend([at, until].map(|at| Some(frame.point(at, f64::from(rate)))));
        at = until;
    }
    due.insert(0, Some(frame.point(0.0, 0.0)));
    due.push(Some(frame.point(at, 0.0)));
    svg.path("due", due);
    bands(&mut svg, &frame, record);
    frame.levels(&mut svg, count);
    frame.seconds(&mut svg);
    svg.words("tick", (frame.at.left, top - 8.0), "a second");
    lanes(&mut svg, &frame, record, 0.0);
    let slices = record.series.slices();
    for (class, of) in RATES {
        if slices.iter().all(|slice| of(slice) == 0) {
            continue;
        }
        svg.path(&format!("line {class}"), trace(&frame, slices, |slice| Some(rate(slice, of(slice)))));
    }
    pointers(&mut svg, &frame, paper, slices, |slice| {
        let rates = RATES.map(|(name, of)| {
            let name = if name == "filled" { filled } else { name };
            format!("{name}: {} a second", grouped(rate(slice, of(slice)).round() as u64))
        });
        rates.join("\n")
    });
    svg.finish()
}

/// The percentiles of each slice.
pub(super) fn latency(paper: Paper, record: &Record, patience: Duration, ranges: &Ranges) -> String {
    let (top, bottom) = (20.0, 20.0 + paper.tall);
    let label = format!(
        "Latency of the orders of the {} run over time; the figures are in the table 'The run in slices'",
        run_name(record)
    );
    let mut svg = Svg::new(paper.class, paper.width, bottom + Paper::FOOT, &label);
    let frame = Frame { at: paper.place(top, bottom), x: ranges.time, y: ranges.latency };
    bands(&mut svg, &frame, record);
    frame.levels(&mut svg, decade);
    frame.seconds(&mut svg);
    limit(&mut svg, &frame, patience);
    let slices = record.series.slices();
    for (index, class) in ["p50", "p99", "p999"].into_iter().enumerate() {
        let trace =
            trace(&frame, slices, |slice| slice.latency.map(|latency| latency[index].as_nanos() as f64));
        svg.path(&format!("line {class}"), trace);
    }
    pointers(&mut svg, &frame, paper, slices, |slice| match slice.latency {
        None => "no order ended".into(),
        Some(latency) => {
            let name = |((name, _), at): (&(&str, f64), Duration)| format!("{name}: {}", short(at));
            Slice::QUANTILES.iter().zip(latency).map(name).collect::<Vec<_>>().join("\n")
        }
    });
    svg.finish()
}

/// From where on an order is worth nothing.
fn limit(svg: &mut Svg, frame: &Frame, patience: Duration) {
    let Area { left, right, top, .. } = frame.at;
    let y = frame.y(patience.as_nanos() as f64);
    if y > top + 1.0 {
        svg.line("line limit", (left, y), (right, y));
    }
}

/// What the layers refused, a row of bars for each reason.
pub(super) fn refusals(paper: Paper, record: &Record, ranges: &Ranges) -> String {
    const ROW: f64 = 62.0;
    const HEAD: f64 = 18.0;
    let height = ROW * Refusal::ALL.len() as f64;
    let label = "Attempts refused by each layer over time; the counts beside the names are of the whole run";
    let mut svg = Svg::new(paper.class, paper.width, height + Paper::FOOT, label);
    let slices = record.series.slices();
    for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
        let top = ROW * index as f64;
        let frame =
            Frame { at: paper.place(top + HEAD, top + ROW - 8.0), x: ranges.time, y: ranges.refusals };
        let Area { left, right, bottom, .. } = frame.at;
        svg.words("row-name", (left, top + 13.0), &format!("{}: {}", refusal.layer(), refusal.reason()));
        let sum: u64 = slices.iter().map(|slice| slice.refusals.count(refusal)).sum();
        let path = refusal.path();
        let mark = format!(" data-run=\"0\" data-path=\"{path}\" data-value=\"{sum}\"");
        svg.marked("row-name end", (right, top + 13.0), &grouped(sum), &mark);
        svg.line("axis", (left, bottom), (right, bottom));
        if let Scale::Linear { most } = ranges.refusals {
            svg.line("grid", (left, frame.at.top), (right, frame.at.top));
            svg.words("tick end", (left - 8.0, frame.at.top + 8.0), &format!("{}/s", count(most)));
        }
        for slice in slices.iter().filter(|slice| slice.refusals.count(refusal) > 0) {
            let refused = slice.refusals.count(refusal);
            let [left, right] = [slice.from, slice.until].map(|at| frame.x(at.as_secs_f64()));
            let top = frame.y(rate(slice, refused)).min(bottom - 2.0);
            let words = format!(
                "{} from {:.2} s to {:.2} s",
                grouped(refused),
                slice.from.as_secs_f64(),
                slice.until.as_secs_f64()
            );
            let gap = if right - left > 4.0 { 1.0 } else { 0.0 };
            let class = format!("bar {}", refusal.layer());
            svg.rect(&class, Area { left, right: right - gap, top, bottom }, &words);
        }
        if index + 1 == Refusal::ALL.len() {
            frame.seconds(&mut svg);
        }
    }
    svg.finish()
}

/// Latency against the share of the calls that took no longer, both logarithmic.
pub(super) fn percentiles(
    label: &str,
    runs: &[Run],
    ranges: &Ranges,
    of: fn(&Tally) -> &Histogram<u64>,
) -> String {
    const WIDTH: f64 = 430.0;
    let longest = runs.iter().map(|(_, tally)| of(tally).len()).max().unwrap_or_default();
    let most = 10.0_f64.powf((longest.max(10) as f64).log10().ceil());
    let frame = Frame {
        at: Area { left: 58.0, right: WIDTH - 12.0, top: 10.0, bottom: 230.0 },
        x: Scale::Log { least: 1.0, most },
        y: ranges.percentile,
    };
    let mut svg = Svg::new("curve", WIDTH, 272.0, label);
    frame.levels(&mut svg, decade);
    frame.shares(&mut svg);
    svg.words("tick end", (frame.at.right, 268.0), "percentile");
    for (record, tally) in runs {
        let histogram = of(tally);
        let orders = histogram.len();
        let steps = (0..).map(|n| 10.0_f64.powf(f64::from(n) / 40.0)).take_while(|&x| x < orders as f64);
        let points = steps.chain((orders > 0).then_some(orders as f64)).map(|x| {
            let nanos = histogram.value_at_quantile(1.0 - 1.0 / x);
            Some(frame.point(x, nanos.max(1) as f64))
        });
        svg.path(&format!("line {}", run_name(record)), points);
    }
    svg.finish()
}
