//! The journal of one breaker.
#![cfg(fusewire_loom)]

use fusewire::model::{Journal, Mutant, Record};
use fusewire::{Cause, CircuitState};
use loom::sync::Arc;
use loom::thread;
use loom_tests::check;

fn record(sequence: u64) -> Record {
    Record {
        from: CircuitState::Closed,
        to: CircuitState::Open,
        cause: Cause::Remote,
        failure_count: sequence,
        elapsed: sequence,
        at: sequence,
    }
}

fn writer(journal: &Arc<Journal>, sequence: u64) -> thread::JoinHandle<()> {
    let journal = journal.clone();
    thread::spawn(move || journal.write(sequence, record(sequence)))
}

#[test]
fn a_later_event_waits_for_an_earlier_one() {
    check(3, &[Mutant::EventSkipsUnwritten], || {
        let journal = Arc::new(Journal::new(4));
        let writers = [1, 2].map(|sequence| writer(&journal, sequence));
        let reader = {
            let journal = journal.clone();
            thread::spawn(move || std::iter::from_fn(|| journal.read()).collect::<Vec<_>>())
        };
        let mut seen = reader.join().expect("no panic");
        for writer in writers {
            writer.join().expect("no panic");
        }
        seen.extend(std::iter::from_fn(|| journal.read()));
        assert_eq!(seen, [(1, record(1)), (2, record(2))]);
        assert_eq!(journal.dropped(), 0);
    });
}

#[test]
fn an_event_is_read_whole_or_counted_as_dropped() {
    check(3, &[Mutant::EventMarkFirst], || {
        // One slot: the second event overwrites the first, or finds it held.
        let journal = Arc::new(Journal::new(1));
        let writers = [1, 2].map(|sequence| writer(&journal, sequence));
        let reader = {
            let journal = journal.clone();
            thread::spawn(move || {
                for (sequence, read) in std::iter::from_fn(|| journal.read()) {
                    assert_eq!(read, record(sequence), "a torn event");
                }
            })
        };
        reader.join().expect("no panic");
        for writer in writers {
            writer.join().expect("no panic");
        }
        let rest: Vec<_> = std::iter::from_fn(|| journal.read()).collect();
        for (sequence, read) in rest {
            assert_eq!(read, record(sequence), "a torn event");
        }
        assert_eq!(journal.unread(), 0, "the reader is stuck");
    });
}
