//! What we hold our breaker to beside the peers.

use super::contender::{CLOSED_1T, CLOSED_2T, OPEN_1T, OPEN_2T};
use crate::bar::{Against, Bar};

pub(crate) const FUSEWIRE: &str = "fusewire";
pub(crate) const CALL: &str = "fusewire, call";
pub(crate) const PRECISE: &str = "fusewire, precise clock";
pub(crate) const WINDOWED: &str = "fusewire, windowed";

pub(crate) const BARS: [Bar; 8] = [
    Bar { ours: FUSEWIRE, column: CLOSED_1T, against: Against::FastestPeer, at_most: 0.35 },
    Bar { ours: CALL, column: CLOSED_1T, against: Against::FastestPeer, at_most: 0.35 },
    Bar { ours: FUSEWIRE, column: CLOSED_2T, against: Against::FastestPeer, at_most: 0.08 },
    Bar { ours: CALL, column: CLOSED_2T, against: Against::FastestPeer, at_most: 0.08 },
    Bar { ours: WINDOWED, column: CLOSED_1T, against: Against::Row(FUSEWIRE), at_most: 2.0 },
    Bar { ours: WINDOWED, column: CLOSED_2T, against: Against::Row(FUSEWIRE), at_most: 2.0 },
    Bar { ours: FUSEWIRE, column: OPEN_1T, against: Against::FastestPeer, at_most: 0.15 },
    Bar { ours: FUSEWIRE, column: OPEN_2T, against: Against::FastestPeer, at_most: 0.15 },
];
