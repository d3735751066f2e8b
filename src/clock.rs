//! Sources of `now`: nanoseconds since an arbitrary anchor.
//!
//! Every core operation takes `now` as an argument; a clock only serves those who call the shorter
//! form. The time-stamp counter costs about ten nanoseconds a read, which is more than anything else
//! on the hot path, so a coarse clock (one atomic load) and the caller's own time stamps are first
//! class.

mod coarse;
mod manual;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

pub use coarse::CoarseClock;
pub use manual::ManualClock;

/// Where an instance takes its time from when the caller does not give it.
///
/// Cloning shares the source. The default is [`Clock::precise`].
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Precise(&'static Precise),
    Coarse(CoarseClock),
    Manual(ManualClock),
}

/// The process's time-stamp counter, calibrated once.
struct Precise {
    clock: quanta::Clock,
    anchor: u64,
}

impl Precise {
    fn get() -> &'static Self {
        static PRECISE: OnceLock<Precise> = OnceLock::new();
        PRECISE.get_or_init(|| {
            let clock = quanta::Clock::new();
            let anchor = clock.raw();
            Precise { clock, anchor }
        })
    }

    /// Out of line: a call is little beside reading the counter, and the paths that branch around it
    /// stay short.
    #[inline(never)]
    fn now(&self) -> u64 {
        self.clock.delta_as_nanos(self.anchor, self.clock.raw())
    }
}

impl Clock {
    /// The CPU's time-stamp counter where it is reliable, else the operating system's monotonic clock.
    ///
    /// The first use in a process calibrates the counter against the operating system's clock, which
    /// takes up to a fifth of a second; after that a read costs about ten nanoseconds. The anchor is
    /// the first use, shared by all precise clocks of the process.
    pub fn precise() -> Self {
        Self(Source::Precise(Precise::get()))
    }

    /// A coarse clock with a thread of its own that stores the time every `resolution`; a read is one
    /// atomic load. The thread ends when the last clone is dropped. See [`CoarseClock`].
    ///
    /// # Errors
    ///
    /// When the operating system refuses the thread, or `resolution` is zero.
    pub fn coarse(resolution: Duration) -> io::Result<Self> {
        Ok(Self(Source::Coarse(CoarseClock::spawn(resolution)?)))
    }

    /// The time now, in nanoseconds since the clock's anchor.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        match self.shared() {
            Ok(shared) => shared.load(Ordering::Relaxed),
            Err(precise) => precise.now(),
        }
    }

    /// The time, if it is one load away.
    #[inline(always)]
    pub(crate) fn glance(&self) -> Option<u64> {
        self.shared().ok().map(|shared| shared.load(Ordering::Relaxed))
    }

    /// Where the time is stored, or the counter that has to be read for it.
    #[inline(always)]
    fn shared(&self) -> Result<&SharedNow, &'static Precise> {
        match &self.0 {
            Source::Precise(precise) => Err(precise),
            Source::Coarse(coarse) => Ok(coarse.shared()),
            Source::Manual(manual) => Ok(manual.shared()),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::precise()
    }
}

impl From<&CoarseClock> for Clock {
    fn from(clock: &CoarseClock) -> Self {
        Self(Source::Coarse(clock.clone()))
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        Self(Source::Manual(clock.clone()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Source::Precise(_) => "precise",
            Source::Coarse(_) => "coarse",
            Source::Manual(_) => "manual",
        };
        write!(f, "Clock({kind}, {} ns)", self.now())
    }
}

/// A `Duration` as whole nanoseconds; the greatest `u64` (584 years) stands for all beyond it.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A stored time that only grows, shared by its readers.
type SharedNow = Arc<crossbeam_utils::CachePadded<AtomicU64>>;

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn precise_clocks_share_one_anchor_and_never_go_back() {
        let (a, b) = (Clock::precise(), Clock::precise());
        let mut last = 0;
        for _ in 0..1_000 {
            let (x, y) = (a.now(), b.now());
            assert!(x >= last && y >= x);
            last = y;
        }
    }

    #[test]
    fn durations_saturate() {
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        assert_eq!(nanos(Duration::from_micros(1)), 1_000);
    }
}
