//! A token bucket in exact arithmetic: the virtual scheduling form of ITU-T I.371, a list of those who wait,
//! and nothing packed.
//!
//! Tokens are counted in grains, as many to the token that the rate is a whole number of grains a second. The
//! engine rounds to units of one to two nanoseconds of flow: a decision that falls within two units is the
//! engine's, and what it may have rounded where tokens come back or terms change widens an interval.

use std::collections::VecDeque;

const SECOND: i128 = 1_000_000_000;
/// How far back the times of a changed line go, and how long a line lasts before the next begins.
const BEFORE: i128 = 1 << 58;
const SPAN: i128 = 1 << 60;

/// A rate and a capacity, in grains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Grains a second.
    speed: i128,
    /// log2 of the grains in a token.
    bits: u32,
    pub(crate) capacity: u64,
}

impl Terms {
    pub(crate) fn new(rate: f64, capacity: u64) -> Self {
        if rate == 0.0 {
            return Self { speed: 0, bits: 20, capacity };
        }
        let raw = rate.to_bits();
        let exponent = (raw >> 52) as i32 - 1075;
        let speed = i128::from(raw & ((1 << 52) - 1) | 1 << 52);
        Self { speed, bits: u32::try_from(-exponent).expect("a rate below 2^53"), capacity }
    }

    fn grains(&self, tokens: u128) -> i128 {
        let most = 1_i128 << 120;
        i128::try_from(tokens).ok().and_then(|n| n.checked_mul(1 << self.bits)).map_or(most, |n| n.min(most))
    }

    fn full(&self) -> i128 {
        self.grains(self.capacity.into())
    }

    fn flow(&self, nanos: i128) -> i128 {
        (self.speed * nanos).div_euclid(SECOND)
    }

    /// At least a unit of the engine.
    fn unit(&self) -> i128 {
        if self.speed == 0 { 0 } else { self.flow(2) + 2 }
    }

    /// What a change to these terms may round off.
    fn coarse(&self) -> i128 {
        if self.speed == 0 { 1 << self.bits } else { self.unit() }
    }

    /// Whether so many tokens may be given in any `nanos`, but for rounding.
    pub(crate) fn may_give(&self, tokens: u128, nanos: u64) -> bool {
        self.grains(tokens) <= self.full() + self.flow(nanos.into()) + 2 * self.unit()
    }

    /// The least time in which so many grains flow in.
    fn nanos(&self, grains: i128) -> i128 {
        grains.max(0).saturating_mul(SECOND).saturating_add(self.speed - 1) / self.speed.max(1)
    }
}

/// What an exact bucket says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    No,
    /// It is a matter of rounding.
    Either,
}

impl Verdict {
    pub(crate) fn allows(self, answer: bool) -> bool {
        self == Self::Either || answer == (self == Self::Yes)
    }
}

#[derive(Clone, Copy, Debug)]
struct Request {
    id: u64,
    n: u64,
    since: u64,
}

/// Where a bucket's theoretical arrival time lies, in grains on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrival {
    lo: i128,
    hi: i128,
}

impl Arrival {
    fn map(self, f: impl Fn(i128) -> i128) -> Self {
        Self { lo: f(self.lo), hi: f(self.hi) }
    }
}

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) terms: Terms,
    /// Where the line stands at zero grains, and how far it goes back from there.
    anchor: Option<i128>,
    before: i128,
    arrival: Arrival,
    initial: u64,
    /// Nanoseconds by which the anchor may be off, when changes lagged behind.
    blur: i128,
    /// A token or more was rounded off, and the time of a change hung on it: nothing can be said any more.
    pub(crate) is_lost: bool,
    queue: VecDeque<Request>,
    next: u64,
    /// Counts changes of terms and of lines.
    pub(crate) epoch: u64,
    pub(crate) allowed: u64,
    pub(crate) refused: u64,
}

impl Bucket {
    pub(crate) fn new(terms: Terms, initial: u64) -> Self {
        let arrival = Arrival { lo: 0, hi: 0 };
        Self {
            terms,
            anchor: None,
            before: 0,
            arrival,
            initial,
            blur: 0,
            is_lost: false,
            queue: VecDeque::new(),
            next: 0,
            epoch: 0,
            allowed: 0,
            refused: 0,
        }
    }

    fn debt(&self) -> i128 {
        self.terms.full() - self.terms.grains(self.initial.into())
    }

    /// The first request, at `now`, begins the line.
    pub(crate) fn touch_first(&mut self, now: u64) {
        if self.anchor.is_none() {
            self.anchor = Some(now.min(u64::MAX - 1).into());
            let debt = self.debt();
            self.arrival = Arrival { lo: debt, hi: debt };
        }
    }

    /// A request at `now` begins the first line, or the next one.
    pub(crate) fn touch(&mut self, now: u64) {
        self.touch_first(now);
        if i128::from(now) - (self.anchor() - self.before) > SPAN {
            self.change(self.terms, now);
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.anchor.is_some()
    }

    fn anchor(&self) -> i128 {
        self.anchor.expect("touched")
    }

    fn line(&self, now: u64) -> i128 {
        self.terms.flow((i128::from(now) - self.anchor()).max(-self.before))
    }

    /// What is there at `now`, at least and at most, if nothing flowed over.
    fn uncapped(&self, now: u64) -> (i128, i128) {
        let full = self.terms.full();
        if self.anchor.is_none() {
            return (full - self.debt(), full - self.debt());
        }
        let line = self.line(now);
        (full + line - self.arrival.hi, full + line - self.arrival.lo)
    }

    /// What the engine may have rounded.
    fn slack(&self) -> i128 {
        2 * self.terms.unit() + self.terms.flow(self.blur)
    }

    fn verdict(&self, (least, most): (i128, i128), wanted: i128) -> Verdict {
        let slack = self.slack();
        if least - slack >= wanted {
            Verdict::Yes
        } else if most + slack < wanted {
            Verdict::No
        } else {
            Verdict::Either
        }
    }

    pub(crate) fn asked(&self) -> u128 {
        self.queue.iter().map(|request| u128::from(request.n)).sum()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_valid(&self, n: u64) -> bool {
        (1..=self.terms.capacity).contains(&n)
    }

    /// Whether `n` tokens can be had at `now` behind all who wait.
    pub(crate) fn can_take(&self, n: u64, now: u64) -> Verdict {
        if !self.is_valid(n) {
            return Verdict::No;
        }
        self.verdict(self.uncapped(now), self.terms.grains(u128::from(n) + self.asked()))
    }

    /// Tokens that can be had at `now`, at least and at most.
    pub(crate) fn remaining(&self, now: u64) -> (u64, u64) {
        let (least, most) = self.uncapped(now);
        let (asked, slack) = (self.terms.grains(self.asked()), self.slack());
        let tokens = |grains: i128| (grains - asked).clamp(0, self.terms.full()) >> self.terms.bits;
        (tokens(least - slack) as u64, tokens(most + slack) as u64)
    }

    pub(crate) fn take(&mut self, n: u64, now: u64) {
        let (line, cost) = (self.line(now), self.terms.grains(n.into()));
        self.arrival = self.arrival.map(|arrival| arrival.max(line) + cost);
        self.allowed += n;
    }

    /// A place in the queue.
    pub(crate) fn join(&mut self, n: u64, now: u64) -> u64 {
        self.next += 1;
        self.queue.push_back(Request { id: self.next, n, since: now });
        self.next
    }

    pub(crate) fn is_waiting(&self, id: u64) -> bool {
        self.queue.iter().any(|request| request.id == id)
    }

    /// Serves the queue at `now`, until as many wait as the engine says: those at the head, in order, and
    /// nobody before or after the time.
    pub(crate) fn serve(&mut self, now: u64, waiting: usize) {
        if self.queue.is_empty() {
            assert_eq!(waiting, 0, "somebody waits");
            return;
        }
        self.touch(now);
        while let Some(head) = self.queue.front().copied() {
            let granted = self.queue.len() > waiting;
            let (line, cost) = (self.line(now), self.terms.grains(head.n.into()));
            let due = line + self.terms.full() - cost;
            let since = self.line(head.since).min(line).min(due);
            let next = self.arrival.map(|arrival| arrival.max(since) + cost);
            let room = line + self.terms.full();
            let verdict = self.verdict((room - next.hi, room - next.lo), 0);
            assert!(
                verdict.allows(granted),
                "granted {granted}, not {verdict:?}: {head:?} at {now}, {self:?}"
            );
            if !granted {
                return;
            }
            self.arrival = next;
            self.allowed += head.n;
            self.queue.pop_front();
        }
        assert_eq!(waiting, 0, "somebody waits");
    }

    /// Whether the first `gone` requests, this one among them, ask for `tokens` in all.
    pub(crate) fn were_granted(&self, id: u64, gone: usize, tokens: u64) -> bool {
        let mut first = self.queue.iter().take(gone);
        first.any(|request| request.id == id)
            && self.queue.iter().take(gone).map(|request| request.n).sum::<u64>() == tokens
    }

    /// Whether a request left in time; `waiting` are left then. The queue was served before.
    pub(crate) fn leave(&mut self, id: u64, now: u64, left: bool, waiting: usize) {
        let ahead = self.queue.iter().position(|request| request.id == id);
        let Some(place) = ahead else { return assert!(!left, "it was granted before") };
        if !left {
            return self.serve(now, waiting);
        }
        // Of those who are gone, one left; the others were ahead of it, or it was at the head.
        let granted = self.queue.len() - 1 - waiting;
        let before = granted.min(place);
        self.serve(now, self.queue.len() - before);
        self.queue.retain(|request| request.id != id);
        self.serve(now, waiting);
    }

    /// Compares the time at which a place's tokens are due, as told at `now`.
    pub(crate) fn check_due(&self, id: u64, now: u64, at: u64) {
        let place = self.queue.iter().position(|request| request.id == id).expect("it waits");
        let all = self.queue.iter().take(place + 1).map(|request| u128::from(request.n)).sum();
        self.check_time(self.terms.grains(all), now, at);
    }

    fn check_time(&self, wanted: i128, now: u64, at: u64) {
        if at == u64::MAX {
            let (_, most) = self.uncapped(now);
            // Centuries count as never.
            let never = self.terms.speed == 0 || self.terms.nanos(wanted - most) >= 1 << 62;
            assert!(never || self.verdict(self.uncapped(u64::MAX - 10), wanted) != Verdict::Yes, "not never");
            return;
        }
        assert!(at >= now);
        assert_ne!(self.verdict(self.uncapped(at), wanted), Verdict::No, "due too early: {at}");
        let before = at.saturating_sub(4 + self.blur as u64);
        if before >= now {
            assert_ne!(self.verdict(self.uncapped(before), wanted), Verdict::Yes, "due too late: {at}");
        }
    }

    /// Up to `n` tokens for a lease, as many as there are: `drawn` by the engine.
    pub(crate) fn draw(&mut self, n: u64, now: u64, drawn: u64) {
        let (least, most) = self.remaining(now);
        assert!((least.min(n)..=most.min(n)).contains(&drawn), "drew {drawn}, not {least} to {most}");
        self.take(drawn, now);
    }

    /// What is left of a lease comes back. True if that was anything for certain.
    pub(crate) fn give_back(&mut self, n: u64, drawn: u64, now: u64) -> bool {
        let (full, there) = (self.terms.full(), self.terms.grains(n.into()));
        let (line, then) = (self.line(now), self.line(drawn));
        let returned = |arrival: i128| (there - (line.max(arrival - full) - then).max(0)).max(0);
        let floor = self.terms.flow(-self.before);
        let unit = self.terms.unit();
        let next = self.arrival.map(|arrival| arrival - returned(arrival));
        self.arrival = Arrival { lo: (next.lo - unit).max(floor), hi: (next.hi + unit).max(floor) };
        returned(self.arrival.hi) > 2 * unit
    }

    /// Other terms from `now` on, or from the last time at which anybody took tokens.
    pub(crate) fn change(&mut self, terms: Terms, now: u64) {
        let old = self.terms;
        let full = old.full();
        let mut at = (i128::from(now), i128::from(now));
        // When the bucket held nothing less than nothing, and the line had begun.
        let reached = |arrival: i128| {
            let filled = if old.speed > 0 { old.nanos(arrival - full + old.flow(self.before)) } else { 0 };
            self.anchor() - self.before + filled
        };
        at.0 = at.0.max(reached(self.arrival.lo) - 2);
        at.1 = at.1.max(reached(self.arrival.hi) + 4);
        self.blur += at.1 - at.0;
        self.is_lost |= self.blur > 100;
        let there = |grains: i128| {
            let grains = if terms.bits > old.bits {
                grains << (terms.bits - old.bits)
            } else {
                grains >> (old.bits - terms.bits)
            };
            grains.min(terms.full())
        };
        let (least, most) = (self.uncapped(now).0, self.uncapped(at.1.clamp(0, u64::MAX.into()) as u64).1);
        let least = if at.1 > i128::from(now) { least.max(-old.unit()) } else { least };
        let least = there(least.min(full) - old.unit()) - terms.coarse() - terms.flow(at.1 - at.0) - 1;
        let most = there((most + old.unit()).min(full)) + terms.flow(at.1 - at.0);
        self.terms = terms;
        self.anchor = Some(at.1);
        // Each line goes back by two nanoseconds less.
        self.before = (BEFORE - 2 * i128::from(self.epoch)).min(at.1);
        self.arrival = Arrival { lo: terms.full() - most, hi: terms.full() - least };
        self.epoch += 1;
    }
}
