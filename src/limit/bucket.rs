//! The token bucket.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::counters::{Counters, LimiterTotals};
use super::queue::{Source, WaitQueue};
use super::terms::{Sight, Slot, Slots};
use super::wait::Waits;
use super::{Limiter, TokenBucketBuilder};
use crate::clock::Clock;
use crate::error::{ConfigError, RateLimitExceeded};
use crate::observe::{self, Kind, Live, Registration};
use crate::sync::{AtomicU64, Mutant, Mutex, Ordering, fence, mutant};
use crate::word::bucket::{BucketWord, GENERATIONS, SPAN, Terms};
use crate::word::cell::{Step, WordCell};

/// A token bucket: bursts of up to its capacity, and its rate on average.
///
/// A handle: cloning shares the bucket. It is the generic cell rate algorithm (ITU-T I.371, the virtual
/// scheduling form) on one word: taking is one exchange, refusing writes nothing but the thread's own
/// count. The time is kept in fractions of a token, so that no rate between one token in 18 years and
/// 10^9 a second is rounded, after idling of any length.
///
/// In any interval of `w` seconds at most `capacity + rate * w` tokens are given, by the times that the
/// callers gave; to those who waited, by the times at which their tokens were due, however late they woke. A
/// time that goes backwards gives none.
///
/// ```
/// use fusewire::{Limiter, TokenBucketRateLimiter};
///
/// let orders = TokenBucketRateLimiter::builder("orders").rate(100.0).capacity(10).build()?;
/// for _ in 0..10 {
///     orders.try_acquire()?;
/// }
/// let refused = orders.try_acquire().unwrap_err();
/// assert!(refused.retry_after.as_millis() <= 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenBucketRateLimiter {
    pub(super) core: Arc<Bucket>,
}

/// What a bucket's handles share.
pub(super) struct Bucket {
    word: CachePadded<WordCell<BucketWord>>,
    slots: Slots,
    pub(super) clock: Clock,
    counters: Counters,
    name: Arc<str>,
    pub(super) queue: WaitQueue,
    /// How often the terms were changed, with the change that is under way. Their newest form is behind the
    /// lock, which only changes take.
    changes: AtomicU64,
    present: Mutex<Present>,
    _registration: Registration,
}

/// The terms in the caller's own numbers.
#[derive(Clone, Copy)]
struct Present {
    rate: f64,
    capacity: u64,
}

/// What a builder hands over, checked.
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) clock: Clock,
    pub(super) stripes: usize,
    pub(super) rate: f64,
    pub(super) capacity: u64,
    pub(super) initial: u64,
    pub(super) terms: Terms,
}

impl Live for Bucket {
    fn kind(&self) -> Kind {
        Kind::RateLimiter
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Bucket {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { name, clock, stripes, rate, capacity, initial, terms } = parts;
        Arc::new_cyclic(|weak: &Weak<Self>| Self {
            word: CachePadded::new(WordCell::new(BucketWord::untouched())),
            slots: Slots::new(&terms, (capacity - initial) << terms.bits),
            clock,
            counters: Counters::new(stripes),
            name,
            queue: WaitQueue::new(),
            changes: AtomicU64::new(0),
            present: Mutex::new(Present { rate, capacity }),
            _registration: observe::register(weak.clone()),
        })
    }

    /// Takes `n` tokens, or shows what refused them.
    #[inline(always)]
    fn exchange(&self, n: u64, now: u64) -> Result<(), Refused> {
        self.word.update(|word: BucketWord| {
            let sight = self.slots.of(word).sight_begun(now);
            let Terms { capacity, bits, .. } = sight.terms;
            // One token always fits.
            let fits = n == 1 || (n > 0 && n <= capacity >> bits);
            let taken = if fits && !sight.ended { word.take(sight.line, capacity, n << bits) } else { None };
            match taken {
                Some(next) => Step::Set(next, Ok(())),
                None if mutant(Mutant::RefusalWrites) => {
                    Step::Set(word.nudged(), Err(Refused { word, sight, n }))
                }
                None => Step::Keep(Err(Refused { word, sight, n })),
            }
        })
    }

    /// Takes `n` tokens at `now`.
    #[inline(always)]
    pub(super) fn take(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        match self.exchange(n, now) {
            Ok(()) => {
                self.counters.allow(n);
                Ok(())
            }
            Err(refused) if n == 1 && refused.is_plain() && self.stands(refused.word) => {
                self.counters.refuse(n);
                Err(refused.explain())
            }
            // Taken apart, so that the answer of the other arms need not be in memory.
            Err(_) => match self.take_slowly(n, now) {
                Ok(()) => Ok(()),
                Err(refusal) => Err(refusal),
            },
        }
    }

    /// A request that found the bucket untouched, held, at the end of its line or under other terms a moment
    /// later; or one of a weight.
    #[cold]
    #[inline(never)]
    fn take_slowly(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        loop {
            let changes = self.changes();
            let Err(refused) = self.exchange(n, now) else {
                self.counters.allow(n);
                return Ok(());
            };
            let mut refusal = refused.explain();
            if self.changed_since(changes) {
                continue;
            }
            if refusal.is_invalid() {
                return Err(refusal);
            }
            if refused.needs_line() {
                self.begin_line(now);
                continue;
            }
            if refused.word.is_held() {
                if self.queue.try_serve(self, now) {
                    continue;
                }
                refusal.retry_after = self.behind_all(n, now);
            }
            self.counters.refuse(n);
            return Err(refusal);
        }
    }

    /// Whether the word's line has not begun, or has come to its end.
    #[inline(always)]
    fn needs_line(&self, word: BucketWord, now: u64) -> bool {
        word.is_untouched() || self.slots.of(word).line(now).is_none()
    }

    /// Begins the first line, or the next one.
    #[cold]
    #[inline(never)]
    fn begin_line(&self, now: u64) {
        self.slots.begin(&self.word, now);
        if self.needs_line(self.word.load(), now) {
            let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
            // Unless somebody else has begun the next one meanwhile.
            let word = self.word.load();
            if self.needs_line(word, now) {
                self.change(&self.slots.of(word).terms(), now);
            }
            drop(present);
        }
    }

    /// Continues under `terms`; `present` is locked.
    fn change(&self, terms: &Terms, now: u64) {
        // Before the terms are written and the word moves: who finds the number unchanged after that is still
        // under its own terms. Release: pairs with the Acquire in `changes`; who counts this change finds at
        // least the word of the one before it.
        let number = self.changes.fetch_add(1, Ordering::Release);
        self.slots.change(&self.word, terms, now, number);
    }

    /// Takes up to `n` tokens, as many as there are; how many, and under which terms.
    pub(super) fn draw(&self, n: u64, now: u64) -> Result<(u64, u64), RateLimitExceeded> {
        if self.needs_line(self.word.load(), now) {
            self.begin_line(now);
        }
        let (drawn, terms) = self.word.update(|word: BucketWord| {
            if word.is_held() {
                return Step::Keep((0, 0));
            }
            let slot = self.slots.of(word);
            let (capacity, bits) = (slot.capacity(), slot.bits());
            let Some(line) = slot.line(now) else { return Step::Keep((0, 0)) };
            let there = u64::try_from(word.available(line, capacity)).unwrap_or(0) >> bits;
            let drawn = there.min(n);
            match word.take(line, capacity, drawn << bits) {
                Some(next) if drawn > 0 => Step::Set(next, (drawn, self.number(word))),
                _ => Step::Keep((0, 0)),
            }
        });
        if drawn == 0 {
            // Serves whoever waits, or says when to come back.
            return self.take(1, now).map(|()| (1, 0));
        }
        self.counters.allow(drawn);
        Ok((drawn, terms))
    }

    /// Whether the terms that were just read for `word` were its own, and whole: the word stands as it was.
    #[inline(always)]
    fn stands(&self, word: BucketWord) -> bool {
        // Acquire: pairs with the fence in `Slots::change`. Who read what the fourth change wrote finds at
        // least the third one's word here, of another generation.
        fence(Ordering::Acquire);
        self.word.load() == word || mutant(Mutant::TermsUnchecked)
    }

    /// Whether the terms may have changed since `changes` were counted, before the word was read: whoever
    /// has read from a set that was being replaced finds so.
    fn changed_since(&self, changes: u64) -> bool {
        // Acquire: as in `stands`; who read what a change wrote finds at least that change counted here. It
        // was not counted before: who has counted it finds at least the word of the change before it,
        // whose terms it leaves alone.
        fence(Ordering::Acquire);
        self.changes() != changes && !mutant(Mutant::TermsUnchecked)
    }

    /// Whether `n` tokens could be taken.
    fn peek(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        let (mut refusal, held) = self.read(|word, slot| {
            let word = if word.is_untouched() { BucketWord::with_debt(0, self.slots.debt()) } else { word };
            (Refused { word, sight: slot.sight(now), n }.explain(), word.is_held())
        });
        if held && !refusal.is_invalid() {
            refusal.retry_after = self.behind_all(n, now);
        }
        if refusal.retry_after.is_zero() { Ok(()) } else { Err(refusal) }
    }

    /// When `n` tokens may be had behind all who wait.
    fn behind_all(&self, n: u64, now: u64) -> Duration {
        let asked = self.queue.asked().saturating_add(n);
        span(self.wait(asked, now))
    }

    /// The word and what belongs to it, read together.
    fn read<R>(&self, view: impl Fn(BucketWord, &Slot) -> R) -> R {
        loop {
            let changes = self.changes();
            let word = self.word.load();
            let seen = view(word, self.slots.of(word));
            if !self.changed_since(changes) {
                return seen;
            }
        }
    }

    /// Tokens that are there at `now` for those who do not wait.
    fn remaining(&self, now: u64) -> u64 {
        self.read(|word, slot| {
            let terms = slot.terms();
            let there = if word.is_untouched() {
                i128::from(terms.capacity.saturating_sub(self.slots.debt()))
            } else if word.is_held() {
                let asked = i128::from(self.queue.asked()) << terms.bits;
                word.uncapped(slot.endless(now), terms.capacity) - asked
            } else {
                i128::from(word.available(slot.endless(now), terms.capacity))
            };
            there.clamp(0, i128::from(terms.capacity)) as u64 >> terms.bits
        })
    }

    /// In how many nanoseconds `n` tokens, all that the queue waits for up to a place, are there; `None` for
    /// never.
    fn wait(&self, n: u64, now: u64) -> Option<u64> {
        self.read(|word, slot| {
            let terms = slot.terms();
            // Nothing that flows in is lost while somebody waits.
            let missing = (i128::from(n) << terms.bits) - word.uncapped(slot.endless(now), terms.capacity);
            // What takes longer than a word can count takes for ever.
            let missing = u64::try_from(missing.max(0)).ok().filter(|missing| *missing < SPAN * 8)?;
            slot.wait(missing, now)
        })
    }

    fn reconfigure(&self, rate: f64, capacity: u64, now: u64) -> Result<(), ConfigError> {
        let terms = Slots::check(rate, capacity)?;
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if self.word.load().is_untouched() {
            self.slots.begin(&self.word, now);
        }
        if mutant(Mutant::ServedBeforeChange) {
            self.queue.serve_and_tell(self, now);
        }
        self.change(&terms, now);
        *present = Present { rate, capacity };
        drop(present);
        if !mutant(Mutant::ServedBeforeChange) {
            self.queue.serve_and_tell(self, now);
        }
        Ok(())
    }

    fn present(&self) -> Present {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the terms have changed, or begun to.
    fn changes(&self) -> u64 {
        // Acquire: pairs with the Release in `change`.
        self.changes.load(Ordering::Acquire)
    }

    /// After how many changes `word` was written, within an update of it.
    fn number(&self, word: BucketWord) -> u64 {
        // At least as many as the word has seen, and one more while a change is under way: the generation
        // says which. Where they are four more, the word has moved and the update fails.
        let changes = self.changes();
        if mutant(Mutant::LeaseCountsChanges) {
            return changes;
        }
        changes - changes.wrapping_sub(word.generation() as u64) % GENERATIONS as u64
    }

    /// Gives back what is left of `n` tokens that were drawn at `drawn` under the terms of the number: less
    /// what has flowed in since, which would have found the bucket fuller, and nothing under other terms.
    pub(super) fn give_back(&self, n: u64, drawn: u64, terms: u64, now: u64) {
        let early = mutant(Mutant::LeaseLooksFirst).then(|| self.word.load().is_held());
        let returned = self.word.update(|word: BucketWord| {
            if self.number(word) != terms && !mutant(Mutant::LeaseForgetsTerms) {
                return Step::Keep(false);
            }
            let slot = self.slots.of(word);
            // Where `now` lags behind, the word tells: nobody takes tokens before they are there.
            let line = slot.endless(now).max(word.earliest(slot.capacity()));
            let flowed = line.saturating_sub(slot.endless(drawn));
            match (n << slot.bits()).saturating_sub(flowed) {
                0 => Step::Keep(false),
                units => Step::Set(word.give_back(units), early.unwrap_or(word.is_held())),
            }
        });
        if returned {
            self.queue.serve(self, now);
        }
    }
}

impl Source for Bucket {
    fn take(&self, n: u64, since: u64, now: u64) -> bool {
        if self.needs_line(self.word.load(), now) {
            self.begin_line(now);
        }
        let taken = self.word.update(|word: BucketWord| {
            let slot = self.slots.of(word);
            let cost = n.checked_mul(1 << slot.bits()).filter(|cost| *cost <= SPAN);
            let (Some(cost), Some(line)) = (cost, slot.line(now)) else { return Step::Keep(false) };
            let since = slot.endless(since).min(line);
            let taken = word.take_queued(since, line, slot.capacity(), cost).ok();
            taken.map_or(Step::Keep(false), |next| Step::Set(next, true))
        });
        if taken {
            self.counters.allow(n);
        }
        taken
    }

    fn due(&self, n: u64, now: u64) -> u64 {
        self.wait(n, now).map_or(u64::MAX, |wait| now.saturating_add(wait))
    }

    fn hold(&self, held: bool) {
        self.word.update(|word: BucketWord| Step::Set(word.held(held), ()));
    }
}

impl Waits for Bucket {
    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn take_or_wait(&self, n: u64, now: u64) -> Result<bool, RateLimitExceeded> {
        loop {
            let changes = self.changes();
            let Err(refused) = self.exchange(n, now) else {
                self.counters.allow(n);
                return Ok(true);
            };
            let refusal = refused.explain();
            if self.changed_since(changes) {
                continue;
            }
            if !refusal.is_invalid() && refused.needs_line() {
                self.begin_line(now);
                continue;
            }
            if refusal.retry_after < Duration::MAX {
                return Ok(false);
            }
            if !refusal.is_invalid() {
                self.counters.refuse(n);
            }
            return Err(refusal);
        }
    }
}

/// A request for `n` tokens, and what refused it.
#[derive(Clone, Copy)]
struct Refused {
    word: BucketWord,
    sight: Sight,
    n: u64,
}

impl Refused {
    /// Whether nothing but a want of tokens can have refused it.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.word.is_plain() && !self.sight.ended
    }

    /// Whether the line has not begun, or has come to its end.
    fn needs_line(&self) -> bool {
        self.word.is_untouched() || self.sight.ended
    }

    /// What the caller is told.
    #[inline(always)]
    fn explain(self) -> RateLimitExceeded {
        let Self { word, sight, n } = self;
        let terms = sight.terms;
        let capacity = terms.tokens();
        let retry_after = if n == 0 || n > capacity {
            None
        } else {
            // Of terms that do not belong together it may be anything; then nobody is told.
            let available = word.available(sight.line, terms.capacity);
            let missing = (n << terms.bits).cast_signed().saturating_sub(available);
            sight.wait(u64::try_from(missing).unwrap_or(0))
        };
        RateLimitExceeded::new(capacity, span(terms.window()), span(retry_after), n, capacity)
    }
}

/// Nanoseconds as a duration; `None` is for ever.
#[inline(always)]
fn span(nanos: Option<u64>) -> Duration {
    nanos.map_or(Duration::MAX, Duration::from_nanos)
}

impl TokenBucketRateLimiter {
    /// Starts building a bucket. Names need not be unique.
    pub fn builder(name: impl Into<Arc<str>>) -> TokenBucketBuilder {
        TokenBucketBuilder::new(name.into())
    }

    /// The limiter's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Tokens per second.
    pub fn rate(&self) -> f64 {
        self.core.present().rate
    }

    /// Tokens of a full bucket.
    pub fn capacity(&self) -> u64 {
        self.core.present().capacity
    }

    /// Everything counted since the limiter was built.
    pub fn totals(&self) -> LimiterTotals {
        self.core.counters.totals()
    }

    /// Changes rate and capacity in one publication: no decision sees one without the other. The tokens
    /// that are there stay, at most as many as the new capacity; what was given is not charged again. Those
    /// who wait keep their places.
    ///
    /// # Errors
    ///
    /// As [`TokenBucketBuilder::build`]; nothing is changed then.
    pub fn reconfigure(&self, rate: f64, capacity: u64) -> Result<(), ConfigError> {
        self.reconfigure_at(rate, capacity, self.now())
    }

    /// [`reconfigure`](Self::reconfigure) at `now`.
    ///
    /// # Errors
    ///
    /// As `reconfigure`.
    pub fn reconfigure_at(&self, rate: f64, capacity: u64, now: u64) -> Result<(), ConfigError> {
        self.core.reconfigure(rate, capacity, now)
    }

    /// All buckets that are alive, whoever holds them; in no particular order.
    pub fn live() -> Vec<Self> {
        observe::live().into_iter().filter_map(Self::from_live).collect()
    }

    /// The bucket behind a live instance, if it is one.
    pub fn from_live(live: Arc<dyn Live>) -> Option<Self> {
        let any: Arc<dyn Any + Send + Sync> = live;
        any.downcast().ok().map(|core| Self { core })
    }
}

impl Limiter for TokenBucketRateLimiter {
    #[inline(always)]
    fn now(&self) -> u64 {
        self.core.clock.now()
    }

    #[inline(always)]
    fn try_acquire_n_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        self.core.take(n, now)
    }

    fn peek_at(&self, n: u64, now: u64) -> Result<(), RateLimitExceeded> {
        self.core.peek(n, now)
    }

    fn remaining_at(&self, now: u64) -> u64 {
        self.core.remaining(now)
    }
}

impl fmt::Debug for TokenBucketRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Present { rate, capacity } = self.core.present();
        f.debug_struct("TokenBucketRateLimiter")
            .field("name", &self.name())
            .field("rate", &rate)
            .field("capacity", &capacity)
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}
