//! The holes of one stream, and the look into them that is under way.

use super::{
    pace::Pace,
    unexplained::{Interval, Unexplained},
    writers::Writer,
};
use crate::{
    config::Config,
    ids::{FetchId, SourceIndex},
    stream::{Span, StreamTraits, Token},
    time::Timestamp,
};

/// What is kept of one stream to find the rows that were lost with their tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Holes {
    pub(crate) tokens: Unexplained,
    /// The sources of the stream, by their [`Writer`], as far as these are told apart.
    writers: Vec<Member>,
    pace: Pace,
    look: Look,
    /// Whether the application was told that a hole of this stream could not be looked into.
    told: bool,
}

/// One source of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Member {
    source: SourceIndex,
    /// The position at which the source first went live: what lies below was not passed here.
    live_from: Option<Token>,
    /// The time from which on what it passes may be looked into, once it is live on the present
    /// connection.
    settled_at: Option<Timestamp>,
}

/// The look into the holes of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Look {
    #[default]
    None,
    /// It is in line for a fetch.
    InLine,
    Asked {
        query: FetchId,
        question: Question,
    },
}

/// Whom to ask for which tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) source: SourceIndex,
    pub(crate) writer: Writer,
    pub(crate) span: Span,
}

impl Holes {
    /// Adds a writer.
    pub(crate) fn join(&mut self, source: SourceIndex) -> Writer {
        let writer = Writer::after(self.writers.len());
        if writer.is_told_apart() {
            self.writers.push(Member { source, live_from: None, settled_at: None });
        }
        writer
    }

    /// Notes that a source is live at this position.
    pub(crate) fn on_live(&mut self, writer: Writer, position: Token, settled_at: Timestamp) {
        let Some(member) = self.writers.get_mut(writer.as_usize()) else { return };
        member.settled_at.get_or_insert(settled_at);
        if member.live_from.is_none() {
            member.live_from = Some(position);
            self.tokens.begin(position, writer);
        }
    }

    /// Notes the end of the connection: the time after the next one counts anew.
    pub(crate) fn on_disconnected(&mut self, writer: Writer) {
        if let Some(member) = self.writers.get_mut(writer.as_usize()) {
            member.settled_at = None;
        }
    }

    /// Returns the time from which on what a source passes may be looked into; `None` if it is not
    /// live.
    pub(crate) fn settled_at(&self, writer: Writer) -> Option<Timestamp> {
        self.writers.get(writer.as_usize())?.settled_at
    }

    /// Returns whether the token lies above where a source went live, and has no row.
    pub(crate) fn is_unexplained(&self, writer: Writer, token: Token) -> bool {
        let member = self.writers.get(writer.as_usize());
        let live_from = member.and_then(|member| member.live_from);
        live_from.is_some_and(|live_from| live_from < token) && self.tokens.has(token)
    }

    /// Notes that the position of a source goes back below `span`: it has not passed these tokens any
    /// more. Nothing is known above it any more if the source is the `is_first` of its stream.
    pub(crate) fn go_back(&mut self, writer: Writer, span: Span, is_first: bool) {
        if let Some(member) = self.writers.get_mut(writer.as_usize()) {
            member.live_from = member.live_from.map(|live_from| live_from.min(span.from));
        }
        if is_first {
            self.tokens.forget_above(span.from);
        }
        self.tokens.on_explained(writer, span);
    }

    /// Notes that a writer has passed all tokens of `span` and has said nothing of those without a
    /// row. Returns whether there are any.
    pub(crate) fn on_passed(&mut self, writer: Writer, span: Span, ready_at: Timestamp) -> bool {
        let passed = self.tokens.on_passed(writer, span, ready_at);
        if passed.was_empty {
            self.pace.on_not_empty();
        }
        passed.is_hole
    }

    /// Returns the time at which a look is due, if there is a hole and no look is under way.
    pub(crate) fn due(&self, config: &Config) -> Option<Timestamp> {
        if self.look != Look::None {
            return None;
        }
        let ready = self.tokens.holes().map(|hole| hole.ready_at).min()?;
        Some(ready.max(self.pace.next_at(&config.holes)))
    }

    /// Returns the time before which no look may be made, whatever is found meanwhile.
    pub(crate) fn not_before(&self, config: &Config) -> Timestamp {
        self.pace.next_at(&config.holes)
    }

    /// Returns how much of the stream's holes is natural: who has few is asked first.
    pub(crate) const fn emptiness(&self) -> u32 {
        self.pace.emptiness()
    }

    /// Returns what to ask: of the lowest hole first the writer of the next row above, then that of
    /// the next row below, then the others, and of whom is asked whatever else lies near. After a
    /// failure another hole and another writer is taken, so that one who cannot be reached does not
    /// hold up what others know.
    pub(crate) fn question(
        &self,
        now: Timestamp,
        traits: StreamTraits,
        config: &Config,
    ) -> Option<Question> {
        let is_ready = |hole: &&Interval| hole.ready_at <= now;
        let count = self.tokens.holes().filter(is_ready).count();
        let failures = self.pace.failures() as usize;
        let hole = self.tokens.holes().filter(is_ready).nth(failures.checked_rem(count)?)?;
        let turn = (failures / count).checked_rem(hole.passed_by.len() as usize)?;
        let writer = hole.passed_by.with_first([hole.above, hole.below]).nth(turn)?;
        let source = self.writers.get(writer.as_usize())?.source;
        let span = self.span_from(hole, writer, now, traits, config);
        Some(Question { source, writer, span })
    }

    /// Returns the span that begins with `hole`, and has whatever else of this writer is ready near
    /// it. A wide hole is asked for alone; in whole if the stream's pages allow.
    fn span_from(
        &self,
        hole: &Interval,
        writer: Writer,
        now: Timestamp,
        traits: StreamTraits,
        config: &Config,
    ) -> Span {
        let Span { from, upto } = hole.span;
        let window = traits.windowed.then_some(config.catch_up.burst_window_max);
        let window = window.into_iter().chain(self.pace.window()).min();
        let near = window.map_or(config.holes.hole_span_tokens_max, |window| {
            window.min(config.holes.hole_span_tokens_max)
        });
        if hole.span.len() > near.into() {
            return Span::new(
                from,
                window.map_or(upto, |window| from.advanced_by(window).min(upto)),
            );
        }
        let end = from.advanced_by(near);
        let others = self.tokens.holes().filter(|other| {
            other.ready_at <= now && other.passed_by.has(writer) && other.span.upto <= end
        });
        let upto = others.map(|other| other.span.upto).filter(|other| *other > from).max();
        Span::new(from, upto.unwrap_or(hole.span.upto))
    }

    /// Notes that the stream is in line for a look.
    pub(crate) fn on_queued(&mut self) {
        self.look = Look::InLine;
    }

    pub(crate) fn on_asked(&mut self, query: FetchId, question: Question, now: Timestamp) {
        self.look = Look::Asked { query, question };
        self.pace.on_asked(now);
    }

    /// Returns what was asked last, if it is not answered yet.
    pub(crate) const fn asked(&self) -> Option<Question> {
        match self.look {
            Look::Asked { question, .. } => Some(question),
            Look::None | Look::InLine => None,
        }
    }

    /// Ends the look that is under way, or in line.
    pub(crate) fn end_look(&mut self) -> Option<Question> {
        let question = self.asked();
        self.look = Look::None;
        question
    }

    /// Notes the answer to a question: the writer has no row up to `complete` but those that are
    /// known by now.
    pub(crate) fn on_answered(&mut self, question: Question, complete: Token, has_found: bool) {
        let span = Span::new(question.span.from, complete);
        let is_over = self.tokens.on_explained(question.writer, span);
        self.pace.on_answered();
        if has_found {
            self.pace.on_found();
        } else if is_over {
            self.pace.on_empty();
        }
    }

    /// Notes that this writer can never be asked for these tokens.
    pub(crate) fn on_nobody(&mut self, question: Question) {
        self.tokens.on_explained(question.writer, question.span);
        self.pace.on_empty();
    }

    pub(crate) fn on_too_large(&mut self, span: Span) {
        self.pace.narrow(span);
    }

    /// Notes a failure; returns the number of failures in a row.
    pub(crate) const fn on_failed(&mut self) -> u32 {
        self.pace.on_failed()
    }

    pub(crate) fn put_off(&mut self, now: Timestamp, delay: std::time::Duration) {
        self.pace.put_off(now, delay);
    }

    /// Returns whether the application is to be told that a hole could not be looked into: once a
    /// stream.
    pub(crate) fn is_first_word(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::traits;

    fn span(from: i64, upto: i64) -> Span {
        Span::new(Token::new(from), Token::new(upto))
    }

    /// Three writers; rows of the first one at these tokens, and holes of all three between them.
    fn holes(rows: &[i64]) -> Holes {
        let mut holes = Holes::default();
        let writers: Vec<_> = (0..3).map(|number| holes.join(SourceIndex::after(number))).collect();
        holes.tokens.begin(Token::new(10), writers[0]);
        for row in rows {
            holes.tokens.on_row(Token::new(*row), writers[0]);
        }
        let last = Token::new(rows.last().copied().unwrap_or(10)).before();
        for writer in &writers {
            holes.tokens.on_passed(*writer, Span::new(Token::new(10), last), Timestamp::ZERO);
        }
        holes
    }

    fn asked(holes: &Holes, stream: &str) -> (usize, Span) {
        let question = holes.question(Timestamp::ZERO, traits(stream), &Config::default());
        let question = question.expect("there is a hole");
        (question.source.as_usize(), question.span)
    }

    #[test]
    fn all_that_is_near_is_asked_for_at_once() {
        let holes = holes(&[12, 30, 108, 112]);
        assert_eq!(asked(&holes, "events"), (0, span(10, 107)), "108..111 ends 101 above 10");
        assert_eq!(asked(&holes, "backfill"), (0, span(10, 107)));
        let wide = self::holes(&[500]);
        assert_eq!(asked(&wide, "events"), (0, span(10, 499)), "an empty page costs nothing");
        assert_eq!(asked(&wide, "backfill"), (0, span(10, 109)), "its pages hold a hundred rows");
    }

    #[test]
    fn whom_an_answer_excuses_is_not_asked_again_and_the_others_are_asked_in_turn() {
        let mut holes = holes(&[13]);
        for number in 0..3 {
            let config = Config::default();
            let question = holes.question(Timestamp::ZERO, traits("events"), &config);
            let question = question.expect("somebody is left");
            assert_eq!(question.source.as_usize(), number);
            holes.on_answered(question, question.span.upto, false);
        }
        assert_eq!(holes.question(Timestamp::ZERO, traits("events"), &Config::default()), None);
        assert_eq!(holes.emptiness(), 1, "it counts as natural once all have answered");
    }

    #[test]
    fn after_a_failure_another_hole_and_then_another_writer_is_asked() {
        let mut holes = holes(&[12, 500, 502]);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(asked(&holes, "events"));
            holes.on_failed();
        }
        let lowest = |writer| (writer, span(10, 11));
        assert_eq!(seen, [lowest(0), (0, span(12, 499)), (0, span(500, 501)), lowest(1)]);
    }

    #[test]
    fn a_member_takes_no_more_than_is_documented() {
        assert!(size_of::<Member>() <= 40, "{} bytes", size_of::<Member>());
    }

    #[test]
    fn too_large_an_answer_is_asked_for_in_halves() {
        let mut holes = holes(&[51]);
        holes.on_too_large(span(10, 50));
        assert_eq!(asked(&holes, "events"), (0, span(10, 30)));
    }
}
