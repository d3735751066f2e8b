//! Outstanding calls by the time they began, so that calls that never answer count as failures.
//!
//! Time is cut into ticks of an eighth of the allowed duration, and the calls that began in one tick
//! share a word ([`HungWord`]). An admission that enters a new tick looks through the sixteen words
//! and declares hung what has been out for more than eight ticks: a hung call is found by the first
//! admission between 1 and 1 1/4 times the duration after it began.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};
use crate::word::cell::WordCell;
use crate::word::hung::HungWord;

/// Ticks in the allowed duration.
const TICKS: u64 = 8;
/// Words: more than the ticks that can hold calls which are not yet hung.
const WORDS: u64 = 16;

/// The outstanding calls of one breaker under one duration.
#[derive(Debug)]
pub(crate) struct HungTable {
    /// Tells the tokens of this table from those of one before a reconfiguration.
    id: u16,
    tick_nanos: u64,
    /// The last tick whose sweep began.
    swept: CachePadded<AtomicU64>,
    words: Box<[CachePadded<WordCell<HungWord>>]>,
}

impl HungTable {
    pub(crate) fn new(after_nanos: u64, id: u16) -> Self {
        let word = |_| CachePadded::new(WordCell::new(HungWord::EMPTY));
        Self {
            id,
            tick_nanos: after_nanos.div_ceil(TICKS).max(1),
            swept: CachePadded::new(AtomicU64::new(0)),
            words: (0..WORDS).map(word).collect(),
        }
    }

    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    /// The tick of a time since the breaker's origin.
    pub(crate) fn tick(&self, elapsed: u64) -> u64 {
        elapsed / self.tick_nanos
    }

    fn word(&self, tick: u64) -> &WordCell<HungWord> {
        &self.words[(tick % WORDS) as usize]
    }

    /// Whether a sweep of `tick`, or of one after it, has begun.
    pub(crate) fn has_swept(&self, tick: u64) -> bool {
        self.swept.load(Ordering::Relaxed) >= tick
    }

    /// Declares hung what began more than eight ticks before `tick`, if no sweep of this tick has
    /// begun: how many calls of `epoch`.
    pub(crate) fn sweep(&self, epoch: u32, tick: u64) -> u64 {
        if self.has_swept(tick) {
            return 0;
        }
        let last = self.swept.fetch_max(tick, Ordering::Relaxed);
        if last >= tick {
            return 0;
        }
        self.expire(epoch, tick, last)
    }

    /// The sweep of `tick` by whoever has begun it, `last` being the one before.
    fn expire(&self, epoch: u32, tick: u64, last: u64) -> u64 {
        // Each admission sweeps before it enters. So after a gap every call that is out began before it,
        // whatever its cut tick says, or has come since, with a sweep of its own.
        let after_gap = tick - last >= WORDS;
        let expire = |word: HungWord| {
            // After the word, whose Acquire makes the sweep seen that came before the call in it.
            let since = self.swept.load(Ordering::Relaxed).saturating_sub(tick);
            word.expire(epoch, tick, TICKS, if after_gap { since } else { u64::MAX })
        };
        self.words.iter().map(|word| word.update(expire)).sum()
    }

    /// Follows a call of `epoch` from `tick` on. `Some` when it is followed, with how many calls of
    /// the epoch were found hung on the way.
    ///
    /// A tick whose calls were declared hung is not entered again, by a clock that went back.
    pub(crate) fn enter(&self, epoch: u32, tick: u64) -> Option<u64> {
        if self.is_swept(tick) {
            return None;
        }
        self.word(tick).update(|word| word.enter(epoch, tick))
    }

    /// The call has ended. False when it was declared hung before.
    pub(crate) fn leave(&self, epoch: u32, tick: u64) -> bool {
        !self.is_swept(tick) && self.word(tick).update(|word| word.leave(epoch, tick))
    }

    /// Whether calls that began in `tick` are hung if they are out. A word knows its tick to 21 bits only:
    /// a lap later it must not take a late result for that of a present call.
    fn is_swept(&self, tick: u64) -> bool {
        tick.saturating_add(TICKS) < self.swept.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_hung_after_its_duration_and_not_before() {
        let table = HungTable::new(800, 0);
        assert_eq!(table.sweep(1, table.tick(1_000)), 0);
        assert_eq!(table.enter(1, table.tick(1_000)), Some(0));
        assert_eq!(table.sweep(1, table.tick(1_899)), 0);
        assert_eq!(table.sweep(1, table.tick(1_900)), 1);
        assert!(!table.leave(1, table.tick(1_000)));
    }

    #[test]
    fn a_hung_call_does_not_end_another_that_a_clock_gone_back_put_in_its_place() {
        let table = HungTable::new(8, 0);
        table.enter(1, 5);
        assert_eq!(table.sweep(1, 14), 1);
        assert_eq!(table.enter(1, 5), None, "followed where the hung call was");
        assert!(!table.leave(1, 5), "the hung call's result took another's place");
        assert_eq!(table.enter(1, 6), Some(0));
    }

    #[test]
    fn a_sweep_that_stalls_across_a_gap_leaves_younger_calls_alone() {
        let table = HungTable::new(8, 0);
        table.enter(1, 0);
        // Somebody begins the sweep of tick 100, and stalls.
        let last = table.swept.fetch_max(100, Ordering::Relaxed);
        // Others go on: the call of tick 0 is found by them, and one of tick 103 is out.
        assert_eq!(table.sweep(1, 103), 1);
        assert_eq!(table.enter(1, 103), Some(0));
        assert_eq!(table.expire(1, 100, last), 0, "a call that had just begun was declared hung");
        assert!(table.leave(1, 103));
    }

    #[test]
    fn a_hung_call_does_not_end_another_a_lap_of_ticks_later() {
        let table = HungTable::new(8, 0);
        table.enter(1, 0);
        assert_eq!(table.sweep(1, (1 << 21) - 2), 1);
        table.sweep(1, 1 << 21);
        assert_eq!(table.enter(1, 1 << 21), Some(0));
        assert!(!table.leave(1, 0), "the hung call's result took another's place");
        assert!(table.leave(1, 1 << 21));
    }

    #[test]
    fn a_gap_of_any_length_finds_what_hangs() {
        for gap in [17_u64, 1 << 20, 1 << 21, (1 << 21) + 100, 1 << 40] {
            let table = HungTable::new(8, 0);
            table.sweep(1, 5);
            table.enter(1, 5);
            let found: u64 = (0..=TICKS + 1).map(|step| table.sweep(1, 5 + gap + step)).sum();
            assert_eq!(found, 1, "after a gap of {gap} ticks");
        }
    }
}
