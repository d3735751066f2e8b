//! The tables of the summary: what is compared, a column for each run, before it becomes text or a page.

use std::time::Duration;

use crate::ink::Ink;
use crate::record::Record;
use crate::spell::{grouped, short};
use crate::tally::{Item, Tally};

/// A run and what its threads counted.
pub(crate) type Run = (Record, Tally);

/// What stands in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Count(u64),
    Time(Duration),
    /// There is nothing to tell: no order took this way.
    Nothing,
}

impl Figure {
    pub(crate) fn text(self) -> String {
        match self {
            Self::Count(count) => grouped(count),
            Self::Time(time) => short(time),
            Self::Nothing => "-".into(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Row {
    /// How far it is set in: it is part of the row above that is less so.
    pub(crate) depth: usize,
    pub(crate) name: String,
    pub(crate) ink: Ink,
    /// Where a run's data of `--json` have it.
    pub(crate) path: String,
    /// One for each column.
    pub(crate) figures: Vec<Figure>,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

/// How a run is called wherever it stands beside the other.
pub(crate) fn run_name(record: &Record) -> &'static str {
    if record.protection.is_some() { "protected" } else { "unprotected" }
}

impl Table {
    /// A column for each run.
    pub(crate) fn of_runs(title: &str, runs: &[Run]) -> Self {
        let columns = runs.iter().map(|(record, _)| run_name(record)).collect();
        Self { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// One column, which the title is enough for.
    pub(crate) fn of_layer(title: &str) -> Self {
        Self { title: title.into(), columns: Vec::new(), rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn row(&mut self, at: (usize, &str, Ink), path: impl Into<String>, figures: Vec<Figure>) {
        let (depth, name, ink) = at;
        self.rows.push(Row { depth, name: name.into(), ink, path: path.into(), figures });
    }

    /// A row of one count for each run.
    pub(crate) fn count(&mut self, at: (usize, &str, Ink), path: &str, runs: &[Run], item: Item) {
        self.row(at, path, runs.iter().map(|(_, tally)| Figure::Count(tally.counts[item])).collect());
    }

    /// A row of what one layer has counted.
    pub(crate) fn part(&mut self, at: (usize, &str, Ink), path: impl Into<String>, count: u64) {
        self.row(at, path, vec![Figure::Count(count)]);
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}
