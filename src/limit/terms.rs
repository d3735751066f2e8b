//! The terms of a token bucket, where its decisions read them.

use crate::error::ConfigError;
use crate::sync::{AtomicU64, Mutant, Ordering, fence, mutant};
use crate::word::bucket::{BucketWord, GENERATIONS, MOST_RATE, SPAN, Terms, flow};
use crate::word::cell::{Step, WordCell};

/// The beginning of a line that has not begun.
const UNSET: u64 = u64::MAX;

/// How far a changed line goes back, in nanoseconds: nine years.
const BEFORE: u64 = SPAN >> 2;

/// After how many changes a line goes back by the same time again.
const VARIETY: u64 = 1 << 30;

/// One set of terms for each generation of the word. A change writes the next set before the word names
/// it, so that who sees the word sees its terms whole. A decision that stalls while four changes pass might
/// read a set that is being written; it finds another generation in the word then, and its exchange fails.
/// The bound of that: a word that shows the same generation, and to the unit the same time, four (eight,
/// ...) changes later. Those of a bucket that is otherwise as it was differ, but for changes at one and the
/// same time within nine years of the callers' origin.
#[derive(Debug)]
pub(super) struct Slots {
    slots: [Slot; GENERATIONS],
    /// Units that are missing at the beginning.
    debt: u64,
}

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    /// Where the line begins, in nanoseconds on the callers' clock.
    base: AtomicU64,
    speed: AtomicU64,
    capacity: AtomicU64,
    bits: AtomicU64,
    pace: AtomicU64,
}

impl Slot {
    fn new(terms: &Terms) -> Self {
        let slot = Self {
            base: AtomicU64::new(UNSET),
            speed: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            bits: AtomicU64::new(0),
            pace: AtomicU64::new(0),
        };
        slot.write(terms, UNSET);
        slot
    }

    fn write(&self, terms: &Terms, base: u64) {
        self.base.store(base, Ordering::Relaxed);
        self.speed.store(terms.speed, Ordering::Relaxed);
        self.capacity.store(terms.capacity, Ordering::Relaxed);
        self.bits.store(u64::from(terms.bits), Ordering::Relaxed);
        self.pace.store(terms.pace, Ordering::Relaxed);
    }

    /// Where the line stands at `now`, in units since its beginning; before that, at its beginning. `None`
    /// after its end: a word has no room for more.
    #[inline(always)]
    pub(super) fn line(&self, now: u64) -> Option<u64> {
        let elapsed = self.elapsed(now);
        (elapsed <= SPAN).then(|| flow(elapsed, self.speed.load(Ordering::Relaxed)))
    }

    /// Where the line would stand if it had no end.
    #[inline(always)]
    pub(super) fn endless(&self, now: u64) -> u64 {
        flow(self.elapsed(now), self.speed.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn elapsed(&self, now: u64) -> u64 {
        now.saturating_sub(self.base.load(Ordering::Relaxed))
    }

    /// The earliest time at which `word` may have been written: nobody takes tokens before they are there.
    fn earliest(&self, word: BucketWord) -> u64 {
        let terms = self.terms();
        let nanos = terms.nanos(word.earliest(terms.capacity)).unwrap_or(0);
        self.base.load(Ordering::Relaxed).saturating_add(nanos)
    }

    /// Units in a full bucket.
    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// log2 of the units in a token.
    #[inline(always)]
    pub(super) fn bits(&self) -> u32 {
        self.bits.load(Ordering::Relaxed) as u32 & 63
    }

    #[inline(always)]
    pub(super) fn terms(&self) -> Terms {
        Terms {
            speed: self.speed.load(Ordering::Relaxed),
            pace: self.pace.load(Ordering::Relaxed),
            bits: self.bits(),
            capacity: self.capacity(),
        }
    }

    /// Nanoseconds from `now` until `units` have flowed in; `None` for ever.
    #[inline]
    pub(super) fn wait(&self, units: u64, now: u64) -> Option<u64> {
        if units == 0 {
            return Some(0);
        }
        // Nothing flows before the line begins.
        let until_begin = match self.base.load(Ordering::Relaxed) {
            UNSET => 0,
            base => base.saturating_sub(now),
        };
        self.terms().nanos(units).map(|nanos| nanos.saturating_add(until_begin))
    }

    /// The terms and the line at `now`, whether it has begun or not.
    pub(super) fn sight(&self, now: u64) -> Sight {
        let base = match self.base.load(Ordering::Relaxed) {
            UNSET => now,
            base => base,
        };
        let elapsed = now.saturating_sub(base);
        let terms = self.terms();
        Sight { terms, line: flow(elapsed, terms.speed), ended: elapsed > SPAN, base, now }
    }

    /// `sight` for a word that refuses whatever the line if the line has not begun.
    ///
    /// The odd times are asked for by a branch, which is guessed, so that the line waits for no comparison.
    #[inline(always)]
    pub(super) fn sight_begun(&self, now: u64) -> Sight {
        let base = self.base.load(Ordering::Relaxed);
        let speed = self.speed.load(Ordering::Relaxed);
        let (elapsed, before) = now.overflowing_sub(base);
        // Asked on its own: near the end of all times a line begins so late that what lies before it would
        // wrap into the line.
        let (line, ended) = if !before && elapsed <= SPAN {
            (flow(elapsed, speed), false)
        } else {
            odd_line(now, base, speed)
        };
        // After the call, which they would have to outlive.
        let terms = Terms {
            speed,
            pace: self.pace.load(Ordering::Relaxed),
            bits: self.bits(),
            capacity: self.capacity(),
        };
        Sight { terms, line, ended, base, now }
    }
}

/// Where the line stands before its beginning, or would stand beyond its end; and whether it is there.
#[cold]
#[inline(never)]
fn odd_line(now: u64, base: u64, speed: u64) -> (u64, bool) {
    let elapsed = now.saturating_sub(base);
    (flow(elapsed, speed), elapsed > SPAN)
}

/// A slot's terms and its line as a decision saw them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) terms: Terms,
    /// Where the line would stand if it had no end.
    pub(super) line: u64,
    /// Whether it is past its end: a word has no room for more.
    pub(super) ended: bool,
    base: u64,
    now: u64,
}

impl Sight {
    /// Nanoseconds until `units` have flowed in; `None` for ever.
    #[inline(always)]
    pub(super) fn wait(&self, units: u64) -> Option<u64> {
        if units == 0 {
            return Some(0);
        }
        let until_begin = self.base.saturating_sub(self.now);
        self.terms.nanos(units).map(|wait| wait.saturating_add(until_begin))
    }
}

impl Slots {
    /// Terms that begin with the first request, with `debt` units missing.
    pub(super) fn new(terms: &Terms, debt: u64) -> Self {
        Self { slots: std::array::from_fn(|_| Slot::new(terms)), debt }
    }

    /// The terms that `word` belongs to.
    ///
    /// By a branch for those that most buckets have all their life: where they are does not wait for the word
    /// then.
    #[inline(always)]
    pub(super) fn of(&self, word: BucketWord) -> &Slot {
        match word.generation() {
            0 => &self.slots[0],
            generation => self.later(generation),
        }
    }

    #[inline(never)]
    fn later(&self, generation: usize) -> &Slot {
        &self.slots[generation]
    }

    /// Units that are missing at the beginning.
    pub(super) fn debt(&self) -> u64 {
        self.debt
    }

    /// Begins the line at `now`, unless it has begun: the origin of the callers' time is not known before.
    #[cold]
    pub(super) fn begin(&self, word: &WordCell<BucketWord>, now: u64) {
        let base = now.min(UNSET - 1);
        if mutant(Mutant::BeginStores) {
            self.slots[0].base.store(base, Ordering::Relaxed);
        }
        // Whoever loses finds the winner's beginning here, and passes it on with the word.
        let _ = self.slots[0].base.compare_exchange(UNSET, base, Ordering::Relaxed, Ordering::Relaxed);
        word.update(|word: BucketWord| {
            if word.is_untouched() || mutant(Mutant::BeginTwice) {
                Step::Set(BucketWord::with_debt(0, self.debt).held(word.is_held()), ())
            } else {
                Step::Keep(())
            }
        });
    }

    /// Continues under `terms` from `now` on, or from the last time at which anybody took tokens, if `now`
    /// lags behind that. One caller at a time; the line has begun. `number` counts the changes.
    pub(super) fn change(&self, word: &WordCell<BucketWord>, terms: &Terms, now: u64, number: u64) {
        let next = &self.slots[(word.load().generation() + 1) % GENERATIONS];
        // Release: pairs with the Acquire fences of those who read terms and then look again. Without it the
        // terms might be seen before the word that the last change stored, or the count of this one.
        if !mutant(Mutant::TermsNoFence) {
            fence(Ordering::Release);
        }
        let base = word.update(|word: BucketWord| {
            let old = self.of(word);
            let now = now.max(old.earliest(word));
            // Some of the line lies before `now`, for those whose time lags behind. Each time a little less, or
            // changes to the same terms of a bucket that is full, or empty, would lead to the same word.
            let base = now.saturating_sub(BEFORE - 2 * (number % VARIETY));
            let start = flow(now - base, terms.speed);
            if !mutant(Mutant::TermsAfterWord) {
                next.write(terms, base);
            }
            Step::Set(word.retune(&old.terms(), old.endless(now), terms, start), base)
        });
        if mutant(Mutant::TermsAfterWord) {
            next.write(terms, base);
        }
    }

    /// Checks a rate and a capacity, and puts them into the word's units.
    pub(super) fn check(rate: f64, capacity: u64) -> Result<Terms, ConfigError> {
        if !(0.0..=MOST_RATE).contains(&rate) {
            return Err(ConfigError::new("rate", rate, "0 to 1000000000 tokens per second"));
        }
        if capacity == 0 {
            return Err(ConfigError::new("capacity", capacity, "1 or more"));
        }
        if Terms::new(rate, 1).is_none() {
            return Err(ConfigError::new("rate", rate, "0, or at least one token in 18 years"));
        }
        Terms::new(rate, capacity).ok_or_else(|| {
            ConfigError::new("capacity", capacity, "what flows in within 18 years, at most 2^59 tokens")
        })
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    /// The bucket is full at each change: but for the lines' beginnings, every fourth word would be the same.
    #[test]
    fn changes_to_the_same_terms_lead_to_words_that_differ() {
        let terms = Slots::check(100.0, 10).expect("valid settings");
        let (slots, word) = (Slots::new(&terms, 0), WordCell::new(BucketWord::untouched()));
        let start = 1_700_000_000_000_000_000;
        slots.begin(&word, start);
        let mut seen = vec![word.load()];
        for number in 0..64 {
            slots.change(&word, &terms, start + (number + 1) * 1_000_000_000, number);
            assert!(!seen.contains(&word.load()), "after {number} changes");
            seen.push(word.load());
        }
    }
}
