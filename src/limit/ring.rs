//! The times of the latest admissions in a ring: one log that holds any number of exact windows at once.
//!
//! The protocol. Admissions are numbered. The number of the next one, `h`, is the `head`; number `s` has its
//! place in slot `s mod slots`, and there are more slots than the greatest limit. By a rule of `limit` in
//! `window`, `h` may be admitted once the time of `h - limit` has left the window: one look for each rule,
//! however great the limit. An admission
//!
//! 1. loads the head, the slot before it, the slot of `h`, and for each rule the slot of `h - limit`;
//! 2. loads the head again: if it moved, the slots may belong to a later lap, and it begins anew;
//! 3. exchanges the slot of `h`, from what it held to its own time. *This is the admission*, under all rules
//!    at once, and whoever loses the exchange begins anew;
//! 4. moves the head on. Who finds the slot of `h` taken knows that its taker has not come that far, goes by
//!    `h + 1`, and moves the head first if it takes a slot itself. So the head lags by one at most.
//!
//! Times are made to grow along the ring: an admission writes its own `now` or the time before it,
//! whichever is later. Between a slot's old time and the one that replaces it lies at least the window of a
//! rule, since there are more slots than its limit. Two things follow:
//!
//! - a slot never holds the same value twice, so an exchange that succeeds proves that nothing was
//!   admitted since the looks, however long the thread stalled, laps included;
//! - the slot of `h` is taken if and only if its time is not before that of `h - 1`: the old time there is
//!   a window earlier. No bit need tell the laps apart, and times keep all their 64 bits.
//!
//! Exact: of `limit + 1` admissions the last one's `now` is a window or more after the time that was
//! written for the first, which is not before the first one's `now`.

use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Mutant, Ordering, load_for_update, mutant, ordering};

/// The top bit of the head: someone waits, and only who passes the hold is admitted.
const HELD: u64 = 1 << 63;
/// The rest of the head: the number of the next admission. It wraps after 2^63 of them.
const NUMBER: u64 = HELD - 1;
/// A slot that was never written. Other values are a time plus one.
const NEVER: u64 = 0;
/// The slot value of time zero.
const ZERO: u64 = 1;

/// So many admissions in a window, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// 1 or more.
    pub limit: u64,
    /// In nanoseconds, 1 or more. Half-open: an admission leaves it when it is exactly so old.
    pub window: u64,
}

impl Rule {
    /// As users say it.
    pub fn parts(&self) -> (u64, Duration) {
        (self.limit, Duration::from_nanos(self.window))
    }

    /// How long until an admission of `time` has left the window; zero if it has.
    #[inline(always)]
    fn wait(&self, time: u64, stamp: u64) -> u64 {
        let age = stamp.saturating_sub(time);
        if time == NEVER || age >= self.window {
            return 0;
        }
        // Of the last two terms one is zero: who comes from before `time` waits until then first.
        (self.window - age).saturating_add(time.saturating_sub(stamp))
    }
}

/// Why a ring did not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule with the longest wait, by its index; of equal ones the first.
    pub rule: usize,
    /// Nanoseconds until the rules would admit; zero when only the hold refuses.
    pub wait: u64,
}

/// What a decision goes by. The head stood still while it was looked for.
struct View {
    /// The head as it was found.
    head: u64,
    /// The number of the next admission: the head's, or one more if the head lags.
    next: u64,
    /// The time before `next`, as its slot has it, or zero.
    last: u64,
    /// What stands in the slot of `next`, a lap old.
    old: u64,
    /// What the rules say.
    refusal: Option<Refusal>,
}

impl View {
    #[inline(always)]
    fn lags(&self) -> bool {
        self.head & NUMBER != self.next
    }
}

/// A ring of admission times under one or more rules.
#[derive(Debug)]
pub struct Ring {
    head: CachePadded<AtomicU64>,
    slots: Box<[AtomicU64]>,
    rules: Box<[Rule]>,
}

/// The slot value of a time. The last two nanoseconds of a `u64` share one.
#[inline(always)]
fn stamp(now: u64) -> u64 {
    now.saturating_add(1)
}

impl Ring {
    /// An empty ring under `rules`: one or more, each with a limit and a window of 1 or more.
    pub fn new(rules: &[Rule]) -> Self {
        let greatest = rules.iter().map(|rule| rule.limit).fold(1, u64::max);
        let slots = 0..Self::slots(greatest);
        Self {
            head: CachePadded::new(AtomicU64::new(0)),
            slots: slots.map(|_| AtomicU64::new(NEVER)).collect(),
            rules: rules.into(),
        }
    }

    /// How many slots a ring has whose greatest limit is this: the next power of two above it.
    pub const fn slots(greatest: u64) -> u64 {
        (greatest + 1).next_power_of_two()
    }

    /// The rules, in the order in which they were given.
    #[inline(always)]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    #[inline(always)]
    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.slots[(number & (self.slots.len() as u64 - 1)) as usize]
    }

    /// Acquire: pairs with the Release of the exchange in `admit`. Whoever sees a slot's value also sees the
    /// head that its writer went by, which is what lets the second load of the head find a later lap.
    #[inline(always)]
    fn time(&self, number: u64) -> u64 {
        self.slot(number).load(ordering(Mutant::RingRelaxed, Ordering::Acquire))
    }

    /// What the rules say of a request at `stamp` that would be number `next`.
    #[inline(always)]
    fn judge(&self, stamp: u64, next: u64) -> Option<Refusal> {
        let mut longest: Option<Refusal> = None;
        for (rule, Rule { limit, .. }) in self.rules.iter().enumerate() {
            // Before the first lap is full this finds a slot that was never written.
            let oldest = self.time(next.wrapping_sub(*limit));
            let wait = self.rules[rule].wait(oldest, stamp);
            if wait > longest.map_or(0, |longest| longest.wait) {
                longest = Some(Refusal { rule, wait });
            }
            if mutant(Mutant::RingFirstRuleOnly) {
                break;
            }
        }
        longest
    }

    /// Looks at the head, the slots about it, and those that the rules ask about. Writes nothing.
    ///
    /// Lock-free: it begins anew only if the head moved, and so if somebody was admitted or the hold changed.
    #[inline(always)]
    fn look(&self, stamp: u64) -> View {
        loop {
            // Acquire: pairs with the Release of the exchanges that move the head; who sees `h` sees the
            // slots of all before it.
            let head = load_for_update(&self.head, ordering(Mutant::RingRelaxed, Ordering::Acquire));
            let mut next = head & NUMBER;
            let mut last = self.time(next.wrapping_sub(1)).max(ZERO);
            // Acquire: as in `time`.
            let order = ordering(Mutant::RingRelaxed, Ordering::Acquire);
            let mut old = load_for_update(self.slot(next), order);
            if old >= last && !mutant(Mutant::RingNoLag) {
                next += 1;
                last = old;
                old = load_for_update(self.slot(next), order);
            }
            let refusal = self.judge(stamp, next);
            if self.head.load(Ordering::Relaxed) == head || mutant(Mutant::RingNoRecheck) {
                return View { head, next, last, old, refusal };
            }
        }
    }

    /// Admits one request at `now` if every rule allows it; while the ring is held, only who passes the
    /// hold. A refusal writes nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] names the rule with the longest wait.
    #[inline(always)]
    pub fn admit(&self, now: u64, through_hold: bool) -> Result<(), Refusal> {
        let stamp = stamp(now);
        loop {
            let view = self.look(stamp);
            if let Some(refusal) = view.refusal {
                if mutant(Mutant::RingWriteOnRefusal) {
                    self.slot(view.next).swap(stamp, Ordering::Relaxed);
                }
                return Err(refusal);
            }
            if view.head & HELD != 0 && !through_hold {
                return Err(Refusal { rule: 0, wait: 0 });
            }
            let mut head = view.head;
            if view.lags() {
                if !self.advance(head) {
                    continue;
                }
                head += 1;
            }
            if mutant(Mutant::RingHeadFirst) && !self.advance(head) {
                continue;
            }
            if self.claim(&view, stamp) {
                // Failed, it was moved by somebody who found it lagging, or lags until somebody does.
                self.advance(head);
                return Ok(());
            }
        }
    }

    /// Takes the slot of the view, if nobody has since.
    #[inline(always)]
    fn claim(&self, view: &View, stamp: u64) -> bool {
        let (slot, time) = (self.slot(view.next), stamp.max(view.last));
        if mutant(Mutant::RingStoreForCas) {
            slot.swap(time, Ordering::Release);
            return true;
        }
        // Release: pairs with the Acquire in `time` and `look`; see there.
        let ok = ordering(Mutant::RingRelaxed, Ordering::Release);
        slot.compare_exchange(view.old, time, ok, Ordering::Relaxed).is_ok()
    }

    /// Moves the head on by one.
    #[inline(always)]
    fn advance(&self, head: u64) -> bool {
        // Release: pairs with the Acquire of the head's load in `look`; the slot of the number that is left
        // behind was written or seen by this thread, and those before it by whoever moved the head to it.
        // Setting the hold in between is a read-modify-write and does not break the chain.
        let ok = ordering(Mutant::RingRelaxed, Ordering::Release);
        self.head.compare_exchange(head, head + 1, ok, Ordering::Relaxed).is_ok()
    }

    /// What [`admit`](Self::admit) would say at `now` to one who passes the hold.
    ///
    /// # Errors
    ///
    /// As `admit`.
    pub fn peek(&self, now: u64) -> Result<(), Refusal> {
        self.look(stamp(now)).refusal.map_or(Ok(()), Err)
    }

    /// How many requests the rules would admit at `now`, one after the other: exact while nobody is being
    /// admitted. For each rule a search by halves: times grow along the ring.
    pub fn remaining(&self, now: u64) -> u64 {
        let stamp = stamp(now);
        let next = self.look(stamp).next;
        self.rules.iter().map(|rule| self.left(rule, stamp, next)).fold(u64::MAX, u64::min)
    }

    /// How many of the last `limit` admissions have left the window.
    fn left(&self, rule: &Rule, stamp: u64, next: u64) -> u64 {
        let oldest = next.wrapping_sub(rule.limit);
        let (mut low, mut high) = (0, rule.limit);
        while low < high {
            let middle = low + (high - low) / 2;
            if rule.wait(self.time(oldest.wrapping_add(middle)), stamp) == 0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How long from `now` until `n` requests have been admitted, if they come as early as they may and nobody
    /// else does, and which rule says so. Exact up to the smallest limit; beyond, it may be longer where
    /// several rules meet.
    pub fn wait_for(&self, n: u64, now: u64) -> Refusal {
        let stamp = stamp(now);
        let next = self.look(stamp).next;
        let mut longest = Refusal { rule: 0, wait: 0 };
        for (index, rule) in self.rules.iter().enumerate() {
            // Whole rounds of the rule, and within the last one the request that has to leave.
            let (rounds, place) = (n.saturating_sub(1) / rule.limit, n.saturating_sub(1) % rule.limit);
            let leaving = self.time(next.wrapping_add(place).wrapping_sub(rule.limit));
            let wait = rule.wait(leaving, stamp).saturating_add(rounds.saturating_mul(rule.window));
            if wait > longest.wait {
                longest = Refusal { rule: index, wait };
            }
        }
        longest
    }

    /// Holds the ring for those who pass the hold, or lets it go. A request that had looked before may
    /// still be admitted after.
    pub fn hold(&self, on: bool) {
        if on {
            self.head.fetch_or(HELD, Ordering::Relaxed);
        } else {
            self.head.fetch_and(NUMBER, Ordering::Relaxed);
        }
    }

    /// How many were admitted, and what stands in the slots.
    #[cfg(fusewire_loom)]
    pub fn state(&self) -> (u64, Vec<u64>) {
        let slots = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
        (self.look(ZERO).next, slots)
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    fn ring(limit: u64, window: u64) -> Ring {
        Ring::new(&[Rule { limit, window }])
    }

    fn slots(ring: &Ring) -> Vec<u64> {
        ring.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn a_ring_has_more_slots_than_its_greatest_limit() {
        let sizes = [1, 2, 3, 4, 100, 160_000, crate::limit::MAX_LOGGED].map(Ring::slots);
        assert_eq!(sizes, [2, 4, 4, 8, 128, 262_144, 1 << 24]);
    }

    /// A thread that took its slot and then stalled, at every place of two laps.
    #[test]
    fn a_stalled_claimer_stops_nobody_and_is_counted() {
        for before in 0..8 {
            let ring = ring(3, 10);
            let mut now = 0;
            for _ in 0..before {
                now += 4;
                assert_eq!(ring.admit(now, false), Ok(()));
            }
            let stamp = stamp(now + 4);
            let view = ring.look(stamp);
            assert!(ring.claim(&view, stamp));
            assert!(ring.look(stamp).lags());
            let seen = (slots(&ring), ring.head.load(Ordering::Relaxed));

            let all = u64::min(before + 1, 3);
            assert_eq!(ring.remaining(now + 4), 3 - all, "after {before}");
            let answers: Vec<_> = (all..3).map(|_| ring.admit(now + 4, false)).collect();
            assert!(answers.iter().all(Result::is_ok));
            let refused = ring.admit(now + 4, false);
            assert!(refused.is_err() && ring.peek(now + 4) == refused);
            if answers.is_empty() {
                assert_eq!((slots(&ring), ring.head.load(Ordering::Relaxed)), seen, "a refusal wrote");
            }
            // The stalled one wakes up.
            ring.advance(view.head);
            assert_eq!(ring.admit(now + 4, false), refused);
            assert_eq!(ring.look(stamp).next, before + 1 + answers.len() as u64);
        }
    }

    #[test]
    fn a_view_that_is_laps_old_takes_nothing() {
        let ring = ring(2, 1);
        for start in 0..4 {
            let now = start * 100;
            let view = ring.look(stamp(now));
            for lap in 0..12 {
                assert_eq!(ring.admit(now + lap * 2, false), Ok(()));
                let before = slots(&ring);
                assert!(!ring.claim(&view, stamp(now + lap * 2)));
                assert_eq!(slots(&ring), before);
            }
        }
    }

    #[test]
    fn while_held_only_who_passes_the_hold_is_admitted() {
        let ring = ring(2, 10);
        ring.hold(true);
        assert_eq!(ring.admit(0, false), Err(Refusal { rule: 0, wait: 0 }));
        assert_eq!(ring.admit(0, true), Ok(()));
        assert_eq!((ring.remaining(0), ring.peek(0)), (1, Ok(())));
        assert_eq!(ring.admit(0, true), Ok(()));
        let full = Err(Refusal { rule: 0, wait: 10 });
        assert_eq!([ring.admit(0, true), ring.admit(0, false)], [full, full]);
        ring.hold(true);
        ring.hold(false);
        assert_eq!(ring.admit(10, false), Ok(()));
    }

    /// The hold changes between a claim and the move of the head: the head lags until the next one.
    #[test]
    fn a_hold_that_comes_between_loses_no_admission() {
        for on in [true, false] {
            let ring = ring(2, 10);
            ring.hold(!on);
            let view = ring.look(stamp(0));
            assert!(ring.claim(&view, stamp(0)));
            ring.hold(on);
            assert!(!ring.advance(view.head));
            assert_eq!(ring.remaining(0), 1);
            assert_eq!(ring.admit(0, true), Ok(()));
            assert!(ring.admit(0, true).is_err());
        }
    }
}
