//! What is printed where there is no terminal: a line for each instance.

use std::fmt::Write as _;
use std::time::Duration;

use crate::rows::Row;
use crate::spell::{grouped, short};

pub(crate) fn lines(at: Duration, rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let failed = row.failed.map_or_else(|| "-".to_string(), grouped);
        let [p50, p99] =
            row.latency.map_or_else(|| ["-", "-"].map(String::from), |latency| latency.map(short));
        let _ = writeln!(
            text,
            "{:>4} s  {:<7}  {:<14} {:<9} {:>7} calls/s {failed:>6} failed/s {:>6} refused/s  \
             p50 {p50:>7}  p99 {p99:>7}",
            at.as_secs(),
            row.kind.word(),
            row.name,
            row.state.word(),
            grouped(row.calls),
            grouped(row.refused),
        );
    }
    text
}
