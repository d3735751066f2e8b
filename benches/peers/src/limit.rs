//! Rate limiters.

mod bars;
mod contender;
mod ours;
mod peers;
mod work;

use crate::suite::{Entry, Suite, path_name};
use contender::{ALLOW_WORK_2T, COLUMNS, enter};

pub(crate) fn suite() -> Suite {
    // Two threads at it, as beside the limiters: the same machine, and nothing shared.
    let alone = work::path(path_name("work alone", ALLOW_WORK_2T)).threads(2);
    Suite {
        columns: &COLUMNS,
        entries: vec![
            enter::<ours::Precise>(bars::PRECISE),
            enter::<ours::Coarse>(bars::COARSE),
            enter::<ours::Given>(bars::GIVEN),
            enter::<ours::Lease>(bars::LEASE),
            enter::<peers::Governor>(bars::GOVERNOR),
            enter::<peers::GovernorUpkeep>("governor, upkeep clock"),
            enter::<peers::LeakyBucket>("leaky-bucket"),
            enter::<peers::LeakyBucketUnfair>("leaky-bucket, unfair *"),
            enter::<peers::Ratelimit>("ratelimit"),
            enter::<peers::BetterBucket>("better-bucket"),
            enter::<peers::BetterBucketGiven>("better-bucket, given time"),
            Entry { name: "work alone", in_bars: false, paths: vec![alone] },
        ],
        bars: &bars::BARS,
        notes: format!(
            "* refuses one of two threads although the bucket is full: no columns of two threads\n\
             + work: {} rounds of private arithmetic before every call, included in the figure",
            work::rounds()
        ),
    }
}
