//! A state word in an atomic: the only compare-and-exchange loop over words, and the one place where
//! their orderings are argued.

use std::fmt;

use crate::sync::{Atomic, Mutant, Ordering, mutant, ordering};

/// What a pure transition made of the word it was shown, with the caller's answer.
#[derive(Debug)]
pub(crate) enum Step<W, R> {
    /// The word stands; nothing is written.
    Keep(R),
    /// The word becomes this one, if nobody changed it meanwhile.
    Set(W, R),
}

/// An atomic state word.
pub(crate) struct WordCell<W>(Atomic<W>);

impl<W: bytemuck::Pod + PartialEq + fmt::Debug> fmt::Debug for WordCell<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WordCell").field(&self.load()).finish()
    }
}

impl<W: bytemuck::Pod + PartialEq> WordCell<W> {
    pub(crate) fn new(word: W) -> Self {
        Self(Atomic::new(word))
    }

    /// The word as it stands.
    ///
    /// Acquire: pairs with the Release half of the exchange in `update`; who sees a state also sees
    /// what its mover wrote before (the failure count, the window's new floor).
    #[inline(always)]
    pub(crate) fn load(&self) -> W {
        self.0.load(ordering(Mutant::WordRelaxed, Ordering::Acquire))
    }

    /// Shows the word to `transition` until its answer is to keep it or the exchange succeeds.
    ///
    /// Lock-free: a failed exchange means that another thread's succeeded.
    #[inline]
    pub(crate) fn update<R>(&self, mut transition: impl FnMut(W) -> Step<W, R>) -> R {
        #[cfg(not(fusewire_loom))]
        let mut seen = self.load();
        #[cfg(fusewire_loom)]
        let mut seen = self.0.load_for_update(ordering(Mutant::WordRelaxed, Ordering::Acquire));
        loop {
            let (next, answer) = match transition(seen) {
                Step::Keep(answer) => return answer,
                Step::Set(next, answer) => (next, answer),
            };
            if mutant(Mutant::WordStoreForCas) {
                self.0.store(next, Ordering::Release);
                return answer;
            }
            // AcqRel: Release pairs with the Acquire of `load`; Acquire pairs with the Release of the
            // exchange before, so movers are ordered and each sees what the last one wrote.
            // Acquire on failure for the same reason: the next round decides by what it sees.
            let (ok, err) = (
                ordering(Mutant::WordRelaxed, Ordering::AcqRel),
                ordering(Mutant::WordRelaxed, Ordering::Acquire),
            );
            match self.0.compare_exchange(seen, next, ok, err) {
                Ok(_) => return answer,
                Err(found) => seen = found,
            }
        }
    }

    /// Stores a word whatever stands there: what the mutants do wrong.
    #[cfg(fusewire_loom)]
    pub(crate) fn overwrite(&self, word: W) {
        self.0.store(word, Ordering::Relaxed);
    }
}
