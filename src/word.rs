//! Packed 64-bit state words: their layouts and their pure transitions.
//!
//! Nothing here reads a clock, and only [`cell`] touches an atomic. A word is one `u64` cut into
//! [`Field`]s; each field is placed by its neighbour, and a layout that does not fill exactly 64
//! bits does not compile.

pub(crate) mod breaker;
pub(crate) mod bucket;
pub(crate) mod cell;
pub(crate) mod hung;
pub(crate) mod tagged;

/// A run of bits in a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    /// The lowest field of a word.
    pub(crate) const fn lowest(bits: u32) -> Self {
        Self { shift: 0, bits }
    }

    /// The field just above this one.
    pub(crate) const fn then(self, bits: u32) -> Self {
        Self { shift: self.end(), bits }
    }

    /// The first bit above the field.
    pub(crate) const fn end(self) -> u32 {
        self.shift + self.bits
    }

    /// The greatest value that the field holds.
    pub(crate) const fn max(self) -> u64 {
        (1 << self.bits) - 1
    }

    /// The field's value in `word`.
    #[inline(always)]
    pub(crate) const fn get(self, word: u64) -> u64 {
        (word >> self.shift) & self.max()
    }

    /// A word with `value`, cut to the field's width, in this field and zero elsewhere.
    #[inline(always)]
    pub(crate) const fn put(self, value: u64) -> u64 {
        (value & self.max()) << self.shift
    }

    /// `put` for a value that must not wrap: the greatest value stands for all beyond it.
    #[inline(always)]
    pub(crate) const fn put_saturating(self, value: u64) -> u64 {
        self.put(if value > self.max() { self.max() } else { value })
    }
}

/// Bits of an epoch: it counts the transitions of one breaker and wraps after 2^22 of them.
pub(crate) const EPOCH_BITS: u32 = 22;

const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;

/// The epoch after `epoch`.
#[inline]
pub(crate) const fn next_epoch(epoch: u32) -> u32 {
    (epoch + 1) & EPOCH_MASK as u32
}

/// Whether `a` comes after `b`, the shorter way round the circle of epochs.
pub(crate) const fn is_newer_epoch(a: u32, b: u32) -> bool {
    let ahead = (a.wrapping_sub(b) as u64) & EPOCH_MASK;
    ahead != 0 && ahead < 1 << (EPOCH_BITS - 1)
}

/// The full count nearest to `near` whose low bits are `epoch`.
pub(crate) const fn widen_epoch(epoch: u32, near: u64) -> u64 {
    let ahead = (epoch as u64).wrapping_sub(near) & EPOCH_MASK;
    if ahead < 1 << (EPOCH_BITS - 1) { near + ahead } else { (near + ahead).saturating_sub(1 << EPOCH_BITS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_what_was_put_and_nothing_else() {
        let low = Field::lowest(20);
        let high = low.then(44);
        assert_eq!(high.end(), 64);
        let word = low.put(0xF_FFFF) | high.put(5);
        assert_eq!((low.get(word), high.get(word)), (0xF_FFFF, 5));
        assert_eq!(low.put_saturating(u64::MAX), low.max());
        assert_eq!(low.put(1 << 20), 0);
    }

    #[test]
    fn epochs_order_across_the_wrap() {
        let last = EPOCH_MASK as u32;
        assert_eq!(next_epoch(last), 0);
        assert!(is_newer_epoch(0, last));
        assert!(!is_newer_epoch(last, 0));
        assert!(!is_newer_epoch(7, 7));
    }

    #[test]
    fn an_epoch_widens_to_the_nearest_count() {
        for near in [0, 1, (1 << 22) - 1, 1 << 22, (5 << 22) + 3] {
            for step in 0_u64..3 {
                assert_eq!(widen_epoch(((near + step) & EPOCH_MASK) as u32, near), near + step);
                if near >= step {
                    assert_eq!(widen_epoch(((near - step) & EPOCH_MASK) as u32, near), near - step);
                }
            }
        }
    }
}
