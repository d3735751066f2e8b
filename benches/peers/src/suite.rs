//! What all suites have in common: who takes part, the table, and the bars.

use std::sync::OnceLock;
use std::time::Duration;

use fusewire::Clock;
use fusewire_harness::{HotPath, Machine, Measurements, Plan, Primitive};

/// Contenders that do the same, and what we hold ourselves to among them.
pub(crate) struct Suite {
    /// What is compared.
    pub(crate) columns: &'static [&'static str],
    pub(crate) entries: Vec<Entry>,
    pub(crate) bars: &'static [Bar],
    /// Printed below the table.
    pub(crate) notes: String,
}

/// How a contender is entered: its name and its paths, one for each column that it has.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Whether it counts among the peers of a bar: whether it does the same as the others.
    pub(crate) in_bars: bool,
    pub(crate) paths: Vec<HotPath>,
}

impl Entry {
    fn ours(&self) -> bool {
        self.name.starts_with("fusewire")
    }
}

/// The name of a contender's path in a column.
pub(crate) fn path_name(contender: &str, column: &str) -> String {
    format!("{contender}, {column}")
}

/// One clock for all: its thread should be as idle here as in a program.
pub(crate) fn coarse() -> Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| Clock::coarse(Duration::from_millis(1)).expect("a thread for the clock")).clone()
}

/// One promise: a path of ours takes at most `at_most` of another in the same column.
pub(crate) struct Bar {
    pub(crate) ours: &'static str,
    pub(crate) column: &'static str,
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

/// How a bar was met.
struct Verdict<'a> {
    bar: &'a Bar,
    against: &'a str,
    ratio: f64,
    disturbed: f64,
}

impl Verdict<'_> {
    fn met(&self) -> bool {
        self.ratio <= self.bar.at_most
    }
}

impl Suite {
    /// Measures and prints; whether all bars were met.
    pub(crate) fn run(&self) -> bool {
        let entered = self.entries.iter().flat_map(|entry| entry.paths.clone());
        let paths: Vec<HotPath> = Primitive::paths().into_iter().chain(entered).collect();
        let measured = Plan::default().measure(&paths);
        println!("{}\n{measured}", Machine::here());
        println!("medians in ns per operation of each thread (p10..p90)\n");
        self.print_table(&measured);

        let verdicts: Vec<Verdict> = self.bars.iter().map(|bar| self.judge(bar, &measured)).collect();
        print_verdicts(&verdicts);
        verdicts.iter().all(Verdict::met)
    }

    fn print_table(&self, measured: &Measurements) {
        print!("{:26}", "");
        for column in self.columns {
            print!("  {column:>24}");
        }
        println!();
        for entry in &self.entries {
            let mut row = format!("{:26}", entry.name);
            for column in self.columns {
                row += "  ";
                row += &cell(measured, &path_name(entry.name, column));
            }
            println!("{}", row.trim_end());
        }
        println!("{}\n", self.notes);
        for primitive in Primitive::ALL {
            println!("{:26}  {}", primitive.name(), cell(measured, primitive.name()));
        }
        println!();
    }

    /// Judges a bar by what was measured. Peers that do something else do not count.
    fn judge<'a>(&'a self, bar: &'a Bar, measured: &Measurements) -> Verdict<'a> {
        let series =
            |name: &str| measured.get(&path_name(name, bar.column)).expect("what a bar names is measured");
        let against = match bar.against {
            Against::Row(name) => name,
            Against::FastestPeer => {
                let peers = self.entries.iter().filter(|entry| entry.in_bars && !entry.ours());
                let medians = peers.map(|entry| (entry.name, series(entry.name).median()));
                medians.min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are peers").0
            }
        };
        let (ours, theirs) = (series(bar.ours), series(against));
        let disturbed = ours.disturbed().max(theirs.disturbed());
        Verdict { bar, against, ratio: ours.ratio(theirs), disturbed }
    }
}

fn cell(measured: &Measurements, path: &str) -> String {
    let Some(series) = measured.get(path) else { return " ".repeat(24) };
    let spread = format!("({:.1}..{:.1})", series.quantile(0.1), series.quantile(0.9));
    format!("{:>8.2} {spread:>15}", series.median())
}

fn print_verdicts(verdicts: &[Verdict]) {
    let widest = |text: fn(&Bar) -> &str| {
        verdicts.iter().map(|verdict| text(verdict.bar).len()).max().unwrap_or_default()
    };
    let (columns, names) = (widest(|bar| bar.column), widest(|bar| bar.ours));
    for verdict in verdicts {
        let &Verdict { bar, against, ratio, disturbed } = verdict;
        let Bar { ours, column, at_most, .. } = bar;
        let word = if verdict.met() { "met" } else { "MISSED" };
        print!("{word:6}  {column:columns$}  {ours:names$} takes {ratio:.3} of {against}, at most {at_most}");
        if disturbed > 0.1 {
            print!(" (weak: {:.0} % of the samples were disturbed)", disturbed * 100.0);
        }
        println!();
    }
    println!();
}
