//! Fusewire beside its peers: one body, one run, interleaved, medians.
//!
//! `cargo run --release -p peers` prints the tables and the bars of all suites, `-- limit` those of one; with
//! `-- --check` it fails where a bar is missed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures: wall time")]

mod breaker;
mod limit;
mod suite;

use std::process::ExitCode;

use suite::Suite;

const SUITES: [(&str, fn() -> Suite); 2] = [("breaker", breaker::suite), ("limit", limit::suite)];

fn main() -> ExitCode {
    let mut check = false;
    let mut wanted = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            "all" => wanted.extend(SUITES),
            name => match SUITES.iter().find(|(suite, _)| *suite == name) {
                Some(suite) => wanted.push(*suite),
                None => {
                    eprintln!("peers: {name:?} is no suite; there are breaker, limit and all, and --check");
                    return ExitCode::FAILURE;
                }
            },
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
