//! The state of one source, and its transitions.
//!
//! What enters: rows ([`rows`](super::rows)), announcements ([`announced`](super::announced)), rows
//! that could not be read, and the end of the connection. What leaves: events and fetches, through
//! [`Env`].

use super::{
    audit::Audit,
    batch::Open,
    catch_up::{CatchUp, Proof},
    continuity::Continuity,
    holding::Holding,
    hole::Hole,
    order::Class,
};
use crate::{
    config::Config,
    env::Env,
    event::Event,
    holes::Writer,
    ids::{SourceIndex, StreamIndex},
    inband::Lost,
    stream::{Anchors, Compared, Source, StreamTraits, Token},
    timer::TimerKey,
};

/// The receiving side of one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Follower {
    pub(super) index: SourceIndex,
    pub(super) stream: StreamIndex,
    pub(super) source: Source,
    pub(super) traits: StreamTraits,
    /// The token up to which every row was delivered; `None` until an announcement, or rows that
    /// count as one, give the source its first position.
    pub(super) position: Option<Token>,
    pub(super) state: State,
    /// The place of rows that were lost on their way. What is received next does not make the
    /// source complete then: everything up to its token is fetched.
    pub(super) hole: Hole,
    pub(super) open: Open,
    pub(super) held: Option<Box<Holding>>,
    pub(super) class: Class,
    /// What was delivered, by which the log is known again; `None` until something was. A log that
    /// is not compared has traits that say so.
    pub(super) continuity: Option<Box<Continuity>>,
    /// `None` where no audit is wanted, or where none is possible.
    pub(super) audit: Option<Box<Audit>>,
    /// The source among those of its stream whose holes are looked into, if they are.
    pub(super) watched: Option<Writer>,
    /// Bytes of rows that the source kept at the last [`Follower::account`].
    kept_bytes: u64,
}

/// Whether the position is confirmed by what was received on the present connection, and whether
/// rows are missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Nothing received on this connection confirms the position. A fetch that was begun under an
    /// earlier one may still run.
    Unconfirmed { fetch: Option<Box<CatchUp>> },
    /// Something that was received does not fit the position, or could not be read: the writer is
    /// requested to announce its position.
    Doubted { fetch: Option<Box<CatchUp>> },
    /// Confirmed; rows up to the target of the fetch are missing.
    CatchingUp(Box<CatchUp>),
    /// Confirmed and complete up to the position; further rows are received live.
    Live,
}

impl State {
    const fn is_confirmed(&self) -> bool {
        matches!(self, Self::CatchingUp(_) | Self::Live)
    }
}

impl Follower {
    /// Creates the follower of a source of which nothing was received on the present connection.
    /// `position` is the saved one, if there is one.
    pub(crate) fn new(
        index: SourceIndex,
        stream: StreamIndex,
        source: Source,
        traits: StreamTraits,
        position: Option<Token>,
        config: &Config,
    ) -> Self {
        let mut traits = traits;
        if !config.continuity.continuity || config.transport.catches_up_in_band() {
            traits.compared = Compared::No;
        }
        let continuity = Continuity::saved(config.positions.anchors_of(&source), traits);
        Self {
            index,
            stream,
            source,
            traits,
            position,
            state: State::Unconfirmed { fetch: None },
            hole: Hole::NONE,
            open: Open::Nothing,
            held: None,
            class: Class::new(traits.order),
            continuity,
            audit: Audit::new(traits, config),
            watched: None,
            kept_bytes: 0,
        }
    }

    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the token up to which every row was delivered.
    pub(crate) const fn position(&self) -> Option<Token> {
        self.position
    }

    /// Returns the rows that were delivered by which the log is known again.
    pub(crate) fn anchors(&self) -> Option<&Anchors> {
        Some(&self.continuity.as_ref()?.anchors)
    }

    /// Returns whether the position is confirmed on the present connection.
    pub(crate) const fn is_confirmed(&self) -> bool {
        self.state.is_confirmed()
    }

    /// Returns whether its writer is there, though its position is not confirmed: something of it
    /// was received on the present connection.
    pub(crate) fn is_heard(&self) -> bool {
        matches!(self.state, State::Doubted { .. })
            || self.held.is_some()
            || self.open != Open::Nothing
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Returns the catch-up that is under way, whether the position is confirmed or not.
    pub(super) fn catch_up(&self) -> Option<&CatchUp> {
        match &self.state {
            State::Unconfirmed { fetch } | State::Doubted { fetch } => fetch.as_deref(),
            State::CatchingUp(catch_up) => Some(catch_up),
            State::Live => None,
        }
    }

    pub(super) fn catch_up_mut(&mut self) -> Option<&mut CatchUp> {
        match &mut self.state {
            State::Unconfirmed { fetch } | State::Doubted { fetch } => fetch.as_deref_mut(),
            State::CatchingUp(catch_up) => Some(catch_up),
            State::Live => None,
        }
    }

    /// Takes the catch-up under way out of the state, which the caller replaces afterwards.
    pub(super) fn take_catch_up(&mut self, env: &mut Env) -> Option<Box<CatchUp>> {
        match self.set_state(env, State::Unconfirmed { fetch: None }) {
            State::Unconfirmed { fetch } | State::Doubted { fetch } => fetch,
            State::CatchingUp(catch_up) => Some(catch_up),
            State::Live => None,
        }
    }

    /// Replaces the state and returns the one before; keeps the count of sources that are not
    /// confirmed.
    pub(super) fn set_state(&mut self, env: &mut Env, state: State) -> State {
        match (self.state.is_confirmed(), state.is_confirmed()) {
            (true, false) => env.unconfirmed += 1,
            (false, true) => env.unconfirmed -= 1,
            (true, true) | (false, false) => {}
        }
        std::mem::replace(&mut self.state, state)
    }

    /// Returns whether the tokens may start over while the connection stands.
    pub(super) const fn may_restart(&self, env: &Env) -> bool {
        self.traits.resettable && !env.is_on_tcp()
    }

    /// Returns how far the writer is known to have come: the highest token that is held or to be
    /// fetched, or the position of a source that is live.
    pub(super) fn known_end(&self) -> Token {
        match self.catch_up() {
            Some(catch_up) => {
                let held = self.highest_held();
                held.map_or(catch_up.target, |held| held.max(catch_up.target))
            }
            None => self.position.unwrap_or(Token::START),
        }
    }

    /// Updates `total`, the bytes of rows that all sources keep, with what this source keeps now.
    /// To be called after everything that happens to it.
    #[inline]
    pub(crate) fn account(&mut self, total: &mut u64) {
        let kept = (self.class.bytes() + self.open.bytes()) as u64;
        let before = std::mem::replace(&mut self.kept_bytes, kept);
        *total = *total - before + kept;
    }

    /// Returns the bytes of rows that the other sources keep, of `total` that all of them do.
    pub(super) const fn kept_elsewhere(&self, total: u64) -> u64 {
        total - self.kept_bytes
    }

    /// Gives a source without a position its first one, given that its writer has reached
    /// `current`.
    pub(super) fn ensure_started(&mut self, env: &mut Env, current: Token) {
        if self.position.is_none() {
            let is_settling = env.is_settling();
            let stream = &mut env.streams[self.stream.as_usize()];
            let start = stream.start(env.config.start, current, is_settling);
            self.set_position(env, start);
        }
    }

    /// Handles an RDATA of this source that could not be read. A token that could be read of it is
    /// not believed either: a fetch up to a wrong one would be answered as if no row lay below it.
    pub(crate) fn on_malformed(&mut self, env: &mut Env, token: Option<Token>) {
        self.tear_batch(env);
        if token.is_some() {
            // A token ends the batch. Without one, the unreadable field may have been `batch`.
            self.open = Open::Nothing;
        }
        self.lose_below_position(env, token);
        self.ask_for_lost(env);
        // What was lost is asked for already, unless more rows of the batch come.
        env.timers.clear(TimerKey::BatchOpen(self.index));
    }

    /// Asks for what was lost, as nothing that was received shows how far the writer has come.
    pub(super) fn ask_for_lost(&mut self, env: &mut Env) {
        if env.config.transport.catches_up_in_band() {
            self.request_rest(env);
        } else {
            self.request_position(env);
        }
    }

    /// Handles the end of the connection: nothing that was received on it confirms anything any
    /// more. `lost` tells why an answer ended that was coming in on it.
    pub(crate) fn on_disconnected(&mut self, env: &mut Env, lost: &Lost<'_>) {
        self.close_batch(env);
        self.drop_held(env);
        self.stop_audit(env);
        self.class.on_disconnected();
        self.unsettle_watch(env);
        if let Some(continuity) = &mut self.continuity {
            continuity.on_disconnected();
        }
        // In the oldest dialect a source that was started over is requested from its start again in
        // any case: it keeps its catch-up, so that the delay grows from one failure to the next.
        let keeps = !self.traits.resettable
            || (env.config.transport.catches_up_in_band() && self.has_delivered_nothing());
        if keeps {
            let fetch = self.take_catch_up(env);
            self.set_state(env, State::Unconfirmed { fetch });
            self.on_answer_lost(env, lost);
        } else {
            self.abandon_catch_up(env);
        }
    }

    /// Requests the writer's position with a REPLICATE. The source is not live until something
    /// confirms its position.
    pub(super) fn request_position(&mut self, env: &mut Env) {
        self.stop_audit(env);
        let was_live = self.is_live();
        let fetch = self.take_catch_up(env);
        self.set_state(env, State::Doubted { fetch });
        if was_live {
            let token = self.position.unwrap_or(Token::START);
            let source = self.source.clone();
            env.notify(Event::NotLive { source, token });
        }
        env.replicate_again = true;
    }

    /// Returns whether the source stands at its start and no row of it was delivered, so that a
    /// reset voids nothing.
    pub(super) fn has_delivered_nothing(&self) -> bool {
        self.position.is_none_or(|position| position == Token::START)
            && self.class.highest().is_none()
    }

    /// Starts the source over and fetches up to `new`. A `Reset` event says so (F10), unless it
    /// would void nothing.
    pub(super) fn reset(&mut self, env: &mut Env, new: Token, proof: Proof) {
        self.abandon_catch_up(env);
        // Whatever was held before the announcement of a new epoch is of the old one.
        self.drop_held(env);
        self.reset_audit(env);
        let is_new = self.has_delivered_nothing();
        self.class.start_over();
        self.hole.start_over();
        self.forget_anchors_above(Token::START);
        let from = self.position.replace(Token::START).unwrap_or(Token::START);
        if !is_new {
            env.stats.resets += 1;
            let source = self.source.clone();
            env.notify(Event::Reset { source, from, token: Token::START });
            env.end_waits(self.index, Token::START);
        }
        self.fetch_up_to(env, new, proof);
    }

    pub(super) fn go_live(&mut self, env: &mut Env) {
        if !self.is_live() {
            self.set_state(env, State::Live);
            let token = self.position.unwrap_or(Token::START);
            self.class.on_complete(token);
            let source = self.source.clone();
            env.notify(Event::Live { source, token });
            self.start_audit(env);
            self.watch_from_here(env);
        }
        self.release_held(env);
    }
}
