//! A budget of retries against an account in exact fractions.

use fusewire::{ManualClock, RetryBudget};

use crate::input::Input;
use crate::twin::budget::Account;

const MOST_OPERATIONS: usize = 600;
const SECOND: u64 = 1_000_000_000;

/// Random calls and retries at random times, which may go back: what is permitted must be paid for to the
/// last fraction, and what can be paid for must be permitted.
///
/// # Panics
///
/// Where the engine does otherwise.
pub fn budget(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let ratio = input.pick(&[0.1, 0.0, 0.2, 1.0 / 3.0, 1e-9, 0.5, 1.0, 7.25, 1000.0]);
    let per_second = input.pick(&[0.0, 1.0, 10.0, 0.001, 1.0 / 3.0, 1e-9, 1e6]);
    let burst = input.pick(&[1, 2, 3, 10, 100, u32::MAX]);
    let stripes = input.pick(&[1, 3, 65]);
    let builder = RetryBudget::builder().ratio(ratio).min_per_second(per_second).burst(burst);
    let budget = builder.stripes(stripes).clock(&ManualClock::new()).build().expect("valid settings");
    let mut account = Account::new(ratio, per_second, burst);
    let mut now = input.pick(&[0, 1, 1_700_000_000 * SECOND, u64::MAX - 3_600 * SECOND]);
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { return };
        match kind % 8 {
            0..=1 => {
                for _ in 0..=kind >> 3 {
                    budget.deposit();
                    account.deposit();
                }
            }
            2..=4 => {
                for _ in 0..=kind >> 5 {
                    account.hold(now, budget.try_withdraw_at(now));
                }
            }
            5 => now = now.saturating_add(u64::from(kind >> 3) * SECOND / 16),
            6 => now = now.saturating_add(input.number() >> 20),
            _ => now = now.saturating_sub(input.number() >> 24),
        }
        account.hold_available(now, budget.available_at(now));
        assert_eq!((budget.calls(), budget.retries()), (account.calls(), account.retries()));
    }
}
