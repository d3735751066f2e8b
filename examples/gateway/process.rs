//! The gateway's end of the venue: starts the process, and kills, restarts, stalls and resumes it for real.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::allowance::Allowance;
use crate::desk::Mood;

/// A running venue; dropping it kills the process, stopped or not.
///
/// Start it on a thread that lives as long as the program: the kernel's parent-death signal follows the
/// thread that started the child.
pub(crate) struct Venue {
    child: Child,
    orders: ChildStdin,
    address: SocketAddr,
    allowance: Allowance,
}

impl Venue {
    /// Starts a venue on `port`, or on a free port if that is zero. An error from its `bind` is returned
    /// as it was.
    pub(crate) fn start(port: u16, allowance: Allowance) -> io::Result<Self> {
        let Allowance { rate, burst, ban } = allowance;
        let mut child = Command::new(env::current_exe()?)
            .args(["venue", "--port", &port.to_string()])
            .args(["--limit", &rate.to_string(), "--burst", &burst.to_string()])
            .args(["--ban", &ban.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What goes wrong is told on stdout; stderr would write across the live view.
            .stderr(Stdio::null())
            // Its own group, so that Ctrl-C at the terminal reaches the gateway only.
            .process_group(0)
            .spawn()?;
        let (Some(orders), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were piped")
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut venue = Self { child, orders, address, allowance };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim().split_once(' ') {
            Some(("port", port)) if let Ok(port) = port.parse() => venue.address.set_port(port),
            Some(("error", code)) if let Ok(code) = code.parse() => {
                return Err(io::Error::from_raw_os_error(code));
            }
            _ => return Err(io::Error::other(format!("the venue did not start; it said {line:?}"))),
        }
        Ok(venue)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Starts a new process on the port of the dead one.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        let mut tries = 0;
        *self = loop {
            match Self::start(self.address.port(), self.allowance) {
                // A passing client socket somewhere on the machine may have been given the port.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < 20 => tries += 1,
                started => break started?,
            }
            thread::sleep(Duration::from_millis(50));
        };
        Ok(())
    }

    pub(crate) fn stall(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    pub(crate) fn resume(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    pub(crate) fn tell(&mut self, mood: Mood) -> io::Result<()> {
        self.orders.write_all(mood.to_line().as_bytes())
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        // Nothing to do about an error here, and the venue ends with its input in any case.
        let _ = self.kill();
    }
}
