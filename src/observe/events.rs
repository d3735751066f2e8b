//! Events of state changes, delivered to whoever drains them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::journal::{Journal, Record};
use super::ready::{Place, ReadySet};
use crate::sync::{AtomicU64, Ordering};
use crate::word::breaker::{Cause, CircuitState};

/// A breaker's change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// The transition's number in its breaker, from 1. A gap says how many were dropped.
    pub sequence: u64,
    /// The state that was left.
    pub from: CircuitState,
    /// The state that was entered. After a `reset` of a closed breaker both are closed.
    pub to: CircuitState,
    /// Why.
    pub cause: Cause,
    /// The breaker's failure count at that moment: failures in a row, or those of the window when a
    /// rate tripped it.
    pub failure_count: u64,
    /// How long the breaker was in `from`, to about a quarter of a millisecond.
    pub elapsed: Duration,
    /// When, in nanoseconds on the breaker's clock.
    pub at: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} #{}: {} -> {} ({}, {} failures, after {:.3} s)",
            self.breaker,
            self.sequence,
            self.from,
            self.to,
            self.cause,
            self.failure_count,
            self.elapsed.as_secs_f64()
        )
    }
}

/// A bounded queue of the events of all breakers that were built with it.
///
/// The thread that records a result only writes its event into its breaker's ring and sets a bit; no
/// listener ever runs on it. Whoever drains the queue sees the events of one breaker in order. Each
/// breaker keeps its last [`capacity`](Self::with_capacity) undelivered events, so that one that flaps
/// cannot crowd out the others; [`dropped`](Self::dropped) counts what was overwritten. Undelivered
/// events outlive their breaker, for up to 1024 breakers that are gone.
///
/// ```
/// use fusewire::{Cause, CircuitBreaker, EventQueue};
///
/// let events = EventQueue::new();
/// let breaker = CircuitBreaker::builder("orders").failure_threshold(1).events(&events).build()?;
/// breaker.try_acquire()?.failure();
/// let event = events.pop().expect("the breaker tripped");
/// assert_eq!((event.sequence, event.cause), (1, Cause::ConsecutiveFailures));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventQueue(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) ready: ReadySet<Arc<Source>>,
    capacity: usize,
    reading: Mutex<VecDeque<Arc<Source>>>,
    /// Breakers that are gone while events of theirs wait.
    lingering: AtomicU64,
    /// Dropped events of breakers that are gone.
    dropped: AtomicU64,
}

/// How many breakers that are gone may still hold undelivered events, so that a queue that nobody
/// drains stays bounded.
const MAX_LINGERING: u64 = 1024;

/// One breaker's side of the queue.
pub(crate) struct Source {
    name: Arc<str>,
    journal: Journal,
    /// Set once its breaker is gone: the index of its place, plus one.
    gone: AtomicU64,
}

impl EventQueue {
    /// A queue that keeps up to 64 undelivered events a breaker.
    pub fn new() -> Self {
        Self::with_capacity(64)
    }

    /// A queue that keeps up to `per_breaker` undelivered events a breaker, at least one; each takes
    /// 40 bytes of every breaker that is built with the queue.
    pub fn with_capacity(per_breaker: usize) -> Self {
        Self(Arc::new(Shared {
            ready: ReadySet::new(),
            capacity: per_breaker.max(1),
            reading: Mutex::new(VecDeque::new()),
            lingering: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// The next event, if there is one. Any thread may pop; they take turns.
    pub fn pop(&self) -> Option<Event> {
        self.0.pop()
    }

    /// Hands every event that is there to `visit`; gives how many. `visit` may call the breakers.
    pub fn drain(&self, mut visit: impl FnMut(Event)) -> usize {
        std::iter::from_fn(|| self.pop()).map(&mut visit).count()
    }

    /// How many events were overwritten before anybody took them, those of breakers that are gone
    /// included.
    pub fn dropped(&self) -> u64 {
        let gone = self.0.dropped.load(Ordering::Relaxed);
        let live: u64 = self.0.ready.all().iter().map(|source| source.journal.dropped()).sum();
        gone + live
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    pub(crate) fn publisher(&self, name: Arc<str>) -> Publisher {
        let journal = Journal::new(self.0.capacity);
        let source = Arc::new(Source { name, journal, gone: AtomicU64::new(0) });
        let place = self.0.ready.join(source.clone());
        Publisher { shared: self.0.clone(), source, place }
    }
}

impl Shared {
    pub(crate) fn pop(&self) -> Option<Event> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.is_empty() {
            reading.extend(self.ready.take().into_iter().map(|(_, source)| source));
        }
        while let Some(source) = reading.front() {
            // Read before the journal: what is written after the breaker is gone does not exist.
            // Acquire: pairs with the Release in the publisher's drop.
            let gone = source.gone.load(Ordering::Acquire);
            if let Some((sequence, record)) = source.journal.read() {
                let event = source.event(sequence, &record);
                // To the end of the line, so that one that flaps does not keep the others waiting.
                reading.rotate_left(1);
                return Some(event);
            }
            if let Some(source) = reading.pop_front()
                && gone > 0
                && source.gone.swap(0, Ordering::Relaxed) > 0
            {
                self.lingering.fetch_sub(1, Ordering::Relaxed);
                self.dismiss(&source, gone as usize - 1);
            }
        }
        None
    }

    /// Lets a breaker's side go, keeping the count of what it dropped.
    fn dismiss(&self, source: &Source, index: usize) {
        self.dropped.fetch_add(source.journal.dropped(), Ordering::Relaxed);
        self.ready.leave(index);
    }
}

impl Source {
    fn event(&self, sequence: u64, record: &Record) -> Event {
        Event {
            breaker: self.name.clone(),
            sequence,
            from: record.from,
            to: record.to,
            cause: record.cause,
            failure_count: record.failure_count,
            elapsed: record.elapsed(),
            at: record.at,
        }
    }
}

impl Default for EventQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// A breaker's end of a queue. Its undelivered events outlive it.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    source: Arc<Source>,
    place: Place,
}

impl Publisher {
    /// Writes the event of `sequence` and announces it.
    pub(crate) fn publish(&self, sequence: u64, record: Record) {
        self.source.journal.write(sequence, record);
        self.shared.ready.mark(&self.place);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let unread = self.source.journal.unread();
        if unread == 0 || self.shared.lingering.fetch_add(1, Ordering::Relaxed) >= MAX_LINGERING {
            if unread > 0 {
                self.shared.lingering.fetch_sub(1, Ordering::Relaxed);
                self.shared.dropped.fetch_add(unread, Ordering::Relaxed);
            }
            self.shared.dismiss(&self.source, self.place.index());
            return;
        }
        // Release: pairs with the Acquire in `pop`; the drainer that sees it sees every event.
        self.source.gone.store(self.place.index() as u64 + 1, Ordering::Release);
        self.shared.ready.mark(&self.place);
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("breaker", &self.source.name).finish_non_exhaustive()
    }
}
