//! P1, P2 and P4 on one way out of a writer: no row is missing, no batch is split, and nothing is
//! announced too early. Known invariants I11 and I13.

use std::collections::BTreeMap;

use synrepl_core::{
    stream::{Row, Source, Token},
    wire::{Command, Position},
};

use super::Promise;
use crate::world::Log;

/// The promise that a command breaks, and how.
pub(super) type Broken = (Promise, String);

/// Checks that the rows of `token` are those of the log, and are next where all up to `told` was
/// said. Where nothing was said, every token may be the first.
pub(super) fn check_rows(
    log: &Log,
    told: Option<Token>,
    token: Token,
    rows: &[Row],
) -> Result<(), Broken> {
    let what = if log.entries.get(&token).is_none_or(|written| written != rows) {
        format!("the rows sent at {token} are not those of its log")
    } else if let Some(told) = told.filter(|told| token <= *told) {
        format!("{token} was sent after {told}")
    } else if let Some(told) = told
        && let Some((missed, _)) = log.between(told, token.before()).next()
    {
        format!("{token} was sent, {missed} before it was not")
    } else {
        return Ok(());
    };
    Err((Promise::SentInOrder, what))
}

/// Checks that an announcement goes over no rows above `told`.
pub(super) fn check_position(
    log: &Log,
    told: Option<Token>,
    position: &Position,
) -> Result<(), Broken> {
    let (prev, token) = (position.prev, position.token);
    let told = told.unwrap_or(token);
    match log.between(told, token).next() {
        Some((row, _)) if prev <= told => {
            Err((Promise::TruePosition, format!("POSITION {prev} {token} goes over {row}")))
        }
        Some((row, _)) => {
            Err((Promise::Announces, format!("announced {token} ahead of the rows at {row}")))
        }
        None => Ok(()),
    }
}

/// What a writer said on one connection of the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outlet {
    /// The token up to which each stream was said, once it was announced.
    said: BTreeMap<Source, Token>,
    /// The rows of a batch that is still open.
    open: Option<(Source, Vec<Row>)>,
}

impl Outlet {
    pub(super) fn is_announced(&self, source: &Source) -> bool {
        self.said.contains_key(source)
    }

    /// Returns whether all that `log` holds was said.
    #[cfg(test)]
    pub(super) fn is_complete(&self, log: &Log) -> bool {
        self.said.get(&log.source) == Some(&log.current) && self.open.is_none()
    }

    /// Judges a command about `log`. Returns the token up to which the command brings the stream.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(super) fn judge(&mut self, command: &Command, log: &Log) -> Result<Option<Token>, Broken> {
        let at = self.said.get(&log.source).copied();
        let token = match command {
            Command::Rdata(rdata) => {
                if at.is_none() {
                    let what = "rows came before an announcement on this connection".to_owned();
                    return Err((Promise::Announces, what));
                }
                let (of, rows) = self.open.get_or_insert_with(|| (log.source.clone(), Vec::new()));
                if *of != log.source {
                    return Err((Promise::SentInOrder, format!("a row inside a batch of {of}")));
                }
                rows.push(rdata.row.clone());
                let Some(token) = rdata.token else { return Ok(None) };
                check_rows(log, at, token, rows)?;
                self.open = None;
                token
            }
            Command::Position(position) => {
                if let Some((of, _)) = &self.open {
                    let what = format!("an announcement stands inside a batch of {of}");
                    return Err((Promise::SentInOrder, what));
                }
                check_position(log, at, position)?;
                let (prev, token) = (position.prev, position.token);
                if let Some(at) = at.filter(|at| *at != prev) {
                    return Err((
                        Promise::Announces,
                        format!("POSITION {prev} {token} after {at}"),
                    ));
                }
                token
            }
            _ => return Ok(None),
        };
        self.said.insert(log.source.clone(), token);
        Ok(Some(token))
    }
}
