//! Budgets as ratios, and how they fit what is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use crate::primitive::Primitive;
use crate::report::{Report, Row};
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
///
/// ["hung calls, two threads"]
/// fetch_add = 90.0
/// rough = true                # contended: how much depends on which cores the threads are given
/// ```
///
/// A rough path keeps to its budget by its median alone. Any other has to agree with itself: see
/// [`Finding`](crate::Finding).
#[derive(Debug, Clone, PartialEq)]
pub struct Budgets {
    by_path: BTreeMap<String, Limits>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Limits {
    by_unit: BTreeMap<String, f64>,
    rough: bool,
}

/// Why budgets could not be read or do not fit what was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// The text is not TOML, or holds something other than `[path]` tables of positive numbers and `rough`.
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
    /// Reads budgets from TOML: a table for each path, in it a limit for each unit, and whether it is `rough`.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Unreadable`] if the text is something else.
    pub fn parse(text: &str) -> Result<Self, BudgetError> {
        let tables: BTreeMap<String, toml::Table> =
            toml::from_str(text).map_err(|error| BudgetError::Unreadable(error.to_string()))?;
        let mut by_path = BTreeMap::new();
        for (path, table) in tables {
            let limits =
                Limits::read(table).map_err(|why| BudgetError::Unreadable(format!("[{path:?}] {why}")))?;
            by_path.insert(path, limits);
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
        self.fit(measured.iter().map(crate::Series::name))?;
        Ok(Report::new(measured.primitives(), self.judge(measured, |_| true)))
    }

    /// Whether all that is named has been measured, and all that is measured has a budget.
    pub(crate) fn fit<'a>(&self, measured: impl Iterator<Item = &'a str>) -> Result<(), BudgetError> {
        let names: BTreeSet<&str> = measured.collect();
        let units = self.by_path.values().flat_map(|limits| limits.by_unit.keys());
        if let Some(name) = self.by_path.keys().chain(units).find(|name| !names.contains(name.as_str())) {
            return Err(BudgetError::NotMeasured(name.clone()));
        }
        match names.iter().find(|name| !Primitive::is_named(name) && self.units(name).next().is_none()) {
            Some(name) => Err(BudgetError::NoBudget((*name).to_owned())),
            None => Ok(()),
        }
    }

    /// What the path is compared with.
    pub(crate) fn units(&self, path: &str) -> impl Iterator<Item = &str> {
        self.by_path.get(path).into_iter().flat_map(|limits| limits.by_unit.keys().map(String::as_str))
    }

    /// A row for each path that is `wanted` and each of its units, where both were measured.
    pub(crate) fn judge(&self, measured: &Measurements, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for series in measured.iter().filter(|series| wanted(series.name())) {
            let Some(limits) = self.by_path.get(series.name()) else { continue };
            for (unit, &budget) in &limits.by_unit {
                rows.extend(measured.get(unit).map(|of| Row::new(series, of, budget, limits.rough)));
            }
        }
        rows
    }
}

impl Limits {
    fn read(table: toml::Table) -> Result<Self, String> {
        let mut limits = Self::default();
        for (key, value) in table {
            match (key.as_str(), number(&value)) {
                ("rough", _) => {
                    limits.rough = value.as_bool().ok_or("rough is neither true nor false")?;
                }
                (_, Some(limit)) if limit.is_finite() && limit > 0.0 => _ = limits.by_unit.insert(key, limit),
                (_, Some(limit)) => return Err(format!("{key:?} is {limit}, not a positive number")),
                (_, None) => return Err(format!("{key:?} is a {}, not a positive number", value.type_str())),
            }
        }
        Ok(limits)
    }
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::{measurements, series};

    fn measured() -> Measurements {
        measurements(vec![series("short", &[1.0; 40]), series("long", &[9.0; 40])])
    }

    #[test]
    fn a_path_over_budget_is_named() {
        let budgets = Budgets::parse("[long]\nshort = 2.0\n[short]\nlong = 0.9").expect("valid");
        let report = budgets.hold(&measured()).expect("fits");
        let over: Vec<&str> = report.over().iter().map(|row| row.path.as_str()).collect();
        assert_eq!(over, ["long"]);
        assert!(report.to_string().contains("OVER BUDGET"));
        assert_eq!(report.to_json()["rows"][1]["finding"], "over budget");
    }

    #[test]
    fn a_path_without_a_budget_fails_the_gate() {
        for text in ["[long]\nshort = 2000", "[long]\nshort = 1.0\n[short]\nrough = true"] {
            let budgets = Budgets::parse(text).expect("valid");
            assert_eq!(budgets.hold(&measured()), Err(BudgetError::NoBudget("short".into())), "{text}");
        }
    }

    #[test]
    fn a_budget_for_nothing_fails_the_gate() {
        for text in ["[gone]\nshort = 2.0", "[long]\ngone = 2.0\n[short]\nlong = 1.0"] {
            let budgets = Budgets::parse(text).expect("valid");
            assert_eq!(budgets.hold(&measured()), Err(BudgetError::NotMeasured("gone".into())), "{text}");
        }
    }

    #[test]
    fn a_budget_must_be_a_positive_number() {
        let bad =
            ["[a]\nb = 0.0", "[a]\nb = -1", "[a]\nb = nan", "[a]\nb = inf", "[a]\nb = \"2\"", "a = 2.0", "["];
        for text in bad.into_iter().chain(["[a]\nrough = 1", "[a]\nb = true"]) {
            assert!(matches!(Budgets::parse(text), Err(BudgetError::Unreadable(_))), "{text}");
        }
        let error = Budgets::parse("[a]\nb = -1").expect_err("negative").to_string();
        assert_eq!(error, "budgets cannot be read: [\"a\"] \"b\" is -1, not a positive number");
    }

    #[test]
    fn what_a_path_is_compared_with_is_its_units() {
        let budgets =
            Budgets::parse("[a]\nfetch_add = 2\nb = 1.5\nrough = true\n[b]\ntsc = 1").expect("valid");
        assert_eq!(budgets.units("a").collect::<Vec<_>>(), ["b", "fetch_add"]);
        assert_eq!(budgets.units("gone").count(), 0);
    }
}
