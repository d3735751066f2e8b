//! One run: a breaker, the threads that trade through it, and the script that breaks the venue meanwhile.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use fusewire::{
    Cause, CircuitBreaker, CircuitBreakerConfig, CircuitState, Clock, Event, EventQueue, Totals, WindowConfig,
};

use crate::ink::{self, CELLS};
use crate::load::{self, Counts, Gate, Plan, Tally};
use crate::process::Venue;
use crate::screen::Screen;
use crate::script::{self, Action, Scale};

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

/// Something that happened, at a time since the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Script { phase: &'static str, words: String },
    Breaker { from: CircuitState, to: CircuitState, cause: Cause, spent: Duration },
}

/// What is known of a run: at its end all of it, and on the way what there is to show.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) guarded: bool,
    pub(crate) length: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) entries: Vec<Entry>,
    /// How late the script was at its end because the machine stood still.
    pub(crate) put_off: Duration,
    /// Orders filled in each cell of the strip.
    pub(crate) cells: [u64; CELLS],
    pub(crate) config: CircuitBreakerConfig,
    pub(crate) totals: Totals,
    pub(crate) events_dropped: u64,
}

impl Record {
    pub(crate) fn state_at(&self, at: Duration) -> CircuitState {
        let states =
            self.entries.iter().rev().filter(|entry| entry.at <= at).find_map(|entry| match entry.what {
                What::Breaker { to, .. } => Some(to),
                What::Script { .. } => None,
            });
        states.unwrap_or(CircuitState::Closed)
    }

    /// The cell and name of each phase of the script.
    pub(crate) fn phases(&self) -> Vec<(usize, &'static str)> {
        let mut phases = Vec::new();
        for entry in &self.entries {
            if let What::Script { phase, .. } = entry.what {
                let mark = (self.cell(entry.at), phase);
                if phases.last() != Some(&mark) {
                    phases.push(mark);
                }
            }
        }
        phases
    }

    /// The state in the middle of each cell of the strip.
    pub(crate) fn states(&self) -> impl Iterator<Item = CircuitState> {
        (0..CELLS as u32).map(|cell| self.state_at(self.length * (2 * cell + 1) / (2 * CELLS as u32)))
    }

    pub(crate) fn cell(&self, at: Duration) -> usize {
        ink::cell(at, self.length)
    }

    pub(crate) fn times_opened(&self) -> usize {
        let opened = |entry: &&Entry| matches!(entry.what, What::Breaker { to: CircuitState::Open, .. });
        self.entries.iter().filter(opened).count()
    }
}

/// The present, for the screen.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    pub(crate) state: CircuitState,
    pub(crate) retry: Duration,
    pub(crate) counts: Counts,
    /// What was added to the counts, and in how long.
    pub(crate) recent: (Counts, Duration),
    pub(crate) pid: Option<u32>,
    pub(crate) address: SocketAddr,
    pub(crate) record: &'a Record,
}

/// All the rules at once: whichever is true first opens the breaker.
fn breaker(setup: &Setup, events: &EventQueue, clock: Clock) -> Result<CircuitBreaker, Trouble> {
    let scale = &setup.scale;
    let (window, minimum) = match setup.place {
        Place::Own { .. } => (scale.recovery, 20),
        Place::Target { .. } => (scale.recovery * 10, 10),
    };
    CircuitBreaker::builder("venue")
        .failure_threshold(5)
        .failure_rate(0.3)
        .slow_calls(scale.slow, 0.3)
        .window(WindowConfig::time(window, 10))
        .minimum_calls(minimum)
        .count_hung_after(scale.patience / 2)
        .recovery_timeout(scale.recovery)
        .half_open_requests(2)
        .clock(clock)
        .events(events)
        .build()
        .map_err(|error| Trouble::Failed(format!("the breaker's configuration: {error}")))
}

/// Runs the script once, with the breaker or with it disabled.
pub(crate) fn conduct(
    setup: &Setup,
    guarded: bool,
    gate: &Gate,
    screen: &mut Screen,
) -> Result<(Record, Tally), Trouble> {
    let length = setup.scale.length;
    let events = EventQueue::new();
    let clock = Clock::coarse(Duration::from_millis(1))
        .map_err(|error| Trouble::Failed(format!("cannot start the clock's thread: {error}")))?;
    let breaker = breaker(setup, &events, clock.clone())?;
    let mut venue = match setup.place {
        Place::Own { port } => Some(start(port)?),
        Place::Target { .. } => None,
    };
    let (address, orders) = match (&venue, &setup.place) {
        (None, Place::Target { address, orders, .. }) => (*address, *orders),
        (Some(venue), _) => (venue.address(), true),
        (None, Place::Own { .. }) => unreachable!("just started"),
    };
    let mut record = Record {
        guarded,
        length,
        elapsed: Duration::ZERO,
        entries: Vec::new(),
        put_off: Duration::ZERO,
        cells: [0; CELLS],
        config: breaker.config(),
        totals: breaker.totals(),
        events_dropped: 0,
    };
    let origin = clock.now();
    let plan = Plan {
        address,
        orders,
        patience: setup.scale.patience,
        slow: setup.scale.slow,
        start: Instant::now(),
        length,
        threads: setup.threads,
        rate: setup.rate,
    };
    if !guarded {
        breaker.disable();
    }
    let tallies: Vec<Mutex<Tally>> = (0..setup.threads).map(|_| Mutex::new(Tally::new())).collect();
    let mut watch =
        Watch { breaker: &breaker, events: &events, origin, tallies: &tallies, samples: VecDeque::new() };
    thread::scope(|scope| {
        for (index, tally) in tallies.iter().enumerate() {
            let (plan, breaker) = (&plan, &breaker);
            scope.spawn(move || load::trade(plan, index as u32, breaker, gate, tally));
        }
        let watched = watch.over(&plan, &setup.scale, venue.as_mut(), gate, screen, &mut record);
        if watched.is_err() {
            gate.shut();
        }
        watched
    })?;
    if gate.is_shut() {
        return Err(Trouble::Interrupted);
    }
    watch.collect(&plan, &mut record, screen)?;
    record.elapsed = plan.start.elapsed();
    record.entries.sort_by_key(|entry| entry.at);
    record.totals = breaker.totals();
    record.events_dropped = events.dropped();
    let mut whole = Tally::new();
    for tally in &tallies {
        whole += &load::lock(tally);
    }
    Ok((record, whole))
}

fn start(port: u16) -> Result<Venue, Trouble> {
    Venue::start(port).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse if port != 0 => {
            Trouble::Refused(format!("--port {port}: the port is in use; choose another or leave it out"))
        }
        io::ErrorKind::PermissionDenied if port != 0 => {
            Trouble::Refused(format!("--port {port}: not permitted; choose one above 1023"))
        }
        _ => Trouble::Failed(format!("cannot start the venue: {error}")),
    })
}

fn perform(
    action: Action,
    plan: &Plan,
    venue: &mut Venue,
    record: &mut Record,
    screen: &mut Screen,
) -> Result<(), Trouble> {
    let at = plan.start.elapsed();
    let done = action.perform(venue);
    let words = done.map_err(|error| Trouble::Failed(format!("script, {action:?}: {error}")))?;
    let entry = Entry { at, what: What::Script { phase: action.phase(), words } };
    screen.note(&entry)?;
    record.entries.push(entry);
    Ok(())
}

/// Looks after a run while its threads trade.
struct Watch<'a> {
    breaker: &'a CircuitBreaker,
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
        plan: &Plan,
        scale: &Scale,
        mut venue: Option<&mut Venue>,
        gate: &Gate,
        screen: &mut Screen,
        record: &mut Record,
    ) -> Result<(), Trouble> {
        let steps = if venue.is_some() { script::faults(scale) } else { Vec::new() };
        let mut steps = steps.iter().peekable();
        if let Some(venue) = venue.as_deref() {
            let words = format!("venue started: pid {} on {}", venue.pid(), venue.address());
            let entry = Entry { at: Duration::ZERO, what: What::Script { phase: "well", words } };
            screen.note(&entry)?;
            record.entries.push(entry);
        }
        self.look(plan, record, venue.as_deref(), screen)?;
        for tick in 1.. {
            let next = TICK * tick;
            while let (Some(venue), Some(step)) =
                (venue.as_deref_mut(), steps.next_if(|step| step.at + record.put_off <= next))
            {
                if !gate.wait_until(plan.start + step.at + record.put_off) {
                    return Ok(());
                }
                self.collect(plan, record, screen)?;
                perform(step.action, plan, venue, record, screen)?;
                let late = plan.start.elapsed().saturating_sub(step.at);
                // A fault cut short would prove nothing, so the rest of the script waits as well.
                if late > record.put_off + TICK {
                    record.put_off = late;
                }
            }
            if !gate.wait_until(plan.start + next) {
                return Ok(());
            }
            self.collect(plan, record, screen)?;
            self.look(plan, record, venue.as_deref(), screen)?;
            if next >= plan.length && steps.peek().is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Takes in the breaker's transitions and what the threads have done since last time.
    fn collect(&mut self, plan: &Plan, record: &mut Record, screen: &mut Screen) -> io::Result<()> {
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
        record.elapsed = plan.start.elapsed();
        self.samples.push_back((record.elapsed, counts));
        while self.samples.len() > 2
            && record.elapsed.saturating_sub(self.samples[1].0) >= Duration::from_secs(1)
        {
            self.samples.pop_front();
        }
        Ok(())
    }

    fn look(
        &self,
        plan: &Plan,
        record: &Record,
        venue: Option<&Venue>,
        screen: &mut Screen,
    ) -> io::Result<()> {
        let oldest = self.samples.front().copied().unwrap_or_default();
        let newest = self.samples.back().copied().unwrap_or_default();
        screen.show(&Now {
            state: self.breaker.state(),
            retry: self.breaker.time_until_retry(),
            counts: newest.1,
            recent: (newest.1.since(&oldest.1), newest.0.saturating_sub(oldest.0)),
            pid: venue.map(Venue::pid),
            address: plan.address,
            record,
        })
    }
}
