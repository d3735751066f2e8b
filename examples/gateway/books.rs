//! Whether every order is accounted for exactly once, and the layers' own counts agree.

use crate::record::Record;
use crate::stack::Counted;
use crate::tally::{Item, Tally};

/// The first account that does not add up, in words.
pub(crate) fn check(record: &Record, tally: &Tally) -> Result<(), String> {
    let counts = &tally.counts;
    let attempted = counts.attempted();
    let mut accounts = vec![
        ("orders: ended and unsent, due", attempted + counts[Item::Unsent], record.schedule.total()),
        ("orders filled: in all, by column", counts[Item::Filled], tally.cells.iter().sum()),
        ("attempts sent: in all, with a latency", counts[Item::Sent], tally.call.len()),
    ];
    if let Some(Counted { retry, budget, limiter, breaker }) =
        record.protection.as_ref().map(|(_, counted)| counted)
    {
        let refused = breaker.rejected.open + breaker.rejected.half_open;
        // A hung call that answers after all is in twice: as a failure, and as late.
        let judged = breaker.success + breaker.failure + breaker.cancelled + breaker.late - breaker.hung;
        accounts.extend([
            ("calls: orders, the retry's", attempted, retry.calls()),
            ("calls: orders, the budget's", attempted, budget.calls),
            ("calls answered: orders, the retry's", counts.answered(), retry.succeeded()),
            ("attempts: the retry's, the limiter's", retry.calls() + retry.retries, {
                limiter.allowed + limiter.refused
            }),
            ("permits: used, given", refused + counts[Item::Sent], limiter.allowed),
            ("attempts sent: in all, judged by the breaker", counts[Item::Sent], judged),
        ]);
    } else {
        accounts.push(("attempts of the unprotected: orders, sent", attempted, counts[Item::Sent]));
    }
    for (account, one, other) in accounts {
        if one != other {
            return Err(format!("the books do not add up: {account}: {one} and {other}"));
        }
    }
    Ok(())
}
