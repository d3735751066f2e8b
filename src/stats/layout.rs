//! Which slot of a histogram a time falls into: log-linear, as in HDR histograms.

use std::fmt;
use std::time::Duration;

use crate::clock::nanos;
use crate::error::ConfigError;
use crate::tally::lanes;
use crate::tally::wide::WideTally;

/// How fine a latency histogram is, and how far it reaches. Its memory is decided here, when it is built.
///
/// Times are told apart in steps: below `precision x resolution` a step is `resolution`, above it at most one
/// `precision`-th of the time. So every percentile is at most that share above the true one, and never below it, as
/// long as the calls are in range.
/// Slots for each octave of the range, and 8 bytes for each slot in each stripe:
///
/// | precision | error at most | up to 33 s by 1 ns | up to 33 s by 1 us | up to 1 s by 1 us |
/// | --- | ---: | ---: | ---: | ---: |
/// | 8 | 1/8 | 272 slots, 2.2 KB a stripe | 200, 1.7 KB | 152, 1.3 KB |
/// | 16 | 1/16 | 512, 4.1 KB | 368, 2.9 KB | 288, 2.3 KB |
/// | 32 | 1/32 | 992, 7.9 KB | 704, 5.6 KB | 544, 4.4 KB |
/// | **64** | **1/64** | **1920, 15.4 KB** | 1344, 10.8 KB | 1024, 8.2 KB |
/// | 128 | 1/128 | 3712, 29.7 KB | 2560, 20.5 KB | 1920, 15.4 KB |
/// | 256 | 1/256 | 7168, 57.3 KB | 4864, 38.9 KB | 3584, 28.7 KB |
///
/// The defaults are 64, 33 seconds and one nanosecond. [`bytes`](Self::bytes) tells the memory of any other choice.
///
/// ```
/// use fusewire::stats::HistogramConfig;
/// use std::time::Duration;
///
/// let config = HistogramConfig::new().precision(32).resolution(Duration::from_micros(1)).stripes(2);
/// assert_eq!(config.bytes()?, 2 * 704 * 8);
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a configuration does nothing by itself"]
pub struct HistogramConfig {
    precision: u32,
    resolution: Duration,
    max: Duration,
    stripes: Option<usize>,
}

impl Default for HistogramConfig {
    fn default() -> Self {
        Self { precision: 64, resolution: Duration::from_nanos(1), max: DEFAULT_MAX, stripes: None }
    }
}

/// As much as 1920 slots hold at one nanosecond and 64.
const DEFAULT_MAX: Duration = Duration::from_secs(33);
const PRECISIONS: std::ops::RangeInclusive<u32> = 8..=1024;
const MAX_RESOLUTION: Duration = Duration::from_secs(1);
/// A day: 2^46 nanoseconds are some 20 hours.
const MAX_RANGE: Duration = Duration::from_hours(24);

impl HistogramConfig {
    /// The defaults: steps of a 64th, from one nanosecond to 33 seconds.
    pub fn new() -> Self {
        Self::default()
    }

    /// A step is at most one `precision`-th of the time: a power of two, 8 to 1024. Default 64.
    pub fn precision(mut self, precision: u32) -> Self {
        self.precision = precision;
        self
    }

    /// The smallest step, 1 ns to 1 s, rounded down to a power of two of nanoseconds. Default 1 ns.
    pub fn resolution(mut self, resolution: Duration) -> Self {
        self.resolution = resolution;
        self
    }

    /// A time up to which all are told apart, more than `resolution` and at most a day. The range ends just before the
    /// next power of two of nanoseconds, or the one after it; what is longer than that is counted as
    /// [out of range](super::HistogramSnapshot::out_of_range). Default 33 s.
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Lanes, 1 to 65: all but the last belong to one thread each, which then records without any contention; the
    /// other threads share the last one. Default: as many as the tallies of breakers have, two for each core and one,
    /// at most 33.
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// Bytes of all slots of all stripes.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting outside its range.
    pub fn bytes(&self) -> Result<usize, ConfigError> {
        let (layout, stripes) = self.checked()?;
        Ok(WideTally::lane_bytes(layout.slots()) * stripes)
    }

    /// The layout and the number of stripes.
    pub(super) fn checked(&self) -> Result<(Layout, usize), ConfigError> {
        if !PRECISIONS.contains(&self.precision) || !self.precision.is_power_of_two() {
            return Err(ConfigError::new("precision", self.precision, "a power of two, 8 to 1024"));
        }
        if self.resolution.is_zero() || self.resolution > MAX_RESOLUTION {
            return Err(ConfigError::new("resolution", self.resolution, "1 ns to 1 s"));
        }
        if self.max <= self.resolution || self.max > MAX_RANGE {
            return Err(ConfigError::new("max", self.max, "more than resolution, at most 24 hours"));
        }
        let stripes = lanes::stripes(self.stripes).map_err(ConfigError::stripes)?;
        let unit = nanos(self.resolution).ilog2();
        let precision = self.precision.ilog2();
        // The octave of the greatest time, above those that the first slots hold one by one.
        let octaves = (nanos(self.max) >> unit).max(1).ilog2().saturating_sub(precision) + 1;
        let mut layout = Layout { unit, precision, octaves };
        // The last slot is not told apart: a time that falls there needs an octave more.
        layout.octaves += u32::from(layout.limit() < nanos(self.max));
        Ok((layout, stripes))
    }
}

/// Where slots begin and end. Pure: no counts, no time of its own.
///
/// A time is shifted right by `unit`. The first `2^precision` values have a slot each; every further octave has
/// `2^precision` slots. One slot more, the last, holds all that is longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    unit: u32,
    precision: u32,
    /// Octaves above the first `2^precision` values.
    octaves: u32,
}

impl Layout {
    /// How many slots there are. The last one stands for what is out of range.
    pub(super) const fn slots(self) -> usize {
        (self.octaves as usize + 1) << self.precision
    }

    /// The slot of a time.
    #[inline]
    pub(super) const fn slot(self, nanos: u64) -> usize {
        let value = nanos >> self.unit;
        // How far the value's octave lies above the first values: they and the first octave shift by nothing.
        let shift = (value | 1 << self.precision).ilog2() - self.precision;
        let slot = ((shift as usize) << self.precision) + (value >> shift) as usize;
        if slot < self.slots() { slot } else { self.slots() - 1 }
    }

    /// The shortest time of a slot, in nanoseconds.
    pub(super) const fn lowest(self, slot: usize) -> u64 {
        let octave = (slot >> self.precision).saturating_sub(1);
        let value = (slot - (octave << self.precision)) as u64;
        (value << octave) << self.unit
    }

    /// The longest time of a slot, in nanoseconds.
    pub(super) const fn highest(self, slot: usize) -> u64 {
        self.lowest(slot + 1) - 1
    }

    /// The longest time that is told apart from longer ones.
    pub(super) const fn limit(self) -> u64 {
        self.highest(self.slots() - 2)
    }

    /// The smallest step, in nanoseconds.
    #[cfg(feature = "hdrhistogram")]
    pub(super) const fn resolution(self) -> u64 {
        1 << self.unit
    }

    /// How many steps an octave has.
    #[cfg(feature = "hdrhistogram")]
    pub(super) const fn steps(self) -> u64 {
        1 << self.precision
    }
}

/// Two histograms that have different slots cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutMismatch {
    pub(super) one: Layout,
    pub(super) other: Layout,
}

impl fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "histograms of different slots: {}; and {}", self.one, self.other)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, resolution) = (1_u64 << self.precision, Duration::from_nanos(1 << self.unit));
        write!(f, "precision {steps}, resolution {resolution:?}, {} slots", self.slots())
    }
}

impl std::error::Error for LayoutMismatch {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(config: HistogramConfig) -> Layout {
        config.checked().expect("a valid configuration").0
    }

    fn refused(config: HistogramConfig) -> String {
        config.checked().expect_err("out of range").field().to_owned()
    }

    #[test]
    fn the_default_has_1920_slots() {
        let layout = layout(HistogramConfig::new());
        assert_eq!(layout.slots(), 1920);
        assert!(layout.limit() > 33_000_000_000 && layout.limit() < 35_000_000_000);
    }

    #[test]
    fn the_table_of_sizes_is_true() {
        let second = Duration::from_secs(1);
        let micro = Duration::from_micros(1);
        for (precision, slots) in [
            (8, [272, 200, 152]),
            (16, [512, 368, 288]),
            (32, [992, 704, 544]),
            (64, [1920, 1344, 1024]),
            (128, [3712, 2560, 1920]),
            (256, [7168, 4864, 3584]),
        ] {
            let config = HistogramConfig::new().precision(precision);
            let by_micro = config.resolution(micro);
            let made = [config, by_micro, by_micro.max(second)].map(|config| layout(config).slots());
            assert_eq!(made, slots, "precision {precision}");
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = HistogramConfig::new;
        for precision in [0, 4, 63, 2048] {
            assert_eq!(refused(config().precision(precision)), "precision");
        }
        assert_eq!(refused(config().resolution(Duration::ZERO)), "resolution");
        assert_eq!(refused(config().resolution(Duration::from_secs(2))), "resolution");
        assert_eq!(refused(config().max(Duration::from_nanos(1))), "max");
        assert_eq!(refused(config().max(Duration::from_hours(25))), "max");
        assert_eq!(refused(config().stripes(0)), "stripes");
        assert_eq!(refused(config().stripes(66)), "stripes");
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        (3..=10_u32, 0..=30_u32, 1..=86_400_000_u64).prop_map(|(precision, unit, millis)| {
            let config = HistogramConfig::new()
                .precision(1 << precision)
                .resolution(Duration::from_nanos(1 << unit.min(29)))
                .max(Duration::from_millis(millis.max(1_000)));
            layout(config)
        })
    }

    proptest! {
        #[test]
        fn slots_follow_each_other_and_hold_what_they_say(layout in layouts(), nanos: u64, shift in 0..64_u32) {
            let nanos = nanos >> shift;
            let slot = layout.slot(nanos);
            prop_assert!(slot < layout.slots());
            prop_assert!(layout.lowest(slot) <= nanos);
            let last = slot == layout.slots() - 1;
            prop_assert!(last == (nanos > layout.limit()));
            if !last {
                prop_assert!(nanos <= layout.highest(slot));
                prop_assert_eq!(layout.lowest(slot + 1), layout.highest(slot) + 1);
                prop_assert_eq!(layout.slot(layout.lowest(slot)), slot);
                prop_assert_eq!(layout.slot(layout.highest(slot)), slot);
            }
        }

        #[test]
        fn the_error_is_what_it_says(layout in layouts(), nanos: u64, shift in 0..64_u32) {
            let slot = layout.slot(nanos >> shift);
            if slot < layout.slots() - 1 {
                let width = layout.highest(slot) - layout.lowest(slot);
                let allowed = (layout.lowest(slot) >> layout.precision).max((1 << layout.unit) - 1);
                prop_assert!(width <= allowed);
            }
        }
    }
}
