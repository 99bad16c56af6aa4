//! The rows of one source: those of a token are gathered, and what
//! [`receive`](mod@super::receive) decides on them is carried out.
//!
//! What enters: rows, one by one. What leaves: rows that are delivered or held, and fetches. Keeps
//! F4: the rows of one token are handled together.

use super::{
    Follower,
    batch::Open,
    follower::State,
    order::Class,
    receive::{self, History, receive},
};
use crate::{
    env::Env,
    event::{Event, Warning},
    stream::{Order, Row, Rows, Token},
};

impl Follower {
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
            Open::Torn(_) => None,
        };
        self.on_rows(env, token, rows);
    }

    fn extend_batch(&mut self, env: &mut Env, row: &Row) {
        if self.open == Open::Nothing {
            self.open_batch(env);
        }
        match &mut self.open {
            Open::Nothing => {}
            Open::Batch(batch) => {
                if !batch.push(row, env.now, &env.config, env.kept_bytes) {
                    self.tear_batch(env);
                    let source = self.source.clone();
                    env.notify(Event::Warning(Warning::BatchOverflow { source }));
                }
            }
            Open::Torn(last_at) => {
                *last_at = env.now;
                self.wait_for_end(env);
            }
        }
    }

    /// Carries out what [`receive`](fn@receive::receive) decides for the rows of a token. `rows` is
    /// `None` if not all of them could be kept.
    pub(super) fn on_rows(&mut self, env: &mut Env, token: Token, rows: Option<Rows>) {
        match (receive(&self.view_rows(env, token, rows.is_some())), rows) {
            (receive::Step::Deliver, Some(rows)) => self.deliver_live(env, token, rows),
            (receive::Step::Repeat, Some(rows)) => {
                env.stats.rows_repeated += rows.len() as u64;
                self.note_old_rows(env, token, &rows);
            }
            (receive::Step::DeliverBelow, Some(rows)) => {
                self.note_old_rows(env, token, &rows);
                self.deliver_below(env, token, rows);
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
                let is_stray = self.position.is_none();
                self.take_as_evidence(env, token, rows.as_ref());
                self.fetch_up_to_row(env, token);
                if is_stray {
                    self.note_stray();
                }
            }
            (receive::Step::ResetOnEvidence, rows) => {
                self.take_as_evidence(env, token, rows.as_ref());
                self.reset(env, token, self.proof_by_row());
            }
            // Rows that are not whole are neither delivered nor held.
            (receive::Step::Fetch, rows)
            | (
                receive::Step::Deliver
                | receive::Step::DeliverBelow
                | receive::Step::Repeat
                | receive::Step::Hold
                | receive::Step::HoldAndRequest,
                rows @ None,
            ) => {
                if rows.is_none() {
                    self.lose_below_position(env, Some(token));
                }
                self.fetch_up_to_row(env, token);
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
            undelivered: self.is_undelivered(env, token),
        }
    }

    fn fetch_up_to_row(&mut self, env: &mut Env, token: Token) {
        self.fetch_up_to(env, token, self.proof_by_row());
        self.note_shown(token);
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
}
