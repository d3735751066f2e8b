//! The calls that are followed until they answer or count as hung.

/// Ticks of an eighth of the allowed duration: a call that has been out for more than eight of them
/// is hung.
const ALLOWED: i128 = 8;

/// Ages that differ by a lap look alike, and in the second half of it like a clock that went back.
const LAP: i128 = 1 << 21;

/// After so many ticks without a look nothing can lie ahead.
const GAP: i128 = 16;

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
        Self { tick: after_nanos.div_ceil(8).max(1).cast_signed(), looked: 0, calls: Vec::new() }
    }

    fn tick(&self, elapsed: i128) -> i128 {
        elapsed / self.tick
    }

    /// Whether a look at this moment would meet a call that is a lap old and seems young. It is found a
    /// little later; nothing is promised about when.
    pub(crate) fn is_past_horizon(&self, elapsed: i128) -> bool {
        let now = self.tick(elapsed);
        let seems_young = |call: &Followed| {
            let age = now - call.tick;
            let seen = age % LAP;
            age >= LAP / 2 && (seen <= ALLOWED || (seen >= LAP / 2 && now - self.looked < GAP))
        };
        now > self.looked && self.calls.iter().any(seems_young)
    }

    /// An admission looks for hung calls, once a tick: how many of the epoch it finds.
    pub(crate) fn look(&mut self, elapsed: i128, epoch: u64) -> u64 {
        let now = self.tick(elapsed);
        if now <= self.looked {
            return 0;
        }
        self.looked = now;
        let is_hung = |call: &Followed| now - call.tick > ALLOWED;
        let hung = self.calls.iter().filter(|call| call.epoch == epoch && is_hung(call)).count();
        self.calls.retain(|call| !is_hung(call));
        hung as u64
    }

    /// Follows a call. One whose tick was looked through already, by a clock that went back since, is
    /// let through without being followed.
    pub(crate) fn follow(&mut self, call: usize, elapsed: i128, epoch: u64) -> bool {
        let tick = self.tick(elapsed);
        let followed = tick + ALLOWED >= self.looked;
        if followed {
            self.calls.push(Followed { call, epoch, tick });
        }
        followed
    }

    /// The call has ended. False when it is not followed any more: it counted as hung.
    pub(crate) fn end(&mut self, call: usize) -> bool {
        let before = self.calls.len();
        self.calls.retain(|followed| followed.call != call);
        self.calls.len() < before
    }
}
