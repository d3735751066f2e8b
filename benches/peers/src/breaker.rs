//! Breakers.

mod bars;
mod contender;
mod ours;
mod peers;

use crate::entry::Entry;
use crate::suite::Suite;
use contender::{COLUMNS, TAILS, enter};

pub(crate) fn suite() -> Suite {
    Suite {
        name: "breaker",
        columns: &COLUMNS,
        tail_columns: &TAILS,
        entries: vec![
            enter::<ours::Permits>(bars::FUSEWIRE),
            enter::<ours::Calls>(bars::CALL),
            enter::<ours::Windowed>(bars::WINDOWED),
            enter::<ours::Precise>(bars::PRECISE),
            enter::<peers::Failsafe>("failsafe"),
            enter::<peers::FailsafeSteps>("failsafe, stepwise"),
            enter::<peers::CircuitBreaker>("circuit_breaker"),
            enter::<peers::CircuitBreakerExecute>("circuit_breaker, execute alone"),
            enter::<peers::Nobreak>("nobreak"),
            enter::<peers::Recloser>("recloser"),
            enter::<peers::CircuitBreakerRs>("circuitbreaker-rs"),
            enter::<peers::TowerResilience>("tower-resilience-circuitbreaker"),
            Entry::floor(&COLUMNS, &TAILS),
        ],
        bars: &bars::BARS,
        notes: "circuit_breaker, execute alone: never forgets failures while closed; another rule, not in the bars",
    }
}
