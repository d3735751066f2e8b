//! A sliding window that keeps every call.

use fusewire::WindowConfig;

/// Calls, failures and slow calls of a window.
pub(crate) type Counts = (u64, u64, u64);

/// One result of a closed (or disabled) breaker.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// The bucket it fell into, counted from the breaker's origin or its first call.
    bucket: i128,
    failed: bool,
    slow: bool,
}

/// All results since the window was made; what it holds is found by looking through them.
#[derive(Debug)]
pub(crate) struct Window {
    config: WindowConfig,
    /// A bucket's width: nanoseconds, or calls.
    width: i128,
    buckets: i128,
    /// Results that the breaker had counted before the window was made: buckets of calls go on.
    before: i128,
    calls: Vec<Call>,
    /// Results before this one happened before the breaker closed and never count again.
    floor: usize,
    /// The latest bucket of time that a result fell into. Time that goes back does not open it again.
    head: i128,
}

impl Window {
    pub(crate) fn new(config: WindowConfig, before: u64) -> Self {
        let (width, buckets) = match config {
            WindowConfig::Time { length, buckets, .. } => (length.as_nanos().cast_signed(), buckets),
            WindowConfig::Count { calls, buckets, .. } => (i128::from(calls), buckets),
            other => unreachable!("{other:?} has no twin"),
        };
        let buckets = i128::from(buckets);
        Self {
            config,
            width: (width + buckets - 1) / buckets,
            buckets,
            before: i128::from(before),
            calls: Vec::new(),
            floor: 0,
            head: 0,
        }
    }

    pub(crate) fn config(&self) -> WindowConfig {
        self.config
    }

    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.config, WindowConfig::Time { .. })
    }

    /// The breaker closed: what was counted before is forgotten.
    pub(crate) fn restart(&mut self) {
        self.floor = self.calls.len();
    }

    /// Counts a result at a time since the origin; true when it is the first of a new bucket of time.
    pub(crate) fn count(&mut self, elapsed: i128, failed: bool, slow: bool) -> bool {
        let mut crossed = false;
        let bucket = if self.is_timed() {
            let bucket = elapsed / self.width;
            crossed = bucket > self.head;
            self.head = self.head.max(bucket);
            self.head
        } else {
            (self.before + self.calls.len() as i128) / self.width
        };
        self.calls.push(Call { bucket, failed, slow });
        crossed
    }

    /// What the rules are asked about right after a result: its bucket and those before it.
    pub(crate) fn decided_by(&self) -> Counts {
        let last = self.calls.last().map_or(0, |call| call.bucket);
        self.since(last + 1 - self.buckets)
    }

    /// What the window holds at a time since the origin, or as of the last result.
    pub(crate) fn shown(&self, elapsed: Option<i128>) -> Counts {
        let bucket = if self.is_timed() {
            elapsed.map_or(self.head, |elapsed| self.head.max(elapsed / self.width))
        } else {
            // The next call's bucket: the one before is complete, and the oldest of all is let go.
            (self.before + self.calls.len() as i128) / self.width
        };
        self.since(bucket + 1 - self.buckets)
    }

    /// The calls of bucket `oldest` and later. Buckets only grow.
    fn since(&self, oldest: i128) -> Counts {
        let held = self.newest_first().take_while(|call| call.bucket >= oldest);
        held.fold((0, 0, 0), add)
    }

    /// The counts of the last call, the last two, and so on, back to the floor.
    pub(crate) fn tails(&self) -> impl Iterator<Item = Counts> {
        self.newest_first().scan((0, 0, 0), |sum, call| {
            *sum = add(*sum, call);
            Some(*sum)
        })
    }

    fn newest_first(&self) -> impl Iterator<Item = &Call> {
        self.calls[self.floor..].iter().rev()
    }

    /// A bucket's width in nanoseconds or calls.
    pub(crate) fn width(&self) -> i128 {
        self.width
    }
}

fn add((calls, failed, slow): Counts, call: &Call) -> Counts {
    (calls + 1, failed + u64::from(call.failed), slow + u64::from(call.slow))
}
