//! Rows that are looked for one by one, at the lowest priority: one that an instance has just sent,
//! at its address; and those that were delivered above a lower announcement (F11).
//!
//! What enters: rows that are delivered live, and answers. What leaves: whether an address is
//! proven, and a [`WrongAddress`](Warning::WrongAddress) after a few rows that are not there: a wrong
//! address, port or secret shows within seconds, not when rows are missed.

use super::{
    Follower,
    page::{self, Judgement},
    pager::FetchOutcome,
    rewind::Rewind,
};
use crate::{
    action::Action,
    config::{Config, Transport},
    env::Env,
    event::{Event, Warning},
    stream::{Anchor, FetchError, Finding, Page, Span, StreamTraits, Token},
};

/// What a source looks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LookUp {
    /// A row that has just been received, at its instance's address.
    Address(Anchor),
    /// The rows that were delivered, as their writer was announced below them.
    Rewind(Rewind),
}

impl LookUp {
    /// Returns the tokens to request.
    fn span(&self, config: &Config) -> Span {
        match self {
            Self::Address(anchor) => Span::new(anchor.token().before(), anchor.token()),
            Self::Rewind(rewind) => rewind.span(config),
        }
    }
}

/// Returns the page, unless it breaks its own rules: then it says nothing of what it lacks.
fn usable(page: Page, span: Span, traits: StreamTraits) -> FetchOutcome {
    match page::judge(page.clone(), span, traits) {
        Judgement::Apply(_) | Judgement::Narrow => Ok(page),
        Judgement::Unusable(message) => Err(FetchError::Unusable { message }),
    }
}

impl Follower {
    /// Looks for a row that has just been received, unless the address of its instance is known. On
    /// direct TCP there is one writer, whose address needs no proof.
    pub(super) fn look_at_address(&mut self, env: &mut Env, anchor: Anchor) {
        let instance = self.source.instance();
        if self.traits.own_rows_only
            && self.look_up().is_none()
            && env.config.transport == Transport::Bus
            && env.addresses.begin_look(instance, env.now, &env.config.continuity)
        {
            self.begin_look_up(env, LookUp::Address(anchor));
        }
    }

    pub(super) fn look_up(&self) -> Option<&LookUp> {
        self.continuity.as_ref()?.look_up.as_ref()
    }

    fn take_look_up(&mut self) -> Option<LookUp> {
        self.continuity.as_mut()?.look_up.take()
    }

    /// Joins the line of those who look for a row, in place of what the source looked for before.
    pub(super) fn begin_look_up(&mut self, env: &mut Env, look_up: LookUp) {
        self.end_look_up(env);
        let Some(continuity) = &mut self.continuity else { return };
        continuity.look_up = Some(look_up);
        env.queries.look_ups.enqueue(self.index);
    }

    /// Ends what the source looks for.
    pub(super) fn end_look_up(&mut self, env: &mut Env) {
        if let Some(query) = env.queries.look_ups.leave(self.index) {
            env.act(Action::CancelFetch { query });
        }
        if let Some(LookUp::Address(_)) = self.take_look_up() {
            env.addresses.on_given_up(self.source.instance());
        }
    }

    /// Requests the row that is looked for: nothing else waits for a slot, and this source is next.
    pub(crate) fn on_look_up_slot(&mut self, env: &mut Env) {
        let Some(look_up) = self.look_up() else { return };
        let span = look_up.span(&env.config);
        let query = env.queries.issue_look_up(self.index);
        env.stats.fetches += 1;
        let source = self.source.clone();
        env.act(Action::Fetch { query, source, span });
    }

    /// Handles the answer to the request for a row.
    pub(crate) fn on_look_up_fetched(&mut self, env: &mut Env, outcome: FetchOutcome) {
        let Some(look_up) = self.take_look_up() else { return };
        let outcome = outcome.and_then(|page| usable(page, look_up.span(&env.config), self.traits));
        env.stats.fetches_failed += u64::from(outcome.is_err());
        match look_up {
            LookUp::Address(anchor) => self.on_address_looked_at(env, &anchor, outcome),
            LookUp::Rewind(rewind) => self.on_rewind_answer(env, rewind, outcome),
        }
    }

    fn on_address_looked_at(&mut self, env: &mut Env, anchor: &Anchor, outcome: FetchOutcome) {
        let instance = self.source.instance();
        let error = match outcome {
            Ok(page) if self.find(anchor, &page) == Finding::Found => {
                env.addresses.prove(instance);
                return;
            }
            Ok(_) => None,
            Err(FetchError::NoEndpoint { .. }) => {
                env.addresses.close(instance);
                return;
            }
            // A database that has no table of this stream answers so for any row.
            Err(FetchError::Status { status: 500, .. }) if self.source.stream() == "caches" => {
                env.addresses.on_given_up(instance);
                return;
            }
            Err(error) => Some(error),
        };
        if let Some(looks) = env.addresses.on_missed(instance, &env.config.continuity) {
            let source = self.source.clone();
            env.notify(Event::Warning(Warning::WrongAddress { source, looks, error }));
        }
    }

    /// Returns what a page that was requested for a row alone says of it.
    pub(super) fn find(&self, anchor: &Anchor, page: &Page) -> Finding {
        let under = |(token, _): &&(Token, _)| *token == anchor.token();
        let rows = page.updates.iter().filter(under).map(|(_, row)| row);
        anchor.compare(self.source.stream(), rows, !page.limited)
    }
}
