//! The budget of retries.
#![cfg(fusewire_loom)]

use fusewire::RetryBudget;
use fusewire::model::Mutant;
use loom::thread;
use loom_tests::check;

/// With lanes that all threads share, and no time but what is told.
fn budget(ratio: f64, min_per_second: f64, burst: u32) -> RetryBudget {
    let builder = RetryBudget::builder().ratio(ratio).min_per_second(min_per_second).burst(burst);
    builder.clock(&fusewire::ManualClock::new()).stripes(1).build().expect("valid settings")
}

fn spawn<R: 'static>(
    budget: &RetryBudget,
    run: impl FnOnce(RetryBudget) -> R + 'static,
) -> thread::JoinHandle<R> {
    let budget = budget.clone();
    thread::spawn(move || run(budget))
}

fn count(handles: impl IntoIterator<Item = thread::JoinHandle<bool>>) -> usize {
    let paid = handles.into_iter().map(|handle| handle.join().expect("no panic"));
    paid.filter(|paid| *paid).count()
}

#[test]
fn the_last_retry_is_given_once() {
    check(3, &[Mutant::WordStoreForCas], || {
        let budget = budget(0.0, 0.0, 1);
        let asking = [0, 0, 0].map(|now| spawn(&budget, move |budget| budget.try_withdraw_at(now)));
        assert_eq!(count(asking), 1, "one was there, and it is not lost either");
        assert_eq!(budget.retries(), 1);
    });
}

#[test]
fn no_sum_however_old_gives_back_what_was_paid() {
    check(3, &[Mutant::BudgetForgetsSpent, Mutant::WordStoreForCas], || {
        let budget = budget(1.0, 0.0, 1);
        // The first of each thread's calls, and with it one retry, may lapse: no more is saved than one.
        let calling = [(), ()].map(|()| {
            spawn(&budget, |budget| {
                budget.deposit();
                budget.try_withdraw_at(0)
            })
        });
        let asking = spawn(&budget, |budget| budget.try_withdraw_at(0));
        let paid = count(calling) + count([asking]);
        assert!((1..=3).contains(&paid), "{paid} retries");
        let more = usize::from(budget.try_withdraw_at(0)) + usize::from(budget.try_withdraw_at(0));
        assert!(paid + more <= 3, "{paid} retries and {more} more, of two calls and one to begin with");
    });
}

#[test]
fn times_that_race_earn_no_more_than_the_latest() {
    check(3, &[Mutant::WordStoreForCas, Mutant::BudgetForgetsSpent], || {
        let second = 1_000_000_000;
        let budget = budget(0.0, 1.0, 1);
        assert!(budget.try_withdraw_at(0), "the burst");
        let asking = [1, 2, 2].map(|n| spawn(&budget, move |budget| budget.try_withdraw_at(n * second)));
        let paid = count(asking);
        assert!((1..=2).contains(&paid), "{paid} retries in two seconds");
        assert!(!budget.try_withdraw_at(2 * second) || paid == 1);
        assert!(!budget.try_withdraw_at(2 * second));
    });
}

#[test]
fn the_first_times_may_race() {
    check(3, &[Mutant::WordStoreForCas], || {
        let second = 1_000_000_000;
        let budget = budget(0.0, 1.0, 1);
        let asking = [5, 6].map(|n| spawn(&budget, move |budget| budget.try_withdraw_at(n * second)));
        let paid = count(asking);
        // One to begin with, and one if the earlier time was told first.
        assert!((1..=2).contains(&paid), "{paid} retries");
        assert!(paid + usize::from(budget.try_withdraw_at(6 * second)) <= 2);
    });
}
