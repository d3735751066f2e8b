//! A column of a table: what is compared.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a contender does in a column, on how many threads, and with what in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column<Case = &'static str> {
    /// The state that it is in, or what it answers.
    pub(crate) case: Case,
    pub(crate) threads: usize,
    /// Whether each thread does 200 ns of work of its own before each operation. Without, the loop is the operation,
    /// again and again.
    pub(crate) work: bool,
}

impl Column {
    pub(crate) const fn new(case: &'static str, threads: usize) -> Self {
        Self { case, threads, work: false }
    }

    pub(crate) const fn with_work(case: &'static str, threads: usize) -> Self {
        Self { case, threads, work: true }
    }

    /// The name of a contender's path in this column.
    pub(crate) fn path_name(self, contender: &str) -> String {
        format!("{contender}, {self}")
    }

    pub(crate) fn owned(self) -> Column<String> {
        Column { case: self.case.to_owned(), threads: self.threads, work: self.work }
    }
}

impl<Case: fmt::Display> fmt::Display for Column<Case> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}T{}", self.case, self.threads, if self.work { " + work" } else { "" })
    }
}
