//! One run: the stack, the threads that trade through it, and the script that breaks the venue meanwhile.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fusewire::{CircuitState, Clock, Event, EventQueue};

use crate::allowance::Allowance;
use crate::books;
use crate::ink::CELLS;
use crate::load::{self, Gate, Plan, SURGE, Schedule};
use crate::process::Venue;
use crate::record::{Entry, Record, What};
use crate::screen::Screen;
use crate::script::{self, Action, Scale};
use crate::series::{Refusals, Series, Totals};
use crate::spell;
use crate::stack::{Purpose, Stack};
use crate::tally::{self, Counts, Tally};

/// How often the script, the timeline and the screen are looked after.
const TICK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) threads: u32,
    pub(crate) rate: u32,
    pub(crate) scale: Scale,
    pub(crate) place: Place,
}

/// Where the orders go.
#[derive(Debug)]
pub(crate) enum Place {
    Own { port: u16 },
    Target { name: String, address: SocketAddr, orders: bool },
}

impl Setup {
    /// What the venue allows us. A service of the user's is taken to bear as much, with no ban known.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance::of(self.rate, self.threads, self.scale.ban)
    }

    fn schedule(&self) -> Schedule {
        let surge = match self.place {
            Place::Own { .. } => Some(self.scale.surge()),
            Place::Target { .. } => None,
        };
        Schedule { length: self.scale.length, rate: self.rate, surge }
    }

    /// What a call that went well is called.
    pub(crate) fn filled(&self) -> &'static str {
        match self.place {
            Place::Own { .. } | Place::Target { orders: true, .. } => "filled",
            Place::Target { orders: false, .. } => "connected",
        }
    }
}

/// Why the program ends early.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What the user asked for cannot be had.
    Refused(String),
    Failed(String),
    Interrupted,
    /// The output is gone or full.
    Output(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The present, for the screen.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    /// The breaker's state and how long until it probes, if there is one.
    pub(crate) breaker: Option<(CircuitState, Duration)>,
    pub(crate) counts: Counts,
    /// What was added to the counts, and in how long.
    pub(crate) recent: (Counts, Duration),
    pub(crate) pid: Option<u32>,
    pub(crate) address: SocketAddr,
    pub(crate) record: &'a Record,
}

fn stack(setup: &Setup, events: &EventQueue, clock: Clock) -> Result<Stack, Trouble> {
    let scale = setup.scale;
    let allowance = setup.allowance();
    let (rate, burst) = (allowance.rate, allowance.safe_burst());
    let (window, minimum_calls) = match setup.place {
        Place::Own { .. } => (scale.recovery, 20),
        Place::Target { .. } => (scale.recovery * 10, 10),
    };
    let purpose = Purpose { scale, rate, burst, window, minimum_calls };
    Stack::new(&purpose, events, clock)
        .map_err(|error| Trouble::Failed(format!("the configuration of a layer: {error}")))
}

/// Runs the script once, with the whole stack or with nothing.
pub(crate) fn conduct(
    setup: &Setup,
    protected: bool,
    gate: &Gate,
    screen: &mut Screen,
) -> Result<(Record, Tally), Trouble> {
    let events = EventQueue::new();
    let clock = Clock::coarse(Duration::from_millis(1))
        .map_err(|error| Trouble::Failed(format!("cannot start the clock's thread: {error}")))?;
    let stack = if protected { Some(stack(setup, &events, clock.clone())?) } else { None };
    let mut venue = match setup.place {
        Place::Own { port } => Some(start(port, setup.allowance())?),
        Place::Target { .. } => None,
    };
    let (address, orders) = match (&venue, &setup.place) {
        (None, Place::Target { address, orders, .. }) => (*address, *orders),
        (Some(venue), _) => (venue.address(), true),
        (None, Place::Own { .. }) => unreachable!("just started"),
    };
    let schedule = setup.schedule();
    let mut record = Record {
        schedule,
        elapsed: Duration::ZERO,
        entries: Vec::new(),
        put_off: Duration::ZERO,
        cells: [0; CELLS],
        series: Series::new(schedule.length, tally::histogram()),
        protection: None,
        events_dropped: 0,
    };
    let origin = clock.now();
    let venue_up = AtomicBool::new(true);
    let plan = Plan {
        address,
        orders,
        patience: setup.scale.patience,
        deadline: setup.scale.deadline,
        attempt: setup.scale.attempt,
        slow: setup.scale.slow,
        start: Instant::now(),
        schedule,
        threads: setup.threads,
        session: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u32,
        gate,
        venue_up: &venue_up,
    };
    let tallies: Vec<Mutex<Tally>> = (0..setup.threads).map(|_| Mutex::new(Tally::new())).collect();
    let mut watch = Watch {
        plan: &plan,
        stack: stack.as_ref(),
        events: &events,
        origin,
        tallies: &tallies,
        samples: VecDeque::new(),
    };
    thread::scope(|scope| {
        for (index, tally) in tallies.iter().enumerate() {
            let (plan, stack) = (&plan, stack.as_ref());
            scope.spawn(move || load::trade(plan, index as u32, stack, tally));
        }
        let watched = watch.over(&setup.scale, venue.as_mut(), screen, &mut record);
        if watched.is_err() {
            gate.shut();
        }
        watched
    })?;
    if gate.is_shut() {
        return Err(Trouble::Interrupted);
    }
    watch.collect(&mut record, screen)?;
    let totals = watch.totals(&record);
    record.series.end(totals);
    record.entries.sort_by_key(|entry| entry.at);
    record.events_dropped = events.dropped();
    let mut whole = Tally::new();
    for tally in &tallies {
        whole += &load::lock(tally);
    }
    books::check(&record, &whole).map_err(Trouble::Failed)?;
    Ok((record, whole))
}

fn start(port: u16, allowance: Allowance) -> Result<Venue, Trouble> {
    Venue::start(port, allowance).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse if port != 0 => {
            Trouble::Refused(format!("--port {port}: the port is in use; choose another or leave it out"))
        }
        io::ErrorKind::PermissionDenied if port != 0 => {
            Trouble::Refused(format!("--port {port}: not permitted; choose one above 1023"))
        }
        _ => Trouble::Failed(format!("cannot start the venue: {error}")),
    })
}

/// Looks after a run while its threads trade.
struct Watch<'a> {
    plan: &'a Plan<'a>,
    stack: Option<&'a Stack>,
    events: &'a EventQueue,
    /// The breaker's clock at the start of the run.
    origin: u64,
    tallies: &'a [Mutex<Tally>],
    /// The counts of the last second.
    samples: VecDeque<(Duration, Counts)>,
}

impl Watch<'_> {
    fn over(
        &mut self,
        scale: &Scale,
        mut venue: Option<&mut Venue>,
        screen: &mut Screen,
        record: &mut Record,
    ) -> Result<(), Trouble> {
        let (start, gate) = (self.plan.start, self.plan.gate);
        let steps = if venue.is_some() { script::faults(scale) } else { Vec::new() };
        let mut steps = steps.iter().peekable();
        let mut surges = surges(&record.schedule).into_iter().peekable();
        if let Some(venue) = venue.as_deref() {
            let words = format!("venue started: pid {} on {}", venue.pid(), venue.address());
            add(record, screen, Duration::ZERO, What::Script { phase: "well", words })?;
        }
        self.look(record, venue.as_deref(), screen)?;
        for tick in 1.. {
            let next = TICK * tick;
            while let (Some(venue), Some(step)) =
                (venue.as_deref_mut(), steps.next_if(|step| step.at + record.put_off <= next))
            {
                if !gate.wait_until(start + step.at + record.put_off) {
                    return Ok(());
                }
                self.collect(record, screen)?;
                self.perform(step.action, venue, record, screen)?;
                let late = start.elapsed().saturating_sub(step.at);
                // A fault cut short would prove nothing, so the rest of the script waits as well.
                if late > record.put_off + TICK {
                    record.put_off = late;
                }
            }
            // The load keeps to its own schedule, so these come of themselves.
            while let Some((at, words)) = surges.next_if(|&(at, _)| at <= next) {
                if !gate.wait_until(start + at) {
                    return Ok(());
                }
                self.collect(record, screen)?;
                add(record, screen, at, What::Load { words })?;
            }
            if !gate.wait_until(start + next) {
                return Ok(());
            }
            self.collect(record, screen)?;
            self.look(record, venue.as_deref(), screen)?;
            if next >= record.schedule.length && steps.peek().is_none() {
                break;
            }
        }
        Ok(())
    }

    fn perform(
        &self,
        action: Action,
        venue: &mut Venue,
        record: &mut Record,
        screen: &mut Screen,
    ) -> Result<(), Trouble> {
        let at = self.plan.start.elapsed();
        let done = action.perform(venue);
        let words = done.map_err(|error| Trouble::Failed(format!("script, {action:?}: {error}")))?;
        // Relaxed: a flag by itself.
        self.plan.venue_up.store(action.leaves_it_up(), Ordering::Relaxed);
        Ok(add(record, screen, at, What::Script { phase: action.phase(), words })?)
    }

    /// Takes in the breaker's transitions, and what the threads and the layers have counted since last time.
    fn collect(&mut self, record: &mut Record, screen: &mut Screen) -> io::Result<()> {
        let first = record.entries.len();
        self.events.drain(|Event { from, to, cause, elapsed, at, .. }| {
            let at = Duration::from_nanos(at.saturating_sub(self.origin));
            record.entries.push(Entry { at, what: What::Breaker { from, to, cause, spent: elapsed } });
        });
        for entry in &record.entries[first..] {
            screen.note(entry)?;
        }
        let mut counts = Counts::default();
        record.cells = [0; CELLS];
        for tally in self.tallies {
            let tally = load::lock(tally);
            counts += tally.counts;
            for (sum, cell) in record.cells.iter_mut().zip(tally.cells) {
                *sum += cell;
            }
        }
        record.protection = self.stack.map(|stack| (stack.rules().clone(), stack.counted()));
        record.elapsed = self.plan.start.elapsed();
        self.samples.push_back((record.elapsed, counts));
        while self.samples.len() > 2
            && record.elapsed.saturating_sub(self.samples[1].0) >= Duration::from_secs(1)
        {
            self.samples.pop_front();
        }
        if record.series.is_due(record.elapsed) {
            let totals = self.totals(record);
            record.series.add(totals);
        }
        Ok(())
    }

    /// All that was counted by the time of the record.
    fn totals(&self, record: &Record) -> Totals {
        let (mut counts, mut latency) = (Counts::default(), tally::histogram());
        for tally in self.tallies {
            let tally = load::lock(tally);
            counts += tally.counts;
            latency += &tally.experienced;
        }
        let refusals = record.protection.as_ref().map(|(_, counted)| Refusals::of(counted));
        Totals { at: record.elapsed, counts, refusals: refusals.unwrap_or_default(), latency }
    }

    fn look(&self, record: &Record, venue: Option<&Venue>, screen: &mut Screen) -> io::Result<()> {
        let oldest = self.samples.front().copied().unwrap_or_default();
        let newest = self.samples.back().copied().unwrap_or_default();
        screen.show(&Now {
            breaker: self.stack.map(|stack| (stack.breaker.state(), stack.breaker.time_until_retry())),
            counts: newest.1,
            recent: (newest.1.since(&oldest.1), newest.0.saturating_sub(oldest.0)),
            pid: venue.map(Venue::pid),
            address: self.plan.address,
            record,
        })
    }
}

/// The changes of the load, in words.
fn surges(schedule: &Schedule) -> Vec<(Duration, String)> {
    let Some([from, until]) = schedule.surge else { return Vec::new() };
    let [usual, more] = [schedule.rate, schedule.rate * SURGE].map(|rate| spell::grouped(rate.into()));
    vec![
        (from, format!("a surge: {more} orders a second fall due, not {usual}")),
        (until, format!("the surge is over: {usual} orders a second")),
    ]
}

fn add(record: &mut Record, screen: &mut Screen, at: Duration, what: What) -> io::Result<()> {
    let entry = Entry { at, what };
    screen.note(&entry)?;
    record.entries.push(entry);
    Ok(())
}
