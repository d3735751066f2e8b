//! Sliding windows that keep every admission.

/// One admission.
#[derive(Clone, Copy, Debug)]
struct Admission {
    /// The time that the caller gave.
    given: i128,
    /// The time that it counts at.
    counted: i128,
    permits: i128,
}

/// The permits of those admissions whose time, by this measure, lies in the window that begins at `from`.
fn held(all: &[Admission], from: i128, window: i128, time: impl Fn(&Admission) -> i128) -> i128 {
    let held = all.iter().filter(|one| (from..from + window).contains(&time(one)));
    held.map(|one| one.permits).sum()
}

/// Exact windows, one or several.
#[derive(Debug)]
pub(crate) struct Exact {
    /// Limits and windows.
    rules: Vec<(i128, i128)>,
    admitted: Vec<Admission>,
}

impl Exact {
    pub(crate) fn new(rules: &[(u64, u64)]) -> Self {
        let rules = rules.iter().map(|(limit, window)| (i128::from(*limit), i128::from(*window)));
        Self { rules: rules.collect(), admitted: Vec::new() }
    }

    /// The last nanosecond of all is not told from the one before.
    fn time(now: u64) -> i128 {
        i128::from(now.min(u64::MAX - 1))
    }

    /// The times in the window that ends at `now`, those that lie ahead of it too, the earliest first.
    fn in_window(&self, window: i128, now: i128) -> Vec<i128> {
        let times = self.admitted.iter().map(|one| one.counted);
        let mut times: Vec<_> = times.filter(|time| time + window > now).collect();
        times.sort_unstable();
        times
    }

    /// How long a rule makes a request wait: until so many have left that there is room.
    fn wait(&self, (limit, window): (i128, i128), now: i128) -> i128 {
        let held = self.in_window(window, now);
        let too_many = held.len() as i128 - limit + 1;
        if too_many <= 0 { 0 } else { held[too_many as usize - 1] + window - now }
    }

    /// The rule with the longest wait, the first of several, and the wait; `None` when all have room.
    pub(crate) fn refusal(&self, now: u64) -> Option<(usize, i128)> {
        let now = Self::time(now);
        // Beyond 584 years all waits are alike.
        let most = i128::from(u64::MAX);
        let waits: Vec<_> = self.rules.iter().map(|rule| self.wait(*rule, now).min(most)).collect();
        let longest = *waits.iter().max()?;
        (longest > 0).then(|| (waits.iter().position(|wait| *wait == longest).unwrap_or(0), longest))
    }

    pub(crate) fn admit(&mut self, now: u64) {
        let given = Self::time(now);
        let latest = self.admitted.last().map_or(given, |one| one.counted);
        self.admitted.push(Admission { given, counted: given.max(latest), permits: 1 });
    }

    pub(crate) fn remaining(&self, now: u64) -> i128 {
        let now = Self::time(now);
        let left =
            self.rules.iter().map(|(limit, window)| limit - self.in_window(*window, now).len() as i128);
        // Windows that a time has gone back into overlap: both may hold all that they may.
        left.min().unwrap_or(0).max(0)
    }

    /// No window, wherever it begins, holds more than its limit, by the times that were given.
    pub(crate) fn check(&self) {
        for (limit, window) in &self.rules {
            for one in &self.admitted {
                let held = held(&self.admitted, one.given, *window, |one| one.given);
                assert!(held <= *limit, "{held} in {window} ns from {}, not {limit}", one.given);
            }
        }
    }

    pub(crate) fn admitted(&self) -> usize {
        self.admitted.len()
    }
}

/// The estimate of two buckets.
#[derive(Debug)]
pub(crate) struct Estimate {
    most: i128,
    window: i128,
    admitted: Vec<Admission>,
    /// How far behind the latest time an admission was.
    behind: i128,
}

impl Estimate {
    pub(crate) fn new(most: u64, window: u64) -> Self {
        Self { most: most.into(), window: window.into(), admitted: Vec::new(), behind: 0 }
    }

    /// A time before the latest bucket is that bucket's beginning.
    fn time(&self, now: i128) -> i128 {
        let latest = self.admitted.iter().map(|one| one.counted).max().unwrap_or(0);
        now.max(latest / self.window * self.window)
    }

    /// What the bucket of so many before that of `time` counted.
    fn counted(&self, time: i128, before: i128) -> i128 {
        let begin = (time / self.window - before) * self.window;
        held(&self.admitted, begin, self.window, |one| one.counted)
    }

    /// Whether `n` permits may be had.
    pub(crate) fn has_room(&self, n: i128, now: i128) -> bool {
        let time = self.time(now);
        let share = self.counted(time, 1) * (self.window - time % self.window);
        (self.counted(time, 0) + n) * self.window + share <= self.most * self.window
    }

    pub(crate) fn admit(&mut self, n: u64, now: u64) {
        let (given, permits) = (i128::from(now), i128::from(n));
        let latest = self.admitted.iter().map(|one| one.counted).max().unwrap_or(0);
        self.behind = self.behind.max(latest - given);
        self.admitted.push(Admission { given, counted: self.time(given), permits });
    }

    /// Less than twice the limit in any window of the times that count; of the times that were given, no
    /// more than twice, if none of them was more than a window behind.
    pub(crate) fn check(&self) {
        for one in &self.admitted {
            let counted = held(&self.admitted, one.counted, self.window, |one| one.counted);
            assert!(counted < 2 * self.most, "{counted} from {}", one.counted);
            let given = held(&self.admitted, one.given, self.window, |one| one.given);
            assert!(given <= 2 * self.most || self.behind > self.window, "{given} from {}", one.given);
        }
    }

    pub(crate) fn admitted(&self) -> i128 {
        self.admitted.iter().map(|one| one.permits).sum()
    }

    pub(crate) fn calls(&self) -> usize {
        self.admitted.len()
    }
}
