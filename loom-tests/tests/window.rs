//! The ring of boundary snapshots and the lanes under it.
#![cfg(fusewire_loom)]

use fusewire::model::{LaneIds, Mutant, Snapshot, Tally, Window};
use loom::sync::Arc;
use loom::thread;
use loom_tests::check;

fn window(buckets: u64) -> Arc<Window> {
    Arc::new(Window::new(buckets, &[0; 4], 0))
}

fn tally() -> Arc<Tally<4>> {
    Arc::new(Tally::new(1))
}

#[test]
fn a_boundary_holds_no_event_of_a_later_bucket() {
    check(3, &[Mutant::NoDecision], || {
        let (tally, window) = (tally(), window(2));
        let later = {
            let (tally, window) = (tally.clone(), window.clone());
            thread::spawn(move || {
                // Nothing was counted before: a sum here would hide the other thread's (see the crate).
                window.advance(2, || [0; 4]);
                tally.add_shared(0, 1);
            })
        };
        let mover = {
            let (tally, window) = (tally.clone(), window.clone());
            thread::spawn(move || {
                window.advance(1, || tally.sum());
            })
        };
        later.join().expect("no panic");
        mover.join().expect("no panic");
        for tick in [1, 2] {
            if let Some(boundary) = window.boundary(tick) {
                assert_eq!(boundary[0], 0, "the event of tick 2 stands before boundary {tick}");
            }
        }
        assert_eq!(tally.sum::<4>()[0], 1);
    });
}

#[test]
fn boundaries_grow() {
    check(3, &[Mutant::RelaxedDecision], || {
        let (tally, window) = (tally(), window(2));
        let straggler = {
            let tally = tally.clone();
            thread::spawn(move || {
                tally.add_shared(0, 1);
            })
        };
        let movers = [1, 2].map(|tick| {
            let (tally, window) = (tally.clone(), window.clone());
            thread::spawn(move || {
                window.advance(tick, || tally.sum());
            })
        });
        straggler.join().expect("no panic");
        for mover in movers {
            mover.join().expect("no panic");
        }
        if let (Some(first), Some(second)) = (window.boundary(1), window.boundary(2)) {
            assert!(second[0] >= first[0], "a bucket of {} events", second[0].wrapping_sub(first[0]));
        }
    });
}

#[test]
fn a_window_is_never_negative() {
    check(3, &[Mutant::SlotRelaxed], || {
        let (tally, window) = (tally(), window(2));
        let recorder = {
            let tally = tally.clone();
            thread::spawn(move || {
                tally.add_shared(0, 1);
            })
        };
        let mover = {
            let (tally, window) = (tally.clone(), window.clone());
            thread::spawn(move || {
                window.advance(1, || tally.sum());
            })
        };
        let reader = {
            let (tally, window) = (tally.clone(), window.clone());
            thread::spawn(move || {
                if let Some(boundary) = window.boundary(1) {
                    assert!(tally.sum::<4>()[0] >= boundary[0], "a boundary ahead of the tally");
                }
            })
        };
        for handle in [recorder, mover, reader] {
            handle.join().expect("no panic");
        }
    });
}

#[test]
fn nothing_is_lost_or_doubled_over_two_ticks() {
    check(2, &[Mutant::NoDecision], || {
        let (tally, window) = (tally(), window(2));
        let recorders = [1, 2].map(|tick| {
            let (tally, window) = (tally.clone(), window.clone());
            thread::spawn(move || {
                // The second one's boundary may stand too low, never too high: it only sums what it must.
                window.advance(tick, || if tick == 1 { tally.sum() } else { [0; 4] });
                tally.add_shared(0, 1);
            })
        });
        for recorder in recorders {
            recorder.join().expect("no panic");
        }
        assert_eq!(tally.sum::<4>()[0], 2);
        if let Some(boundary) = window.boundary(2) {
            assert!(boundary[0] <= 1, "the event of tick 2 stands before its own boundary");
        }
        if let Some(boundary) = window.boundary(1) {
            assert_eq!(boundary[0], 0, "an event stands before the first boundary");
        }
        let counts = window.counts(0, &tally.sum(), 2);
        if window.boundary(1).is_some() {
            assert_eq!(counts.expect("a base")[0], 2);
        }
    });
}

#[test]
fn no_torn_or_foreign_snapshot_is_read() {
    check(3, &[Mutant::SlotRelaxed, Mutant::SlotNoClaim, Mutant::SlotNoReread], || {
        let slot = Arc::new(Snapshot::new());
        let writers = [5, 6].map(|tag| {
            let slot = slot.clone();
            thread::spawn(move || slot.write(tag, &[tag; 4]))
        });
        let reader = {
            let slot = slot.clone();
            thread::spawn(move || {
                for tag in [6, 5] {
                    if let Some(counts) = slot.read(tag) {
                        assert_eq!(counts, [tag; 4]);
                    }
                }
            })
        };
        for handle in writers {
            handle.join().expect("no panic");
        }
        reader.join().expect("no panic");
        for tag in [5, 6] {
            if let Some(counts) = slot.read(tag) {
                assert_eq!(counts, [tag; 4]);
            }
        }
    });
}

#[test]
fn a_lane_passes_from_thread_to_thread_without_loss() {
    check(3, &[Mutant::LaneRelaxed], || {
        let (ids, tally) = (Arc::new(LaneIds::new()), Arc::new(Tally::<1>::new(2)));
        let lane = ids.claim().expect("the first lane");
        let first = {
            let (ids, tally) = (ids.clone(), tally.clone());
            thread::spawn(move || {
                tally.add_owned(lane, 0);
                ids.release(lane);
            })
        };
        let second = {
            let (ids, tally) = (ids.clone(), tally.clone());
            thread::spawn(move || {
                let mine = ids.claim().expect("a lane");
                // Only lane 0 is owned in this tally; another number counts with the shared ones.
                if mine == 0 {
                    tally.add_owned(0, 0)
                } else {
                    tally.add_shared(0, 1)
                };
            })
        };
        first.join().expect("no panic");
        second.join().expect("no panic");
        assert_eq!(tally.sum(), [2]);
    });
}
