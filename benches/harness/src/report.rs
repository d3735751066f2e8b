//! What became of each path, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::series::{Series, median};

/// How many parts of a run are compared with one another.
const PARTS: usize = 4;

/// How far the parts may be apart.
const APART: f64 = 1.1;

/// How many ratios it takes to say anything; of a rough path fewer, whose budget is far from what it costs.
const FEWEST: usize = 20;
const FEWEST_ROUGH: usize = 5;

/// What a row's ratios say.
///
/// The ratios of a run, in order, are cut into quarters, and the median of each is held to the budget. A rough path
/// has one median, of all.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Every quarter is within budget, and they agree within a tenth.
    Holds,
    /// Every quarter is over budget.
    Over,
    /// Neither, or there were fewer than 20 ratios (of a rough path five). Says which.
    Unsure(String),
}

impl Finding {
    fn of(ratios: &[f64], budget: f64, rough: bool) -> Self {
        let fewest = if rough { FEWEST_ROUGH } else { FEWEST };
        if ratios.len() < fewest {
            return Self::Unsure(format!("{} undisturbed ratios, {fewest} are needed", ratios.len()));
        }
        let parts = ratios.chunks(ratios.len().div_ceil(if rough { 1 } else { PARTS }));
        let medians: Vec<f64> = parts.map(median).collect();
        let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let most = medians.iter().copied().fold(0.0, f64::max);
        if least > budget {
            Self::Over
        } else if most > budget {
            Self::Unsure(format!("{least:.2} to {most:.2} in quarters of the run"))
        } else if most > least * APART {
            Self::Unsure(format!("quarters of the run {:.0} % apart", (most / least - 1.0) * 100.0))
        } else {
            Self::Holds
        }
    }

    /// As a table and JSON say it.
    fn word(&self) -> &str {
        match self {
            Self::Holds => "holds",
            Self::Over => "over budget",
            Self::Unsure(_) => "unsure",
        }
    }
}

/// One path held to one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The path's name.
    pub path: String,
    /// Its median, in nanoseconds per operation of one thread. Not a number if no sample was kept.
    pub nanoseconds: f64,
    /// What a tenth and nine tenths of its samples do not exceed.
    pub spread: (f64, f64),
    /// What it is compared with.
    pub unit: String,
    /// That unit's median, in nanoseconds.
    pub unit_nanoseconds: f64,
    /// How often that unit it took: the median of the ratios within repetitions.
    pub ratio: f64,
    /// How many ratios there were.
    pub ratios: usize,
    /// How often it may.
    pub budget: f64,
    /// Whether it is held to its budget by that median alone.
    pub rough: bool,
    /// What the ratios say.
    pub finding: Finding,
}

impl Row {
    pub(crate) fn new(series: &Series, of: &Series, budget: f64, rough: bool) -> Self {
        let ratios = series.ratios(of);
        Self {
            path: series.name().to_owned(),
            nanoseconds: series.median(),
            spread: (series.quantile(0.1), series.quantile(0.9)),
            unit: of.name().to_owned(),
            unit_nanoseconds: of.median(),
            ratio: median(&ratios),
            ratios: ratios.len(),
            budget,
            rough,
            finding: Finding::of(&ratios, budget, rough),
        }
    }

    /// The share of the budget that is left; negative when it is overspent.
    pub fn margin(&self) -> f64 {
        1.0 - self.ratio / self.budget
    }

    fn to_json(&self) -> Value {
        let why = match &self.finding {
            Finding::Unsure(why) => Some(why),
            Finding::Holds | Finding::Over => None,
        };
        json!({
            "path": self.path, "ns": self.nanoseconds, "ns_p10": self.spread.0, "ns_p90": self.spread.1,
            "unit": self.unit, "unit_ns": self.unit_nanoseconds, "ratio": self.ratio, "ratios": self.ratios, "budget": self.budget,
            "margin": self.margin(), "rough": self.rough, "finding": self.finding.word(), "why": why,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, ratio, unit, budget, .. } = self;
        match &self.finding {
            Finding::Holds => write!(f, "{path} takes {ratio:.2} of {unit}, within its budget of {budget}"),
            Finding::Over => write!(f, "{path} takes {ratio:.2} of {unit}, its budget is {budget}"),
            Finding::Unsure(why) => write!(f, "{path} of {unit}: {why}"),
        }
    }
}

/// Every path beside its budgets. Displays as an aligned table.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    units: Vec<(String, f64)>,
    rows: Vec<Row>,
}

impl Report {
    /// A report of these primitives, with their medians, and rows.
    pub(crate) fn new(units: Vec<(String, f64)>, rows: Vec<Row>) -> Self {
        Self { units, rows }
    }

    /// All rows, in the order in which the paths were measured.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that are over budget.
    pub fn over(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.finding == Finding::Over).collect()
    }

    /// The rows of which nothing can be said.
    pub fn unsure(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| matches!(row.finding, Finding::Unsure(_))).collect()
    }

    /// The report as JSON. What was not measured is null.
    pub fn to_json(&self) -> Value {
        let units: Vec<Value> =
            self.units.iter().map(|(name, nanoseconds)| json!({ "unit": name, "ns": nanoseconds })).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        json!({ "units": units, "rows": rows })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            self.rows.iter().map(|row| row.path.len()).chain(self.units.iter().map(|unit| unit.0.len()));
        let path = names.max().unwrap_or(0).max("path".len());
        let unit = self.rows.iter().map(|row| row.unit.len()).max().unwrap_or(0).max("unit".len());
        writeln!(
            f,
            "{:path$}  {:>8}  {:unit$}  {:>7}  {:>7}  {:>7}",
            "path", "ns", "unit", "ratio", "budget", "margin"
        )?;
        for (name, nanoseconds) in &self.units {
            writeln!(f, "{name:path$}  {nanoseconds:>8.2}")?;
        }
        for row in &self.rows {
            let finding = match &row.finding {
                Finding::Holds => String::new(),
                Finding::Over => "  OVER BUDGET".to_owned(),
                Finding::Unsure(why) => format!("  unsure: {why}"),
            };
            writeln!(
                f,
                "{:path$}  {:>8.2}  {:unit$}  {:>7.2}  {:>7.2}  {:>6.0}%{finding}",
                row.path,
                row.nanoseconds,
                row.unit,
                row.ratio,
                row.budget,
                row.margin() * 100.0,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budgets;
    use crate::series::tests::{measurements, series, with_gaps};

    #[test]
    fn ratios_within_budget_that_agree_hold() {
        assert_eq!(Finding::of(&[1.0; 40], 1.2, false), Finding::Holds);
        // One sample in five was hit by an interrupt: no quarter's median is.
        let hit: Vec<f64> = (0..40).map(|n| if n % 5 == 0 { 3.0 } else { 1.0 }).collect();
        assert_eq!(Finding::of(&hit, 1.2, false), Finding::Holds);
    }

    #[test]
    fn ratios_over_budget_in_every_quarter_are_over() {
        assert_eq!(Finding::of(&[1.3; 40], 1.2, false), Finding::Over);
        let drifting: Vec<f64> = (0..40).map(|n| 1.3 + f64::from(n) / 10.0).collect();
        assert_eq!(Finding::of(&drifting, 1.2, false), Finding::Over);
    }

    #[test]
    fn a_slow_stretch_makes_unsure() {
        let part = |from: f64, to: f64| {
            let ratios: Vec<f64> = (0..40).map(|n| if n < 20 { from } else { to }).collect();
            Finding::of(&ratios, 1.2, false)
        };
        assert_eq!(part(1.0, 1.3), Finding::Unsure("1.00 to 1.30 in quarters of the run".into()));
        assert_eq!(part(0.9, 1.1), Finding::Unsure("quarters of the run 22 % apart".into()));
        assert_eq!(part(1.0, 1.05), Finding::Holds);
    }

    #[test]
    fn few_ratios_say_nothing() {
        let why = Finding::Unsure("19 undisturbed ratios, 20 are needed".into());
        assert_eq!(Finding::of(&[1.0; 19], 1.2, false), why);
        assert_eq!(Finding::of(&[9.0; 19], 1.2, false), why);
        let why = Finding::Unsure("0 undisturbed ratios, 5 are needed".into());
        assert_eq!(Finding::of(&[], 1.2, true), why);
    }

    #[test]
    fn a_rough_path_is_held_by_its_median() {
        let swinging: Vec<f64> = (0..12).map(|n| if n < 7 { 10.0 } else { 30.0 }).collect();
        assert_eq!(Finding::of(&swinging, 20.0, true), Finding::Holds);
        assert_eq!(Finding::of(&swinging, 9.0, true), Finding::Over);
    }

    fn report() -> Report {
        let measured = measurements(vec![
            series("fetch_add", &[2.0; 40]),
            series("quick", &[3.0; 40]),
            series("slow", &[8.0; 40]),
            with_gaps("unseen", &[None; 40]),
        ]);
        let text = "[quick]\nfetch_add = 2.0\n[slow]\nfetch_add = 3\n[unseen]\nfetch_add = 1.0";
        Budgets::parse(text).expect("valid").hold(&measured).expect("fits")
    }

    #[test]
    fn the_table_has_a_line_for_each_primitive_and_row() {
        let expected = "\
path             ns  unit         ratio   budget   margin
fetch_add      2.00
quick          3.00  fetch_add     1.50     2.00      25%
slow           8.00  fetch_add     4.00     3.00     -33%  OVER BUDGET
unseen          NaN  fetch_add      NaN     1.00     NaN%  unsure: 0 undisturbed ratios, 20 are needed
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn json_says_what_the_table_says() {
        let json = report().to_json();
        assert_eq!(json["units"][0], json!({ "unit": "fetch_add", "ns": 2.0 }));
        let row = &json["rows"][0];
        assert_eq!((&row["path"], &row["unit"]), (&json!("quick"), &json!("fetch_add")));
        assert_eq!((&row["ns"], &row["ratio"], &row["budget"]), (&json!(3.0), &json!(1.5), &json!(2.0)));
        assert_eq!((&row["margin"], &row["finding"]), (&json!(0.25), &json!("holds")));
        assert_eq!(json["rows"][1]["finding"], "over budget");
        assert_eq!((&json["rows"][2]["ns"], &json["rows"][2]["finding"]), (&Value::Null, &json!("unsure")));
    }

    #[test]
    fn a_row_says_its_finding_in_words() {
        let said: Vec<String> = report().rows().iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "quick takes 1.50 of fetch_add, within its budget of 2");
        assert_eq!(said[1], "slow takes 4.00 of fetch_add, its budget is 3");
        assert_eq!(said[2], "unseen of fetch_add: 0 undisturbed ratios, 20 are needed");
    }
}
