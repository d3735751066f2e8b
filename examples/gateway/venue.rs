//! The venue: a process of its own that fills orders, and that can be told over its standard input to be
//! slow or to fail. It ends when that input ends, so it does not outlive the gateway.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::allowance::{Allowance, Meter};
use crate::desk::{Desk, Mood};
use crate::wire;

/// Runs the venue. Its first line on standard output is `port N`, or `error N` with the system's error.
pub(crate) fn run(port: u16, allowance: Option<Allowance>) -> ExitCode {
    die_with_parent();
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => listener,
        Err(error) => {
            println!("error {}", error.raw_os_error().unwrap_or(0));
            eprintln!("gateway venue: port {port}: {error}");
            return ExitCode::from(2);
        }
    };
    let port = listener.local_addr().map_or(port, |address| address.port());
    let meter = allowance.map(|allowance| Meter::new(allowance, Instant::now()));
    let desk = Arc::new(Mutex::new(Desk::new(meter)));
    let at_the_door = Arc::clone(&desk);
    thread::spawn(move || welcome(&listener, &at_the_door));
    if writeln!(io::stdout(), "port {port}").is_err() {
        return ExitCode::FAILURE;
    }
    for line in io::stdin().lines().map_while(Result::ok) {
        match Mood::from_line(&line) {
            Some(mood) => desk.lock().unwrap_or_else(PoisonError::into_inner).mood = mood,
            None => eprintln!("gateway venue: {line:?} is none of: well, slow MILLISECONDS, flaky N"),
        }
    }
    ExitCode::SUCCESS
}

fn welcome(listener: &TcpListener, desk: &Arc<Mutex<Desk>>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: give the connections that hold them time to end.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let desk = Arc::clone(desk);
        thread::spawn(move || serve(&stream, &desk));
    }
}

/// An error ends the connection; it is the client's to open another.
fn serve(mut stream: &TcpStream, desk: &Mutex<Desk>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut orders = BufReader::new(stream);
    loop {
        let order = wire::read_order(&mut orders)?;
        let (delay, verdict) = desk.lock().unwrap_or_else(PoisonError::into_inner).take(&order);
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        wire::write_answer(&mut stream, order.id, verdict)?;
    }
}

/// A stopped venue does not see its input end; the kernel's signal reaches it all the same.
#[cfg(target_os = "linux")]
fn die_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() {}
