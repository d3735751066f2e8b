//! What we hold our breaker to beside the peers.

use crate::suite::{Against, Bar};

pub(crate) const FUSEWIRE: &str = "fusewire";
pub(crate) const CALL: &str = "fusewire, call";
pub(crate) const PRECISE: &str = "fusewire, precise clock";
pub(crate) const WINDOWED: &str = "fusewire, windowed";

pub(crate) const BARS: [Bar; 8] = [
    Bar { ours: FUSEWIRE, column: "closed 1T", against: Against::FastestPeer, at_most: 0.35 },
    Bar { ours: CALL, column: "closed 1T", against: Against::FastestPeer, at_most: 0.35 },
    Bar { ours: FUSEWIRE, column: "closed 2T", against: Against::FastestPeer, at_most: 0.08 },
    Bar { ours: CALL, column: "closed 2T", against: Against::FastestPeer, at_most: 0.08 },
    Bar { ours: WINDOWED, column: "closed 1T", against: Against::Row(FUSEWIRE), at_most: 2.0 },
    Bar { ours: WINDOWED, column: "closed 2T", against: Against::Row(FUSEWIRE), at_most: 2.0 },
    Bar { ours: FUSEWIRE, column: "open 1T", against: Against::FastestPeer, at_most: 0.15 },
    Bar { ours: FUSEWIRE, column: "open 2T", against: Against::FastestPeer, at_most: 0.15 },
];
