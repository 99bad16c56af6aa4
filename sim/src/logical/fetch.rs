//! Fetches: the question goes to the writer, the page comes back, and either may go wrong.

use std::time::Duration;

use synrepl_core::{
    FetchId, Input,
    stream::{FetchError, Page, Source, Token, traits},
};

use super::{
    process::{Answer, Due, Fetch, ProcessIndex},
    world::World,
};
use crate::{
    marks::Mark, planted::DriverBug, scenario::FetchFault, trace::MessageKind, trace::What,
    world::spoiled,
};

/// How late a stale answer is.
const STALE_AFTER: Duration = Duration::from_secs(4);
/// How long a driver waits for an answer.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);

impl World<'_> {
    /// A follower asks for missed rows.
    pub(super) fn ask(&mut self, index: ProcessIndex, query: FetchId, fetch: Fetch) {
        let lane = self.lane(index);
        let to = self.log_of(&fetch.source).map_or(self.writers, |log| self.logs[log].writer);
        let Fetch { source, from, upto, .. } = &fetch;
        let text = format!("fetch {source} ({from}, {upto}]");
        let leg = self.sent_on(lane, to, Some(&source.clone()), MessageKind::Fetch, || text);
        let process = &mut self.processes[index];
        process.fetches.insert(query, fetch);
        let life = process.life;
        let at = self.now + self.delay(index);
        self.queue.plan(at, Due::Asked { process: index, life, query, leg });
    }

    /// The question has reached the writer.
    pub(super) fn on_asked(&mut self, index: ProcessIndex, life: u32, query: FetchId, leg: u64) {
        let process = &mut self.processes[index];
        if process.life != life {
            return;
        }
        let asked = process.fetches.get(&query).or_else(|| process.cancelled.get(&query));
        let Some(Fetch { source, from, upto, .. }) = asked.cloned() else { return };
        let misled_until = process.follower.as_ref().map(|follower| follower.misled_until);
        let is_misled = misled_until.is_some_and(|until| self.now < until);
        let fault = process.follower.as_mut().and_then(|follower| follower.spoil.pop_front());
        let lane = self.lane(index);
        let writer = self.log_of(&source).map(|log| self.logs[log].writer);
        let asked = writer.map(|writer| self.reached(writer, is_misled));
        let (writer, source) = match asked.filter(|asked| Some(*asked) != writer) {
            // It answers with its own rows, unless all instances have the same.
            Some(other) if traits(source.stream()).own_rows_only => {
                (asked, Source::new(source.stream(), &self.processes[other].name))
            }
            Some(_) => (asked, source),
            None => (writer, source),
        };
        let to = writer.unwrap_or(self.writers);
        self.received(to, leg);
        let is_there = writer.and_then(|writer| self.processes[writer].writer.as_ref());
        let is_there = is_there.is_some_and(|writer| writer.started && !writer.down);
        let mut after = Duration::ZERO;
        let answer = if writer.is_none() {
            Err(FetchError::NoEndpoint { instance: source.instance().to_owned() })
        } else if !is_there {
            let (endpoint, message) = ("writer".to_owned(), "refused".to_owned());
            Err(FetchError::Unreachable { endpoint, message })
        } else {
            match fault {
                Some(FetchFault::Stale) => after = STALE_AFTER,
                Some(FetchFault::TimedOut) => after = GIVES_UP_AFTER,
                _ => {}
            }
            self.answer(&source, from, upto, fault)
        };
        let text = match &answer {
            Ok(page) => {
                let limited = if page.limited { ", limited" } else { "" };
                format!("{} rows of {source} up to {}{limited}", page.updates.len(), page.upto)
            }
            Err(error) => error.to_string(),
        };
        let leg = self.sent_on(to, lane, Some(&source), MessageKind::Page, || text);
        let at = self.now + self.delay(index) + after;
        let answer = Box::new(answer);
        self.queue.plan(at, Due::Answer { process: index, life, query, answer, leg });
    }

    /// Returns who is at the address that a follower has for a writer.
    const fn reached(&self, writer: ProcessIndex, is_misled: bool) -> ProcessIndex {
        if is_misled && writer < 2 && self.writers > 1 { 1 - writer } else { writer }
    }

    fn answer(
        &mut self,
        source: &Source,
        from: Token,
        upto: Token,
        fault: Option<FetchFault>,
    ) -> Answer {
        let endpoint = "writer".to_owned();
        let mut page = self.page(source, from, upto);
        if page.limited {
            self.marks.hit(Mark::FetchPaged);
            let last = page.updates.last().map(|(token, _)| *token);
            let next = self.page(source, page.upto.before(), upto);
            let split = next.updates.iter().filter(|(token, _)| Some(*token) == last).count()
                > page.updates.iter().filter(|(token, _)| Some(*token) == last).count();
            if split {
                self.marks.hit(Mark::FetchSplitToken);
            }
        }
        // Streams whose pages may reach beyond what was asked cannot be caught at it.
        let overruns = traits(source.stream()).overruns;
        match fault {
            None | Some(FetchFault::Stale) => {}
            Some(FetchFault::Status) => return Err(self.refused(endpoint)),
            Some(FetchFault::Beyond) if overruns => return Err(self.refused(endpoint)),
            Some(
                fault @ (FetchFault::Beyond
                | FetchFault::Stuck
                | FetchFault::Short
                | FetchFault::TooMuch),
            ) => {
                if fault == FetchFault::TooMuch {
                    self.marks.hit(Mark::FetchTooMuch);
                } else if fault != FetchFault::Short {
                    self.marks.hit(Mark::FetchUnusable);
                }
                let below = |from, upto| self.page(source, from, upto);
                page = spoiled(fault, source, page, (from, upto), below);
            }
            Some(FetchFault::TimedOut) => {
                self.marks.hit(Mark::FetchFailed);
                return Err(FetchError::TimedOut { endpoint, after_ms: 10_000 });
            }
            Some(FetchFault::TooLarge) => {
                return Err(FetchError::TooLarge { limit_bytes: 1 });
            }
            Some(FetchFault::NoEndpoint) => {
                self.marks.hit(Mark::FetchNoEndpoint);
                return Err(FetchError::NoEndpoint { instance: source.instance().to_owned() });
            }
        }
        Ok(page)
    }

    fn refused(&mut self, endpoint: String) -> FetchError {
        self.marks.hit(Mark::FetchFailed);
        let message = "internal error".to_owned();
        FetchError::Status { endpoint, status: 500, message }
    }

    fn page(&self, source: &Source, from: Token, upto: Token) -> Page {
        self.logs.page(source, from, upto, self.scenario.page_rows_max.max(1))
    }

    /// The answer has come back.
    pub(super) fn on_answer(
        &mut self,
        index: ProcessIndex,
        life: u32,
        query: FetchId,
        answer: Answer,
        leg: u64,
    ) {
        let lane = self.lane(index);
        let process = &mut self.processes[index];
        let asked = if process.life == life {
            process.fetches.remove(&query).or_else(|| process.cancelled.remove(&query))
        } else {
            None
        };
        let Some(fetch) = asked else {
            self.note(lane, None, || What::Lost { message: leg, why: "not wanted".to_owned() });
            return;
        };
        let late = fetch.conn != process.link.conn || !process.link.is_up();
        self.received(lane, leg);
        if late {
            self.marks.hit(Mark::FetchAfterReconnect);
            if self.has_driver_bug(DriverBug::LosesLateAnswers) {
                return;
            }
        }
        if let (Err(FetchError::NoEndpoint { .. }), Some(follower)) =
            (&answer, &mut self.processes[index].follower)
        {
            follower.oracle.on_no_endpoint(&fetch.source);
        }
        let input = Input::Fetched { query, result: answer };
        self.feed(index, input, Some(fetch.source));
    }
}
