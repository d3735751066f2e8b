//! The watch example: what it draws at any size, and, run as a user runs it, that it sorts, pauses, and gives
//! the terminal back.

#![cfg(target_os = "linux")]

#[path = "shared/example.rs"]
mod example;
#[path = "../examples/watch/rows.rs"]
#[allow(dead_code, reason = "the keys are pressed in the example")]
mod rows;
#[path = "../examples/shared/spell.rs"]
#[allow(dead_code, reason = "the view says less than the examples")]
mod spell;
#[path = "../examples/watch/view.rs"]
mod view;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fusewire::CircuitState;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use example::{eventually, example};
use rows::{Column, HISTORY, Kind, Row, Sort, State};
use view::View;

fn row(name: &str, kind: Kind, state: State, calls: u64) -> Row {
    Row {
        kind,
        name: name.into(),
        state,
        calls,
        failed: (kind == Kind::Breaker).then_some(calls / 10),
        refused: calls / 2,
        latency: (kind == Kind::Breaker).then(|| [1, 250].map(Duration::from_millis)),
        history: (0..HISTORY as u64).collect(),
    }
}

fn view(rows: Vec<Row>) -> View {
    View {
        rows,
        changes: vec!["   3 s  orders: closed -> open, failure rate".into()],
        sort: Sort { by: Column::Calls, reversed: false },
        elapsed: Duration::from_secs(12),
        paused: false,
        help: false,
        first: 0,
        colour: true,
    }
}

fn some_rows() -> Vec<Row> {
    let breaker = |name, state, calls| row(name, Kind::Breaker, State::Breaker(state), calls);
    vec![
        breaker("orders", CircuitState::Open, 12_345),
        breaker("a-name-that-is-longer-than-any-column", CircuitState::HalfOpen, 0),
        breaker("ledger", CircuitState::Closed, 7),
        breaker("mail", CircuitState::Disabled, 70),
        row("orders", Kind::Limiter, State::Refusing, 1_234_567_890),
        row("risk", Kind::Limiter, State::Passing, 9),
    ]
}

/// The lines of a terminal of this size.
fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test needs no terminal");
    terminal.draw(|frame| view.draw(frame)).expect("nothing to write to");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(line).collect()
}

#[test]
fn as_many_columns_are_drawn_as_there_is_room_for() {
    let view = view(some_rows());
    let heads = |width: u16, height: u16| drawn(&view, width, height)[1].clone();
    let all = ["name", "kind", "state", "calls/s▼", "failed/s", "refused/s", "p50", "p99", "calls"];
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    assert_eq!(words(&heads(120, 40)), all);
    assert_eq!(
        words(&heads(80, 24)),
        all.iter().filter(|head| **head != "kind").copied().collect::<Vec<_>>()
    );
    assert_eq!(words(&heads(25, 5)), ["name", "state"]);
    assert_eq!(words(&heads(24, 5)), ["name"]);

    let lines = drawn(&view, 120, 40);
    assert!(lines[0].contains("Fusewire watch") && lines[0].contains("4 breakers, 1 open; 2 limiters"));
    let orders = &lines[2];
    for shown in ["orders", "breaker", "● open", "12 345", "1 234", "6 172", "1.00 ms", "250 ms", "█"] {
        assert!(orders.contains(shown), "{shown}: {orders}");
    }
    assert!(lines.iter().any(|line| line.contains("orders: closed -> open, failure rate")));
    for state in ["open", "half-open", "closed", "disabled", "refusing", "passing"] {
        assert!(lines[2..8].iter().any(|line| line.contains(&format!(" {state} "))), "{state}: {lines:#?}");
    }
}

#[test]
fn no_size_is_too_small() {
    const SIZES: [u16; 9] = [1, 2, 3, 5, 8, 13, 21, 34, 55];
    let mut view = view(some_rows());
    for help in [false, true] {
        view.help = help;
        for (width, height) in SIZES.into_iter().flat_map(|width| SIZES.map(|height| (width, height))) {
            assert_eq!(drawn(&view, width, height).len(), usize::from(height));
        }
        // Scrolled beyond the end.
        view.first = 1_000;
    }
    view.rows.clear();
    drawn(&view, 80, 24);
}

#[test]
fn rows_scroll_as_far_as_the_last() {
    let rows = (0..50).map(|n| row(&format!("n{n:02}"), Kind::Breaker, State::Passing, n)).collect();
    let mut view = view(rows);
    assert_eq!(View::room(24), 14);
    view.first = 3;
    let names = |view: &View| {
        let named = |line: &String| line.trim_start().starts_with('n') && !line.contains("name");
        drawn(view, 80, 24).into_iter().filter(named).map(|line| line[1..4].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&view), (3..17).map(|n| format!("n{n:02}")).collect::<Vec<_>>());
    view.first = 49;
    assert_eq!(names(&view), (36..50).map(|n| format!("n{n:02}")).collect::<Vec<_>>());
}

#[test]
fn rows_are_sorted_by_any_column_both_ways() {
    let names = |by, reversed| {
        let mut rows = some_rows();
        Sort { by, reversed }.apply(&mut rows);
        rows.iter().map(|row| (row.name[..1].to_string(), row.kind)).collect::<Vec<_>>()
    };
    let (b, l) = (Kind::Breaker, Kind::Limiter);
    let expected = |order: [(&str, Kind); 6]| order.map(|(name, kind)| (name.to_string(), kind)).to_vec();
    let by_name = expected([("a", b), ("l", b), ("m", b), ("o", b), ("o", l), ("r", l)]);
    assert_eq!(names(Column::Name, false), by_name);
    let by_state = expected([("o", b), ("a", b), ("o", l), ("m", b), ("l", b), ("r", l)]);
    assert_eq!(names(Column::State, false), by_state);
    let by_calls = expected([("o", l), ("o", b), ("m", b), ("r", l), ("l", b), ("a", b)]);
    assert_eq!(names(Column::Calls, false), by_calls);
    let by_calls: Vec<_> = by_calls.into_iter().rev().collect();
    assert_eq!(names(Column::Calls, true), by_calls);
    // What has no latency comes last.
    let by_latency = expected([("a", b), ("l", b), ("m", b), ("o", b), ("o", l), ("r", l)]);
    assert_eq!(names(Column::P99, false), by_latency);
}

#[test]
fn without_a_terminal_it_prints_plain_lines() {
    let Output { status, stdout, stderr } = example("watch")
        .args(["--seconds", "2", "--breakers", "5", "--sort", "name"])
        .output()
        .expect("it runs");
    assert_eq!((status.code(), stderr.is_empty()), (Some(0), true), "{}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).expect("text");
    assert!(!text.contains('\x1b'), "an escape: {text:?}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2 * (5 + 3), "a line for each instance, twice:\n{text}");
    let names: Vec<_> = lines[8..].iter().filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert!(names.is_sorted(), "{names:?}");
    for line in &lines {
        assert!(line.contains(" calls/s ") && line.contains(" p99 "), "{line}");
    }
    let calls = |line: &&str| line.split_whitespace().nth(5).and_then(|calls| calls.parse::<u64>().ok());
    assert!(lines[8..].iter().filter_map(calls).sum::<u64>() > 0, "no call was made:\n{text}");
    assert!(lines.iter().any(|line| line.contains("breaker") && !line.contains("p99       -")), "{text}");
}

#[test]
fn bad_arguments_are_named_with_what_is_allowed() {
    for (arguments, expected) in [
        (&["--seconds", "0"][..], "--seconds 0: not a whole number from 1 to 86400"),
        (&["--breakers", "201"], "--breakers 201: not a whole number from 1 to 200"),
        (&["--sort", "size"], "--sort size: none of name, kind, state, calls, failed, refused, p50, p99"),
        (&["--fast"], "--fast"),
    ] {
        let Output { status, stdout, stderr } = example("watch").args(arguments).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!((status.code(), stdout.is_empty()), (Some(2), true), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

/// What a terminal shows, as far as the example makes use of one.
struct Shown {
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    /// Text that a view is drawn over, kept beside it.
    alternate: bool,
    cursor: bool,
    /// What is left of a sequence whose end has not come yet.
    rest: Vec<u8>,
}

const SIZE: (usize, usize) = (100, 30);

impl Shown {
    fn new() -> Self {
        let cells = vec![vec![' '; SIZE.0]; SIZE.1];
        Self { cells, at: (0, 0), alternate: false, cursor: true, rest: Vec::new() }
    }

    fn line(&self, y: usize) -> String {
        self.cells[y].iter().collect()
    }

    /// The words of the first column.
    fn names(&self) -> Vec<String> {
        let rows = (2..SIZE.1).map(|y| self.line(y)).take_while(|line| !line.trim().is_empty());
        rows.filter_map(|line| line.split_whitespace().next().map(String::from)).collect()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend(bytes);
        let text = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.to_string(),
            Err(error) => String::from_utf8_lossy(&self.rest[..error.valid_up_to()]).into_owned(),
        };
        let mut letters = text.chars();
        let mut done = 0;
        while let Some(letter) = letters.next() {
            if letter == '\x1b' {
                // Without its end, it waits for it.
                let Some(end) = letters.as_str().find(|c: char| c.is_ascii_alphabetic()) else { break };
                let sequence = &letters.as_str()[..=end];
                self.obey(sequence);
                letters = letters.as_str()[end + 1..].chars();
            } else {
                self.print(letter);
            }
            done = text.len() - letters.as_str().len();
        }
        self.rest.drain(..done);
    }

    fn print(&mut self, letter: char) {
        match letter {
            '\r' => self.at.0 = 0,
            '\n' => self.at.1 += 1,
            letter => {
                if let Some(cell) = self.cells.get_mut(self.at.1).and_then(|line| line.get_mut(self.at.0)) {
                    *cell = letter;
                }
                self.at.0 += 1;
            }
        }
    }

    fn obey(&mut self, sequence: &str) {
        match sequence {
            "[?1049h" => self.alternate = true,
            "[?1049l" => self.alternate = false,
            "[?25h" => self.cursor = true,
            "[?25l" => self.cursor = false,
            "[2J" => self.cells = vec![vec![' '; SIZE.0]; SIZE.1],
            _ => {
                if let Some(place) = sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('H')) {
                    let mut parts = place.split(';').map(|part| part.parse::<usize>().unwrap_or(1) - 1);
                    let row = parts.next().unwrap_or(0);
                    self.at = (parts.next().unwrap_or(0), row);
                }
            }
        }
    }
}

/// The example, just started on a terminal of its own, of which we hold both ends.
struct Started {
    watch: Child,
    terminal: File,
    other: OwnedFd,
    before: Termios,
}

impl Started {
    fn on_terminal(arguments: &[&str]) -> Self {
        // Inherited, it would be held open by the program itself.
        const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);
        let terminal = openpt(FLAGS).expect("the system has pseudo-terminals");
        grantpt(&terminal).expect("it is ours");
        unlockpt(&terminal).expect("it is ours");
        let other = ioctl_tiocgptpeer(&terminal, FLAGS).expect("its other end");
        let (columns, rows) = (SIZE.0 as u16, SIZE.1 as u16);
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&other, size).expect("a terminal has a size");
        let before = tcgetattr(&other).expect("a terminal has modes");
        let end = || Stdio::from(other.try_clone().expect("a descriptor is free"));
        // Of its own session, or it would find the terminal of whoever runs the tests.
        let watch = Command::new("setsid")
            .arg("--ctty")
            .arg("--wait")
            .arg(example("watch").get_program())
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("setsid is part of the system");
        Self { watch, terminal: File::from(terminal), other, before }
    }
}

/// The example on a terminal of its own, and what it shows.
struct Session {
    watch: Child,
    terminal: File,
    /// Our end of the other side, so that it outlives the program.
    _other: OwnedFd,
    shown: Arc<Mutex<Shown>>,
    reader: Option<JoinHandle<()>>,
    before: Termios,
}

impl Session {
    fn start(arguments: &[&str]) -> Self {
        let Started { watch, terminal, other, before } = Started::on_terminal(arguments);
        let shown = Arc::new(Mutex::new(Shown::new()));
        let (mut from, to) = (terminal.try_clone().expect("a descriptor is free"), shown.clone());
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is the end: nobody has the other side open any more.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap_or_else(PoisonError::into_inner).take(&bytes[..read]);
            }
        });
        Self { watch, terminal, _other: other, shown, reader: Some(reader), before }
    }

    fn press(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until the screen is as wanted.
    fn until<T>(&self, what: &str, look: impl Fn(&Shown) -> Option<T>) -> T {
        eventually(what, || look(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn ended(&mut self) -> ExitStatus {
        eventually("watch ends", || self.watch.try_wait().expect("it is our child"))
    }

    /// Waits until the terminal is as it was before.
    fn is_given_back(&self) {
        self.until("the screen is given back", |shown| (!shown.alternate && shown.cursor).then_some(()));
        let modes = tcgetattr(&self.terminal).expect("a terminal has modes");
        let local = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert_eq!(modes.local_modes & local, self.before.local_modes & local);
        assert_eq!(modes.output_modes, self.before.output_modes);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.watch.kill();
        let _ = self.watch.wait();
        // The reader ends with the last descriptor of the other side, which is the one that is dropped next.
        drop(self.reader.take());
    }
}

#[test]
fn on_a_terminal_it_sorts_pauses_and_gives_it_back() {
    let mut session = Session::start(&["--breakers", "6"]);
    let names = session.until("nine rows", |shown| {
        let names = shown.names();
        (shown.alternate && !shown.cursor && names.len() == 9).then_some(names)
    });
    assert!(names.is_sorted(), "{names:?}");
    session.press("p");
    session.until("it is paused", |shown| shown.line(0).contains("PAUSED").then_some(()));
    let still = session.until("rows", |shown| Some(shown.cells[2..11].to_vec()));

    session.press("r");
    let mut reversed = names.clone();
    reversed.reverse();
    session.until("the other way round", |shown| (shown.names() == reversed).then_some(()));
    session.press("r");
    session.until("the same rows, for it is paused", |shown| (shown.cells[2..11] == still).then_some(()));

    let heads = |column: &str| {
        session.until(column, |shown| shown.line(1).contains(column).then_some(()));
    };
    heads("name▲");
    session.press("s");
    session.until("by kind", |shown| {
        let kinds: Vec<_> =
            (2..11).filter_map(|y| shown.line(y).split_whitespace().nth(1).map(String::from)).collect();
        (shown.line(1).contains("kind▲") && kinds.len() == 9 && kinds.is_sorted()).then_some(())
    });
    session.press("?");
    session
        .until("help", |shown| (0..SIZE.1).any(|y| shown.line(y).contains("any key closes")).then_some(()));
    session.press("x");
    session.press("\x1b[D");
    session.until("by name again", |shown| shown.line(1).contains("name▲").then_some(()));
    session.press(" ");
    session.until("it goes on", |shown| (!shown.line(0).contains("PAUSED")).then_some(()));
    session.until("other figures", |shown| (shown.cells[2..11] != still).then_some(()));

    session.press("q");
    assert_eq!(session.ended().code(), Some(0));
    session.is_given_back();
}

#[test]
fn ctrl_c_quits_and_a_signal_does_too() {
    for ended_by in [None, Some(Signal::TERM), Some(Signal::INT), Some(Signal::HUP)] {
        let mut session = Session::start(&[]);
        session.until("rows", |shown| (shown.alternate && shown.names().len() == 12).then_some(()));
        match ended_by {
            None => session.press("\x03"),
            Some(signal) => kill_process(Pid::from_child(&session.watch), signal).expect("it is our child"),
        }
        assert_eq!(session.ended().code(), Some(if ended_by.is_some() { 130 } else { 0 }), "{ended_by:?}");
        session.is_given_back();
    }
}

#[test]
fn it_ends_by_itself_when_told_to() {
    let mut session = Session::start(&["--seconds", "1"]);
    assert_eq!(session.ended().code(), Some(0));
    session.is_given_back();
}

/// A program that does not outlive the test, however that ends.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_ends_when_its_terminal_goes_away() {
    let Started { watch, mut terminal, other, .. } = Started::on_terminal(&[]);
    let mut watch = Kept(watch);
    let (mut seen, mut bytes) = (Vec::<u8>::new(), [0; 4096]);
    while !seen.windows(2).any(|two| two == b"/s") {
        let read = terminal.read(&mut bytes).expect("it draws");
        seen.extend(&bytes[..read]);
    }
    drop((terminal, other));
    let ended = eventually("watch ends", || watch.0.try_wait().expect("it is our child"));
    assert_eq!(ended.code(), Some(130));
}
