//! The token bucket, its terms and its leases, through the public API.
#![cfg(fusewire_loom)]

use fusewire::limit::LimiterTotals;
use fusewire::model::Mutant;
use fusewire::{Clock, Limiter, ManualClock, RateLimitExceeded, TokenBucketBuilder, TokenBucketRateLimiter};
use loom::thread;
use loom_tests::check;
use std::time::Duration;

type Bucket = TokenBucketRateLimiter;

fn builder(rate: f64, capacity: u64) -> TokenBucketBuilder {
    let clock = Clock::from(&ManualClock::new());
    TokenBucketRateLimiter::builder("model").clock(clock).stripes(1).rate(rate).capacity(capacity)
}

fn bucket(rate: f64, capacity: u64) -> Bucket {
    builder(rate, capacity).build().expect("valid settings")
}

/// A bucket whose line began at time 0, when `taken` tokens were taken.
fn begun(rate: f64, capacity: u64, taken: u64) -> Bucket {
    let bucket = bucket(rate, capacity);
    bucket.try_acquire_n_at(taken, 0).expect("a full bucket");
    bucket
}

fn spawn<R: 'static>(bucket: &Bucket, run: impl FnOnce(Bucket) -> R + 'static) -> thread::JoinHandle<R> {
    let bucket = bucket.clone();
    thread::spawn(move || run(bucket))
}

fn join<R>(handle: thread::JoinHandle<R>) -> R {
    handle.join().expect("no panic")
}

/// What a bucket counted, as a pair.
fn totals(bucket: &Bucket) -> (u64, u64) {
    let LimiterTotals { allowed, refused, .. } = bucket.totals();
    (allowed, refused)
}

#[test]
fn a_token_is_never_spent_twice() {
    check(2, &[Mutant::WordStoreForCas], || {
        let bucket = begun(0.0, 3, 1);
        let takers = [0; 3].map(|_| spawn(&bucket, |b| u64::from(b.try_acquire_at(0).is_ok())));
        let taken: u64 = takers.into_iter().map(join).sum();
        assert_eq!((taken, bucket.remaining_at(0)), (2, 0));
        assert_eq!(totals(&bucket), (3, 1));
    });
}

#[test]
fn a_weight_is_taken_whole_or_not_at_all() {
    check(2, &[Mutant::WordStoreForCas], || {
        let bucket = begun(0.0, 4, 1);
        let takers = [2, 2, 1].map(|n| spawn(&bucket, move |b| b.try_acquire_n_at(n, 0).map_or(0, |()| n)));
        let taken: u64 = takers.into_iter().map(join).sum();
        assert!(taken == 3 || taken == 2 && bucket.remaining_at(0) == 1, "{taken} of 3");
        assert_eq!(taken + bucket.remaining_at(0), 3);
    });
}

#[test]
fn a_refusal_leaves_the_bucket_as_it_was() {
    check(3, &[Mutant::RefusalWrites], || {
        // A token in two nanoseconds; the first one is due at 2.
        let bucket = begun(1e9, 1, 1);
        let refused = [1, 7].map(|n| spawn(&bucket, move |b| b.try_acquire_n_at(n, 0).is_err()));
        let taker = spawn(&bucket, |b| b.try_acquire_at(2).is_ok());
        assert!(refused.into_iter().all(join), "nothing was there");
        assert!(join(taker), "refusing delayed a token that was due");
    });
}

#[test]
fn the_first_requests_find_the_initial_tokens_once() {
    check(2, &[Mutant::BeginTwice, Mutant::WordStoreForCas], || {
        let bucket = builder(0.0, 2).initial_tokens(1).build().expect("valid settings");
        let takers = [5, 7, 9].map(|now| spawn(&bucket, move |b| u64::from(b.try_acquire_at(now).is_ok())));
        let taken: u64 = takers.into_iter().map(join).sum();
        assert_eq!((taken, bucket.remaining_at(9)), (1, 0));
    });
}

#[test]
fn the_first_requests_agree_on_one_beginning() {
    check(3, &[Mutant::BeginStores, Mutant::BeginTwice, Mutant::WordRelaxed], || {
        let bucket = builder(1e9, 10_000).initial_tokens(5_000).build().expect("valid settings");
        let takers = [10, 500].map(|now| {
            spawn(&bucket, move |b| {
                b.try_acquire_at(now).expect("thousands are there");
                b.remaining_at(1_000)
            })
        });
        let seen = takers.map(join);
        let last = bucket.remaining_at(1_000);
        // A unit less than a token a nanosecond.
        assert!([10, 500].contains(&(5_000 + 1_000 - 1 - 2 - last)), "began elsewhere: {last}");
        for seen in seen {
            assert!(seen == last || seen == last + 1, "{seen}, but {last} in the end");
        }
    });
}

/// What a refusal says belongs together: a window that the bucket fills in, and a wait within it.
fn sound(refused: &RateLimitExceeded, empty: bool) -> bool {
    let slack = Duration::from_nanos(4);
    let (window, wait) = (refused.window, refused.retry_after);
    refused.limit == refused.most && wait <= window + slack && (!empty || wait + slack >= window / 2)
}

/// One of `capacity` tokens a bucket: empty at time 0, when it is reconfigured while others ask.
fn retuned(from: f64, to: f64) {
    let bucket = begun(from, 2, 2);
    let changer = spawn(&bucket, move |b| b.reconfigure_at(to, 2, 0).expect("valid settings"));
    let askers = [1, 2].map(|n| {
        spawn(&bucket, move |b| {
            let refused = b.try_acquire_n_at(n, 0).expect_err("a token that was not there");
            assert!(sound(&refused, true), "{refused:?}");
        })
    });
    askers.into_iter().for_each(join);
    join(changer);
    assert_eq!(totals(&bucket), (2, 3));
    assert_eq!(bucket.remaining_at(0), 0);
}

#[test]
fn no_decision_reads_a_slow_word_in_fast_units() {
    check(2, &[Mutant::TermsAfterWord, Mutant::WordRelaxed], || retuned(1.0, 1e9));
}

#[test]
fn no_decision_reads_a_fast_word_in_slow_units() {
    check(2, &[Mutant::TermsAfterWord, Mutant::WordRelaxed], || retuned(1e9, 1.0));
}

/// Two changes, the last of which writes over the terms that the bucket was built with, while one who was
/// refused under these still reads them.
fn replaced(ask: fn(&Bucket) -> Result<(), RateLimitExceeded>) {
    let bucket = begun(1.0, 1, 1);
    let asker = spawn(&bucket, move |b| {
        let refused = ask(&b).expect_err("a token that was not there");
        let fast = refused.limit == 1_000;
        assert!(fast || (1..=2).contains(&refused.limit), "{refused:?}");
        assert_eq!(fast, refused.window < Duration::from_millis(1), "{refused:?}");
        assert_eq!(fast, refused.retry_after < Duration::from_millis(1), "{refused:?}");
    });
    let changer = spawn(&bucket, |b| {
        for (rate, capacity) in [(1.0, 2), (1e9, 1_000)] {
            b.reconfigure_at(rate, capacity, 0).expect("valid settings");
        }
    });
    join(asker);
    join(changer);
}

#[test]
fn a_refusal_reads_whole_terms_while_they_are_replaced() {
    check(3, &[Mutant::TermsUnchecked, Mutant::TermsNoFence], || replaced(|b| b.try_acquire_at(0)));
}

#[test]
fn an_observer_reads_whole_terms_while_they_are_replaced() {
    check(2, &[Mutant::TermsUnchecked, Mutant::TermsNoFence], || {
        let bucket = begun(1.0, 1, 1);
        let observer = spawn(&bucket, |b| assert_eq!(b.remaining_at(0), 0, "nothing was there"));
        let changer = spawn(&bucket, |b| {
            for capacity in [1, 1_000] {
                b.reconfigure_at(1.0, capacity, 0).expect("valid settings");
            }
        });
        join(observer);
        join(changer);
    });
}

#[test]
fn the_end_of_a_line_makes_and_loses_no_token() {
    check(2, &[Mutant::WordStoreForCas, Mutant::TermsAfterWord], || {
        const BEYOND: u64 = 3 << 60;
        let bucket = begun(1.0, 2, 2);
        let takers =
            [1, 1, 2].map(|n| spawn(&bucket, move |b| b.try_acquire_n_at(n, BEYOND).map_or(0, |()| n)));
        let taken: u64 = takers.into_iter().map(join).sum();
        assert_eq!((taken, bucket.remaining_at(BEYOND)), (2, 0));
        assert!(bucket.try_acquire_at(BEYOND + 1_000_000_100).is_ok(), "it fills no more");
    });
}

#[test]
fn two_leases_and_a_taker_conserve_tokens() {
    check(2, &[Mutant::LeaseReturnsAll, Mutant::WordStoreForCas], || {
        let bucket = begun(0.0, 5, 1);
        let leases = [0; 2].map(|_| {
            spawn(&bucket, |b| {
                let mut lease = b.lease_handle(2).expect("a valid batch");
                let spent = u64::from(lease.try_acquire_at(0).is_ok());
                lease.give_back_at(0);
                spent
            })
        });
        let plain = spawn(&bucket, |b| u64::from(b.try_acquire_at(0).is_ok()));
        let spent: u64 = leases.into_iter().map(join).sum();
        let taken = join(plain);
        assert_eq!(spent + taken + bucket.remaining_at(0), 4);
    });
}

#[test]
fn a_lease_spends_no_more_than_it_drew_and_gives_back_once() {
    check(3, &[Mutant::LeaseReturnsAll, Mutant::WordStoreForCas], || {
        let bucket = begun(0.0, 4, 1);
        let leases = [0; 2].map(|_| {
            spawn(&bucket, |b| {
                let mut lease = b.lease_handle(2).expect("a valid batch");
                let spent = (0..3).filter(|_| lease.try_acquire_at(0).is_ok()).count() as u64;
                assert!(spent + lease.left() <= totals(&b).0, "spent before it was debited");
                lease.give_back_at(0);
                lease.give_back_at(0);
                assert_eq!(lease.left(), 0);
                spent
            })
        });
        let spent: u64 = leases.into_iter().map(join).sum();
        assert_eq!(spent + bucket.remaining_at(0), 3);
    });
}

#[test]
fn a_lease_gives_nothing_back_across_a_reconfiguration() {
    check(3, &[Mutant::LeaseForgetsTerms, Mutant::LeaseCountsChanges], || {
        // Full at 10, and full again long before 100: what the lease has left would not have fitted then.
        let bucket = begun(1e9, 2, 1);
        let changer = spawn(&bucket, |b| b.reconfigure_at(0.0, 9, 100).expect("valid settings"));
        let lease = spawn(&bucket, |b| {
            let mut lease = b.lease_handle(2).expect("a valid batch");
            lease.try_acquire_at(10).expect("a full bucket");
            lease.give_back_at(100);
        });
        join(lease);
        join(changer);
        assert!(bucket.remaining_at(100) <= 2, "{} of 2", bucket.remaining_at(100));
    });
}
