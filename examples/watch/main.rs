//! A view of many live breakers and limiters, as an operator would have it beside a service.
//!
//! `cargo run --release --example watch -- --help` tells the rest. What it knows comes from the directory of
//! live instances alone: the threads that make the calls and the view share nothing else.

mod args;
#[path = "../shared/flags.rs"]
mod flags;
mod lines;
mod rows;
#[path = "../shared/spell.rs"]
mod spell;
mod terminal;
mod traffic;
mod view;
mod watcher;

use std::collections::VecDeque;
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fusewire::{Event, EventQueue};
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use args::{Command, Options};
use rows::{Column, Sort};
use spell::{cause_name, state_name};
use terminal::Screen;
use view::View;
use watcher::Watcher;

/// How often the instances are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long a key or a signal may wait for an answer.
const PROMPT: Duration = Duration::from_millis(50);
/// Changes of state that are kept.
const CHANGES: usize = 16;
/// How long it goes on where nobody can quit.
const UNATTENDED: u32 = 10;

fn main() -> ExitCode {
    let options = match args::parse(env::args_os().skip(1)) {
        Ok(Command::Watch(options)) => options,
        Ok(Command::Help) => {
            let _ = io::stdout().write_all(args::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(message) => return complain(2, &format!("{message}\nTry --help.")),
    };
    match run(&options) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Signal) => complain(130, "ended by a signal, or the terminal is gone"),
        Err(message) => complain(1, &message),
    }
}

fn complain(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "watch: {message}");
    ExitCode::from(code)
}

enum End {
    Done,
    Signal,
}

fn run(options: &Options) -> Result<End, String> {
    let signal = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let raised = signal.clone();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            raised.store(true, Ordering::Relaxed);
            // Should it find the view stuck, the program ends all the same.
            thread::sleep(Duration::from_secs(2));
            terminal::give_back();
            std::process::exit(130);
        }
    });
    let events = EventQueue::new();
    // Ends its threads when this function does.
    let _traffic = traffic::start(options.breakers, &events)?;
    let mut watch = Watch {
        watcher: Watcher::default(),
        start: Instant::now(),
        next: Duration::ZERO,
        events,
        changes: VecDeque::new(),
        view: View {
            rows: Vec::new(),
            changes: Vec::new(),
            sort: Sort { by: options.sort, reversed: false },
            elapsed: Duration::ZERO,
            paused: false,
            help: false,
            first: 0,
            colour: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        },
    };
    if terminal::is_there() {
        match watch.on_terminal(options.seconds, &signal) {
            // Whatever went wrong: the terminal went away.
            Err(_) if !terminal::wait(Duration::ZERO).unwrap_or(false) => Ok(End::Signal),
            end => end,
        }
    } else {
        watch.on_paper(options.seconds.unwrap_or(UNATTENDED), &signal)
    }
}

struct Watch {
    watcher: Watcher,
    start: Instant,
    /// When to look again.
    next: Duration,
    events: EventQueue,
    /// The newest first.
    changes: VecDeque<String>,
    view: View,
}

impl Watch {
    /// Looks at the instances if it is time to; whether it was.
    fn look(&mut self) -> bool {
        let at = self.start.elapsed();
        if at < self.next {
            return false;
        }
        self.next = at + LOOK;
        let changes = &mut self.changes;
        self.events.drain(|event| {
            let Event { breaker, from, to, cause, .. } = event;
            let (from, to, cause) = (state_name(from), state_name(to), cause_name(cause));
            changes.push_front(format!("{:>4} s  {breaker}: {from} -> {to}, {cause}", at.as_secs()));
        });
        self.changes.truncate(CHANGES);
        let rows = self.watcher.look(at);
        if !self.view.paused {
            self.view.rows = rows;
            self.view.elapsed = at;
            self.view.changes = self.changes.iter().cloned().collect();
            self.view.sort.apply(&mut self.view.rows);
        }
        true
    }

    fn on_terminal(&mut self, seconds: Option<u32>, signal: &AtomicBool) -> Result<End, String> {
        let trouble = |error: io::Error| format!("cannot use the terminal: {error}");
        let mut screen = Screen::take().map_err(trouble)?;
        let mut changed = true;
        loop {
            // Relaxed: a flag by itself.
            if signal.load(Ordering::Relaxed) {
                return Ok(End::Signal);
            }
            if seconds.is_some_and(|seconds| self.start.elapsed().as_secs() >= seconds.into()) {
                return Ok(End::Done);
            }
            if self.look() || changed {
                screen.terminal.draw(|frame| self.view.draw(frame)).map_err(trouble)?;
            }
            if !terminal::wait(PROMPT).map_err(trouble)? {
                return Ok(End::Signal);
            }
            // Also when there is nothing to read: a change of size comes by a signal.
            changed = event::poll(Duration::ZERO).map_err(trouble)?;
            if changed
                && let Input::Key(key) = event::read().map_err(trouble)?
                && key.kind == KeyEventKind::Press
            {
                let height = screen.terminal.size().map_err(trouble)?.height;
                if self.press(key, View::room(height)) {
                    return Ok(End::Done);
                }
            }
        }
    }

    /// Does what a key says, with room for so many rows; whether it says to end.
    fn press(&mut self, key: KeyEvent, room: usize) -> bool {
        let view = &mut self.view;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if key.code == KeyCode::Char('q') || (control && key.code == KeyCode::Char('c')) {
            return true;
        }
        if view.help {
            view.help = false;
            return false;
        }
        let last = view.rows.len().saturating_sub(room);
        view.first = match key.code {
            KeyCode::Up => view.first.saturating_sub(1),
            KeyCode::Down => view.first + 1,
            KeyCode::PageUp => view.first.saturating_sub(room),
            KeyCode::PageDown => view.first + room,
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => view.first,
        }
        .min(last);
        match key.code {
            KeyCode::Esc => return true,
            KeyCode::Char('p' | ' ') => view.paused = !view.paused,
            KeyCode::Char('?') => view.help = true,
            KeyCode::Char('r') => view.sort.reversed = !view.sort.reversed,
            KeyCode::Char('s') | KeyCode::Right => view.sort.by = view.sort.by.step(1),
            KeyCode::Left => view.sort.by = view.sort.by.step(Column::ALL.len() - 1),
            _ => {}
        }
        view.sort.apply(&mut view.rows);
        false
    }

    fn on_paper(&mut self, seconds: u32, signal: &AtomicBool) -> Result<End, String> {
        for second in 1..=u64::from(seconds) {
            let until = Duration::from_secs(second);
            while self.start.elapsed() < until {
                // Relaxed: a flag by itself.
                if signal.load(Ordering::Relaxed) {
                    return Ok(End::Signal);
                }
                self.look();
                thread::sleep(PROMPT);
            }
            self.next = Duration::ZERO;
            self.look();
            let text = lines::lines(self.view.elapsed, &self.view.rows);
            match io::stdout().write_all(text.as_bytes()) {
                // Whoever read our output has had enough, as `head` does.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Done),
                written => written.map_err(|error| format!("cannot write the output: {error}"))?,
            }
        }
        Ok(End::Done)
    }
}
