//! A log that goes back: it was restored from a backup, and gives tokens out again (F11).
//!
//! What enters: an announcement below the position. By itself it is harmless: an answer may be late,
//! and some writers come back lower and repeat what they sent. So each of the rows that were
//! delivered above it is looked for, the newest first. If one of them is there, nothing was lost. If
//! none is, that proves nothing yet, as others may have taken their place under higher tokens: either
//! other rows stand under their tokens, or the log has nothing at all above the announcement. The row
//! at or below it that is there still tells where the log was cut off. What leaves: a
//! [`Rewound`](Event::Rewound), and a fetch from there; or a warning, where nothing proves that it is
//! the same log at all.
//!
//! Only streams whose tokens rise go back in this way, and only while nothing at or above the
//! position is received.

use super::{Follower, catch_up::Proof, continuity::Log, look_up::LookUp, pager::FetchOutcome};
use crate::{
    config::Config,
    env::Env,
    event::{Event, GapReason, Warning},
    stream::{Anchor, FetchError, Finding, Order, Page, Rows, Span, Token},
};

/// The search for what is left of the rows that were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rewind {
    /// The token that was announced.
    announced: Token,
    /// The position at that time.
    position: Token,
    asked: Asked,
    /// Whether other rows stood under an anchor.
    is_contradicted: bool,
    /// The highest token of the rows that were received since, and taken for old ones.
    seen: Token,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// An anchor.
    Row(Token),
    /// Anything above the announcement.
    Above,
}

impl Rewind {
    /// Returns the tokens to request. Above the position as well, where a row would show that the
    /// writer is not below it; what the answer says of its own end is not used.
    pub(super) fn span(&self, config: &Config) -> Span {
        match self.asked {
            Asked::Row(token) => Span::new(token.before(), token),
            Asked::Above => {
                let reach = config.continuity.anchor_reach_max.max(1);
                Span::new(self.announced, self.position.advanced_by(reach))
            }
        }
    }
}

impl Follower {
    /// Handles an announcement of `announced`: one below the position of a live source is looked
    /// into once, and any other ends the search.
    pub(super) fn note_lower(&mut self, env: &mut Env, announced: Token) {
        let position = self.position.unwrap_or(Token::START);
        if announced >= position {
            if let Some(LookUp::Rewind(_)) = self.look_up() {
                self.end_look_up(env);
            }
            return;
        }
        let lower = Some((announced, position));
        if !self.is_live() || self.traits.order != Order::Rising || self.traits.resettable {
            return;
        }
        let Some(continuity) = self.continuity.as_mut().filter(|known| known.lower != lower) else {
            return;
        };
        if continuity.anchors.upto(position).next().is_some_and(|row| row.token() > announced) {
            continuity.lower = lower;
            self.look_for_rows_above(env, announced, false, announced);
        }
    }

    /// Looks for the rows that were delivered above `announced`. Rows up to `seen` were received since,
    /// and taken for old ones.
    fn look_for_rows_above(
        &mut self,
        env: &mut Env,
        announced: Token,
        is_contradicted: bool,
        seen: Token,
    ) {
        let Some(position) = self.position else { return };
        let Some(newest) = self.anchor_upto(position) else { return };
        let asked = Asked::Row(newest.token());
        let rewind = Rewind { announced, position, asked, is_contradicted, seen };
        self.begin_look_up(env, LookUp::Rewind(rewind));
    }

    /// Handles rows that were taken for old ones while their writer is announced below them: their
    /// token may have been given out again, which other rows under it than before prove.
    pub(super) fn note_old_rows(&mut self, env: &mut Env, token: Token, rows: &Rows) {
        let position = self.position;
        let Some(continuity) = &mut self.continuity else { return };
        let Some((announced, at)) = continuity.lower else { return };
        if position != Some(at) || token <= announced {
            return;
        }
        let anchor = continuity.anchors.upto(token).next().filter(|row| row.token() == token);
        let finding = anchor.map(|row| row.compare(self.source.stream(), rows.iter(), true));
        let is_other = finding == Some(Finding::Contradicted);
        if let Some(LookUp::Rewind(rewind)) = &mut continuity.look_up {
            rewind.seen = rewind.seen.max(token);
            rewind.is_contradicted |= is_other;
        } else if is_other {
            self.look_for_rows_above(env, announced, true, token);
        }
    }

    /// Returns the newest anchor at or below a token.
    fn anchor_upto(&self, token: Token) -> Option<&Anchor> {
        self.anchors()?.upto(token).next()
    }

    pub(super) fn on_rewind_answer(
        &mut self,
        env: &mut Env,
        mut rewind: Rewind,
        outcome: FetchOutcome,
    ) {
        // A row above the position shows that the writer is not below it.
        if self.position != Some(rewind.position) || !self.is_live() {
            return;
        }
        let page = match outcome {
            Ok(page) => page,
            Err(FetchError::TooLarge { .. }) if rewind.asked != Asked::Above => Page::default(),
            // Nobody can be asked: the next lower announcement is looked into anew.
            Err(_) => {
                if let Some(continuity) = &mut self.continuity {
                    continuity.lower = None;
                }
                return;
            }
        };
        let asked = match rewind.asked {
            Asked::Row(asked) => asked,
            // They may be rows that were delivered.
            Asked::Above if page.updates.iter().any(|(token, _)| *token > rewind.announced) => {
                return;
            }
            Asked::Above => {
                self.look_below(env, rewind, rewind.announced);
                return;
            }
        };
        let anchor = self.anchor_upto(asked).filter(|anchor| anchor.token() == asked);
        let finding = anchor.map_or(Finding::Absent, |anchor| self.find(anchor, &page));
        match finding {
            // What was delivered above the announcement is still there.
            Finding::Found if asked > rewind.announced => {}
            Finding::Found => {
                self.on_same_log(env);
                self.rewind(env, &rewind, asked);
            }
            Finding::Contradicted | Finding::Absent => {
                rewind.is_contradicted |= finding == Finding::Contradicted;
                let next = self.anchor_upto(asked.before()).map(Anchor::token);
                let is_last_above =
                    asked > rewind.announced && next.is_none_or(|next| next <= rewind.announced);
                if is_last_above && !rewind.is_contradicted {
                    rewind.asked = Asked::Above;
                    self.begin_look_up(env, LookUp::Rewind(rewind));
                } else {
                    self.look_below(env, rewind, asked.before());
                }
            }
        }
    }

    /// Looks for the newest anchor at or below `token`; concludes if there is none.
    fn look_below(&mut self, env: &mut Env, mut rewind: Rewind, token: Token) {
        if let Some(next) = self.anchor_upto(token) {
            rewind.asked = Asked::Row(next.token());
            self.begin_look_up(env, LookUp::Rewind(rewind));
        } else if rewind.is_contradicted {
            self.rewind_to_unknown(env, &rewind);
        } else {
            let (source, position) = (self.source.clone(), rewind.position);
            let announced = rewind.announced;
            let warning = Warning::NotRewound { source, position, announced };
            env.notify(Event::Warning(warning));
        }
    }

    /// Goes back to the start, and reports what lies below the announcement as missing: other rows
    /// stand under the tokens of those that were delivered, and none of these was found.
    fn rewind_to_unknown(&mut self, env: &mut Env, rewind: &Rewind) {
        self.go_back(env, Token::START);
        let span = Span::new(Token::START, rewind.announced);
        if !span.is_empty() {
            self.notify_gap(env, span, GapReason::Discontinuity);
            self.set_position(env, rewind.announced);
        }
        self.fetch_up_to(env, rewind.seen, Proof::Reached);
    }

    fn rewind(&mut self, env: &mut Env, rewind: &Rewind, to: Token) {
        self.go_back(env, to);
        self.fetch_up_to(env, rewind.seen, Proof::Reached);
    }

    /// Moves the position back, and forgets what was delivered above.
    fn go_back(&mut self, env: &mut Env, to: Token) {
        env.stats.rewinds += 1;
        self.set_log(Log::Same);
        self.reset_audit(env);
        self.hole.start_over();
        self.forget_anchors_above(to);
        let from = self.position.replace(to).unwrap_or(to);
        if let Some(continuity) = &mut self.continuity {
            let stream = &mut env.streams[self.stream.as_usize()];
            let (before, known) = (stream.rewinds, &mut continuity.rewinds);
            *known = stream.go_back(to, *known);
            let is_first = *known != before;
            self.rewind_holes(env, Span::new(to, from), is_first);
        }
        let source = self.source.clone();
        env.notify(Event::Rewound { source, from, to });
        env.end_waits(self.index, to);
    }
}
