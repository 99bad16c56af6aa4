//! The place of rows that were lost on their way: they could not be read or kept, or their batch was
//! torn.
//!
//! What enters: losses, and fetches with what proves that they reach far enough. What leaves: what
//! is still to be fetched. A hole has a place, and only a fetch that covers it closes it (F2):
//! nothing that the writer shows at or below the place says anything of what lies above.

use super::{Follower, batch::Open, catch_up::Proof, order::Class};
use crate::{
    config::Config,
    env::Env,
    event::{Event, GapReason},
    stream::{Order, Span, Token},
    timer::TimerKey,
};

/// What is lost of one source. Mostly that is nothing, which takes no room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hole(Option<Box<Lost>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Lost {
    /// Rows above this token may be lost, nobody knows up to where. Only what the writer shows
    /// above it, after the loss, says where they end.
    above: Option<Token>,
    /// Rows up to this token were received and dropped.
    dropped: Option<Token>,
    /// Rows from here on may be lost though they lie below the position (loose streams).
    below: Option<Token>,
}

impl Hole {
    /// Nothing is lost.
    pub(super) const NONE: Self = Self(None);

    #[inline]
    pub(super) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    fn lost_mut(&mut self) -> &mut Lost {
        self.0.get_or_insert_default()
    }

    /// Notes a loss somewhere above `known`, which is all that the writer had shown before.
    pub(super) fn widen(&mut self, known: Token) {
        let above = &mut self.lost_mut().above;
        *above = Some(above.map_or(known, |above| above.max(known)));
    }

    /// Notes that rows up to `token` were dropped.
    pub(super) fn drop_upto(&mut self, token: Token) {
        let dropped = &mut self.lost_mut().dropped;
        *dropped = (*dropped).max(Some(token));
    }

    /// Returns the token up to which rows were dropped.
    pub(super) fn dropped(&self) -> Option<Token> {
        self.0.as_ref()?.dropped
    }

    /// Notes that rows above `from`, below the position, are lost.
    fn lose_from(&mut self, from: Token) {
        let below = &mut self.lost_mut().below;
        *below = Some(below.map_or(from, |below| below.min(from)));
    }

    /// Returns whether what is lost may lie below `token`, which was received after the loss.
    pub(super) fn may_lie_below(&self, token: Token) -> bool {
        self.0.as_ref().is_some_and(|lost| {
            lost.above.is_some_and(|above| above < token) || lost.dropped.is_some()
        })
    }

    /// Returns whether rows are known to be lost that an announcement of `position` does not show.
    pub(super) fn is_known_beside(&self, position: Token) -> bool {
        self.0.as_ref().is_some_and(|lost| lost.below.is_some() || lost.dropped > Some(position))
    }

    /// Notes a fetch up to `token`. Returns the token up to which it is to go, and the one below the
    /// position from which on.
    pub(super) fn on_fetch(&mut self, token: Token, proof: Proof) -> (Token, Option<Token>) {
        let Some(lost) = self.0.take() else { return (token, None) };
        let target = lost.dropped.map_or(token, |dropped| dropped.max(token));
        match lost.above {
            Some(above) if above < token && proof == Proof::Ended => {}
            Some(above) => self.widen(above.max(token)),
            None => {}
        }
        (target, lost.below)
    }

    /// The tokens start over: what was lost is lost with them, or lies above all that is known now.
    pub(super) fn start_over(&mut self) {
        if self.0.take().is_some_and(|lost| lost.above.is_some()) {
            self.widen(Token::START);
        }
    }
}

impl Follower {
    /// Begins a batch.
    pub(super) fn open_batch(&mut self, env: &mut Env) {
        self.open = Open::Batch(Box::default());
        // A connection to a process ends with it, and may be slow.
        if env.is_on_tcp() {
            return;
        }
        env.open_batches.insert(&self.source, self.index);
        self.wait_for_end(env);
    }

    /// Sets the timer of a batch that may have no end. On direct TCP there is none.
    pub(super) fn wait_for_end(&self, env: &mut Env) {
        let timer = TimerKey::BatchOpen(self.index);
        if !env.is_on_tcp() && !env.timers.is_set(timer) {
            env.timers.set(timer, env.now + env.config.catch_up.batch_torn_after);
        }
    }

    /// Ends the batch, if one is open, and returns what was received of it.
    pub(super) fn close_batch(&mut self, env: &mut Env) -> Open {
        let open = std::mem::take(&mut self.open);
        if matches!(open, Open::Batch(_)) {
            env.open_batches.remove(self.source.instance());
        }
        open
    }

    /// Drops the rows of an unfinished batch. The rest of the batch will look like a whole one.
    pub(super) fn tear_batch(&mut self, env: &mut Env) {
        self.close_batch(env);
        self.open = Open::Torn(env.now);
        let target = self.catch_up().map(|catch_up| catch_up.target);
        let known = target.max(self.position).max(self.highest_held());
        self.hole.widen(known.unwrap_or(Token::START));
    }

    /// Handles a command of the writer that is not of this source: no batch of it goes on then. The
    /// timer of the batch asks for what was lost, unless that shows before (F8).
    pub(crate) fn on_interrupted(&mut self, env: &mut Env) {
        if matches!(self.open, Open::Batch(_)) {
            self.tear_batch(env);
            self.lose_below_position(env, None);
        }
    }

    /// Handles the timer of a batch that may have no end.
    pub(crate) fn on_batch_due(&mut self, env: &mut Env) {
        let last_at = match &self.open {
            Open::Nothing => return,
            Open::Batch(batch) => batch.last_at(),
            Open::Torn(last_at) => *last_at,
        };
        let torn_at = last_at + env.config.catch_up.batch_torn_after;
        if torn_at > env.now {
            env.timers.set(TimerKey::BatchOpen(self.index), torn_at);
        } else if let Open::Batch(_) = self.open {
            self.on_malformed(env, None);
        } else if self.hole.is_open() {
            self.ask_for_lost(env);
        }
    }

    /// Handles the loss of rows that may lie at or below the position, where no fetch from the
    /// position finds them: `token` if it is known. A loose stream is fetched from below then. In a
    /// burst that nothing closes it is not known any more what was delivered there: a gap says so.
    pub(super) fn lose_below_position(&mut self, env: &mut Env, token: Option<Token>) {
        let Some(position) = self.position else { return };
        if token.is_some_and(|token| token > position) {
            return;
        }
        match &self.class {
            Class::Rising | Class::Bursts(_) => {}
            // What lies at or below the position of a fetch under way was fetched.
            Class::Unclosed(_) if self.catch_up().is_some() => {}
            Class::Unclosed(unclosed) => {
                let floor = unclosed.as_ref().map_or(position, |unclosed| unclosed.floor());
                let from = token.map_or(floor, |token| token.before().max(floor));
                self.give_up_below(env, from, position);
            }
            Class::Loose(_) => {
                let reach = reach(position, &env.config);
                let from = token.map_or(reach, Token::before);
                self.hole.lose_from(from.max(reach));
                self.give_up_below(env, from, reach.min(position));
            }
        }
    }

    fn give_up_below(&self, env: &mut Env, from: Token, upto: Token) {
        if from >= upto {
            return;
        }
        // The end of a gap is a position to save: it is never below the one that stands.
        let upto = self.position.map_or(upto, |position| position.max(upto));
        env.stats.gaps += 1;
        let source = self.source.clone();
        let span = Span::new(from, upto);
        env.notify(Event::Gap { source, span, reason: GapReason::Unreadable });
    }

    /// Returns what a row proves of the rows that were sent before it.
    pub(super) const fn proof_by_row(&self) -> Proof {
        match self.traits.order {
            Order::Rising | Order::Loose => Proof::Ended,
            Order::Bursts | Order::UnclosedBursts => Proof::Reached,
        }
    }
}

/// Returns the token from which on a lost row of a loose stream at `position` is looked for.
fn reach(position: Token, config: &Config) -> Token {
    let reach = i64::from(config.catch_up.loose_reach_max);
    Token::new(position.get().saturating_sub(reach)).max(Token::START)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i64) -> Token {
        Token::new(number)
    }

    #[test]
    fn a_hole_is_closed_only_by_what_lies_above_it() {
        let mut hole = Hole::NONE;
        hole.widen(at(11));
        assert_eq!(hole.on_fetch(at(11), Proof::Ended), (at(11), None));
        assert!(hole.may_lie_below(at(12)) && !hole.may_lie_below(at(11)));
        hole.on_fetch(at(12), Proof::Reached);
        assert!(hole.is_open(), "the writer may have been inside a send");
        hole.on_fetch(at(13), Proof::Ended);
        assert!(!hole.is_open());
    }

    #[test]
    fn what_was_dropped_is_fetched_with_the_next_fetch() {
        let mut hole = Hole::NONE;
        hole.drop_upto(at(20));
        assert!(hole.is_known_beside(at(10)) && !hole.is_known_beside(at(20)));
        assert_eq!(hole.on_fetch(at(10), Proof::Reached), (at(20), None));
        assert!(!hole.is_open());
    }

    #[test]
    fn what_was_lost_before_the_tokens_started_over_may_be_of_the_new_ones() {
        let mut hole = Hole::NONE;
        hole.widen(at(50));
        hole.drop_upto(at(60));
        hole.start_over();
        assert!(hole.may_lie_below(at(1)) && !hole.is_known_beside(Token::START));
    }
}
