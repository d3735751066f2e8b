//! The word of one time bucket of outstanding calls, for `count_hung_after`.

use super::cell::Step;
use super::{EPOCH_BITS, Field, is_newer_epoch};

const OUT: Field = Field::lowest(21);
const TICK: Field = OUT.then(21);
const EPOCH: Field = TICK.then(EPOCH_BITS);
const _: () = assert!(EPOCH.end() == 64);

/// Calls that were admitted in one bucket of time and one epoch and are still out.
///
/// ```text
///  63      42 41      21 20       0
/// +----------+----------+----------+
/// | epoch:22 | tick:21  | out:21   |
/// +----------+----------+----------+
/// ```
///
/// One exchange takes either a result's place or all that is left, so a call is counted as ended or
/// as hung, never as both. A word with nobody out is free for the next bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct HungWord(u64);

impl HungWord {
    pub(crate) const EMPTY: Self = Self(0);

    const fn new(epoch: u32, tick: u64, out: u64) -> Self {
        Self(EPOCH.put(epoch as u64) | TICK.put(tick) | OUT.put(out))
    }

    const fn epoch(self) -> u32 {
        EPOCH.get(self.0) as u32
    }

    const fn is_tick(self, tick: u64) -> bool {
        TICK.get(self.0) == tick & TICK.max()
    }

    const fn out(self) -> u64 {
        OUT.get(self.0)
    }

    /// How many ticks before `tick` the word's bucket lies, round the circle of ticks.
    const fn age(self, tick: u64) -> u64 {
        tick.wrapping_sub(TICK.get(self.0)) & TICK.max()
    }

    /// Enters a call of `epoch` that began in `tick`: `Some(hung)` when it is in, with how many
    /// calls of the same epoch were left from an earlier lap; `None` when it cannot be followed (its
    /// epoch is already over, its clock went back by a lap, or 2^21 - 1 calls are out).
    pub(crate) fn enter(self, epoch: u32, tick: u64) -> Step<Self, Option<u64>> {
        if self.out() == 0 {
            return Step::Set(Self::new(epoch, tick, 1), Some(0));
        }
        if self.epoch() == epoch && self.is_tick(tick) {
            return if self.out() == OUT.max() {
                Step::Keep(None)
            } else {
                Step::Set(Self::new(epoch, tick, self.out() + 1), Some(0))
            };
        }
        if is_newer_epoch(self.epoch(), epoch) || (self.epoch() == epoch && self.is_ahead(tick)) {
            return Step::Keep(None);
        }
        let hung = if self.epoch() == epoch { self.out() } else { 0 };
        Step::Set(Self::new(epoch, tick, 1), Some(hung))
    }

    /// Takes a call out again; `false` when it was declared hung (or its bucket was reused) before.
    pub(crate) fn leave(self, epoch: u32, tick: u64) -> Step<Self, bool> {
        if self.out() > 0 && self.epoch() == epoch && self.is_tick(tick) {
            Step::Set(Self::new(epoch, tick, self.out() - 1), true)
        } else {
            Step::Keep(false)
        }
    }

    /// Whether the word's bucket lies after `tick`: the clock went back.
    const fn is_ahead(self, tick: u64) -> bool {
        self.age(tick) > TICK.max() / 2
    }

    /// Declares hung what is out and began more than `ticks` before `tick`: how many of `epoch`. A bucket can
    /// lie up to `most_ahead` ticks after `tick`; one that seems to lie further has a great age.
    pub(crate) fn expire(self, epoch: u32, tick: u64, ticks: u64, most_ahead: u64) -> Step<Self, u64> {
        let ahead = TICK.max() + 1 - self.age(tick);
        if self.out() == 0 || self.age(tick) <= ticks || (self.is_ahead(tick) && ahead <= most_ahead) {
            return Step::Keep(0);
        }
        let hung = if self.epoch() == epoch { self.out() } else { 0 };
        Step::Set(Self::EMPTY, hung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<R>(step: Step<HungWord, R>) -> (HungWord, R) {
        match step {
            Step::Set(word, answer) => (word, answer),
            Step::Keep(_) => panic!("the word should have changed"),
        }
    }

    #[test]
    fn a_call_leaves_or_hangs_but_not_both() {
        let (word, _) = set(HungWord::EMPTY.enter(3, 10));
        let (word, _) = set(word.enter(3, 10));
        let (word, left) = set(word.leave(3, 10));
        assert!(left);
        let (word, hung) = set(word.expire(3, 20, 8, u64::MAX));
        assert_eq!(hung, 1);
        assert!(matches!(word.leave(3, 10), Step::Keep(false)));
    }

    #[test]
    fn what_is_younger_or_ahead_is_not_hung() {
        let (word, _) = set(HungWord::EMPTY.enter(3, 10));
        assert!(matches!(word.expire(3, 18, 8, u64::MAX), Step::Keep(0)));
        assert!(matches!(word.expire(3, 5, 8, u64::MAX), Step::Keep(0)));
        assert!(matches!(word.enter(3, 10 + (1 << 21) - 16), Step::Keep(None)));
    }

    #[test]
    fn calls_of_an_older_epoch_are_forgotten_not_counted() {
        let (word, _) = set(HungWord::EMPTY.enter(3, 10));
        assert_eq!(set(word.expire(4, 20, 8, u64::MAX)).1, 0);
        assert_eq!(set(word.enter(4, 26)).1, Some(0));
        assert!(matches!(word.enter(2, 26), Step::Keep(None)));
    }
}
