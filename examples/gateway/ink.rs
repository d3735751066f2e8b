//! Coloured text of a known width, and the strips that show a run at a glance.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use fusewire::CircuitState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Bold,
    Faint,
    Good,
    Warning,
    Bad,
    Note,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Note => "\x1b[36m",
        }
    }

    pub(crate) fn of_state(state: CircuitState) -> Self {
        match state {
            CircuitState::Closed => Self::Good,
            CircuitState::HalfOpen => Self::Warning,
            CircuitState::Open => Self::Bad,
            CircuitState::Disabled => Self::Faint,
        }
    }

    pub(crate) fn of_phase(phase: &str) -> Self {
        match phase {
            "well" => Self::Good,
            "slow" | "flaky" | "hiccups" => Self::Warning,
            "killed" | "stalled" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// One line of output, cut at the width of the terminal.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    width: usize,
    room: usize,
    colour: bool,
}

impl Line {
    pub(crate) fn new(room: usize, colour: bool) -> Self {
        Self { text: String::new(), width: 0, room, colour }
    }

    pub(crate) fn put(mut self, ink: Ink, text: impl Display) -> Self {
        let colour = self.colour && ink != Ink::Plain;
        if colour {
            self.text.push_str(ink.code());
        }
        // Every glyph in use is one column wide.
        for glyph in text.to_string().chars().take(self.room - self.width) {
            self.text.push(glyph);
            self.width += 1;
        }
        if colour {
            self.text.push_str("\x1b[0m");
        }
        self
    }

    /// Pads with blanks up to a column.
    pub(crate) fn to(self, column: usize) -> Self {
        let gap = column.saturating_sub(self.width);
        self.put(Ink::Plain, " ".repeat(gap))
    }

    pub(crate) fn text(self) -> String {
        self.text
    }
}

/// Columns of a strip.
pub(crate) const CELLS: usize = 60;

/// The column of a strip that a time in a run of some length falls into.
pub(crate) fn cell(at: Duration, length: Duration) -> usize {
    let cell = at.as_nanos() * CELLS as u128 / length.as_nanos();
    (cell as usize).min(CELLS - 1)
}

/// Counts as bars against what each could have been.
pub(crate) fn bars(counts: impl IntoIterator<Item = (u64, u64)>) -> String {
    const LEVELS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let level = |count, whole: u64| match count {
        0 => 0,
        count => ((count * 8_000 / whole.max(1) + 500) / 1_000).clamp(1, 8) as usize,
    };
    counts.into_iter().map(|(count, whole)| LEVELS[level(count, whole)]).collect()
}

/// The glyph of a state in a strip; legible without colour.
pub(crate) fn state_glyph(state: CircuitState) -> char {
    match state {
        CircuitState::Closed => '─',
        CircuitState::Open => '█',
        CircuitState::HalfOpen => '▒',
        CircuitState::Disabled => ' ',
    }
}

/// Names spread over a strip, each from where it begins; what is well is dots: `····killed ····`.
pub(crate) fn labels(marks: &[(usize, &'static str)]) -> Vec<(String, usize, &'static str)> {
    let mut spans = Vec::new();
    for (at, &(from, name)) in marks.iter().enumerate() {
        let until = marks.get(at + 1).map_or(CELLS, |next| next.0);
        let room = until.saturating_sub(from);
        let shown = if name == "well" { "·".repeat(room) } else { format!("{name:<room$.room$}") };
        spans.push((shown, from, name));
    }
    spans
}

/// `1.234 s`, right-aligned: the clock of a run.
pub(crate) fn stamp(at: Duration) -> String {
    let mut text = String::new();
    let _ = write!(text, "{:>7.3} s", at.as_secs_f64());
    text
}
