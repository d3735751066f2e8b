//! The command line: every value is checked here, before anything is started.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::allowance::Allowance;
use crate::flags::{number, text};

pub(crate) const HELP: &str = "\
Drives orders through the whole stack (a retry with a budget, a rate limiter, a circuit breaker) to a venue
that is killed, restarted, stalled, slowed and flooded on a script, then runs the same script without any
protection, and compares.

usage: cargo run --release --example gateway -- [options]

  --seconds N         length of each run, 2 to 3600 (default 15; two runs, so about twice that in all)
  --threads N         trading threads, 1 to 64 (default 4); each owns one connection
  --rate N            orders per second over all threads, 1 to 50000 (default 2000; 20 with --target)
  --port N            port of the venue on 127.0.0.1, 1 to 65535 (default: a free one)
  --report FILE       write a page with the runs over time, the percentiles and the summary too (HTML, in
                      one file that opens without a network)
  --json FILE         write the summary as data too
  --target HOST:PORT  guard a service of yours instead: one run, nothing is started and no fault injected.
                      A call connects and hangs up, which any TCP service understands
  --orders            the target speaks the venue's protocol: send it orders over kept connections. An order
                      that failed may be sent again under its id
  --help              this text

A venue to aim --target at: `gateway venue --port N`. It ends with its input, and takes the lines `well`,
`slow MILLISECONDS` and `flaky N` (one order in N fails). With `--limit N` it bans all clients for a second
when they send more than N orders a second; `--burst N` (default: a tenth of the limit) is how many may come
at once, `--ban MILLISECONDS` how long a ban lasts.

Exit code: 0 done, 1 a run went wrong, 2 bad arguments or a service that cannot be used, 130 interrupted.
";

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Venue { port: u16, allowance: Option<Allowance> },
    Drive(Options),
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u32,
    pub(crate) threads: u32,
    pub(crate) rate: u32,
    /// Zero: any free port.
    pub(crate) port: u16,
    pub(crate) target: Option<Target>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Whether it is sent orders, not just connected to.
    pub(crate) orders: bool,
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(arguments);
    let mut options =
        Options { seconds: 15, threads: 4, rate: 0, port: 0, target: None, json: None, report: None };
    let (mut venue, mut orders, mut name) = (false, false, None);
    let (mut limit, mut burst, mut ban) = (None, None, 1_000);
    let mut first = true;
    while let Some(argument) = parser.next().map_err(text)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("seconds") => options.seconds = number(&mut parser, "--seconds", 2..=3_600)?,
            Arg::Long("threads") => options.threads = number(&mut parser, "--threads", 1..=64)?,
            Arg::Long("rate") => options.rate = number(&mut parser, "--rate", 1..=50_000)?,
            // Only the gateway itself asks a venue for port 0.
            Arg::Long("port") => {
                options.port = number(&mut parser, "--port", u32::from(!venue)..=65_535)? as u16;
            }
            Arg::Long("json") => options.json = Some(parser.value().map_err(text)?.into()),
            Arg::Long("report") => options.report = Some(parser.value().map_err(text)?.into()),
            Arg::Long("target") => name = Some(host_and_port(parser.value().map_err(text)?)?),
            Arg::Long("orders") => orders = true,
            Arg::Long("limit") if venue => limit = Some(number(&mut parser, "--limit", 1..=1_000_000)?),
            Arg::Long("burst") if venue => burst = Some(number(&mut parser, "--burst", 1..=1_000_000)?),
            Arg::Long("ban") if venue => ban = number(&mut parser, "--ban", 1..=3_600_000)?,
            Arg::Value(word) if first && word == "venue" => venue = true,
            other => return Err(text(other.unexpected())),
        }
        first = false;
    }
    if venue {
        let ban = Duration::from_millis(ban.into());
        let allowance = limit.map(|rate| Allowance { rate, burst: burst.unwrap_or((rate / 10).max(1)), ban });
        return Ok(Command::Venue { port: options.port, allowance });
    }
    if name.is_some() && options.port != 0 {
        return Err("--port is the port of our own venue, which --target leaves out: give one of them".into());
    }
    if options.json.is_some() && options.json == options.report {
        return Err("--json and --report name the same file: give each its own".into());
    }
    if orders && name.is_none() {
        return Err("--orders says how to talk to a --target; our own venue always gets orders".into());
    }
    if options.rate == 0 {
        options.rate = if name.is_some() { 20 } else { 2_000 };
    }
    options.target = name.map(|name| Target { name, orders });
    Ok(Command::Drive(options))
}

fn host_and_port(value: OsString) -> Result<String, String> {
    let bad = |value: &dyn Display| format!("--target {value}: not HOST:PORT with a port from 1 to 65535");
    let value = value.into_string().map_err(|value| bad(&value.display()))?;
    match value.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0) => {
            Ok(value)
        }
        _ => Err(bad(&value)),
    }
}
