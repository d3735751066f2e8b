//! Which findings stand, over several measurements.

use crate::report::{Finding, Row};

/// How many measurements have to find a path over its budget: one could have met a moment that neither the scheduler
/// nor the canary saw.
const AGREEING: u32 = 2;

/// What was found of each path and unit so far.
///
/// Noise adds time, so one measurement within budget settles a row. What is over has to be so again, and whatever is
/// unsure is measured again.
#[derive(Debug, Default)]
pub(crate) struct Docket {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    row: Row,
    over: u32,
}

impl Entry {
    fn is_settled(&self) -> bool {
        self.row.finding == Finding::Holds || self.over >= AGREEING
    }
}

impl Docket {
    /// Whether a row of these would be news.
    pub(crate) fn wants(&self, path: &str, unit: &str) -> bool {
        self.entries
            .iter()
            .find(|entry| entry.row.path == path && entry.row.unit == unit)
            .is_none_or(|entry| !entry.is_settled())
    }

    /// Takes the rows of a measurement.
    pub(crate) fn enter(&mut self, rows: Vec<Row>) {
        for row in rows {
            let over = u32::from(row.finding == Finding::Over);
            let same = |entry: &&mut Entry| entry.row.path == row.path && entry.row.unit == row.unit;
            match self.entries.iter_mut().find(same) {
                Some(entry) if entry.is_settled() => {}
                Some(entry) => *entry = Entry { row, over: entry.over + over },
                None => self.entries.push(Entry { row, over }),
            }
        }
    }

    /// Whether all rows are settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.entries.iter().all(Entry::is_settled)
    }

    /// The rows as they stand, in the order in which they were first entered.
    pub(crate) fn close(self) -> Vec<Row> {
        let rows = self.entries.into_iter().map(|entry| {
            let unconfirmed = entry.row.finding == Finding::Over && !entry.is_settled();
            let mut row = entry.row;
            if unconfirmed {
                row.finding = Finding::Unsure("over budget once, and no time to look again".into());
            }
            row
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budgets;
    use crate::series::tests::{measurements, series};

    /// The rows of a measurement in which `path` took so much of a `fetch_add`, with a budget of 2, and `other` 1.
    fn took(samples: &[f64]) -> Vec<Row> {
        let paths =
            vec![series("fetch_add", &[1.0; 40]), series("path", samples), series("other", &[1.0; 40])];
        let budgets = Budgets::parse("[path]\nfetch_add = 2\n[other]\nfetch_add = 2").expect("valid");
        budgets.hold(&measurements(paths)).expect("fits").rows().to_vec()
    }

    fn after(measurements: &[Vec<Row>]) -> (Docket, Vec<&'static str>) {
        let mut docket = Docket::default();
        let open = |docket: &Docket| {
            let names = ["path", "other"].into_iter();
            names.filter(|name| docket.wants(name, "fetch_add")).collect()
        };
        for rows in measurements {
            docket.enter(rows.clone());
        }
        let open = open(&docket);
        (docket, open)
    }

    fn finding(docket: Docket) -> Finding {
        docket.close().swap_remove(0).finding
    }

    const SLOW: [f64; 40] = [3.0; 40];
    const GOOD: [f64; 40] = [1.5; 40];

    #[test]
    fn one_measurement_within_budget_settles() {
        let (docket, open) = after(&[took(&GOOD)]);
        assert!(docket.is_settled() && open.is_empty());
        // Later rows of what is settled are no news.
        let (docket, _) = after(&[took(&GOOD), took(&SLOW), took(&SLOW)]);
        assert_eq!(finding(docket), Finding::Holds);
    }

    #[test]
    fn over_budget_has_to_be_seen_twice() {
        let (docket, open) = after(&[took(&SLOW)]);
        assert!(!docket.is_settled());
        assert_eq!(open, ["path"]);
        assert!(matches!(finding(docket), Finding::Unsure(_)));
        let (docket, _) = after(&[took(&SLOW), took(&SLOW)]);
        assert!(docket.is_settled());
        assert_eq!(finding(docket), Finding::Over);
    }

    #[test]
    fn a_quiet_moment_absolves() {
        let (docket, _) = after(&[took(&SLOW), took(&GOOD)]);
        assert!(docket.is_settled());
        assert_eq!(finding(docket), Finding::Holds);
    }

    #[test]
    fn noise_between_two_is_not_held_against_them() {
        let few = [3.0; 7];
        let (docket, open) = after(&[took(&few), took(&few)]);
        assert_eq!(open, ["path"]);
        assert!(matches!(finding(docket), Finding::Unsure(_)));
        let (docket, _) = after(&[took(&SLOW), took(&few), took(&SLOW)]);
        assert_eq!(finding(docket), Finding::Over);
        let (docket, _) = after(&[took(&few), took(&GOOD)]);
        assert_eq!(finding(docket), Finding::Holds);
    }
}
