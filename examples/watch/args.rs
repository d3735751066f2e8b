//! The command line: every value is checked here, before anything is started.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use crate::flags::{number, text};
use crate::rows::Column;

pub(crate) const HELP: &str = "\
Shows many live breakers and limiters while simulated services behind them fail, slow down and hang: their
states, rates, latencies of the last seconds, and a line of bars. Nothing leaves the process.

usage: cargo run --release --example watch -- [options]

  --seconds N    how long, 1 to 86400 (default: until q on a terminal, else 10)
  --breakers N   how many breakers, 1 to 200 (default 8); half as many limiters
  --sort KEY     name, kind, state, calls, failed, refused, p50 or p99 (default name)
  --help         this text

Keys: q, Esc or Ctrl-C quits; p or space pauses the view, not the calls; s, right and left choose what to
sort by, r reverses it; up, down, PgUp, PgDn, Home and End scroll; ? is help.

Where the output or the input is not a terminal it prints one line for each instance, once a second. NO_COLOR
is honoured.

Exit code: 0 done, 1 it went wrong, 2 bad arguments, 130 ended by a signal or a terminal that is gone.
";

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Watch(Options),
}

#[derive(Debug)]
pub(crate) struct Options {
    /// None: until the user quits, or ten where nobody can.
    pub(crate) seconds: Option<u32>,
    pub(crate) breakers: u32,
    pub(crate) sort: Column,
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(arguments);
    let mut options = Options { seconds: None, breakers: 8, sort: Column::Name };
    while let Some(argument) = parser.next().map_err(text)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("seconds") => options.seconds = Some(number(&mut parser, "--seconds", 1..=86_400)?),
            Arg::Long("breakers") => options.breakers = number(&mut parser, "--breakers", 1..=200)?,
            Arg::Long("sort") => options.sort = column(&parser.value().map_err(text)?)?,
            other => return Err(text(other.unexpected())),
        }
    }
    Ok(Command::Watch(options))
}

fn column(value: &OsString) -> Result<Column, String> {
    Column::ALL.into_iter().find(|column| value == column.key()).ok_or_else(|| {
        let keys = Column::ALL.map(Column::key).join(", ");
        format!("--sort {}: none of {keys}", value.display())
    })
}
