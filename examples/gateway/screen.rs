//! What is seen while a run goes on: on a terminal a view redrawn in place, elsewhere a log with a line for
//! each change and one a second.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use fusewire::CircuitState;

use crate::ink::{self, CELLS, Ink, Line, stamp, state_glyph};
use crate::record::{Entry, Record, What};
use crate::run::Now;
use crate::spell::{cause_name, grouped, short, state_name};
use crate::tally::{Counts, Item};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

#[derive(Debug)]
pub(crate) struct Screen {
    live: bool,
    colour: bool,
    /// Lines of the view that are on the terminal now.
    drawn: usize,
    next_log: Duration,
    title: String,
    /// What a call that went well is called.
    filled: &'static str,
}

impl Screen {
    pub(crate) fn new(filled: &'static str) -> Self {
        let live = io::stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb");
        let colour = live && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live, colour, drawn: 0, next_log: Duration::ZERO, title: String::new(), filled }
    }

    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    pub(crate) fn begin(&mut self, title: &str) -> io::Result<()> {
        title.clone_into(&mut self.title);
        self.next_log = Duration::from_secs(1);
        if self.live { write!(io::stdout(), "{HIDE_CURSOR}") } else { writeln!(io::stdout(), "\n{title}") }
    }

    pub(crate) fn note(&mut self, entry: &Entry) -> io::Result<()> {
        if self.live { Ok(()) } else { writeln!(io::stdout(), "{}", entry_line(entry, usize::MAX, false)) }
    }

    pub(crate) fn show(&mut self, now: &Now<'_>) -> io::Result<()> {
        if self.live {
            return self.draw(now);
        }
        if now.record.elapsed < self.next_log {
            return Ok(());
        }
        self.next_log += Duration::from_secs(1);
        let per_second = per_second(now);
        let recent = &now.recent.0;
        let mut line = format!(
            "{} {:<9} {:>6} {} {:>4} declined {:>5} failed",
            stamp(now.record.elapsed),
            now.breaker.map_or("", |(state, _)| state_name(state)),
            per_second(recent[Item::Filled]),
            self.filled,
            per_second(recent[Item::Declined]),
            per_second(recent.failed()),
        );
        if now.breaker.is_some() {
            let [limiter, breaker] =
                [Item::RefusedByLimiter, Item::RefusedByBreaker].map(|item| per_second(recent[item]));
            let _ = write!(line, "; refused: {limiter:>5} by limiter {breaker:>6} by breaker");
        }
        writeln!(io::stdout(), "{line} /s")
    }

    /// Takes the view off the terminal, to make room for the summary.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if self.live {
            let up = self.go_up();
            write!(io::stdout(), "{up}\x1b[J{SHOW_CURSOR}")?;
            self.drawn = 0;
        }
        io::stdout().flush()
    }

    fn go_up(&self) -> String {
        if self.drawn == 0 { "\r".into() } else { format!("\r\x1b[{}A", self.drawn) }
    }

    /// One write per frame, each line cleared only behind its text, so that nothing flickers.
    fn draw(&mut self, now: &Now<'_>) -> io::Result<()> {
        let (columns, rows) = size();
        let lines = self.view(now, columns.saturating_sub(1).min(100), rows.saturating_sub(1));
        let mut frame = self.go_up();
        for line in &lines {
            let _ = writeln!(frame, "{line}\x1b[K");
        }
        frame.push_str("\x1b[J");
        self.drawn = lines.len();
        let mut stdout = io::stdout().lock();
        stdout.write_all(frame.as_bytes())?;
        stdout.flush()
    }

    fn view(&self, now: &Now<'_>, room: usize, rows: usize) -> Vec<String> {
        let record = now.record;
        let line = || Line::new(room, self.colour);
        let mut lines = vec![String::new()];
        lines.push(
            line()
                .put(Ink::Bold, " Fusewire gateway")
                .put(Ink::Plain, "   ")
                .put(Ink::Plain, &self.title)
                .text(),
        );
        let done = record.cell(record.elapsed);
        lines.push(
            line()
                .to(10)
                .put(Ink::Note, "━".repeat(done + 1))
                .put(Ink::Faint, "━".repeat(CELLS - done - 1))
                .put(Ink::Plain, format!(" {:>5.1} s", record.elapsed.as_secs_f64()))
                .text(),
        );
        lines.push(String::new());

        lines.extend(layers(now, line));
        let phases = record.phases();
        let phase = if now.pid.is_some() { phases.last().map_or("", |phase| phase.1) } else { "yours" };
        let mut venue = line().put(Ink::Faint, " venue").to(10);
        venue = venue.put(Ink::of_phase(phase), format!("● {phase:<10}"));
        venue = venue.put(Ink::Plain, now.address);
        if let Some(pid) = now.pid {
            venue = venue.to(48).put(Ink::Faint, format!("pid {pid}"));
        }
        lines.push(venue.text());
        lines.push(String::new());

        let head = format!(
            "{:>10}{:>11}{:>11}{:>18}{:>18}",
            self.filled, "declined", "failed", "refused: limiter", "refused: breaker"
        );
        lines.push(line().to(10).put(Ink::Faint, head).text());
        lines.push(numbers(line(), " a second", &now.recent.0, per_second(now)));
        lines.push(numbers(line(), " in all", &now.counts, grouped));
        lines.push(String::new());

        lines.extend(strips(record, done, room, self.colour));
        lines.push(String::new());
        // The latest of the timeline, as much as there is room for.
        let fits = rows.saturating_sub(lines.len()).min(16);
        let first = record.entries.len().saturating_sub(fits);
        lines.extend(record.entries[first..].iter().map(|entry| entry_line(entry, room, self.colour)));
        lines.truncate(rows);
        lines
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.live {
            let _ = write!(io::stdout(), "{SHOW_CURSOR}");
            let _ = io::stdout().flush();
        }
    }
}

/// A line for each layer: what it does now, and what it has done.
fn layers(now: &Now<'_>, line: impl Fn() -> Line) -> Vec<String> {
    let name = |name: &str| line().put(Ink::Faint, format!(" {name}")).to(10);
    let (Some((state, until)), Some((_, counted))) = (now.breaker, &now.record.protection) else {
        return vec![name("layers").put(Ink::Plain, "none: each order is sent, once").text()];
    };
    let retry = name("retry")
        .put(Ink::Plain, format!("{} retries", grouped(counted.retry.retries)))
        .to(27)
        .put(Ink::Good, format!("{} orders saved", grouped(now.counts[Item::Saved])))
        .to(48)
        .put(Ink::Faint, format!("budget for {} more", counted.budget.left));
    let limiter = name("limiter")
        .put(Ink::Plain, format!("{} passed", grouped(counted.limiter.allowed)))
        .to(27)
        .put(Ink::Warning, format!("{} refused", grouped(counted.limiter.refused)));
    let breaker = name("breaker")
        .put(Ink::of_state(state), format!("● {:<10}", state_name(state)))
        .to(27)
        .put(
            Ink::Plain,
            match state {
                CircuitState::Open => format!("probes in {:.2} s", until.as_secs_f64()),
                CircuitState::HalfOpen => "probing the venue".into(),
                CircuitState::Closed | CircuitState::Disabled => "orders pass".into(),
            },
        )
        .to(48)
        .put(Ink::Faint, format!("opened {} times", now.record.times_opened()));
    [retry, limiter, breaker].map(Line::text).into()
}

fn numbers(line: Line, name: &str, counts: &Counts, spell: impl Fn(u64) -> String) -> String {
    let mut line = line.put(Ink::Faint, name).to(10);
    for (count, ink, width) in [
        (counts[Item::Filled], Ink::Good, 10),
        (counts[Item::Declined], Ink::Plain, 11),
        (counts.failed(), Ink::Bad, 11),
        (counts[Item::RefusedByLimiter], Ink::Warning, 18),
        (counts[Item::RefusedByBreaker], Ink::Warning, 18),
    ] {
        line = line.put(if count == 0 { Ink::Faint } else { ink }, format!("{:>width$}", spell(count)));
    }
    line.text()
}

fn per_second(now: &Now<'_>) -> impl Fn(u64) -> String {
    let millis = (now.recent.1.as_millis() as u64).max(1);
    move |count| grouped((count * 1_000 + millis / 2) / millis)
}

/// The first `cells` of a run at a glance, one for each 60th of it: the load, the script, what was filled,
/// and the breaker's state.
pub(crate) fn strips(record: &Record, cells: usize, room: usize, colour: bool) -> Vec<String> {
    let line = |name| Line::new(room, colour).put(Ink::Faint, name).to(10);
    let due = |cell| record.schedule.due_in_cell(cell);
    let mut strips = Vec::new();
    let phases = record.phases();
    if !phases.is_empty() {
        let mut script = line(" venue");
        for (text, from, phase) in ink::labels(&phases) {
            let room = cells.saturating_sub(from);
            script = script.put(Ink::of_phase(phase), text.chars().take(room).collect::<String>());
        }
        strips.push(script.text());
    }
    if record.schedule.surge.is_some() {
        let most = (0..CELLS).map(due).max().unwrap_or_default();
        let load = ink::bars((0..cells).map(|cell| (due(cell), most)));
        strips.push(line(" due").put(Ink::Note, load).text());
    }
    let filled = ink::bars((0..cells).map(|cell| (record.cells[cell], due(cell))));
    strips.push(line(" filled").put(Ink::Good, filled).text());
    if record.protection.is_some() {
        let mut breaker = line(" breaker");
        for state in record.states().take(cells) {
            breaker = breaker.put(Ink::of_state(state), state_glyph(state));
        }
        strips.push(breaker.text());
    }
    strips
}

pub(crate) fn entry_line(entry: &Entry, room: usize, colour: bool) -> String {
    let line = Line::new(room, colour).put(Ink::Faint, stamp(entry.at)).put(Ink::Plain, "  ");
    match &entry.what {
        What::Load { words } => line.put(Ink::Note, "load     ").put(Ink::Plain, words),
        What::Script { phase, words } => line.put(Ink::of_phase(phase), "script   ").put(Ink::Plain, words),
        What::Breaker { from, to, cause, spent } => line
            .put(Ink::of_state(*to), "breaker  ")
            .put(Ink::Plain, state_name(*from))
            .put(Ink::Faint, " -> ")
            .put(Ink::of_state(*to), state_name(*to))
            .put(Ink::Plain, format!(": {}", cause_name(*cause)))
            .put(Ink::Faint, format!(", after {} {}", spell(*spent), state_name(*from))),
    }
    .text()
}

/// The breaker's coarse clock has a resolution of 1 ms.
fn spell(spent: Duration) -> String {
    if spent < Duration::from_millis(1) { "< 1 ms".into() } else { short(spent) }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
