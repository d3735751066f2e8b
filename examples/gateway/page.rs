//! A page of headings, notes and rows: one column for each run.

use std::fmt::Write as _;

use crate::ink::{Ink, Line, grouped};
use crate::record::Record;
use crate::tally::{Item, Tally};

/// A run and what its threads counted.
pub(crate) type Run = (Record, Tally);

pub(crate) const ROOM: usize = 100;

/// The summary while it is written.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) colour: bool,
}

impl Page {
    pub(crate) fn line(&mut self, make: impl FnOnce(Line) -> Line) {
        let line = make(Line::new(ROOM, self.colour)).text();
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.blank();
        self.line(|line| line.put(Ink::Bold, text));
    }

    /// A row of the comparison: one value for each run.
    pub(crate) fn row(&mut self, name: &str, ink: Ink, runs: &[Run], value: impl Fn(&Run) -> String) {
        let values: Vec<String> = runs.iter().map(value).collect();
        self.values(name, ink, &values);
    }

    /// A row of one count for each run.
    pub(crate) fn count(&mut self, name: &str, ink: Ink, runs: &[Run], item: Item) {
        self.row(name, ink, runs, |run| grouped(run.1.counts[item]));
    }

    /// A row of what one layer has counted.
    pub(crate) fn part(&mut self, name: &str, ink: Ink, count: u64) {
        self.values(name, ink, &[grouped(count)]);
    }

    fn values(&mut self, name: &str, ink: Ink, values: &[String]) {
        self.line(|mut line| {
            line = line.put(Ink::Plain, format!("  {name:<44}"));
            for value in values {
                line = line.put(ink, format!("{value:>14}"));
            }
            line
        });
    }

    /// A heading over columns, one for each run.
    pub(crate) fn columns(&mut self, name: &str, runs: &[Run]) {
        self.blank();
        self.line(|mut line| {
            line = line.put(Ink::Bold, format!("{name:<46}"));
            for (record, _) in runs {
                let which = if record.protection.is_some() { "protected" } else { "unprotected" };
                line = line.put(Ink::Bold, format!("{which:>14}"));
            }
            line
        });
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.line(|line| line.put(Ink::Faint, text));
    }
}
