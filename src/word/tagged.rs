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
    /// that whoever is first decides and a stalled writer never takes the word back.
    pub(crate) fn publish(&self, epoch: u32, value: u64) {
        #[cfg(fusewire_loom)]
        if mutant(Mutant::SideStore) {
            return self.overwrite(TaggedWord::new(epoch, value));
        }
        debug_assert!(!mutant(Mutant::SideStore));
        self.update(|word: TaggedWord| {
            if is_newer_epoch(epoch, word.epoch()) {
                Step::Set(TaggedWord::new(epoch, value), ())
            } else {
                Step::Keep(())
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_epoch_writes() {
        let cell = WordCell::new(TaggedWord::new(5, 10));
        cell.publish(5, 11);
        cell.publish(4, 12);
        assert_eq!(cell.load(), TaggedWord::new(5, 10));
        cell.publish(6, u64::MAX);
        assert_eq!(cell.load().of(6), Some(VALUE.max()));
        assert_eq!(cell.load().of(5), None);
    }
}
