//! Two counters that stand for a sliding window: an estimate in 16 bytes, whatever the limit.
//!
//! Time is cut into buckets of one window each. At `into` nanoseconds into a bucket, what the window holds
//! is taken for what this bucket counted, and of the bucket before the share that the window still covers:
//! `before * (window - into) / window`. The share is compared exactly, by products of 128 bits.
//!
//! The protocol. Even buckets count in one word, odd ones in the other:
//!
//! ```text
//!  63                    log2(window)          0
//! |  number of the bucket | sealed |  count     |
//! ```
//!
//! The whole number fits above the count, because a limit is at most a quarter of the window's nanoseconds;
//! so no age of a word looks like another. The newest bucket may be counted in until it is sealed; the word
//! of the older one is always sealed, and changes in one way only: once the newest is sealed too, it becomes
//! the next bucket. So an exchange of the newest word that succeeds proves that the older one stood still
//! since both were read, and a count is decided and taken in that one exchange. A thread that stalls between
//! sealing and opening holds nobody up: the next one opens. Every change makes its word a greater number,
//! and so no value comes back.
//!
//! A time before the newest bucket counts as that bucket's beginning, where the share of the one before is
//! greatest.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Mutant, Ordering, load_for_update, mutant, ordering};

/// A sliding window of two counters.
#[derive(Debug)]
pub struct Estimate {
    words: CachePadded<[AtomicU64; 2]>,
    most: u64,
    window: u64,
}

/// Both words at one instant.
#[derive(Clone, Copy)]
struct View {
    newest: u64,
    older: u64,
    /// The place of the newest.
    index: usize,
}

/// Where a request falls, and what is counted there.
#[derive(Clone, Copy)]
struct Stand {
    bucket: u64,
    /// Nanoseconds into the bucket.
    into: u64,
    before: u64,
    within: u64,
}

impl Estimate {
    /// The greatest limit of a window: a quarter of its nanoseconds.
    pub const fn greatest(window: u64) -> u64 {
        window / 4
    }

    /// No more than about `most` in a window of so many nanoseconds, 4 or more; `most` is 1 to
    /// [`greatest`](Self::greatest).
    pub fn new(most: u64, window: u64) -> Self {
        // Bucket 0 is open, and before it is one that is sealed and empty. Its number is read as 0, which
        // no odd bucket has.
        let sealed = 1 << (window.ilog2() - 1);
        let words = [0, sealed].map(AtomicU64::new);
        Self { words: CachePadded::new(words), most, window }
    }

    /// A window is less than twice two to this, so a bucket's number has no more bits than are left.
    #[inline(always)]
    const fn number_shift(&self) -> u32 {
        self.window.ilog2()
    }

    #[inline(always)]
    const fn seal(&self) -> u64 {
        1 << (self.number_shift() - 1)
    }

    #[inline(always)]
    const fn number(&self, word: u64) -> u64 {
        word >> self.number_shift()
    }

    #[inline(always)]
    const fn is_sealed(&self, word: u64) -> bool {
        word & self.seal() != 0
    }

    #[inline(always)]
    const fn count(&self, word: u64) -> u64 {
        word & (self.seal() - 1)
    }

    #[inline(always)]
    const fn open(&self, number: u64, count: u64) -> u64 {
        number << self.number_shift() | count
    }

    /// Both words as they stood when the second was loaded.
    #[inline(always)]
    fn view(&self) -> View {
        // Acquire: pairs with the Release of `exchange`. Who sees a word sees the other one at least as its
        // writer did, and the load that is repeated finds what was written before a newer one.
        let order = ordering(Mutant::EstimateRelaxed, Ordering::Acquire);
        loop {
            let even = load_for_update(&self.words[0], order);
            let odd = load_for_update(&self.words[1], order);
            if self.words[0].load(Ordering::Relaxed) != even && !mutant(Mutant::EstimateNoRecheck) {
                continue;
            }
            return if self.number(odd) > self.number(even) {
                View { newest: odd, older: even, index: 1 }
            } else {
                View { newest: even, older: odd, index: 0 }
            };
        }
    }

    #[inline(always)]
    fn stand(&self, view: &View, now: u64) -> Stand {
        let newest = self.number(view.newest);
        // Sealed by one who had come further: what is sealed is over.
        let least = newest + u64::from(self.is_sealed(view.newest));
        // The product of a bucket that some `now` has reached cannot overflow.
        let into = now.saturating_sub(least * self.window);
        let (bucket, into) =
            if into < self.window { (least, into) } else { (least + into / self.window, into % self.window) };
        let within = if bucket == newest { self.count(view.newest) } else { 0 };
        let before = if bucket == newest + 1 {
            self.count(view.newest)
        } else if bucket == newest && self.number(view.older) + 1 == newest {
            self.count(view.older)
        } else {
            0
        };
        Stand { bucket, into, before, within }
    }

    /// Whether `n` more may be counted.
    #[inline(always)]
    fn has_room(&self, stand: &Stand, n: u64) -> bool {
        let Some(room) = self.most.checked_sub(stand.within.saturating_add(n)) else { return false };
        wide(room, self.window) >= wide(stand.before, self.window - stand.into)
    }

    /// Takes `n` permits at `now`, all or none; `n` is 1 to `most`. One who is refused has written nothing,
    /// or sealed a bucket that was over and then lost its place to others.
    ///
    /// # Errors
    ///
    /// The nanoseconds until the same request could pass.
    #[inline]
    pub fn admit(&self, n: u64, now: u64) -> Result<(), u64> {
        // Lock-free: it goes round again if it sealed or opened a bucket, which takes two rounds at most for
        // each that is newer, or if another thread changed a word.
        loop {
            let view = self.view();
            let stand = self.stand(&view, now);
            if !self.has_room(&stand, n) {
                return Err(self.wait(&stand, n, now));
            }
            let (newest, other) = (self.number(view.newest), 1 - view.index);
            let same_word = (stand.bucket - newest).is_multiple_of(2);
            let done = if self.is_sealed(view.newest) {
                if same_word {
                    // The word of the bucket wanted is sealed, and only the other one may be opened.
                    self.exchange(other, view.older, self.open(stand.bucket - 1, 0));
                    continue;
                }
                self.exchange(other, view.older, self.open(stand.bucket, n))
            } else if stand.bucket == newest {
                self.exchange(view.index, view.newest, view.newest + n)
            } else if same_word {
                self.exchange(view.index, view.newest, self.open(stand.bucket, n))
            } else if mutant(Mutant::EstimateNoSeal) {
                self.exchange(other, view.older, self.open(stand.bucket, n))
            } else {
                self.exchange(view.index, view.newest, view.newest | self.seal());
                continue;
            };
            if done {
                return Ok(());
            }
        }
    }

    #[inline(always)]
    fn exchange(&self, index: usize, old: u64, new: u64) -> bool {
        if mutant(Mutant::EstimateStoreForCas) {
            self.words[index].swap(new, Ordering::Release);
            return true;
        }
        // Release: pairs with the Acquire in `view`.
        let ok = ordering(Mutant::EstimateRelaxed, Ordering::Release);
        self.words[index].compare_exchange(old, new, ok, Ordering::Relaxed).is_ok()
    }

    /// What [`admit`](Self::admit) would say to `n` at `now`.
    ///
    /// # Errors
    ///
    /// As `admit`.
    pub fn peek(&self, n: u64, now: u64) -> Result<(), u64> {
        let stand = self.stand(&self.view(), now);
        if self.has_room(&stand, n) { Ok(()) } else { Err(self.wait(&stand, n, now)) }
    }

    /// The most that one request could be given at `now`.
    pub fn remaining(&self, now: u64) -> u64 {
        let stand = self.stand(&self.view(), now);
        let share = wide(stand.before, self.window - stand.into).div_ceil(u128::from(self.window));
        // A share is not more than its count.
        (self.most - stand.within).saturating_sub(share as u64)
    }

    /// How long until `n`, for which there is no room, could be counted.
    #[cold]
    fn wait(&self, stand: &Stand, n: u64, now: u64) -> u64 {
        // By how much `now` lies before the time that counts.
        let behind = (stand.bucket * self.window + stand.into).saturating_sub(now);
        // The count that has to fade, and what may be left of it: in this bucket that of the one before, or
        // in the next one this one's. There is no room at once in either.
        let ahead = match self.most.checked_sub(stand.within.saturating_add(n)) {
            Some(room) => self.fades(stand.before, room) - stand.into,
            None => (self.window - stand.into).saturating_add(self.fades(stand.within, self.most - n)),
        };
        behind.saturating_add(ahead)
    }

    /// How far into a bucket the share of `before` is down to `room`, of which `before` is the greater.
    fn fades(&self, before: u64, room: u64) -> u64 {
        // The quotient is less than the window.
        self.window - (wide(room, self.window) / u128::from(before.max(1))) as u64
    }
}

#[inline(always)]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    fn words(estimate: &Estimate) -> [u64; 2] {
        [0, 1].map(|i| estimate.words[i].load(Ordering::Relaxed))
    }

    #[test]
    fn a_refusal_writes_nothing() {
        let estimate = Estimate::new(2, 8);
        for start in [0, 16, 40, 56] {
            assert_eq!(estimate.admit(2, start + 7), Ok(()));
            let before = words(&estimate);
            for now in [0, start, start + 7, start + 8, start + 11] {
                assert!(estimate.admit(1, now).is_err());
            }
            assert!(estimate.admit(2, start + 15).is_err());
            assert_eq!(words(&estimate), before);
        }
    }

    /// A thread that sealed a bucket and then stalled, before each of the next few.
    #[test]
    fn a_bucket_that_was_sealed_and_left_stops_nobody() {
        for (start, later) in [0, 8].into_iter().flat_map(|start| (1..6).map(move |later| (start, later))) {
            let estimate = Estimate::new(2, 8);
            assert_eq!(estimate.admit(1, start), Ok(()));
            let view = estimate.view();
            assert!(estimate.exchange(view.index, view.newest, view.newest | estimate.seal()));
            // What is sealed is over: its time counts as the next bucket's.
            assert_eq!((estimate.remaining(start), estimate.peek(2, start)), (1, Err(16)));
            let now = start + 8 * later;
            let left = if later == 1 { 1 } else { 2 };
            assert_eq!(estimate.remaining(now), left);
            assert_eq!(estimate.admit(left, now), Ok(()));
            assert_eq!(estimate.remaining(now), 0);
            assert_eq!(estimate.number(estimate.view().newest), now / 8);
        }
    }

    #[test]
    fn a_word_holds_the_greatest_limit_and_the_last_bucket_of_any_window() {
        let lengths = (2..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        for window in lengths.chain([u64::MAX]).filter(|window| *window >= 4) {
            let most = Estimate::greatest(window);
            for now in [0, u64::MAX] {
                let estimate = Estimate::new(most, window);
                assert_eq!(estimate.admit(most, now), Ok(()), "{window} at {now}");
                assert_eq!(estimate.remaining(now), 0);
                let newest = estimate.view().newest;
                assert_eq!((estimate.number(newest), estimate.count(newest)), (now / window, most));
            }
        }
    }
}
