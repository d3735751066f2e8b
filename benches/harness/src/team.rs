//! The threads that run a path together.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::canary;
use crate::path::{Body, HotPath};

/// The calling thread and helpers that live as long as the team, so that what a thread pays once (its lane, its
/// thread-locals) is paid before the first sample that counts.
pub(crate) struct Team {
    queue: RunQueue,
    helpers: Vec<Helper>,
}

struct Helper {
    jobs: Sender<Job>,
    times: Receiver<Time>,
}

struct Job {
    body: Body,
    iterations: u64,
    line: Arc<StartLine>,
}

/// One thread's part in a sample.
struct Time {
    elapsed: Duration,
    /// Whether the thread had to wait for a core meanwhile.
    waited: bool,
    /// What the canary showed before and after: the worse of the two.
    look: f64,
}

/// One run of a path on all of its threads.
pub(crate) struct Sample {
    /// Nanoseconds per operation, as each thread sees them.
    pub(crate) nanoseconds: f64,
    /// Whether a thread had to wait for a core: then a path of several threads was not run by all of them at
    /// once, and the sample says little.
    pub(crate) waited: bool,
    /// What the canary showed beside it, on the core where it showed most.
    pub(crate) look: f64,
}

impl Team {
    pub(crate) fn new(threads: usize) -> Self {
        Self { queue: RunQueue::of_this_thread(), helpers: (1..threads).map(|_| Helper::spawn()).collect() }
    }

    /// Runs the path once on each of its threads.
    pub(crate) fn time(&self, path: &HotPath, iterations: u64) -> Sample {
        let helpers = &self.helpers[..path.thread_count() - 1];
        let line = Arc::new(StartLine::new(path.thread_count()));
        for helper in helpers {
            let job = Job { body: Arc::clone(path.body()), iterations, line: Arc::clone(&line) };
            helper.jobs.send(job).expect("a helper lives as long as its team");
        }
        let Time { elapsed: mut total, mut waited, mut look } =
            line.time(path.body(), iterations, &self.queue);
        for helper in helpers {
            let time = helper.times.recv().expect("a helper answers every job");
            total += time.elapsed;
            waited |= time.waited;
            look = look.max(time.look);
        }
        let nanoseconds = total.as_nanos() as f64 / path.thread_count() as f64 / iterations as f64;
        Sample { nanoseconds, waited, look }
    }
}

impl Helper {
    fn spawn() -> Self {
        let (jobs, inbox) = channel::<Job>();
        let (outbox, times) = channel();
        thread::spawn(move || {
            let queue = RunQueue::of_this_thread();
            for Job { body, iterations, line } in inbox {
                if outbox.send(line.time(&body, iterations, &queue)).is_err() {
                    return;
                }
            }
        });
        Self { jobs, times }
    }
}

/// What the scheduler says of a thread, where it says anything.
struct RunQueue(Option<File>);

impl RunQueue {
    fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    /// Nanoseconds that the thread has been runnable and not running.
    fn waited(&self) -> Option<u64> {
        let mut text = String::new();
        let mut file = self.0.as_ref()?;
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Holds the threads of one sample until all have come, since waking up must not be timed, and keeps each at work
/// until all have been timed, since the last one would otherwise find the path uncontended.
struct StartLine {
    threads: usize,
    arrived: AtomicUsize,
    timed: AtomicUsize,
}

impl StartLine {
    fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), timed: AtomicUsize::new(0) }
    }

    fn time(&self, body: &Body, iterations: u64, queue: &RunQueue) -> Time {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.arrived.load(Ordering::Acquire) < self.threads {
            spins += 1;
            if spins.is_multiple_of(4096) {
                thread::yield_now(); // on a machine with fewer free cores than threads
            }
            std::hint::spin_loop();
        }
        let waited = queue.waited();
        let before = canary::look();
        let start = Instant::now();
        body(iterations);
        let elapsed = start.elapsed();

        self.timed.fetch_add(1, Ordering::AcqRel);
        let mut rounds = 0_u32;
        while self.timed.load(Ordering::Acquire) < self.threads {
            body((iterations / 64).max(1));
            rounds += 1;
            if rounds > 1024 {
                // The other thread is not running. At a real-time priority it might wait for this core for ever.
                thread::yield_now();
            }
        }
        Time { elapsed, look: before.max(canary::look()), waited: queue.waited() != waited }
    }
}
