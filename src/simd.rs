//! Kernels over plain data.

/// A way to run the kernels.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(());

impl Kernels {
    /// The best of this machine.
    pub fn detect() -> Self {
        Self(())
    }

    /// Adds `from` to `into`, wrapping.
    pub fn merge(self, into: &mut [u64], from: &[u64]) {
        for (into, from) in into.iter_mut().zip(from) {
            *into = into.wrapping_add(*from);
        }
    }

    /// Subtracts `base` from `into`, wrapping.
    pub fn difference(self, into: &mut [u64], base: &[u64]) {
        for (into, base) in into.iter_mut().zip(base) {
            *into = into.wrapping_sub(*base);
        }
    }

    /// The wrapping sum.
    pub fn total(self, counts: &[u64]) -> u64 {
        counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// For each of the ascending `ranks` the first slot at which the running total reaches it.
    pub fn ranks(self, counts: &[u64], ranks: &[u64], slots: &mut [usize]) {
        let mut running = counts.iter().enumerate().scan(0_u64, |total, (slot, count)| {
            *total = total.wrapping_add(*count);
            Some((slot, *total))
        });
        let mut last = running.next();
        for (rank, found) in ranks.iter().zip(slots) {
            while last.is_some_and(|(_, total)| total < *rank) {
                last = running.next();
            }
            *found = last.map_or(counts.len(), |(slot, _)| slot);
        }
    }
}
