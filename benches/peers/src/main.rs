//! Fusewire beside its peers: one body, one run, interleaved, medians.
//!
//! `cargo run --release -p peers` prints the tables and the bars of all suites, `-- limit` those of one; with
//! `-- --check` it fails where a bar is missed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures: wall time")]

mod breaker;
mod limit;
mod retry;
mod suite;

use std::process::ExitCode;

use suite::Suite;

type Named = (&'static str, fn() -> Suite);

const SUITES: [Named; 3] = [("breaker", breaker::suite), ("limit", limit::suite), ("retry", retry::suite)];

fn main() -> ExitCode {
    let mut check = false;
    let mut wanted = Vec::new();
    for argument in std::env::args().skip(1) {
        if argument == "--check" {
            check = true;
        } else if argument == "all" {
            wanted.extend(SUITES);
        } else if let Some(suite) = SUITES.iter().find(|(name, _)| *name == argument) {
            wanted.push(*suite);
        } else {
            eprintln!(
                "peers: {argument:?} is no suite; there are breaker, limit, retry and all, and --check"
            );
            return ExitCode::FAILURE;
        }
    }
    if wanted.is_empty() {
        wanted.extend(SUITES);
    }
    let mut met = true;
    for (_, suite) in wanted {
        met &= suite().run();
    }
    if check && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
