//! The trading threads: each owns one connection and sends its orders on a schedule, under the protection
//! that all share or under none.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fusewire::{ProtectionError, RefusedBy};

use crate::desk::LARGEST_ORDER;
use crate::ink::{self, CELLS};
use crate::line::{Answer, Fault, Line};
use crate::stack::Stack;
use crate::tally::{Item, Tally, record};
use crate::wire::Order;

/// The load of one run, the same for every thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) address: SocketAddr,
    /// Send orders over kept connections, or just connect and hang up.
    pub(crate) orders: bool,
    /// How long after it fell due an answer to an order is worth something.
    pub(crate) patience: Duration,
    /// How long a protected order may take, and how long one attempt of it.
    pub(crate) deadline: Duration,
    pub(crate) attempt: Duration,
    pub(crate) slow: Duration,
    pub(crate) start: Instant,
    pub(crate) schedule: Schedule,
    pub(crate) threads: u32,
    /// The upper half of every order's id: no other run has it.
    pub(crate) session: u32,
    pub(crate) gate: &'a Gate,
    /// Whether the venue takes orders, however badly.
    pub(crate) venue_up: &'a AtomicBool,
}

/// When orders fall due; thread `i` sends orders `i`, `i + threads`, and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) length: Duration,
    /// Orders a second, over all threads.
    pub(crate) rate: u32,
    /// From when to when there are [`SURGE`] times as many.
    pub(crate) surge: Option<[Duration; 2]>,
}

/// How much the load grows in a surge.
pub(crate) const SURGE: u32 = 3;

const SECOND: u128 = 1_000_000_000;

impl Schedule {
    /// The stretches of one rate each: how long, and orders a second.
    pub(crate) fn stretches(&self) -> [(Duration, u32); 3] {
        let [from, until] = self.surge.unwrap_or([self.length; 2]);
        let (surge, rest) = (until.saturating_sub(from), self.length.saturating_sub(until));
        [(from, self.rate), (surge, self.rate * SURGE), (rest, self.rate)]
    }

    pub(crate) fn total(&self) -> u64 {
        self.stretches().iter().map(|&(length, rate)| orders_in(length, rate)).sum()
    }

    /// When order `n` is due, since the start.
    fn due(&self, mut n: u64) -> Duration {
        let mut begin = Duration::ZERO;
        for (length, rate) in self.stretches() {
            let orders = orders_in(length, rate);
            if n < orders {
                return begin + Duration::from_nanos((u128::from(n) * SECOND / u128::from(rate)) as u64);
            }
            n -= orders;
            begin += length;
        }
        self.length
    }

    /// Orders that fall due in a cell of the strip.
    pub(crate) fn due_in_cell(&self, cell: usize) -> u64 {
        let middle = self.length * (2 * cell as u32 + 1) / (2 * CELLS as u32);
        let surges = self.surge.is_some_and(|[from, until]| (from..until).contains(&middle));
        orders_in(self.length / CELLS as u32, if surges { self.rate * SURGE } else { self.rate })
    }
}

fn orders_in(length: Duration, rate: u32) -> u64 {
    (length.as_nanos() * u128::from(rate) / SECOND) as u64
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

/// Runs thread `index` of the plan to its end, or until the gate is shut. The tally is shared with the
/// screen only, which looks in a few times a second.
pub(crate) fn trade(plan: &Plan<'_>, index: u32, stack: Option<&Stack>, tally: &Mutex<Tally>) {
    let mut trader = Trader { plan, tally, line: Line::to(plan.address, plan.orders) };
    let end = plan.start + plan.schedule.length;
    let mut orders = (u64::from(index)..plan.schedule.total()).step_by(plan.threads as usize);
    for n in orders.by_ref() {
        let due = plan.start + plan.schedule.due(n);
        // A thread that is behind does not wait: its orders go out late, and that counts as their latency.
        if !plan.gate.wait_until(due) || Instant::now() >= end {
            lock(tally).counts[Item::Unsent] += 1;
            break;
        }
        let began = Instant::now();
        let mut passage = Passage::default();
        let end = match stack {
            Some(stack) => trader.protected(&order(plan.session, n), began, &mut passage, stack),
            None => match trader.attempt(&order(plan.session, n), plan.patience, &mut passage) {
                Ok(answer) => End::Answered(answer),
                Err(fault) => End::Failed(fault),
            },
        };
        trader.settle(&end, &passage, [due, began, Instant::now()]);
    }
    lock(tally).counts[Item::Unsent] += orders.count() as u64;
}

/// Where an order ended.
#[derive(Debug)]
enum End {
    Answered(Answer),
    Failed(Fault),
    /// It was never sent.
    Refused(RefusedBy),
}

/// An order's way so far.
#[derive(Debug, Default)]
struct Passage {
    /// Attempts that were sent.
    sent: u64,
    /// What the latest of them failed with.
    fault: Option<Fault>,
    retries: u32,
}

/// A trading thread at work.
struct Trader<'a> {
    plan: &'a Plan<'a>,
    tally: &'a Mutex<Tally>,
    line: Line,
}

impl Trader<'_> {
    fn protected(&mut self, order: &Order, began: Instant, passage: &mut Passage, stack: &Stack) -> End {
        let plan = self.plan;
        let (mut retries, mut waited) = (0, Duration::ZERO);
        let wait = |wait: Duration| {
            let asleep = Instant::now();
            plan.gate.wait_until(asleep + wait);
            retries += 1;
            waited += asleep.elapsed();
        };
        let outcome = stack.protection.call_with(wait, || {
            // The retry begins no attempt after its deadline; that none lasts longer is up to us.
            let left = plan.deadline.saturating_sub(began.elapsed());
            let patience = if passage.sent == 0 { plan.attempt } else { plan.attempt.min(left) };
            self.attempt(order, patience, passage)
        });
        passage.retries = retries;
        if retries > 0 {
            lock(self.tally).waits += waited;
        }
        match (outcome, passage.fault) {
            (Ok(answer), _) => End::Answered(answer),
            // Also when a layer refused the attempt after it.
            (Err(_), Some(fault)) => End::Failed(fault),
            (Err(error), None) => End::Refused(refusal(&error)),
        }
    }

    /// Sends an order, once.
    fn attempt(&mut self, order: &Order, patience: Duration, passage: &mut Passage) -> Result<Answer, Fault> {
        let sent = Instant::now();
        let outcome = self.line.send(order, patience);
        let took = sent.elapsed();
        passage.sent += 1;
        passage.fault = outcome.err();
        let mut tally = lock(self.tally);
        tally.counts[Item::Sent] += 1;
        if outcome.is_err() {
            tally.counts[Item::SentInVain] += 1;
            tally.lost += took;
        } else if took >= self.plan.slow {
            tally.slow += took;
        }
        record(&mut tally.call, took);
        outcome
    }

    fn settle(&self, end: &End, passage: &Passage, [due, began, done]: [Instant; 3]) {
        let mut tally = lock(self.tally);
        let since_due = done - due;
        let again = u64::from(passage.retries > 0);
        record(&mut tally.experienced, since_due);
        if passage.sent > 0 {
            record(&mut tally.order, done - began);
        } else if passage.retries == 0 {
            record(&mut tally.refusal, done - began);
        }
        match *end {
            End::Answered(answer) => {
                tally.counts[Item::Saved] += again;
                if answer == Answer::Declined {
                    tally.counts[Item::Declined] += 1;
                    return;
                }
                tally.counts[Item::Filled] += 1;
                tally.counts[Item::Stale] += u64::from(since_due > self.plan.patience);
                tally.counts[Item::FilledBefore] += u64::from(answer == Answer::FilledBefore);
                tally.cells[ink::cell(done - self.plan.start, self.plan.schedule.length)] += 1;
            }
            End::Failed(fault) => {
                tally.counts[Item::of_fault(fault)] += 1;
                tally.counts[Item::FailedAgain] += u64::from(passage.sent > 1);
            }
            End::Refused(RefusedBy::Limiter) => tally.counts[Item::RefusedByLimiter] += 1,
            End::Refused(_) => {
                tally.counts[Item::RefusedByBreaker] += 1;
                // Relaxed: a flag by itself.
                let up = self.plan.venue_up.load(Ordering::Relaxed);
                tally.counts[Item::RefusedWhileUp] += u64::from(up);
            }
        }
    }
}

/// Who refused the last attempt of an order that was never sent.
fn refusal(error: &ProtectionError<Fault>) -> RefusedBy {
    error.refused_by().expect("a call that never ran was refused by a layer")
}

pub(crate) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A plausible stream of orders; one in a hundred is more than the venue takes.
fn order(session: u32, n: u64) -> Order {
    let quantity = if n % 100 == 99 { LARGEST_ORDER + 1 } else { 1 + (n % 10) as u32 * 10 };
    let price = 10_000 + (n % 7) as i32;
    let id = u64::from(session) << 32 | n;
    Order { id, price: if n.is_multiple_of(2) { price } else { -price }, quantity }
}
