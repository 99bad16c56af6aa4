//! The state of one source, and its transitions.
//!
//! What enters: rows and announcements, through [`Follower::on_row`] and [`Follower::on_position`].
//! The pure functions [`receive`](mod@super::receive) and [`announce`](mod@super::announce) decide
//! what follows, and this module carries it out. What leaves: events and fetches, through [`Env`].

use super::{
    announce::{self, OpenBurst, announce},
    audit::Audit,
    batch::Open,
    catch_up::{CatchUp, Proof},
    holding::{Held, Holding},
    hole::Hole,
    order::Class,
    receive::{self, History, receive},
};
use crate::{
    config::Config,
    env::Env,
    event::{Event, Warning},
    ids::{SourceIndex, StreamIndex},
    inband::Lost,
    stream::{Order, Row, Rows, Source, Span, StreamTraits, Token},
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
    /// `None` where no audit is wanted, or where none is possible.
    pub(super) audit: Option<Box<Audit>>,
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
            audit: Audit::new(traits, config),
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

    /// Returns whether the position is confirmed on the present connection.
    pub(crate) const fn is_confirmed(&self) -> bool {
        self.state.is_confirmed()
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
    fn known_end(&self) -> Token {
        match self.catch_up() {
            Some(catch_up) => {
                let held = self.highest_held();
                held.map_or(catch_up.target, |held| held.max(catch_up.target))
            }
            None => self.position.unwrap_or(Token::START),
        }
    }

    fn highest_held(&self) -> Option<Token> {
        self.held.as_ref().and_then(|holding| holding.highest())
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

    /// Handles one row. `token` is `None` for every row of a batch but the last: such rows are kept
    /// until the batch is whole (F4).
    pub(crate) fn on_row(&mut self, env: &mut Env, token: Option<Token>, row: Row) {
        // Nearly all rows take this path.
        if let (Some(token), State::Live, Open::Nothing, Class::Rising, false) =
            (token, &self.state, &self.open, &self.class, self.hole.is_open())
            && Some(token) > self.position
        {
            self.deliver_rising(env, token, Rows::from(row));
            return;
        }
        if let Some(answer) = self.answer_mut() {
            answer.push(token, &row, &env.config);
            return;
        }
        match token {
            Some(token) => self.on_last_row(env, token, row),
            None => self.extend_batch(env, &row),
        }
    }

    /// Handles the row that carries the token, and so ends a batch.
    fn on_last_row(&mut self, env: &mut Env, token: Token, row: Row) {
        let rows = match self.close_batch(env) {
            Open::Nothing => Some(Rows::from(row)),
            Open::Batch(batch) => Some(batch.finish(row)),
            Open::Torn | Open::Interrupted => None,
        };
        self.on_rows(env, token, rows);
    }

    fn extend_batch(&mut self, env: &mut Env, row: &Row) {
        if self.open == Open::Nothing {
            self.open_batch(env);
        }
        if let Open::Batch(batch) = &mut self.open
            && !batch.push(row, env.now, &env.config, env.kept_bytes)
        {
            self.tear_batch(env);
            let source = self.source.clone();
            env.notify(Event::Warning(Warning::BatchOverflow { source }));
        }
    }

    /// Carries out what [`receive`](fn@receive::receive) decides for the rows of a token. `rows` is
    /// `None` if not all of them could be kept.
    pub(super) fn on_rows(&mut self, env: &mut Env, token: Token, rows: Option<Rows>) {
        match (receive(&self.view_rows(env, token, rows.is_some())), rows) {
            (receive::Step::Deliver, Some(rows)) => self.deliver_live(env, token, rows),
            (receive::Step::Repeat, Some(rows)) => {
                env.stats.rows_repeated += rows.len() as u64;
            }
            (receive::Step::Hold, Some(rows)) => self.hold_rows(env, token, &rows),
            (receive::Step::HoldAndRequest, Some(rows)) => {
                self.hold_rows(env, token, &rows);
                self.request_position(env);
            }
            (receive::Step::RequestPosition, _) => self.request_position(env),
            (receive::Step::Wait, rows) => {
                self.hold_whole_rows(env, token, rows.as_ref());
                env.replicate_again = true;
            }
            (receive::Step::FetchOnEvidence, rows) => {
                self.take_as_evidence(env, token, rows.as_ref());
                self.fetch_up_to(env, token, self.proof_by_row());
                self.note_shown(token);
            }
            (receive::Step::ResetOnEvidence, rows) => {
                self.take_as_evidence(env, token, rows.as_ref());
                self.reset(env, token, self.proof_by_row());
            }
            (receive::Step::Fetch, rows) => {
                if rows.is_none() {
                    self.lose_below_position(env, Some(token));
                }
                self.fetch_up_to(env, token, self.proof_by_row());
            }
            // Rows that are not whole are neither delivered nor held.
            (
                receive::Step::Deliver
                | receive::Step::Repeat
                | receive::Step::Hold
                | receive::Step::HoldAndRequest,
                None,
            ) => {
                self.lose_below_position(env, Some(token));
                self.fetch_up_to(env, token, self.proof_by_row());
                self.note_shown(token);
            }
        }
    }

    fn view_rows(&self, env: &Env, token: Token, whole: bool) -> receive::View {
        receive::View {
            standing: match &self.state {
                State::Unconfirmed { .. } => receive::Standing::Unconfirmed,
                State::Doubted { .. } => receive::Standing::Doubted,
                State::CatchingUp(_) => receive::Standing::CatchingUp,
                State::Live => receive::Standing::Live,
            },
            order: self.traits.order,
            whole,
            hole: self.hole.may_lie_below(token),
            above: token > self.known_end(),
            may_restart: self.may_restart(env),
            resettable: self.traits.resettable,
            history: match self.position {
                None => History::Unknown,
                Some(_) if self.has_delivered_nothing() => History::Nothing,
                Some(_) => History::Rows,
            },
            in_band: env.config.transport.catches_up_in_band(),
            may_request: !env.config.observe_only,
        }
    }

    /// Takes rows of a source that is not confirmed as an announcement of their token.
    fn take_as_evidence(&mut self, env: &mut Env, token: Token, rows: Option<&Rows>) {
        // A loose stream goes back: no fetch from the position returns rows at or below it.
        if self.traits.order == Order::Loose {
            self.hold_whole_rows(env, token, rows);
        }
        if rows.is_none() {
            self.lose_below_position(env, Some(token));
        }
        self.ensure_started(env, token.before());
    }

    /// Handles an announcement. A batch that is open is torn: a writer sends nothing else between
    /// the rows of a batch.
    pub(crate) fn on_position(&mut self, env: &mut Env, span: Span) {
        if self.answer_mut().is_some() {
            self.on_answered(env, span.upto);
            return;
        }
        match self.open {
            Open::Batch(_) => self.tear_batch(env),
            Open::Interrupted => self.open = Open::Torn,
            Open::Nothing | Open::Torn => {}
        }
        self.on_announced(env, span);
        if env.is_on_tcp() && self.is_live() {
            // A connection keeps the order: what was lost before lies at or below the position.
            self.hole = Hole::NONE;
        }
    }

    /// Carries out what [`announce`](fn@announce::announce) decides for an announcement, which may
    /// have been held. An open batch is left alone: it may have begun after a held announcement.
    fn on_announced(&mut self, env: &mut Env, span: Span) {
        let is_new = self.position.is_none();
        if is_new {
            self.start_at_announcement(env, span.upto);
        }
        let position = self.position.unwrap_or(Token::START);
        let step = announce(&self.view_announcement(is_new), span);
        match step {
            announce::Step::Hold => {
                self.hold_position(env, span);
                self.doubt_target(env, span.upto);
            }
            announce::Step::Confirm => {
                let is_lower = self.lower_target(env, span.upto);
                self.confirm_fetch(env, span.upto, Proof::by(span, env));
                if is_lower {
                    self.continue_or_finish(env);
                }
            }
            announce::Step::Reset => self.reset(env, span.upto, Proof::by(span, env)),
            announce::Step::Fetch => self.fetch_up_to(env, span.upto, Proof::by(span, env)),
            announce::Step::Advance => {
                self.begin_audit(env);
                self.advance_to(env, span.upto);
                self.go_live(env);
            }
            announce::Step::Stay => self.go_live(env),
        }
        if step != announce::Step::Hold {
            self.class.on_announced(span, position);
        }
    }

    fn view_announcement(&self, is_new: bool) -> announce::View {
        let position = self.position.unwrap_or(Token::START);
        announce::View {
            standing: match &self.state {
                State::Unconfirmed { fetch: None } | State::Doubted { fetch: None } => {
                    announce::Standing::Unconfirmed
                }
                // The suspicion that the tokens started over does not end with a page.
                State::Doubted { fetch: Some(_) } if self.traits.resettable => {
                    announce::Standing::Unconfirmed
                }
                State::Unconfirmed { fetch: Some(_) } | State::Doubted { fetch: Some(_) } => {
                    announce::Standing::Fetching
                }
                State::CatchingUp(_) => announce::Standing::CatchingUp,
                State::Live => announce::Standing::Live,
            },
            is_new,
            position,
            known_end: self.known_end(),
            order: self.traits.order,
            resettable: self.traits.resettable,
            hole: self.hole.is_open(),
            lost_beside: self.hole.is_known_beside(position),
            is_amid: self.class.may_be_amid(),
            burst: self.class.burst().and_then(|burst| {
                let highest = burst.highest()?;
                Some(OpenBurst { highest, continuous: burst.continuous })
            }),
        }
    }

    /// Gives a source without a position its first one, at its first announcement. Rows that were
    /// received before are held and count as new: the source starts below them.
    fn start_at_announcement(&mut self, env: &mut Env, new: Token) {
        if self.may_restart(env) && self.highest_held().max(self.hole.dropped()) > Some(new) {
            // The held rows are of an epoch that is over, though none of its rows was delivered.
            self.drop_held(env);
            self.hole = Hole::NONE;
            self.hole.widen(new);
        }
        let first_held = self.held.as_ref().and_then(|holding| holding.lowest_row());
        self.ensure_started(env, first_held.map_or(new, |first| first.before().min(new)));
    }

    /// Gives a source without a position its first one, given that its writer has reached
    /// `current`.
    fn ensure_started(&mut self, env: &mut Env, current: Token) {
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
    fn reset(&mut self, env: &mut Env, new: Token, proof: Proof) {
        self.abandon_catch_up(env);
        // Whatever was held before the announcement of a new epoch is of the old one.
        self.drop_held(env);
        self.reset_audit(env);
        let is_new = self.has_delivered_nothing();
        self.class.start_over();
        self.hole.start_over();
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
            self.class.on_live(token);
            let source = self.source.clone();
            env.notify(Event::Live { source, token });
            self.start_audit(env);
        }
        self.release_held(env);
    }

    /// Handles what was held, in order of arrival. Rows are held again once the source is no longer
    /// live.
    fn release_held(&mut self, env: &mut Env) {
        let Some(mut holding) = self.held.take() else { return };
        let queue = holding.take(&mut env.stats.held_bytes_now);
        let position = self.position;
        for held in queue {
            match held {
                Held::Rows { token, rows } if self.is_live() => {
                    let fetched = self.traits.order != Order::Loose && Some(token) <= position;
                    if fetched {
                        self.deliver_rest(env, token, rows);
                    } else {
                        self.on_rows(env, token, Some(rows));
                    }
                }
                Held::Rows { token, rows } => self.hold_rows(env, token, &rows),
                // Nothing above it was known when it was held: the position has passed it since,
                // and the tokens have not started over.
                Held::Position(span) if Some(span.upto) < position => {}
                Held::Position(span) => self.on_announced(env, span),
            }
        }
    }

    fn hold_rows(&mut self, env: &mut Env, token: Token, rows: &Rows) {
        let holding = self.held.get_or_insert_default();
        if matches!(self.state, State::Unconfirmed { .. }) {
            holding.note_joined(token);
        }
        if !holding.push_rows(token, rows, &env.config, &mut env.stats.held_bytes_now) {
            self.overflow(env, token);
        }
    }

    /// Holds rows. Of rows that are not whole only the token is noted, so that the source does not
    /// start above it.
    fn hold_whole_rows(&mut self, env: &mut Env, token: Token, rows: Option<&Rows>) {
        match rows {
            Some(rows) => self.hold_rows(env, token, rows),
            None => self.held.get_or_insert_default().note(token),
        }
    }

    fn hold_position(&mut self, env: &mut Env, span: Span) {
        let holding = self.held.get_or_insert_default();
        if !holding.push_position(span, &env.config, &mut env.stats.held_bytes_now) {
            self.overflow(env, span.upto);
        }
    }

    /// Drops everything that is held, as a limit is reached: it is fetched, together with what did
    /// not fit (F9).
    fn overflow(&mut self, env: &mut Env, token: Token) {
        let highest = self.highest_held().map_or(token, |held| held.max(token));
        let lowest = self.held.as_ref().and_then(|holding| holding.lowest_row());
        if self.position.is_none()
            && let Some(holding) = &mut self.held
        {
            // The rows are new: the first announcement must not start the source above them.
            holding.take(&mut env.stats.held_bytes_now);
        } else {
            self.drop_held(env);
            self.lose_below_position(env, lowest.map(|lowest| lowest.min(token)));
        }
        if self.catch_up().is_some() {
            self.raise_target(highest);
        } else {
            self.hole.drop_upto(highest);
        }
        env.stats.overflows += 1;
        let source = self.source.clone();
        env.notify(Event::Warning(Warning::HoldingOverflow { source }));
    }

    fn drop_held(&mut self, env: &mut Env) {
        if let Some(mut holding) = self.held.take() {
            holding.take(&mut env.stats.held_bytes_now);
        }
    }
}
