//! The direction of imports inside the engine: each room uses those below it and no others.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms by floor, the lowest first. A room may use its own files and the rooms of lower floors.
const FLOORS: [&[&str]; 6] = [
    &["sync"],
    &["word", "clock", "tally", "error", "simd"],
    &["window", "observe", "stats"],
    &["breaker", "limit", "retry"],
    &["registry"],
    &["stack"],
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The code of a file, without its comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.enumerate().map(|(index, line)| (index + 1, line))
}

/// What comes after each occurrence of `pattern` that begins a path.
fn after<'a>(line: &'a str, pattern: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(pattern).filter_map(move |(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        starts.then(|| &line[at + pattern.len()..])
    })
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Everything in a file of the engine that breaks a rule. `file` is its path below src.
fn violations(file: &str, text: &str) -> Vec<String> {
    let room = file.split(['/', '.']).next().unwrap_or_default();
    let mut found = Vec::new();
    let mut say = |line: usize, what: String| found.push(format!("src/{file}:{line}: {what}"));
    for (number, line) in code(text) {
        if file != "lib.rs" {
            for path in after(line, "crate::") {
                match (floor(word(path)), floor(room)) {
                    (Some(used), Some(own)) if used < own || word(path) == room => {}
                    (None, _) => say(number, format!("uses crate::{}, which is no room", word(path))),
                    _ => say(number, format!("{room} uses {}, which is not below it", word(path))),
                }
            }
            if line.contains("super::super") {
                say(number, "climbs out of its room".into());
            }
        }
        if file != "sync.rs" && ["sync::atomic", "loom::sync"].iter().any(|door| line.contains(door)) {
            say(number, "names atomics past the door of sync".into());
        }
        // Words are pure: only their cell may touch an atomic.
        if room == "word" && file != "word/cell.rs" {
            for name in ["Atomic", "Ordering", "fence"] {
                if after(line, name).next().is_some() {
                    say(number, format!("a pure word names {name}"));
                }
            }
        }
        if room != "clock" && ["Instant::now", "SystemTime::now", "quanta::"].iter().any(|c| line.contains(c))
        {
            say(number, "reads a clock past the clocks".into());
        }
    }
    found
}

/// All Rust files below a folder, with their paths relative to it.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(folder).expect("below the folder");
                let name = relative.to_str().expect("a name of letters").replace('\\', "/");
                found.push((name, fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    found
}

fn below(folder: &str) -> Vec<(String, String)> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

#[test]
fn imports_point_down_only() {
    let engine = below("src");
    assert!(engine.len() > 20, "the engine was not found");
    let found: Vec<String> = engine.iter().flat_map(|(file, text)| violations(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_room_has_a_floor() {
    for (file, _) in below("src") {
        let room = file.split(['/', '.']).next().unwrap_or_default();
        assert!(file == "lib.rs" || floor(room).is_some(), "{file} belongs to no floor");
    }
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("word/breaker.rs", "use crate::clock::Clock;"),
        ("word.rs", "    let x = crate::breaker::core::Core::new();"),
        ("window.rs", "use crate::observe::Event;"),
        ("breaker/core.rs", "use crate::registry::Registry;"),
        ("observe/events.rs", "use crate::{breaker::CircuitBreaker};"),
        ("breaker.rs", "use crate::CircuitBreakerConfig;"),
        ("breaker/core.rs", "use super::super::registry::Registry;"),
        ("tally.rs", "use std::sync::atomic::AtomicU64;"),
        ("tally.rs", "use loom::sync::Mutex;"),
        ("word/hung.rs", "use crate::sync::{AtomicU64, Mutant};"),
        ("word/tagged.rs", "    self.0.load(Ordering::Relaxed)"),
        ("breaker/core.rs", "let now = std::time::Instant::now();"),
        ("error.rs", "let now = SystemTime::now();"),
        ("limit.rs", "use crate::breaker::CircuitBreaker;"),
        ("retry/budget.rs", "use crate::limit::Limiter;"),
    ];
    for (file, line) in planted {
        assert_eq!(violations(file, line).len(), 1, "in {file}: {line}");
    }
    let allowed = [
        ("registry.rs", "use crate::breaker::CircuitBreaker;"),
        ("breaker/core.rs", "use crate::window::Window; // once crate::registry"),
        ("breaker/core.rs", "pub(crate) fn word(&self) -> super::Word {"),
        ("word/cell.rs", "use crate::sync::{Atomic, Ordering};"),
        ("clock.rs", "let clock = quanta::Clock::new();"),
        ("lib.rs", "pub use crate::registry::Registry;"),
        ("word.rs", "/// See `crate::breaker`."),
    ];
    for (file, line) in allowed {
        assert_eq!(violations(file, line), [""; 0], "in {file}: {line}");
    }
}

#[test]
fn no_test_sleeps() {
    for folder in ["tests", "src", "fuzz/bodies"] {
        for (file, text) in below(folder) {
            // A retry is there to wait; its tests bring sleepers of their own.
            if (folder, &*file) == ("src", "retry/call.rs") {
                continue;
            }
            // In two parts, so that this line is not found.
            let sleeps = ["thread::", "sleep"].concat();
            let found = code(&text).find(|(_, line)| line.contains(&sleeps));
            assert!(found.is_none(), "{folder}/{file}: {found:?}");
        }
    }
}
