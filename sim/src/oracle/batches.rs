//! F4: the rows of one token come in one delivery, never mixed with another source's, never
//! split. Known invariant I4.

use synrepl_core::stream::{Order, Row, Token};

use super::ledger::Ledger;
use crate::world::Log;

/// How a delivery compares with what was written.
pub(super) enum Whole {
    Yes,
    /// The first rows of a token whose others cannot be had; a gap must follow.
    Split,
}

/// `siblings` are the logs whose rows may come under this name.
#[expect(clippy::wildcard_enum_match_arm, reason = "in all other classes rows may repeat")]
pub(super) fn check<'a>(
    log: &Log,
    siblings: impl Iterator<Item = &'a Log>,
    ledger: Option<&Ledger>,
    token: Token,
    rows: &[Row],
) -> Result<Whole, String> {
    let shown = || rows.iter().map(Row::as_str).collect::<Vec<_>>().join(" ");
    let Some(first) = rows.first() else {
        return Err(format!("at {token} came no rows at all"));
    };
    // The writer broke its side of the protocol there, so any part may look like a whole batch.
    if log.may_be_part(token, first) {
        return Ok(Whole::Yes);
    }
    let written = if log.traits.shared_fetch {
        siblings.filter_map(|log| log.wrote(token, first)).next()
    } else {
        log.wrote(token, first)
    };
    let Some(written) = written else {
        return Err(format!("at {token} came {}, which was never written there", shown()));
    };
    let came_before = |row: &Row| ledger.is_some_and(|ledger| ledger.has(token, row));
    let (right, whole) = match log.traits.order {
        Order::Rising => (written.starts_with(rows), written == rows),
        // Rows that came before may be left out, and only they.
        _ => (
            rows.iter().all(|row| written.contains(row)),
            written.iter().all(|row| rows.contains(row) || came_before(row)),
        ),
    };
    // Where rows repeat anyway, the rest of a token may come with the next page.
    let rest_to_come = log.traits.order == Order::Loose;
    if right && (whole || rest_to_come || ledger.is_some_and(|ledger| ledger.in_gap(token))) {
        return Ok(Whole::Yes);
    }
    if right && log.traits.splits_tokens {
        return Ok(Whole::Split);
    }
    let written = written.iter().map(Row::as_str).collect::<Vec<_>>().join(" ");
    Err(format!("at {token} came {}, written was {written}", shown()))
}
