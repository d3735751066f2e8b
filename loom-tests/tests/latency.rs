//! The counters of a histogram, and the windows that readers cut out of them.
#![cfg(fusewire_loom)]

use fusewire::model::{LaneIds, Mutant, WideTally};
use loom::sync::Arc;
use loom::sync::Mutex;
use loom::thread;
use loom_tests::check;

fn read(tally: &WideTally) -> [u64; 2] {
    let mut sums = [0; 2];
    tally.read(&mut sums);
    sums
}

#[test]
fn no_call_is_lost_in_the_shared_lane() {
    check(3, &[Mutant::WideStoreForAdd], || {
        let tally = Arc::new(WideTally::new(2, 2));
        let recorders = [0, 1].map(|_| {
            let tally = tally.clone();
            // Threads of a model own no lane.
            thread::spawn(move || tally.add(1))
        });
        tally.add_owned(0, 1);
        for recorder in recorders {
            recorder.join().expect("no panic");
        }
        assert_eq!(read(&tally), [0, 3]);
    });
}

#[test]
fn a_lane_passes_on_with_its_counts() {
    check(3, &[Mutant::LaneRelaxed], || {
        let (ids, tally) = (Arc::new(LaneIds::new()), Arc::new(WideTally::new(1, 3)));
        let recorders = [0, 1].map(|_| {
            let (ids, tally) = (ids.clone(), tally.clone());
            thread::spawn(move || {
                if let Some(lane) = ids.claim() {
                    tally.add_owned(lane, 0);
                    ids.release(lane);
                }
            })
        });
        for recorder in recorders {
            recorder.join().expect("no panic");
        }
        let mut sum = [0];
        tally.read(&mut sum);
        assert_eq!(sum, [2]);
    });
}

/// Readers take turns at a lock, as those of a breaker's window do: a later snapshot has all of an earlier one, so no
/// difference wraps round. The lock is the model's own, so it shows what readers have to do and not that they do.
#[test]
fn a_window_is_never_negative() {
    check(3, &[Mutant::SamplesUnlocked], || {
        let tally = Arc::new(WideTally::new(2, 1));
        let last = Arc::new(Mutex::new([0_u64; 2]));
        let recorder = {
            let tally = tally.clone();
            thread::spawn(move || {
                tally.add_shared(0);
                tally.add_shared(1);
            })
        };
        let readers = [0, 1].map(|_| {
            let (tally, last) = (tally.clone(), last.clone());
            thread::spawn(move || {
                let early = fusewire::model::mutant(Mutant::SamplesUnlocked).then(|| read(&tally));
                let mut last = last.lock().expect("no panic");
                let now = early.unwrap_or_else(|| read(&tally));
                for (now, last) in now.iter().zip(&*last) {
                    assert!(now >= last, "{now} after {last}");
                }
                *last = now;
            })
        });
        recorder.join().expect("no panic");
        for reader in readers {
            reader.join().expect("no panic");
        }
    });
}
