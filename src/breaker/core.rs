//! The engine of one breaker: its shared state, admission and results.

use std::hint::cold_path;
use std::sync::{Arc, Mutex, Weak};

use arc_swap::{ArcSwap, Guard};

use super::config::{Cancelled, WindowConfig};
use super::counters::WindowCounts;
use super::counters::{self, CANCELLED, COUNTERS, FAILURE, IGNORED, LATE, PROBE_FAILURE, SUCCESS};
use super::latency::Latencies;
use super::rules::{Rates, Rules, Span};
use super::token::{Answer, Outcome, Token, Transition};
use crate::clock::{Clock, nanos};
use crate::error::RejectReason;
use crate::observe::{
    DirtyMark, DirtySet, EventQueue, Kind, Live, Publisher, Record, Registration, register,
};
use crate::sync::{AtomicBool, AtomicU64, Mutant, Ordering, fence, mutant};
use crate::tally::{Tally, lanes};
use crate::window::Window;
use crate::word::breaker::{
    Admission, BreakerWord, Cause, CircuitState, Effect, Moved, OpenUntil, Round, UNIT_SHIFT, Verdict,
    units_up,
};
use crate::word::cell::{Step, WordCell};
use crate::word::tagged::TaggedWord;
use crate::word::{next_epoch, widen_epoch};

/// What the paths of admitted and recorded calls need beyond counting, a bit each. The bits are hints:
/// each one leads to a path that reads the published rules and decides by those alone.
pub(super) mod needs {
    /// An admission notes when the call began.
    pub(in crate::breaker) const START: u64 = 1;
    /// A result is told the time.
    pub(in crate::breaker) const END: u64 = 1 << 1;
    /// A result may be slow.
    pub(in crate::breaker) const SLOW: u64 = 1 << 2;
    /// Outstanding calls are followed.
    pub(in crate::breaker) const HUNG: u64 = 1 << 3;
    /// The window's buckets are calls.
    pub(in crate::breaker) const COUNTED: u64 = 1 << 4;
    /// A set collects the instances that counted something.
    pub(in crate::breaker) const DIRTY: u64 = 1 << 5;
    /// A cancelled call is a failure.
    pub(in crate::breaker) const CANCEL_FAILS: u64 = 1 << 6;
    /// A result's latency is recorded.
    pub(in crate::breaker) const LATENCY: u64 = 1 << 7;
}

/// The origin before any time was seen.
const NO_ORIGIN: u64 = u64::MAX;

/// How far the clock may go back behind the first time that was seen and still be told apart: a day.
const ORIGIN_MARGIN: u64 = 24 * 60 * 60 * 1_000_000_000;

/// The epoch before the first, so that the first may still be stamped.
const NO_EPOCH: u32 = u32::MAX;

/// `last_failure_at` before any failure; other values are a time plus one.
const NEVER: u64 = 0;

/// Tells the time to a path that needs it. It is asked with the core at hand, so that those who go by the
/// breaker's own clock carry nothing for it.
pub(super) trait Now: Copy {
    /// The time.
    fn read(self, core: &Core) -> u64;

    /// The time, if it takes no call to know it.
    #[inline(always)]
    fn glance(self, core: &Core) -> Option<u64> {
        Some(self.read(core))
    }
}

/// The time by the breaker's own clock.
#[derive(Clone, Copy)]
pub(super) struct OwnTime;

impl Now for OwnTime {
    #[inline(always)]
    fn read(self, core: &Core) -> u64 {
        core.hot.clock.now()
    }

    #[inline(always)]
    fn glance(self, core: &Core) -> Option<u64> {
        core.hot.clock.glance()
    }
}

/// A time that the caller knows.
#[derive(Clone, Copy)]
pub(super) struct At(pub(super) u64);

impl Now for At {
    #[inline(always)]
    fn read(self, _: &Core) -> u64 {
        self.0
    }
}

/// A time that the caller is asked for.
pub(super) struct Asked<'a, F>(pub(super) &'a F);

impl<F> Clone for Asked<'_, F> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Asked<'_, F> {}

impl<F: Fn() -> u64> Now for Asked<'_, F> {
    #[inline(always)]
    fn read(self, _: &Core) -> u64 {
        self.0()
    }
}

/// The shared state of one breaker.
pub(crate) struct Core {
    pub(super) hot: Hot,
    rules: ArcSwap<Rules>,
    /// When the present epoch began, in units, rounded up.
    pub(super) since: WordCell<TaggedWord>,
    /// How many open periods in a row, as of the last opening or closing by hand.
    pub(super) streak: WordCell<TaggedWord>,
    /// The deadline of a granted round, in units.
    pub(super) grant: WordCell<TaggedWord>,
    /// How many probes it was granted.
    pub(super) granted: WordCell<TaggedWord>,
    /// Failures that made the last opening.
    trip_count: WordCell<TaggedWord>,
    pub(super) last_failure_at: AtomicU64,
    /// The greatest transition number: the epoch in full width.
    pub(super) sequence: AtomicU64,
    /// The version of the published rules.
    version: AtomicU64,
    pub(super) transitions: [AtomicU64; 4],
    pub(super) hung: AtomicU64,
    ramp_turn: AtomicU64,
    pub(super) wanted: AtomicBool,
    /// Serialises reconfiguration and remote states; holds the last remote generation.
    pub(super) control: Mutex<u64>,
    /// Boxed, because most breakers have none and each holds the place.
    publisher: Option<Box<Publisher>>,
    pub(super) latency: Option<Box<Latencies>>,
    pub(super) name: Arc<str>,
    seed: u64,
    _registration: Registration,
}

/// What every call reads, in two lines of its own. Written only when the state, a bucket or the
/// configuration changes.
#[repr(align(64))]
pub(super) struct Hot {
    pub(super) word: WordCell<BreakerWord>,
    pub(super) needs: AtomicU64,
    pub(super) slow_after: AtomicU64,
    /// When the next bucket of a time window begins, on the caller's clock; calls before it need not
    /// look at the window. Zero asks the next call to look.
    pub(super) edge: AtomicU64,
    /// A success whose lane count has none of these bits looks at a count window.
    pub(super) count_mask: AtomicU64,
    origin: AtomicU64,
    pub(super) tally: Tally<COUNTERS>,
    pub(super) clock: Clock,
    dirty: Option<DirtyMark>,
}

/// What a breaker is built from.
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) rules: Rules,
    pub(super) clock: Clock,
    pub(super) stripes: usize,
    pub(super) events: Option<EventQueue>,
    pub(super) dirty: Option<DirtySet>,
    pub(super) latency: Option<Box<Latencies>>,
    pub(super) seed: u64,
    pub(super) disabled: bool,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { name, rules, clock, stripes, events, dirty, latency, seed, disabled } = parts;
        let word = if disabled { BreakerWord::NEW_DISABLED } else { BreakerWord::NEW };
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let live: Weak<dyn Live> = weak.clone();
            let core = Self {
                hot: Hot {
                    word: WordCell::new(word),
                    needs: AtomicU64::new(0),
                    slow_after: AtomicU64::new(u64::MAX),
                    edge: AtomicU64::new(0),
                    count_mask: AtomicU64::new(u64::MAX),
                    origin: AtomicU64::new(NO_ORIGIN),
                    tally: Tally::new(stripes),
                    clock,
                    dirty: dirty.map(|set| set.join(live.clone())),
                },
                rules: ArcSwap::from_pointee(rules),
                since: WordCell::new(TaggedWord::new(NO_EPOCH, 0)),
                streak: WordCell::new(TaggedWord::new(0, 0)),
                grant: WordCell::new(TaggedWord::new(0, 0)),
                granted: WordCell::new(TaggedWord::new(0, 0)),
                trip_count: WordCell::new(TaggedWord::new(NO_EPOCH, 0)),
                last_failure_at: AtomicU64::new(NEVER),
                sequence: AtomicU64::new(0),
                version: AtomicU64::new(0),
                transitions: std::array::from_fn(|_| AtomicU64::new(0)),
                hung: AtomicU64::new(0),
                ramp_turn: AtomicU64::new(0),
                wanted: AtomicBool::new(false),
                control: Mutex::new(0),
                publisher: events.map(|queue| Box::new(queue.publisher(name.clone()))),
                latency,
                name,
                seed,
                _registration: register(live),
            };
            core.publish_needs();
            core
        })
    }

    /// The published rules.
    #[inline]
    pub(super) fn rules(&self) -> Guard<Arc<Rules>> {
        // What arc-swap orders, loom cannot see.
        #[cfg(fusewire_loom)]
        self.version.fetch_add(0, Ordering::Acquire);
        self.rules.load()
    }

    /// Puts new rules in force.
    pub(super) fn publish_rules(&self, rules: Rules) {
        // The version goes first: whoever works by older rules then finds that they were replaced.
        // loom alone reads it with an Acquire; elsewhere the swap of the edge carries it.
        #[cfg(fusewire_loom)]
        self.version.swap(rules.version, Ordering::Release);
        #[cfg(not(fusewire_loom))]
        self.version.store(rules.version, Ordering::Relaxed);
        self.rules.store(rules.into());
        // AcqRel: pairs with the AcqRel maximum in `open_edge`; whoever comes after this zero sees the
        // version, and what came before it is gone.
        self.hot.edge.swap(0, Ordering::AcqRel);
        self.publish_needs();
    }

    /// Derives the hints from the published rules.
    pub(super) fn publish_needs(&self) {
        let rules = self.rules();
        let mut needs = 0;
        let mut set = |on: bool, bits: u64| needs |= if on { bits } else { 0 };
        let rates = rules.rates.as_ref();
        let span = rates.map(|rates| rates.span);
        set(matches!(span, Some(Span::Nanos(_))), needs::END);
        set(rules.config.slow_calls.is_some(), needs::START | needs::END | needs::SLOW);
        set(rules.hung.is_some(), needs::HUNG | needs::START);
        set(matches!(span, Some(Span::Calls(_))), needs::COUNTED);
        set(rules.config.cancelled_as == Cancelled::Failure, needs::CANCEL_FAILS);
        set(self.hot.dirty.is_some(), needs::DIRTY);
        set(self.latency.is_some(), needs::LATENCY | needs::START | needs::END);
        let interval = match span {
            Some(Span::Calls(width)) => check_interval(width, self.hot.tally.stripes()),
            _ => u64::MAX,
        };
        self.hot.count_mask.store(interval.wrapping_sub(1), Ordering::Relaxed);
        self.hot.slow_after.store(rates.map_or(u64::MAX, |r| r.slow_after), Ordering::Relaxed);
        self.hot.needs.store(needs, Ordering::Relaxed);
    }

    /// Nanoseconds since the breaker's origin: a day before the first time it was told.
    pub(super) fn elapsed(&self, now: u64) -> u64 {
        let origin = self.hot.origin.load(Ordering::Relaxed);
        now.saturating_sub(if origin == NO_ORIGIN { self.set_origin(now) } else { origin })
    }

    /// As `elapsed`, for those who only look: it leaves an unset origin alone.
    pub(super) fn elapsed_seen(&self, now: u64) -> u64 {
        match self.hot.origin.load(Ordering::Relaxed) {
            NO_ORIGIN => now.min(ORIGIN_MARGIN),
            origin => now.saturating_sub(origin),
        }
    }

    #[cold]
    #[inline(never)]
    fn set_origin(&self, now: u64) -> u64 {
        let origin = now.saturating_sub(ORIGIN_MARGIN);
        let set = self.hot.origin.compare_exchange(NO_ORIGIN, origin, Ordering::Relaxed, Ordering::Relaxed);
        let origin = set.map_or_else(|found| found, |_| origin);
        self.since.publish(0, units_up(now.saturating_sub(origin)), || self.epoch());
        origin
    }

    /// A time since the origin as the caller's clock shows it.
    pub(super) fn absolute(&self, elapsed: u64) -> u64 {
        let origin = self.hot.origin.load(Ordering::Relaxed);
        if origin == NO_ORIGIN { elapsed } else { origin.saturating_add(elapsed) }
    }

    // ---- admission

    /// Admits a call or refuses it.
    ///
    /// Here and in `record_with`, what is marked as cold is not rare: the mark keeps the path that needs least
    /// straight, and in a loop as short as this each jump costs as much as several instructions.
    #[inline(always)]
    pub(super) fn admit_with(&self, now: impl Now) -> Result<Token, Answer> {
        let word = self.hot.word.load();
        if word.is_calm() {
            let needs = self.hot.needs.load(Ordering::Relaxed);
            if needs & needs::START == 0 {
                return Ok(Token::untimed(word.epoch()));
            }
            cold_path();
            if needs & needs::HUNG == 0
                && let Some(now) = now.glance(self)
            {
                return Ok(Token::timed(word.epoch(), now));
            }
        }
        self.admit_guarded(word, lanes::current(), now).token()
    }

    /// An admission that is not just let through. Out of line, so that callers inline no more than a closed
    /// breaker needs; but they look up their lane, which costs an executable less than a library.
    ///
    /// Whatever it calls comes last: so a refusal has no registers to save.
    #[inline(never)]
    fn admit_guarded(&self, word: BreakerWord, lane: usize, now: impl Now) -> Answer {
        let Some(until) = word.open_until() else { return self.admit_unless_open(word, now) };
        match now.glance(self) {
            Some(now) => self.admit_open(until, lane, now),
            None => self.admit_open_by(until, lane, now),
        }
    }

    /// As `admit_open`, by a clock that has to be called.
    #[inline(never)]
    fn admit_open_by(&self, until: u64, lane: usize, now: impl Now) -> Answer {
        self.admit_open(until, lane, now.read(self))
    }

    /// An admission to a word that is open until a deadline.
    #[inline(always)]
    fn admit_open(&self, until: u64, lane: usize, now: u64) -> Answer {
        // An unset origin is greater than any time, and the slow path sets it.
        let origin = self.hot.origin.load(Ordering::Relaxed);
        if now > origin {
            let (deadline, elapsed) = (until << UNIT_SHIFT, now - origin);
            if elapsed < deadline {
                let (reason, left) = (RejectReason::Open, deadline - elapsed);
                return match self.hot.tally.add_if_owned(lane, counters::rejected(reason)) {
                    Some(_) if self.hot.dirty.is_none() => Answer::refused(reason, left),
                    Some(_) => {
                        cold_path();
                        self.refused_marked(reason, left)
                    }
                    None => self.reject(reason, left),
                };
            }
        }
        self.admit_slow(now)
    }

    /// An admission to a word that is forced open or not open.
    #[inline(never)]
    fn admit_unless_open(&self, word: BreakerWord, now: impl Now) -> Answer {
        let needs = self.hot.needs.load(Ordering::Relaxed);
        if !word.admits_all() {
            return self.admit_slow(now.read(self));
        }
        if needs & needs::START == 0 {
            return Answer::admitted(Token::untimed(word.epoch()));
        }
        let now = now.read(self);
        if needs & needs::HUNG == 0 {
            return Answer::admitted(Token::timed(word.epoch(), now));
        }
        self.admit_followed(word, now)
    }

    /// An admission to a word that lets anybody pass, of a call that is followed until its result.
    #[inline(never)]
    fn admit_followed(&self, word: BreakerWord, now: u64) -> Answer {
        let rules = self.rules();
        let elapsed = self.elapsed(now);
        if rules.retired.is_none()
            && let Some(table) = &rules.hung
            && table.has_swept(table.tick(elapsed))
        {
            return Answer::admitted(self.follow(Token::timed(word.epoch(), now), elapsed, now, &rules));
        }
        // What is found hung may open the breaker first.
        drop(rules);
        self.admit_slow(now)
    }

    #[cold]
    #[inline(never)]
    fn admit_slow(&self, now: u64) -> Answer {
        let rules = self.rules();
        let elapsed = self.elapsed(now);
        let units = elapsed >> UNIT_SHIFT;
        if let Some(table) = &rules.hung {
            let epoch = self.hot.word.load().epoch();
            let retired = rules.retired.as_ref().map_or(0, |old| old.sweep(epoch, old.tick(elapsed)));
            let hung = table.sweep(epoch, table.tick(elapsed)) + retired;
            self.record_hung(epoch, hung, now, &rules);
        }
        let before = self.since.load();
        let admission = self.hot.word.update(|word| {
            word.admit(units, self.round(word, units, &rules), self.granted(word), &rules.word)
        });
        let token = match admission {
            Admission::Free { epoch } => Token::timed(epoch, now),
            Admission::Ramp { epoch } => {
                if !self.ramp_admits(epoch, elapsed, &rules) {
                    return self.reject(RejectReason::RampUp, 0);
                }
                Token::timed(epoch, now)
            }
            Admission::Probe { epoch } => Token::timed(epoch, now).as_probe(),
            Admission::Opened { epoch, moved } => {
                self.announce(moved, before, now, self.trip_count());
                Token::timed(epoch, now).as_probe()
            }
            Admission::Open { until } => {
                let left = (until << UNIT_SHIFT).saturating_sub(elapsed);
                return self.reject(RejectReason::Open, left);
            }
            Admission::Forced => return self.reject(RejectReason::ForcedOpen, u64::MAX),
            Admission::Full { epoch, round } => return self.reject_full(epoch, round, elapsed, &rules),
            Admission::AwaitingGrant => return self.await_grant(),
            Admission::RoundLapsed { moved } => {
                self.announce(moved, before, now, self.trip_count());
                return self.await_grant();
            }
        };
        Answer::admitted(self.follow(token, elapsed, now, &rules))
    }

    /// Enters an admitted call into the table of outstanding ones.
    fn follow(&self, token: Token, elapsed: u64, now: u64, rules: &Rules) -> Token {
        let Some(table) = &rules.hung else { return token };
        match table.enter(token.epoch(), table.tick(elapsed)) {
            Some(hung) => {
                self.record_hung(token.epoch(), hung, now, rules);
                token.followed_by(table.id())
            }
            None => token,
        }
    }

    /// Counts a refusal. The greatest number of nanoseconds stands for ever.
    #[inline(never)]
    fn reject(&self, reason: RejectReason, nanos: u64) -> Answer {
        self.hot.tally.add(counters::rejected(reason));
        self.refused_marked(reason, nanos)
    }

    /// A refusal that is counted and may have to be made known.
    #[inline(never)]
    fn refused_marked(&self, reason: RejectReason, nanos: u64) -> Answer {
        self.mark_dirty();
        Answer::refused(reason, nanos)
    }

    fn reject_full(&self, epoch: u32, round: Round, elapsed: u64, rules: &Rules) -> Answer {
        let until = match round {
            Round::Until(units) => units,
            Round::Over => elapsed >> UNIT_SHIFT,
            // The mover stands between its two writes: the round runs from now, whoever says so first.
            Round::Unstamped => {
                let start = units_up(elapsed);
                if !mutant(Mutant::NoHelping) {
                    self.since.publish(epoch, start, || self.epoch());
                }
                start.saturating_add(rules.round)
            }
        };
        self.reject(RejectReason::HalfOpen, (until << UNIT_SHIFT).saturating_sub(elapsed))
    }

    fn await_grant(&self) -> Answer {
        self.wanted.store(true, Ordering::Relaxed);
        self.reject(RejectReason::AwaitingGrant, 0)
    }

    /// What is known of the round that a word stands in.
    pub(super) fn round(&self, word: BreakerWord, units: u64, rules: &Rules) -> Round {
        let granted = || if rules.word.granted { self.grant.load().of(word.epoch()) } else { None };
        let since = || self.since.load().of(word.epoch()).map(|start| start.saturating_add(rules.round));
        match granted().or_else(since) {
            None => Round::Unstamped,
            Some(deadline) if units >= deadline => Round::Over,
            Some(deadline) => Round::Until(deadline),
        }
    }

    /// How many probes were granted to the round that a word stands in.
    pub(super) fn granted(&self, word: BreakerWord) -> Option<u64> {
        self.granted.load().of(word.epoch())
    }

    /// Whether the ramp after closing admits one more call.
    fn ramp_admits(&self, epoch: u32, elapsed: u64, rules: &Rules) -> bool {
        let start = self.since.load().of(epoch).unwrap_or_else(|| {
            self.since.publish(epoch, units_up(elapsed), || self.epoch());
            units_up(elapsed)
        });
        let run = elapsed.saturating_sub(start << UNIT_SHIFT);
        let period = rules.config.ramp_up.map_or(0, nanos);
        if run >= period {
            self.hot.word.update(|word| word.end_ramp(epoch));
            return true;
        }
        let share = (run as f64 / period as f64).max(0.1);
        // The golden ratio's multiples spread evenly over any stretch of turns.
        let turn = self.ramp_turn.fetch_add(1, Ordering::Relaxed);
        let place = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        (place as f64) < share * (1_u64 << 32) as f64
    }

    // ---- results

    /// Records a result. Inlined is what a success takes while closed; all the rest, the first count of a thread
    /// too, is one call, which starts afresh.
    #[inline(always)]
    pub(super) fn record_with(&self, token: Token, outcome: Outcome, now: impl Now) -> Option<Transition> {
        if outcome == Outcome::Success {
            let needs = self.hot.needs.load(Ordering::Relaxed);
            if needs & (needs::END | needs::COUNTED | needs::DIRTY) != 0 {
                cold_path();
                return self.record_watched(token, needs, now);
            }
            if token.is_calm_in(self.hot.word.load())
                && self.hot.tally.add_if_owned(lanes::current(), SUCCESS).is_some()
            {
                return None;
            }
        }
        cold_path();
        self.record_other(token, outcome, now)
    }

    /// A success that is more than counted.
    #[inline(always)]
    fn record_watched(&self, token: Token, needs: u64, now: impl Now) -> Option<Transition> {
        if needs & needs::END != 0 {
            let Some(now) = now.glance(self) else {
                return self.record_other(token, Outcome::Success, now);
            };
            if !self.is_quick(token, needs, now) {
                cold_path();
                return self.record_slow(token, Outcome::Success, now);
            }
            self.note_latency(token, needs, now);
        } else {
            cold_path();
            if !token.is_calm_in(self.hot.word.load()) {
                return self.record_other(token, Outcome::Success, now);
            }
        }
        self.count_calm(token, needs, now)
    }

    /// Counts a success while closed with no failures pending: nothing of the word changes.
    #[inline(always)]
    fn count_calm(&self, token: Token, needs: u64, now: impl Now) -> Option<Transition> {
        let count = self.hot.tally.add(SUCCESS);
        if needs & (needs::COUNTED | needs::DIRTY) != 0 {
            cold_path();
            self.mark_dirty();
            if needs & needs::COUNTED != 0 && count & self.hot.count_mask.load(Ordering::Relaxed) == 0 {
                return self.check_counted(token, now);
            }
        }
        None
    }

    /// Any result in any state. Out of line, as `admit_guarded` is.
    #[inline(never)]
    fn record_other(&self, token: Token, outcome: Outcome, now: impl Now) -> Option<Transition> {
        let needs = self.hot.needs.load(Ordering::Relaxed);
        match outcome {
            Outcome::Success if token.is_calm_in(self.hot.word.load()) => self.record_calm(token, needs, now),
            Outcome::Success if !token.is_probe() && needs & (needs::END | needs::COUNTED) == 0 => {
                self.record_untimed(token)
            }
            Outcome::Ignored => self.record_returned(token, IGNORED),
            Outcome::Cancelled if needs & needs::CANCEL_FAILS == 0 => self.record_returned(token, CANCELLED),
            _ => self.record_slow(token, outcome, now.read(self)),
        }
    }

    /// A success on a calm word.
    #[inline(always)]
    fn record_calm(&self, token: Token, needs: u64, now: impl Now) -> Option<Transition> {
        if needs & needs::END != 0 {
            let now = now.read(self);
            if !self.is_quick(token, needs, now) {
                return self.record_slow(token, Outcome::Success, now);
            }
            self.note_latency(token, needs, now);
        }
        self.count_calm(token, needs, now)
    }

    /// Records how long a quick success took, where that is wanted.
    #[inline(always)]
    fn note_latency(&self, token: Token, needs: u64, now: u64) {
        if needs & needs::LATENCY != 0 {
            cold_path();
            if let Some(latency) = &self.latency {
                latency.record(token.started(), now);
            }
        }
    }

    /// Whether a success at `now` changes nothing of the word, is of the present bucket, and not slow.
    #[inline(always)]
    fn is_quick(&self, token: Token, needs: u64, now: u64) -> bool {
        let took = || token.started().map_or(0, |started| now.saturating_sub(started));
        // Acquire: pairs with the Release in `open_edge`; the count that follows is then seen only by sums
        // that also see the window's head in this bucket.
        if !token.is_calm_in(self.hot.word.load()) || now >= self.hot.edge.load(Ordering::Acquire) {
            return false;
        }
        if needs & needs::SLOW != 0 {
            cold_path();
            return took() <= self.hot.slow_after.load(Ordering::Relaxed);
        }
        true
    }

    /// A success that ends a row of failures, of a followed call, or while disabled: without rates it needs no time.
    fn record_untimed(&self, token: Token) -> Option<Transition> {
        let rules = self.rules();
        let late = self.is_late(token, &rules);
        self.hot.tally.add(if late { LATE } else { SUCCESS });
        if !late && !self.hot.word.load().is_calm() {
            let until = OpenUntil::Units(0);
            self.hot
                .word
                .update(|word| word.finish(token.epoch(), Verdict::Success, None, until, &rules.word));
        }
        self.mark_dirty();
        None
    }

    /// A result that says nothing about the service.
    #[cold]
    #[inline(never)]
    fn record_returned(&self, token: Token, counter: usize) -> Option<Transition> {
        if token.is_plain() {
            let late = self.is_over(token);
            self.hot.tally.add(if late { LATE } else { counter });
            self.mark_dirty();
            return None;
        }
        let rules = self.rules();
        let counter = if self.is_late(token, &rules) {
            LATE
        } else if token.is_probe() {
            // Giving a place back moves no state, so no opening is ever computed.
            let until = OpenUntil::Units(0);
            let effect = self
                .hot
                .word
                .update(|word| word.finish(token.epoch(), Verdict::Returned, None, until, &rules.word));
            if effect == Effect::Late { LATE } else { counter }
        } else {
            counter
        };
        self.hot.tally.add(counter);
        self.mark_dirty();
        None
    }

    /// Whether a result comes after its epoch, or after its call was declared hung.
    fn is_late(&self, token: Token, rules: &Rules) -> bool {
        !self.leave(token, rules) || self.is_over(token)
    }

    /// Whether the epoch of a call is over. Nobody is admitted while open, so a result that claims to
    /// be of an open epoch (an untracked one) belongs to an earlier one.
    #[inline]
    fn is_over(&self, token: Token) -> bool {
        let word = self.hot.word.load();
        (word.epoch() != token.epoch() && !mutant(Mutant::IgnoreEpoch)) || word.state() == CircuitState::Open
    }

    /// Takes a followed call out of the table. False when it was declared hung before.
    fn leave(&self, token: Token, rules: &Rules) -> bool {
        let (Some(id), Some(started)) = (token.table(), token.started()) else { return true };
        let mut tables = rules.hung.iter().chain(&rules.retired);
        match tables.find(|table| table.id() == id) {
            Some(table) => table.leave(token.epoch(), table.tick(self.elapsed(started))),
            // Two reconfigurations ago: nobody knows whether it was declared hung, so it counts once at most.
            None => false,
        }
    }

    #[cold]
    #[inline(never)]
    fn record_slow(&self, token: Token, outcome: Outcome, now: u64) -> Option<Transition> {
        let rules = self.rules();
        let outcome = match (outcome, rules.config.cancelled_as) {
            (Outcome::Cancelled, Cancelled::Failure) => Outcome::Failure,
            (outcome, _) => outcome,
        };
        let verdict = match outcome {
            Outcome::Success => Verdict::Success,
            Outcome::Failure => Verdict::Failures(1),
            Outcome::Ignored => return self.record_returned(token, IGNORED),
            Outcome::Cancelled => return self.record_returned(token, CANCELLED),
        };
        if let Some(latency) = &self.latency {
            // Late or not: it is what the service took.
            latency.record(token.started(), now);
        }
        if self.is_late(token, &rules) {
            self.hot.tally.add(LATE);
            self.mark_dirty();
            return None;
        }
        let slow_after = rules.rates.as_ref().map_or(u64::MAX, |rates| rates.slow_after);
        let slow = token.started().is_some_and(|started| now.saturating_sub(started) > slow_after);
        let counter = counters::of(outcome, slow, token.is_probe());
        if outcome == Outcome::Failure {
            self.note_failure(now);
        }
        let moved = if token.is_probe() {
            self.record_probe(token, verdict, counter, now, &rules)
        } else {
            self.record_closed(token, verdict, counter, slow, now, &rules)
        };
        self.mark_dirty();
        moved
    }

    fn record_probe(
        &self,
        token: Token,
        verdict: Verdict,
        counter: usize,
        now: u64,
        rules: &Rules,
    ) -> Option<Transition> {
        let (effect, before) = self.finish(token.epoch(), verdict, None, now, rules);
        let counter = if effect == Effect::Late { LATE } else { counter };
        self.hot.tally.add(counter);
        self.announce_effect(effect, before, now)
    }

    fn record_closed(
        &self,
        token: Token,
        verdict: Verdict,
        counter: usize,
        slow: bool,
        now: u64,
        rules: &Rules,
    ) -> Option<Transition> {
        let rates = rules.rates.as_ref();
        // The head moves before the count, so that no boundary of a later bucket misses it.
        let crossed = self.roll(rules, now);
        let count = self.hot.tally.add(counter);
        // As in `record_calm`: a success may have filled a bucket of calls.
        let filled = counter == SUCCESS
            && rates.is_some_and(|rates| matches!(rates.span, Span::Calls(_)))
            && count & self.hot.count_mask.load(Ordering::Relaxed) == 0;
        let trip = match rates {
            Some(rates) if crossed || filled || slow || verdict != Verdict::Success => {
                self.evaluate(rates, token.epoch())
            }
            _ => None,
        };
        if verdict == Verdict::Success && trip.is_none() && self.hot.word.load().is_calm() {
            return None;
        }
        let (effect, before) = self.finish(token.epoch(), verdict, trip, now, rules);
        self.announce_effect(effect, before, now)
    }

    /// Looks at a count window after a success that may have filled a bucket.
    #[cold]
    #[inline(never)]
    fn check_counted(&self, token: Token, now: impl Now) -> Option<Transition> {
        let rules = self.rules();
        let trip = self.evaluate(rules.rates.as_ref()?, token.epoch())?;
        let now = now.read(self);
        let (effect, before) = self.finish(token.epoch(), Verdict::Success, Some(trip), now, &rules);
        self.announce_effect(effect, before, now)
    }

    /// Counts `hung` calls of `epoch` as failures.
    fn record_hung(&self, epoch: u32, hung: u64, now: u64, rules: &Rules) {
        if hung == 0 {
            return;
        }
        let word = self.hot.word.load();
        if word.epoch() != epoch {
            return;
        }
        self.hung.fetch_add(hung, Ordering::Relaxed);
        let closed = word.state() != CircuitState::HalfOpen;
        if closed {
            self.roll(rules, now);
        }
        self.hot.tally.add_shared(if closed { FAILURE } else { PROBE_FAILURE }, hung);
        let trip = rules.rates.as_ref().filter(|_| closed).and_then(|rates| self.evaluate(rates, epoch));
        let (effect, before) = self.finish(epoch, Verdict::Failures(hung), trip, now, rules);
        self.note_failure(now);
        self.mark_dirty();
        self.announce_effect(effect, before, now);
    }

    /// Applies a verdict to the word. The second value is the side word from before, for `announce`.
    fn finish(
        &self,
        epoch: u32,
        verdict: Verdict,
        trip: Option<(Cause, u64)>,
        now: u64,
        rules: &Rules,
    ) -> (Effect, TaggedWord) {
        let before = self.since.load();
        let mut nth = 0;
        let effect = self.hot.word.update(|word| {
            let finish =
                |until| word.finish(epoch, verdict, trip.map(|(cause, _)| cause), until, &rules.word);
            let mut step = finish(OpenUntil::Units(0));
            if let Step::Set(_, Effect::Moved(moved)) = step
                && moved.to == CircuitState::Open
            {
                let until;
                (until, nth) = self.opening(word, now, rules);
                step = finish(until);
                // Before the exchange, whose Release brings it to whoever sees the breaker open.
                self.set_trip_count(moved.epoch, self.failures_of(word, verdict, trip, moved));
                #[cfg(fusewire_loom)]
                if mutant(Mutant::OpenBeforeDeadline) {
                    self.hot.word.overwrite(BreakerWord::open(moved.epoch, OpenUntil::Units(0)));
                }
            }
            self.prepared(rules, step)
        });
        if let Effect::Moved(Moved { to: CircuitState::Open, epoch, .. }) = effect {
            self.streak.publish(epoch, nth, || self.epoch());
        }
        (effect, before)
    }

    /// How many failures an opening is announced with.
    fn failures_of(
        &self,
        word: BreakerWord,
        verdict: Verdict,
        trip: Option<(Cause, u64)>,
        moved: Moved,
    ) -> u64 {
        let added = if let Verdict::Failures(n) = verdict { n } else { 0 };
        match trip {
            Some((cause, count)) if cause == moved.cause => count,
            // A failed probe opens what was open before: the count that opened it stands.
            _ if moved.from == CircuitState::HalfOpen => self.trip_count().saturating_add(added),
            _ => word.failures().saturating_add(added),
        }
    }

    /// When an open period that begins now would end, and the how many-th in a row it would be.
    pub(super) fn opening(&self, word: BreakerWord, now: u64, rules: &Rules) -> (OpenUntil, u64) {
        let elapsed = self.elapsed(now);
        let streak = self.streak.load().value();
        let nth = match (&rules.config.open_backoff, word.state()) {
            (None, _) => 1,
            (Some(backoff), CircuitState::Closed) => {
                let since = self.since.load().of(word.epoch());
                let healthy = since.is_some_and(|units| {
                    elapsed.saturating_sub(units << UNIT_SHIFT) >= nanos(backoff.healthy_after)
                });
                if healthy { 1 } else { streak + 1 }
            }
            (Some(_), _) => streak + 1,
        };
        let length = rules.open_nanos(nth, || draw(self.seed, word.epoch()));
        let until = if length == 0 { 0 } else { units_up(elapsed.saturating_add(length)) };
        (OpenUntil::Units(until), nth)
    }

    /// What must be in place before the exchange that closes the word: the floor of the window.
    pub(super) fn prepared<R: StateChange>(
        &self,
        rules: &Rules,
        step: Step<BreakerWord, R>,
    ) -> Step<BreakerWord, R> {
        if let (Step::Set(_, answer), Some(rates)) = (&step, &rules.rates)
            && let Some(moved) = answer.moved()
            && moved.to == CircuitState::Closed
            && !mutant(Mutant::FloorAfterMove)
        {
            rates.window.restart(self.full_epoch(moved.epoch), &self.hot.tally.sum());
        }
        step
    }

    fn announce_effect(&self, effect: Effect, before: TaggedWord, now: u64) -> Option<Transition> {
        match effect {
            Effect::Moved(moved) => Some(self.announce(moved, before, now, self.announced_count(moved))),
            Effect::Late | Effect::Counted => None,
        }
    }

    fn announced_count(&self, moved: Moved) -> u64 {
        if moved.to == CircuitState::Open { self.trip_count() } else { 0 }
    }

    /// Makes a transition known. `before` is the side word as it was read before the exchange.
    pub(super) fn announce(&self, moved: Moved, before: TaggedWord, now: u64, failures: u64) -> Transition {
        let elapsed = self.elapsed(now);
        let rules = self.rules();
        if mutant(Mutant::FloorAfterMove)
            && moved.to == CircuitState::Closed
            && let Some(rates) = &rules.rates
        {
            rates.window.restart(self.full_epoch(moved.epoch), &self.hot.tally.sum());
        }
        self.since.publish(moved.epoch, units_up(elapsed), || self.epoch());
        let sequence = self.full_epoch(moved.epoch);
        self.sequence.fetch_max(sequence, Ordering::Relaxed);
        if moved.from != moved.to {
            self.transitions[moved.to as usize].fetch_add(1, Ordering::Relaxed);
        }
        // Whoever is refused for want of a grant in the new state says so again.
        self.wanted.store(false, Ordering::Relaxed);
        let began = before.of(previous_epoch(moved.epoch)).map(|units| units << UNIT_SHIFT);
        let record = Record {
            from: moved.from,
            to: moved.to,
            cause: moved.cause,
            failure_count: failures,
            elapsed: began.map_or(0, |began| elapsed.saturating_sub(began)),
            at: now,
        };
        if let Some(publisher) = &self.publisher {
            publisher.publish(sequence, record);
        }
        self.mark_dirty();
        Transition::new(&record, sequence)
    }

    /// The transition number of an epoch near the present one.
    pub(super) fn full_epoch(&self, epoch: u32) -> u64 {
        widen_epoch(epoch, self.sequence.load(Ordering::Relaxed))
    }

    fn note_failure(&self, now: u64) {
        // Time begins with the first failure at the latest, not with the one that opens.
        self.elapsed(now);
        self.last_failure_at.fetch_max(now.saturating_add(1), Ordering::Relaxed);
    }

    /// The failures that made the last opening.
    pub(super) fn trip_count(&self) -> u64 {
        self.trip_count.load().value()
    }

    /// Says, before the exchange that would enter `epoch`, how many failures make it an opening. Of
    /// several who try the greatest count stands, so it is never less than the winner's.
    pub(super) fn set_trip_count(&self, epoch: u32, count: u64) {
        let join: fn(u64, u64) -> u64 = if mutant(Mutant::LosersCount) { |_, last| last } else { u64::max };
        self.trip_count.join(epoch, count, || next_epoch(self.epoch()), join);
    }

    /// The present epoch.
    pub(super) fn epoch(&self) -> u32 {
        self.hot.word.load().epoch()
    }

    pub(super) fn last_failure(&self) -> Option<u64> {
        let at = self.last_failure_at.load(Ordering::Relaxed);
        (at != NEVER).then(|| at - 1)
    }

    pub(super) fn forget_failures(&self) {
        self.last_failure_at.store(NEVER, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn mark_dirty(&self) {
        if let Some(mark) = &self.hot.dirty {
            mark.mark();
        }
    }

    // ---- windows

    /// Moves a time window to the bucket of `now`; true for the thread that moved it.
    fn roll(&self, rules: &Rules, now: u64) -> bool {
        let time = rules.rates.as_ref().and_then(|rates| match rates.span {
            Span::Nanos(width) => Some((rates, width)),
            Span::Calls(_) => None,
        });
        let Some((rates, width)) = time else {
            // No bucket of time ever ends: whoever is told the time for another reason need not look.
            self.open_edge(u64::MAX, rules.version);
            return false;
        };
        let tick = self.elapsed(now) / width;
        let moved = rates.window.advance(tick, || self.hot.tally.sum());
        let edge = self.absolute((rates.window.tick() + 1).saturating_mul(width));
        self.open_edge(edge, rates.version);
        moved
    }

    /// Lets calls before `edge` pass the window by, unless its configuration was replaced meanwhile.
    fn open_edge(&self, edge: u64, version: u64) {
        if self.hot.edge.load(Ordering::Relaxed) >= edge {
            return;
        }
        // AcqRel: Release pairs with the Acquire in `record_calm`; Acquire pairs with the Release of the
        // swap to zero in `publish_rules`, whose version this thread then sees.
        self.hot.edge.fetch_max(edge, Ordering::AcqRel);
        if self.version.load(Ordering::Relaxed) != version && !mutant(Mutant::EdgeUnchecked) {
            self.hot.edge.swap(0, Ordering::Relaxed);
        }
    }

    /// The rate rule that the window makes true now, for a caller that has counted.
    fn evaluate(&self, rates: &Rates, epoch: u32) -> Option<(Cause, u64)> {
        if !mutant(Mutant::NoTripFence) {
            // SeqCst: pairs with itself in another failing call; of two that count and then sum, at least
            // one sees both.
            fence(Ordering::SeqCst);
        }
        let sum = self.hot.tally.sum();
        let calls = crate::window::calls(&sum);
        if let Span::Calls(width) = rates.span {
            // The call that fills a bucket is one of it: the window is judged while it is full.
            rates.window.advance(calls.saturating_sub(1) / width, || self.hot.tally.sum());
        }
        let epoch = self.full_epoch(epoch);
        let counts = rates.window.counts(epoch, &sum, rates.window.tick());
        if let Span::Calls(width) = rates.span {
            rates.window.advance(calls / width, || self.hot.tally.sum());
        }
        let Some(counts) = counts else {
            // The floor of this epoch is missing after a reconfiguration that raced with closing: from
            // here on it counts from now.
            rates.window.restart(epoch, &sum);
            return None;
        };
        rates.trip(&WindowCounts::new(counts))
    }

    /// The window as it stands at `now`, without moving it.
    pub(super) fn window_counts(&self, rules: &Rules, epoch: u32, now: Option<u64>) -> Option<WindowCounts> {
        let rates = rules.rates.as_ref()?;
        let sum = self.hot.tally.sum();
        let tick = match (rates.span, now) {
            (Span::Nanos(width), Some(now)) => self.elapsed_seen(now) / width,
            _ => 0,
        };
        let tick = tick.max(rates.window.tick());
        rates.window.counts(self.full_epoch(epoch), &sum, tick).map(WindowCounts::new)
    }

    /// A window that begins now.
    pub(super) fn new_window(&self, config: WindowConfig) -> Window {
        let epoch = self.full_epoch(self.hot.word.load().epoch());
        let sum = self.hot.tally.sum();
        let window = Window::new(config.buckets(), &sum, epoch);
        if let WindowConfig::Count { .. } = config {
            // Buckets of calls go on where they are; those of time begin with the next call.
            window.advance(crate::window::calls(&sum) / config.width(), || sum);
        }
        window
    }
}

impl Live for Core {
    fn kind(&self) -> Kind {
        Kind::CircuitBreaker
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn sample_latency(&self) -> bool {
        self.latency.as_deref().is_some_and(|latency| latency.sample_unless_given(self.hot.clock.now()))
    }
}

/// An answer of the word that may hold a transition.
pub(super) trait StateChange {
    fn moved(&self) -> Option<Moved>;
}

impl StateChange for Effect {
    fn moved(&self) -> Option<Moved> {
        match self {
            Self::Moved(moved) => Some(*moved),
            Self::Late | Self::Counted => None,
        }
    }
}

impl StateChange for Option<Moved> {
    fn moved(&self) -> Option<Moved> {
        *self
    }
}

fn previous_epoch(epoch: u32) -> u32 {
    epoch.wrapping_sub(1) & ((1 << crate::word::EPOCH_BITS) - 1)
}

/// How many successes of a lane pass between two looks at a count window: a power of two, so that all
/// lanes together are at most half a bucket late.
fn check_interval(width: u64, stripes: usize) -> u64 {
    let most = width / (2 * stripes as u64);
    if most == 0 { 1 } else { 1 << most.ilog2() }
}

/// A number of [0, 1) for one opening (`SplitMix64` of seed and epoch).
fn draw(seed: u64, epoch: u32) -> f64 {
    let mut z = seed.wrapping_add(u64::from(epoch).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ z >> 31) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(all(test, not(fusewire_loom)))]
mod tests {
    use super::*;
    use crossbeam_utils::CachePadded;

    #[test]
    fn without_a_window_of_time_no_result_looks_for_an_edge_twice() {
        use crate::breaker::CircuitBreaker;
        use crate::breaker::config::WindowConfig;
        let latency = crate::stats::HistogramConfig::new().precision(8);
        let builder = || CircuitBreaker::builder("edge").latency(latency);
        let counted = builder().failure_rate(0.5).window(WindowConfig::count(100, 10));
        for builder in [builder(), counted] {
            let breaker = builder.build().expect("valid settings");
            assert_eq!(breaker.core.hot.edge.load(Ordering::Relaxed), 0);
            breaker.try_acquire().expect("closed").success();
            assert_eq!(breaker.core.hot.edge.load(Ordering::Relaxed), u64::MAX);
        }
    }

    /// What a default breaker with one stripe holds: three allocations with their counts, and its name.
    #[test]
    fn a_breaker_with_one_stripe_is_at_most_1_kib() {
        let counts = 2 * size_of::<usize>();
        let core = (counts + size_of::<Core>()).next_multiple_of(align_of::<Core>());
        let lane = size_of::<CachePadded<[AtomicU64; COUNTERS]>>();
        let rules = counts + size_of::<Rules>();
        let name = counts + "a_service_name_of_32_characters_".len();
        let total = core + lane + rules + name;
        println!("core {core}, lane {lane}, rules {rules}, name {name}: {total} bytes");
        assert!(total <= 1024, "{total} bytes");
    }
}
