//! What the runs come to, as a page for a browser: drawings and the tables of the summary, in one file that
//! loads nothing.

mod axis;
mod plots;
mod svg;

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::args::Options;
use crate::compare;
use crate::layers;
use crate::record::Record;
use crate::run::Setup;
use crate::screen::entry_line;
use crate::series::{Refusal, Slice};
use crate::spell::{grouped, short};
use crate::summary::remarks;
use crate::table::{Figure, Row, Run, Table, run_name};
use crate::tally::Item;

use plots::{PAPERS, Paper, RATES, Ranges};
use svg::escape;

/// Nothing may be loaded, whatever stands on the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page while it is written.
struct Html {
    text: String,
}

impl Html {
    fn put(&mut self, what: impl Display) {
        let _ = writeln!(self.text, "{what}");
    }

    /// Something in an element; both are text, not markup.
    fn element(&mut self, open: &str, text: &str) {
        let name = open.split(' ').next().unwrap_or(open);
        self.put(format_args!("<{open}>{}</{name}>", escape(text)));
    }

    fn section(&mut self, id: &str, title: &str, inside: impl FnOnce(&mut Self)) {
        self.put(format_args!("<section id=\"{id}\" aria-labelledby=\"{id}-title\">"));
        self.element(&format!("h2 id=\"{id}-title\""), title);
        inside(self);
        self.put("</section>");
    }

    /// Folded until it is asked for.
    fn folded(&mut self, title: &str, inside: impl FnOnce(&mut Self)) {
        self.put("<details>");
        self.element("summary", title);
        inside(self);
        self.put("</details>");
    }

    /// How each line looks, and what it is.
    fn legend(&mut self, lines: &[(&str, &str)]) {
        self.put("<ul class=\"legend\">");
        for (class, words) in lines {
            let shape = if class.starts_with("line") {
                format!("<path class=\"{class}\" d=\"M0 6H28\"/>")
            } else {
                format!("<rect class=\"{class}\" width=\"28\" height=\"12\"/>")
            };
            let words = escape(words);
            self.put(format_args!(
                "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\">{shape}</svg>{words}</li>"
            ));
        }
        self.put("</ul>");
    }

    /// The drawing for each kind of paper; the style shows one of them.
    fn drawing(&mut self, draw: impl Fn(Paper) -> String) {
        for paper in PAPERS {
            self.text.push_str(&draw(paper));
        }
    }

    fn figure(&mut self, open: &str, row: &Row, run: usize) {
        let figure = row.figures[run];
        let value = match figure {
            Figure::Count(count) => count.to_string(),
            Figure::Time(time) => time.as_nanos().to_string(),
            Figure::Nothing => String::new(),
        };
        let path = escape(&row.path);
        let open = format!("{open} data-run=\"{run}\" data-path=\"{path}\" data-value=\"{value}\"");
        self.element(&open, &figure.text());
    }

    fn table(&mut self, table: &Table) {
        self.put("<table>");
        self.element("caption", &table.title);
        if !table.columns.is_empty() {
            self.put("<thead><tr><th scope=\"col\"></th>");
            for column in &table.columns {
                self.element("th scope=\"col\"", column);
            }
            self.put("</tr></thead>");
        }
        self.put("<tbody>");
        for row in &table.rows {
            self.put("<tr>");
            self.element(&format!("th scope=\"row\" class=\"deep{}\"", row.depth), &row.name);
            for run in 0..row.figures.len() {
                self.figure("td", row, run);
            }
            self.put("</tr>");
        }
        self.put("</tbody></table>");
        for note in &table.notes {
            self.element("p class=\"note\"", note);
        }
    }
}

/// The whole file.
pub(crate) fn page(options: &Options, setup: &Setup, runs: &[Run]) -> String {
    let ranges = Ranges::of(runs);
    let mut html = Html { text: String::new() };
    html.put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>");
    html.put(format_args!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>"));
    html.put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>");
    html.put("<title>Fusewire gateway: report</title>");
    html.put(format_args!("<style>\n{}</style>\n</head>\n<body>\n<main>", include_str!("report/style.css")));
    head(&mut html, options, setup, runs);
    html.section("states", "States and rates", |html| states(html, setup, runs, &ranges));
    html.section("latency", "Latency over time", |html| latency(html, setup, runs, &ranges));
    html.section("percentiles", "Latency by percentile", |html| percentiles(html, runs, &ranges));
    html.section("refusals", "Attempts refused, by layer", |html| refusals(html, runs, &ranges));
    html.section("summary", "Summary", |html| summary(html, setup, runs));
    html.section("details", "Run by run", |html| details(html, setup, runs));
    html.put("</main>\n</body>\n</html>");
    html.text
}

fn head(html: &mut Html, options: &Options, setup: &Setup, runs: &[Run]) {
    let Options { seconds, threads, .. } = options;
    let rate = grouped(options.rate.into());
    html.put("<header>");
    html.element("h1", "Fusewire gateway: report");
    let what = match runs {
        [_] => format!("One run of {seconds} s, guarding {}", compare::title(setup, &runs[0].0)),
        _ => format!("The same script twice for {seconds} s, protected and unprotected"),
    };
    let lead = format!("{what}: {threads} threads, {rate} orders a second.");
    html.element("p class=\"lead\"", &lead);
    html.put("</header>");
    if let [(_, with), (_, without)] = runs {
        html.section("short", "In short", |html| {
            html.put("<dl class=\"tiles\">");
            for row in compare::points(setup, with, without) {
                html.put("<div>");
                html.element("dt", &row.name);
                html.figure("dd class=\"first\"", &row, 0);
                html.put("<dd class=\"second\">unprotected");
                html.figure("span", &row, 1);
                html.put("</dd></div>");
            }
            html.put("</dl>");
            html.element("p class=\"note\"", &compare::price(with));
        });
    }
}

fn states(html: &mut Html, setup: &Setup, runs: &[Run], ranges: &Ranges) {
    html.element(
        "p class=\"note\"",
        "A full bar in the lane of the breaker is open, half a bar half-open, a thin line closed. Behind the \
         lines the plot is tinted while the breaker is not closed, and in a run without one while the venue \
         has a fault. Each run has a scale of its own; the area is the same load in both.",
    );
    let words = |class: &'static str| match class {
        "filled" => setup.filled(),
        "sent" => "attempts sent",
        class => class,
    };
    let names = RATES.map(|(class, _)| (format!("line {class}"), words(class)));
    let mut lines: Vec<(&str, &str)> = vec![("due", "orders that fell due")];
    lines.extend(names.iter().map(|(class, words)| (class.as_str(), *words)));
    html.legend(&lines);
    for (record, _) in runs {
        html.element("h3", &compare::title(setup, record));
        html.drawing(|paper| plots::rates(paper, record, setup.filled(), ranges));
    }
}

fn latency(html: &mut Html, setup: &Setup, runs: &[Run], ranges: &Ranges) {
    html.element(
        "p class=\"note\"",
        "Of the orders that ended in each slice of time, from the moment they fell due to their outcome, \
         refused ones too: where the breaker is open most orders end at once. In a slice of fewer than \
         1 000 orders, p99.9 is the slowest.",
    );
    let late = format!("over {}: too late", short(setup.scale.patience));
    html.legend(&[("line p50", "p50"), ("line p99", "p99"), ("line p999", "p99.9"), ("line limit", &late)]);
    for (record, _) in runs {
        html.element("h3", &compare::title(setup, record));
        if record.series.slices().iter().all(|slice| slice.latency.is_none()) {
            html.element("p class=\"empty\"", "No order ended in this run, so none has a latency.");
        } else {
            html.drawing(|paper| plots::latency(paper, record, setup.scale.patience, ranges));
        }
    }
}

fn percentiles(html: &mut Html, runs: &[Run], ranges: &Ranges) {
    html.element(
        "p class=\"note\"",
        "Each step to the right stands for ten times fewer orders: at 99.9, one in a thousand took longer.",
    );
    let lines: Vec<_> =
        runs.iter().map(|(record, _)| (format!("line {}", run_name(record)), run_name(record))).collect();
    html.legend(&lines.iter().map(|(class, name)| (class.as_str(), *name)).collect::<Vec<_>>());
    html.put("<div class=\"pair\">");
    html.put("<div>");
    html.element("h3", "Orders, since they fell due");
    let label = "Latency of the orders by percentile; figures are in the summary";
    html.text.push_str(&plots::percentiles(label, runs, ranges, |tally| &tally.experienced));
    html.put("</div>\n<div>");
    html.element("h3", "Attempts sent, each alone");
    let label = "Latency of the attempts by percentile; figures are in the summary";
    html.text.push_str(&plots::percentiles(label, runs, ranges, |tally| &tally.call));
    html.put("</div>\n</div>");
}

fn refusals(html: &mut Html, runs: &[Run], ranges: &Ranges) {
    for (record, _) in runs.iter().filter(|(record, _)| record.protection.is_some()) {
        let slices = record.series.slices();
        let none = |refusal| slices.iter().all(|slice| slice.refusals.count(refusal) == 0);
        if Refusal::ALL.into_iter().all(none) {
            html.element("p class=\"empty\"", "No layer refused an attempt in this run.");
        } else {
            html.element(
                "p class=\"note\"",
                "A refused attempt is not sent. An order may make several, so these are more than the orders \
                 refused. The retry refuses further attempts only. Every row has the same scale; the \
                 smallest bar stands for at least one.",
            );
            html.drawing(|paper| plots::refusals(paper, record, ranges));
        }
    }
    if runs.len() > 1 {
        html.element("p class=\"note\"", "The unprotected run has no layer that could refuse an attempt.");
    }
}

fn summary(html: &mut Html, setup: &Setup, runs: &[Run]) {
    for table in compare::tables(setup, runs) {
        html.table(&table);
    }
    if let Some((rules, _)) = &runs[0].0.protection {
        html.element("h3", "What the layers were told, outermost first");
        html.put("<dl class=\"told\">");
        for (name, sentence, details) in layers::told(setup, rules) {
            html.element("dt", name);
            html.put(format_args!("<dd>{}", escape(&sentence)));
            for detail in details {
                html.element("span", &detail);
            }
            html.put("</dd>");
        }
        html.put("</dl>");
    }
}

fn details(html: &mut Html, setup: &Setup, runs: &[Run]) {
    for (record, _) in runs {
        html.element("h3", &compare::title(setup, record));
        for remark in remarks(record) {
            html.element("p", &remark);
        }
        html.folded("What happened, and when", |html| {
            let lines: Vec<_> =
                record.entries.iter().map(|entry| entry_line(entry, usize::MAX, false)).collect();
            let text = if lines.is_empty() { "nothing happened".into() } else { lines.join("\n") };
            html.put("<div class=\"scroll\">");
            html.element("pre", &text);
            html.put("</div>");
        });
        html.folded("The run in slices", |html| slices(html, record, setup.filled()));
    }
}

/// What the drawings over time show, in figures.
fn slices(html: &mut Html, record: &Record, filled: &str) {
    html.put("<div class=\"scroll\"><table class=\"slices\"><thead><tr>");
    let mut heads = vec!["from, s", "until, s", "attempts sent", filled, "failed", "refused"];
    heads.extend(Slice::QUANTILES.map(|(name, _)| name));
    for head in heads {
        html.element("th scope=\"col\"", head);
    }
    html.put("</tr></thead><tbody>");
    for slice in record.series.slices() {
        html.put("<tr>");
        for at in [slice.from, slice.until] {
            html.element("td", &format!("{:.2}", at.as_secs_f64()));
        }
        let Slice { counts, .. } = slice;
        for count in [counts[Item::Sent], counts[Item::Filled], counts.failed(), slice.refused()] {
            html.element("td", &grouped(count));
        }
        for at in slice.latency.map_or([None; 3], |latency| latency.map(Some)) {
            html.element("td", &at.map_or_else(|| "-".to_string(), |at: Duration| short(at)));
        }
        html.put("</tr>");
    }
    html.put("</tbody></table></div>");
}
