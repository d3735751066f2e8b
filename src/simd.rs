//! Kernels over plain data: histograms merged, subtracted and scanned for quantiles, rates and states of many
//! breakers at once.
//!
//! Each kernel runs at the best instruction set that the machine has, chosen when the program runs
//! ([`Kernels::detect`]), and has a portable twin in plain Rust ([`Kernels::portable`]), which gives the same
//! results to the bit. Kernels take slices, so nobody can be writing what they read: what threads share is read
//! with scalar atomic loads first, by whoever owns it.
//!
//! Short inputs go to the twin at every level, because that is faster; the chapter on [kernels] has the lengths and
//! the figures.
//!
//! [kernels]: https://docs.rs/crate/fusewire/latest/source/docs/simd.md
//!
//! ```
//! use fusewire::simd::Kernels;
//!
//! let kernels = Kernels::detect();
//! let (earlier, now) = ([3, 0, 0, 1], [5, 90, 4, 2]);
//! let mut window = now;
//! kernels.difference(&mut window, &earlier);
//! assert_eq!(window, [2, 90, 4, 1]);
//!
//! let calls = kernels.total(&window);
//! let (median, p99) = (calls.div_ceil(2), (calls * 99).div_ceil(100));
//! let mut slots = [0; 2];
//! kernels.ranks(&window, &[median, p99], &mut slots);
//! assert_eq!(slots, [1, 3]);
//! ```

mod columns;
mod pairs;
mod ranks;
mod rates;
mod states;
mod total;

use std::fmt;

use fearless_simd::{Level, dispatch};

use pairs::{Minus, Plus};

/// A way to run the kernels on this machine: the portable twins, or an instruction set that was found here.
///
/// Only this type's own functions make one, so whoever holds it has the machine for it.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// None for the portable twins.
    level: Option<Level>,
}

/// Runs the kernel at the level, or the twin without one or where the input is too short for it to pay.
macro_rules! run {
    ($kernels:expr, if $long:expr, $simd:ident => $kernel:expr, else $twin:expr) => {
        match $kernels.level {
            Some(level) if $long => dispatch!(level, $simd => $kernel),
            _ => $twin,
        }
    };
}

impl Kernels {
    /// The best that this machine has. The machine is asked once; after that it is a load.
    #[inline]
    pub fn detect() -> Self {
        let level = Level::new();
        Self { level: (!level.is_fallback()).then_some(level) }
    }

    /// The portable twins: plain Rust, as the compiler translates it for any machine of the target.
    #[inline]
    pub const fn portable() -> Self {
        Self { level: None }
    }

    /// Everything that this machine can run, portable first and the best last.
    pub fn available() -> Vec<Self> {
        let mut found = vec![Self::portable()];
        if let Some(best) = Self::detect().level {
            found.extend(levels(best).into_iter().map(|level| Self { level: Some(level) }));
        }
        found
    }

    /// The instruction set's name in lower case (`avx512`, `avx2`, `sse4.2`, `sse2`, `neon`), or `portable`.
    pub fn name(self) -> &'static str {
        self.level.map_or("portable", name)
    }

    /// Whether a vector is wider than 128 bits. Compilers use vectors of 128 for the portable twins as well.
    #[inline]
    fn wide(self) -> bool {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        return self.level.is_some_and(|level| level.as_avx2().is_some());
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        return false;
    }

    /// Adds each count of `from` to the one in its place: `into[i] += from[i]`, modulo 2^64.
    ///
    /// Of slices of unequal length the common beginning is added, and the rest of `into` stays as it is.
    ///
    /// Fastest where both slices begin at a multiple of 64 bytes.
    #[inline]
    pub fn merge(self, into: &mut [u64], from: &[u64]) {
        run!(self, if into.len().min(from.len()) >= pairs::SHORT,
            simd => pairs::kernel::<_, Plus>(simd, into, from), else pairs::twin::<Plus>(into, from));
    }

    /// Takes each count of `base` from the one in its place: `into[i] -= base[i]`, modulo 2^64, so that the
    /// difference of cumulative counters is right although one has passed 2^64.
    ///
    /// Lengths and alignment as for [`merge`](Self::merge).
    #[inline]
    pub fn difference(self, into: &mut [u64], base: &[u64]) {
        run!(self, if into.len().min(base.len()) >= pairs::SHORT,
            simd => pairs::kernel::<_, Minus>(simd, into, base), else pairs::twin::<Minus>(into, base));
    }

    /// As [`merge`](Self::merge) of one row after the other, with `into` read and written once: sums over stripes,
    /// or one histogram of many.
    #[inline]
    pub fn merge_rows(self, into: &mut [u64], rows: &[&[u64]]) {
        run!(self, if self.wide() && into.len() >= columns::SHORT,
            simd => columns::kernel(simd, into, rows), else columns::twin(into, rows));
    }

    /// The sum of all counts, modulo 2^64.
    #[inline]
    pub fn total(self, counts: &[u64]) -> u64 {
        run!(self, if counts.len() >= total::SHORT, simd => total::kernel(simd, counts), else total::twin(counts))
    }

    /// Finds many quantiles of a histogram in one pass: for each rank the first slot at which the running total of
    /// `counts` reaches it, and `counts.len()` where the whole total is less.
    ///
    /// A rank is the number of values up to and including the wanted one: of `n` values the median has rank
    /// `n.div_ceil(2)`, the least 1, the greatest `n`. Rank 0 is reached at slot 0. Ranks are given in ascending
    /// order; one that is less than the one before it counts as that one. If there are fewer ranks than slots or the
    /// other way round, the rest is left alone.
    ///
    /// The counts are taken to add up to less than 2^64. Where they do not, each slot is still one of
    /// `0..=counts.len()`, but which is not said.
    #[inline]
    pub fn ranks(self, counts: &[u64], ranks: &[u64], slots: &mut [usize]) {
        run!(self, if counts.len() >= ranks::SHORT,
            simd => ranks::kernel(simd, counts, ranks, slots), else ranks::twin(counts, ranks, slots));
    }

    /// The failure rates of many breakers: `rates[i] = failures[i] / calls[i]`, and 0 where there were no calls.
    ///
    /// Counts become `f64` before they are divided, each rounded to nearest (exact up to 2^53), and so is the
    /// quotient. Of slices of unequal length the common beginning is worked on, and the rest of `rates` stays as it
    /// is.
    #[inline]
    pub fn rates(self, calls: &[u64], failures: &[u64], rates: &mut [f64]) {
        run!(self, if rates.len() >= rates::SHORT,
            simd => rates::kernel(simd, calls, failures, rates), else rates::twin(calls, failures, rates));
    }

    /// How many of `states` are 0, 1, 2 and 3. Other values are counted nowhere.
    ///
    /// The states of a circuit breaker, as `CircuitState as u8`, are closed, open, half-open and disabled.
    #[inline]
    pub fn states(self, states: &[u8]) -> [u64; 4] {
        run!(self, if states.len() >= states::SHORT,
            simd => states::kernel(simd, states), else states::twin(states))
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({})", self.name())
    }
}

/// Each level that a machine with the best one has, the least first.
fn levels(best: Level) -> Vec<Level> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        let found = [
            best.as_sse2().map(Level::Sse2),
            best.as_sse4_2().map(Level::Sse4_2),
            best.as_avx2().map(Level::Avx2),
            best.as_avx512().map(Level::Avx512),
        ];
        found.into_iter().flatten().collect()
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    {
        vec![best]
    }
}

fn name(level: Level) -> &'static str {
    match level {
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => "neon",
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::WasmSimd128(_) => "simd128",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Sse2(_) => "sse2",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Sse4_2(_) => "sse4.2",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Avx2(_) => "avx2",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Avx512(_) => "avx512",
        _ => "unknown",
    }
}
