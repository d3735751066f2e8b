//! The queue of those who wait for permits. It does no input or output: whoever drives it asks for a turn,
//! and comes back at the time it names or when its waker is called.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{PoisonError, TryLockError};
use std::task::Waker;

use crate::sync::{AtomicU64, Mutant, Mutex, MutexGuard, Ordering, mutant};

/// Where permits come from, as a [`WaitQueue`] sees it. All times are nanoseconds on the clock of whoever
/// drives the queue.
pub trait Source {
    /// Takes `n` permits for a request that joined at `since`; false where they cannot be had at `now`.
    /// Called for the request at the head only.
    fn take(&self, n: u64, since: u64, now: u64) -> bool;

    /// When `n` permits can be had if nobody else takes any: `now` or later; `u64::MAX` for never.
    fn due(&self, n: u64, now: u64) -> u64;

    /// Holds back every request that does not come through the queue, or no longer.
    fn hold(&self, held: bool);
}

/// A place in a [`WaitQueue`]; to be given back with [`leave`](WaitQueue::leave).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not left takes its permits when they are due"]
pub struct Ticket(u64);

/// What has become of a request in a [`WaitQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has its permits.
    Granted,
    /// It waits. At this time, in nanoseconds, its permits are due if all goes on as it is; `u64::MAX` for
    /// never.
    At(u64),
}

/// First come, first served: requests for permits in the order in which they joined, whatever their size,
/// and ahead of everybody who does not wait.
///
/// Whoever asks for a turn serves the queue: all requests at the head whose permits are there get them, in
/// order, even those whose owners are not looking. So a request that was forgotten costs its permits and
/// stops nobody. Leaving before that costs nothing, and all who are behind move up.
///
/// A driver of one request joins, asks for its turn with a waker, and does so again at the time that it is
/// told or when woken, until it is granted or leaves. The operations take a lock, and a time that grows
/// with the number of requests ahead; nobody takes it who does not wait, or come while others do.
#[derive(Debug)]
pub struct WaitQueue {
    line: Mutex<Line>,
    /// Permits that all who wait have asked for.
    asked: AtomicU64,
}

#[derive(Debug, Default)]
struct Line {
    requests: VecDeque<Request>,
    next: u64,
    /// Permits that all requests ask for together.
    asked: u128,
    /// Whoever has to be told, once the lock is released.
    wake: Vec<Waker>,
}

struct Request {
    id: u64,
    n: u64,
    since: u64,
    waker: Option<Waker>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("n", &self.n).field("since", &self.since).finish_non_exhaustive()
    }
}

impl Line {
    /// Gives the head what it waits for as long as it is there.
    fn serve(&mut self, source: &impl Source, now: u64) {
        let before = self.requests.len();
        while let Some(head) = self.requests.front()
            && source.take(head.n, head.since, now)
        {
            self.remove(0);
        }
        if self.requests.len() < before {
            self.moved_up(0, source);
        }
    }

    /// Those from `place` on stand nearer to the head. The first whose owner listens is told, since its time
    /// may be earlier now; the next one is when that one goes.
    fn moved_up(&mut self, place: usize, source: &impl Source) {
        if !mutant(Mutant::QueueHeadUntold) {
            let waker = self.requests.range_mut(place..).find_map(|request| request.waker.take());
            self.wake.extend(waker);
        }
        if self.requests.is_empty() {
            source.hold(false);
        }
    }

    /// Takes a request out; its waker is called.
    fn remove(&mut self, place: usize) {
        if let Some(request) = self.requests.remove(place) {
            self.asked -= u128::from(request.n);
            self.wake.extend(request.waker);
        }
    }

    fn find(&self, ticket: &Ticket) -> Option<usize> {
        self.requests.binary_search_by_key(&ticket.0, |request| request.id).ok()
    }
}

impl WaitQueue {
    /// An empty queue. One queue serves one source.
    #[expect(clippy::new_without_default, reason = "a queue without its source is nothing")]
    pub fn new() -> Self {
        Self { line: Mutex::new(Line::default()), asked: AtomicU64::new(0) }
    }

    /// Joins the end of the queue, for `n` permits. The source must be able to give as many.
    pub fn join(&self, source: &impl Source, n: u64, now: u64) -> Ticket {
        let ticket = self.locked(|line| {
            let id = line.next;
            line.next += 1;
            line.asked += u128::from(n);
            line.requests.push_back(Request { id, n, since: now, waker: None });
            let late = mutant(Mutant::QueueNoHold) || mutant(Mutant::QueueHoldsLate);
            if line.requests.len() == 1 && !late {
                source.hold(true);
            }
            line.serve(source, now);
            Ticket(id)
        });
        if mutant(Mutant::QueueHoldsLate) {
            source.hold(true);
        }
        ticket
    }

    /// Asks whether the request has been granted. If not, `waker` is called when it is, and when its time may
    /// have come nearer: not each time, but always when nobody ahead of it has a waker to be called first.
    pub fn turn(&self, source: &impl Source, ticket: &Ticket, now: u64, waker: Option<&Waker>) -> Turn {
        // Cloned before the lock, and what it replaces is dropped after it, as wakers are called: either may
        // panic, or come back here.
        let mut fresh = waker.cloned();
        let (turn, _replaced) = self.locked(|line| {
            line.serve(source, now);
            let Some(place) = line.find(ticket) else { return (Turn::Granted, None) };
            let mut replaced = None;
            let kept = &mut line.requests[place].waker;
            if let Some(waker) = &fresh
                && !kept.as_ref().is_some_and(|kept| kept.will_wake(waker))
                && !mutant(Mutant::QueueWakerLate)
            {
                replaced = std::mem::replace(kept, fresh.take());
            }
            if mutant(Mutant::QueueDropsWithin) {
                replaced = None;
            }
            let all = line.requests.iter().take(place + 1).fold(0, |sum: u64, one| sum.saturating_add(one.n));
            (Turn::At(source.due(all, now)), replaced)
        });
        if mutant(Mutant::QueueWakerLate) {
            self.locked(|line| {
                if let Some(place) = line.find(ticket) {
                    line.requests[place].waker = waker.cloned();
                }
            });
        }
        turn
    }

    /// Gives a place up. True if the request was still waiting: nothing was taken for it then. False if it
    /// had been granted, by the time `now` or before: its permits are spent.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is left once")]
    pub fn leave(&self, source: &impl Source, ticket: Ticket, now: u64) -> bool {
        // Its waker is dropped after the lock, as in `turn`.
        let (left, _waker) = self.locked(|line| {
            line.serve(source, now);
            let Some(place) = line.find(&ticket) else { return (false, None) };
            if mutant(Mutant::QueueServesLeft) {
                return (true, None);
            }
            let mut waker = line.requests[place].waker.take();
            if mutant(Mutant::QueueDropsWithin) {
                waker = None;
            }
            line.remove(place);
            line.moved_up(place, source);
            if place == 0 {
                line.serve(source, now);
            }
            (true, waker)
        });
        left
    }

    /// Gives permits to whoever is due at `now`, and tells the first who listens that its time may have
    /// changed: for sources whose permits come from elsewhere.
    pub fn serve(&self, source: &impl Source, now: u64) {
        self.locked(|line| {
            line.serve(source, now);
            line.moved_up(0, source);
        });
    }

    /// As [`serve`](Self::serve), and tells all who listen: for sources whose rate has changed, by which a
    /// time may come nearer by days, and the first who listens may be one who will not come back.
    pub fn serve_and_tell(&self, source: &impl Source, now: u64) {
        self.locked(|line| {
            line.serve(source, now);
            line.moved_up(0, source);
            line.wake.extend(line.requests.iter_mut().filter_map(|request| request.waker.take()));
        });
    }

    /// As [`serve`](Self::serve), unless somebody else is at it. True if nobody waits any more.
    pub fn try_serve(&self, source: &impl Source, now: u64) -> bool {
        let line = match self.line.try_lock() {
            Ok(line) => line,
            Err(TryLockError::Poisoned(line)) => line.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.with(line, |line| {
            line.serve(source, now);
            line.requests.is_empty()
        })
    }

    /// Permits that all who wait have asked for.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).requests.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn locked<R>(&self, act: impl FnOnce(&mut Line) -> R) -> R {
        // Nothing that panics runs under the lock, but for a source's own faults.
        self.with(self.line.lock().unwrap_or_else(PoisonError::into_inner), act)
    }

    fn with<R>(&self, mut line: MutexGuard<'_, Line>, act: impl FnOnce(&mut Line) -> R) -> R {
        let result = act(&mut line);
        self.asked.store(u64::try_from(line.asked).unwrap_or(u64::MAX), Ordering::Relaxed);
        // After the lock: a waker may run its task at once, and that may come back here.
        let wake = std::mem::take(&mut line.wake);
        drop(line);
        wake_all(wake);
        result
    }
}

/// Wakes all, although one may panic: the others would never be told. The first panic goes on after that.
fn wake_all(wakers: Vec<Waker>) {
    let mut panicked = None;
    for waker in wakers {
        // Nothing of the queue is out of place meanwhile.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            panicked.get_or_insert(panic);
        }
    }
    if let Some(panic) = panicked {
        resume_unwind(panic);
    }
}
