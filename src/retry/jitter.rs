//! What of a wait is left to chance.

use std::time::Duration;

/// What of a wait is left to chance, so that callers that failed together do not come back together.
///
/// Each draws uniformly, to the nanosecond, from a range that ends at the wait as it was capped: nothing
/// is added after the cap, and nothing is cut at it afterwards, which would gather the callers there. The
/// three random ones are those of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015), but
/// that the decorrelated one, too, draws below the cap rather than cutting at it.
///
/// `From<bool>`: `true` is [`Full`](Self::Full), `false` is [`None`](Self::None).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// None: the wait is the longest there is.
    None,
    /// Between zero and the longest wait. Spreads callers best, and is the default.
    #[default]
    Full,
    /// Between half of the longest wait and all of it: for a service that needs a pause in any case.
    Equal,
    /// Between `base_delay` and three times the wait before (of the first: three times `base_delay`), at
    /// most `max_delay`. Grows by itself: `exponential`, `exponential_base` and `increment` are not used.
    Decorrelated,
}

impl From<bool> for Jitter {
    fn from(jitter: bool) -> Self {
        if jitter { Self::Full } else { Self::None }
    }
}

/// A duration between `low` and `high`, both included, each nanosecond as likely as any other. `low` if
/// the range is empty.
pub(super) fn uniform(rng: &mut fastrand::Rng, low: Duration, high: Duration) -> Duration {
    let room = high.saturating_sub(low).as_nanos();
    let drawn = match u64::try_from(room) {
        Ok(room) => Duration::from_nanos(rng.u64(0..=room)),
        Err(_) => Duration::from_nanos_u128(rng.u128(0..=room)),
    };
    low.saturating_add(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_within_and_reach_both_ends() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (low, high) = (Duration::from_nanos(7), Duration::from_nanos(9));
        let drawn: Vec<_> = (0..200).map(|_| uniform(&mut rng, low, high)).collect();
        assert!(drawn.iter().all(|d| (low..=high).contains(d)));
        assert!([7, 8, 9].iter().all(|&n| drawn.contains(&Duration::from_nanos(n))));
        assert_eq!(uniform(&mut rng, high, low), high);
    }

    #[test]
    fn the_longest_duration_is_drawn_from_whole() {
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: Vec<_> = (0..64).map(|_| uniform(&mut rng, Duration::ZERO, Duration::MAX)).collect();
        let half = Duration::MAX / 2;
        assert!(drawn.iter().any(|d| *d > half) && drawn.iter().any(|d| *d < half));
    }
}
