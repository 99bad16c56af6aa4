//! The looks into holes (F12): when a stream's is due, and which stream is asked about next.
//!
//! What enters: holes that appear, and deadlines. What leaves: the next question, behind every
//! catch-up and before every audit.

use super::Env;
use crate::{
    action::Action,
    holes::{Holes, Question},
    ids::StreamIndex,
    stream::{Order, StreamTraits},
    time::Timestamp,
    timer::TimerKey,
};

impl Env {
    /// Returns what is to be kept of a stream for its holes; `None` if they are not looked into.
    ///
    /// They are not on direct TCP, where nothing gets lost between two rows; in loose streams, whose
    /// writers skip tokens as they repeat them; and in streams in their writer's memory: an answer
    /// cannot be told from one of a writer that has started over.
    pub(crate) fn new_holes(&self, traits: StreamTraits) -> Option<Box<Holes>> {
        let is_countable = match traits.order {
            Order::Rising | Order::Bursts => !traits.resettable,
            Order::UnclosedBursts | Order::Loose => false,
        };
        let is_wanted = self.config.holes.look_into_holes && !self.is_on_tcp() && is_countable;
        is_wanted.then(Box::default)
    }

    pub(crate) fn holes_of(&mut self, stream: StreamIndex) -> Option<&mut Holes> {
        self.streams[stream.as_usize()].holes.as_deref_mut()
    }

    /// Sets the timer of a stream of which a hole may be looked into from `ready_at` on.
    pub(crate) fn expect_look(&mut self, stream: StreamIndex, ready_at: Timestamp) {
        let Some(holes) = &self.streams[stream.as_usize()].holes else { return };
        let at = ready_at.max(holes.not_before(&self.config));
        let timer = TimerKey::Look(stream);
        if self.timers.at(timer).is_none_or(|set| at < set) {
            self.timers.set(timer, at);
        }
    }

    /// Sets the timer of the next look of a stream, if it has a hole.
    pub(crate) fn expect_next_look(&mut self, stream: StreamIndex) {
        let holes = &self.streams[stream.as_usize()].holes;
        let Some(due) = holes.as_ref().and_then(|holes| holes.due(&self.config)) else { return };
        self.expect_look(stream, due);
    }

    /// Handles the timer of a stream: it joins the line, if a hole is left.
    pub(crate) fn on_look_due(&mut self, stream: StreamIndex) {
        let Some(holes) = &mut self.streams[stream.as_usize()].holes else { return };
        match holes.due(&self.config) {
            Some(due) if due <= self.now => {
                holes.on_queued();
                let emptiness = holes.emptiness();
                self.queries.looks.enqueue(emptiness, stream);
            }
            Some(due) => self.timers.set(TimerKey::Look(stream), due),
            None => {}
        }
    }

    /// Notes that this node writes a stream. Its holes are not looked into any more if a page shows
    /// the rows of all writers: our own would pass for lost ones (F5), also in a page under way.
    pub(crate) fn on_written_here(&mut self, stream: StreamIndex) {
        let state = &mut self.streams[stream.as_usize()];
        state.written_here = true;
        if state.traits.shared_fetch {
            self.forget_holes(stream);
        }
    }

    fn forget_holes(&mut self, stream: StreamIndex) {
        if let Some(holes) = self.streams[stream.as_usize()].holes.take() {
            self.stats.hole_spans_now -= holes.tokens.len() as u64;
        }
    }

    /// Returns the next question, if no catch-up waits, a slot is free, and the minute has not had
    /// its looks.
    pub(crate) fn next_question(&mut self) -> Option<Question> {
        if self.queries.looks.is_idle()
            || !self.queries.line_is_empty()
            || !self.queries.has_free_slot(&self.config)
        {
            return None;
        }
        let allowed_from = self.queries.looks.allowed_from(&self.config.holes);
        if allowed_from > self.now {
            self.timers.set(TimerKey::LookAllowed, allowed_from);
            return None;
        }
        while let Some(stream) = self.queries.looks.next(&self.config.holes) {
            let state = &mut self.streams[stream.as_usize()];
            let Some(holes) = &mut state.holes else { continue };
            let question = holes.question(self.now, state.traits, &self.config);
            if question.is_some() {
                return question;
            }
            // Rows have come meanwhile.
            holes.end_look();
            self.expect_next_look(stream);
        }
        None
    }

    /// Makes room for the fetch of a catch-up, if all slots are taken: the fetch for a single row
    /// gives way, or else that of an audit, or that of a look.
    pub(crate) fn make_room(&mut self) {
        if self.queries.has_free_slot(&self.config) {
            return;
        }
        let queries = &mut self.queries;
        if let Some(query) = queries.look_ups.preempt().or_else(|| queries.audits.preempt()) {
            self.act(Action::CancelFetch { query });
        } else if let Some((query, stream)) = self.queries.looks.preempt() {
            if let Some(holes) = self.holes_of(stream) {
                holes.on_queued();
                let emptiness = holes.emptiness();
                self.queries.looks.enqueue(emptiness, stream);
            }
            self.act(Action::CancelFetch { query });
        }
    }
}
