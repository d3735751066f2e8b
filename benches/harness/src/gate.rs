//! The gate: budgets, measuring, table, JSON and exit code in one call.

use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::budget::Budgets;
use crate::command::{Command, Task};
use crate::count;
use crate::docket::Docket;
use crate::machine::Machine;
use crate::path::HotPath;
use crate::plan::Plan;
use crate::primitive::Primitive;
use crate::process;
use crate::report::Report;
use crate::series::Measurements;

/// What could not be judged was not the paths' fault: no exit code of a verdict.
const BROKEN: u8 = 3;

/// What is allocated before the paths, times the number of the measurement: each process would have them at the same
/// places in a page. An odd number of cache lines of 128 bytes, so that many measurements have places of their own.
const APART: usize = 9 * 128;

/// Hot paths and their budgets, made into a program that measures, judges and exits accordingly.
///
/// It belongs in a bench target that has `harness = false`:
///
/// ```no_run
/// use std::process::ExitCode;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// use fusewire_harness::{Gate, HotPath};
///
/// fn main() -> ExitCode {
///     let paths = || {
///         let counter = AtomicU64::new(0);
///         [HotPath::new("count", move || counter.fetch_add(1, Relaxed))]
///     };
///     // In a bench, include_str!("gate.toml"), and for the file concat!(env!("CARGO_TARGET_TMPDIR"), "/gate.json").
///     Gate::new("[count]\nfetch_add = 1.5", paths).json("target/gate.json").main()
/// }
/// ```
pub struct Gate {
    budgets: String,
    paths: Box<dyn Fn() -> Vec<HotPath>>,
    plan: Plan,
    patience: Duration,
    one_process: bool,
    json: Option<PathBuf>,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every path keeps to its budget. Exit code 0.
    Holds,
    /// A path is over its budget, and the machine was quiet enough to tell. Exit code 1.
    Over,
    /// No path was seen to be over its budget, and of some nothing can be said. Exit code 2.
    Noisy,
}

impl Verdict {
    /// The exit code: 0, 1 or 2.
    pub fn code(self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::Over => 1,
            Self::Noisy => 2,
        }
    }

    /// What a report comes to: over budget weighs more than unsure.
    pub fn of(report: &Report) -> Self {
        if !report.over().is_empty() {
            Self::Over
        } else if !report.unsure().is_empty() {
            Self::Noisy
        } else {
            Self::Holds
        }
    }

    /// As JSON says it.
    fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Over => "over budget",
            Self::Noisy => "too noisy to say",
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budgets, paths: _, plan, patience, one_process, json } = self;
        f.debug_struct("Gate")
            .field("budgets", budgets)
            .field("plan", plan)
            .field("patience", patience)
            .field("one_process", one_process)
            .field("json", json)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate that holds what `paths` makes to `budgets`, in the TOML that [`Budgets`] reads. The primitives are
    /// measured with them and need not be given.
    ///
    /// `paths` makes the same paths each time that it is called, by name. Each measurement has a process of its own,
    /// for which the gate starts its program again: where code and instances lie in memory can cost as much as a
    /// regression, and processes differ in it. So what is over budget has to be so wherever it lies.
    pub fn new<P: IntoIterator<Item = HotPath>>(
        budgets: impl Into<String>,
        paths: impl Fn() -> P + 'static,
    ) -> Self {
        let plan = Plan {
            repetitions: 101,
            sample: Duration::from_micros(200),
            patience: Duration::from_secs(10),
            ..Plan::default()
        };
        Self {
            budgets: budgets.into(),
            paths: Box::new(move || paths().into_iter().collect()),
            plan,
            patience: Duration::from_secs(90),
            one_process: false,
            json: None,
        }
    }

    /// Writes the report to this file too. Its folder is made if there is none.
    #[must_use]
    pub fn json(mut self, file: impl Into<PathBuf>) -> Self {
        self.json = Some(file.into());
        self
    }

    /// How each measurement is made. By default it has 101 repetitions of 0.2 ms, within 10 seconds.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// How long measuring may take, of which the first measurement is always made. By default none begins after 90
    /// seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes all measurements in the gate's own process: for a program that cannot be started beside itself. Then a path
    /// that happens to lie badly in memory may look slower than it is, in all of them.
    #[must_use]
    pub fn in_one_process(mut self) -> Self {
        self.one_process = true;
        self
    }

    /// Does what the program's arguments say, and gives the exit code.
    ///
    /// - `--bench`, which `cargo bench` passes: measures, prints one table, writes the JSON. 0 if all paths keep to
    ///   their budgets, 1 if one is over, 2 if the machine was too noisy to say. What is over, and of what nothing
    ///   can be said, is named on standard error.
    /// - `--bench NAME...`: the same for the paths whose names contain one of these, or are what follows a `=`, with
    ///   all they are compared with.
    /// - `--count TIMES [NAME...]`: runs the paths as `ci/instructions` wants them.
    /// - `--part NUMBER [NAME...]`: as the gate calls itself for a measurement, whose samples it prints as JSON.
    /// - neither, as `cargo test` calls it: runs each path once and only checks that budgets and paths fit.
    ///
    /// 3 if the budgets cannot be read or do not fit the paths, if the arguments mean nothing, or if the JSON cannot
    /// be written.
    pub fn main(self) -> ExitCode {
        match Command::parse(env::args().skip(1)).map_err(Into::into).and_then(|command| self.obey(&command))
        {
            Ok(code) => code.into(),
            Err(error) => {
                eprintln!("gate: {error}");
                BROKEN.into()
            }
        }
    }

    fn obey(&self, command: &Command) -> Result<u8, Box<dyn Error>> {
        let budgets = Budgets::parse(&self.budgets)?;
        match command.task {
            Task::List => println!("gate: test"),
            Task::ListIgnored => {}
            Task::Try => {
                let plan = Plan { repetitions: 1, patience: Duration::ZERO, ..self.plan };
                plan.measure(&self.make(&budgets, command)?);
            }
            Task::Count(times) => {
                let all = self.make(&budgets, command)?;
                count::run(all.iter().filter(|path| command.chooses(path.name())), times);
            }
            Task::Part(number) => println!("{}", self.part(&budgets, command, number)?.to_json()),
            Task::Measure => return self.measure(&budgets, command),
        }
        Ok(0)
    }

    /// The primitives and all paths: they fit the budgets, and at least one is chosen.
    fn make(&self, budgets: &Budgets, command: &Command) -> Result<Vec<HotPath>, Box<dyn Error>> {
        let all: Vec<HotPath> = Primitive::paths().into_iter().chain((self.paths)()).collect();
        budgets.fit(all.iter().map(HotPath::name))?;
        if all.iter().any(|path| command.chooses(path.name())) {
            Ok(all)
        } else {
            Err(format!("no path has a name that contains {}", command.parts.join(" or ")).into())
        }
    }

    /// One measurement of the chosen paths and their units; the first has all primitives, for the report.
    fn part(
        &self,
        budgets: &Budgets,
        command: &Command,
        number: usize,
    ) -> Result<Measurements, Box<dyn Error>> {
        let before: Vec<u8> = black_box(Vec::with_capacity(APART * number));
        let all = self.make(budgets, command)?;
        let chosen = || all.iter().map(HotPath::name).filter(|name| command.chooses(name));
        let needed = |name: &str| {
            command.chooses(name)
                || number == 0 && Primitive::is_named(name)
                || chosen().flat_map(|path| budgets.units(path)).any(|unit| unit == name)
        };
        let paths: Vec<HotPath> = all.iter().filter(|path| needed(path.name())).cloned().collect();
        let measured = self.plan.measure(&paths);
        drop(before);
        Ok(measured)
    }

    fn measure(&self, budgets: &Budgets, command: &Command) -> Result<u8, Box<dyn Error>> {
        let begin = Instant::now();
        println!("{}", Machine::here());
        let mut docket = Docket::default();
        let mut primitives = Vec::new();
        let mut runs = Vec::new();
        let mut rest = command.clone();
        loop {
            let measured = if self.one_process {
                self.part(budgets, &rest, runs.len())?
            } else {
                process::measure(runs.len(), &rest.parts)?
            };
            println!("{measured}");
            if runs.is_empty() {
                primitives = measured.primitives();
            }
            runs.push(measured.to_string());
            docket.enter(budgets.judge(&measured, |name| rest.chooses(name)));
            rest.parts = docket.open().map(|path| format!("={path}")).collect();
            if rest.parts.is_empty() || begin.elapsed() >= self.patience {
                break;
            }
        }
        let report = Report::new(primitives, docket.close());
        let verdict = Verdict::of(&report);
        println!("\n{report}");
        let mut json = report.to_json();
        json["machine"] = Machine::here().to_string().into();
        json["verdict"] = verdict.word().into();
        json["code"] = verdict.code().into();
        json["runs"] = runs.into();
        self.write(&json)?;
        for row in report.over().into_iter().chain(report.unsure()) {
            eprintln!("gate: {row}");
        }
        println!("gate: {}", verdict.word());
        Ok(verdict.code())
    }

    fn write(&self, json: &serde_json::Value) -> Result<(), Box<dyn Error>> {
        let Some(file) = &self.json else { return Ok(()) };
        let text = format!("{json:#}\n");
        let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| fs::write(file, text))
            .map_err(|error| format!("{}: {error}", file.display()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::{measurements, series, with_gaps};

    fn verdict(path: crate::Series) -> Verdict {
        let measured = measurements(vec![series("fetch_add", &[1.0; 40]), path, series("other", &[1.0; 40])]);
        let budgets = Budgets::parse("[path]\nfetch_add = 2\n[other]\nfetch_add = 2").expect("valid");
        Verdict::of(&budgets.hold(&measured).expect("fits"))
    }

    #[test]
    fn a_verdict_is_an_exit_code() {
        assert_eq!(verdict(series("path", &[1.5; 40])).code(), 0);
        assert_eq!(verdict(series("path", &[2.5; 40])).code(), 1);
        assert_eq!(verdict(with_gaps("path", &[None; 40])).code(), 2);
    }

    #[test]
    fn one_path_over_budget_weighs_more_than_noise_elsewhere() {
        let paths = vec![
            series("fetch_add", &[1.0; 40]),
            with_gaps("unseen", &[None; 40]),
            series("slow", &[3.0; 40]),
        ];
        let budgets = Budgets::parse("[unseen]\nfetch_add = 2\n[slow]\nfetch_add = 2").expect("valid");
        let report = budgets.hold(&measurements(paths)).expect("fits");
        assert_eq!(Verdict::of(&report), Verdict::Over);
    }

    fn gate(budgets: &str) -> Gate {
        Gate::new(budgets, || {
            [HotPath::new("nothing", || ()), HotPath::new("both, nothing", || ()).threads(2)]
        })
        .in_one_process()
    }

    fn code(gate: &Gate, line: &str) -> Result<u8, String> {
        let command = Command::parse(line.split_whitespace().map(str::to_owned))?;
        gate.obey(&command).map_err(|error| error.to_string())
    }

    const BUDGETS: &str = "[nothing]\nfetch_add = 9e9\n[\"both, nothing\"]\nnothing = 9e9\nrough = true";

    #[test]
    fn a_test_run_tries_every_path_and_wants_a_budget_for_each() {
        assert_eq!(code(&gate(BUDGETS), ""), Ok(0));
        let error = code(&gate("[nothing]\nfetch_add = 1"), "").expect_err("the other has none");
        assert!(error.contains("both, nothing"), "{error}");
        assert_eq!(code(&gate(BUDGETS), "--list"), Ok(0));
        assert_eq!(code(&gate(BUDGETS), "--count 3"), Ok(0));
    }

    #[test]
    fn names_that_fit_no_path_are_an_error() {
        let error = code(&gate(BUDGETS), "closed --bench").expect_err("no such path");
        assert_eq!(error, "no path has a name that contains closed");
    }

    #[test]
    fn a_measured_gate_writes_what_it_says() {
        let folder = env::temp_dir().join(format!("fusewire-harness-{}", std::process::id()));
        let file = folder.join("made/gate.json");
        // A tenth of a second is too short to be sure of much: any verdict will do, if the file has it too.
        let plan = Plan { repetitions: 30, sample: Duration::from_micros(20), ..Plan::default() };
        let plan = Plan { patience: Duration::from_millis(100), ..plan };
        let gate = gate(BUDGETS).plan(plan).patience(Duration::ZERO).json(&file);
        let code = code(&gate, "both --bench").expect("it measures");
        let text = fs::read_to_string(&file).expect("written");
        fs::remove_dir_all(folder).expect("ours");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["code"], code);
        let rows = json["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 1, "the path that was asked for: {text}");
        assert_eq!((&rows[0]["path"], &rows[0]["unit"]), (&"both, nothing".into(), &"nothing".into()));
        assert_eq!(json["units"].as_array().map(Vec::len), Some(Primitive::ALL.len()));
    }
}
