//! The examples as programs, and waiting for them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far beyond what anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// An example as a command, its input empty.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let program = profile.join("examples").join(name);
    assert!(is_built(&program), "{} is missing or old: run `cargo build --examples`", program.display());
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// A plain `cargo test` builds the example, `cargo test --test gateway` does not.
fn is_built(program: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let sources = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let newest = sources.split_whitespace().skip(1).filter_map(|source| modified(Path::new(source))).max();
    modified(program).is_some_and(|built| newest.is_none_or(|newest| newest <= built))
}

/// What `look` sees, once it sees something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}
