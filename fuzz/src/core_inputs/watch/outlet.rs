//! The rules for one connection on which own rows go out: no row is missing, no batch is split, and
//! no token is announced too early (promises P1, P2 and P4).

use std::collections::BTreeMap;

use synrepl_core::{
    stream::{Row, Token},
    wire::{Position, Rdata},
};

use super::{Verdict, holds};
use crate::core_inputs::logs::Log;

/// The kind of reader of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Every instance on the bus, where rows of any length fit.
    Bus,
    /// A peer whose dialect names instances, which gets all streams.
    Named,
    /// A peer of the oldest dialect, which gets the streams that it requests.
    Oldest,
}

/// The progress of a reader in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It has received nothing; rows above this token are due.
    Nothing(Token),
    /// It has received every row up to this token, but for those too long for a line.
    UpTo(Token),
    /// It requested the rows above a token, and has received this many.
    Asked(Token, usize),
}

/// The progress of a reader in all streams.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    pub(super) reader: Reader,
    pub(super) heard: BTreeMap<String, Heard>,
    /// The rows of the open batch.
    batch: Vec<Row>,
    of: String,
}

/// The log of a stream, as far as the node knows of it.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) log: &'a Log,
    pub(super) end: Token,
    pub(super) row_bytes_max: usize,
}

impl Known<'_> {
    fn is_too_long(&self, row: &Row) -> bool {
        row.len() > self.row_bytes_max
    }

    /// Returns the first token in `(from, upto]` that may not be left out.
    fn missed(&self, from: Token, upto: Token, may_be_long: bool) -> Option<Token> {
        let mut batches = self.log.between(from, upto);
        let found =
            batches.find(|(_, rows)| !may_be_long || !rows.iter().any(|row| self.is_too_long(row)));
        found.map(|(token, _)| token)
    }

    /// Returns the rows in `(from, upto]` of batches that fit into lines, each with its token.
    fn lines(&self, from: Token, upto: Token) -> impl Iterator<Item = (Token, &Row)> {
        let batches = self.log.between(from, upto);
        let whole = batches.filter(|(_, rows)| !rows.iter().any(|row| self.is_too_long(row)));
        whole.flat_map(|(token, rows)| rows.iter().map(move |row| (token, row)))
    }
}

impl Outlet {
    pub(super) const fn new(reader: Reader) -> Self {
        Self { reader, heard: BTreeMap::new(), batch: Vec::new(), of: String::new() }
    }

    fn heard(&self, stream: &str) -> Result<Heard, String> {
        match (self.heard.get(stream), self.reader) {
            (Some(heard), _) => Ok(*heard),
            (None, Reader::Named) => Ok(Heard::Nothing(Token::START)),
            (None, Reader::Bus) => Err(format!("P4: rows of {stream} before its POSITION")),
            (None, Reader::Oldest) => Err(format!("{stream} was not asked for")),
        }
    }

    /// Checks that tokens above `upto` may come next. A batch with a row too long for a line of
    /// direct TCP is left out there; for a reader that fetches, a POSITION above it must be next.
    fn check_continues(
        &self,
        stream: &str,
        heard: Heard,
        upto: Token,
        known: Known<'_>,
        with_position: bool,
    ) -> Verdict {
        let (Heard::Nothing(from) | Heard::UpTo(from) | Heard::Asked(from, _)) = heard;
        let may_be_long = match self.reader {
            Reader::Bus => false,
            Reader::Named => with_position,
            Reader::Oldest => true,
        };
        let missed = known.missed(from, upto, may_be_long);
        holds(missed.is_none(), || format!("P1: {missed:?} of {stream} left out after {heard:?}"))
    }

    pub(super) fn on_rdata(&mut self, rdata: &Rdata, known: Known<'_>) -> Verdict {
        let Rdata { stream, token, row, .. } = rdata;
        let heard = self.heard(stream)?;
        if let Heard::Asked(from, count) = heard {
            let next = known.lines(from, known.end).nth(count);
            let said = token.map(|token| (token, row));
            holds(said.is_some() && next == said, || {
                format!("P1: {said:?} of {stream}, not {next:?}, which was asked for")
            })?;
            self.heard.insert(stream.to_string(), Heard::Asked(from, count + 1));
            return Ok(());
        }
        let mixed = !self.batch.is_empty() && self.of != **stream;
        holds(!mixed, || format!("P1: a row of {stream} inside a batch of {}", self.of))?;
        self.of = stream.to_string();
        self.batch.push(row.clone());
        let Some(token) = *token else { return Ok(()) };
        let batch = std::mem::take(&mut self.batch);
        let expected = known.log.batch(token).filter(|_| token <= known.end);
        holds(expected == Some(&*batch), || {
            format!("P1: {batch:?} at {token} of {stream}, not {expected:?}")
        })?;
        if let Heard::UpTo(at) = heard {
            holds(at < token, || format!("P1: {token} of {stream} after {at}"))?;
        }
        self.check_continues(stream, heard, token.before(), known, false)?;
        self.heard.insert(stream.to_string(), Heard::UpTo(token));
        Ok(())
    }

    pub(super) fn on_position(&mut self, position: &Position, known: Known<'_>) -> Verdict {
        let Position { stream, prev, token, ends_catch_up, .. } = position;
        let (prev, token) = (*prev, *token);
        self.check_whole(&format!("POSITION of {stream}"))?;
        let is_oldest = self.reader == Reader::Oldest;
        holds(*ends_catch_up == is_oldest, || format!("not of this dialect: {position:?}"))?;
        holds(prev <= token && token <= known.end, || format!("P2: {position:?} over the end"))?;
        let heard = self.heard(stream)?;
        match heard {
            Heard::UpTo(at) => {
                holds(prev >= at, || format!("P4: {position:?} after {at}"))?;
                self.check_continues(stream, heard, prev, known, true)?;
            }
            Heard::Nothing(_) => self.check_continues(stream, heard, prev, known, true)?,
            Heard::Asked(from, count) => {
                let owed = known.lines(from, token).count();
                holds(count == owed, || {
                    format!("P1: {position:?} after {count} of {owed} rows above {from}")
                })?;
            }
        }
        let between = known.missed(prev, token, false);
        holds(between.is_none(), || format!("P2: {position:?}, but rows at {between:?}"))?;
        self.heard.insert(stream.to_string(), Heard::UpTo(token));
        Ok(())
    }

    /// Checks that a command other than a row does not come inside a batch.
    pub(super) fn check_whole(&self, what: &str) -> Verdict {
        let (batch, of) = (&self.batch, &self.of);
        holds(batch.is_empty(), || format!("P1: {what} inside a batch of {of}, after {batch:?}"))
    }

    /// Checks that the reader has received everything that was published.
    pub(super) fn check_complete(&self, stream: &str, known: Known<'_>) -> Verdict {
        match self.heard.get(stream) {
            None if self.reader == Reader::Bus => Err(format!("P4: {stream} was not announced")),
            Some(Heard::Asked(from, count)) => {
                Err(format!("P1: {stream} was asked for above {from}, and ends after {count} rows"))
            }
            Some(heard) => self.check_continues(stream, *heard, known.end, known, false),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges commands about a log with rows at 1, 2 (two), 4, 5 (two), 7 and 8 (two), and none at
    /// 3 and 6.
    fn judged(reader: Reader, heard: Heard, commands: &[&str]) -> Verdict {
        let log = Log::ending_at(8.into());
        let known = Known { log: &log, end: log.end, row_bytes_max: 100 };
        let mut outlet = Outlet::new(reader);
        outlet.heard.insert("events".to_owned(), heard);
        commands.iter().try_for_each(|command| {
            let words: Vec<&str> = command.split(' ').collect();
            let number = |nth: usize| Token::new(words[nth].parse().expect("a number"));
            let (stream, instance) = ("events".into(), "synrepl".into());
            if words[0] == "row" {
                let token = (words[1] != "batch").then(|| number(1));
                let row = Row::from(words[2]);
                outlet.on_rdata(&Rdata { stream, instance, token, row }, known)
            } else {
                let (prev, token) = (number(1), number(2));
                let ends_catch_up = reader == Reader::Oldest;
                let position = Position { stream, instance, prev, token, ends_catch_up };
                outlet.on_position(&position, known)
            }
        })
    }

    #[track_caller]
    fn breaks(reader: Reader, heard: Heard, commands: &[&str], promise: &str) {
        let (_, before) = commands.split_last().expect("there are commands");
        assert_eq!(judged(reader, heard, before), Ok(()), "only the last one is wrong");
        let broken = judged(reader, heard, commands).expect_err("it is wrong");
        assert!(broken.starts_with(promise), "{broken}");
    }

    const BEGIN: Heard = Heard::UpTo(Token::START);

    #[test]
    fn rows_left_out_split_or_repeated_are_noticed() {
        let all = ["row 1 [1,0]", "row batch [2,0]", "row 2 [2,1]", "position 2 3", "row 4 [4,0]"];
        assert_eq!(judged(Reader::Bus, BEGIN, &all), Ok(()));
        breaks(Reader::Bus, BEGIN, &["row batch [2,0]", "row 2 [2,1]"], "P1");
        breaks(Reader::Bus, BEGIN, &["row 1 [1,0]", "row 2 [2,0]"], "P1");
        breaks(Reader::Bus, BEGIN, &["row 1 [1,0]", "row 1 [1,0]"], "P1");
        breaks(Reader::Named, Heard::Nothing(2.into()), &["row batch [5,0]", "row 5 [5,1]"], "P1");
    }

    #[test]
    fn positions_over_rows_or_beside_the_mark_are_noticed() {
        breaks(Reader::Bus, BEGIN, &["position 0 1"], "P2");
        breaks(Reader::Bus, BEGIN, &["position 1 1"], "P1");
        breaks(Reader::Bus, BEGIN, &["row 1 [1,0]", "position 0 0"], "P4");
        breaks(Reader::Bus, BEGIN, &["row 1 [1,0]", "row batch [2,0]", "position 1 1"], "P1");
        breaks(Reader::Bus, Heard::UpTo(8.into()), &["position 8 9"], "P2");
    }

    #[test]
    fn a_catch_up_that_leaves_rows_out_is_noticed() {
        let asked = Heard::Asked(4.into(), 0);
        let rows = ["row 5 [5,0]", "row 5 [5,1]", "row 7 [7,0]", "position 7 7"];
        assert_eq!(judged(Reader::Oldest, asked, &rows), Ok(()));
        breaks(Reader::Oldest, asked, &["row 5 [5,1]"], "P1");
        breaks(Reader::Oldest, asked, &["row 5 [5,0]", "position 5 5"], "P1");
        breaks(Reader::Oldest, asked, &["row batch [5,0]"], "P1");
    }
}
