//! What a gate is told to do.

use crate::primitive::Primitive;

/// Tells a gate that it takes one measurement for another process.
pub(crate) const PART: &str = "--part";

/// What to do, and with which paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) task: Task,
    /// Parts of names, or whole ones after a `=`. None stands for all paths.
    pub(crate) parts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// Measure and judge.
    Measure,
    /// Take the measurement of that number, and print it for the process that judges.
    Part(usize),
    /// Run each path so often, and twice as often.
    Count(u64),
    /// Only see that everything runs.
    Try,
    /// Say that there is one test.
    List,
    /// The same where a runner asks for ignored ones, of which there is none.
    ListIgnored,
}

impl Command {
    /// Reads the arguments of a program, without its name.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<String> = arguments.collect();
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        // Without any of these it is a test runner that calls, and its arguments are for tests.
        if !["--bench", "--count", PART].into_iter().any(has) {
            let task = match (has("--list"), has("--ignored")) {
                (true, true) => Task::ListIgnored,
                (true, false) => Task::List,
                (false, _) => Task::Try,
            };
            return Ok(Self { task, parts: Vec::new() });
        }
        let mut command = Self { task: Task::Measure, parts: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--count" => {
                    let times = arguments.next().unwrap_or_default();
                    let number = times.parse().ok().filter(|times| *times > 0);
                    let number = number.ok_or_else(|| format!("--count {times:?} is no positive number"))?;
                    command.task = Task::Count(number);
                }
                PART => {
                    let number = arguments.next().unwrap_or_default();
                    let number = number.parse().map_err(|_| format!("{PART} {number:?} is no number"))?;
                    command.task = Task::Part(number);
                }
                flag if flag.starts_with('-') => {
                    return Err(format!("{flag} means nothing here; there are names, --bench and --count"));
                }
                _ => command.parts.push(argument),
            }
        }
        Ok(command)
    }

    /// Whether the path is among those that were asked for. A primitive never is.
    pub(crate) fn chooses(&self, name: &str) -> bool {
        let fits = |part: &String| {
            part.strip_prefix('=').map_or(name.contains(part.as_str()), |whole| name == whole)
        };
        !Primitive::is_named(name) && (self.parts.is_empty() || self.parts.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    fn task(line: &str) -> Task {
        parse(line).expect("valid").task
    }

    #[test]
    fn a_bench_measures_and_a_test_tries() {
        assert_eq!(task("--bench"), Task::Measure);
        assert_eq!(task("closed --bench"), Task::Measure);
        assert_eq!(task(""), Task::Try);
        assert_eq!(task("--exact gate --nocapture --test-threads=1"), Task::Try);
        assert_eq!(task("--list --format terse"), Task::List);
        assert_eq!(task("--list --format terse --ignored"), Task::ListIgnored);
    }

    #[test]
    fn names_choose_paths_by_a_part() {
        let command = parse("closed bucket --bench").expect("valid");
        assert!(
            command.chooses("closed, call")
                && command.chooses("lease of a bucket")
                && !command.chooses("open")
        );
        assert_eq!(command.parts, ["closed", "bucket"]);
        let command = parse("=closed --bench").expect("valid");
        assert!(command.chooses("closed") && !command.chooses("closed, call"));
        assert!(parse("--bench").expect("valid").chooses("anything"));
        assert!(!parse("--bench").expect("valid").chooses("tsc"));
        // A test runner's filter is not about paths.
        assert!(parse("closed").expect("valid").chooses("open"));
    }

    #[test]
    fn counting_needs_a_number() {
        assert_eq!(task("--count 4096"), Task::Count(4096));
        for line in ["--count", "--count many", "--count 0", "--count -1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_part_of_a_gate_has_a_number_and_names() {
        let command = parse("--part 2 =closed open").expect("valid");
        assert_eq!(command.task, Task::Part(2));
        assert!(command.chooses("closed") && command.chooses("open") && !command.chooses("closed, call"));
        for line in ["--part", "--part x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn flags_of_other_harnesses_are_refused() {
        let error = parse("--bench --save-baseline main").expect_err("criterion's");
        assert!(error.contains("--save-baseline"), "{error}");
    }
}
