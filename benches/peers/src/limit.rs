//! Rate limiters.

mod bars;
mod contender;
mod ours;
mod peers;

use crate::entry::Entry;
use crate::suite::Suite;
use contender::{COLUMNS, TAILS, enter};

pub(crate) fn suite() -> Suite {
    Suite {
        name: "limit",
        columns: &COLUMNS,
        tail_columns: &TAILS,
        entries: vec![
            enter::<ours::Precise>(bars::PRECISE),
            enter::<ours::Coarse>(bars::COARSE),
            enter::<ours::Given>(bars::GIVEN),
            enter::<ours::Lease>(bars::LEASE),
            enter::<peers::Governor>(bars::GOVERNOR),
            enter::<peers::GovernorUpkeep>("governor, upkeep clock"),
            enter::<peers::LeakyBucket>("leaky-bucket"),
            enter::<peers::LeakyBucketUnfair>("leaky-bucket, unfair"),
            enter::<peers::Ratelimit>("ratelimit"),
            enter::<peers::BetterBucket>("better-bucket"),
            enter::<peers::BetterBucketGiven>("better-bucket, given time"),
            Entry::floor(&COLUMNS, &TAILS),
        ],
        bars: &bars::BARS,
        notes: "leaky-bucket, unfair: refuses one of two threads although the bucket is full; no columns of two threads",
    }
}
