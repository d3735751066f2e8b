//! The venue's own limit on orders, and what it does to who sends more: it bans them for a while.

use std::time::{Duration, Instant};

/// What the venue allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Orders a second.
    pub(crate) rate: u32,
    /// Orders at once.
    pub(crate) burst: u32,
    /// How long it serves nobody after more than that.
    pub(crate) ban: Duration,
}

impl Allowance {
    /// Half as much again as the usual load, and headroom for a few orders of each thread that arrive
    /// together: those that lay unread while the venue stood still.
    pub(crate) fn of(load: u32, threads: u32, ban: Duration) -> Self {
        let rate = load.saturating_mul(3).div_ceil(2);
        Self { rate, burst: (rate / 10).max(40 + 8 * threads), ban }
    }

    /// What a client may send at once and be sure that it is within the burst when it arrives.
    pub(crate) fn safe_burst(&self) -> u32 {
        self.burst / 2
    }
}

/// Holds the orders of a client against its allowance; a leaky bucket, with no part of it from the library
/// that is on show.
#[derive(Debug)]
pub(crate) struct Meter {
    allowance: Allowance,
    level: f64,
    at: Instant,
    banned_until: Option<Instant>,
}

impl Meter {
    pub(crate) fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, level: 0.0, at: now, banned_until: None }
    }

    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        if self.banned_until.is_some_and(|until| now < until) {
            return false;
        }
        let leaked = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(self.allowance.rate);
        self.at = now;
        self.level = (self.level - leaked).max(0.0) + 1.0;
        if self.level <= f64::from(self.allowance.burst) {
            return true;
        }
        self.level = 0.0;
        self.banned_until = Some(now + self.allowance.ban);
        false
    }
}
