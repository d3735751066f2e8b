//! What the gate found, for the page's table of hot paths.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The gate's report, as far as the page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateTable {
    pub(crate) rows: Vec<GateRow>,
}

/// One path beside one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateRow {
    pub(crate) path: String,
    pub(crate) nanoseconds: f64,
    pub(crate) unit: String,
    pub(crate) ratio: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget: Option<f64>,
}

/// Why the gate's file cannot be used.
#[derive(Debug)]
pub(crate) enum GateError {
    Json(serde_json::Error),
    /// The row that counts so, from one, lacks a field.
    Row(usize, &'static str),
    NoRows,
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not JSON: {error}"),
            Self::Row(number, field) => write!(f, "row {number} has no {field:?}"),
            Self::NoRows => f.write_str("no \"rows\" in it"),
        }
    }
}

impl std::error::Error for GateError {}

impl GateTable {
    /// Reads what the gate wrote. Whatever else its file holds is the gate's own business.
    pub(crate) fn parse(text: &str) -> Result<Self, GateError> {
        let json: Value = serde_json::from_str(text).map_err(GateError::Json)?;
        let rows = json["rows"].as_array().filter(|rows| !rows.is_empty()).ok_or(GateError::NoRows)?;
        let rows = rows
            .iter()
            .enumerate()
            .map(|(index, row)| read(row).map_err(|field| GateError::Row(index + 1, field)));
        Ok(Self { rows: rows.collect::<Result<_, _>>()? })
    }

    /// A path's median.
    pub(crate) fn nanoseconds(&self, path: &str) -> Option<f64> {
        Some(self.rows.iter().find(|row| row.path == path)?.nanoseconds)
    }

    /// A path's ratio to a unit.
    pub(crate) fn ratio(&self, path: &str, unit: &str) -> Option<f64> {
        Some(self.rows.iter().find(|row| row.path == path && row.unit == unit)?.ratio)
    }
}

fn read(row: &Value) -> Result<GateRow, &'static str> {
    let text = |field: &'static str| row[field].as_str().map(str::to_owned).ok_or(field);
    let number = |field: &'static str| {
        row[field].as_f64().map(|value| (value * 1_000.0).round() / 1_000.0).ok_or(field)
    };
    Ok(GateRow {
        path: text("path")?,
        nanoseconds: number("ns").or_else(|_| number("median"))?,
        unit: text("unit")?,
        ratio: number("ratio")?,
        budget: number("budget").ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_shown_may_be_there() {
        let text = r#"{"new": [1], "rows": [
            {"path": "a", "ns": 1.23456, "unit": "u", "ratio": 0.5, "budget": 1, "runs": [1]},
            {"path": "b", "median": 2, "unit": "u", "ratio": 0.7}]}"#;
        let table = GateTable::parse(text).expect("readable");
        assert_eq!(table.rows.len(), 2);
        assert!((table.rows[0].nanoseconds - 1.235).abs() < 1e-9);
        assert_eq!((table.nanoseconds("b"), table.nanoseconds("c")), (Some(2.0), None));
        assert_eq!((table.ratio("b", "u"), table.ratio("b", "v")), (Some(0.7), None));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, part) in [
            ("{", "JSON"),
            ("{}", "rows"),
            (r#"{"rows": []}"#, "rows"),
            (r#"{"rows": [{"path": "a", "ns": 1, "unit": "u", "budget": 1}]}"#, "row 1 has no \"ratio\""),
            (r#"{"rows": [{"path": "a", "unit": "u", "ratio": 1, "budget": 1}]}"#, "row 1 has no \"median\""),
        ] {
            let error = GateTable::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
