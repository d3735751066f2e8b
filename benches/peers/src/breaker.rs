//! Breakers.

mod bars;
mod contender;
mod ours;
mod peers;

use crate::suite::Suite;
use contender::{COLUMNS, enter};

pub(crate) fn suite() -> Suite {
    Suite {
        columns: &COLUMNS,
        entries: vec![
            enter::<ours::Permits>(bars::FUSEWIRE),
            enter::<ours::Calls>(bars::CALL),
            enter::<ours::Windowed>(bars::WINDOWED),
            enter::<ours::Precise>(bars::PRECISE),
            enter::<peers::Failsafe>("failsafe"),
            enter::<peers::FailsafeSteps>("failsafe, stepwise"),
            enter::<peers::CircuitBreaker>("circuit_breaker"),
            enter::<peers::CircuitBreakerExecute>("circuit_breaker, execute *"),
            enter::<peers::Nobreak>("nobreak"),
            enter::<peers::Recloser>("recloser"),
            enter::<peers::CircuitBreakerRs>("circuitbreaker-rs"),
            enter::<peers::TowerResilience>("tower-resilience"),
        ],
        bars: &bars::BARS,
        notes: "* never forgets failures while closed: not the consecutive rule, not in the bars".to_owned(),
    }
}
