//! The command line: every value is checked here, before anything is measured.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::suite::Suite;
use crate::{breaker, limit, retry};

pub(crate) const HELP: &str = "\
Measures Fusewire beside other libraries: the same loops for all, interleaved. Three runs take two to four minutes.

usage: cargo run --release -p peers -- [SUITE...] [options]
       cargo run --release -p peers -- report [--data FILE] [--gate FILE]

SUITE is breaker, limit, retry or all (the default).

  --runs N      how often everything is measured, 1 to 99 (default 3); tables show the medians of the runs
  --check       fail if a bar is missed by the median of the runs
  --out FILE    where the figures go (default: peers.json in the build's target folder)
  --help        this text

report makes docs/performance.md and its plots from figures of all suites, and keeps the figures beside them.

  --data FILE   the figures (default: peers.json in the build's target folder)
  --gate FILE   what `cargo bench --bench gate` wrote, as a rule target/gate.json (default: what the page shows now)

Exit code: 0 done, 1 a bar was missed or a file cannot be used, 2 bad arguments.
";

pub(crate) type Named = (&'static str, fn() -> Suite);

const SUITES: [Named; 3] = [("breaker", breaker::suite), ("limit", limit::suite), ("retry", retry::suite)];

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Measure(Measure),
    Report(Report),
}

#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) suites: Vec<Named>,
    pub(crate) runs: usize,
    pub(crate) check: bool,
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) data: Option<PathBuf>,
    pub(crate) gate: Option<PathBuf>,
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(arguments);
    let mut asked = Measure { suites: Vec::new(), runs: 3, check: false, out: None };
    let mut first = true;
    while let Some(argument) = parser.next().map_err(text)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("runs") => asked.runs = runs(&parser.value().map_err(text)?)?,
            Arg::Long("check") => asked.check = true,
            Arg::Long("out") => asked.out = Some(parser.value().map_err(text)?.into()),
            Arg::Value(word) if first && word == "report" => return report(parser),
            Arg::Value(word) if word == "all" => asked.suites = SUITES.to_vec(),
            Arg::Value(word) => {
                let suite = SUITES.iter().find(|(name, _)| word == *name).ok_or_else(|| {
                    format!(
                        "{:?} is no suite; there are breaker, limit, retry and all, and before them report",
                        word.display()
                    )
                })?;
                if !asked.suites.iter().any(|(name, _)| *name == suite.0) {
                    asked.suites.push(*suite);
                }
            }
            other => return Err(unknown(&other, "--runs, --check, --out and --help")),
        }
        first = false;
    }
    if asked.suites.is_empty() {
        asked.suites = SUITES.to_vec();
    }
    Ok(Command::Measure(asked))
}

fn report(mut parser: Parser) -> Result<Command, String> {
    let mut asked = Report::default();
    while let Some(argument) = parser.next().map_err(text)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("data") => asked.data = Some(parser.value().map_err(text)?.into()),
            Arg::Long("gate") => asked.gate = Some(parser.value().map_err(text)?.into()),
            other => return Err(unknown(&other, "--data, --gate and --help")),
        }
    }
    Ok(Command::Report(asked))
}

fn runs(value: &OsString) -> Result<usize, String> {
    let number = value.to_str().and_then(|value| value.parse().ok()).filter(|runs| (1..=99).contains(runs));
    number.ok_or_else(|| format!("--runs {}: not a whole number from 1 to 99", value.display()))
}

fn unknown(argument: &Arg<'_>, allowed: &str) -> String {
    match argument {
        Arg::Long(name) => format!("there is no --{name}; there are {allowed}"),
        Arg::Short(letter) => format!("there is no -{letter}; there are {allowed}"),
        Arg::Value(word) => format!("{:?} is not understood here; there are {allowed}", word.display()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn text(error: lexopt::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn measure(line: &str) -> Measure {
        match parsed(line) {
            Ok(Command::Measure(asked)) => asked,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn names(asked: &Measure) -> Vec<&str> {
        asked.suites.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn without_a_word_all_suites_run_three_times() {
        let asked = measure("");
        assert_eq!((names(&asked), asked.runs), (vec!["breaker", "limit", "retry"], 3));
        assert!(!asked.check && asked.out.is_none());
        assert_eq!(names(&measure("limit all")).len(), 3);
    }

    #[test]
    fn options_may_stand_anywhere() {
        let asked = measure("--check limit --runs=2 --out a.json breaker limit");
        assert_eq!((names(&asked), asked.runs, asked.check), (vec!["limit", "breaker"], 2, true));
        assert_eq!(asked.out, Some("a.json".into()));
    }

    #[test]
    fn a_report_has_options_of_its_own() {
        let Ok(Command::Report(asked)) = parsed("report --data a.json --gate g.json") else {
            panic!("no report")
        };
        assert_eq!((asked.data, asked.gate), (Some("a.json".into()), Some("g.json".into())));
        assert!(matches!(parsed("report --help"), Ok(Command::Help)));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (line, parts) in [
            ("breakers", ["\"breakers\"", "breaker, limit, retry and all"]),
            ("limit report", ["\"report\"", "breaker, limit, retry and all"]),
            ("--runs 0", ["--runs 0", "from 1 to 99"]),
            ("--runs 100", ["--runs 100", "from 1 to 99"]),
            ("--runs x", ["--runs x", "from 1 to 99"]),
            ("--runs", ["--runs", "argument"]),
            ("--run 2", ["--run;", "--runs, --check, --out"]),
            ("-x", ["-x", "--runs, --check, --out"]),
            ("report --check", ["--check", "--data, --gate"]),
            ("report limit", ["\"limit\"", "--data, --gate"]),
        ] {
            let error = parsed(line).expect_err(line);
            for part in parts {
                assert!(error.contains(part), "{line}: {error}");
            }
        }
    }

    #[test]
    fn the_help_names_every_suite() {
        assert!(SUITES.iter().all(|(name, _)| HELP.contains(name)));
    }
}
