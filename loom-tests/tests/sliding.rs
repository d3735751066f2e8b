//! The ring of admission times, and the two counters that stand for one.
#![cfg(fusewire_loom)]

use fusewire::model::{Estimate, Mutant, Refusal, Ring, Rule};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use loom_tests::check;

fn ring(rules: &[(u64, u64)]) -> Arc<Ring> {
    let rules: Vec<_> = rules.iter().map(|&(limit, window)| Rule { limit, window }).collect();
    Arc::new(Ring::new(&rules))
}

/// A thread that asks the ring at each of these times; gives how often it was admitted.
fn asks(ring: &Arc<Ring>, times: &'static [u64]) -> JoinHandle<usize> {
    let ring = ring.clone();
    thread::spawn(move || times.iter().filter(|now| ring.admit(**now, false).is_ok()).count())
}

/// How many more pass at `now`; `remaining` must have said so.
fn burst(ring: &Ring, now: u64) -> usize {
    let left = ring.remaining(now);
    let passed = (0..8).take_while(|_| ring.admit(now, false).is_ok()).count();
    assert_eq!(passed as u64, left);
    passed
}

fn total(threads: impl IntoIterator<Item = JoinHandle<usize>>) -> usize {
    threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
}

#[test]
fn of_those_who_race_for_the_last_place_one_is_admitted() {
    check(3, &[Mutant::RingStoreForCas, Mutant::RingHeadFirst], || {
        let ring = ring(&[(1, 10)]);
        let threads = [0, 0].map(|_| asks(&ring, &[0]));
        assert_eq!(total(threads), 1);
        assert_eq!((burst(&ring, 9), burst(&ring, 10)), (0, 1));
    });
}

#[test]
fn a_ring_refuses_when_it_is_full_and_only_then() {
    check(3, &[Mutant::RingStoreForCas, Mutant::RingNoLag], || {
        let ring = ring(&[(2, 10)]);
        let threads = [0, 0].map(|_| asks(&ring, &[0]));
        assert_eq!(total(threads), 2, "a false refusal");
        assert_eq!((burst(&ring, 9), burst(&ring, 10)), (0, 2));
    });
}

#[test]
fn three_threads_get_two_places() {
    check(2, &[Mutant::RingStoreForCas, Mutant::RingNoLag], || {
        let ring = ring(&[(2, 10)]);
        let threads = [0, 0, 0].map(|_| asks(&ring, &[0]));
        assert_eq!(total(threads), 2);
        assert_eq!(burst(&ring, 9), 0);
    });
}

#[test]
fn who_comes_a_window_later_is_admitted_whether_or_not_the_head_lags() {
    check(3, &[Mutant::RingStoreForCas], || {
        let ring = ring(&[(1, 10)]);
        let early = asks(&ring, &[0]);
        let late = asks(&ring, &[10]);
        assert_eq!(total([late]), 1, "a false refusal");
        total([early]);
        assert_eq!((burst(&ring, 19), burst(&ring, 20)), (0, 1));
    });
}

#[test]
fn a_look_that_spans_laps_goes_by_none_of_them() {
    check(3, &[Mutant::RingNoRecheck, Mutant::RingRelaxed], || {
        let ring = ring(&[(2, 10)]);
        assert_eq!(burst(&ring, 0), 2);
        let laps = asks(&ring, &[10, 10, 20, 25]);
        let late = asks(&ring, &[30]);
        let late = total([late]);
        assert_eq!(late, 1, "a false refusal");
        let all = 2 + late + total([laps]);
        assert_eq!(ring.state().0, all as u64, "one was written over another");
        // Fewer where one of the laps is still in the window, or came later and was written at 30.
        assert!(late + burst(&ring, 30) <= 2);
    });
}

#[test]
fn two_rules_admit_together_or_not_at_all() {
    check(3, &[Mutant::RingFirstRuleOnly, Mutant::RingStoreForCas], || {
        let ring = ring(&[(2, 10), (3, 100)]);
        assert_eq!(burst(&ring, 0), 2);
        let threads = [0, 0].map(|_| {
            let ring = ring.clone();
            thread::spawn(move || ring.admit(10, false))
        });
        let answers = threads.map(|thread| thread.join().expect("no panic"));
        let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
        let refused = answers.iter().filter(|answer| **answer == Err(Refusal { rule: 1, wait: 90 })).count();
        assert_eq!((admitted, refused), (1, 1));
        assert_eq!(burst(&ring, 99), 0);
        assert_eq!(burst(&ring, 100), 2, "nobody was charged by the first rule alone");
    });
}

#[test]
fn a_refusal_leaves_the_ring_alone() {
    check(3, &[Mutant::RingWriteOnRefusal], || {
        let ring = ring(&[(1, 10)]);
        assert_eq!(burst(&ring, 0), 1);
        let refused = asks(&ring, &[5]);
        let admitted = asks(&ring, &[10]);
        assert_eq!((total([refused]), total([admitted])), (0, 1));
        assert_eq!(ring.state(), (2, vec![1, 11]));
    });
}

#[test]
fn a_hold_that_comes_and_goes_loses_no_admission() {
    check(3, &[Mutant::RingNoLag], || {
        let ring = ring(&[(2, 10)]);
        let through = {
            let ring = ring.clone();
            thread::spawn(move || assert_eq!(ring.admit(0, true), Ok(())))
        };
        let holder = {
            let ring = ring.clone();
            thread::spawn(move || {
                ring.hold(true);
                assert!(ring.admit(0, false).is_err());
                ring.hold(false);
            })
        };
        for thread in [through, holder] {
            thread.join().expect("no panic");
        }
        assert_eq!(burst(&ring, 0), 1);
    });
}

/// A thread that asks the estimate for one permit at each of these times.
fn asks_estimate(estimate: &Arc<Estimate>, times: &'static [u64]) -> JoinHandle<usize> {
    let estimate = estimate.clone();
    thread::spawn(move || times.iter().filter(|now| estimate.admit(1, **now).is_ok()).count())
}

#[test]
fn an_estimate_gives_each_permit_once() {
    check(3, &[Mutant::EstimateStoreForCas], || {
        let estimate = Arc::new(Estimate::new(2, 8));
        let threads = [0, 0, 0].map(|_| asks_estimate(&estimate, &[0]));
        assert_eq!(total(threads), 2);
        assert_eq!((estimate.remaining(0), estimate.remaining(12)), (0, 1));
    });
}

#[test]
fn a_bucket_that_is_over_is_not_counted_in() {
    check(3, &[Mutant::EstimateNoSeal, Mutant::EstimateStoreForCas], || {
        // The last moment of a bucket and the first of the next: the window covers both in full.
        let estimate = Arc::new(Estimate::new(1, 4));
        let threads = [&[3], &[4]].map(|times| asks_estimate(&estimate, times));
        assert_eq!(total(threads), 1);
        assert_eq!(estimate.remaining(4), 0);
    });
}

#[test]
fn of_neighbouring_buckets_only_one_gives_the_last_permit() {
    check(2, &[Mutant::EstimateNoSeal], || {
        let estimate = Arc::new(Estimate::new(1, 4));
        let [first, second, third] = [&[3], &[4], &[8]].map(|times| asks_estimate(&estimate, times));
        let [first, second, third] = [first, second, third].map(|thread| total([thread]));
        assert!(first + second <= 1 && second + third <= 1, "{first} {second} {third}");
        assert!(first + second + third >= 1, "a false refusal");
        assert_eq!(estimate.remaining(16), 1);
    });
}

#[test]
fn both_counters_are_seen_as_they_stood_at_one_time() {
    check(3, &[Mutant::EstimateNoRecheck, Mutant::EstimateRelaxed], || {
        let estimate = Arc::new(Estimate::new(2, 8));
        let across = asks_estimate(&estimate, &[7, 8]);
        let after = asks_estimate(&estimate, &[8]);
        assert_eq!(total([across, after]), 2);
    });
}
