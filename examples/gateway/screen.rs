//! What is seen while a run goes on: on a terminal a view redrawn in place, elsewhere a log with a line for
//! each change and one a second.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use fusewire::CircuitState;

use crate::ink::{self, CELLS, Ink, Line, cause_name, grouped, stamp, state_glyph, state_name};
use crate::run::{Entry, Now, What};

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
    rate: u32,
    /// What a call that went well is called.
    filled: &'static str,
}

impl Screen {
    pub(crate) fn new(rate: u32, filled: &'static str) -> Self {
        let live = io::stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb");
        let colour = live && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live, colour, drawn: 0, next_log: Duration::ZERO, title: String::new(), rate, filled }
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
        writeln!(
            io::stdout(),
            "{} {:<9} {:>6} {} {:>4} declined {:>5} failed {:>6} rejected /s",
            stamp(now.record.elapsed),
            state_name(now.state),
            per_second(now.recent.0.filled),
            self.filled,
            per_second(now.recent.0.declined),
            per_second(now.recent.0.failed()),
            per_second(now.recent.0.rejected),
        )
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

        let mut breaker = line().put(Ink::Faint, " breaker").to(10);
        breaker = breaker.put(Ink::of_state(now.state), format!("● {:<10}", state_name(now.state)));
        breaker = match now.state {
            CircuitState::Open => {
                breaker.put(Ink::Plain, format!("probes again in {:.2} s", now.retry.as_secs_f64()))
            }
            CircuitState::HalfOpen => breaker.put(Ink::Plain, "probing the venue"),
            CircuitState::Closed => breaker.put(Ink::Plain, "orders pass"),
            CircuitState::Disabled => breaker.put(Ink::Plain, "orders pass unguarded"),
        };
        lines.push(breaker.to(48).put(Ink::Faint, format!("opened {} times", record.times_opened())).text());
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

        let head = format!("{:>10}{:>12}{:>12}{:>12}", self.filled, "declined", "failed", "rejected");
        lines.push(line().to(10).put(Ink::Faint, head).text());
        let rate = per_second(now);
        let recent =
            [now.recent.0.filled, now.recent.0.declined, now.recent.0.failed(), now.recent.0.rejected];
        lines.push(numbers(line(), " a second", &recent.map(rate)));
        let counts = [now.counts.filled, now.counts.declined, now.counts.failed(), now.counts.rejected];
        lines.push(numbers(line(), " in all", &counts.map(grouped)));
        lines.push(String::new());

        lines.extend(strips(record, self.rate, done, room, self.colour));
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

fn numbers(line: Line, name: &str, values: &[String; 4]) -> String {
    let mut line = line.put(Ink::Faint, name).to(10);
    for (value, (ink, width)) in
        values.iter().zip([(Ink::Good, 10), (Ink::Plain, 12), (Ink::Bad, 12), (Ink::Warning, 12)])
    {
        line = line.put(if value == "0" { Ink::Faint } else { ink }, format!("{value:>width$}"));
    }
    line.text()
}

fn per_second(now: &Now<'_>) -> impl Fn(u64) -> String {
    let millis = (now.recent.1.as_millis() as u64).max(1);
    move |count| grouped((count * 1_000 + millis / 2) / millis)
}

/// The first `cells` of a run at a glance, one for each 60th of it: the script, what was filled, and the
/// breaker's state.
pub(crate) fn strips(
    record: &crate::run::Record,
    rate: u32,
    cells: usize,
    room: usize,
    colour: bool,
) -> Vec<String> {
    let line = |name| Line::new(room, colour).put(Ink::Faint, name).to(10);
    let mut strips = Vec::new();
    let phases = record.phases();
    if !phases.is_empty() {
        let mut script = line(" venue");
        for (name, from) in ink::labels(&phases) {
            let room = cells.saturating_sub(from);
            script = script.put(Ink::of_phase(name.trim()), name.chars().take(room).collect::<String>());
        }
        strips.push(script.text());
    }
    let due = u64::from(rate) * record.length.as_millis() as u64 / CELLS as u64;
    let filled = line(" filled").put(Ink::Good, ink::bars(&record.cells[..cells], due));
    let mut breaker = line(" breaker");
    for state in record.states().take(cells) {
        breaker = breaker.put(Ink::of_state(state), state_glyph(state));
    }
    strips.extend([filled.text(), breaker.text()]);
    strips
}

pub(crate) fn entry_line(entry: &Entry, room: usize, colour: bool) -> String {
    let line = Line::new(room, colour).put(Ink::Faint, stamp(entry.at)).put(Ink::Plain, "  ");
    match &entry.what {
        What::Script { phase, words } => line.put(Ink::of_phase(phase), "script   ").put(Ink::Plain, words),
        What::Breaker { from, to, cause, spent } => line
            .put(Ink::of_state(*to), "breaker  ")
            .put(Ink::Plain, state_name(*from))
            .put(Ink::Faint, " -> ")
            .put(Ink::of_state(*to), state_name(*to))
            .put(Ink::Plain, format!(": {}", cause_name(*cause)))
            .put(Ink::Faint, format!(", after {}", spell(*spent))),
    }
    .text()
}

/// The breaker's coarse clock has a resolution of 1 ms.
fn spell(spent: Duration) -> String {
    if spent < Duration::from_millis(1) { "< 1 ms".into() } else { ink::short(spent) }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
