//! What a writer sends on the bus, held against its logs: promises P1 to P4.

use std::collections::BTreeMap;

use synrepl_core::{
    Timestamp,
    stream::{Row, Source, Token},
    wire::Command,
};

use crate::{
    oracle::{Promise, Violation},
    scenario::Scenario,
    world::Log,
};

/// What was said of each own stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    streams: BTreeMap<Source, Said>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Said {
    /// The token up to which the stream was said on the present connection, once it was announced.
    at: Option<Token>,
    /// Rows of a batch that is still open.
    open: Vec<Row>,
    /// The highest token that is known to have gone out.
    confirmed: Token,
    /// Something that this process said is known to have gone out.
    heard: bool,
    /// The highest token that may have gone out, on any connection.
    highest: Token,
    /// The token up to which the application was told that all has gone out.
    told: Token,
}

type Verdict = Result<(), Violation>;

/// The writer has broken a promise. The steps that led there say when.
pub(super) fn violation(promise: Promise, source: Option<&Source>, what: String) -> Violation {
    let (at, instance) = (Timestamp::ZERO, Scenario::writer_name(0));
    Violation { promise, at, instance, source: source.cloned(), what }
}

fn broken(promise: Promise, log: &Log, what: String) -> Verdict {
    Err(violation(promise, Some(&log.source), what))
}

impl Sent {
    /// The writer starts, with these logs.
    pub(super) fn on_start(&mut self, logs: &[Log]) {
        for log in logs {
            let Log { source, current, .. } = log;
            let (confirmed, highest, told) = (*current, *current, *current);
            let said = Said { confirmed, highest, told, ..Said::default() };
            self.streams.insert(source.clone(), said);
        }
    }

    /// A new connection: nothing was said on it.
    pub(super) fn on_connected(&mut self) {
        for said in self.streams.values_mut() {
            said.at = None;
            said.open.clear();
        }
    }

    /// The bus has answered for this command.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about own streams")]
    pub(super) fn on_confirmed(&mut self, command: &Command) {
        let (stream, instance, token) = match command {
            Command::Rdata(rdata) => (&rdata.stream, &rdata.instance, rdata.token),
            Command::Position(position) => {
                (&position.stream, &position.instance, Some(position.token))
            }
            _ => return,
        };
        if let Some(said) = self.streams.get_mut(&Source::new(stream, instance))
            && let Some(token) = token
        {
            said.confirmed = said.confirmed.max(token);
            said.heard = true;
        }
    }

    /// The application is told that all up to `token` has gone out.
    pub(super) fn on_published(&mut self, log: &Log, token: Token) -> Verdict {
        let said = self.streams.entry(log.source.clone()).or_default();
        if token > said.confirmed || token < said.told {
            let what = format!("out to {token}, where {said:?}");
            return broken(Promise::UnknownFate, log, what);
        }
        said.told = token;
        Ok(())
    }

    /// Everything that was written has gone out, and the application knows.
    pub(super) fn is_complete(&self, logs: &[Log]) -> bool {
        logs.iter().all(|log| {
            self.streams.get(&log.source).is_some_and(|said| {
                said.at == Some(log.current) && said.told >= log.current && said.open.is_empty()
            })
        })
    }

    /// Judges a command that the writer sends.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about own streams")]
    pub(super) fn judge(&mut self, command: &Command, logs: &[Log]) -> Verdict {
        let (stream, instance) = match command {
            Command::Rdata(rdata) => (&rdata.stream, &rdata.instance),
            Command::Position(position) => (&position.stream, &position.instance),
            _ => return Ok(()),
        };
        let source = Source::new(stream, instance);
        let Some(log) = logs.iter().find(|log| log.source == source) else {
            let what = "is no own stream".to_owned();
            return Err(violation(Promise::SentInOrder, Some(&source), what));
        };
        if let Some(open) =
            self.streams.iter().find(|(other, said)| **other != source && !said.open.is_empty())
        {
            return broken(Promise::SentInOrder, log, format!("inside a batch of {}", open.0));
        }
        let said = self.streams.entry(source).or_default();
        match command {
            Command::Rdata(rdata) => said.on_row(log, rdata.token, rdata.row.clone()),
            Command::Position(position) => said.on_position(log, position.prev, position.token),
            _ => Ok(()),
        }
    }
}

impl Said {
    fn on_row(&mut self, log: &Log, token: Option<Token>, row: Row) -> Verdict {
        let Some(at) = self.at else {
            return broken(Promise::Announces, log, "a row before the announcement".to_owned());
        };
        self.open.push(row);
        let Some(token) = token else { return Ok(()) };
        let rows = std::mem::take(&mut self.open);
        let due = log.between(at, log.current).next();
        if due.is_none_or(|due| due != (token, &rows)) {
            let what = format!("at {at}, sent {token} {rows:?}, due {due:?}");
            return broken(Promise::SentInOrder, log, what);
        }
        self.at = Some(token);
        self.highest = self.highest.max(token);
        Ok(())
    }

    fn on_position(&mut self, log: &Log, prev: Token, new: Token) -> Verdict {
        if !self.open.is_empty() {
            return broken(Promise::SentInOrder, log, "announced inside a batch".to_owned());
        }
        match self.at {
            Some(at) if at != prev => {
                let what = format!("POSITION {prev} {new} behind {at}");
                return broken(Promise::Announces, log, what);
            }
            None => {
                // Lower tokens of such a stream would pass for a new epoch; before its first ones
                // are known to have gone out, they are one.
                let beyond = log.traits.resettable && self.heard;
                let sure = if beyond { self.highest } else { self.confirmed };
                if (prev, new) != (sure, sure) {
                    let what = format!("POSITION {prev} {new} on a new connection, not {sure}");
                    return broken(Promise::UnknownFate, log, what);
                }
            }
            Some(_) => {}
        }
        if let Some((row, _)) = log.between(prev, new).next() {
            let what = format!("POSITION {prev} {new} over the rows at {row}");
            return broken(Promise::TruePosition, log, what);
        }
        self.at = Some(new);
        self.highest = self.highest.max(new);
        Ok(())
    }
}
