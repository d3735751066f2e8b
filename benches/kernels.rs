//! The kernels beside their portable twins, at every level of this machine, and the bars that they are held to.
//!
//! `cargo bench --bench kernels` prints one table for each level; with `-- --check` it fails if the level that
//! programs get on this machine misses a bar.
#![allow(clippy::disallowed_methods, reason = "it measures: wall time")]

#[path = "simd/data.rs"]
mod data;

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use data::{BREAKERS, Row, SLOTS};
use fusewire::simd::Kernels;
use fusewire_harness::{HotPath, Machine, Measurements, Plan};

/// Something to measure, and the most that the kernel may take of its twin.
struct Case {
    name: String,
    bar: Option<f64>,
    body: Box<dyn Fn(Kernels) -> Body>,
}

type Body = Box<dyn Fn(u64) + Send + Sync>;

impl Case {
    /// `build` makes a body that repeats itself so often, on data of its own.
    fn new<B: Fn(u64) + Send + Sync + 'static>(
        name: impl Into<String>,
        bar: impl Into<Option<f64>>,
        build: impl Fn(Kernels) -> B + 'static,
    ) -> Self {
        let body = move |kernels| -> Body { Box::new(build(kernels)) };
        Self { name: name.into(), bar: bar.into(), body: Box::new(body) }
    }

    fn path_name(&self, kernels: Kernels) -> String {
        format!("{}, {}", self.name, kernels.name())
    }

    fn path(&self, kernels: Kernels) -> HotPath {
        HotPath::batch(self.path_name(kernels), (self.body)(kernels))
    }
}

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--list") {
        // A test runner asks for tests by name, of which there are none.
        return ExitCode::SUCCESS;
    }
    let cases = cases();
    let levels = Kernels::available();
    let paths: Vec<HotPath> =
        cases.iter().flat_map(|case| levels.iter().map(|kernels| case.path(*kernels))).collect();
    if !env::args().any(|argument| argument == "--bench") {
        // Built without optimisation by `cargo test`: only that everything runs.
        let plan = Plan { repetitions: 1, sample: Duration::from_micros(50), ..Plan::default() };
        report(&cases, &levels, &plan.measure(&paths));
        return ExitCode::SUCCESS;
    }
    let measured = Plan::default().measure(&paths);
    println!("{}\n{measured}\n", Machine::here());
    let missed = report(&cases, &levels, &measured);
    if missed > 0 && env::args().any(|argument| argument == "--check") {
        eprintln!("kernels: {missed} bars missed by {}", Kernels::detect().name());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Prints a table for each level and gives how many bars the last one, which is what programs get, misses.
fn report(cases: &[Case], levels: &[Kernels], measured: &Measurements) -> usize {
    let mut missed = 0;
    for kernels in levels.iter().filter(|kernels| kernels.name() != "portable") {
        missed = 0;
        println!("{:<44} {:>10} {:>10} {:>6} {:>5}", kernels.name(), "kernel ns", "twin ns", "ratio", "bar");
        for case in cases {
            let name = |kernels| case.path_name(kernels);
            let series = |kernels| measured.get(&name(kernels)).expect("every path is measured");
            let (kernel, twin) = (series(*kernels), series(Kernels::portable()));
            let ratio = kernel.ratio(twin);
            let bar = case.bar.map_or(String::new(), |bar| {
                let met = ratio <= bar;
                missed += usize::from(!met);
                format!("{bar:>5.2} {}", if met { "met" } else { "MISSED" })
            });
            println!(
                "{:<44} {:>10.1} {:>10.1} {ratio:>6.3} {bar}",
                case.name,
                kernel.median(),
                twin.median()
            );
        }
        println!();
    }
    missed
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (quantiles, bar) in [(1, None), (5, Some(0.35)), (20, Some(0.35))] {
        cases.push(ranks(SLOTS, quantiles, bar));
    }
    for (placed, offsets, bar) in [("", (0, 0), Some(0.5)), (", not aligned", (16, 48), None)] {
        let name = |operation: &str, slots: usize| format!("{operation} of {slots} slots{placed}");
        cases.push(pair(name("difference", SLOTS), SLOTS, offsets, bar, Kernels::difference));
        cases.push(pair(name("merge", SLOTS), SLOTS, offsets, bar, Kernels::merge));
    }
    cases.push(rows(SLOTS, 2));
    cases.push(rows(SLOTS, 10));
    cases.push(total(SLOTS));
    cases.push(rates(BREAKERS, Some(0.4)));
    cases.push(states(BREAKERS));
    for words in [10, 64] {
        cases.push(ranks(words, 5, None));
        cases.push(pair(format!("merge of {words} slots"), words, (0, 0), None, Kernels::merge));
        cases.push(rows(words, 10));
        cases.push(total(words));
        cases.push(rates(words, None));
        cases.push(states(words));
    }
    cases
}

fn ranks(slots: usize, quantiles: usize, bar: Option<f64>) -> Case {
    Case::new(format!("{quantiles} quantiles of {slots} slots"), bar, move |kernels| {
        let counts = Row::new(&data::histogram(slots, 1), 0);
        let sets = data::ranks(counts.words(), quantiles, 2);
        move |iterations| {
            let mut found = vec![0; quantiles];
            for set in sets.iter().cycle().take(iterations as usize) {
                kernels.ranks(black_box(counts.words()), black_box(set), black_box(&mut found));
            }
        }
    })
}

/// Lets `operation` change one row by another, again and again.
fn pair(
    name: String,
    slots: usize,
    (into, from): (usize, usize),
    bar: Option<f64>,
    operation: fn(Kernels, &mut [u64], &[u64]),
) -> Case {
    Case::new(name, bar, move |kernels| {
        let changed = Mutex::new(Row::new(&data::histogram(slots, 1), into));
        let from = Row::new(&data::histogram(slots, 2), from);
        move |iterations| {
            let mut changed = changed.lock().expect("no panic");
            for _ in 0..iterations {
                operation(kernels, black_box(changed.words_mut()), black_box(from.words()));
            }
        }
    })
}

fn rows(slots: usize, rows: u64) -> Case {
    Case::new(format!("merge of {rows} rows of {slots} slots"), None, move |kernels| {
        let sums = Mutex::new(Row::new(&vec![0; slots], 0));
        let rows: Vec<Row> = (0..rows).map(|seed| Row::new(&data::histogram(slots, seed), 0)).collect();
        move |iterations| {
            let rows: Vec<&[u64]> = rows.iter().map(Row::words).collect();
            let mut sums = sums.lock().expect("no panic");
            for _ in 0..iterations {
                kernels.merge_rows(black_box(sums.words_mut()), black_box(&rows));
            }
        }
    })
}

fn total(words: usize) -> Case {
    Case::new(format!("total of {words} words"), None, move |kernels| {
        let counts = Row::new(&data::histogram(words, 1), 0);
        move |iterations| {
            for _ in 0..iterations {
                black_box(kernels.total(black_box(counts.words())));
            }
        }
    })
}

fn rates(breakers: usize, bar: Option<f64>) -> Case {
    Case::new(format!("rates of {breakers} breakers"), bar, move |kernels| {
        let (calls, failures, _) = data::breakers(breakers, 1);
        let rates = Mutex::new(vec![0.0; breakers]);
        move |iterations| {
            let mut rates = rates.lock().expect("no panic");
            for _ in 0..iterations {
                kernels.rates(black_box(&calls), black_box(&failures), black_box(&mut rates));
            }
        }
    })
}

fn states(breakers: usize) -> Case {
    Case::new(format!("states of {breakers} breakers"), None, move |kernels| {
        let (_, _, states) = data::breakers(breakers, 1);
        move |iterations| {
            for _ in 0..iterations {
                black_box(kernels.states(black_box(&states)));
            }
        }
    })
}
