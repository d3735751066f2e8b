//! A clock that somebody else moves: reading it is one atomic load.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Precise, SharedNow};
use crate::sync::{AtomicU64, Ordering};

/// A coarse clock: the time as it was stored last, either by a thread of its own or by the caller's
/// [`tick`](Self::tick).
///
/// A read may lag by one resolution (or by as long as the ticker was not scheduled), so each time-out
/// and window edge is found that much late; nothing is ever early, because the time only grows.
///
/// ```
/// use fusewire::{CircuitBreaker, Clock, CoarseClock};
///
/// let clock = CoarseClock::driven();
/// let breaker = CircuitBreaker::builder("orders").clock(Clock::from(&clock)).build()?;
/// clock.tick(); // once per turn of your own loop
/// assert!(breaker.try_acquire().is_ok());
/// # Ok::<(), fusewire::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CoarseClock {
    now: SharedNow,
    /// Kept only for its drop.
    _upkeep: Option<Arc<Upkeep>>,
}

impl CoarseClock {
    /// A clock with a thread that stores the precise time every `resolution`. The thread ends when
    /// the last clone of the clock is dropped.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the thread, or `resolution` is zero.
    pub fn spawn(resolution: Duration) -> io::Result<Self> {
        Self::spawn_with(resolution, |_| ())
    }

    /// [`spawn`](Self::spawn) with a `task` that the thread runs after each time that it stored, and gives that time.
    /// The clock stands still while the task runs, so keep it short; a task that panics is not run again. Dropping the
    /// last clone waits for a task that is running, so do not hold a lock then that the task wants. A task that owns
    /// a clone of the clock, or a breaker that is on it, keeps the thread for ever.
    ///
    /// ```
    /// use fusewire::{CoarseClock, observe};
    /// use std::time::Duration;
    ///
    /// let mut next = 0;
    /// let clock = CoarseClock::spawn_with(Duration::from_millis(1), move |now| {
    ///     if now >= next {
    ///         observe::sample_latencies();
    ///         next = now + 1_000_000_000;
    ///     }
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As `spawn`.
    pub fn spawn_with(resolution: Duration, task: impl FnMut(u64) + Send + 'static) -> io::Result<Self> {
        if resolution.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "resolution is 0ns; allowed: more than zero",
            ));
        }
        let clock = Self::driven();
        clock.tick();
        let Self { now, .. } = clock;
        let upkeep = Upkeep::spawn(now.clone(), resolution, task)?;
        Ok(Self { now, _upkeep: Some(Arc::new(upkeep)) })
    }

    /// A clock that stands at zero until the caller moves it, with [`tick`](Self::tick) or
    /// [`tick_to`](Self::tick_to).
    pub fn driven() -> Self {
        Self { now: Arc::new(crossbeam_utils::CachePadded::new(AtomicU64::new(0))), _upkeep: None }
    }

    /// Stores the precise time; gives it back.
    pub fn tick(&self) -> u64 {
        self.tick_to(Precise::get().now())
    }

    /// Stores `now` unless a later time stands; gives the later one.
    ///
    /// The nanoseconds may count from any origin, but a clock keeps one: do not mix it with
    /// [`tick`](Self::tick), whose origin is the process's own.
    pub fn tick_to(&self, now: u64) -> u64 {
        self.now.fetch_max(now, Ordering::Relaxed).max(now)
    }

    #[inline(always)]
    pub(super) fn shared(&self) -> &SharedNow {
        &self.now
    }

    /// The time as it was stored last, in nanoseconds.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for CoarseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoarseClock({} ns)", self.now())
    }
}

/// The thread behind a spawned clock.
struct Upkeep {
    /// Dropping the sender is what stops the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    fn spawn(
        now: SharedNow,
        resolution: Duration,
        task: impl FnMut(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let precise = Precise::get();
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name("fusewire-clock".into()).spawn(move || {
            let mut task = Some(task);
            while stopped.recv_timeout(resolution) == Err(RecvTimeoutError::Timeout) {
                let time = precise.now();
                now.fetch_max(time, Ordering::Relaxed);
                let Some(run) = &mut task else { continue };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(time))) {
                    // Whatever the task does, and whatever it leaves behind, the clock goes on.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(task.take())));
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            // The task may have held the last clone: then the thread ends by itself once the task is done.
            && thread.thread().id() != std::thread::current().id()
        {
            // It cannot have panicked, and nothing could be done about it here.
            let _ = thread.join();
        }
    }
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_driven_clock_moves_only_when_told_and_never_back() {
        let clock = CoarseClock::driven();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        assert_eq!(clock.tick_to(start + 5), start + 5);
        assert_eq!(clock.tick_to(start + 3), start + 5);
        assert!(clock.tick() >= start);
    }

    #[test]
    fn a_spawned_clock_moves_by_itself_and_stops() {
        let clock = CoarseClock::spawn(Duration::from_micros(100)).expect("a thread");
        let start = clock.now();
        let deadline = Precise::get().now() + 10_000_000_000;
        while clock.now() == start {
            assert!(Precise::get().now() < deadline, "the clock stands still");
            std::thread::yield_now();
        }
        let shared = clock.now.clone();
        drop(clock);
        assert_eq!(Arc::strong_count(&shared), 1, "the thread still holds the time");
    }

    #[test]
    fn a_resolution_of_zero_is_refused() {
        let error = CoarseClock::spawn(Duration::ZERO).expect_err("zero");
        assert!(error.to_string().contains("resolution"));
    }
}
