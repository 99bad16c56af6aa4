//! The tokens of one stream under which no row is known.

use std::collections::VecDeque;

use super::writers::{Writer, Writers};
use crate::{
    stream::{Span, Token},
    time::Timestamp,
};

/// The intervals that are kept room for when there are none. The writers of a busy stream make and
/// fill them all the time, which is to cost nothing.
const KEPT_ROOM: usize = 8;

/// Tokens without a row, next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Interval {
    pub(super) span: Span,
    /// The writers that have passed these tokens without a word: it is a hole for as long as there
    /// are any.
    pub(super) passed_by: Writers,
    /// Whether all that had passed them were asked, and had no row.
    is_empty: bool,
    /// The time from which on the first of them may be asked.
    pub(super) ready_at: Timestamp,
    /// The writer of the next row above.
    pub(super) above: Writer,
    /// The writer of the next row below.
    pub(super) below: Writer,
}

/// What it means that a writer has passed tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Whether there are tokens among them that have no row.
    pub(super) is_hole: bool,
    /// Whether there are some that had been taken for tokens without a row before this writer had
    /// passed them.
    pub(super) was_empty: bool,
}

/// Which tokens are known at all: those in `(floor, top]`. One of them that lies in no interval has
/// a row, or is no longer remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Known {
    floor: Token,
    top: Token,
    top_writer: Writer,
}

/// The tokens of a stream under which no row of any writer is known, as intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unexplained {
    known: Option<Known>,
    /// Sorted; no two overlap.
    list: VecDeque<Interval>,
}

impl Unexplained {
    /// Notes that a writer is live from this position on.
    pub(crate) fn begin(&mut self, position: Token, writer: Writer) {
        let Some(known) = &mut self.known else {
            self.known = Some(Known { floor: position, top: position, top_writer: writer });
            return;
        };
        if position < known.floor {
            let span = Span::new(position, known.floor);
            known.floor = position;
            self.list.push_front(Interval::new(span, known.top_writer, writer));
        }
    }

    /// Notes a row if it is the next one of the stream; returns false, and changes nothing, if it is
    /// not. Nearly all rows are.
    #[inline]
    pub(crate) fn on_next_row(&mut self, token: Token, writer: Writer) -> bool {
        let Some(known) = &mut self.known else { return false };
        let is_next = known.top.advanced_by(1) == token;
        if is_next {
            (known.top, known.top_writer) = (token, writer);
        }
        is_next
    }

    /// Returns whether every token of `span` has a row, as far as a look at the last interval shows:
    /// mostly other writers have sent what a writer passes.
    #[inline]
    pub(crate) fn has_rows_throughout(&self, span: Span) -> bool {
        self.known.is_some_and(|known| known.floor <= span.from && span.upto <= known.top)
            && self.list.back().is_none_or(|last| last.span.upto <= span.from)
    }

    /// Notes a row.
    pub(crate) fn on_row(&mut self, token: Token, writer: Writer) {
        let start = Known { floor: token.before(), top: token.before(), top_writer: writer };
        let known = self.known.get_or_insert(start);
        if token > known.top {
            let below = std::mem::replace(&mut known.top_writer, writer);
            let span = Span::new(std::mem::replace(&mut known.top, token), token.before());
            if !span.is_empty() {
                self.list.push_back(Interval::new(span, writer, below));
            }
            return;
        }
        let at = self.first_ending_from(token);
        let Some(interval) = self.list.get(at).filter(|interval| interval.span.contains(token))
        else {
            return;
        };
        let lower = Interval {
            span: Span::new(interval.span.from, token.before()),
            above: writer,
            ..*interval
        };
        let upper =
            Interval { span: Span::new(token, interval.span.upto), below: writer, ..*interval };
        match (lower.span.is_empty(), upper.span.is_empty()) {
            (true, true) => {
                self.list.remove(at);
                self.give_room_back();
            }
            (false, true) => self.list[at] = lower,
            (true, false) => self.list[at] = upper,
            (false, false) => {
                self.list[at] = lower;
                self.list.insert(at + 1, upper);
            }
        }
    }

    /// Forgets all tokens above `token`: they are given out again, and whatever comes under them comes
    /// for the first time.
    pub(super) fn forget_above(&mut self, token: Token) {
        let Some(known) = &mut self.known else { return };
        (known.floor, known.top) = (known.floor.min(token), known.top.min(token));
        while self.list.back().is_some_and(|last| last.span.from >= token) {
            self.list.pop_back();
        }
        if let Some(last) = self.list.back_mut() {
            last.span.upto = last.span.upto.min(token);
        }
    }

    /// Notes that a writer has passed all tokens of `span` and has said nothing of those without a
    /// row.
    pub(super) fn on_passed(&mut self, writer: Writer, span: Span, ready_at: Timestamp) -> Passed {
        if let Some(known) = &mut self.known
            && known.top < span.upto
        {
            let above = Span::new(known.top, span.upto);
            self.list.push_back(Interval::new(above, writer, known.top_writer));
            (known.top, known.top_writer) = (span.upto, writer);
        }
        let mut passed = Passed::default();
        self.for_each_in(span, |interval| {
            if interval.passed_by.is_empty() {
                interval.ready_at = ready_at;
            }
            interval.passed_by.insert(writer);
            passed.is_hole |= writer.is_told_apart();
            passed.was_empty |= std::mem::take(&mut interval.is_empty);
        });
        passed
    }

    /// Notes that a writer has told that it has no row in `span` but those that are known. Returns
    /// whether tokens are left that nobody is to be asked for any more.
    pub(crate) fn on_explained(&mut self, writer: Writer, span: Span) -> bool {
        let mut is_over = false;
        self.for_each_in(span, |interval| {
            let was_last = interval.passed_by.has(writer) && interval.passed_by.len() == 1;
            interval.passed_by.remove(writer);
            interval.is_empty |= was_last;
            is_over |= was_last;
        });
        is_over
    }

    /// Returns whether the token lies in the stream's known past, or above it, and has no row.
    pub(crate) fn has(&self, token: Token) -> bool {
        let Some(known) = self.known else { return false };
        token > known.top
            || self
                .list
                .get(self.first_ending_from(token))
                .is_some_and(|interval| interval.span.contains(token))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets one interval: the lowest one that is no hole, or else the lowest hole, which is
    /// returned. Its tokens count as having rows from then on. The highest one may be about to become
    /// a hole, and is kept while there are others.
    pub(crate) fn forget_one(&mut self) -> Option<Span> {
        let older = self.list.len().saturating_sub(1);
        let mut older = self.list.iter().take(older);
        let idle = older.position(|interval| interval.passed_by.is_empty());
        let forgotten = self.list.remove(idle.unwrap_or_default())?;
        self.give_room_back();
        (!forgotten.passed_by.is_empty()).then_some(forgotten.span)
    }

    /// Iterates over the holes, the lowest first.
    pub(super) fn holes(&self) -> impl Iterator<Item = &Interval> {
        self.list.iter().filter(|interval| !interval.passed_by.is_empty())
    }

    /// Returns the place of the first interval that ends at or above `token`.
    fn first_ending_from(&self, token: Token) -> usize {
        self.list.partition_point(|interval| interval.span.upto < token)
    }

    /// Applies `act` to the intervals inside `span`. Those that lie across its ends are cut there.
    fn for_each_in(&mut self, span: Span, mut act: impl FnMut(&mut Interval)) {
        if span.is_empty() {
            return;
        }
        let mut at = self.first_ending_from(span.from.advanced_by(1));
        while let Some(interval) = self.list.get(at).copied()
            && interval.span.from < span.upto
        {
            if let Some((lower, upper)) = interval.cut(span.from) {
                self.list[at] = lower;
                self.list.insert(at + 1, upper);
                at += 1;
                continue;
            }
            if let Some((lower, upper)) = interval.cut(span.upto) {
                self.list[at] = lower;
                self.list.insert(at + 1, upper);
            }
            act(&mut self.list[at]);
            at += 1;
        }
    }

    fn give_room_back(&mut self) {
        if self.list.is_empty() && self.list.capacity() > KEPT_ROOM {
            self.list.shrink_to(KEPT_ROOM);
        }
    }
}

impl Interval {
    fn new(span: Span, above: Writer, below: Writer) -> Self {
        let passed_by = Writers::default();
        Self { span, passed_by, is_empty: false, ready_at: Timestamp::ZERO, above, below }
    }

    /// Returns the parts up to and above `token`, if both have tokens.
    fn cut(&self, token: Token) -> Option<(Self, Self)> {
        let Span { from, upto } = self.span;
        (from < token && token < upto).then(|| {
            let part = |from, upto| Self { span: Span::new(from, upto), ..*self };
            (part(from, token), part(token, upto))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::ZERO;

    fn writer(number: usize) -> Writer {
        Writer::after(number)
    }

    fn span(from: i64, upto: i64) -> Span {
        Span::new(Token::new(from), Token::new(upto))
    }

    /// The stream with writer 0 live from 10 on and these rows of it.
    fn with_rows(rows: &[i64]) -> Unexplained {
        let mut tokens = Unexplained::default();
        tokens.begin(Token::new(10), writer(0));
        for row in rows {
            tokens.on_row(Token::new(*row), writer(0));
        }
        tokens
    }

    fn shown(tokens: &Unexplained) -> String {
        let each = tokens.list.iter().map(|interval| {
            let marks = "*".repeat(interval.passed_by.len() as usize);
            format!("{}{marks}", interval.span)
        });
        each.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rows_in_order_leave_nothing_open() {
        let mut tokens = with_rows(&[]);
        for row in 11..20 {
            assert!(tokens.on_next_row(Token::new(row), writer(0)));
        }
        assert!(tokens.is_empty() && !tokens.on_next_row(Token::new(22), writer(0)));
    }

    #[test]
    fn a_row_that_comes_later_fills_its_token_and_leaves_the_others_open() {
        let mut tokens = with_rows(&[11, 16]);
        assert_eq!(shown(&tokens), "11..15");
        for (row, left) in
            [(13, "11..12 13..15"), (12, "13..15"), (15, "13..14"), (15, "13..14"), (14, "")]
        {
            tokens.on_row(Token::new(row), writer(0));
            assert_eq!(shown(&tokens), left);
        }
    }

    #[test]
    fn only_what_a_writer_has_passed_is_a_hole_of_it() {
        let mut tokens = with_rows(&[11, 16]);
        assert!(tokens.on_passed(writer(1), span(12, 14), NOW).is_hole);
        assert_eq!(shown(&tokens), "11..12 12..14* 14..15");
        assert!(tokens.on_passed(writer(0), span(11, 15), NOW).is_hole);
        assert_eq!(shown(&tokens), "11..12* 12..14** 14..15*");
        assert!(!tokens.on_passed(writer(0), span(15, 16), NOW).is_hole, "it has a row");
        assert!(!tokens.on_explained(writer(0), span(12, 14)), "the other one may have a row");
        assert!(tokens.on_explained(writer(1), span(11, 16)));
        assert_eq!(shown(&tokens), "11..12* 12..14 14..15*");
    }

    #[test]
    fn tokens_that_another_writer_passes_later_were_not_known_to_be_empty() {
        let mut tokens = with_rows(&[11, 16]);
        let pass = |number, tokens: &mut Unexplained| {
            tokens.on_passed(writer(number), span(11, 15), NOW).was_empty
        };
        assert!(!pass(0, &mut tokens) && tokens.on_explained(writer(0), span(11, 15)));
        assert!(pass(1, &mut tokens) && !pass(2, &mut tokens));
    }

    #[test]
    fn what_is_passed_above_all_rows_is_a_hole_too() {
        let mut tokens = with_rows(&[11]);
        assert!(tokens.on_passed(writer(0), span(10, 13), NOW).is_hole);
        assert_eq!(shown(&tokens), "11..13*");
    }

    #[test]
    fn a_token_without_a_row_is_known_as_one_below_and_above_the_rows() {
        let tokens = with_rows(&[11, 14]);
        let open: Vec<_> = (9..17).filter(|token| tokens.has(Token::new(*token))).collect();
        assert_eq!(open, [12, 13, 15, 16], "nothing is known up to where it began");
        assert!(!Unexplained::default().has(Token::new(1)));
    }

    #[test]
    fn a_writer_that_stands_lower_than_the_first_one_has_its_tokens_looked_for() {
        let mut tokens = with_rows(&[11]);
        tokens.begin(Token::new(7), writer(1));
        tokens.on_row(Token::new(9), writer(1));
        assert!(tokens.on_passed(writer(1), span(7, 8), NOW).is_hole);
        assert_eq!(shown(&tokens), "7..8* 9..10");
        tokens.begin(Token::new(20), writer(2));
        assert_eq!(shown(&tokens), "7..8* 9..10");
    }

    #[test]
    fn what_is_no_hole_is_forgotten_before_what_is_one() {
        let mut tokens = with_rows(&[12, 14, 16, 18]);
        assert!(tokens.on_passed(writer(0), span(10, 14), NOW).is_hole);
        assert_eq!(shown(&tokens), "10..11* 12..13* 14..15 16..17");
        assert_eq!(tokens.forget_one(), None);
        assert_eq!(shown(&tokens), "10..11* 12..13* 16..17", "the highest may be passed next");
        assert_eq!(tokens.forget_one(), Some(span(10, 11)));
        assert_eq!(tokens.forget_one(), Some(span(12, 13)));
        assert_eq!(tokens.forget_one(), None);
        assert_eq!(shown(&tokens), "");
        assert!(!tokens.has(Token::new(11)), "what is forgotten counts as delivered");
    }

    #[test]
    fn tokens_that_are_given_out_again_have_no_rows() {
        let mut tokens = with_rows(&[12, 16, 19]);
        assert!(tokens.on_passed(writer(0), span(10, 18), NOW).is_hole);
        tokens.forget_above(Token::new(14));
        assert_eq!(shown(&tokens), "10..11* 12..14*");
        assert!(tokens.has(Token::new(16)) && !tokens.has(Token::new(12)));
        tokens.on_row(Token::new(17), writer(0));
        assert_eq!(shown(&tokens), "10..11* 12..14* 14..16");
        tokens.forget_above(Token::new(5));
        assert_eq!((shown(&tokens).as_str(), tokens.has(Token::new(12))), ("", true));
    }

    #[test]
    fn a_span_takes_no_more_than_is_documented() {
        assert!(size_of::<Interval>() <= 40, "{} bytes", size_of::<Interval>());
    }

    #[test]
    fn the_room_of_many_intervals_is_given_back() {
        let mut tokens = with_rows(&(10..200).step_by(2).collect::<Vec<_>>());
        assert!(tokens.len() > 50);
        for row in 11..200 {
            tokens.on_row(Token::new(row), writer(0));
        }
        assert!(tokens.is_empty() && tokens.list.capacity() <= 2 * KEPT_ROOM);
    }

    #[test]
    fn the_writers_of_the_rows_around_a_hole_are_known() {
        let mut tokens = with_rows(&[11]);
        tokens.on_row(Token::new(20), writer(1));
        tokens.on_row(Token::new(15), writer(2));
        let around: Vec<_> = tokens.list.iter().map(|hole| (hole.below, hole.above)).collect();
        assert_eq!(around, [(writer(0), writer(2)), (writer(2), writer(1))]);
    }
}
