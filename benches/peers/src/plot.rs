//! Plots as SVG: a row for each contender, times on a logarithmic scale, readable on light and dark pages.

use std::fmt;

use crate::column::Column;
use crate::data::{Data, Row, SuiteData, TAIL};
use crate::entry::Kind;
use crate::figure;

/// Points on a time scale, in panels side by side.
pub(crate) struct Plot {
    name: String,
    title: String,
    /// What the points of a row are, in the order of their shapes.
    marks: Vec<String>,
    /// How a figure is written.
    written: fn(f64) -> String,
    rows: Vec<Label>,
    panels: Vec<Panel>,
}

struct Label {
    text: String,
    kind: Kind,
}

struct Panel {
    title: String,
    /// Nanoseconds for each row, and in it for each mark.
    points: Vec<Vec<Option<f64>>>,
}

/// Medians of the loops without work: a panel for each state or answer, a mark for each number of threads.
pub(crate) fn medians(data: &Data, suite: &SuiteData) -> Plot {
    let dense = || suite.columns.iter().filter(|column| !column.work);
    let mut cases: Vec<&str> =
        dense().filter(|column| column.threads > 1).map(|column| column.case.as_str()).collect();
    cases.dedup();
    let panel = |case: &str| {
        let columns: Vec<String> =
            dense().filter(|column| column.case == case).map(ToString::to_string).collect();
        let points = contenders(suite).map(|row| columns.iter().map(|column| row.median(column)).collect());
        Panel { title: case.to_owned(), points: points.collect() }
    };
    Plot {
        name: format!("performance-{}", suite.name),
        title: format!("{}: a call in a loop, median", heading(suite)),
        marks: ["one thread", "two threads that share it"].map(str::to_owned).to_vec(),
        written: figure::nanoseconds,
        rows: contenders(suite).map(|row| label(data, row)).collect(),
        panels: cases.into_iter().map(panel).collect(),
    }
}

/// Single operations of the first state or answer: a panel for each number of threads, a mark for each quantile.
pub(crate) fn tails(data: &Data, suite: &SuiteData) -> Plot {
    let case = suite.tail_columns.first().map_or("", |column| column.case.as_str());
    let columns = suite.tail_columns.iter().filter(|column| column.case == case);
    let panel = |column: &Column<String>| {
        let name = column.to_string();
        let points = suite.rows.iter().map(|row| (0..TAIL.len()).map(|at| row.tail(&name, at)).collect());
        let threads = if column.threads == 1 { "one thread" } else { "two threads that share it" };
        Panel { title: threads.to_owned(), points: points.collect() }
    };
    Plot {
        name: format!("performance-{}-tail", suite.name),
        title: format!("{}: single calls, {case}", heading(suite)),
        marks: TAIL.map(str::to_owned).to_vec(),
        written: figure::lap,
        rows: suite.rows.iter().map(|row| label(data, row)).collect(),
        panels: columns.map(panel).collect(),
    }
}

fn contenders(suite: &SuiteData) -> impl Iterator<Item = &Row> {
    suite.rows.iter().filter(|row| row.kind != Kind::Floor)
}

fn heading(suite: &SuiteData) -> &str {
    match suite.name.as_str() {
        "breaker" => "Breakers",
        "limit" => "Limiters",
        "retry" => "Retries",
        other => other,
    }
}

fn label(data: &Data, row: &Row) -> Label {
    let text = if row.kind == Kind::Floor {
        "the reading alone".to_owned()
    } else {
        figure::contender(&row.contender, &data.versions)
    };
    Label { text, kind: row.kind }
}

const WIDTH: f64 = 940.0;
const NAMES: f64 = 284.0;
const GAP: f64 = 52.0;
const TOP: f64 = 84.0;
const LINE: f64 = 22.0;
const BOTTOM: f64 = 34.0;

/// Follows the reader's preference. The background is drawn, so that it fits the text on a page of any colour.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
.title{font-size:15px;font-weight:600}.tick{font-size:11px;fill:#59636e}.ours{font-weight:600}\
.page{fill:#fff}.grid{stroke:#d1d9e0}.stem{stroke:#9aa4af;stroke-width:1.5}\
.mark{fill:#59636e;stroke:#59636e}.own{fill:#0969da;stroke:#0969da}.open{fill:#fff;stroke-width:1.5}\
@media(prefers-color-scheme:dark){\
text{fill:#f0f6fc}.tick{fill:#9198a1}.page{fill:#0d1117}.grid{stroke:#30363d}.stem{stroke:#656c76}\
.mark{fill:#b1bac4;stroke:#b1bac4}.own{fill:#58a6ff;stroke:#58a6ff}.open{fill:#0d1117}}";

impl Plot {
    pub(crate) fn file(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// What the plot shows, in words: of each panel the first row and the lowest of the peers.
    pub(crate) fn alternative(&self) -> String {
        let of_panel = |panel: &Panel| {
            let named = |index: usize| {
                Some(format!("{} {}", self.rows[index].text, self.values(&panel.points[index])?))
            };
            let others = (0..self.rows.len())
                .filter(|index| matches!(self.rows[*index].kind, Kind::Peer | Kind::OtherRule));
            let lowest = others
                .filter_map(|index| Some((index, panel.points[index].first().copied().flatten()?)))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            let said: Vec<String> =
                named(0).into_iter().chain(lowest.and_then(|(index, _)| named(index))).collect();
            format!("{}: {}", panel.title, said.join("; lowest of the peers: "))
        };
        let panels: Vec<String> = self.panels.iter().map(of_panel).collect();
        format!(
            "{}, in nanoseconds on a logarithmic scale. {}. All figures are in the table.",
            self.title,
            panels.join(". ")
        )
    }

    /// Everything that the points say.
    fn description(&self) -> String {
        let of_panel = |panel: &Panel| {
            let rows = self.rows.iter().zip(&panel.points);
            let said: Vec<String> = rows
                .filter_map(|(label, points)| Some(format!("{}: {}", label.text, self.values(points)?)))
                .collect();
            format!("{}, in nanoseconds. {}.", panel.title, said.join("; "))
        };
        self.panels.iter().map(of_panel).collect::<Vec<_>>().join(" ")
    }

    fn values(&self, points: &[Option<f64>]) -> Option<String> {
        let values = self.marks.iter().zip(points);
        let said: Vec<String> = values
            .filter_map(|(mark, value)| Some(format!("{mark} {}", (self.written)((*value)?))))
            .collect();
        (!said.is_empty()).then(|| said.join(", "))
    }

    fn scale(&self) -> Scale {
        let all = || self.panels.iter().flat_map(|panel| panel.points.iter().flatten().flatten());
        let low = all().copied().fold(f64::INFINITY, f64::min);
        let high = all().copied().fold(0.0, f64::max);
        Scale::around(low, high)
    }
}

/// Powers of ten that the plot begins and ends with.
#[derive(Debug, PartialEq, Eq)]
struct Scale {
    first: i32,
    last: i32,
}

impl Scale {
    fn around(low: f64, high: f64) -> Self {
        if !(low.is_finite() && high > 0.0) {
            return Self { first: 0, last: 1 };
        }
        let first = low.max(0.1).log10().floor() as i32;
        Self { first, last: (high.max(0.1).log10().ceil() as i32).max(first + 1) }
    }

    /// Where a value stands, from 0 to 1.
    fn at(&self, nanoseconds: f64) -> f64 {
        let place =
            (nanoseconds.max(0.1).log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        place.clamp(0.0, 1.0)
    }

    /// Lines at the powers of ten; of few powers also between them, of many with a text at every other.
    fn ticks(&self) -> Vec<Tick> {
        let decades = self.last - self.first;
        let mut ticks = Vec::new();
        for power in self.first..=self.last {
            let text = (decades <= 5 || (power - self.first) % 2 == 0).then(|| Self::name(1, power));
            ticks.push(Tick { nanoseconds: 10_f64.powi(power), text });
            if decades <= 2 && power < self.last {
                ticks.extend([2, 5].map(|times| Tick {
                    nanoseconds: f64::from(times) * 10_f64.powi(power),
                    text: Some(Self::name(times, power)),
                }));
            }
        }
        ticks
    }

    /// So many times a power of ten nanoseconds, in its best unit.
    fn name(times: u32, power: i32) -> String {
        let (unit, power) = match power {
            ..3 => ("ns", power),
            3..6 => ("µs", power - 3),
            6..9 => ("ms", power - 6),
            _ => ("s", power - 9),
        };
        if power < 0 {
            return format!(
                "{:.1$} {unit}",
                f64::from(times) * 10_f64.powi(power),
                power.unsigned_abs() as usize
            );
        }
        format!("{} {unit}", f64::from(times) * 10_f64.powi(power))
    }
}

struct Tick {
    nanoseconds: f64,
    text: Option<String>,
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bottom = TOP + LINE * self.rows.len() as f64;
        let height = bottom + BOTTOM;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="title desc">"#
        )?;
        writeln!(f, r#"<title id="title">{}</title>"#, escaped(&self.title))?;
        writeln!(f, r#"<desc id="desc">{}</desc>"#, escaped(&self.description()))?;
        writeln!(f, "<style>{STYLE}</style>")?;
        writeln!(f, r#"<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>"#)?;
        writeln!(f, r#"<text class="title" x="16" y="26">{}</text>"#, escaped(&self.title))?;
        self.legend(f)?;
        for (index, label) in self.rows.iter().enumerate() {
            let class = if label.kind == Kind::Ours { r#" class="ours""# } else { "" };
            writeln!(f, r#"<text{class} x="16" y="{}">{}</text>"#, line(index) + 4.0, escaped(&label.text))?;
        }
        let scale = self.scale();
        let count = self.panels.len().max(1) as f64;
        let width = (WIDTH - NAMES - GAP * count) / count;
        for (index, panel) in self.panels.iter().enumerate() {
            let left = NAMES + (width + GAP) * index as f64;
            self.panel(f, panel, &scale, left, width)?;
        }
        writeln!(f, "</svg>")
    }
}

impl Plot {
    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut x = 20.0;
        for (shape, name) in self.marks.iter().enumerate() {
            mark(f, shape, false, x, 47.0)?;
            writeln!(f, r#"<text class="tick" x="{:.1}" y="51">{}</text>"#, x + 10.0, escaped(name))?;
            x += 30.0 + 6.2 * name.chars().count() as f64;
        }
        Ok(())
    }

    fn panel(
        &self,
        f: &mut fmt::Formatter<'_>,
        panel: &Panel,
        scale: &Scale,
        left: f64,
        width: f64,
    ) -> fmt::Result {
        let bottom = TOP + LINE * self.rows.len() as f64;
        writeln!(
            f,
            r#"<text class="ours" x="{left:.1}" y="{:.1}">{}</text>"#,
            TOP - 14.0,
            escaped(&panel.title)
        )?;
        for tick in scale.ticks() {
            let x = left + width * scale.at(tick.nanoseconds);
            writeln!(f, r#"<path class="grid" d="M{x:.1} {:.1}V{bottom:.1}"/>"#, TOP - 6.0)?;
            if let Some(text) = tick.text {
                let y = bottom + 18.0;
                writeln!(
                    f,
                    r#"<text class="tick" text-anchor="middle" x="{x:.1}" y="{y:.1}">{text}</text>"#
                )?;
            }
        }
        for (index, points) in panel.points.iter().enumerate() {
            let y = line(index);
            let places: Vec<Option<f64>> =
                points.iter().map(|point| Some(left + width * scale.at((*point)?))).collect();
            let low = places.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            let high = places.iter().flatten().copied().fold(0.0, f64::max);
            if low < high {
                writeln!(f, r#"<path class="stem" d="M{low:.1} {y:.1}H{high:.1}"/>"#)?;
            }
            // The last first, so that where they meet the lowest is on top.
            for (shape, place) in places.iter().enumerate().rev() {
                if let Some(x) = place {
                    mark(f, shape, self.rows[index].kind == Kind::Ours, *x, y)?;
                }
            }
        }
        Ok(())
    }
}

fn line(index: usize) -> f64 {
    TOP + LINE * (index as f64 + 0.5)
}

/// A point. Shapes tell marks apart without colours.
fn mark(f: &mut fmt::Formatter<'_>, shape: usize, ours: bool, x: f64, y: f64) -> fmt::Result {
    let class = if ours { "own" } else { "mark" };
    match shape {
        0 => writeln!(f, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="4"/>"#),
        1 => writeln!(f, r#"<path class="{class} open" d="M{x:.1} {:.1}l5 5l-5 5l-5 -5z"/>"#, y - 5.0),
        2 => writeln!(f, r#"<path class="{class}" d="M{:.1} {:.1}h7v7h-7z"/>"#, x - 3.5, y - 3.5),
        _ => writeln!(f, r#"<path class="{class}" stroke-width="2" d="M{x:.1} {:.1}v12"/>"#, y - 6.0),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let label = |text: &str, kind| Label { text: text.to_owned(), kind };
        Plot {
            name: "a".to_owned(),
            title: "a < b".to_owned(),
            marks: vec!["one".to_owned(), "two".to_owned()],
            written: figure::nanoseconds,
            rows: vec![
                label("ours", Kind::Ours),
                label("slow", Kind::Peer),
                label("fast & odd", Kind::OtherRule),
            ],
            panels: vec![Panel {
                title: "closed".to_owned(),
                points: vec![vec![Some(2.0), Some(3.0)], vec![Some(90.0), None], vec![Some(9.0), Some(40.0)]],
            }],
        }
    }

    #[test]
    fn every_figure_is_there_in_words() {
        let svg = plot().to_string();
        let words = "closed, in nanoseconds. ours: one 2.0, two 3.0; slow: one 90.0; fast &amp; odd: one 9.0, two 40.0.";
        assert!(svg.contains(words), "{svg}");
        assert!(svg.contains("a &lt; b</title>") && svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn the_alternative_names_ours_and_the_lowest_of_the_peers() {
        let alternative = plot().alternative();
        assert!(
            alternative.contains("closed: ours one 2.0, two 3.0; lowest of the peers: fast & odd one 9.0")
        );
    }

    #[test]
    fn there_is_a_mark_for_each_figure_and_each_name() {
        let svg = plot().to_string();
        // Three circles and two diamonds for the figures, one of each in the legend.
        assert_eq!((svg.matches("<circle").count(), svg.matches("l5 5l-5").count()), (4, 3));
    }

    #[test]
    fn the_scale_begins_and_ends_with_powers_of_ten() {
        assert_eq!(Scale::around(1.6, 937.0), Scale { first: 0, last: 3 });
        assert_eq!(Scale::around(10.0, 10.0), Scale { first: 1, last: 2 });
        assert_eq!(Scale::around(f64::INFINITY, 0.0), Scale { first: 0, last: 1 });
        let scale = Scale { first: 0, last: 2 };
        assert!((scale.at(10.0) - 0.5).abs() < 1e-9 && scale.at(0.0).abs() < 1e-9);
        assert_eq!(
            [-1, 0, 2, 4, 6, 9].map(|power| Scale::name(1, power)),
            ["0.1 ns", "1 ns", "100 ns", "10 µs", "1 ms", "1 s"]
        );
    }

    #[test]
    fn ticks_are_as_dense_as_there_is_room_for() {
        let texts = |first, last| -> Vec<String> {
            Scale { first, last }.ticks().into_iter().filter_map(|tick| tick.text).collect()
        };
        assert_eq!(texts(0, 1), ["1 ns", "2 ns", "5 ns", "10 ns"]);
        assert_eq!(texts(-1, 2), ["0.1 ns", "1 ns", "10 ns", "100 ns"]);
        assert_eq!(texts(1, 7), ["10 ns", "1 µs", "100 µs", "10 ms"]);
        assert_eq!(Scale { first: 1, last: 7 }.ticks().len(), 7);
        assert_eq!(Scale::name(5, -1), "0.5 ns");
    }
}
