//! The page docs/performance.md and its plots, made from figures and a template of words.

use std::fmt;

use crate::data::{Data, SuiteData};
use crate::plot::{self, Plot};
use crate::{figure, tables};

const TEMPLATE: &str = include_str!("../performance.md.in");

/// The file of the page's figures, beside it.
pub(crate) const DATA: &str = "performance.json";

/// A file of the book.
pub(crate) struct Page {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// Why the page cannot be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReportError {
    /// The figures lack something that the template asks for here.
    Missing(String),
    /// The template asks for something that there is not.
    Unknown(String),
    /// A place in the template does not end.
    Open(String),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => {
                write!(
                    f,
                    "the figures lack what the page shows at {{{{{what}}}}}; measure all suites, and the gate"
                )
            }
            Self::Unknown(what) => {
                write!(f, "the template asks for {{{{{what}}}}}, which is none of its words")
            }
            Self::Open(what) => write!(f, "the template does not end {{{{{what}"),
        }
    }
}

impl std::error::Error for ReportError {}

/// Everything that is made from these figures.
pub(crate) fn pages(data: &Data) -> Result<Vec<Page>, ReportError> {
    let mut pages = vec![
        Page { file: "performance.md".to_owned(), text: fill(TEMPLATE, data)? },
        Page { file: DATA.to_owned(), text: data.to_text() },
    ];
    for suite in &data.suites {
        for plot in plots(data, suite) {
            pages.push(Page { file: plot.file(), text: plot.to_string() });
        }
    }
    Ok(pages)
}

fn plots(data: &Data, suite: &SuiteData) -> [Plot; 2] {
    [plot::medians(data, suite), plot::tails(data, suite)]
}

/// Puts something in each place of the template: `{{word}}`, or `{{word | argument | ...}}`.
fn fill(template: &str, data: &Data) -> Result<String, ReportError> {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (place, after) =
            after.split_once("}}").ok_or_else(|| ReportError::Open(after.chars().take(20).collect()))?;
        page += before;
        page += &put(place, data)?;
        rest = after;
    }
    Ok(page + rest)
}

fn put(place: &str, data: &Data) -> Result<String, ReportError> {
    let words: Vec<&str> = place.split('|').map(str::trim).collect();
    let missing = || ReportError::Missing(place.to_owned());
    let suite = |name: &str| data.suites.iter().find(|suite| suite.name == name).ok_or_else(missing);
    let gate = || data.gate.as_ref().ok_or_else(missing);
    Ok(match words.as_slice() {
        ["machine"] => tables::place(data),
        ["runs"] => data.loads.len().to_string(),
        ["quality"] => tables::quality(data),
        ["rounds of work"] => data.work_rounds.to_string(),
        ["gate"] => tables::hot_paths(gate()?).to_string(),
        ["gate ns", path] => figure::nanoseconds(gate()?.nanoseconds(path).ok_or_else(missing)?),
        ["gate ratio", path, unit] => {
            format!("{:.2}", gate()?.ratio(path, unit).ok_or_else(missing)?)
        }
        ["primitives", name] => tables::primitives(suite(name)?),
        ["loops", name] => tables::dense(data, suite(name)?).to_string(),
        ["work", name] => tables::worked(data, suite(name)?).to_string(),
        ["tails", name, case] => {
            let suite = suite(name)?;
            if !tables::tail_cases(suite).contains(case) {
                return Err(missing());
            }
            tables::tails(data, suite, case).to_string()
        }
        ["bars", name] => tables::bars(data, suite(name)?).to_string(),
        ["ns", name, contender, column] => {
            let row = suite(name)?.row(contender).ok_or_else(missing)?;
            figure::nanoseconds(row.median(column).ok_or_else(missing)?)
        }
        ["losses"] => tables::losses(data).to_string(),
        ["tail losses"] => tables::tail_losses(data).to_string(),
        ["plot", name, kind @ ("medians" | "tails")] => {
            let [medians, tails] = plots(data, suite(name)?);
            let plot = if *kind == "medians" { medians } else { tails };
            format!("![{}]({})", plot.alternative(), plot.file())
        }
        _ => return Err(ReportError::Unknown(place.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::column::Column;
    use crate::data::{BarData, Judged, Place, Quality, Row, Spread, TailCell};
    use crate::entry::Kind;

    /// Two runs of one column in which a peer is the faster one.
    fn data() -> Data {
        let column = Column::new("closed", 1).owned();
        let row = |contender: &str, kind, medians: [f64; 2], p99: f64| Row {
            contender: contender.to_owned(),
            kind,
            cells: BTreeMap::from([(
                column.to_string(),
                medians.map(|median| Spread { p10: median, median, p90: median }).to_vec(),
            )]),
            tails: BTreeMap::from([(
                column.to_string(),
                [10.0, 900.0]
                    .map(|max| TailCell {
                        laps: 4_000,
                        nanoseconds: [Some(10.0), Some(p99), None, Some(max)],
                    })
                    .to_vec(),
            )]),
        };
        let judged = |ratio| Judged { ratio, against: "recloser".to_owned(), disturbed: 0.0 };
        Data {
            place: Place {
                processor: "A processor".to_owned(),
                threads: 2,
                system: "linux".to_owned(),
                compiler: "rustc 1".to_owned(),
                guest: false,
                real_time: true,
            },
            versions: BTreeMap::from([("recloser".to_owned(), "1.4.0".to_owned())]),
            loads: vec![None, Some("0.1 0.2 0.3".to_owned())],
            work_rounds: 7,
            suites: vec![SuiteData {
                name: "breaker".to_owned(),
                columns: vec![column.clone()],
                tail_columns: vec![column.clone()],
                notes: String::new(),
                runs: vec![Quality { repetitions: 11, disturbed: 0.25, disturbed_tails: 0.5 }; 2],
                rows: vec![
                    row("fusewire", Kind::Ours, [3.0, 5.0], 30.0),
                    row("recloser", Kind::Peer, [2.0, 5.5], 20.0),
                    row("nothing", Kind::Floor, [1.0, 1.0], 10.0),
                ],
                primitives: BTreeMap::new(),
                bars: vec![BarData {
                    ours: "fusewire".to_owned(),
                    column: column.to_string(),
                    against: "the fastest peer".to_owned(),
                    at_most: 1.0,
                    runs: vec![judged(0.9), judged(1.2)],
                }],
            }],
            gate: None,
        }
    }

    fn filled(template: &str) -> String {
        fill(template, &data()).expect("a template that fits")
    }

    fn rows(table: &str) -> Vec<Vec<String>> {
        let cells =
            |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        table.lines().skip(2).map(cells).collect()
    }

    #[test]
    fn the_book_is_what_is_made_of_its_figures() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let text = fs::read_to_string(docs.join(DATA)).expect("the page's figures");
        let pages = pages(&Data::parse(&text).expect("figures that can be read")).expect("a page");
        for page in &pages {
            let there = fs::read_to_string(docs.join(&page.file)).expect("a file of the page");
            assert!(
                there == page.text,
                "docs/{} is not what its figures say: cargo run --release -p peers -- report --data docs/{DATA}",
                page.file
            );
        }
        let plots =
            fs::read_dir(&docs).expect("a readable folder").map(|entry| entry.expect("an entry").file_name());
        for plot in plots.filter(|name| name.to_string_lossy().starts_with("performance")) {
            assert!(
                pages.iter().any(|page| *page.file == *plot),
                "docs/{} belongs to nothing",
                plot.display()
            );
        }
    }

    #[test]
    fn figures_survive_being_written() {
        let data = data();
        assert_eq!(Data::parse(&data.to_text()).expect("readable"), data);
    }

    #[test]
    fn places_are_filled_and_the_rest_stays() {
        assert_eq!(filled("a {{runs}} b {{ ns | breaker | fusewire | closed 1T }}\n"), "a 2 b 4.0\n");
        assert_eq!(
            filled("{{machine}}"),
            "A processor, 2 hardware threads, linux; rustc 1; at real-time priority"
        );
        let quality = filled("{{quality}}");
        for part in ["Runs: 2", "11 interleaved", "4 000 or more", "25 %", "50 %", "unknown; 0.1 0.2 0.3"] {
            assert!(quality.contains(part), "{quality}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_filled_is_named() {
        for (template, error) in [
            ("{{nonsense}}", ReportError::Unknown("nonsense".to_owned())),
            ("{{plot | breaker | pie}}", ReportError::Unknown("plot | breaker | pie".to_owned())),
            ("{{loops | limit}}", ReportError::Missing("loops | limit".to_owned())),
            ("{{tails | breaker | open}}", ReportError::Missing("tails | breaker | open".to_owned())),
            (
                "{{ns | breaker | fusewire | open 1T}}",
                ReportError::Missing("ns | breaker | fusewire | open 1T".to_owned()),
            ),
            ("{{gate}}", ReportError::Missing("gate".to_owned())),
            ("{{runs", ReportError::Open("runs".to_owned())),
        ] {
            assert_eq!(fill(template, &data()), Err(error), "{template}");
        }
    }

    #[test]
    fn a_loss_is_listed_with_the_runs_that_saw_it() {
        let losses = rows(&filled("{{losses}}"));
        assert_eq!(losses, [["breaker, closed 1T", "Fusewire 4.0", "recloser 1.4.0 3.8 (in 1 of 2 runs)"]]);
        let losses = rows(&filled("{{tail losses}}"));
        assert_eq!(losses, [["breaker, closed 1T, p99", "Fusewire 30", "recloser 1.4.0 20"]]);
    }

    #[test]
    fn what_is_written_alike_is_no_loss() {
        let mut data = data();
        let cells = &mut data.suites[0].rows[1].cells;
        cells.values_mut().flatten().for_each(|spread| spread.median = 3.98);
        assert!(rows(&fill("{{losses}}", &data).expect("a table")).is_empty());
    }

    #[test]
    fn a_bar_is_held_to_the_median_of_the_runs() {
        let [bar] = &rows(&filled("{{bars | breaker}}"))[..] else { panic!("one bar") };
        let expected = [
            "Fusewire",
            "closed 1T",
            "recloser 1.4.0",
            "1",
            "1.050",
            "0.900 to 1.200",
            "**missed**, missed in 1 of 2 runs",
        ];
        assert_eq!(bar, &expected);
        let mut data = data();
        data.suites[0].bars[0].at_most = 1.1;
        assert!(data.suites[0].bars[0].met());
        data.suites[0].bars[0].runs.clear();
        assert!(!data.suites[0].bars[0].met(), "what was not measured is not met");
    }

    #[test]
    fn tails_keep_their_gaps_and_their_greatest() {
        let tails = rows(&filled("{{tails | breaker | closed}}"));
        assert_eq!(tails[0], ["Fusewire", "10", "30", "", "900"]);
        assert_eq!(tails[2][0], "the reading alone");
    }
}
