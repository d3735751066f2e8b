//! The token bucket's word and the line of time it is compared with.
//!
//! ```text
//!  63 62 61 60                                              0
//! +--+-----+-------------------------------------------------+
//! |h:1| g:2| time:61, in units of 2^-bits tokens             |
//! +--+-----+-------------------------------------------------+
//! ```
//!
//! The time is the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371), counted in
//! tokens instead of seconds: the point of the line up to which tokens were given. `g` numbers the terms
//! that the time belongs to, so that a word is never read in units of other terms; `h` holds back whoever
//! does not wait in the queue, because it makes the word greater than any line.
//!
//! A cost is a whole number of units and the line is one multiplication of the time that passed, so
//! nothing is rounded per request and no rate drifts.

use super::Field;

const TIME: Field = Field::lowest(61);
const GENERATION: Field = TIME.then(2);
const HELD: Field = GENERATION.then(1);
const _: () = assert!(HELD.end() == 64);

/// How many sets of terms a word can tell apart. Two in the models: what holds for these holds for more, and
/// no model can follow four changes through all that a stalled thread may see of them.
pub(crate) const GENERATIONS: usize = if cfg!(fusewire_loom) { 2 } else { 1 << 2 };

/// The time of a bucket that was never asked. No line reaches it: a line ends at 2^60 and a word at most
/// 2^59 beyond.
const UNTOUCHED: u64 = TIME.max();

/// Units of the fullest bucket.
const MOST_CAPACITY: u64 = 1 << 59;

/// A line ends after this many nanoseconds, 36 years, and another begins; a unit is not shorter than one.
pub(crate) const SPAN: u64 = 1 << 60;

/// The greatest rate, in tokens per second.
pub(crate) const MOST_RATE: f64 = 1e9;

/// A token bucket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct BucketWord(u64);

impl BucketWord {
    /// A bucket that was never asked.
    pub(crate) const fn untouched() -> Self {
        Self(TIME.put(UNTOUCHED))
    }

    #[inline(always)]
    pub(crate) const fn is_untouched(self) -> bool {
        TIME.get(self.0) == UNTOUCHED
    }

    /// A bucket of the generation whose time is `debt`: so much is missing where its line begins.
    pub(crate) const fn with_debt(generation: usize, debt: u64) -> Self {
        Self(GENERATION.put(generation as u64) | TIME.put_saturating(debt))
    }

    #[inline(always)]
    pub(crate) const fn generation(self) -> usize {
        GENERATION.get(self.0) as usize
    }

    #[inline(always)]
    pub(crate) const fn is_held(self) -> bool {
        HELD.get(self.0) != 0
    }

    /// Whether it shows what has been given, and nothing else: neither a hold nor a bucket never asked.
    #[inline(always)]
    pub(crate) const fn is_plain(self) -> bool {
        !self.is_held() && !self.is_untouched()
    }

    /// What the mutant of refusals writes.
    pub(crate) const fn nudged(self) -> Self {
        Self(self.0 + 1)
    }

    #[inline(always)]
    pub(crate) const fn held(self, held: bool) -> Self {
        Self((self.0 & !HELD.put(1)) | HELD.put(held as u64))
    }

    /// Where a line stands that has come `units` from its beginning, as a word of this one's generation.
    #[inline(always)]
    const fn on_line(self, units: u64) -> u64 {
        (self.0 & GENERATION.put(GENERATION.max())) + units
    }

    /// Takes `cost` of `capacity` units at `line` units. `None` where that many are not there.
    ///
    /// Wraps, because a stalled caller may have read terms that are half of one change and half of another;
    /// its exchange fails then.
    #[inline(always)]
    pub(crate) fn take(self, line: u64, capacity: u64, cost: u64) -> Option<Self> {
        let line = self.on_line(line);
        if self.0 > line.wrapping_add(capacity.wrapping_sub(cost)) {
            None
        } else {
            Some(Self(self.0.max(line).wrapping_add(cost)))
        }
    }

    /// As `take`, past the hold, for a request that has been waiting since the line stood at `since`. All
    /// that time the bucket was out of tokens, so they count from when they were due, however late anybody
    /// looked. `Err` says how many units are missing.
    pub(crate) fn take_queued(self, since: u64, line: u64, capacity: u64, cost: u64) -> Result<Self, u64> {
        let word = self.held(false).0;
        // One that is larger than the bucket, since that was made smaller, needs more than a full one.
        let since = since.min(line).min((line + capacity).saturating_sub(cost));
        let next = word.max(self.on_line(since)).saturating_add(cost);
        match next.saturating_sub(self.on_line(line) + capacity) {
            0 => Ok(Self(next).held(self.is_held())),
            missing => Err(missing),
        }
    }

    /// Units that could be taken at `line`; a hold does not count. Negative while requests that are
    /// already granted are still to be paid for.
    #[inline(always)]
    pub(crate) fn available(self, line: u64, capacity: u64) -> i64 {
        let ahead = TIME.get(self.0).saturating_sub(line);
        capacity.cast_signed() - ahead.cast_signed()
    }

    /// As `available`, but what flowed into a full bucket counts: nothing flows over while requests wait,
    /// since they are debited as of when they were due.
    pub(crate) fn uncapped(self, line: u64, capacity: u64) -> i128 {
        i128::from(capacity) + i128::from(line) - i128::from(TIME.get(self.0))
    }

    /// The line had come so far, at least, when this became the word of a bucket of `capacity` units.
    pub(crate) fn earliest(self, capacity: u64) -> u64 {
        TIME.get(self.0).saturating_sub(capacity)
    }

    /// Gives `units` back, not beyond the beginning of the line.
    pub(crate) fn give_back(self, units: u64) -> Self {
        Self(self.0 - units.min(TIME.get(self.0)))
    }

    /// The word under the terms that follow: what was available stays so, at most the new capacity. The
    /// new line stands at `start` here.
    pub(crate) fn retune(self, old: &Terms, line: u64, new: &Terms, start: u64) -> Self {
        let available = i128::from(self.available(line, old.capacity));
        // Rounded down, so that no change of terms makes tokens.
        let available = (available << new.bits) >> old.bits;
        let debt = i128::from(new.capacity) - available.min(i128::from(new.capacity));
        let debt = u64::try_from(debt).unwrap_or(SPAN).min(SPAN);
        Self::with_debt((self.generation() + 1) % GENERATIONS, start + debt).held(self.is_held())
    }
}

/// A rate and a capacity in the units of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Units in a nanosecond, a half to one, with 64 fractional bits; zero for a bucket that never fills.
    pub(crate) speed: u64,
    /// Nanoseconds in a unit, one to two, with 63 fractional bits.
    pub(crate) pace: u64,
    /// log2 of the units in a token.
    pub(crate) bits: u32,
    /// Units in a full bucket.
    pub(crate) capacity: u64,
}

impl Terms {
    /// Terms for `rate` tokens per second, zero to 10^9, and `capacity` tokens. `None` where the bucket
    /// would take more than 18 years to fill, or the rate is out of range.
    pub(crate) fn new(rate: f64, capacity: u64) -> Option<Self> {
        if rate == 0.0 {
            return (capacity <= MOST_CAPACITY).then_some(Self { speed: 0, pace: 0, bits: 0, capacity });
        }
        if !(rate > 0.0 && rate <= MOST_RATE && rate.is_normal()) {
            return None;
        }
        // The rate as mantissa * 2^exponent, exactly.
        let raw = rate.to_bits();
        let mantissa = u128::from(raw & ((1 << 52) - 1) | 1 << 52);
        let exponent = (raw >> 52) as i32 - 1075;
        let mut bits = (MOST_RATE / rate).log2().floor() as i32;
        let speed = loop {
            // 2^bits tokens a second over 10^9 nanoseconds, with 64 fractional bits. The shift is 40 or 41
            // when `bits` is right, and one off when the logarithm was rounded.
            let shift = u32::try_from(exponent + bits + 64).ok().filter(|shift| *shift < 75)?;
            let speed = (mantissa << shift) / 1_000_000_000;
            if speed > 1 << 64 {
                bits -= 1;
            } else if speed < 1 << 63 {
                bits += 1;
            } else {
                // A whole unit a nanosecond is 2^64, a hair too wide.
                break u64::try_from(speed).unwrap_or(u64::MAX);
            }
        };
        let bits = u32::try_from(bits).ok()?;
        let capacity =
            capacity.checked_mul(1_u64.checked_shl(bits)?).filter(|units| *units <= MOST_CAPACITY)?;
        let pace = u64::try_from((1_u128 << 127).div_ceil(u128::from(speed))).unwrap_or(u64::MAX);
        Some(Self { speed, pace, bits, capacity })
    }

    /// Nanoseconds in which `units` flow in, never less than needed; `None` for ever.
    #[inline(always)]
    pub(crate) fn nanos(&self, units: u64) -> Option<u64> {
        if self.speed == 0 {
            return (units == 0).then_some(0);
        }
        Some(((u128::from(units) * u128::from(self.pace)) >> 63) as u64 + u64::from(units > 0))
    }

    /// Nanoseconds in which a full bucket flows in, the nearest to what its settings say; `None` for ever.
    #[inline(always)]
    pub(crate) fn window(&self) -> Option<u64> {
        let half = 1 << 62;
        (self.speed > 0).then(|| ((u128::from(self.capacity) * u128::from(self.pace) + half) >> 63) as u64)
    }

    /// Tokens in a full bucket.
    #[inline(always)]
    pub(crate) fn tokens(&self) -> u64 {
        self.capacity >> self.bits
    }
}

/// Units that flow in `elapsed` nanoseconds at `speed`.
#[inline(always)]
pub(crate) const fn flow(elapsed: u64, speed: u64) -> u64 {
    ((elapsed as u128 * speed as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(rate: f64, capacity: u64) -> Terms {
        Terms::new(rate, capacity).expect("within the range")
    }

    #[test]
    fn a_unit_is_one_or_two_nanoseconds_at_any_rate() {
        for rate in [1.0 / 86_400.0, 0.01, 0.3, 1.0, 2.0, 3.0, 7.0, 100.0, 1e3, 1e6, 12_345_678.9, 5e8, 1e9] {
            let terms = terms(rate, 1);
            assert!(terms.speed >= 1 << 63, "{rate}: {terms:?}");
            let second = flow(1_000_000_000, terms.speed) as f64 / (1_u64 << terms.bits) as f64;
            assert!((second / rate - 1.0).abs() < 1e-8 || (second - rate).abs() < 1e-8, "{rate}: {second}");
        }
    }

    #[test]
    fn a_year_of_flow_is_exact_to_a_unit() {
        const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
        assert_eq!(flow(YEAR, terms(1e9, 1).speed), YEAR - 1);
        // 2^29 units a token, 2^29 * 31,536,000 units a year.
        let one = terms(1.0, 1);
        assert_eq!((one.bits, flow(YEAR, one.speed)), (29, (1 << 29) * 31_536_000 - 1));
    }

    #[test]
    fn rates_out_of_range_have_no_terms() {
        for rate in [-1.0, f64::NAN, f64::INFINITY, 1.000_001e9, 5e-10, f64::MIN_POSITIVE, 5e-324] {
            assert_eq!(Terms::new(rate, 1), None, "{rate}");
        }
        assert_eq!(Terms::new(1.0, u64::MAX), None);
        assert_eq!(Terms::new(0.0, u64::MAX), None);
        assert!(Terms::new(0.0, 1).is_some());
        assert!(Terms::new(1.0, 18 * 365 * 86_400).is_some());
        assert!(Terms::new(1.0 / (18.0 * 365.0 * 86_400.0), 1).is_some());
    }

    #[test]
    fn a_wait_is_long_enough_and_not_longer_by_more_than_two_nanoseconds() {
        for rate in [1.0 / 86_400.0, 0.7, 1.0, 3.0, 999.9, 1e6, 5e8, 1e9] {
            let terms = terms(rate, 1);
            for units in [1, 2, 3, 1 << 20, 1 << 40, 1 << 58] {
                let wait = terms.nanos(units).expect("it flows");
                assert!(flow(wait, terms.speed) >= units, "{rate}: {units} units in {wait} ns");
                assert!(
                    flow(wait.saturating_sub(3), terms.speed) < units,
                    "{rate}: {units} units in {wait} ns"
                );
            }
        }
        assert_eq!(terms(0.0, 1).nanos(1), None);
    }

    #[test]
    fn a_window_is_what_the_caller_wrote() {
        let second = 1_000_000_000;
        for (requests, seconds) in [(50, 10), (1, 1), (10, 1), (1_000_000, 1), (7, 3), (160_000, 86_400)] {
            let terms = terms(requests as f64 / seconds as f64, requests);
            assert_eq!(terms.window(), Some(seconds * second), "{requests} in {seconds} s");
        }
        assert_eq!(terms(1e6, 10).window(), Some(10_000));
        assert_eq!(terms(0.0, 10).window(), None);
        assert!(terms(1e9, MOST_CAPACITY).window() >= Some(MOST_CAPACITY));
    }

    #[test]
    fn a_hold_stops_all_but_the_queue() {
        let word = BucketWord::with_debt(2, 0).held(true);
        assert_eq!(word.take(SPAN, 100, 1), None);
        let taken = word.take_queued(0, 0, 100, 60).expect("a full bucket");
        assert!(taken.is_held());
        assert_eq!(taken.take_queued(0, 0, 100, 60), Err(20));
        assert_eq!(taken.held(false).take(20, 100, 60), Some(BucketWord::with_debt(2, 120)));
    }

    #[test]
    fn terms_that_do_not_belong_together_are_no_panic() {
        // The capacity of one set, the cost of a token of another: the exchange that follows fails.
        let _ = BucketWord::with_debt(3, SPAN).take(SPAN, 1, 1 << 46);
    }

    #[test]
    fn new_terms_keep_what_is_available() {
        let (slow, fast) = (terms(1.0, 10), terms(1000.0, 4));
        let empty = BucketWord::with_debt(3, slow.capacity);
        assert_eq!(empty.retune(&slow, 0, &fast, 0), BucketWord::with_debt(0, fast.capacity));
        let three = BucketWord::with_debt(0, slow.capacity - (3 << slow.bits));
        assert_eq!(three.retune(&slow, 0, &fast, 0), BucketWord::with_debt(1, 1 << fast.bits));
        assert_eq!(three.retune(&slow, SPAN, &fast, 7), BucketWord::with_debt(1, 7));
        let back = BucketWord::with_debt(1, 0).retune(&fast, 0, &slow, 0);
        assert_eq!(back.available(0, slow.capacity), 4 << slow.bits);
    }
}
