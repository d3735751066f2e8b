//! Calls for the view to show: threads that call simulated services, each with its own way to fail, through
//! breakers and limiters. A call is an entry in a list until its answer is due, so many are out at once.

use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fusewire::stats::HistogramConfig;
use fusewire::{
    CircuitBreaker, CircuitBreakerConfig, Clock, EventQueue, LimitSet, Limiter, Outcome, Registry,
    SlidingWindowRateLimiter, SlowCalls, Token, TokenBucketRateLimiter, WindowConfig,
};

const THREADS: usize = 2;
/// How often a thread looks what is due.
const TICK: Duration = Duration::from_millis(2);
/// A caller gives up on an answer after this.
const PATIENCE: Duration = Duration::from_secs(2);
const NAMES: [&str; 8] = ["orders", "quotes", "risk", "ledger", "auth", "feed", "search", "mail"];

/// What is wrong with a service while something is.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Nothing,
    Down,
    /// This share of the calls fails.
    Flaky(f64),
    /// Answers take so many times as long.
    Slow(f64),
    /// No call is answered.
    Hangs,
}

struct Service {
    breaker: CircuitBreaker,
    limiter: Option<Box<dyn Limiter + Send + Sync>>,
    /// Calls a second.
    rate: f64,
    /// Of an answer, on average.
    latency: Duration,
    fault: Fault,
    /// The fault comes each time so long after the last, lasts so long, and is at first so late.
    every: Duration,
    lasts: Duration,
    offset: Duration,
}

/// The threads; they end when this is dropped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Relaxed: a flag by itself.
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Starts calls through `breakers` breakers and half as many limiters. The breakers tell `events` of their
/// changes.
pub(crate) fn start(breakers: u32, events: &EventQueue) -> Result<Traffic, String> {
    let queue = events.clone();
    let registry = Registry::with_template(move |builder| {
        builder
            .events(&queue)
            .latency(HistogramConfig::new())
            .latency_window(Duration::from_secs(5), 5)
            .count_hung_after(Duration::from_millis(500))
    });
    let services = (0..breakers).map(|index| service(&registry, index)).collect::<Result<Vec<_>, _>>()?;
    let services: Arc<[Service]> = services.into();
    let stop = Arc::new(AtomicBool::new(false));
    let mut traffic = Traffic { stop: stop.clone(), threads: Vec::new() };
    for index in 0..THREADS {
        let (services, stop) = (services.clone(), stop.clone());
        let thread = thread::Builder::new().name(format!("caller {index}"));
        let thread = thread.spawn(move || call(&services, &stop));
        traffic.threads.push(thread.map_err(|error: io::Error| format!("cannot start a thread: {error}"))?);
    }
    Ok(traffic)
}

fn service(registry: &Registry, index: u32) -> Result<Service, String> {
    let name = match (NAMES[index as usize % NAMES.len()], index / NAMES.len() as u32) {
        (name, 0) => name.to_string(),
        (name, round) => format!("{name}-{}", round + 1),
    };
    let mut config = CircuitBreakerConfig::default();
    config.failure_threshold = Some(20);
    config.failure_rate = Some(0.3);
    config.slow_calls = Some(SlowCalls { threshold: Duration::from_millis(60), rate: 0.4 });
    config.window = WindowConfig::time(Duration::from_secs(2), 10);
    config.minimum_calls = 40;
    config.recovery_timeout = Duration::from_millis(800);
    let words = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let breaker = registry.get_or_create(&name, config).map_err(|error| words(&error))?;
    let rate = f64::from(100 + 150 * (index * 7 % 5));
    let fault = match index % 8 {
        0 => Fault::Flaky(0.5),
        1 => Fault::Down,
        2 => Fault::Slow(12.0),
        3 => Fault::Nothing,
        4 => Fault::Hangs,
        5 => Fault::Flaky(0.1),
        6 => Fault::Slow(4.0),
        _ => Fault::Flaky(0.25),
    };
    let limiter = index.is_multiple_of(2).then(|| limiter(&name, index / 2, rate)).transpose();
    Ok(Service {
        breaker,
        limiter: limiter.map_err(|error| words(&error))?,
        rate,
        latency: Duration::from_millis(u64::from(2 + index * 3 % 11)),
        fault,
        every: Duration::from_millis(u64::from(7_000 + index % 8 * 900)),
        lasts: Duration::from_millis(2_500),
        offset: Duration::from_millis(u64::from(1_000 + index * 1_300 % 6_000)),
    })
}

/// Three kinds of them, each for somewhat less than the load at its height.
fn limiter(
    name: &str,
    index: u32,
    rate: f64,
) -> Result<Box<dyn Limiter + Send + Sync>, fusewire::ConfigError> {
    let allowed = rate * 1.1;
    let second = Duration::from_secs(1);
    Ok(match index % 3 {
        0 => Box::new(TokenBucketRateLimiter::builder(name).rate(allowed).capacity(50).build()?),
        1 => Box::new(
            SlidingWindowRateLimiter::builder(name).max_requests(allowed as u64).window(second).build()?,
        ),
        _ => {
            let (at_once, in_all) = ((allowed / 8.0) as u64, allowed as u64);
            Box::new(LimitSet::builder(name).limit(at_once, second / 10).limit(in_all, second).build()?)
        }
    })
}

/// A call that is out.
struct Pending {
    due: u64,
    service: usize,
    token: Token,
    outcome: Outcome,
}

impl Ord for Pending {
    /// What is due first is the greatest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Pending {}

/// One thread: its share of the calls to each service.
fn call(services: &[Service], stop: &AtomicBool) {
    let clock = Clock::precise();
    let start = clock.now();
    let mut last = start;
    let mut owed = vec![0.0; services.len()];
    let mut pending = BinaryHeap::new();
    // Relaxed: a flag by itself.
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        while let Some(Pending { due, service, token, outcome }) = next(&mut pending, now) {
            services[service].breaker.record_at(token, outcome, due);
        }
        let passed = Duration::from_nanos(now.saturating_sub(last)).as_secs_f64();
        last = now;
        for (index, (service, owed)) in services.iter().zip(&mut owed).enumerate() {
            let since = Duration::from_nanos(now - start);
            *owed += passed * service.load(since) / THREADS as f64;
            while *owed >= 1.0 {
                *owed -= 1.0;
                pending.extend(service.begin(index, since, now));
            }
        }
        thread::sleep(TICK);
    }
}

fn next(pending: &mut BinaryHeap<Pending>, now: u64) -> Option<Pending> {
    if pending.peek()?.due <= now { pending.pop() } else { None }
}

impl Service {
    /// Calls a second: a wave of twelve seconds around the usual load.
    fn load(&self, since: Duration) -> f64 {
        let turn = (since + self.offset).as_secs_f64() / 12.0 * std::f64::consts::TAU;
        self.rate * (1.0 + 0.3 * turn.sin())
    }

    fn fault_at(&self, since: Duration) -> Fault {
        let at = since.checked_sub(self.offset).map(|since| since.as_nanos() % self.every.as_nanos());
        if at.is_some_and(|at| at < self.lasts.as_nanos()) { self.fault } else { Fault::Nothing }
    }

    /// Makes a call, unless a layer refuses it.
    fn begin(&self, service: usize, since: Duration, now: u64) -> Option<Pending> {
        if self.limiter.as_ref().is_some_and(|limiter| limiter.try_acquire_at(now).is_err()) {
            return None;
        }
        let token = self.breaker.admit_at(now).ok()?;
        let fault = self.fault_at(since);
        // Most answers come about in time, a few take several times as long.
        let usual = self.latency.mul_f64(0.4 - 0.6 * (1.0 - fastrand::f64()).ln());
        let (takes, failing) = match fault {
            Fault::Nothing => (usual, 0.002),
            Fault::Down => (usual / 4, 1.0),
            Fault::Flaky(share) => (usual, share),
            Fault::Slow(times) => (usual.mul_f64(times), 0.002),
            Fault::Hangs => (PATIENCE, 1.0),
        };
        let outcome = if fastrand::f64() < failing { Outcome::Failure } else { Outcome::Success };
        Some(Pending { due: now + takes.as_nanos() as u64, service, token, outcome })
    }
}
