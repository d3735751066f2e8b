//! Which findings stand, over several measurements.

use crate::report::{Finding, Row};

/// How many measurements a path has, each with its code and its instances elsewhere in memory, and how many have to
/// find it over its budget. In one place of ten a path may be an eighth slower, in one of some hundreds a third; and
/// any measurement may have met a moment that neither the scheduler nor the canary saw.
const PLACEMENTS: usize = 5;

/// How much longer than in the best measurement a unit may take, before what is compared with it says nothing.
const UNIT_APART: f64 = 1.1;

/// What was found of each path and unit so far.
///
/// Noise and a bad place in memory add time, so the least ratio of a row's measurements stands: of those whose unit was
/// not slowed itself, which would make any path look quick. Over budget it must be in five, and within budget in
/// one, for which there are five or more.
#[derive(Debug, Default)]
pub(crate) struct Docket {
    entries: Vec<Entry>,
}

/// The measurements of one path by one unit.
#[derive(Debug)]
struct Entry {
    path: String,
    unit: String,
    rows: Vec<Row>,
}

impl Entry {
    /// Whether a measurement within budget is to be believed: its unit took no longer than it takes.
    fn absolves(&self, row: &Row) -> bool {
        let least = self.rows.iter().map(|row| row.unit_nanoseconds).fold(f64::INFINITY, f64::min);
        row.finding == Finding::Holds && row.unit_nanoseconds <= least * UNIT_APART
    }

    fn over(&self) -> usize {
        self.rows.iter().filter(|row| row.finding == Finding::Over).count()
    }

    fn is_settled(&self) -> bool {
        if self.rows.iter().any(|row| self.absolves(row)) {
            self.rows.len() >= PLACEMENTS
        } else {
            self.over() >= PLACEMENTS
        }
    }

    /// The row that stands.
    fn close(self) -> Option<Row> {
        let rank = |row: &Row| match row.finding {
            Finding::Holds if self.absolves(row) => 0,
            Finding::Over => 1,
            Finding::Holds => 2,
            Finding::Unsure(_) => 3,
        };
        let order = |a: &&Row, b: &&Row| rank(a).cmp(&rank(b)).then(a.ratio.total_cmp(&b.ratio));
        let mut row = self.rows.iter().min_by(order)?.clone();
        let (rank, over) = (rank(&row), self.over());
        if rank == 1 && over < PLACEMENTS {
            let why = format!("over budget in {over} of {PLACEMENTS} places, and no time to look again");
            row.finding = Finding::Unsure(why);
        } else if rank == 2 {
            row.finding = Finding::Unsure(format!("within budget only while {} was slow", row.unit));
        }
        Some(row)
    }
}

impl Docket {
    /// Takes the rows of a measurement.
    pub(crate) fn enter(&mut self, rows: Vec<Row>) {
        for row in rows {
            let same = |entry: &&mut Entry| entry.path == row.path && entry.unit == row.unit;
            match self.entries.iter_mut().find(same) {
                Some(entry) if entry.is_settled() => {}
                Some(entry) => entry.rows.push(row),
                None => {
                    let (path, unit) = (row.path.clone(), row.unit.clone());
                    self.entries.push(Entry { path, unit, rows: vec![row] });
                }
            }
        }
    }

    /// The paths of which another measurement would be news, each once for every unit that is not settled.
    pub(crate) fn open(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| !entry.is_settled()).map(|entry| entry.path.as_str())
    }

    /// The rows as they stand, in the order in which they were first entered.
    pub(crate) fn close(self) -> Vec<Row> {
        self.entries.into_iter().filter_map(Entry::close).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budgets;
    use crate::series::tests::{measurements, series};

    /// The rows of a measurement in which `path` took so much of a `fetch_add`, with a budget of 2, and `other` 1.
    fn took(samples: &[f64]) -> Vec<Row> {
        took_by(1.0, samples)
    }

    /// The same with a `fetch_add` that takes `unit`.
    fn took_by(unit: f64, samples: &[f64]) -> Vec<Row> {
        let paths =
            vec![series("fetch_add", &[unit; 40]), series("path", samples), series("other", &[1.0; 40])];
        let budgets = Budgets::parse("[path]\nfetch_add = 2\n[other]\nfetch_add = 2").expect("valid");
        budgets.hold(&measurements(paths)).expect("fits").rows().to_vec()
    }

    fn after(measurements: &[Vec<Row>]) -> Docket {
        let mut docket = Docket::default();
        for rows in measurements {
            docket.enter(rows.clone());
        }
        docket
    }

    fn open(docket: &Docket) -> Vec<&str> {
        docket.open().collect()
    }

    fn finding(docket: Docket) -> Finding {
        docket.close().swap_remove(0).finding
    }

    const SLOW: [f64; 40] = [3.0; 40];
    const GOOD: [f64; 40] = [1.5; 40];

    fn ratio(docket: Docket) -> f64 {
        docket.close().swap_remove(0).ratio
    }

    /// So many measurements of this kind.
    fn times(count: usize, rows: &[Row]) -> Vec<Vec<Row>> {
        vec![rows.to_vec(); count]
    }

    #[test]
    fn one_measurement_within_budget_absolves() {
        for place in 0..PLACEMENTS {
            let mut measurements = times(PLACEMENTS, &took(&SLOW));
            measurements[place] = took(&GOOD);
            let docket = after(&measurements);
            assert!(open(&docket).is_empty());
            assert_eq!(finding(docket), Finding::Holds);
        }
    }

    #[test]
    fn the_best_of_all_places_stands() {
        let better = took(&[1.2; 40]);
        let mut measurements = times(PLACEMENTS - 2, &took(&GOOD));
        measurements.push(better.clone());
        let docket = after(&measurements);
        assert_eq!(open(&docket), ["path", "other"]);
        assert!((ratio(docket) - 1.2).abs() < 1e-9);
        measurements.push(took(&GOOD));
        let docket = after(&measurements);
        assert!(open(&docket).is_empty());
        assert!((ratio(docket) - 1.2).abs() < 1e-9);
        // Later rows of what is settled are no news.
        let docket = after(&[times(PLACEMENTS, &took(&GOOD)), vec![better]].concat());
        assert!((ratio(docket) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn over_budget_has_to_be_seen_in_all_places() {
        let docket = after(&times(PLACEMENTS - 1, &took(&SLOW)));
        assert_eq!(open(&docket), ["path", "other"]);
        let why = "over budget in 4 of 5 places, and no time to look again";
        assert_eq!(finding(docket), Finding::Unsure(why.into()));
        let slower = [took(&[4.0; 40]), took(&[5.0; 40])];
        let docket = after(&[times(PLACEMENTS - 2, &took(&SLOW)), slower.to_vec()].concat());
        assert!(open(&docket).is_empty());
        assert!((ratio(docket) - 3.0).abs() < 1e-9, "the best");
        assert_eq!(finding(after(&times(PLACEMENTS, &took(&SLOW)))), Finding::Over);
    }

    #[test]
    fn noise_is_not_held_against_a_path() {
        let few = took(&[3.0; 7]);
        let docket = after(&times(PLACEMENTS + 1, &few));
        assert_eq!(open(&docket), ["path"]);
        assert!(matches!(finding(docket), Finding::Unsure(_)));
        let mut measurements = [times(PLACEMENTS - 1, &took(&SLOW)), times(2, &few)].concat();
        assert_eq!(open(&after(&measurements)), ["path"]);
        measurements.push(took(&SLOW));
        assert_eq!(finding(after(&measurements)), Finding::Over);
        let docket = after(&[times(PLACEMENTS - 1, &few), vec![took(&GOOD)]].concat());
        assert!(open(&docket).is_empty());
        assert_eq!(finding(docket), Finding::Holds);
    }

    #[test]
    fn a_unit_that_was_slow_absolves_nothing() {
        let slowed = took_by(2.0, &SLOW);
        assert_eq!(slowed[0].finding, Finding::Holds, "by itself it looks well");
        let mut measurements = [times(PLACEMENTS - 1, &took(&SLOW)), vec![slowed.clone()]].concat();
        let docket = after(&measurements);
        assert_eq!(open(&docket), ["path"]);
        assert!(matches!(finding(docket), Finding::Unsure(_)));
        measurements.push(took(&SLOW));
        assert_eq!(finding(after(&measurements)), Finding::Over);
        let docket = after(&[vec![slowed], times(PLACEMENTS, &took(&[3.0; 7]))].concat());
        let why = "within budget only while fetch_add was slow";
        assert_eq!(finding(docket), Finding::Unsure(why.into()));
    }

    #[test]
    fn the_ratio_to_a_slow_unit_is_not_the_best() {
        let units = [1.0, 1.5, 1.05, 1.5, 1.5];
        let docket = after(&units.map(|unit| took_by(unit, &GOOD)));
        assert!(open(&docket).is_empty());
        assert!((ratio(docket) - 1.5 / 1.05).abs() < 1e-9);
    }
}
