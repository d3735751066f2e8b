//! The trading threads: each owns one connection and sends its orders on a schedule through the breaker.

use std::io::{self, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::ops::AddAssign;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fusewire::CircuitBreaker;
use hdrhistogram::Histogram;

use crate::ink::{self, CELLS};
use crate::venue::LARGEST_ORDER;
use crate::wire::{self, Order, Verdict};

/// The load of one run, the same for every thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// Send orders over kept connections, or just connect and hang up.
    pub(crate) orders: bool,
    pub(crate) patience: Duration,
    pub(crate) slow: Duration,
    pub(crate) start: Instant,
    pub(crate) length: Duration,
    pub(crate) threads: u32,
    /// Over all threads.
    pub(crate) rate: u32,
}

impl Plan {
    /// When order `n` of all is due; thread `i` sends orders `i`, `i + threads`, and so on.
    fn due(&self, n: u64) -> Instant {
        self.start + Duration::from_nanos((u128::from(n) * 1_000_000_000 / u128::from(self.rate)) as u64)
    }

    fn total(&self) -> u64 {
        self.length.as_secs() * u64::from(self.rate)
    }
}

/// Wakes whoever waits for a time when the program has to end before it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_shut(&self) -> bool {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `due`; false if the gate was shut.
    pub(crate) fn wait_until(&self, due: Instant) -> bool {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        while !*shut {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            shut = self.changed.wait_timeout(shut, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// What became of the orders.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) filled: u64,
    /// Of those filled: later after they were due than a caller waits for an answer.
    pub(crate) stale: u64,
    /// Refused by the venue for a business reason, which is no fault of its.
    pub(crate) declined: u64,
    /// Turned away by the breaker: never sent.
    pub(crate) rejected: u64,
    pub(crate) refused: u64,
    pub(crate) timed_out: u64,
    pub(crate) broken: u64,
    pub(crate) unavailable: u64,
    /// Due, but the run ended before the thread came round to them.
    pub(crate) unsent: u64,
}

impl Counts {
    pub(crate) fn failed(&self) -> u64 {
        self.refused + self.timed_out + self.broken + self.unavailable
    }

    pub(crate) fn reached(&self) -> u64 {
        self.filled + self.declined + self.failed()
    }

    pub(crate) fn attempted(&self) -> u64 {
        self.reached() + self.rejected
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            filled: self.filled - earlier.filled,
            stale: self.stale - earlier.stale,
            declined: self.declined - earlier.declined,
            rejected: self.rejected - earlier.rejected,
            refused: self.refused - earlier.refused,
            timed_out: self.timed_out - earlier.timed_out,
            broken: self.broken - earlier.broken,
            unavailable: self.unavailable - earlier.unavailable,
            unsent: self.unsent - earlier.unsent,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.filled += other.filled;
        self.stale += other.stale;
        self.declined += other.declined;
        self.rejected += other.rejected;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.broken += other.broken;
        self.unavailable += other.unavailable;
        self.unsent += other.unsent;
    }
}

/// Counts and latencies of one thread, or of all. Latencies are in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Orders filled in each cell of the strip.
    pub(crate) cells: [u64; CELLS],
    /// From the moment an order was due until its outcome was known, rejections included.
    pub(crate) experienced: Histogram<u64>,
    /// Of the orders let through: from sending (and connecting, if need be) to the outcome.
    pub(crate) call: Histogram<u64>,
    /// Of the orders rejected: how long the breaker took to say so.
    pub(crate) rejection: Histogram<u64>,
    /// Time spent inside calls that failed.
    pub(crate) lost: Duration,
    /// Time spent inside calls that succeeded slowly.
    pub(crate) slow: Duration,
}

impl Tally {
    pub(crate) fn new() -> Self {
        // Three digits, and growing to whatever value comes.
        let histogram = || Histogram::new(3).expect("three digits are within 0 to 5");
        Self {
            counts: Counts::default(),
            cells: [0; CELLS],
            experienced: histogram(),
            call: histogram(),
            rejection: histogram(),
            lost: Duration::ZERO,
            slow: Duration::ZERO,
        }
    }

    fn reject(&mut self, took: Duration, since_due: Duration) {
        self.counts.rejected += 1;
        record(&mut self.rejection, took);
        record(&mut self.experienced, since_due);
    }

    fn settle(&mut self, plan: &Plan, outcome: Result<Verdict, Failure>, [due, sent, done]: [Instant; 3]) {
        let (took, since_due) = (done - sent, done - due);
        let counts = &mut self.counts;
        match outcome {
            Ok(Verdict::Filled) => {
                counts.filled += 1;
                counts.stale += u64::from(since_due > plan.patience);
                self.cells[ink::cell(done - plan.start, plan.length)] += 1;
            }
            Ok(Verdict::Declined) => counts.declined += 1,
            Ok(Verdict::Unavailable) => counts.unavailable += 1,
            Err(Failure::Refused) => counts.refused += 1,
            Err(Failure::TimedOut) => counts.timed_out += 1,
            Err(Failure::Broken) => counts.broken += 1,
        }
        if matches!(outcome, Err(_) | Ok(Verdict::Unavailable)) {
            self.lost += took;
        } else if took >= plan.slow {
            self.slow += took;
        }
        record(&mut self.call, took);
        record(&mut self.experienced, since_due);
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.counts += other.counts;
        for (sum, cell) in self.cells.iter_mut().zip(other.cells) {
            *sum += cell;
        }
        self.experienced += &other.experienced;
        self.call += &other.call;
        self.rejection += &other.rejection;
        self.lost += other.lost;
        self.slow += other.slow;
    }
}

/// Runs thread `index` of the plan to its end, or until the gate is shut. The tally is shared with the
/// screen only, which looks in a few times a second.
pub(crate) fn trade(plan: &Plan, index: u32, breaker: &CircuitBreaker, gate: &Gate, tally: &Mutex<Tally>) {
    let mut line = Line::new(plan);
    let end = plan.start + plan.length;
    let mut ids = (u64::from(index)..plan.total()).step_by(plan.threads as usize);
    for id in ids.by_ref() {
        let due = plan.due(id);
        // A thread that is behind does not wait: its orders go out late, and that counts as their latency.
        if !gate.wait_until(due) || Instant::now() >= end {
            lock(tally).counts.unsent += 1;
            break;
        }
        let asked = Instant::now();
        match breaker.try_acquire() {
            Err(_rejected) => {
                let done = Instant::now();
                lock(tally).reject(done - asked, done - due);
            }
            Ok(permit) => {
                let sent = Instant::now();
                let outcome = line.send(&order(id));
                // The venue is well if it answers, be it with a no.
                match outcome {
                    Ok(Verdict::Filled | Verdict::Declined) => permit.success(),
                    Ok(Verdict::Unavailable) | Err(_) => permit.failure(),
                };
                let done = Instant::now();
                lock(tally).settle(plan, outcome, [due, sent, done]);
            }
        }
    }
    lock(tally).counts.unsent += ids.count() as u64;
}

pub(crate) fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.record(took.as_nanos() as u64).expect("an auto-sizing histogram takes any value");
}

/// A plausible stream of orders; one in a hundred is more than the venue takes.
fn order(id: u64) -> Order {
    let quantity = if id % 100 == 99 { LARGEST_ORDER + 1 } else { 1 + (id % 10) as u32 * 10 };
    let price = 10_000 + (id % 7) as i32;
    Order { id, price: if id.is_multiple_of(2) { price } else { -price }, quantity }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Refused,
    TimedOut,
    Broken,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Broken,
        }
    }
}

/// A line to the venue: connects when needed, and hangs up after any failure, because a late answer would
/// be taken for that of the next order.
#[derive(Debug)]
pub(crate) struct Line {
    address: SocketAddr,
    patience: Duration,
    orders: bool,
    stream: Option<BufReader<TcpStream>>,
}

impl Line {
    fn new(plan: &Plan) -> Self {
        Self::to(plan.address, plan.patience, plan.orders)
    }

    pub(crate) fn to(address: SocketAddr, patience: Duration, orders: bool) -> Self {
        Self { address, patience, orders, stream: None }
    }

    fn send(&mut self, order: &Order) -> Result<Verdict, Failure> {
        Ok(self.exchange(order)?)
    }

    pub(crate) fn exchange(&mut self, order: &Order) -> io::Result<Verdict> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(self.connect()?),
        };
        if !self.orders {
            return Ok(Verdict::Filled);
        }
        wire::write_order(stream.get_mut(), order)?;
        let verdict = wire::read_answer(&mut stream, order.id)?;
        self.stream = Some(stream);
        Ok(verdict)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
        // A client that is given the dead venue's own port is connected to itself.
        if stream.local_addr()? == self.address {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        Ok(stream)
    }
}
