//! What we hold ourselves to beside the peers.

use std::fmt;

use fusewire_harness::Measurements;

use crate::contender::{Entry, path_name};

/// One promise: a path of ours takes at most `at_most` of another.
pub(crate) struct Bar {
    ours: &'static str,
    column: &'static str,
    against: Against,
    at_most: f64,
}

#[derive(Clone, Copy)]
enum Against {
    /// The fastest peer in that column.
    FastestPeer,
    /// Another of our own rows.
    Own(&'static str),
}

pub(crate) const FUSEWIRE: &str = "fusewire";
pub(crate) const CALL: &str = "fusewire, call";
pub(crate) const PRECISE: &str = "fusewire, precise clock";
pub(crate) const WINDOWED: &str = "fusewire, windowed";

pub(crate) const BARS: [Bar; 8] = [
    Bar { ours: FUSEWIRE, column: "closed 1T", against: Against::FastestPeer, at_most: 0.35 },
    Bar { ours: CALL, column: "closed 1T", against: Against::FastestPeer, at_most: 0.35 },
    Bar { ours: FUSEWIRE, column: "closed 2T", against: Against::FastestPeer, at_most: 0.08 },
    Bar { ours: CALL, column: "closed 2T", against: Against::FastestPeer, at_most: 0.08 },
    Bar { ours: WINDOWED, column: "closed 1T", against: Against::Own(FUSEWIRE), at_most: 2.0 },
    Bar { ours: WINDOWED, column: "closed 2T", against: Against::Own(FUSEWIRE), at_most: 2.0 },
    Bar { ours: FUSEWIRE, column: "open 1T", against: Against::FastestPeer, at_most: 0.15 },
    Bar { ours: FUSEWIRE, column: "open 2T", against: Against::FastestPeer, at_most: 0.15 },
];

/// How a bar was met.
pub(crate) struct Verdict<'a> {
    bar: &'a Bar,
    against: &'a str,
    ratio: f64,
    disturbed: f64,
}

impl Bar {
    /// Judges the bar by what was measured. Peers with another rule do not count.
    pub(crate) fn judge<'a>(&'a self, entries: &'a [Entry], measured: &Measurements) -> Verdict<'a> {
        let series =
            |name: &str| measured.get(&path_name(name, self.column)).expect("every column is measured");
        let against = match self.against {
            Against::Own(name) => name,
            Against::FastestPeer => {
                let peers = entries.iter().filter(|entry| entry.forgets && !entry.ours());
                let medians = peers.map(|entry| (entry.name, series(entry.name).median()));
                medians.min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are peers").0
            }
        };
        let (ours, theirs) = (series(self.ours), series(against));
        Verdict {
            bar: self,
            against,
            ratio: ours.ratio(theirs),
            disturbed: ours.disturbed().max(theirs.disturbed()),
        }
    }
}

impl Verdict<'_> {
    pub(crate) fn met(&self) -> bool {
        self.ratio <= self.bar.at_most
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bar { ours, column, at_most, .. } = self.bar;
        let word = if self.met() { "met" } else { "MISSED" };
        let ratio = self.ratio;
        write!(f, "{word:6}  {column:9}  {ours:18} takes {ratio:.3} of {}, at most {at_most}", self.against)?;
        if self.disturbed > 0.1 {
            write!(f, " (weak: {:.0} % of the samples were disturbed)", self.disturbed * 100.0)?;
        }
        Ok(())
    }
}
