//! P1, P2 and P4 on one connection of direct TCP, judged line by line where they leave our server.

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::{
    ByteString, Timestamp,
    stream::{Row, Source, Token},
    wire::Command,
};

use super::{
    Promise, Verdict,
    outlet::{check_position, check_rows},
    publish::hold,
};
use crate::world::Log;

/// What was said of one stream on the connection.
#[derive(Clone, Debug, Default)]
struct Said {
    /// From the first that was said on, all up to here was. A connection loses nothing, so there
    /// is nothing to say again.
    told: Option<Token>,
    /// Rows of a token that is not told yet.
    batch: Vec<Row>,
    /// The stream was asked for from a token on: until a POSITION every row has its own number, as
    /// the oldest dialect sends missed rows.
    missed: bool,
    /// The token of `batch`, while `missed`.
    of: Option<Token>,
    /// The stream was asked for once more: until a POSITION, what was on its way before the server
    /// heard of that comes in between, and neither can be told from the other.
    mixed: bool,
}

/// Judges what our server says to one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerOracle {
    sources: BTreeMap<Source, Said>,
    /// Asked for from a token on, and nothing came yet.
    asked: BTreeSet<ByteString>,
    asked_for_all: bool,
}

impl PeerOracle {
    /// The peer has asked to be told from a token of its choice on, as peers of the oldest dialect
    /// do: what it is told next may lie anywhere.
    pub(crate) fn on_subscribed(&mut self, stream: &ByteString) {
        if stream == "ALL" {
            self.asked_for_all = true;
        } else {
            self.asked.insert(stream.clone());
        }
        for (source, said) in &mut self.sources {
            if stream == "ALL" || source.stream() == &**stream {
                *said = Said { missed: true, mixed: true, ..Said::default() };
            }
        }
    }

    /// The server says something of `log`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn judge(&mut self, now: Timestamp, command: &Command, log: &Log) -> Verdict {
        let source = &log.source;
        let (asked, all) = (&self.asked, self.asked_for_all);
        let said = self.sources.entry(source.clone()).or_insert_with(|| Said {
            missed: all || asked.contains(source.stream()),
            ..Said::default()
        });
        match command {
            Command::Rdata(_) if said.mixed => Ok(()),
            Command::Rdata(rdata) if said.missed => {
                let Some(token) = rdata.token else {
                    let what = "a missed row came without its number".to_owned();
                    return hold(now, source, Err((Promise::SentInOrder, what)));
                };
                if said.of.is_some_and(|of| of != token) {
                    said.close(now, log)?;
                }
                said.of = Some(token);
                said.batch.push(rdata.row.clone());
                Ok(())
            }
            Command::Rdata(rdata) => {
                said.batch.push(rdata.row.clone());
                said.of = rdata.token;
                if rdata.token.is_some() { said.close(now, log) } else { Ok(()) }
            }
            Command::Position(position) => {
                if std::mem::take(&mut said.mixed) {
                    *said = Said { told: Some(position.token), ..Said::default() };
                    return Ok(());
                }
                if said.missed {
                    said.close(now, log)?;
                    said.missed = false;
                }
                if !said.batch.is_empty() {
                    let what = "an announcement stands inside a batch".to_owned();
                    return hold(now, source, Err((Promise::SentInOrder, what)));
                }
                let told = said.told;
                said.told = told.max(Some(position.token));
                hold(now, source, check_position(log, told, position))
            }
            _ => Ok(()),
        }
    }
}

impl Said {
    /// The rows of a token were said, if any are open.
    fn close(&mut self, now: Timestamp, log: &Log) -> Verdict {
        let Some(token) = self.of.take() else { return Ok(()) };
        let rows = std::mem::take(&mut self.batch);
        let told = self.told.replace(token);
        hold(now, &log.source, check_rows(log, told, token, &rows))
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
    fn missed_rows_of_the_oldest_dialect_have_their_numbers_until_a_position() {
        let judged = |lines: &[&str]| {
            let (log, mut oracle) = (log(), PeerOracle::default());
            oracle.on_subscribed(&"ALL".into());
            lines.iter().try_for_each(|line| {
                let line = Bytes::copy_from_slice(line.as_bytes());
                let command = Decoder::new().decode(&line).unwrap();
                let verdict = oracle.judge(Timestamp::ZERO, &command, &log);
                verdict.map_err(|violation| violation.promise)
            })
        };
        let missed = ["RDATA events 2 [1]", "RDATA events 4 [2]", "RDATA events 4 [3]"];
        let end = "POSITION events 4";
        assert_eq!(judged(&[missed[0], missed[1], missed[2], end]), Ok(()));
        let broken = Err(Promise::SentInOrder);
        assert_eq!(judged(&[missed[0], missed[1], end]), broken, "half a batch");
        assert_eq!(judged(&[missed[0], "RDATA events 6 [4]", end]), broken, "one left out");
    }

    #[test]
    fn rows_sent_before_a_stream_was_asked_for_again_may_come_among_the_missed_ones() {
        let (log, mut oracle) = (log(), PeerOracle::default());
        let say = |oracle: &mut PeerOracle, line: &str| {
            let command = Decoder::new().decode(&Bytes::copy_from_slice(line.as_bytes())).unwrap();
            oracle.judge(Timestamp::ZERO, &command, &log).map_err(|violation| violation.promise)
        };
        oracle.on_subscribed(&"ALL".into());
        say(&mut oracle, "POSITION events 1").unwrap();
        oracle.on_subscribed(&"events".into());
        for line in ["RDATA events batch [2]", "RDATA events 2 [1]", "POSITION events 4"] {
            assert_eq!(say(&mut oracle, line), Ok(()), "{line}");
        }
        assert_eq!(say(&mut oracle, "RDATA events 4 [3]"), Err(Promise::SentInOrder));
    }

    #[test]
    fn positions_over_rows_break_p2_and_ahead_of_them_p4() {
        assert_eq!(judged(&[TWO, "POSITION events master 2 5"]), Err(Promise::TruePosition));
        assert_eq!(judged(&[TWO, "POSITION events master 5 5"]), Err(Promise::Announces));
    }
}
