//! What is seen on a terminal: a row for each instance, as many columns as there is room for.

use std::time::Duration;

use fusewire::CircuitState;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::rows::{Column, Kind, Row, Sort, State};
use crate::spell::{grouped, short};

/// Everything that decides what is seen.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) rows: Vec<Row>,
    /// The latest changes of state, the newest first.
    pub(crate) changes: Vec<String>,
    pub(crate) sort: Sort,
    pub(crate) elapsed: Duration,
    pub(crate) paused: bool,
    pub(crate) help: bool,
    /// The first row that is seen.
    pub(crate) first: usize,
    pub(crate) colour: bool,
}

/// A column of the terminal; the bars take what room is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Of(Column),
    Bars,
}

/// What to leave out first is last. With how wide each is.
const FIELDS: [(Field, usize); 9] = [
    (Field::Of(Column::Name), 13),
    (Field::Of(Column::State), 12),
    (Field::Of(Column::Calls), 9),
    (Field::Of(Column::P99), 8),
    (Field::Of(Column::Refused), 10),
    (Field::Of(Column::Failed), 9),
    (Field::Of(Column::P50), 8),
    (Field::Bars, 9),
    (Field::Of(Column::Kind), 8),
];
/// In the order in which they stand.
const ORDER: [Field; 9] = [
    Field::Of(Column::Name),
    Field::Of(Column::Kind),
    Field::Of(Column::State),
    Field::Of(Column::Calls),
    Field::Of(Column::Failed),
    Field::Of(Column::Refused),
    Field::Of(Column::P50),
    Field::Of(Column::P99),
    Field::Bars,
];
const BARS: usize = 60;
const KEYS: &str = "q quit  p pause  s sort  r reverse  ↑↓ scroll  ? help";
const HELP: [&str; 10] = [
    "q, Esc, Ctrl-C   quit",
    "p, space         pause the view; the calls go on",
    "s, →             sort by the next column",
    "←                sort by the one before",
    "r                the other way round",
    "↑ ↓ PgUp PgDn    scroll",
    "Home End         to the first, to the last",
    "?                this text; any key closes it",
    "",
    "p50, p99: of the last 5 s. Bars: calls, 15 s.",
];

impl View {
    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let changes = if area.height >= 20 { 7 } else { 0 };
        let [title, head, rows, news, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(changes),
            Constraint::Length(u16::from(area.height > 3)),
        ])
        .areas(area);
        frame.render_widget(self.title(), title);
        let fields = fields(area.width.into());
        frame.render_widget(self.head(&fields), head);
        let lines = self.rows.iter().skip(self.first(rows.height.into())).take(rows.height.into());
        let lines: Vec<_> = lines.map(|row| self.line(row, &fields)).collect();
        frame.render_widget(Text::from(lines), rows);
        frame.render_widget(self.news(news.height.into()), news);
        frame.render_widget(Line::styled(format!(" {KEYS}"), self.faint()), foot);
        if self.help {
            draw_help(frame, area);
        }
    }

    /// How many rows a terminal of this height shows.
    pub(crate) fn room(height: u16) -> usize {
        let others = 3 + if height >= 20 { 7 } else { 0 };
        usize::from(height).saturating_sub(others)
    }

    /// The first row that is seen where there is room for so many.
    fn first(&self, room: usize) -> usize {
        self.first.min(self.rows.len().saturating_sub(room))
    }

    fn title(&self) -> Line<'static> {
        let count = |kind| self.rows.iter().filter(|row| row.kind == kind).count();
        let [breakers, limiters] = [Kind::Breaker, Kind::Limiter].map(count);
        let open = self.rows.iter().filter(|row| row.state == State::Breaker(CircuitState::Open)).count();
        let mut spans = vec![Span::styled(" Fusewire watch", Style::new().add_modifier(Modifier::BOLD))];
        if self.paused {
            let style = Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED);
            spans.extend([Span::raw("  "), Span::styled(" PAUSED ", style)]);
        }
        spans.push(Span::raw(format!("  {} s", self.elapsed.as_secs())));
        spans.push(Span::styled(
            format!("  {breakers} breakers, {open} open; {limiters} limiters"),
            self.faint(),
        ));
        Line::from(spans)
    }

    fn head(&self, fields: &[(Field, usize)]) -> Line<'static> {
        let mut spans = Vec::new();
        for &(field, width) in fields {
            let text = match field {
                Field::Of(column) => {
                    let rises = matches!(column, Column::Name | Column::Kind) != self.sort.reversed;
                    let mark = match (column == self.sort.by, rises) {
                        (false, _) => "",
                        (true, false) => "▼",
                        (true, true) => "▲",
                    };
                    let name = match column {
                        Column::Calls | Column::Failed | Column::Refused => format!("{}/s", column.key()),
                        Column::Name => " name".into(),
                        _ => column.key().to_string(),
                    };
                    pad(&format!("{name}{mark}"), width, is_text(field))
                }
                Field::Bars => pad("calls", width, false),
            };
            let sorted = field == Field::Of(self.sort.by);
            let style = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
            spans.push(Span::styled(text, if sorted { style } else { self.faint() }));
        }
        Line::from(spans)
    }

    fn line(&self, row: &Row, fields: &[(Field, usize)]) -> Line<'static> {
        let spans = fields.iter().map(|&(field, width)| {
            let (text, style) = match field {
                Field::Bars => (format!("  {}", bars(&row.history, width - 2)), self.colour(Color::Cyan)),
                Field::Of(column) => self.cell(row, column),
            };
            Span::styled(pad(&text, width, is_text(field)), style)
        });
        spans.collect()
    }

    fn cell(&self, row: &Row, column: Column) -> (String, Style) {
        let plain = Style::new();
        let if_any = |count: u64, colour| if count > 0 { self.colour(colour) } else { self.faint() };
        let latency = |which: usize| match row.latency {
            Some(latency) => (short(latency[which]), plain),
            None => ("-".into(), self.faint()),
        };
        match column {
            Column::Name => (format!(" {}", row.name), plain.add_modifier(Modifier::BOLD)),
            Column::Kind => (row.kind.word().into(), self.faint()),
            Column::State => {
                (format!("{} {}", row.state.glyph(), row.state.word()), self.of_state(row.state))
            }
            Column::Calls => (grouped(row.calls), plain),
            Column::Failed => match row.failed {
                Some(failed) => (grouped(failed), if_any(failed, Color::Red)),
                None => ("-".into(), self.faint()),
            },
            Column::Refused => (grouped(row.refused), if_any(row.refused, Color::Yellow)),
            Column::P50 => latency(0),
            Column::P99 => latency(1),
        }
    }

    fn news(&self, height: usize) -> Text<'static> {
        let mut lines = vec![Line::raw(""), Line::styled(" Latest changes of state", self.faint())];
        if self.changes.is_empty() {
            lines.push(Line::styled(" none yet", self.faint()));
        }
        lines.extend(self.changes.iter().map(|change| Line::raw(format!(" {change}"))));
        lines.truncate(height);
        Text::from(lines)
    }

    fn colour(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn faint(&self) -> Style {
        if self.colour { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    fn of_state(&self, state: State) -> Style {
        match state {
            State::Breaker(CircuitState::Closed) | State::Passing => self.colour(Color::Green),
            State::Breaker(CircuitState::HalfOpen) | State::Refusing => self.colour(Color::Yellow),
            State::Breaker(CircuitState::Open) => self.colour(Color::Red).add_modifier(Modifier::BOLD),
            State::Breaker(CircuitState::Disabled) => self.faint(),
        }
    }
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let width = HELP.iter().map(|line| line.chars().count()).max().unwrap_or_default() as u16 + 4;
    let (width, height) = (width.min(area.width), (HELP.len() as u16 + 2).min(area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let lines: Vec<_> = HELP.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Help ")), place);
}

/// Words stand on the left of their column, numbers on the right.
fn is_text(field: Field) -> bool {
    matches!(field, Field::Bars | Field::Of(Column::Name | Column::Kind | Column::State))
}

fn pad(text: &str, width: usize, left: bool) -> String {
    // One blank between columns at least.
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if left { format!("{cut:<width$}") } else { format!("{cut:>width$}") }
}

/// The fields that there is room for, in order, and their widths.
fn fields(room: usize) -> Vec<(Field, usize)> {
    let mut left = room;
    let mut chosen = Vec::new();
    for (field, width) in FIELDS {
        if width > left && !chosen.is_empty() {
            break;
        }
        left = left.saturating_sub(width);
        chosen.push((field, width));
    }
    chosen.sort_by_key(|chosen| ORDER.iter().position(|&field| field == chosen.0));
    // Names may be long.
    let longer = (left / 2).min(7);
    for (field, width) in &mut chosen {
        match field {
            Field::Of(Column::Name) => *width += longer,
            Field::Bars => *width = (*width + left - longer).min(BARS + 2),
            Field::Of(_) => {}
        }
    }
    chosen
}

/// The latest of a history as bars, the highest as high as a bar can be.
fn bars(history: &[u64], room: usize) -> String {
    const LEVELS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let latest = &history[history.len().saturating_sub(room)..];
    let most = latest.iter().copied().max().unwrap_or_default().max(1);
    let level = |count: u64| if count == 0 { 0 } else { (count * 8).div_ceil(most) as usize };
    let bars: String = latest.iter().map(|&count| LEVELS[level(count)]).collect();
    // The latest is always at the same place.
    format!("{bars:>room$}")
}
