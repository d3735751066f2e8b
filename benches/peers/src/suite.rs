//! What all suites have in common: who takes part, in which columns, and how one run goes.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use fusewire::Clock;
use fusewire_harness::{HotPath, Plan, Primitive, Series, Tail, TailPath, TailPlan};

use crate::bar::Bar;
use crate::column::Column;
use crate::data::{BarData, Quality, Row, Spread, SuiteData};
use crate::entry::Entry;

/// Contenders that do the same, and what we hold ourselves to among them.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// The columns of which single operations are timed.
    pub(crate) tail_columns: &'static [Column],
    pub(crate) entries: Vec<Entry>,
    pub(crate) bars: &'static [Bar],
    /// Printed below the table.
    pub(crate) notes: &'static str,
}

/// One clock for all: its thread should be as idle here as in a program.
pub(crate) fn coarse() -> Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| Clock::coarse(Duration::from_millis(1)).expect("a thread for the clock")).clone()
}

/// How much one run measures. Three runs of all suites should end within four minutes on a busy machine, so each
/// suite has a third of a third of that.
pub(crate) fn plan() -> Plan {
    Plan { repetitions: 201, patience: Duration::from_secs(20), ..Plan::default() }
}

pub(crate) const TAIL_PLAN: TailPlan = TailPlan { rounds: 200, patience: Duration::from_secs(6) };

impl Suite {
    /// A place for the figures of runs.
    pub(crate) fn blank(&self) -> SuiteData {
        let rows = self.entries.iter().map(|entry| Row {
            contender: entry.name.to_owned(),
            kind: entry.kind,
            cells: BTreeMap::new(),
            tails: BTreeMap::new(),
        });
        let bars = self.bars.iter().map(|bar| BarData {
            ours: bar.ours.to_owned(),
            column: bar.column.to_string(),
            against: bar.against.name().to_owned(),
            at_most: bar.at_most,
            runs: Vec::new(),
        });
        SuiteData {
            name: self.name.to_owned(),
            columns: self.columns.iter().map(|column| column.owned()).collect(),
            tail_columns: self.tail_columns.iter().map(|column| column.owned()).collect(),
            notes: self.notes.to_owned(),
            runs: Vec::new(),
            rows: rows.collect(),
            primitives: BTreeMap::new(),
            bars: bars.collect(),
        }
    }

    /// Measures once more, and adds the figures to `data`.
    pub(crate) fn run(&self, plan: &Plan, tail_plan: &TailPlan, data: &mut SuiteData) {
        let entered = self.entries.iter().flat_map(|entry| entry.paths.clone());
        let paths: Vec<HotPath> = Primitive::paths().into_iter().chain(entered).collect();
        let measured = plan.measure(&paths);

        let entered: Vec<TailPath> = self.entries.iter().flat_map(|entry| entry.tails.clone()).collect();
        let tails = tail_plan.measure(&entered);

        for (entry, row) in self.entries.iter().zip(&mut data.rows) {
            for column in self.columns {
                let series = measured.get(&column.path_name(entry.name));
                if let Some(spread) = series.and_then(Spread::of) {
                    row.cells.entry(column.to_string()).or_default().push(spread);
                }
            }
            for column in self.tail_columns {
                let name = column.path_name(entry.name);
                if let Some(tail) = tails.iter().find(|tail| tail.name() == name) {
                    row.tails.entry(column.to_string()).or_default().push(tail.into());
                }
            }
        }
        for primitive in Primitive::ALL {
            let series = measured.get(primitive.name()).expect("primitives are measured");
            data.primitives.entry(primitive.name().to_owned()).or_default().extend(Spread::of(series));
        }
        for (bar, found) in self.bars.iter().zip(&mut data.bars) {
            found.runs.extend(bar.judge(&self.entries, &measured));
        }
        data.runs.push(Quality {
            repetitions: measured.iter().map(Series::repetitions).min().unwrap_or(0),
            disturbed: measured.disturbed(),
            disturbed_tails: tails.iter().map(Tail::disturbed).fold(0.0, f64::max),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;

    #[test]
    fn each_run_adds_its_figures_to_the_cells() {
        let suite = crate::retry::suite();
        let patience = Duration::from_secs(2);
        // The canary is for optimised code.
        let calm = f64::INFINITY;
        let plan = Plan { repetitions: 1, sample: Duration::from_micros(20), patience, calm };
        let tail_plan = TailPlan { rounds: 1, ..TAIL_PLAN };
        let mut data = suite.blank();
        for _ in 0..2 {
            suite.run(&plan, &tail_plan, &mut data);
        }
        assert_eq!((data.runs.len(), data.rows.len()), (2, suite.entries.len()));
        for row in &data.rows {
            for column in suite.columns.iter().filter(|column| column.work || row.kind != Kind::Floor) {
                // None of a run in which every sample was disturbed, as happens beside other tests.
                let Some(figures) = row.cells.get(&column.to_string()) else { continue };
                assert!(figures.len() <= 2, "{}, {column}", row.contender);
                assert!(figures.iter().all(|figure| figure.median > 0.0), "{}, {column}", row.contender);
            }
            for column in suite.tail_columns {
                let laps: Vec<u64> = row.tails[&column.to_string()].iter().map(|cell| cell.laps).collect();
                assert_eq!(laps[0], laps[1], "{}, {column}", row.contender);
                assert!(laps[0] > 1_000, "{}, {column}", row.contender);
            }
        }
        assert!(data.bars.iter().all(|bar| bar.runs.len() <= 2));
    }
}
