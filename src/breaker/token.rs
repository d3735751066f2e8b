//! The plain values that pass between a caller and a breaker.

use std::fmt;
use std::time::Duration;

use crate::error::{RejectReason, Rejected};
use crate::observe::Record;
use crate::word::EPOCH_BITS;
use crate::word::breaker::{BreakerWord, Cause, CircuitState};

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
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Token {
    /// When the call began, if the admission was told.
    started: u64,
    /// `table:16 | flags:8 | 0:2 | epoch:22`, from bit 47 down. One word and not three fields: written in parts
    /// and read as a whole, as a token that passes through memory is, it would stall the read until the
    /// writes are done.
    ///
    /// The epoch stands where a calm word has it, so that one comparison tells whether a success may take
    /// the shortest path. The tag of a probe or a followed call has state bits that its flag rules out: it
    /// equals no word.
    tag: u64,
}

const EPOCH: u64 = (1 << EPOCH_BITS) - 1;
const TIMED: u64 = 1 << 24;
/// The start is the caller's own time, not the breaker's clock's.
const CALLERS: u64 = 1 << 25;
const PROBE: u64 = 1 << 26;
const FOLLOWED: u64 = 1 << 27;
/// Above the flags: which table of outstanding calls follows the call.
const TABLE_SHIFT: u32 = 32;
const TABLE: u64 = 0xFFFF << TABLE_SHIFT;

impl Token {
    #[inline(always)]
    pub(super) const fn untimed(epoch: u32) -> Self {
        Self { started: 0, tag: epoch as u64 }
    }

    #[inline(always)]
    pub(super) const fn timed(epoch: u32, started: u64) -> Self {
        Self { started, tag: epoch as u64 | TIMED }
    }

    /// Notes the caller's own time, for a permit that may be dropped without a result.
    #[inline(always)]
    pub(super) const fn by_callers_time(mut self, now: u64) -> Self {
        self.started = now;
        self.tag |= TIMED | CALLERS;
        self
    }

    /// The caller's own time at admission, if that is what the call was admitted by.
    pub(super) const fn callers_time(self) -> Option<u64> {
        if self.tag & CALLERS == 0 { None } else { Some(self.started) }
    }

    pub(super) const fn as_probe(mut self) -> Self {
        self.tag |= PROBE | BreakerWord::ALONE;
        self
    }

    pub(super) const fn followed_by(mut self, table: u16) -> Self {
        self.tag |= FOLLOWED | BreakerWord::ALONE | (table as u64) << TABLE_SHIFT;
        self
    }

    #[inline(always)]
    pub(super) const fn epoch(self) -> u32 {
        (self.tag & EPOCH) as u32
    }

    /// Whether `word` is the calm one of the call's epoch and the call neither a probe nor followed: then its
    /// success changes nothing of the word.
    #[inline(always)]
    pub(super) fn is_calm_in(self, word: BreakerWord) -> bool {
        word.bits() == self.tag & !(TIMED | CALLERS)
    }

    /// Neither a probe nor followed.
    #[inline(always)]
    pub(super) const fn is_plain(self) -> bool {
        self.tag & (PROBE | FOLLOWED) == 0
    }

    /// When the call began, if the admission was told, in nanoseconds on the breaker's clock.
    #[inline(always)]
    pub const fn started(self) -> Option<u64> {
        if self.tag & TIMED == 0 { None } else { Some(self.started) }
    }

    /// Whether the call is a probe of a half-open round.
    #[inline(always)]
    pub const fn is_probe(self) -> bool {
        self.tag & PROBE != 0
    }

    pub(super) const fn table(self) -> Option<u16> {
        if self.tag & FOLLOWED == 0 { None } else { Some((self.tag >> TABLE_SHIFT) as u16) }
    }

    /// The token as two words, to carry it through code that knows only integers.
    pub const fn to_raw(self) -> (u64, u64) {
        (self.started, self.tag)
    }

    /// A token from [`to_raw`](Self::to_raw). Any two words are safe: those of no token are taken for
    /// some call's, of an epoch that is most likely over.
    pub const fn from_raw((started, tag): (u64, u64)) -> Self {
        let plain = Self { started, tag: tag & (EPOCH | TIMED | CALLERS) };
        let rest = tag & (PROBE | FOLLOWED | TABLE);
        if rest & (PROBE | FOLLOWED) == 0 {
            return plain;
        }
        Self { tag: plain.tag | rest | BreakerWord::ALONE, ..plain }
    }
}

/// What an admission says, in two registers: a token or a refusal. A `Result` of both would pass through
/// memory, which costs the hot path more than all the rest of it.
///
/// One integer, the tag above the start: a pair of them keeps the compiler from handing a callee's answer on
/// by a jump, and the caller would have to save registers for that call.
#[derive(Clone, Copy)]
pub(super) struct Answer(u128);

/// The tag of a refusal: its reason stands above the flags, its nanoseconds in place of the start.
const REFUSED: u64 = 1 << 28;
const REASON_SHIFT: u32 = 32;

impl Answer {
    #[inline(always)]
    const fn new(Token { started, tag }: Token) -> Self {
        Self((tag as u128) << 64 | started as u128)
    }

    #[inline(always)]
    pub(super) const fn admitted(token: Token) -> Self {
        Self::new(token)
    }

    /// A refusal for `nanos`; the greatest value stands for ever.
    #[inline(always)]
    pub(super) const fn refused(reason: RejectReason, nanos: u64) -> Self {
        Self::new(Token { started: nanos, tag: REFUSED | (reason as u64) << REASON_SHIFT })
    }

    #[inline(always)]
    const fn halves(self) -> Token {
        Token { started: self.0 as u64, tag: (self.0 >> 64) as u64 }
    }

    /// The token of an admission, or the refusal as it is: made into what the caller wants only where it is
    /// known to be one, so that both halves of the result stay in their registers.
    #[inline(always)]
    pub(super) const fn token(self) -> Result<Token, Self> {
        let token = self.halves();
        if token.tag & REFUSED == 0 { Ok(token) } else { Err(self) }
    }

    /// What a refusal says.
    #[inline(always)]
    pub(super) fn rejected(self) -> Rejected {
        let Token { started, tag } = self.halves();
        let reason = RejectReason::ALL[(tag >> REASON_SHIFT) as usize % RejectReason::ALL.len()];
        let after = if started == u64::MAX { Duration::MAX } else { Duration::from_nanos(started) };
        Rejected::new(reason, after)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("epoch", &self.epoch())
            .field("started", &self.started())
            .field("probe", &self.is_probe())
            .finish_non_exhaustive()
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
    use crate::word::breaker::OpenUntil;

    #[test]
    fn a_token_survives_the_raw_form() {
        let token = Token::timed(0x3F_FFFF, u64::MAX).as_probe().followed_by(u16::MAX);
        assert_eq!(Token::from_raw(token.to_raw()), token);
        assert_eq!((token.table(), token.started()), (Some(u16::MAX), Some(u64::MAX)));
        assert_eq!(Token::untimed(1).started(), None);
    }

    #[test]
    fn only_a_plain_token_is_calm_and_only_in_its_calm_word() {
        let plain = [Token::untimed(5), Token::timed(5, 1), Token::timed(5, 1).by_callers_time(2)];
        let words = (0..40).flat_map(|bit| {
            let payload = OpenUntil::Units(1 << bit);
            let half_open = BreakerWord::half_open(5, 1 << (bit % 20), 1 << (bit / 2));
            [BreakerWord::open(5, payload), half_open, BreakerWord::failing(5, 1 << bit)]
        });
        for word in words.chain([BreakerWord::calm(6), BreakerWord::NEW_DISABLED]) {
            for token in plain {
                let marked = [token.as_probe(), token.followed_by(0), token.as_probe().followed_by(1)];
                for token in marked.into_iter().chain([token]) {
                    assert!(!token.is_calm_in(word), "{token:?} in {word:?}");
                    assert!(!Token::from_raw(token.to_raw()).is_calm_in(word));
                }
                assert!(token.is_calm_in(BreakerWord::calm(5)));
                assert!(marked.iter().all(|token| !token.is_calm_in(BreakerWord::calm(5))));
            }
        }
    }

    #[test]
    fn two_words_of_no_token_make_one_that_keeps_the_rules() {
        for tag in (0..64).map(|bit| 1 << bit).chain([u64::MAX]) {
            let token = Token::from_raw((0, tag));
            assert_eq!(token.is_plain(), token.is_calm_in(BreakerWord::calm(token.epoch())), "{tag:#x}");
        }
    }
}
