//! The summary as text: headings, notes and tables, one column for each run.

use std::fmt::Write as _;

use crate::ink::{Ink, Line};
use crate::table::Table;

pub(crate) const ROOM: usize = 100;
/// A note is broken at this column.
const NOTE: usize = 88;

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

    pub(crate) fn table(&mut self, table: &Table) {
        self.blank();
        self.line(|mut line| {
            line = line.put(Ink::Bold, format!("{:<46}", table.title));
            for column in &table.columns {
                line = line.put(Ink::Bold, format!("{column:>14}"));
            }
            line
        });
        for row in &table.rows {
            let name = format!("{:indent$}{}", "", row.name, indent = 2 + 2 * row.depth);
            self.line(|mut line| {
                line = line.put(Ink::Plain, format!("{name:<46}"));
                for figure in &row.figures {
                    line = line.put(row.ink, format!("{:>14}", figure.text()));
                }
                line
            });
        }
        for note in &table.notes {
            self.note(2, note);
        }
    }

    /// A note, set in and broken into lines.
    pub(crate) fn note(&mut self, indent: usize, text: &str) {
        let mut written = String::new();
        for word in text.split(' ') {
            if !written.is_empty() && indent + written.chars().count() + 1 + word.chars().count() > NOTE {
                let line = std::mem::take(&mut written);
                self.line(|it| it.to(indent).put(Ink::Faint, line));
            }
            if !written.is_empty() {
                written.push(' ');
            }
            written.push_str(word);
        }
        self.line(|it| it.to(indent).put(Ink::Faint, written));
    }
}
