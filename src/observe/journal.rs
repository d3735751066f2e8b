//! The last transitions of one breaker, in order, written by whoever made each and read by one
//! drainer.
//!
//! Each transition is won by exactly one thread, so each sequence number has one writer. The reader
//! walks the numbers in order and stops at one that is not written yet: an event is late, never out
//! of order. A writer never waits for the reader; what the reader could not follow counts as dropped.

use std::time::Duration;

use crate::sync::{AtomicU64, Mutant, Ordering, fence, mutant};
use crate::word::breaker::{Cause, CircuitState};

/// A transition as the journal keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub from: CircuitState,
    pub to: CircuitState,
    pub cause: Cause,
    pub failure_count: u64,
    /// Nanoseconds spent in `from`.
    pub elapsed: u64,
    /// Nanoseconds on the breaker's clock.
    pub at: u64,
}

const WORDS: usize = 4;

impl Record {
    fn pack(self) -> [u64; WORDS] {
        let kinds = self.from as u64 | (self.to as u64) << 8 | (self.cause as u64) << 16;
        [kinds, self.failure_count, self.elapsed, self.at]
    }

    fn unpack([kinds, failure_count, elapsed, at]: [u64; WORDS]) -> Self {
        let cause = (kinds >> 16) as usize % Cause::ALL.len();
        Self {
            from: CircuitState::from_bits(kinds),
            to: CircuitState::from_bits(kinds >> 8),
            cause: Cause::ALL[cause],
            failure_count,
            elapsed,
            at,
        }
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed)
    }
}

/// A ring of records; sequence numbers begin at 1.
#[derive(Debug)]
pub struct Journal {
    slots: Box<[Slot]>,
    /// The greatest number that somebody began to write.
    newest: AtomicU64,
    /// The greatest number that found its slot held by a writer a whole lap behind, and was not
    /// written.
    lapped: AtomicU64,
    /// The next number that the reader wants.
    next: AtomicU64,
    /// Numbers that the reader passed over.
    dropped: AtomicU64,
}

/// `tag` is the number of the record `<< 1`, and odd while it is being written.
#[derive(Debug)]
struct Slot {
    tag: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// What stands at a number.
enum Found {
    Record(Record),
    NotYet,
    Gone,
}

impl Journal {
    pub fn new(capacity: usize) -> Self {
        let slot = |_| Slot { tag: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) };
        Self {
            slots: (0..capacity.max(1)).map(slot).collect(),
            newest: AtomicU64::new(0),
            lapped: AtomicU64::new(0),
            next: AtomicU64::new(1),
            dropped: AtomicU64::new(0),
        }
    }

    fn slot(&self, sequence: u64) -> &Slot {
        &self.slots[(sequence % self.slots.len() as u64) as usize]
    }

    /// Writes the record of `sequence`. Each number is written by one thread, once.
    pub fn write(&self, sequence: u64, record: Record) {
        // Relaxed: a reader that misses the newest number comes again, because it is marked after.
        self.newest.fetch_max(sequence, Ordering::Relaxed);
        let slot = self.slot(sequence);
        let writing = sequence << 1 | 1;
        let mut old = slot.tag.load(Ordering::Relaxed);
        loop {
            if old & 1 == 1 || old >= writing {
                // Release: pairs with the Acquire in `find`.
                self.lapped.fetch_max(sequence, Ordering::Release);
                return;
            }
            // Acquire: pairs with the Release of the writer before, whose words this one replaces.
            match slot.tag.compare_exchange(old, writing, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(found) => old = found,
            }
        }
        // Release: pairs with the Acquire fence in `find`; a reader of any new word finds the tag odd
        // or newer.
        fence(Ordering::Release);
        if mutant(Mutant::EventMarkFirst) {
            slot.tag.store(sequence << 1, Ordering::Release);
        }
        for (cell, word) in slot.words.iter().zip(record.pack()) {
            cell.store(word, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire load of the tag in `find`.
        slot.tag.store(sequence << 1, Ordering::Release);
    }

    fn find(&self, sequence: u64) -> Found {
        let slot = self.slot(sequence);
        // Acquire: pairs with the Release store of the tag in `write`.
        let tag = slot.tag.load(Ordering::Acquire);
        if tag >> 1 > sequence {
            return Found::Gone;
        }
        if tag != sequence << 1 {
            // Acquire: pairs with the Release in `write`.
            let lapped = self.lapped.load(Ordering::Acquire) >= sequence;
            return if lapped { Found::Gone } else { Found::NotYet };
        }
        let words = std::array::from_fn(|i| slot.words[i].load(Ordering::Relaxed));
        // Acquire: pairs with the Release fence in `write`.
        fence(Ordering::Acquire);
        if slot.tag.load(Ordering::Relaxed) == tag {
            Found::Record(Record::unpack(words))
        } else {
            Found::Gone
        }
    }

    /// The next record in order with its number, or `None` when the next one is not written yet. For
    /// one reader at a time.
    pub fn read(&self) -> Option<(u64, Record)> {
        loop {
            let next = self.next.load(Ordering::Relaxed);
            match self.find(next) {
                Found::Record(record) => {
                    self.next.store(next + 1, Ordering::Relaxed);
                    return Some((next, record));
                }
                Found::NotYet if mutant(Mutant::EventSkipsUnwritten) && next < self.newest() => {
                    self.next.store(next + 1, Ordering::Relaxed);
                }
                Found::NotYet => return None,
                Found::Gone => {
                    // At most one lap is left to read: what lies before it is gone for good.
                    let oldest = (self.newest() + 1).saturating_sub(self.slots.len() as u64);
                    let resume = oldest.max(next + 1);
                    self.dropped.fetch_add(resume - next, Ordering::Relaxed);
                    self.next.store(resume, Ordering::Relaxed);
                }
            }
        }
    }

    fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// How many records wait for the reader.
    pub fn unread(&self) -> u64 {
        (self.newest() + 1).saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// How many records were overwritten before they were read, those that the reader has not come to
    /// yet included.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.unread().saturating_sub(self.slots.len() as u64)
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    fn record(at: u64) -> Record {
        Record {
            from: CircuitState::Closed,
            to: CircuitState::Open,
            cause: Cause::Remote,
            failure_count: u64::MAX,
            elapsed: 3,
            at,
        }
    }

    #[test]
    fn a_record_survives_packing() {
        assert_eq!(Record::unpack(record(9).pack()), record(9));
    }

    #[test]
    fn an_unwritten_number_holds_back_later_ones() {
        let journal = Journal::new(4);
        journal.write(2, record(2));
        assert_eq!(journal.read(), None);
        journal.write(1, record(1));
        assert_eq!(journal.read(), Some((1, record(1))));
        assert_eq!(journal.read(), Some((2, record(2))));
        assert_eq!(journal.read(), None);
    }

    #[test]
    fn what_was_overwritten_is_counted() {
        let journal = Journal::new(4);
        for sequence in 1..=10 {
            journal.write(sequence, record(sequence));
        }
        let read: Vec<u64> = std::iter::from_fn(|| journal.read()).map(|(n, _)| n).collect();
        assert_eq!(read, [7, 8, 9, 10]);
        assert_eq!(journal.dropped(), 6);
    }

    #[test]
    fn a_lapped_writer_does_not_stop_the_reader() {
        let journal = Journal::new(2);
        // The writer of 1 stands between its claim and its words, as if preempted.
        journal.newest.fetch_max(1, Ordering::Relaxed);
        journal.slot(1).tag.store(1 << 1 | 1, Ordering::Relaxed);
        for sequence in 2..=4 {
            journal.write(sequence, record(sequence));
        }
        // 3 found the slot held; 2 was overwritten by 4.
        assert_eq!(journal.read(), Some((4, record(4))));
        assert_eq!(journal.dropped(), 3);
    }
}
