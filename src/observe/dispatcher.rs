//! A thread that runs a listener, for those who do not drain a queue themselves.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::directory::sample_latencies;
use super::events::{Event, EventQueue};
use crate::clock::{Clock, nanos};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// A thread that hands the events of a queue to a listener, one after the other.
///
/// The listener may call the breakers, be slow or panic: calls go on without it, later events wait in
/// their bounded rings, and a panic is counted and the next event delivered. Of several dispatchers of one
/// queue each event goes to one, and only a single one keeps the order of a breaker's events. Dropping the dispatcher
/// delivers what is there and ends the thread.
///
/// ```
/// use fusewire::{CircuitBreaker, Dispatcher, EventQueue};
///
/// let events = EventQueue::new();
/// let breaker = CircuitBreaker::builder("orders").events(&events).build()?;
/// let dispatcher = Dispatcher::spawn(&events, |event| println!("{event}"))?;
/// breaker.force_open();
/// drop(dispatcher); // prints the event, if it has not been printed yet
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the dispatcher ends its thread"]
pub struct Dispatcher {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

struct Control {
    stop: AtomicBool,
    delivered: AtomicU64,
    panics: AtomicU64,
}

impl Dispatcher {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the thread.
    pub fn spawn(queue: &EventQueue, listener: impl FnMut(&Event) + Send + 'static) -> io::Result<Self> {
        Self::start(queue, None, listener)
    }

    /// Starts the thread, which also lets all live instances [sample their latencies](super::sample_latencies): every
    /// so often, or when the listener is done with the event that it has then. An `every` of half a bucket of the
    /// windows is good; one that is shorter than sampling takes keeps the thread busy.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the thread, or `every` is zero.
    pub fn sampling(
        queue: &EventQueue,
        every: Duration,
        listener: impl FnMut(&Event) + Send + 'static,
    ) -> io::Result<Self> {
        if every.is_zero() {
            let text = "every is 0ns; allowed: more than zero";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Self::start(queue, Some(every), listener)
    }

    fn start(
        queue: &EventQueue,
        sample: Option<Duration>,
        mut listener: impl FnMut(&Event) + Send + 'static,
    ) -> io::Result<Self> {
        let control = Arc::new(Control {
            stop: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        });
        let theirs = (queue.clone(), control.clone());
        let thread = std::thread::Builder::new().name("fusewire-events".into()).spawn(move || {
            let (queue, control) = theirs;
            let this = std::thread::current();
            queue.shared().ready.subscribe(&this);
            let mut sampling = sample.map(Sampling::new);
            let mut sample = || sampling.as_mut().map(Sampling::run);
            loop {
                // Read before the queue, so that what was published before the stop is delivered.
                // Acquire: pairs with the Release in `drop`.
                let stop = control.stop.load(Ordering::Acquire);
                while let Some(event) = queue.pop() {
                    // A listener that panicked is asked again: its state is its own affair.
                    if catch_unwind(AssertUnwindSafe(|| listener(&event))).is_err() {
                        control.panics.fetch_add(1, Ordering::Relaxed);
                    }
                    control.delivered.fetch_add(1, Ordering::Relaxed);
                    sample();
                }
                if stop {
                    break;
                }
                // A mark or a stop since the look above has left its token: parking then returns at once.
                match sample() {
                    Some(left) => std::thread::park_timeout(left),
                    None => std::thread::park(),
                }
            }
            queue.shared().ready.unsubscribe(&this);
        })?;
        Ok(Self { control, thread: Some(thread) })
    }

    /// How many events the listener was given.
    pub fn delivered(&self) -> u64 {
        self.control.delivered.load(Ordering::Relaxed)
    }

    /// How often the listener panicked.
    pub fn panics(&self) -> u64 {
        self.control.panics.load(Ordering::Relaxed)
    }
}

/// When a dispatcher samples next.
struct Sampling {
    every: u64,
    next: u64,
    clock: Clock,
}

impl Sampling {
    fn new(every: Duration) -> Self {
        Self { every: nanos(every), next: 0, clock: Clock::precise() }
    }

    /// Samples if it is time; how long it is until the next time.
    fn run(&mut self) -> Duration {
        let now = self.clock.now();
        if now >= self.next {
            sample_latencies();
            self.next = now.saturating_add(self.every);
        }
        Duration::from_nanos(self.next.saturating_sub(now))
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in the thread.
        self.control.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.thread().id() != std::thread::current().id() {
                // The thread catches its listener's panics; its own end brings no news.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("delivered", &self.delivered())
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}
