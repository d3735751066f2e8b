//! How a contender takes part: its name, its kind, and its loop in each column.

use fusewire_harness::{HotPath, TailPath};
use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::versions::crate_of;
use crate::work;

/// In which role a row stands in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Ours,
    Peer,
    /// A peer that does something else than the others: it counts in no bar.
    OtherRule,
    /// The loop with nothing in it.
    Floor,
}

impl Kind {
    /// The kind of a contender by its name, and by whether it does the same as the others.
    pub(crate) fn of(name: &str, same: bool) -> Self {
        match (crate_of(name) == "fusewire", same) {
            (true, _) => Self::Ours,
            (false, true) => Self::Peer,
            (false, false) => Self::OtherRule,
        }
    }
}

/// A contender in the state of a column: the one loop that all of its columns run.
pub(crate) trait Body: Send + Sync + 'static {
    /// Repeats the operation so often, each time after `between`, and looks that it did what it should.
    fn run(&self, times: u64, between: impl FnMut());
}

/// A contender's paths, one for each column that it has.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) paths: Vec<HotPath>,
    pub(crate) tails: Vec<TailPath>,
}

impl Entry {
    /// Builds a body for each column of `columns` and, for single laps, of `tails`.
    pub(crate) fn new<B: Body>(
        name: &'static str,
        kind: Kind,
        columns: impl IntoIterator<Item = Column>,
        tails: impl IntoIterator<Item = Column>,
        body: impl Fn(Column) -> B,
    ) -> Self {
        let path = |column: Column| {
            let (name, body) = (column.path_name(name), body(column));
            let path = if column.work {
                let rounds = work::rounds();
                HotPath::batch(name, move |times| body.run(times, || work::run(rounds)))
            } else {
                HotPath::batch(name, move |times| body.run(times, || ()))
            };
            path.threads(column.threads)
        };
        let tail = |column: Column| {
            let (name, body) = (column.path_name(name), body(column));
            TailPath::new(name, move |times, laps| body.run(times, || laps.lap())).threads(column.threads)
        };
        Self {
            name,
            kind,
            paths: columns.into_iter().map(path).collect(),
            tails: tails.into_iter().map(tail).collect(),
        }
    }

    /// The work with nothing between, and the reading of the counter with nothing between. Where others share a
    /// contender, these run on as many threads and share nothing.
    pub(crate) fn floor(columns: &[Column], tails: &[Column]) -> Self {
        let work = columns.iter().copied().filter(|column| column.work);
        Self::new("nothing", Kind::Floor, work, tails.iter().copied(), |_| Nothing)
    }
}

/// No operation.
struct Nothing;

impl Body for Nothing {
    #[inline(always)]
    fn run(&self, times: u64, mut between: impl FnMut()) {
        for _ in 0..times {
            between();
        }
    }
}
