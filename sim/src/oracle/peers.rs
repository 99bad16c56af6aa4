//! P1, P2 and P4 on one connection of direct TCP, judged line by line where they leave our server.

use std::collections::BTreeMap;

use synrepl_core::{
    Timestamp,
    stream::{Row, Source, Token},
    wire::Command,
};

use super::{Promise, Verdict, publish::broken};
use crate::logical::Log;

/// What was said of one stream on the connection.
#[derive(Clone, Debug, Default)]
struct Said {
    /// From the first that was said on, all up to here was. A connection loses nothing, so there
    /// is nothing to say again.
    told: Option<Token>,
    batch: Vec<Row>,
}

/// Judges what our server says to one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerOracle {
    sources: BTreeMap<Source, Said>,
}

impl PeerOracle {
    /// The peer has asked to be told from a token of its choice on, as peers of the oldest dialect
    /// do: what it is told next may lie anywhere.
    pub(crate) fn on_subscribed(&mut self) {
        self.sources.clear();
    }

    /// The server says something of `log`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn judge(&mut self, now: Timestamp, command: &Command, log: &Log) -> Verdict {
        let source = &log.source;
        let said = self.sources.entry(source.clone()).or_default();
        match command {
            Command::Rdata(rdata) => {
                said.batch.push(rdata.row.clone());
                let Some(token) = rdata.token else { return Ok(()) };
                let rows = std::mem::take(&mut said.batch);
                let told = said.told.replace(token);
                if log.entries.get(&token).is_none_or(|written| *written != rows) {
                    let what = format!("the rows sent at {token} are not those of its log");
                    return broken(Promise::SentInOrder, now, source, what);
                }
                let Some(told) = told else { return Ok(()) };
                if token <= told {
                    let what = format!("{token} was sent after {told}");
                    return broken(Promise::SentInOrder, now, source, what);
                }
                if let Some((missed, _)) = log.between(told, token.before()).next() {
                    let what = format!("{token} was sent, {missed} before it was not");
                    return broken(Promise::SentInOrder, now, source, what);
                }
                Ok(())
            }
            Command::Position(position) => {
                if !said.batch.is_empty() {
                    let what = "an announcement stands inside a batch".to_owned();
                    return broken(Promise::SentInOrder, now, source, what);
                }
                let told = said.told.unwrap_or(position.token);
                said.told = Some(told.max(position.token));
                let Some((row, _)) = log.between(told, position.token).next() else {
                    return Ok(());
                };
                let (prev, token) = (position.prev, position.token);
                let (promise, what) = if prev <= told {
                    (Promise::TruePosition, format!("POSITION {prev} {token} goes over {row}"))
                } else {
                    (Promise::Announces, format!("announced {token} ahead of the rows at {row}"))
                };
                broken(promise, now, source, what)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synrepl_core::wire::Decoder;

    use super::*;

    /// A log with one row at 2 and two at 4.
    fn log() -> Log {
        let (mut log, mut serial) = (Log::new(Source::new("events", "master"), 0, 0), 0);
        log.append(Token::new(2), 1, &mut serial);
        log.append(Token::new(4), 2, &mut serial);
        log.append(Token::new(6), 1, &mut serial);
        log
    }

    fn judged(lines: &[&str]) -> Result<(), Promise> {
        let (log, mut oracle) = (log(), PeerOracle::default());
        lines.iter().try_for_each(|line| {
            let command = Decoder::new().decode(&Bytes::copy_from_slice(line.as_bytes())).unwrap();
            oracle.judge(Timestamp::ZERO, &command, &log).map_err(|violation| violation.promise)
        })
    }

    const TWO: &str = "RDATA events master 2 [1]";
    const FOUR: [&str; 2] = ["RDATA events master batch [2]", "RDATA events master 4 [3]"];

    #[test]
    fn rows_in_order_and_positions_behind_them_are_fine() {
        let lines = [TWO, "POSITION events master 2 3", FOUR[0], FOUR[1]];
        assert_eq!(judged(&lines), Ok(()));
        assert_eq!(judged(&["POSITION events master 4 5", "RDATA events master 6 [4]"]), Ok(()));
    }

    #[test]
    fn rows_out_of_order_left_out_or_torn_break_p1() {
        let broken = Err(Promise::SentInOrder);
        assert_eq!(judged(&[FOUR[0], FOUR[1], TWO]), broken);
        assert_eq!(judged(&[TWO, "RDATA events master 6 [4]"]), broken);
        assert_eq!(judged(&[TWO, FOUR[1]]), broken);
        assert_eq!(judged(&[FOUR[0], "POSITION events master 2 2"]), broken);
        assert_eq!(judged(&["RDATA events master 5 [9]"]), broken);
    }

    #[test]
    fn positions_over_rows_break_p2_and_ahead_of_them_p4() {
        assert_eq!(judged(&[TWO, "POSITION events master 2 5"]), Err(Promise::TruePosition));
        assert_eq!(judged(&[TWO, "POSITION events master 5 5"]), Err(Promise::Announces));
    }
}
