//! What a run of the program found out, as it is written and read again.

use std::collections::BTreeMap;
use std::fs;

use fusewire_harness::{Machine, Series, Tail};
use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::entry::Kind;
use crate::gate::GateTable;

/// Everything: where, with what, and all suites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) place: Place,
    /// Crates and their exact versions.
    pub(crate) versions: BTreeMap<String, String>,
    /// The machine's load averages before each run, where it tells.
    pub(crate) loads: Vec<Option<String>>,
    /// Rounds of arithmetic that make up the work between operations.
    pub(crate) work_rounds: u64,
    pub(crate) suites: Vec<SuiteData>,
    /// What the gate printed, once a report has taken it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gate: Option<GateTable>,
}

/// The machine, and what built the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) processor: String,
    pub(crate) threads: usize,
    pub(crate) system: String,
    pub(crate) compiler: String,
    /// Whether the processor says that it is a guest's.
    pub(crate) guest: bool,
    /// Whether the program had a real-time priority. Only Linux tells.
    pub(crate) real_time: bool,
}

impl From<Machine> for Place {
    fn from(machine: Machine) -> Self {
        let Machine { processor, threads, system, .. } = machine;
        let compiler = env!("PEERS_COMPILER").to_owned();
        Self { processor, threads, system, compiler, guest: guest(), real_time: real_time() }
    }
}

fn guest() -> bool {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

fn real_time() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold anything; after it comes the third field. The fortieth is the priority.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(40 - 3).is_some_and(|priority| priority != "0")
}

/// One suite. Each list of figures has one for each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuiteData {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column<String>>,
    /// The columns of which single operations were timed.
    pub(crate) tail_columns: Vec<Column<String>>,
    pub(crate) notes: String,
    pub(crate) runs: Vec<Quality>,
    pub(crate) rows: Vec<Row>,
    /// The machine's primitives, in the same runs.
    pub(crate) primitives: BTreeMap<String, Vec<Spread>>,
    pub(crate) bars: Vec<BarData>,
}

/// How much one run measured, and how quiet the machine was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quality {
    pub(crate) repetitions: usize,
    /// The greatest share of a path's repetitions without an undisturbed sample.
    pub(crate) disturbed: f64,
    /// The greatest share of a tail's rounds in which one had to.
    pub(crate) disturbed_tails: f64,
}

/// One contender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) contender: String,
    pub(crate) kind: Kind,
    /// By the column's name.
    pub(crate) cells: BTreeMap<String, Vec<Spread>>,
    /// By the column's name.
    pub(crate) tails: BTreeMap<String, Vec<TailCell>>,
}

/// The samples of one path in one run, in nanoseconds per operation of one thread: p10, median, p90.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64, f64)", into = "(f64, f64, f64)")]
pub(crate) struct Spread {
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl From<(f64, f64, f64)> for Spread {
    fn from((p10, median, p90): (f64, f64, f64)) -> Self {
        Self { p10, median, p90 }
    }
}

impl From<Spread> for (f64, f64, f64) {
    fn from(spread: Spread) -> Self {
        (spread.p10, spread.median, spread.p90)
    }
}

impl Spread {
    /// Nothing if there is no sample.
    pub(crate) fn of(series: &Series) -> Option<Self> {
        let quantile = |q| rounded(series.quantile(q));
        let spread = Self { p10: quantile(0.1), median: quantile(0.5), p90: quantile(0.9) };
        spread.median.is_finite().then_some(spread)
    }
}

/// The quantiles that a tail is told by, and its greatest value.
pub(crate) const TAIL: [&str; 4] = ["p50", "p99", "p99.9", "max"];

/// The single laps of one path in one run: how many, and nanoseconds by [`TAIL`]. Nothing where there were too few laps
/// to tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, [Option<f64>; 4])", into = "(u64, [Option<f64>; 4])")]
pub(crate) struct TailCell {
    pub(crate) laps: u64,
    pub(crate) nanoseconds: [Option<f64>; 4],
}

impl From<(u64, [Option<f64>; 4])> for TailCell {
    fn from((laps, nanoseconds): (u64, [Option<f64>; 4])) -> Self {
        Self { laps, nanoseconds }
    }
}

impl From<TailCell> for (u64, [Option<f64>; 4]) {
    fn from(cell: TailCell) -> Self {
        (cell.laps, cell.nanoseconds)
    }
}

impl From<&Tail> for TailCell {
    fn from(tail: &Tail) -> Self {
        let quantiles = [tail.quantile(0.5), tail.quantile(0.99), tail.quantile(0.999), tail.max()];
        Self { laps: tail.laps(), nanoseconds: quantiles.map(|value| value.map(rounded)) }
    }
}

/// A bar and how each run met it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BarData {
    pub(crate) ours: String,
    pub(crate) column: String,
    pub(crate) against: String,
    pub(crate) at_most: f64,
    pub(crate) runs: Vec<Judged>,
}

/// How one run met a bar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judged {
    pub(crate) ratio: f64,
    /// Which row the bar's other side was.
    pub(crate) against: String,
    /// The share of the repetitions without an undisturbed sample.
    pub(crate) disturbed: f64,
}

impl BarData {
    /// The median of the runs' ratios.
    pub(crate) fn ratio(&self) -> Option<f64> {
        median(self.runs.iter().map(|judged| judged.ratio))
    }

    /// Whether the median of the runs is within the bar. What was not measured is not met.
    pub(crate) fn met(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio <= self.at_most)
    }
}

impl Row {
    /// The median of the runs' medians in this column.
    pub(crate) fn median(&self, column: &str) -> Option<f64> {
        median(self.cells.get(column)?.iter().map(|spread| spread.median))
    }

    /// A tail's value over the runs: the median of its quantiles, the greatest of its maxima. `at` counts in [`TAIL`].
    pub(crate) fn tail(&self, column: &str, at: usize) -> Option<f64> {
        let runs = self.tails.get(column)?.iter();
        let values: Option<Vec<f64>> = runs.map(|cell| *cell.nanoseconds.get(at)?).collect();
        let values = values?;
        if TAIL[at] == "max" { values.into_iter().reduce(f64::max) } else { median(values) }
    }
}

impl SuiteData {
    pub(crate) fn row(&self, contender: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender == contender)
    }
}

impl Data {
    /// Reads what [`Self::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// JSON, with a line for each contender, so that a change of one shows as a change of one.
    pub(crate) fn to_text(&self) -> String {
        let json = serde_json::to_string(self).expect("plain lists, and maps by name");
        // Within a string its quotes would be escaped.
        let lines = ["{\"contender\"", "{\"name\"", "{\"path\"", "{\"ours\"", "\"gate\"", "\"bars\""];
        let broken = lines.iter().fold(json, |json, start| json.replace(start, &format!("\n{start}")));
        broken + "\n"
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().checked_sub(1)?;
    Some(f64::midpoint(sorted[middle / 2], sorted[middle.div_ceil(2)]))
}

/// No sample is better than a thousandth of a nanosecond.
fn rounded(nanoseconds: f64) -> f64 {
    (nanoseconds * 1_000.0).round() / 1_000.0
}
