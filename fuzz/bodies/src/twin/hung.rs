//! The calls that are followed until they answer or count as hung.

/// Ticks of an eighth of the allowed duration: a call that has been out for more than eight of them
/// is hung.
const ALLOWED: i128 = 8;

/// As many ticks share the engine's places. A call whose place is held by a later tick, because the
/// clock went back, is let through without being followed.
const PLACES: i128 = 16;

/// Ages up to this many ticks are told apart.
const HORIZON: i128 = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Followed {
    call: usize,
    epoch: u64,
    tick: i128,
}

/// Every call that is followed, in a list.
#[derive(Debug)]
pub(crate) struct Outstanding {
    tick: i128,
    /// The latest tick whose hung calls were looked for.
    looked: i128,
    calls: Vec<Followed>,
}

impl Outstanding {
    pub(crate) fn new(after_nanos: u128) -> Self {
        Self { tick: after_nanos.div_ceil(8).max(1) as i128, looked: 0, calls: Vec::new() }
    }

    fn tick(&self, elapsed: i128) -> i128 {
        elapsed / self.tick
    }

    /// Whether some age is past what the engine tells apart at this moment. Nothing is promised then
    /// about when a hung call is found.
    pub(crate) fn is_past_horizon(&self, elapsed: i128) -> bool {
        let now = self.tick(elapsed);
        self.calls.iter().any(|call| (now - call.tick).abs() >= HORIZON)
    }

    /// An admission looks for hung calls, once a tick: how many of the epoch it finds.
    pub(crate) fn look(&mut self, elapsed: i128, epoch: u64) -> u64 {
        let now = self.tick(elapsed);
        if now <= self.looked {
            return 0;
        }
        self.looked = now;
        self.take(epoch, |call| now - call.tick > ALLOWED)
    }

    /// Follows a call: how many hung calls gave up their place to it.
    pub(crate) fn follow(&mut self, call: usize, elapsed: i128, epoch: u64) -> u64 {
        let tick = self.tick(elapsed);
        let shares = |other: &Followed| other.tick != tick && (other.tick - tick) % PLACES == 0;
        if self.calls.iter().any(|other| shares(other) && other.epoch == epoch && other.tick > tick) {
            return 0;
        }
        let hung = self.take(epoch, shares);
        // A place that calls of an older epoch hold is taken over.
        self.calls.retain(|other| other.tick != tick || other.epoch == epoch);
        self.calls.push(Followed { call, epoch, tick });
        hung
    }

    fn take(&mut self, epoch: u64, gone: impl Fn(&Followed) -> bool) -> u64 {
        let of_epoch = |call: &&Followed| call.epoch == epoch && gone(call);
        let hung = self.calls.iter().filter(of_epoch).count();
        self.calls.retain(|call| !gone(call));
        hung as u64
    }

    pub(crate) fn follows(&self, call: usize) -> bool {
        self.calls.iter().any(|followed| followed.call == call)
    }

    /// The call has ended. False when it is not followed any more: it counted as hung.
    pub(crate) fn end(&mut self, call: usize) -> bool {
        let before = self.calls.len();
        self.calls.retain(|followed| followed.call != call);
        self.calls.len() < before
    }
}
