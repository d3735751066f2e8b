//! What the venue makes of each order.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::allowance::Meter;
use crate::wire::{Order, Verdict};

/// The venue declines larger orders.
pub(crate) const LARGEST_ORDER: u32 = 1_000;
/// Orders that the venue remembers; a client that sends one again does so at once.
const MEMORY: usize = 1 << 16;

/// How the venue treats orders; spoken as one line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Each answer is this late.
    Slow(Duration),
    /// One order in so many is answered `Unavailable`.
    Flaky(u32),
}

impl Mood {
    pub(crate) fn to_line(self) -> String {
        match self {
            Self::Well => "well\n".into(),
            Self::Slow(delay) => format!("slow {}\n", delay.as_millis()),
            Self::Flaky(one_in) => format!("flaky {one_in}\n"),
        }
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let mood = match (words.next()?, words.next()) {
            ("well", None) => Self::Well,
            ("flaky", None) => Self::Flaky(2),
            ("flaky", Some(one_in)) => Self::Flaky(one_in.parse().ok().filter(|&one_in| one_in > 0)?),
            ("slow", Some(millis)) => Self::Slow(Duration::from_millis(millis.parse().ok()?)),
            _ => return None,
        };
        words.next().is_none().then_some(mood)
    }
}

pub(crate) struct Desk {
    pub(crate) mood: Mood,
    orders: u64,
    meter: Option<Meter>,
    filled: Memory,
}

impl Desk {
    pub(crate) fn new(meter: Option<Meter>) -> Self {
        Self { mood: Mood::Well, orders: 0, meter, filled: Memory::default() }
    }

    /// The verdict, and how late it is to be given.
    pub(crate) fn take(&mut self, order: &Order) -> (Duration, Verdict) {
        if self.meter.as_mut().is_some_and(|meter| !meter.admits(Instant::now())) {
            return (Duration::ZERO, Verdict::Banned);
        }
        self.orders += 1;
        let delay = if let Mood::Slow(delay) = self.mood { delay } else { Duration::ZERO };
        let verdict = match self.mood {
            Mood::Flaky(one_in) if self.orders.is_multiple_of(one_in.into()) => Verdict::Unavailable,
            _ if order.quantity > LARGEST_ORDER => Verdict::Declined,
            // Whoever gave up on an order and sends it again must not be filled twice.
            _ if !self.filled.insert(order.id) => Verdict::FilledBefore,
            _ => Verdict::Filled,
        };
        (delay, verdict)
    }
}

/// The latest ids.
#[derive(Debug, Default)]
struct Memory {
    ids: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Memory {
    /// False if it is there already.
    fn insert(&mut self, id: u64) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MEMORY
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}
