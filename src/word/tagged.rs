//! A value that belongs to one epoch: the side words of a breaker.

use super::cell::{Step, WordCell};
use super::{EPOCH_BITS, Field, is_newer_epoch};
use crate::sync::{Mutant, mutant};

/// One value under the epoch it belongs to.
///
/// ```text
///  63      42 41                                         0
/// +----------+--------------------------------------------+
/// | epoch:22 | value:42                                    |
/// +----------+--------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct TaggedWord(u64);

const VALUE: Field = Field::lowest(42);
const EPOCH: Field = VALUE.then(EPOCH_BITS);
const _: () = assert!(EPOCH.end() == 64);

impl TaggedWord {
    /// The value saturates at 2^42 - 1.
    pub(crate) const fn new(epoch: u32, value: u64) -> Self {
        Self(EPOCH.put(epoch as u64) | VALUE.put_saturating(value))
    }

    pub(crate) const fn epoch(self) -> u32 {
        EPOCH.get(self.0) as u32
    }

    pub(crate) const fn value(self) -> u64 {
        VALUE.get(self.0)
    }

    /// The value, if it belongs to `epoch`.
    pub(crate) fn of(self, epoch: u32) -> Option<u64> {
        (self.epoch() == epoch).then(|| self.value())
    }
}

impl WordCell<TaggedWord> {
    /// Writes `value` for `epoch` unless the word already belongs to that epoch or a later one, so
    /// that whoever is first decides and a stalled writer never takes the word back. `present` gives the
    /// breaker's epoch: a tag beyond it is one that was left there half a circle ago. It is asked after
    /// the tag was read, and so is never behind one that was written in its turn.
    pub(crate) fn publish(&self, epoch: u32, value: u64, present: impl Fn() -> u32) {
        #[cfg(fusewire_loom)]
        if mutant(Mutant::SideStore) {
            return self.overwrite(TaggedWord::new(epoch, value));
        }
        debug_assert!(!mutant(Mutant::SideStore));
        self.join(epoch, value, present, |first, _| first);
    }

    /// As [`publish`](Self::publish), but a value that `epoch` has already is joined with the new one.
    pub(crate) fn join(&self, epoch: u32, value: u64, present: impl Fn() -> u32, join: fn(u64, u64) -> u64) {
        self.update(|word: TaggedWord| {
            let tag = word.epoch();
            let later = is_newer_epoch(tag, epoch) && !is_newer_epoch(tag, present());
            let next = match word.of(epoch) {
                Some(known) => TaggedWord::new(epoch, join(known, value)),
                None if later => word,
                None => TaggedWord::new(epoch, value),
            };
            if next == word { Step::Keep(()) } else { Step::Set(next, ()) }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_epoch_writes() {
        let cell = WordCell::new(TaggedWord::new(5, 10));
        cell.publish(5, 11, || 5);
        cell.publish(4, 12, || 5);
        assert_eq!(cell.load(), TaggedWord::new(5, 10));
        cell.publish(6, u64::MAX, || 6);
        assert_eq!(cell.load().of(6), Some(VALUE.max()));
        assert_eq!(cell.load().of(5), None);
    }

    #[test]
    fn a_tag_of_half_a_circle_ago_does_not_pass_for_a_later_one() {
        let cell = WordCell::new(TaggedWord::new(5, 10));
        let now = 5 + (1 << (EPOCH_BITS - 1));
        cell.publish(now, 11, || now);
        assert_eq!(cell.load().of(now), Some(11));
        cell.join(now, 4, || now, u64::max);
        cell.join(now, 40, || now, u64::max);
        assert_eq!(cell.load().of(now), Some(40));
    }
}
