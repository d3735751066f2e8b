//! Fusewire beside its peers: one body, one run, interleaved, medians and tails.
//!
//! `cargo run --release -p peers` prints the tables and the bars of all suites and writes the figures;
//! `cargo run --release -p peers -- report` makes docs/performance.md and its plots from them. `-- --help` tells the
//! rest.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures: wall time")]

mod arguments;
mod bar;
mod breaker;
mod column;
mod data;
mod entry;
mod figure;
mod gate;
mod limit;
mod plot;
mod report;
mod retry;
mod suite;
mod table;
mod tables;
mod versions;
mod work;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use fusewire_harness::Machine;

use arguments::{Command, Measure, Report};
use data::Data;
use suite::Suite;

fn main() -> ExitCode {
    let done = match arguments::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{}", arguments::HELP);
            Ok(true)
        }
        Ok(Command::Measure(asked)) => measure(&asked),
        Ok(Command::Report(asked)) => report(&asked).map(|()| true),
        Err(error) => {
            eprintln!("peers: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints and writes; whether what was asked for held.
fn measure(asked: &Measure) -> Result<bool, Box<dyn Error>> {
    let out = asked.out.clone().unwrap_or_else(default_data);
    let suites: Vec<Suite> = asked.suites.iter().map(|(_, suite)| suite()).collect();
    let contenders = suites.iter().flat_map(|suite| &suite.entries);
    let mut data = Data {
        place: Machine::here().into(),
        versions: versions::of(contenders.map(|entry| versions::crate_of(entry.name))),
        loads: Vec::new(),
        work_rounds: work::rounds(),
        suites: suites.iter().map(Suite::blank).collect(),
        gate: None,
    };
    for run in 1..=asked.runs {
        data.loads.push(Machine::here().load);
        for (suite, found) in suites.iter().zip(&mut data.suites) {
            eprintln!("run {run} of {}: {}", asked.runs, suite.name);
            suite.run(&suite::plan(), &suite::TAIL_PLAN, found);
        }
    }
    fs::write(&out, data.to_text()).map_err(|error| named(&out, &error))?;
    println!("{}", tables::everything(&data));
    println!("The figures are in {}.", out.display());
    let met = data.suites.iter().flat_map(|suite| &suite.bars).all(data::BarData::met);
    Ok(met || !asked.check)
}

/// Writes the page, its plots and their data.
fn report(asked: &Report) -> Result<(), Box<dyn Error>> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| named(path, &error));
    let parse = |path: &Path| Data::parse(&read(path)?).map_err(|error| named(path, &error));
    let mut data = parse(&asked.data.clone().unwrap_or_else(default_data))?;
    if let Some(path) = &asked.gate {
        data.gate = Some(gate::GateTable::parse(&read(path)?).map_err(|error| named(path, &error))?);
    } else if data.gate.is_none() {
        // What the page has shown so far.
        data.gate = parse(&docs().join(report::DATA))?.gate;
    }
    for page in report::pages(&data)? {
        let path = docs().join(page.file);
        fs::write(&path, page.text).map_err(|error| named(&path, &error))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn named(path: &Path, error: &dyn Error) -> String {
    format!("{}: {error}", path.display())
}

/// The book of the tree that this was built in.
fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Beside the build, wherever that is.
fn default_data() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program.ancestors().nth(2).filter(|folder| folder.is_dir());
    target.unwrap_or(Path::new("target")).join("peers.json")
}
