//! Fusewire's breaker beside its peers: one body, one run, interleaved, medians.
//!
//! `cargo run --release -p peers` prints the table and the bars; with `-- --check` it fails where a bar is missed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures: wall time")]

mod bars;
mod contender;
mod ours;
mod peers;

use std::process::ExitCode;

use fusewire_harness::{HotPath, Machine, Measurements, Plan, Primitive};

use bars::{BARS, Verdict};
use contender::{COLUMNS, Entry, enter, path_name};

fn main() -> ExitCode {
    let entries = [
        enter::<ours::Permits>(bars::FUSEWIRE),
        enter::<ours::Calls>(bars::CALL),
        enter::<ours::Windowed>(bars::WINDOWED),
        enter::<ours::Precise>(bars::PRECISE),
        enter::<peers::Failsafe>("failsafe"),
        enter::<peers::FailsafeSteps>("failsafe, stepwise"),
        enter::<peers::CircuitBreaker>("circuit_breaker"),
        enter::<peers::CircuitBreakerExecute>("circuit_breaker, execute *"),
        enter::<peers::Nobreak>("nobreak"),
        enter::<peers::Recloser>("recloser"),
        enter::<peers::CircuitBreakerRs>("circuitbreaker-rs"),
        enter::<peers::TowerResilience>("tower-resilience"),
    ];
    let paths: Vec<HotPath> =
        Primitive::paths().into_iter().chain(entries.iter().flat_map(|entry| entry.paths.clone())).collect();

    let measured = Plan::default().measure(&paths);
    println!("{}\n{measured}", Machine::here());
    println!("medians in ns per operation of each thread (p10..p90)\n");
    print_table(&entries, &measured);

    let verdicts: Vec<Verdict> = BARS.iter().map(|bar| bar.judge(&entries, &measured)).collect();
    for verdict in &verdicts {
        println!("{verdict}");
    }
    let check = std::env::args().any(|argument| argument == "--check");
    if check && !verdicts.iter().all(Verdict::met) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_table(entries: &[Entry], measured: &Measurements) {
    print!("{:26}", "");
    for (column, _) in COLUMNS {
        print!("  {column:>24}");
    }
    println!();
    for entry in entries {
        print!("{:26}", entry.name);
        for (column, _) in COLUMNS {
            print!("  {}", cell(measured, &path_name(entry.name, column)));
        }
        println!();
    }
    println!("* never forgets failures while closed: not the consecutive rule, not in the bars\n");
    for primitive in Primitive::ALL {
        println!("{:26}  {}", primitive.name(), cell(measured, primitive.name()));
    }
    println!();
}

fn cell(measured: &Measurements, path: &str) -> String {
    let series = measured.get(path).expect("every path is measured");
    let spread = format!("({:.1}..{:.1})", series.quantile(0.1), series.quantile(0.9));
    format!("{:>8.2} {spread:>15}", series.median())
}
