//! A row for each instance, and the order of the rows.

use std::cmp::Ordering;
use std::time::Duration;

use fusewire::CircuitState;

use crate::spell::state_name;

/// Bars of a row's history.
pub(crate) const HISTORY: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Breaker,
    Limiter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Breaker(CircuitState),
    /// A limiter that has refused nothing lately.
    Passing,
    Refusing,
}

/// An instance as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) state: State,
    /// Calls that ended with a result, or permits given; a second.
    pub(crate) calls: u64,
    /// A second; a limiter knows nothing of it.
    pub(crate) failed: Option<u64>,
    /// A second.
    pub(crate) refused: u64,
    /// p50 and p99 of the last seconds, if there was a call.
    pub(crate) latency: Option<[Duration; 2]>,
    /// Calls a second, the latest last.
    pub(crate) history: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    Kind,
    State,
    Calls,
    Failed,
    Refused,
    P50,
    P99,
}

impl Column {
    pub(crate) const ALL: [Self; 8] =
        [Self::Name, Self::Kind, Self::State, Self::Calls, Self::Failed, Self::Refused, Self::P50, Self::P99];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Kind => "kind",
            Self::State => "state",
            Self::Calls => "calls",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }

    /// The column so many to the right, round about.
    pub(crate) fn step(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

/// By what the rows are sorted: words from a to z, what is worse or more first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) by: Column,
    pub(crate) reversed: bool,
}

impl Sort {
    pub(crate) fn apply(self, rows: &mut [Row]) {
        rows.sort_by(|one, other| {
            let order = compare(self.by, one, other);
            let order = if self.reversed { order.reverse() } else { order };
            // So that rows that are equal in this do not change places.
            order.then_with(|| one.name.cmp(&other.name)).then((one.kind as u8).cmp(&(other.kind as u8)))
        });
    }
}

fn compare(by: Column, one: &Row, other: &Row) -> Ordering {
    match by {
        Column::Name => one.name.cmp(&other.name),
        Column::Kind => one.kind.word().cmp(other.kind.word()),
        Column::State => other.state.concern().cmp(&one.state.concern()),
        Column::Calls => other.calls.cmp(&one.calls),
        Column::Failed => other.failed.cmp(&one.failed),
        Column::Refused => other.refused.cmp(&one.refused),
        Column::P50 => other.latency.map(|latency| latency[0]).cmp(&one.latency.map(|latency| latency[0])),
        Column::P99 => other.latency.map(|latency| latency[1]).cmp(&one.latency.map(|latency| latency[1])),
    }
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Limiter => "limiter",
        }
    }
}

impl State {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Breaker(state) => state_name(state),
            Self::Passing => "passing",
            Self::Refusing => "refusing",
        }
    }

    /// Legible without colour.
    pub(crate) fn glyph(self) -> char {
        match self {
            Self::Breaker(CircuitState::Closed) | Self::Passing => '○',
            Self::Breaker(CircuitState::HalfOpen) | Self::Refusing => '◐',
            Self::Breaker(CircuitState::Open) => '●',
            Self::Breaker(CircuitState::Disabled) => '–',
        }
    }

    /// The more, the sooner somebody should look.
    fn concern(self) -> u8 {
        match self {
            Self::Breaker(CircuitState::Open) => 4,
            Self::Breaker(CircuitState::HalfOpen) => 3,
            Self::Refusing => 2,
            Self::Breaker(CircuitState::Disabled) => 1,
            Self::Breaker(CircuitState::Closed) | Self::Passing => 0,
        }
    }
}
