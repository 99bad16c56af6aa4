//! P1 to P4: what our own writers put on the bus, judged where the bus takes it, so that no delay
//! or loss behind it matters. The model checker judges where the writer sends it.

use std::collections::BTreeMap;

use synrepl_core::{
    Timestamp,
    stream::{Source, Token},
    wire::Command,
};

use super::{
    Promise, Verdict, Violation,
    fate::Fate,
    outlet::{Broken, Outlet},
};
use crate::world::Log;

/// Time within which a REPLICATE must be answered by an instance that is there.
const ANSWERS_WITHIN_S: u64 = 10;

/// What was said of one own stream, on all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Said {
    fate: Fate,
    /// The time at which the bus last took an announcement.
    announced_at: Option<Timestamp>,
    /// A REPLICATE that was not answered yet.
    asked_at: Option<Timestamp>,
}

/// Judges what our own writers say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PublishOracle {
    sources: BTreeMap<Source, Said>,
    /// What each instance said on its present connection.
    outlets: BTreeMap<String, Outlet>,
    /// The commands come as the writer sends them, and what the bus answers is known. Else they
    /// come as the bus takes them, and the writer knows of some of them that it did.
    as_sent: bool,
}

impl PublishOracle {
    /// The writer of `log` begins to speak, at where its log ends.
    pub(crate) fn on_start(&mut self, log: &Log) {
        let said = Said { fate: Fate::starting_at(log.current), ..Said::default() };
        self.sources.insert(log.source.clone(), said);
        self.outlets.remove(log.source.instance());
    }

    /// A new connection of `instance`: it has announced nothing on it.
    pub(crate) fn on_connected(&mut self, instance: &str) {
        self.outlets.remove(instance);
        self.of(instance).for_each(|(_, said)| said.asked_at = None);
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

    /// The application of the writer of `log` is told that all up to `token` has gone out: it has,
    /// and no higher token was told before.
    pub(crate) fn on_published(&mut self, now: Timestamp, token: Token, log: &Log) -> Verdict {
        let said = self.sources.entry(log.source.clone()).or_default();
        let verdict = said.fate.on_published(token);
        hold(now, &log.source, verdict.map_err(|what| (Promise::UnknownFate, what)))
    }

    /// All that the bus has taken of an instance was told to its application.
    pub(crate) fn check_published(&self, now: Timestamp, instance: &str) -> Verdict {
        let outlet = self.outlets.get(instance);
        let announced = |source| outlet.is_some_and(|outlet| outlet.is_announced(source));
        for (source, said) in self.sources.iter().filter(|(source, _)| announced(source)) {
            let verdict = said.fate.check_told().map_err(|what| (Promise::UnknownFate, what));
            hold(now, source, verdict)?;
        }
        Ok(())
    }

    /// No instance that is there owes an answer for too long.
    pub(crate) fn check_answered(&self, now: Timestamp, instance: &str) -> Verdict {
        let of_instance = |(source, _): &(&Source, &Said)| source.instance() == instance;
        self.sources.iter().filter(of_instance).try_for_each(|(source, said)| {
            hold(now, source, said.asked_at.map_or(Ok(()), |at| check_in_time(now, at)))
        })
    }

    /// Judges a command of the writer of `log`. True if it announces rows again that were told
    /// before, as after a send of unknown fate.
    pub(crate) fn judge(
        &mut self,
        now: Timestamp,
        command: &Command,
        log: &Log,
    ) -> Result<bool, Violation> {
        let source = &log.source;
        let said = self.sources.entry(source.clone()).or_default();
        let outlet = self.outlets.entry(source.instance().to_owned()).or_default();
        let mut again = false;
        if let Command::Position(position) = command {
            let (prev, token) = (position.prev, position.token);
            again = said.fate.is_known_above(token);
            said.announced_at = Some(now);
            if let Some(asked_at) = said.asked_at.take() {
                hold(now, source, check_in_time(now, asked_at))?;
            }
            let resettable = log.traits.resettable;
            let at = said.fate.resumes_at(resettable);
            let resumes =
                prev == token && if self.as_sent { token == at } else { token <= at || resettable };
            if !resumes && !outlet.is_announced(source) {
                let what = format!("POSITION {prev} {token} on a new connection, not {at}");
                hold(now, source, Err((Promise::UnknownFate, what)))?;
            }
        }
        match outlet.judge(command, log) {
            Ok(Some(token)) => {
                said.fate.on_sent(token);
                if !self.as_sent {
                    said.fate.on_confirmed(token);
                }
                Ok(again)
            }
            verdict => hold(now, source, verdict.map(|_| ())).map(|()| again),
        }
    }
}

/// What the model checker tells and asks besides.
#[cfg(test)]
impl PublishOracle {
    pub(crate) fn of_what_is_sent() -> Self {
        Self { as_sent: true, ..Self::default() }
    }

    /// The writer of `log` learns that the bus took its rows or announcements up to `token`.
    pub(crate) fn on_confirmed(&mut self, token: Token, log: &Log) {
        self.sources.entry(log.source.clone()).or_default().fate.on_confirmed(token);
    }

    /// Everything that was written was said on the present connection, and the application knows
    /// that it has gone out.
    pub(crate) fn check_complete(&self, now: Timestamp, log: &Log) -> Verdict {
        let said = self.sources.get(&log.source);
        let outlet = self.outlets.get(log.source.instance());
        if said.is_some_and(|said| said.fate.is_told(log.current))
            && outlet.is_some_and(|outlet| outlet.is_complete(log))
        {
            return Ok(());
        }
        let what = format!("{said:?}, {outlet:?}, at {}", log.current);
        hold(now, &log.source, Err((Promise::SentInOrder, what)))
    }
}

fn check_in_time(now: Timestamp, asked_at: Timestamp) -> Result<(), Broken> {
    if now.saturating_since(asked_at).as_secs() > ANSWERS_WITHIN_S {
        let what = format!("did not answer the REPLICATE of {asked_at} in {ANSWERS_WITHIN_S} s");
        return Err((Promise::Announces, what));
    }
    Ok(())
}

pub(super) fn hold(at: Timestamp, source: &Source, verdict: Result<(), Broken>) -> Verdict {
    verdict.map_err(|(promise, what)| {
        let instance = source.instance().to_owned();
        Violation { promise, at, instance, source: Some(source.clone()), what }
    })
}
