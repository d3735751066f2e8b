//! What we hold ourselves to among the peers.

use fusewire_harness::{Measurements, Series};

use crate::column::Column;
use crate::data::Judged;
use crate::entry::{Entry, Kind};

/// One promise: a path of ours takes at most `at_most` of another in the same column.
pub(crate) struct Bar {
    pub(crate) ours: &'static str,
    pub(crate) column: Column,
    pub(crate) against: Against,
    pub(crate) at_most: f64,
}

#[derive(Clone, Copy)]
pub(crate) enum Against {
    /// The fastest peer in that column.
    FastestPeer,
    /// Another row.
    Row(&'static str),
}

impl Against {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FastestPeer => "the fastest peer",
            Self::Row(name) => name,
        }
    }
}

impl Bar {
    /// How it came out in one run, if there are samples to tell. Peers that do something else than the others do not count.
    pub(crate) fn judge(&self, entries: &[Entry], measured: &Measurements) -> Option<Judged> {
        let series = |name: &str| -> &Series {
            measured.get(&self.column.path_name(name)).expect("what a bar names is measured")
        };
        let against = match self.against {
            Against::Row(name) => name,
            Against::FastestPeer => {
                let peers = entries.iter().filter(|entry| entry.kind == Kind::Peer);
                let medians = peers.map(|entry| (entry.name, series(entry.name).median()));
                medians.min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are peers").0
            }
        };
        let (ours, theirs) = (series(self.ours), series(against));
        let ratio = ours.ratio(theirs);
        ratio.is_finite().then(|| Judged {
            ratio,
            against: against.to_owned(),
            disturbed: ours.disturbed().max(theirs.disturbed()),
        })
    }
}
