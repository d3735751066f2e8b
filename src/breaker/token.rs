//! The plain values that pass between a caller and a breaker.

use crate::observe::Record;
use crate::word::breaker::{Cause, CircuitState};

/// How a guarded call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service answered as it should.
    Success,
    /// The service failed.
    Failure,
    /// The call says nothing about the service; a probe's place is given back.
    Ignored,
    /// The call ended without a result; see
    /// [`cancelled_as`](crate::CircuitBreakerConfig::cancelled_as).
    Cancelled,
}

/// Leave to make one call: to be handed back with its outcome.
///
/// A plain value for those who cannot hold a [`Permit`](crate::Permit): other languages, callbacks,
/// queues. Nothing happens when it is lost but what the breaker does about any call that never
/// answers; recording one twice counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Token {
    /// When the call began, if the admission was told.
    started: u64,
    epoch: u32,
    flags: u32,
}

const PROBE: u32 = 1;
const TIMED: u32 = 1 << 1;
const FOLLOWED: u32 = 1 << 2;
/// Above the flags: which table of outstanding calls follows the call.
const TABLE_SHIFT: u32 = 16;

impl Token {
    #[inline(always)]
    pub(super) const fn untimed(epoch: u32) -> Self {
        Self { started: 0, epoch, flags: 0 }
    }

    #[inline(always)]
    pub(super) const fn timed(epoch: u32, started: u64) -> Self {
        Self { started, epoch, flags: TIMED }
    }

    pub(super) const fn as_probe(mut self) -> Self {
        self.flags |= PROBE;
        self
    }

    pub(super) const fn followed_by(mut self, table: u16) -> Self {
        self.flags |= FOLLOWED | (table as u32) << TABLE_SHIFT;
        self
    }

    #[inline(always)]
    pub(super) const fn epoch(self) -> u32 {
        self.epoch
    }

    /// Neither a probe nor followed: its success may take the shortest path.
    #[inline(always)]
    pub(super) const fn is_plain(self) -> bool {
        self.flags & (PROBE | FOLLOWED) == 0
    }

    /// When the call began, if the admission was told, in nanoseconds on the breaker's clock.
    #[inline(always)]
    pub const fn started(self) -> Option<u64> {
        if self.flags & TIMED == 0 { None } else { Some(self.started) }
    }

    /// Whether the call is a probe of a half-open round.
    #[inline(always)]
    pub const fn is_probe(self) -> bool {
        self.flags & PROBE != 0
    }

    pub(super) const fn table(self) -> Option<u16> {
        if self.flags & FOLLOWED == 0 { None } else { Some((self.flags >> TABLE_SHIFT) as u16) }
    }

    /// The token as two words, to carry it through code that knows only integers.
    pub const fn to_raw(self) -> (u64, u64) {
        (self.started, (self.epoch as u64) << 32 | self.flags as u64)
    }

    /// A token from [`to_raw`](Self::to_raw). Any two words are safe: those of no token are taken for
    /// some call's, of an epoch that is most likely over.
    pub const fn from_raw((started, rest): (u64, u64)) -> Self {
        Self { started, epoch: (rest >> 32) as u32, flags: rest as u32 }
    }
}

/// A change of state, as the thread that made it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The state that was left.
    pub from: CircuitState,
    /// The state that was entered.
    pub to: CircuitState,
    /// Why.
    pub cause: Cause,
    /// The transition's number in its breaker, from 1, without gaps.
    pub sequence: u64,
}

impl Transition {
    pub(super) fn new(record: &Record, sequence: u64) -> Self {
        Self { from: record.from, to: record.to, cause: record.cause, sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_raw_form() {
        let token = Token::timed(0x3F_FFFF, u64::MAX).as_probe().followed_by(u16::MAX);
        assert_eq!(Token::from_raw(token.to_raw()), token);
        assert_eq!((token.table(), token.started()), (Some(u16::MAX), Some(u64::MAX)));
        assert_eq!(Token::untimed(1).started(), None);
    }
}
