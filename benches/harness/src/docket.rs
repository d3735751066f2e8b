//! Which findings stand, over several measurements.

use crate::report::{Finding, Row};

/// How many measurements a path has, each on instances of its own, and how many have to find it over its budget. One
/// instance in some hundreds lies where each call takes a third longer; and any measurement may have met a moment that
/// neither the scheduler nor the canary saw.
const PLACEMENTS: u32 = 3;

/// What was found of each path and unit so far.
///
/// Noise and a bad place in memory add time, so the least ratio of a row's measurements stands. Over budget it must be in
/// three, and within budget in one, for which there are three or more.
#[derive(Debug, Default)]
pub(crate) struct Docket {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The best of the measurements.
    row: Row,
    measured: u32,
    over: u32,
}

impl Entry {
    fn new(row: Row) -> Self {
        Self { measured: 1, over: u32::from(row.finding == Finding::Over), row }
    }

    fn take(&mut self, row: Row) {
        self.measured += 1;
        self.over += u32::from(row.finding == Finding::Over);
        let rank = |row: &Row| match row.finding {
            Finding::Holds => 0,
            Finding::Over => 1,
            Finding::Unsure(_) => 2,
        };
        if (rank(&row), row.ratio) < (rank(&self.row), self.row.ratio) {
            self.row = row;
        }
    }

    fn is_settled(&self) -> bool {
        match self.row.finding {
            Finding::Holds => self.measured >= PLACEMENTS,
            _ => self.over >= PLACEMENTS,
        }
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
            let same = |entry: &&mut Entry| entry.row.path == row.path && entry.row.unit == row.unit;
            match self.entries.iter_mut().find(same) {
                Some(entry) if entry.is_settled() => {}
                Some(entry) => entry.take(row),
                None => self.entries.push(Entry::new(row)),
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
                let why = format!(
                    "over budget in {} of {PLACEMENTS} places, and no time to look again",
                    entry.over
                );
                row.finding = Finding::Unsure(why);
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

    fn ratio(docket: Docket) -> f64 {
        docket.close().swap_remove(0).ratio
    }

    #[test]
    fn one_measurement_within_budget_absolves() {
        for order in [[&SLOW, &SLOW, &GOOD], [&SLOW, &GOOD, &SLOW], [&GOOD, &SLOW, &SLOW]] {
            let (docket, open) = after(&order.map(|samples| took(samples)));
            assert!(docket.is_settled() && open.is_empty());
            assert_eq!(finding(docket), Finding::Holds);
        }
    }

    #[test]
    fn the_best_of_three_places_stands() {
        let better = [1.2; 40];
        let (docket, open) = after(&[took(&GOOD), took(&better)]);
        assert!(!docket.is_settled());
        assert_eq!(open, ["path", "other"]);
        assert!((ratio(docket) - 1.2).abs() < 1e-9);
        let (docket, _) = after(&[took(&GOOD), took(&better), took(&GOOD)]);
        assert!(docket.is_settled());
        assert!((ratio(docket) - 1.2).abs() < 1e-9);
        // Later rows of what is settled are no news.
        let (docket, _) = after(&[took(&GOOD), took(&GOOD), took(&GOOD), took(&better)]);
        assert!((ratio(docket) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn over_budget_has_to_be_seen_in_three_places() {
        let (docket, open) = after(&[took(&SLOW), took(&SLOW)]);
        assert!(!docket.is_settled());
        assert_eq!(open, ["path", "other"]);
        let why = "over budget in 2 of 3 places, and no time to look again";
        assert_eq!(finding(docket), Finding::Unsure(why.into()));
        let (docket, open) = after(&[took(&[4.0; 40]), took(&SLOW), took(&[5.0; 40])]);
        assert!(docket.is_settled() && open.is_empty());
        assert!((ratio(docket) - 3.0).abs() < 1e-9, "the best");
        let (docket, _) = after(&[took(&SLOW), took(&SLOW), took(&SLOW)]);
        assert_eq!(finding(docket), Finding::Over);
    }

    #[test]
    fn noise_is_not_held_against_a_path() {
        let few = [3.0; 7];
        let (docket, open) = after(&[took(&few), took(&few), took(&few), took(&few)]);
        assert_eq!(open, ["path"]);
        assert!(matches!(finding(docket), Finding::Unsure(_)));
        let (docket, _) = after(&[took(&SLOW), took(&few), took(&SLOW), took(&few)]);
        assert!(!docket.is_settled());
        let (docket, _) = after(&[took(&SLOW), took(&few), took(&SLOW), took(&SLOW)]);
        assert_eq!(finding(docket), Finding::Over);
        let (docket, _) = after(&[took(&few), took(&GOOD), took(&few)]);
        assert!(docket.is_settled());
        assert_eq!(finding(docket), Finding::Holds);
    }
}
