//! The announcements of one source: what [`announce`](mod@super::announce) decides on a POSITION is
//! carried out.
//!
//! What enters: a span of which the writer states that no row lies in it. What leaves: the position
//! moves, or what may be missing is fetched (F2).

use super::{
    Follower,
    announce::{self, OpenBurst, announce},
    batch::Open,
    catch_up::Proof,
    follower::State,
    hole::Hole,
};
use crate::{
    env::Env,
    stream::{Span, Token},
    timer::TimerKey,
};

impl Follower {
    /// Handles an announcement. A batch that is open is torn: a writer sends nothing else between
    /// the rows of a batch.
    pub(crate) fn on_position(&mut self, env: &mut Env, span: Span) {
        if self.answer_mut().is_some() {
            self.on_answered(env, span.upto);
            return;
        }
        match self.open {
            Open::Batch(_) => self.tear_batch(env),
            Open::Nothing | Open::Torn(_) => {}
        }
        // It shows how far the writer has come: it is not to be asked, unless more of a batch comes.
        env.timers.clear(TimerKey::BatchOpen(self.index));
        self.on_announced(env, span);
        if env.is_on_tcp() && self.is_live() {
            // A connection keeps the order: what was lost before lies at or below the position.
            self.hole = Hole::NONE;
        }
    }

    /// Carries out what [`announce`](fn@announce::announce) decides for an announcement, which may
    /// have been held. An open batch is left alone: it may have begun after a held announcement.
    pub(super) fn on_announced(&mut self, env: &mut Env, span: Span) {
        let is_new = self.position.is_none();
        if is_new {
            self.start_at_announcement(env, span.upto);
        }
        self.note_announced();
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
                self.pass_burst(env, span.upto);
                self.advance_to(env, span.upto);
                self.go_live(env);
            }
            announce::Step::Stay => self.go_live(env),
        }
        self.note_lower(env, span.upto);
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
}
