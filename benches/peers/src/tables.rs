//! The tables that the program prints and the page shows, made from figures alone.

use std::fmt::Write as _;

use crate::column::Column;
use crate::data::{BarData, Data, Place, Quality, Row, Spread, SuiteData, TAIL, median};
use crate::entry::Kind;
use crate::figure;
use crate::gate::{GateRow, GateTable};
use crate::table::Table;

/// What the program prints: where, how, and every suite.
pub(crate) fn everything(data: &Data) -> String {
    let mut text = format!("{}\n{}\n", place(data), quality(data));
    for suite in &data.suites {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n## {}: ns per operation of each thread, medians of the runs\n\n{}\n\n{}\n",
            suite.name,
            dense(data, suite),
            suite.notes
        );
        let _ = writeln!(
            text,
            "with 200 ns of work before each operation, included\n\n{}\n",
            worked(data, suite)
        );
        for case in tail_cases(suite) {
            let _ = writeln!(text, "single operations, {case}\n\n{}\n", tails(data, suite, case));
        }
        let _ = writeln!(text, "{}\n\n{}", bars(data, suite), primitives(suite));
    }
    let _ = writeln!(text, "\n## where a peer is faster\n\n{}\n\n{}", losses(data), tail_losses(data));
    text
}

pub(crate) fn place(data: &Data) -> String {
    let Place { processor, threads, system, compiler, guest, real_time } = &data.place;
    let machine = if *guest { " of a virtual machine" } else { "" };
    let priority = if *real_time { "real-time" } else { "ordinary" };
    format!("{processor}, {threads} hardware threads{machine}, {system}; {compiler}; at {priority} priority")
}

/// How much was measured, and how quiet the machine was.
pub(crate) fn quality(data: &Data) -> String {
    let runs = || data.suites.iter().flat_map(|suite| &suite.runs);
    let repetitions = runs().map(|run| run.repetitions).min().unwrap_or(0);
    let worst = |share: fn(&Quality) -> f64| figure::percent(runs().map(share).fold(0.0, f64::max));
    let laps = data.suites.iter().flat_map(|suite| &suite.rows).flat_map(|row| row.tails.values());
    let laps = laps.flatten().map(|cell| cell.laps).min().unwrap_or(0);
    let loads: Vec<&str> = data.loads.iter().map(|load| load.as_deref().unwrap_or("unknown")).collect();
    format!(
        "Runs: {}, of {repetitions} interleaved repetitions or more each; single operations: {} or more of each \
         contender in each run. The most disturbed path has no undisturbed sample of {} of its repetitions; in {} of the \
         rounds of single operations a thread had to wait for a core. Load averages before the runs: {}.",
        data.loads.len(),
        figure::thousands(laps as f64),
        worst(|run| run.disturbed),
        worst(|run| run.disturbed_tails),
        loads.join("; "),
    )
}

/// The loops without work.
pub(crate) fn dense(data: &Data, suite: &SuiteData) -> Table {
    let columns: Vec<&Column<String>> = suite.columns.iter().filter(|column| !column.work).collect();
    let rows = suite.rows.iter().filter(|row| row.kind != Kind::Floor);
    let cells = |row: &Row| columns.iter().map(|column| cell(row.median(&column.to_string()))).collect();
    table(data, columns.iter().map(ToString::to_string), rows, cells)
}

/// The loops with work before each operation, and what the operation adds to the work.
pub(crate) fn worked(data: &Data, suite: &SuiteData) -> Table {
    let columns: Vec<String> =
        suite.columns.iter().filter(|column| column.work).map(ToString::to_string).collect();
    let cells = |row: &Row| {
        let cell = |column: &String| {
            let (Some(figure), Some(alone)) = (row.median(column), floor(suite, column)) else {
                return String::new();
            };
            if row.kind == Kind::Floor {
                format!("{figure:.1}")
            } else {
                format!("{figure:.1} ({:+.1})", figure - alone)
            }
        };
        columns.iter().map(cell).collect()
    };
    let mut table = table(data, columns.iter().cloned(), suite.rows.iter(), cells);
    name_floor(&mut table, "the work alone");
    table
}

fn floor(suite: &SuiteData, column: &str) -> Option<f64> {
    suite.rows.iter().find(|row| row.kind == Kind::Floor)?.median(column)
}

/// What single operations were timed of.
pub(crate) fn tail_cases(suite: &SuiteData) -> Vec<&str> {
    let mut cases = Vec::new();
    for case in suite.tail_columns.iter().map(|column| column.case.as_str()) {
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    cases
}

/// Single operations: quantiles and the greatest.
pub(crate) fn tails(data: &Data, suite: &SuiteData, case: &str) -> Table {
    let columns: Vec<&Column<String>> =
        suite.tail_columns.iter().filter(|column| column.case == case).collect();
    let head = columns.iter().flat_map(|column| TAIL.map(|name| format!("{}T {name}", column.threads)));
    let cells = |row: &Row| {
        let cell = |column: &&Column<String>| {
            let column = column.to_string();
            (0..TAIL.len()).map(move |at| row.tail(&column, at).map(figure::lap).unwrap_or_default())
        };
        columns.iter().flat_map(cell).collect()
    };
    let mut table = table(data, head, suite.rows.iter(), cells);
    name_floor(&mut table, "the reading alone");
    table
}

/// A row for each contender.
fn table<'a>(
    data: &Data,
    columns: impl IntoIterator<Item = String>,
    rows: impl IntoIterator<Item = &'a Row>,
    cells: impl Fn(&Row) -> Vec<String>,
) -> Table {
    let row = |row: &Row| {
        let name = figure::contender(&row.contender, &data.versions);
        std::iter::once(name).chain(cells(row)).collect()
    };
    Table {
        head: std::iter::once(String::new()).chain(columns).collect(),
        rows: rows.into_iter().map(row).collect(),
        words: false,
    }
}

/// The loop with nothing in it stands last, and is called by what is left of it.
fn name_floor(table: &mut Table, name: &str) {
    if let Some(last) = table.rows.last_mut().and_then(|row| row.first_mut()) {
        name.clone_into(last);
    }
}

fn cell(figure: Option<f64>) -> String {
    figure.map(figure::nanoseconds).unwrap_or_default()
}

/// The bars, the median of the runs and their range.
pub(crate) fn bars(data: &Data, suite: &SuiteData) -> Table {
    let row = |bar: &BarData| {
        let ratios = || bar.runs.iter().map(|run| run.ratio);
        let (low, high) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
        let mut verdict = if bar.met() { "met".to_owned() } else { "**missed**".to_owned() };
        let missed = ratios().filter(|ratio| *ratio > bar.at_most).count();
        if missed > 0 && bar.runs.len() > 1 {
            let _ = write!(verdict, ", missed in {missed} of {} runs", bar.runs.len());
        }
        let disturbed = bar.runs.iter().map(|run| run.disturbed).fold(0.0, f64::max);
        if disturbed > 0.1 {
            let _ = write!(verdict, ", weak: {} of the samples disturbed", figure::percent(disturbed));
        }
        let mut against: Vec<&str> = bar.runs.iter().map(|run| run.against.as_str()).collect();
        against.sort_unstable();
        against.dedup();
        let against: Vec<String> =
            against.into_iter().map(|name| figure::contender(name, &data.versions)).collect();
        vec![
            figure::contender(&bar.ours, &data.versions),
            bar.column.clone(),
            against.join(" or "),
            bar.at_most.to_string(),
            bar.ratio().map(figure::ratio).unwrap_or_default(),
            format!("{} to {}", figure::ratio(low), figure::ratio(high)),
            verdict,
        ]
    };
    Table {
        head: ["ours", "column", "of", "at most", "median", "runs", ""].map(str::to_owned).to_vec(),
        rows: suite.bars.iter().map(row).collect(),
        words: true,
    }
}

/// The machine's primitives in the runs of a suite.
pub(crate) fn primitives(suite: &SuiteData) -> String {
    let primitive = |(name, runs): (&String, &Vec<Spread>)| {
        let figure = median(runs.iter().map(|run| run.median)).unwrap_or_default();
        format!("`{name}` {figure:.2}")
    };
    suite.primitives.iter().map(primitive).collect::<Vec<_>>().join(", ")
}

/// A cell in which a peer is below one of ours.
struct Loss<'a> {
    place: String,
    ours: &'a Row,
    figure: String,
    faster: Vec<String>,
}

/// Every cell of the loops' medians in which a peer is below one of ours. Figures that are written alike are equal.
pub(crate) fn losses(data: &Data) -> Table {
    let mut found = Vec::new();
    for suite in &data.suites {
        for column in suite.columns.iter().map(ToString::to_string) {
            let runs = |row: &Row| -> Vec<f64> {
                row.cells
                    .get(&column)
                    .map(|runs| runs.iter().map(|run| run.median).collect())
                    .unwrap_or_default()
            };
            let figure = |row: &Row| row.median(&column);
            let place = format!("{}, {column}", suite.name);
            found.extend(compare(data, suite, &place, figure::nanoseconds, figure, runs));
        }
    }
    loss_table(data, found)
}

/// The same for quantiles of single operations. The greatest laps are the machine's.
pub(crate) fn tail_losses(data: &Data) -> Table {
    let mut found = Vec::new();
    for suite in &data.suites {
        for column in suite.tail_columns.iter().map(ToString::to_string) {
            for (at, name) in TAIL.iter().enumerate().filter(|(_, name)| **name != "max") {
                let runs = |row: &Row| -> Vec<f64> {
                    let cells = row.tails.get(&column).into_iter().flatten();
                    cells.filter_map(|cell| cell.nanoseconds[at]).collect()
                };
                let figure = |row: &Row| row.tail(&column, at);
                let place = format!("{}, {column}, {name}", suite.name);
                found.extend(compare(data, suite, &place, figure::lap, figure, runs));
            }
        }
    }
    loss_table(data, found)
}

/// All rows of ours against all peers, in one place of the tables.
fn compare<'a>(
    data: &Data,
    suite: &'a SuiteData,
    place: &str,
    written: fn(f64) -> String,
    figure: impl Fn(&Row) -> Option<f64>,
    runs: impl Fn(&Row) -> Vec<f64>,
) -> Vec<Loss<'a>> {
    let mut losses = Vec::new();
    for ours in suite.rows.iter().filter(|row| row.kind == Kind::Ours) {
        let Some(own) = figure(ours) else { continue };
        let mut faster: Vec<(f64, &Row)> = suite
            .rows
            .iter()
            .filter(|row| matches!(row.kind, Kind::Peer | Kind::OtherRule))
            .filter_map(|row| Some((figure(row)?, row)))
            .filter(|(theirs, _)| *theirs < own && written(*theirs) != written(own))
            .collect();
        if faster.is_empty() {
            continue;
        }
        faster.sort_by(|a, b| a.0.total_cmp(&b.0));
        let faster = faster.into_iter().map(|(theirs, row)| {
            let name = figure::contender(&row.contender, &data.versions);
            let pairs: Vec<bool> =
                runs(ours).iter().zip(runs(row)).map(|(own, theirs)| theirs < *own).collect();
            let won = pairs.iter().filter(|won| **won).count();
            let of_runs = if won == pairs.len() {
                String::new()
            } else {
                format!(" (in {won} of {} runs)", pairs.len())
            };
            format!("{name} {}{of_runs}", written(theirs))
        });
        let faster = faster.collect();
        losses.push(Loss { place: place.to_owned(), ours, figure: written(own), faster });
    }
    losses
}

fn loss_table(data: &Data, losses: Vec<Loss<'_>>) -> Table {
    let row = |loss: Loss<'_>| {
        let ours = figure::contender(&loss.ours.contender, &data.versions);
        vec![loss.place, format!("{ours} {}", loss.figure), loss.faster.join("; ")]
    };
    Table {
        head: ["where", "ours", "faster"].map(str::to_owned).to_vec(),
        rows: losses.into_iter().map(row).collect(),
        words: true,
    }
}

/// The gate's paths beside the primitive that each is held to first.
pub(crate) fn hot_paths(gate: &GateTable) -> Table {
    let row = |row: &GateRow| {
        vec![
            row.path.clone(),
            format!("{:.1}", row.nanoseconds),
            row.unit.clone(),
            format!("{:.2}", row.ratio),
            row.budget.map(|budget| budget.to_string()).unwrap_or_default(),
        ]
    };
    Table {
        head: ["path", "ns", "unit", "takes of it", "at most"].map(str::to_owned).to_vec(),
        rows: gate.rows.iter().map(row).collect(),
        words: false,
    }
}
