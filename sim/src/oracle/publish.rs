//! P1 to P4: what our own writers put on the bus, judged where the bus takes it, so that no delay
//! or loss behind it matters. Known invariants I11 and I13.

use std::collections::BTreeMap;

use synrepl_core::{
    Timestamp,
    stream::{Row, Source, Token},
    wire::Command,
};

use super::{Promise, Verdict, Violation};
use crate::world::Log;

/// Time within which a REPLICATE must be answered by an instance that is there.
const ANSWERS_WITHIN_S: u64 = 10;

/// What was said of one own stream.
#[derive(Clone, Debug, Default)]
struct Said {
    /// All rows up to here are known to listeners, or known to be missing.
    told: Token,
    /// The last token said; rows behind an announcement go on from there.
    last: Token,
    batch: Vec<Row>,
    /// Something was announced on the present connection.
    announced: bool,
    /// The time at which the bus last took an announcement.
    announced_at: Option<Timestamp>,
    /// A REPLICATE that was not answered yet.
    asked_at: Option<Timestamp>,
    /// The application was told that all up to here has gone out.
    published: Token,
}

/// Judges what our own writers say.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishOracle {
    sources: BTreeMap<Source, Said>,
}

impl PublishOracle {
    /// The writer of `log` begins to speak, at where its log ends.
    pub(crate) fn on_start(&mut self, log: &Log) {
        let (told, last, published) = (log.current, log.current, log.current);
        let said = Said { told, last, published, ..Said::default() };
        self.sources.insert(log.source.clone(), said);
    }

    /// A new connection of `instance`: it has announced nothing on it.
    pub(crate) fn on_connected(&mut self, instance: &str) {
        for (_, said) in self.of(instance) {
            said.announced = false;
            said.asked_at = None;
            said.batch.clear();
        }
    }

    /// A REPLICATE reached an instance.
    /// The instance that asks has listened since `since`, and has heard what was announced after
    /// that.
    pub(crate) fn on_replicate(&mut self, now: Timestamp, since: Timestamp, instance: &str) {
        for (_, said) in self.of(instance) {
            if said.announced_at.is_none_or(|announced| announced < since) {
                said.asked_at.get_or_insert(now);
            }
        }
    }

    fn of(&mut self, instance: &str) -> impl Iterator<Item = (&Source, &mut Said)> {
        self.sources.iter_mut().filter(move |(source, _)| source.instance() == instance)
    }

    /// The application of the writer of `log` is told that all up to `token` has gone out: the bus
    /// has taken it, and no higher token was told before.
    pub(crate) fn on_published(&mut self, now: Timestamp, token: Token, log: &Log) -> Verdict {
        let source = &log.source;
        let said = self.sources.entry(source.clone()).or_default();
        let before = std::mem::replace(&mut said.published, token);
        if token <= before {
            let what = format!("told that {token} has gone out, after {before}");
            return broken(Promise::UnknownFate, now, source, what);
        }
        if token > said.told {
            let what = format!("told that {token} has gone out, the bus took {}", said.told);
            return broken(Promise::UnknownFate, now, source, what);
        }
        Ok(())
    }

    /// All that the bus has taken of an instance was told to its application.
    pub(crate) fn check_published(&self, now: Timestamp, instance: &str) -> Verdict {
        for (source, said) in &self.sources {
            if source.instance() == instance && said.announced && said.published < said.told {
                let (told, published) = (said.told, said.published);
                let what = format!("the bus took {told}, the application heard of {published}");
                return broken(Promise::UnknownFate, now, source, what);
            }
        }
        Ok(())
    }

    /// No instance that is there owes an answer for too long.
    pub(crate) fn check_answered(&self, now: Timestamp, instance: &str) -> Verdict {
        for (source, said) in &self.sources {
            if source.instance() == instance
                && let Some(asked_at) = said.asked_at
                && is_late(now, asked_at)
            {
                return broken(Promise::Announces, now, source, not_answered(asked_at));
            }
        }
        Ok(())
    }

    /// The bus takes a command of the writer of `log`. True if it announces rows again that were
    /// told before, as after a send of unknown fate.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn judge(
        &mut self,
        now: Timestamp,
        command: &Command,
        log: &Log,
    ) -> Result<bool, Violation> {
        let source = &log.source;
        let said = self.sources.entry(source.clone()).or_default();
        match command {
            Command::Rdata(rdata) => {
                if !said.announced {
                    let what = "rows came before an announcement on this connection".to_owned();
                    return broken(Promise::Announces, now, source, what).map(|()| false);
                }
                said.batch.push(rdata.row.clone());
                let Some(token) = rdata.token else { return Ok(false) };
                let rows = std::mem::take(&mut said.batch);
                let (told, last) = (said.told, said.last);
                said.told = told.max(token);
                said.last = token;
                if token <= last {
                    let what = format!("{token} was sent after {last}");
                    broken(Promise::SentInOrder, now, source, what)?;
                }
                if log.entries.get(&token).is_none_or(|written| *written != rows) {
                    let what = format!("the rows sent at {token} are not those of its log");
                    broken(Promise::SentInOrder, now, source, what)?;
                }
                if let Some((missed, _)) = log.between(told, token.before()).next() {
                    let what = format!("{token} was sent, {missed} before it was not");
                    broken(Promise::UnknownFate, now, source, what)?;
                }
                Ok(false)
            }
            Command::Position(position) => {
                let again = position.token < said.told;
                let (told, open) = (said.told, !said.batch.is_empty());
                said.announced = true;
                said.announced_at = Some(now);
                let asked_at = said.asked_at.take();
                said.last = position.token;
                said.told = told.max(position.token);
                if let Some(asked_at) = asked_at.filter(|at| is_late(now, *at)) {
                    return broken(Promise::Announces, now, source, not_answered(asked_at))
                        .map(|()| again);
                }
                if open {
                    let what = "an announcement stands inside a batch".to_owned();
                    broken(Promise::SentInOrder, now, source, what)?;
                }
                if position.prev <= told
                    && let Some((row, _)) = log.between(told, position.token).next()
                {
                    let what = format!(
                        "POSITION {} {} goes over the rows at {row}",
                        position.prev, position.token
                    );
                    broken(Promise::TruePosition, now, source, what)?;
                }
                if position.prev > told
                    && !log.traits.resettable
                    && let Some((row, _)) = log.between(told, position.prev).next()
                {
                    let what = format!("announced {} ahead of the rows at {row}", position.prev);
                    broken(Promise::Announces, now, source, what)?;
                }
                Ok(again)
            }
            _ => Ok(false),
        }
    }
}

fn is_late(now: Timestamp, asked_at: Timestamp) -> bool {
    now.saturating_since(asked_at).as_secs() > ANSWERS_WITHIN_S
}

fn not_answered(asked_at: Timestamp) -> String {
    format!("did not answer the REPLICATE of {asked_at} within {ANSWERS_WITHIN_S} s")
}

pub(super) fn broken(promise: Promise, at: Timestamp, source: &Source, what: String) -> Verdict {
    let instance = source.instance().to_owned();
    Err(Violation { promise, at, instance, source: Some(source.clone()), what })
}
