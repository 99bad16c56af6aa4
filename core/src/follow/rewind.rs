//! A log that goes back: it was restored from a backup, and gives tokens out again (F11).
//!
//! What enters: an announcement below the position. By itself it is harmless: some writers come back
//! lower, and repeat what they sent. So each of the rows that were delivered above it is looked for,
//! the newest first. If one of them is there, nothing was lost. If none is, and one at or below the
//! announcement is, the log was cut off between them. What leaves: a [`Rewound`](Event::Rewound), and
//! a fetch from there; or a warning, where nothing proves that it is the same log at all.
//!
//! Only streams whose tokens rise go back in this way, and only while nothing at or above the
//! position is received.

use super::{Follower, catch_up::Proof, continuity::Log, look_up::LookUp, pager::FetchOutcome};
use crate::{
    env::Env,
    event::{Event, GapReason, Warning},
    stream::{Anchor, FetchError, Finding, Order, Span, Token},
};

/// The search for what is left of the rows that were delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rewind {
    /// The token that was announced.
    announced: Token,
    /// The position at that time.
    position: Token,
    /// The anchor that is looked for.
    asked: Token,
    /// Whether other rows stood under an anchor.
    is_contradicted: bool,
    /// The highest token of the rows that were received since, and taken for old ones.
    seen: Token,
}

impl Rewind {
    pub(super) const fn asked(&self) -> Token {
        self.asked
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
        let Some(newest) = continuity.anchors.upto(position).next() else { return };
        let asked = newest.token();
        if asked > announced {
            continuity.lower = lower;
            let seen = announced;
            let rewind = Rewind { announced, position, asked, is_contradicted: false, seen };
            self.begin_look_up(env, LookUp::Rewind(rewind));
        }
    }

    /// Notes a row that was taken for an old one: its token may have been given out again.
    pub(super) fn note_old_row(&mut self, token: Token) {
        if let Some(continuity) = &mut self.continuity
            && let Some(LookUp::Rewind(rewind)) = &mut continuity.look_up
        {
            rewind.seen = rewind.seen.max(token);
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
        let asked = rewind.asked;
        let finding = match (outcome, self.anchor_upto(asked)) {
            (Ok(page), Some(anchor)) if anchor.token() == asked => self.find(anchor, &page),
            (Ok(_), _) | (Err(FetchError::TooLarge { .. }), _) => Finding::Absent,
            // Nobody can be asked: the next lower announcement is looked into anew.
            (Err(_), _) => {
                if let Some(continuity) = &mut self.continuity {
                    continuity.lower = None;
                }
                return;
            }
        };
        match finding {
            // What was delivered above the announcement is still there.
            Finding::Found if asked > rewind.announced => {}
            Finding::Found => {
                self.on_same_log(env);
                self.rewind(env, &rewind, asked);
            }
            Finding::Contradicted | Finding::Absent => {
                rewind.is_contradicted |= finding == Finding::Contradicted;
                if let Some(next) = self.anchor_upto(asked.before()) {
                    rewind.asked = next.token();
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
        if self.traits.shared_fetch {
            env.streams[self.stream.as_usize()].shared_tokens.forget_above(to);
        }
        let from = self.position.replace(to).unwrap_or(to);
        let source = self.source.clone();
        env.notify(Event::Rewound { source, from, to });
        env.end_waits(self.index, to);
    }
}
