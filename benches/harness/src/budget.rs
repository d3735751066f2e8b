//! Budgets as ratios, and the report that holds measurements to them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde_json::{Value, json};

use crate::primitive::Primitive;
use crate::series::Measurements;

/// The most that each path may cost, as a multiple of a primitive or of another path.
///
/// ```toml
/// ["closed, success"]
/// fetch_add = 2.0             # at most twice a fetch_add
///
/// ["closed, success, windowed"]
/// fetch_add = 3.0
/// "closed, success" = 2.0     # at most twice the plain path
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Budgets {
    by_path: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Why budgets could not be read or do not fit what was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// The text is not TOML, or holds something other than `[path]` tables of positive numbers.
    Unreadable(String),
    /// A budget names a path, or a unit, that was not measured.
    NotMeasured(String),
    /// A path was measured that has no budget.
    NoBudget(String),
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "budgets cannot be read: {why}"),
            Self::NotMeasured(name) => write!(f, "a budget names {name:?}, which was not measured"),
            Self::NoBudget(name) => write!(f, "{name:?} was measured and has no budget"),
        }
    }
}

impl Error for BudgetError {}

impl Budgets {
    /// Reads budgets from TOML: a table for each path, in it a limit for each unit.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Unreadable`] if the text is something else.
    pub fn parse(text: &str) -> Result<Self, BudgetError> {
        let by_path: BTreeMap<String, BTreeMap<String, f64>> =
            toml::from_str(text).map_err(|error| BudgetError::Unreadable(error.to_string()))?;
        for (path, limits) in &by_path {
            if let Some((unit, limit)) =
                limits.iter().find(|(_, limit)| !(limit.is_finite() && **limit > 0.0))
            {
                return Err(BudgetError::Unreadable(format!(
                    "{path:?} of {unit:?} is {limit}, not a positive number"
                )));
            }
        }
        Ok(Self { by_path })
    }

    /// Compares what was measured with the budgets, a row for each path and unit.
    ///
    /// # Errors
    ///
    /// If a budget names something that was not measured, or a path other than a [`Primitive`] has no budget: a
    /// gate must not pass because nobody looked.
    pub fn hold(&self, measured: &Measurements) -> Result<Report, BudgetError> {
        if let Some(path) = self.by_path.keys().find(|path| measured.get(path).is_none()) {
            return Err(BudgetError::NotMeasured(path.clone()));
        }
        let mut rows = Vec::new();
        for series in measured.iter() {
            if Primitive::ALL.iter().any(|primitive| primitive.name() == series.name()) {
                continue;
            }
            let limits = self.by_path.get(series.name()).filter(|limits| !limits.is_empty());
            for (unit, &budget) in limits.ok_or_else(|| BudgetError::NoBudget(series.name().to_owned()))? {
                let of = measured.get(unit).ok_or_else(|| BudgetError::NotMeasured(unit.clone()))?;
                rows.push(Row {
                    path: series.name().to_owned(),
                    nanoseconds: series.median(),
                    spread: (series.quantile(0.1), series.quantile(0.9)),
                    unit: unit.clone(),
                    ratio: series.ratio(of),
                    budget,
                });
            }
        }
        let units = Primitive::ALL.iter().filter_map(|primitive| measured.get(primitive.name()));
        Ok(Report { units: units.map(|unit| (unit.name().to_owned(), unit.median())).collect(), rows })
    }
}

/// One path held to one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The path's name.
    pub path: String,
    /// Its median, in nanoseconds per operation of one thread.
    pub nanoseconds: f64,
    /// What a tenth and nine tenths of its samples do not exceed.
    pub spread: (f64, f64),
    /// What it is compared with.
    pub unit: String,
    /// How often that unit it took.
    pub ratio: f64,
    /// How often it may.
    pub budget: f64,
}

impl Row {
    /// The share of the budget that is left; negative when it is overspent.
    pub fn margin(&self) -> f64 {
        1.0 - self.ratio / self.budget
    }

    /// Whether the path kept to its budget.
    pub fn holds(&self) -> bool {
        self.ratio <= self.budget
    }
}

/// Every path beside its budgets. Displays as an aligned table.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    units: Vec<(String, f64)>,
    rows: Vec<Row>,
}

impl Report {
    /// All rows, in the order in which the paths were measured.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that are over budget.
    pub fn over(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| !row.holds()).collect()
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        let units: Vec<Value> =
            self.units.iter().map(|(name, nanoseconds)| json!({ "unit": name, "ns": nanoseconds })).collect();
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "path": row.path, "ns": row.nanoseconds, "ns_p10": row.spread.0, "ns_p90": row.spread.1,
                    "unit": row.unit, "ratio": row.ratio, "budget": row.budget, "margin": row.margin(),
                    "holds": row.holds(),
                })
            })
            .collect();
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
            let verdict = if row.holds() { "" } else { "  OVER BUDGET" };
            writeln!(
                f,
                "{:path$}  {:>8.2}  {:unit$}  {:>7.2}  {:>7.2}  {:>6.0}%{verdict}",
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
    use std::time::Duration;

    use super::*;
    use crate::path::HotPath;
    use crate::plan::Plan;

    fn measured() -> Measurements {
        let sleepless = |spins: u32| move || (0..spins).for_each(|_| std::hint::spin_loop());
        let paths = [HotPath::new("short", sleepless(10)), HotPath::new("long", sleepless(1000))];
        Plan { repetitions: 5, sample: Duration::from_micros(100), ..Plan::default() }.measure(&paths)
    }

    #[test]
    fn a_path_over_budget_is_named() {
        let budgets = Budgets::parse("[long]\nshort = 2.0\n[short]\nlong = 0.9").expect("valid");
        let report = budgets.hold(&measured()).expect("fits");
        let over: Vec<&str> = report.over().iter().map(|row| row.path.as_str()).collect();
        assert_eq!(over, ["long"]);
        assert!(report.to_string().contains("OVER BUDGET"));
        assert_eq!(report.to_json()["rows"][1]["holds"], false);
    }

    #[test]
    fn a_path_without_a_budget_fails_the_gate() {
        let budgets = Budgets::parse("[long]\nshort = 2000.0").expect("valid");
        assert_eq!(budgets.hold(&measured()), Err(BudgetError::NoBudget("short".into())));
    }

    #[test]
    fn a_budget_for_nothing_fails_the_gate() {
        let budgets = Budgets::parse("[gone]\nshort = 2.0").expect("valid");
        assert_eq!(budgets.hold(&measured()), Err(BudgetError::NotMeasured("gone".into())));
        let budgets = Budgets::parse("[long]\ngone = 2.0\n[short]\nlong = 1.0").expect("valid");
        assert_eq!(budgets.hold(&measured()), Err(BudgetError::NotMeasured("gone".into())));
    }

    #[test]
    fn a_budget_must_be_a_positive_number() {
        for text in ["[a]\nb = 0.0", "[a]\nb = -1.0", "[a]\nb = nan", "[a]\nb = \"2\"", "a = 2.0", "["] {
            assert!(matches!(Budgets::parse(text), Err(BudgetError::Unreadable(_))), "{text}");
        }
    }
}
