//! Calls that never answer: what `count_hung_after` promises, call by call.

use std::time::Duration;

use fusewire::{CircuitBreaker, CircuitState, Outcome, Token, Totals};

use crate::input::Input;

const DAY: u64 = 24 * 3600 * 1_000_000_000;
const YEAR: u64 = 365 * DAY;
const MOST_OPERATIONS: usize = 600;
const MOST_CALLS: usize = 48;
/// Ages that differ by this many ticks look alike: one of them may be found nine ticks later.
const LAP: u64 = 1 << 21;

/// Random calls of a breaker that counts hung ones, on a clock that only goes forward.
///
/// A call is never counted as hung before its time, always by the first admission at or after an eighth
/// more, and its result is tallied late and nothing else.
///
/// # Panics
///
/// Where the engine does otherwise.
pub fn hung(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let after = input.pick(&[1, 8, 9, 1_000, 999_999_999, 30_000_000_000, YEAR]);
    let now = input.pick(&[0, 1, DAY, 1_700_000_000_000_000_000, u64::MAX - 20 * YEAR]);
    let threshold = input.pick(&[None, None, Some(3), Some(u32::MAX)]);
    let mut driver = Driver::new(after, threshold, now);
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { return };
        driver.step(kind, &mut input);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hung {
    No,
    May,
    /// It looks younger than it is: it may be found a little later. Its result is late all the same.
    Lap,
    Must,
}

struct Call {
    token: Token,
    began: u64,
    hung: Hung,
}

struct Driver {
    breaker: CircuitBreaker,
    /// The allowed duration, and an eighth of it, rounded up.
    after: u64,
    eighth: u64,
    now: u64,
    /// Calls of the present state that are out.
    calls: Vec<Call>,
    /// Calls of a state that is over.
    stale: Vec<Token>,
    /// Calls that were hung for certain, and that may have been, whose story is over.
    settled: (u64, u64),
}

impl Driver {
    fn new(after: u64, threshold: Option<u32>, now: u64) -> Self {
        let breaker = CircuitBreaker::builder("hung")
            .failure_threshold(threshold)
            .count_hung_after(Duration::from_nanos(after))
            .stripes(1)
            .build();
        Self {
            breaker: breaker.expect("valid settings"),
            after,
            eighth: after.div_ceil(8),
            now,
            calls: Vec::new(),
            stale: Vec::new(),
            settled: (0, 0),
        }
    }

    fn step(&mut self, kind: u8, input: &mut Input<'_>) {
        match kind % 16 {
            0..=4 => self.admit(),
            5..=7 => {
                let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Ignored, Outcome::Cancelled];
                let (index, outcome) = (input.below(MOST_CALLS), input.pick(&outcomes));
                if index < self.calls.len() {
                    self.finish(index, outcome);
                }
            }
            8..=10 => self.forward(u64::from(input.byte()) * self.eighth / 16),
            11 => self.forward(self.after.saturating_sub(1) + u64::from(input.byte() % 3)),
            12 => self.forward((self.eighth * 9).saturating_sub(1) + u64::from(input.byte() % 3)),
            13 => self.forward(input.number() >> 8),
            14 => match self.stale.pop() {
                Some(token) => {
                    let before = self.breaker.totals();
                    assert_eq!(self.breaker.record_at(token, Outcome::Failure, self.now), None);
                    assert_eq!(changes(&before, &self.breaker.totals()), [0, 0, 0, 0, 1, 0]);
                }
                // A gap of a whole lap of ticks, give or take a few.
                None => self.forward((LAP - 4 + u64::from(input.byte() % 16)).saturating_mul(self.eighth)),
            },
            _ => {
                self.breaker.reset_at(self.now);
                self.settle();
            }
        }
    }

    fn forward(&mut self, by: u64) {
        self.now = self.now.saturating_add(by);
    }

    fn admit(&mut self) {
        if self.calls.len() == MOST_CALLS {
            return;
        }
        let began = self.now;
        for call in &mut self.calls {
            let age = began - call.began;
            // Both ends of an age are rounded to ticks, so it may seem one more.
            let laps_apart = age / self.eighth >= LAP - 1 && (age / self.eighth + 1) % LAP <= 10;
            if age >= self.eighth * 9 && !laps_apart {
                call.hung = Hung::Must;
            } else if laps_apart && call.hung != Hung::Must {
                call.hung = Hung::Lap;
            } else if age > self.after && call.hung == Hung::No {
                call.hung = Hung::May;
            }
        }
        let admitted = self.breaker.admit_at(began);
        let (least, most) = self.hung();
        let hung = self.breaker.totals().hung;
        assert!((least..=most).contains(&hung), "{hung} calls count as hung, not {least} to {most}");
        if self.breaker.state() == CircuitState::Closed {
            let token = admitted.expect("the breaker is closed");
            assert_eq!(token.started(), Some(began));
            self.calls.push(Call { token, began, hung: Hung::No });
        } else {
            // It opened before this call could pass, or right after: a call whose place an older one held
            // is let through before that one counts as hung.
            self.stale.extend(admitted);
            self.breaker.reset_at(began);
            self.settle();
        }
    }

    /// How many calls are hung for certain, and how many may be.
    fn hung(&self) -> (u64, u64) {
        self.calls.iter().fold(self.settled, |(least, most), call| {
            (least + u64::from(call.hung == Hung::Must), most + u64::from(call.hung != Hung::No))
        })
    }

    /// The state is over: what is out now will be late, and hung calls of it are not counted any more.
    fn settle(&mut self) {
        let hung = self.breaker.totals().hung;
        let (least, most) = self.hung();
        assert!((least..=most).contains(&hung));
        self.settled = (hung, hung);
        self.stale.extend(self.calls.drain(..).map(|call| call.token));
    }

    fn finish(&mut self, index: usize, outcome: Outcome) {
        let call = self.calls.swap_remove(index);
        let before = self.breaker.totals();
        self.breaker.record_at(call.token, outcome, self.now);
        let after = self.breaker.totals();
        let late = after.late > before.late;
        let mut expected = [0; 6];
        expected[if late { 4 } else { outcome as usize }] = 1;
        assert_eq!(changes(&before, &after), expected, "a result counts once");
        match call.hung {
            Hung::No => assert!(!late, "late before its time"),
            Hung::Lap | Hung::Must => assert!(late, "counted as hung and as a result"),
            Hung::May => {}
        }
        self.settled.0 += u64::from(late && call.hung != Hung::Lap);
        self.settled.1 += u64::from(late);
        if self.breaker.state() != CircuitState::Closed {
            self.breaker.reset_at(self.now);
            self.settle();
        }
    }
}

/// What was added to success, failure, ignored, cancelled, late and hung.
fn changes(before: &Totals, after: &Totals) -> [u64; 6] {
    let counts = |t: &Totals| [t.success, t.failure, t.ignored, t.cancelled, t.late, t.hung];
    let (before, after) = (counts(before), counts(after));
    std::array::from_fn(|i| after[i] - before[i])
}
