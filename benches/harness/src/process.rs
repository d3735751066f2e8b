//! A measurement in a process of its own.

use std::env;
use std::error::Error;
use std::process::{Command, Stdio};

use crate::command::PART;
use crate::series::Measurements;

/// Starts this program again for the measurement of that number, of the paths that `names` choose.
pub(crate) fn measure(number: usize, names: &[String]) -> Result<Measurements, Box<dyn Error>> {
    let program = env::current_exe()?;
    let mut command = Command::new(&program);
    command.args([PART, &number.to_string()]).args(names).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let why = errors.trim();
        let why = why.strip_prefix("gate: ").unwrap_or(why);
        return Err(format!("measuring ended with {}: {why}", output.status).into());
    }
    eprint!("{errors}");
    // Whatever the paths' own code prints comes before.
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.lines().last().and_then(|line| line.parse().ok());
    let measured = json.as_ref().and_then(Measurements::from_json);
    measured.ok_or_else(|| format!("{} printed no measurements", program.display()).into())
}
