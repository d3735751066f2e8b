//! What we hold our limiter to beside the peers.

use super::contender::{ALLOW_1T, ALLOW_2T, ALLOW_WORK_2T, DENY_1T, DENY_2T};
use crate::bar::{Against, Bar};
use crate::column::Column;

pub(crate) const PRECISE: &str = "fusewire";
pub(crate) const COARSE: &str = "fusewire, coarse clock";
pub(crate) const GIVEN: &str = "fusewire, given time";
pub(crate) const LEASE: &str = "fusewire, lease of 256";
pub(crate) const GOVERNOR: &str = "governor";

const fn bar(ours: &'static str, column: Column, at_most: f64) -> Bar {
    Bar { ours, column, against: Against::Row(GOVERNOR), at_most }
}

/// The figures with work between the calls are compared as they are, work included.
pub(crate) const BARS: [Bar; 9] = [
    bar(PRECISE, ALLOW_1T, 1.1),
    bar(PRECISE, ALLOW_WORK_2T, 1.0),
    bar(GIVEN, ALLOW_1T, 0.6),
    bar(COARSE, DENY_1T, 0.35),
    bar(GIVEN, DENY_1T, 0.35),
    bar(COARSE, DENY_2T, 0.35),
    bar(GIVEN, DENY_2T, 0.35),
    bar(LEASE, ALLOW_1T, 0.11),
    bar(LEASE, ALLOW_2T, 0.03),
];
