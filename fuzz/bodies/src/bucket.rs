//! The token bucket, its queue and its leases against exact arithmetic.

use std::time::Duration;

use fusewire::{LeaseHandle, Limiter, ManualClock, Reservation, TokenBucketRateLimiter};

use crate::input::Input;
use crate::twin::bucket::{Bucket, Terms, Verdict};

const HOUR: u64 = 3_600_000_000_000;
const YEAR: u64 = 365 * 24 * HOUR;
const RATES: [f64; 14] = [
    1.0,
    10.0,
    1e9,
    0.0,
    1.0 / 86_400.0,
    3.0,
    7.0,
    999.9,
    1e3,
    123_456_789.1,
    5e8,
    999_999_999.9,
    0.1,
    1.0 / (18.0 * 365.0 * 86_400.0),
];
const CAPACITIES: [u64; 8] = [10, 1, 2, 3, 7, 100, 1_000, 1 << 20];
const MOST_OPERATIONS: usize = 400;
const MOST_HELD: usize = 8;

/// Random requests, reservations, leases and changes of a bucket, at times that go forward and back,
/// compared with the exact bucket after each.
///
/// # Panics
///
/// Where the two differ by more than the documented rounding.
pub fn bucket(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (rate, capacity) = (input.pick(&RATES), input.pick(&CAPACITIES));
    let initial = if input.one_in(4) { u64::from(input.byte()).min(capacity) } else { capacity };
    let now = input.pick(&[0, 1, YEAR, 1_700_000_000_000_000_000, u64::MAX - YEAR, u64::MAX - 1_000]);
    let Some(mut driver) = Driver::new(rate, capacity, initial, now) else { return };
    for _ in 0..MOST_OPERATIONS {
        let Some(kind) = input.next() else { break };
        driver.step(kind, &mut input);
        if driver.twin.is_lost {
            return;
        }
        driver.compare(&mut input);
    }
    driver.check_log();
}

struct Lease {
    handle: LeaseHandle,
    batch: u64,
    left: u64,
    hold: u64,
    drawn: u64,
    epoch: u64,
    /// Whether its owner gives the times.
    by_owner: bool,
}

struct Place {
    reservation: Reservation,
    /// `None` if it was granted at once.
    id: Option<u64>,
    told: u64,
    promised: bool,
}

struct Driver {
    bucket: TokenBucketRateLimiter,
    clock: ManualClock,
    twin: Bucket,
    rate: f64,
    now: u64,
    latest: u64,
    places: Vec<Place>,
    /// What nobody looks at any more.
    forgotten: Vec<Reservation>,
    leases: Vec<Lease>,
    /// When how many were given, as long as nothing but plain requests were made.
    log: Option<Vec<(u64, u64)>>,
}

/// Whether a bucket may have these terms; `None` where it is a matter of rounding.
fn is_valid(rate: f64, capacity: u64) -> Option<bool> {
    let years = capacity as f64 / rate / (365.25 * 86_400.0);
    if rate == 0.0 || years < 18.0 {
        Some(true)
    } else if years > 37.0 {
        Some(false)
    } else {
        None
    }
}

impl Driver {
    fn new(rate: f64, capacity: u64, initial: u64, now: u64) -> Option<Self> {
        let clock = ManualClock::new();
        clock.set(now);
        let builder = TokenBucketRateLimiter::builder("bucket").rate(rate).capacity(capacity);
        let built = builder.initial_tokens(initial).clock(&clock).stripes(1).build();
        assert!(is_valid(rate, capacity).is_none_or(|valid| valid == built.is_ok()), "{built:?}");
        let twin = Bucket::new(Terms::new(rate, capacity), initial);
        Some(Self {
            bucket: built.ok()?,
            clock,
            twin,
            rate,
            now,
            latest: now,
            places: Vec::new(),
            forgotten: Vec::new(),
            leases: Vec::new(),
            log: Some(Vec::new()),
        })
    }

    fn step(&mut self, kind: u8, input: &mut Input<'_>) {
        match kind % 32 {
            0..=7 => self.acquire(1),
            8..=11 => {
                let n = self.weight(input);
                self.acquire(n);
            }
            12..=15 => self.set(self.now.saturating_add(u64::from(input.byte()) * self.tick() / 16)),
            16 => self.set(self.now.saturating_add(input.pick(&[1, 2, 3, HOUR, 5 * HOUR, YEAR, 40 * YEAR]))),
            17 => {
                let back = input.pick(&[1, 2_000, self.tick(), 10 * self.tick(), HOUR]);
                self.set(self.now.saturating_sub(back));
            }
            18 if input.one_in(4) => self.set(input.number()),
            18 => self.set(self.latest),
            19 | 20 => {
                let n = self.weight(input);
                self.reserve(n);
            }
            21 => self.look(input),
            22 => self.cancel(input),
            23 => self.forget_or_drop(input),
            24 | 25 => self.lease(input),
            26..=28 => self.spend(input),
            29 => self.give_back(input),
            30 => self.reconfigure(input),
            _ => {
                for _ in 0..6 {
                    self.acquire(self.twin.terms.capacity.div_ceil(4));
                }
            }
        }
    }

    fn weight(&self, input: &mut Input<'_>) -> u64 {
        let capacity = self.twin.terms.capacity;
        let some = 1 + input.number() % capacity;
        input.pick(&[1, 2, 3, capacity, some, some, capacity - 1, capacity + 1, 0, u64::MAX])
    }

    /// The time in which a token flows in.
    fn tick(&self) -> u64 {
        if self.rate == 0.0 { 1_000_000_000 } else { ((1e9 / self.rate) as u64).clamp(1, YEAR) }
    }

    fn set(&mut self, now: u64) {
        self.now = now;
        self.latest = self.latest.max(now);
        self.clock.set(now);
    }

    fn waiting(&self) -> usize {
        self.bucket.waiting()
    }

    fn acquire(&mut self, n: u64) {
        self.twin.touch(self.now);
        let answer = self.bucket.try_acquire_n_at(n, self.now);
        if !self.twin.is_valid(n) {
            let refused = answer.expect_err("invalid");
            assert!(refused.is_invalid() && refused.retry_after == Duration::MAX, "{refused:?}");
            return;
        }
        self.twin.serve(self.now, self.waiting());
        self.plain(n, answer.is_ok());
        if let Err(refused) = answer {
            let capacity = self.twin.terms.capacity;
            assert_eq!((refused.requested, refused.most, refused.limit), (n, capacity, capacity));
            assert!(!refused.is_invalid());
            self.comes_back(n, refused.retry_after);
        }
    }

    fn plain(&mut self, n: u64, given: bool) {
        let verdict = self.twin.can_take(n, self.now);
        assert!(verdict.allows(given), "{n} given {given}, not {verdict:?}: {:?} at {}", self.twin, self.now);
        if !given {
            self.twin.refused += n;
            return;
        }
        assert_eq!(self.twin.waiting(), 0, "past those who wait");
        self.twin.take(n, self.now);
        if let Some(log) = &mut self.log {
            log.push((self.now, n));
        }
    }

    /// A request that is repeated when it was told to passes, and not before.
    fn comes_back(&self, n: u64, after: Duration) {
        // Nothing flows before the first request, and looking is none.
        if after == Duration::MAX || !self.twin.has_begun() {
            return;
        }
        let after = u64::try_from(after.as_nanos()).expect("nanoseconds");
        assert!(after > 0, "refused, and may pass now");
        // Beyond the end of all times.
        let Some(then) = self.now.checked_add(after).filter(|then| *then < u64::MAX) else { return };
        assert_eq!(self.bucket.peek_at(n, then), Ok(()), "told to come {after} later than {}", self.now);
        if after > 3 {
            self.bucket.peek_at(n, then - 4).expect_err("could have come earlier");
        }
    }

    fn reserve(&mut self, n: u64) {
        if self.places.len() == MOST_HELD || self.waiting() > 4 * MOST_HELD {
            return;
        }
        let (before, held) = (self.bucket.totals().allowed, self.waiting() > 0);
        self.twin.touch(self.now);
        let reserved = self.bucket.reserve_at(n, self.now);
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(refused) => {
                assert!(refused.retry_after == Duration::MAX, "{refused:?}");
                if self.twin.is_valid(n) {
                    assert!(self.rate == 0.0);
                    assert_ne!(self.twin.can_take(n, self.now), Verdict::Yes);
                    self.twin.refused += n;
                }
                return;
            }
        };
        assert!(self.twin.is_valid(n));
        let id = if !held && self.waiting() == 0 && self.bucket.totals().allowed == before + n {
            self.plain(n, true);
            None
        } else {
            self.log = None;
            let id = self.twin.join(n, self.now);
            self.twin.serve(self.now, self.waiting());
            Some(id)
        };
        self.places.push(Place { reservation, id, told: self.now, promised: false });
    }

    /// Asks a reservation for its time.
    fn look(&mut self, input: &mut Input<'_>) {
        let (index, ask) = (input.below(MOST_HELD), input.flag());
        let Some(place) = self.places.get_mut(index) else { return };
        place.told = place.told.max(self.now);
        let ready = place.reservation.is_ready_at(self.now);
        if place.id.is_some() {
            self.twin.serve(self.now, self.bucket.waiting());
        }
        let waits = place.id.is_some_and(|id| self.twin.is_waiting(id));
        assert_eq!(ready, !waits, "granted");
        if ask {
            let at = place.reservation.ready_at();
            place.promised = true;
            if let Some(id) = place.id {
                self.twin.serve(place.told, self.bucket.waiting());
                if self.twin.is_waiting(id) {
                    self.twin.check_due(id, place.told, at);
                }
            }
        }
    }

    fn cancel(&mut self, input: &mut Input<'_>) {
        let index = input.below(MOST_HELD);
        if index >= self.places.len() {
            return;
        }
        let place = self.places.swap_remove(index);
        let left = place.reservation.cancel_at(self.now);
        match place.id {
            Some(id) => self.left(id, self.now, left),
            None => assert!(!left, "it was granted at once"),
        }
    }

    fn left(&mut self, id: u64, now: u64, left: bool) {
        let waiting = self.waiting();
        if !self.twin.is_waiting(id) {
            assert!(!left, "it was granted before");
            return self.twin.serve(now, waiting);
        }
        self.twin.leave(id, now, left, waiting);
    }

    fn forget_or_drop(&mut self, input: &mut Input<'_>) {
        let (index, forget) = (input.below(MOST_HELD), input.flag());
        if index >= self.places.len() {
            return;
        }
        let place = self.places.swap_remove(index);
        if forget {
            self.forgotten.push(place.reservation);
            return;
        }
        let before = self.waiting();
        drop(place.reservation);
        let gone = before - self.waiting();
        match place.id {
            Some(_) if place.promised => assert_eq!(gone, 0, "it may run"),
            Some(id) => {
                let tokens = self.bucket.totals().allowed - self.twin.allowed;
                let left = self.twin.is_waiting(id) && !self.twin.were_granted(id, gone, tokens);
                self.left(id, place.told, left);
            }
            None => {}
        }
    }

    fn lease(&mut self, input: &mut Input<'_>) {
        if self.leases.len() == MOST_HELD {
            return;
        }
        let batch = self.weight(input);
        let handle = self.bucket.lease_handle(batch);
        let Ok(mut handle) = handle else {
            assert!(!self.twin.is_valid(batch));
            assert_eq!(handle.expect_err("just seen").field(), "batch");
            return;
        };
        assert!(self.twin.is_valid(batch));
        let hold = input.pick(&[u64::MAX, u64::MAX, 0, 1, 4 * self.tick(), HOUR]);
        if hold != u64::MAX {
            handle = handle.max_hold(Duration::from_nanos(hold));
        }
        let by_owner = input.flag();
        let (left, drawn, epoch) = (0, 0, 0);
        self.leases.push(Lease { handle, batch, left, hold, drawn, epoch, by_owner });
    }

    fn spend(&mut self, input: &mut Input<'_>) {
        let (index, times) = (input.below(MOST_HELD), 1 + input.below(4));
        if index >= self.leases.len() {
            return;
        }
        for _ in 0..times {
            let now = self.now;
            let lease = &mut self.leases[index];
            // Without a hold they do not expire, not even at the end of all times.
            let in_time = lease.hold == u64::MAX || now < lease.drawn.saturating_add(lease.hold);
            let answer =
                if lease.by_owner { lease.handle.try_acquire_at(now) } else { lease.handle.try_acquire() };
            let left = lease.handle.left();
            if lease.left > 0 && in_time {
                assert_eq!((answer, left), (Ok(()), lease.left - 1));
                lease.left = left;
                continue;
            }
            self.log = None;
            self.returned(index, now, true);
            self.twin.touch(now);
            self.leases[index].epoch = self.twin.epoch;
            let (held, waiting) = (self.twin.waiting() > 0, self.waiting());
            self.twin.serve(now, waiting);
            let lease = &mut self.leases[index];
            lease.left = left;
            if let Err(refused) = answer {
                assert_eq!(left, 0);
                assert_ne!(self.twin.can_take(1, now), Verdict::Yes, "nothing drawn");
                self.twin.refused += 1;
                self.comes_back(1, refused.retry_after);
            } else {
                assert_eq!(self.twin.waiting(), 0, "past those who wait");
                // A bucket that served its queue on the way may give a single one.
                let batch = if held && left == 0 { 1 } else { lease.batch };
                lease.drawn = now;
                self.twin.draw(batch, now, left + 1);
            }
        }
    }

    /// What a lease held comes back at `now`, by the twin. `drawing` says that the engine goes on from there.
    fn returned(&mut self, index: usize, now: u64, drawing: bool) {
        let lease = &mut self.leases[index];
        let n = std::mem::take(&mut lease.left);
        if n == 0 || lease.epoch != self.twin.epoch {
            return;
        }
        let held = self.twin.waiting() > 0;
        let certain = self.twin.give_back(n, lease.drawn, now);
        if held && !drawing && (certain || self.bucket.waiting() < self.twin.waiting()) {
            self.twin.serve(now, self.bucket.waiting());
        }
    }

    fn give_back(&mut self, input: &mut Input<'_>) {
        let (index, how) = (input.below(MOST_HELD), input.below(3));
        if index >= self.leases.len() {
            return;
        }
        let now = self.now;
        let lease = &mut self.leases[index];
        match how {
            0 => {
                let expires = lease.drawn.saturating_add(lease.hold);
                lease.handle.maintain_at(now);
                if lease.hold == u64::MAX || now < expires {
                    assert_eq!(lease.handle.left(), lease.left);
                    return;
                }
            }
            1 => lease.handle.give_back_at(now),
            _ => {
                let handle = std::mem::replace(
                    &mut lease.handle,
                    self.bucket.lease_handle(1).expect("one is always valid"),
                );
                drop(handle);
                // What cannot be dated lapses.
                if lease.by_owner {
                    lease.left = 0;
                }
                self.returned(index, now, false);
                self.leases.swap_remove(index);
                return;
            }
        }
        assert_eq!(lease.handle.left(), 0);
        self.returned(index, now, false);
    }

    fn reconfigure(&mut self, input: &mut Input<'_>) {
        let same = input.flag();
        let rate = if same { self.rate } else { input.pick(&RATES) };
        let capacity = if same { self.twin.terms.capacity } else { input.pick(&CAPACITIES) };
        let changed = self.bucket.reconfigure_at(rate, capacity, self.now);
        assert!(is_valid(rate, capacity).is_none_or(|valid| valid == changed.is_ok()), "{changed:?}");
        if changed.is_err() {
            return;
        }
        self.log = None;
        self.rate = rate;
        self.twin.touch_first(self.now);
        self.twin.change(Terms::new(rate, capacity), self.now);
        self.twin.serve(self.now, self.waiting());
        assert_eq!((self.bucket.rate().to_bits(), self.bucket.capacity()), (rate.to_bits(), capacity));
    }

    fn compare(&self, input: &mut Input<'_>) {
        let (totals, now) = (self.bucket.totals(), self.now);
        assert_eq!((totals.allowed, totals.refused), (self.twin.allowed, self.twin.refused));
        assert_eq!(self.waiting(), self.twin.waiting());
        let (least, most) = self.twin.remaining(now);
        let remaining = self.bucket.remaining_at(now);
        assert!(
            (least..=most).contains(&remaining),
            "{remaining} left, not {least} to {most} at {now}: {:?}",
            self.twin
        );
        let n = self.weight(input);
        let peeked = self.bucket.peek_at(n, now);
        let verdict = self.twin.can_take(n, now);
        assert!(verdict.allows(peeked.is_ok()), "{n}: {peeked:?}, not {verdict:?}: {:?} at {now}", self.twin);
        assert_eq!(peeked.is_ok(), (1..=remaining).contains(&n), "{n} of {remaining}");
        match peeked {
            Err(refused) if !refused.is_invalid() => self.comes_back(n, refused.retry_after),
            _ => {}
        }
        assert_eq!(self.bucket.totals(), totals, "looking counts nothing");
    }

    /// In any interval no more than a full bucket and what flows in.
    fn check_log(&self) {
        let Some(mut log) = self.log.clone() else { return };
        log.sort_unstable();
        log.truncate(200);
        let terms = &self.twin.terms;
        for (i, (from, _)) in log.iter().enumerate() {
            let mut given = 0_u128;
            for (to, n) in &log[i..] {
                given += u128::from(*n);
                assert!(terms.may_give(given, to - from), "{given} given from {from} to {to}");
            }
        }
    }
}
