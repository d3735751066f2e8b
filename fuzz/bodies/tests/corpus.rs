//! The committed corpus of each fuzz target, on any toolchain.

use std::fs;
use std::path::Path;

use fusewire_fuzz_bodies::{ALL, Body};

/// Runs the body over every file of its corpus; gives how many there were.
fn run(name: &str, body: Body) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let entries = fs::read_dir(&folder).expect("the corpus folder is committed");
    let files = entries.map(|entry| entry.expect("a readable folder").path()).filter(|path| path.is_file());
    files
        .map(|file| {
            // Shown when the body panics.
            println!("{}", file.display());
            body(&fs::read(&file).expect("a readable file"));
        })
        .count()
}

fn run_target(name: &str) {
    let (name, body) = *ALL.iter().find(|(target, _)| *target == name).expect("a body of this name");
    assert_ne!(run(name, body), 0, "the corpus of {name} is empty");
}

#[test]
fn the_breaker_agrees_with_its_twin() {
    run_target("breaker");
}

#[test]
fn the_window_agrees_with_its_list() {
    run_target("window");
}

#[test]
fn hung_calls_are_found_as_promised() {
    run_target("hung");
}

#[test]
fn retries_decide_as_documented() {
    run_target("retry");
}

#[test]
fn the_budget_agrees_with_an_exact_account() {
    run_target("budget");
}

#[test]
fn sliding_windows_agree_with_a_list_of_admissions() {
    run_target("sliding");
}

#[test]
fn the_bucket_agrees_with_exact_arithmetic() {
    run_target("bucket");
}

#[test]
fn every_level_agrees_with_the_definitions() {
    run_target("simd");
}

#[test]
fn every_body_has_a_target_and_a_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, _) in ALL {
        assert!(fuzz.join("fuzz_targets").join(name).with_extension("rs").is_file(), "no target {name}");
        assert!(fuzz.join("corpus").join(name).is_dir(), "no corpus {name}");
    }
}

#[test]
fn latencies_are_told_as_exactly_as_promised() {
    run_target("latency");
}
