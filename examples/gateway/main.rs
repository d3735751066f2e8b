//! A gateway that trades through the whole stack with a venue that really dies.
//!
//! `cargo run --release --example gateway -- --help` tells the rest. The venue is this program again, as a
//! process of its own that is killed, restarted, stopped, slowed and flooded on a script; the same script is
//! then run unprotected, and the two are compared.

mod allowance;
mod args;
mod books;
mod compare;
mod data;
mod desk;
#[path = "../shared/flags.rs"]
mod flags;
mod ink;
mod layers;
mod line;
mod load;
mod page;
mod process;
mod record;
mod report;
mod run;
mod screen;
mod script;
mod series;
#[path = "../shared/spell.rs"]
mod spell;
mod stack;
mod summary;
mod table;
mod tally;
mod venue;
mod wire;

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use args::{Command, Options, Target};
use line::Line;
use load::Gate;
use run::{Place, Setup, Trouble};
use screen::Screen;
use script::Scale;
use wire::Order;

fn main() -> ExitCode {
    let options = match args::parse(env::args_os().skip(1)) {
        Ok(Command::Drive(options)) => options,
        Ok(Command::Venue { port, allowance }) => return venue::run(port, allowance),
        Ok(Command::Help) => {
            let _ = io::stdout().write_all(args::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(message) => return complain(2, &format!("{message}\nTry --help.")),
    };
    match drive(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Refused(message)) => complain(2, &message),
        Err(Trouble::Failed(message)) => complain(1, &message),
        Err(Trouble::Interrupted) => complain(130, "interrupted; nothing is left running"),
        // Whoever read our output has had enough, as `head` does.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) => complain(1, &format!("cannot write the output: {error}")),
    }
}

fn complain(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "gateway: {message}");
    ExitCode::from(code)
}

fn drive(options: &Options) -> Result<(), Trouble> {
    for (flag, path) in [("--json", &options.json), ("--report", &options.report)] {
        if let Some(path) = path {
            // Now, not after all the runs.
            let opened = OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(|error| {
                Trouble::Refused(format!("{flag} {}: cannot be written: {error}", path.display()))
            })?;
        }
    }
    let length = Duration::from_secs(options.seconds.into());
    let setup = match &options.target {
        None => Setup {
            threads: options.threads,
            rate: options.rate,
            scale: Scale::scripted(length),
            place: Place::Own { port: options.port },
        },
        Some(target) => Setup {
            threads: options.threads,
            rate: options.rate,
            scale: Scale::target(length),
            place: find(target)?,
        },
    };

    // The first map of the engine registers with the kernel for memory barriers. That is at once while the
    // program has one thread; with more it waits for an RCU grace period, long seconds on a busy machine.
    drop(fusewire::Registry::new());

    let gate = Arc::new(Gate::default());
    let interrupted = Arc::clone(&gate);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Trouble::Failed(format!("cannot watch for Ctrl-C: {error}")))?;
    thread::spawn(move || signals.forever().for_each(|_| interrupted.shut()));

    let mut screen = Screen::new(setup.filled());
    let rate = spell::grouped(options.rate.into());
    let load = format!("{} threads, {rate} orders a second", options.threads);
    let runs = match &setup.place {
        Place::Own { .. } => {
            let seconds = options.seconds;
            writeln!(io::stdout(), "Two runs of {seconds} s, protected and unprotected; {load}.")?;
            screen.begin("run 1 of 2, protected: retry, limiter, breaker")?;
            let protected = run::conduct(&setup, true, &gate, &mut screen)?;
            screen.begin("run 2 of 2, unprotected")?;
            let unprotected = run::conduct(&setup, false, &gate, &mut screen)?;
            vec![protected, unprotected]
        }
        Place::Target { name, orders, .. } => {
            let call = if *orders { "orders" } else { "connect and hang up" };
            writeln!(io::stdout(), "Guarding {name} for {} s: {load}, {call}.", options.seconds)?;
            screen.begin(&format!("guarding {name}"))?;
            vec![run::conduct(&setup, true, &gate, &mut screen)?]
        }
    };
    screen.clear()?;
    io::stdout().write_all(summary::page(&setup, &runs, screen.colour()).as_bytes())?;
    if let Some(path) = &options.json {
        let data = data::data(options, &setup, &runs);
        write("--json", path, &format!("{data:#}\n"))?;
    }
    if let Some(path) = &options.report {
        write("--report", path, &report::page(options, &setup, &runs))?;
    }
    Ok(())
}

fn write(flag: &str, path: &Path, text: &str) -> Result<(), Trouble> {
    fs::write(path, text).map_err(|error| Trouble::Failed(format!("{flag} {}: {error}", path.display())))
}

/// The first address of the target that answers.
fn find(target: &Target) -> Result<Place, Trouble> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let Target { name, orders } = target;
    let refuse = |why: &dyn std::fmt::Display| Trouble::Refused(format!("--target {name}: {why}"));
    let addresses = name.to_socket_addrs().map_err(|error| refuse(&format!("no such host: {error}")))?;
    // No order of a run has this id.
    let probe = Order { id: u64::MAX, price: 1, quantity: 1 };
    let mut why = "no such host".to_string();
    for address in addresses {
        match Line::to(address, *orders).exchange(&probe, PATIENCE) {
            Ok(_) => return Ok(Place::Target { name: name.clone(), address, orders: *orders }),
            Err(error) if *orders && error.kind() != io::ErrorKind::ConnectionRefused => {
                why = format!("no answer to an order in the venue's protocol ({error}); leave out --orders?");
            }
            Err(error) => why = format!("does not answer: {error}"),
        }
    }
    Err(refuse(&why))
}
