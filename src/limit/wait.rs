//! Waiting for permits: a reservation, and two shells over the queue, one that blocks and one that does not.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::bucket::Bucket;
use super::queue::{Source, Ticket, Turn, WaitQueue};
use super::{LimitSet, Limiter, SlidingWindowRateLimiter, TokenBucketRateLimiter};
use crate::clock::{Clock, nanos};
use crate::error::RateLimitExceeded;

/// Tokens that will be there: a place in the limiter's queue.
///
/// Dropped before they are due, it costs nothing and all who are behind move up; once they are due, they
/// are spent. Its holder may run from [`ready_at`](Self::ready_at) on, without asking again:
///
/// ```
/// use fusewire::{Limiter, TokenBucketRateLimiter};
///
/// let bucket = TokenBucketRateLimiter::builder("orders").rate(1_000.0).capacity(1).build()?;
/// bucket.try_acquire()?;
/// let place = bucket.reserve(1)?;
/// while !place.is_ready() {
///     std::thread::sleep(place.time_until_ready());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It is `Send` and not `Sync`: a task that is spawned owns it, and holds no reference to it across an `await`.
///
/// A reservation made with a time knows the time only from its owner. If that has been told when the tokens
/// are due, it may have run by now: a drop spends them then, and [`cancel_at`](Self::cancel_at) is the way to
/// give it up.
#[must_use = "dropped before it is due, a reservation is given up"]
pub struct Reservation {
    bucket: Arc<Bucket>,
    /// `None` if it was granted at once.
    ticket: Option<Ticket>,
    /// The last time that its owner told, and whether all times come from there.
    told: Cell<u64>,
    by_owner: bool,
    /// Whether its owner was told when to run.
    promised: Cell<bool>,
}

impl Reservation {
    /// When its tokens are due, in nanoseconds on the limiter's clock: now once they are;
    /// `u64::MAX` if the limiter has stopped filling. It comes nearer when somebody ahead gives up or a
    /// lease returns tokens.
    pub fn ready_at(&self) -> u64 {
        self.promised.set(true);
        self.due()
    }

    /// How long until its tokens are due: zero once they are, [`Duration::MAX`] if the limiter has stopped
    /// filling. See [`ready_at`](Self::ready_at).
    pub fn time_until_ready(&self) -> Duration {
        match self.ready_at() {
            u64::MAX => Duration::MAX,
            at => Duration::from_nanos(at.saturating_sub(self.now())),
        }
    }

    fn due(&self) -> u64 {
        let now = self.now();
        self.turn(now, None).unwrap_or(now)
    }

    /// Whether its tokens are due by the limiter's clock.
    pub fn is_ready(&self) -> bool {
        self.is_ready_at(self.now())
    }

    /// [`is_ready`](Self::is_ready) at `now`.
    pub fn is_ready_at(&self, now: u64) -> bool {
        self.turn(now, None).is_none()
    }

    /// Where it stands at `now`; if it waits, `waker` is called when it is granted or may be due earlier. See [`WaitQueue::turn`].
    pub fn turn_at(&self, now: u64, waker: &Waker) -> Turn {
        self.turn(now, Some(waker)).map_or(Turn::Granted, Turn::At)
    }

    /// The time by the limiter's clock, or what a reservation made with a time was told last.
    fn now(&self) -> u64 {
        if self.by_owner { self.told.get() } else { self.bucket.clock.now() }
    }

    /// When it is due, unless it is granted.
    fn turn(&self, now: u64, waker: Option<&Waker>) -> Option<u64> {
        self.told.set(self.told.get().max(now));
        let ticket = self.ticket.as_ref()?;
        match self.bucket.queue.turn(&*self.bucket, ticket, now, waker) {
            Turn::Granted => None,
            Turn::At(at) => Some(at),
        }
    }

    /// Gives it up at `now`. A drop does so by the limiter's clock, or at the last time that its owner told;
    /// but see [`Reservation`]. True if it was not due yet, so that nothing was spent.
    pub fn cancel_at(mut self, now: u64) -> bool {
        self.leave(now)
    }

    fn leave(&mut self, now: u64) -> bool {
        self.ticket.take().is_some_and(|ticket| self.bucket.queue.leave(&*self.bucket, ticket, now))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Whoever was told when to run, by a clock that is not known here, is taken to do so.
        if self.ticket.is_some() && !(self.by_owner && self.promised.get()) {
            self.leave(self.now());
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("ready_at", &self.due()).finish_non_exhaustive()
    }
}

/// Whom a waiting thread can be woken by.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A request in a queue; it leaves when dropped.
struct Place<'a, S: Source> {
    queue: &'a WaitQueue,
    source: &'a S,
    clock: &'a Clock,
    ticket: Option<Ticket>,
}

impl<'a, S: Source> Place<'a, S> {
    fn join(queue: &'a WaitQueue, source: &'a S, clock: &'a Clock, n: u64, now: u64) -> Self {
        Self { queue, source, clock, ticket: Some(queue.join(source, n, now)) }
    }

    /// When to ask again, unless the request is granted.
    fn turn(&mut self, now: u64, waker: &Waker) -> Option<u64> {
        let ticket = self.ticket.as_ref()?;
        match self.queue.turn(self.source, ticket, now, Some(waker)) {
            Turn::At(at) => Some(at),
            Turn::Granted => {
                self.ticket = None;
                None
            }
        }
    }
}

impl<S: Source> Place<'_, S> {
    /// Gives it up; false if its permits were taken already.
    fn leave(&mut self, now: u64) -> bool {
        self.ticket.take().is_some_and(|ticket| self.queue.leave(self.source, ticket, now))
    }
}

impl<S: Source> Drop for Place<'_, S> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.leave(self.clock.now());
        }
    }
}

/// A limiter's core, as those see it who wait for it.
pub(super) trait Waits: Source {
    fn queue(&self) -> &WaitQueue;

    fn clock(&self) -> &Clock;

    /// Takes `n` permits at `now` for someone who would wait: false if they are not there yet, an error if
    /// they never will be.
    fn take_or_wait(&self, n: u64, now: u64) -> Result<bool, RateLimitExceeded>;
}

/// Waits on this thread, for `timeout` at most. False if the permits are not due by then, which is known at
/// once if nothing changes.
pub(super) fn block(source: &impl Waits, n: u64, timeout: Duration) -> Result<bool, RateLimitExceeded> {
    let clock = source.clock();
    let now = clock.now();
    if source.take_or_wait(n, now)? {
        return Ok(true);
    }
    let deadline = now.saturating_add(nanos(timeout)).min(u64::MAX - 1);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut place = Place::join(source.queue(), source, clock, n, now);
    loop {
        let now = clock.now();
        match place.turn(now, &waker) {
            None => return Ok(true),
            // Or it was granted this moment, by another thread that served the queue.
            Some(at) if at > deadline => return Ok(!place.leave(now)),
            Some(at) => thread::park_timeout(Duration::from_nanos(at.saturating_sub(now).max(1))),
        }
    }
}

/// Waits without blocking, on tokio's timer.
#[cfg(feature = "tokio")]
pub(super) async fn ready(source: &impl Waits, n: u64) -> Result<(), RateLimitExceeded> {
    use std::future::Future;
    use std::task::Poll;

    /// How long a timer is set for where the time is never: nothing is missed, since a change wakes.
    const LONG: Duration = Duration::from_hours(24);

    let clock = source.clock();
    let now = clock.now();
    if source.take_or_wait(n, now)? {
        return Ok(());
    }
    let mut place = Place::join(source.queue(), source, clock, n, now);
    let mut timer = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    std::future::poll_fn(|cx| {
        loop {
            let now = clock.now();
            let Some(at) = place.turn(now, cx.waker()) else { return Poll::Ready(()) };
            let wait = Duration::from_nanos(at.saturating_sub(now)).min(LONG);
            timer.set(tokio::time::sleep(wait));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
    Ok(())
}

/// The two ways to wait, for a limiter whose `core` can be waited for.
macro_rules! waiting {
    ($limiter:ty, $others:literal) => {
        impl $limiter {
            /// Requests that wait.
            pub fn waiting(&self) -> usize {
                self.core.queue().len()
            }

            /// Waits on this thread until `n` permits are there, at most for `timeout`: behind all who wait
            /// already, ahead of all who do not. It returns at once when they are not due in time. The thread
            /// sleeps; it does not poll.
            ///
            /// # Errors
            ///
            /// [`RateLimitExceeded`] when they are not due within `timeout`; nothing was taken.
            pub fn acquire_timeout(&self, n: u64, timeout: Duration) -> Result<(), RateLimitExceeded> {
                if block(&*self.core, n, timeout)? {
                    return Ok(());
                }
                // Once more, for the count and the time to come back.
                self.try_acquire_n(n)
            }

            /// Waits until `n` permits are there: behind all who wait already, ahead of all who do not.
            /// Cancel-safe: dropped before that, nothing was taken and all who are behind move up. Needs a
            /// runtime with tokio's timer.
            #[doc = $others]
            ///
            /// # Errors
            ///
            /// [`RateLimitExceeded`] where waiting will not help.
            #[cfg(feature = "tokio")]
            pub async fn until_ready(&self, n: u64) -> Result<(), RateLimitExceeded> {
                ready(&*self.core, n).await
            }
        }
    };
}

waiting!(
    TokenBucketRateLimiter,
    "Other event loops can drive [`reserve`](Self::reserve) and [`Reservation::turn_at`]."
);
waiting!(SlidingWindowRateLimiter, "");
waiting!(LimitSet, "");

impl TokenBucketRateLimiter {
    /// Reserves `n` tokens: at once if they are there, else behind all who wait already.
    ///
    /// # Errors
    ///
    /// [`RateLimitExceeded`] where waiting will not help: `n` is 0 or above the capacity, or the bucket
    /// does not fill.
    pub fn reserve(&self, n: u64) -> Result<Reservation, RateLimitExceeded> {
        self.reserve_with(n, self.now(), false)
    }

    /// [`reserve`](Self::reserve) at `now`.
    ///
    /// # Errors
    ///
    /// As `reserve`.
    pub fn reserve_at(&self, n: u64, now: u64) -> Result<Reservation, RateLimitExceeded> {
        self.reserve_with(n, now, true)
    }

    fn reserve_with(&self, n: u64, now: u64, by_owner: bool) -> Result<Reservation, RateLimitExceeded> {
        let bucket = self.core.clone();
        let there = bucket.take_or_wait(n, now)?;
        let ticket = (!there).then(|| bucket.queue.join(&*bucket, n, now));
        Ok(Reservation { bucket, ticket, told: Cell::new(now), by_owner, promised: Cell::new(false) })
    }
}
