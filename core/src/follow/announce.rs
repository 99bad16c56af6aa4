//! The decision about a POSITION: one pure function, and the table that it reads (`protocol.md`
//! 4.7, 12.1).
//!
//! What enters: the [`View`] of a follower, and the announced span. What leaves: the [`Step`] that
//! the follower carries out. Keeps F2 (what may be missing is fetched), F6 and F10.

use crate::stream::{Order, Span, Token};

/// What a follower knows when an announcement is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) standing: Standing,
    /// Whether this announcement gave the source its first position. Nothing was missed before it,
    /// so it is judged like one of a live source.
    pub(super) is_new: bool,
    pub(super) position: Token,
    /// The highest token that the writer is known to have reached, if a fetch is under way.
    pub(super) known_end: Token,
    pub(super) order: Order,
    pub(super) resettable: bool,
    /// Whether rows were lost.
    pub(super) hole: bool,
    /// Whether rows are known to be lost that the announcement does not show.
    pub(super) lost_beside: bool,
    /// Whether a burst may be under way whose first rows were not received on this connection.
    pub(super) is_amid: bool,
    pub(super) burst: Option<OpenBurst>,
}

/// Whether the position is confirmed on the present connection, and whether rows are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Unconfirmed,
    /// Not confirmed; a fetch that was begun before is still under way.
    Fetching,
    CatchingUp,
    Live,
}

/// A burst of which rows were received, and whose end is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenBurst {
    pub(super) highest: Token,
    /// Whether every row of it was received on the present connection, from the first on.
    pub(super) continuous: bool,
}

/// What follows from an announcement of `(prev, new]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is held until the catch-up has ended.
    Hold,
    /// It confirms the fetch under way, which is to reach `new`.
    Confirm,
    /// The tokens started over, or may have: the source is reset, and fetches up to `new`.
    Reset,
    /// Rows may be missing in `(position, new]`: they are fetched.
    Fetch,
    /// Nothing is missing up to `new`: the position moves there, and the source is live.
    Advance,
    /// Nothing is missing; the position stays, and the source is live.
    Stay,
}

/// The place of the compared token `cur` relative to an announcement `(prev, new]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Relation {
    /// `cur < prev`: rows may lie between.
    Behind,
    /// `cur = prev < new`.
    AtPrev,
    /// `prev < cur < new`.
    Inside,
    /// `cur = new`.
    AtNew,
    /// `new < cur`.
    Ahead,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Hold,
    Confirm,
    Reset,
    Fetch,
    /// The announcement states that no row is missing up to `new`; the guards decide whether that
    /// is believed.
    Complete,
}

/// The decision before the guards. Each row is a relation. The columns are the four standings,
/// first of streams that cannot start over, then of those that can.
///
/// A resettable source whose position is not confirmed is reset, unless a fetch under way confirms
/// it: its writer may have started over while there was no connection, and nothing on the wire
/// would show it (`protocol.md` H10, `X6`). A source that is not resettable never goes back: a
/// lower announcement is an old one, or one of a writer that does not know how far its rows went
/// out (P3).
const TABLE: [(Relation, [[Entry; 4]; 2]); 5] = {
    use self::{Entry::*, Relation::*};
    [
        (Behind, [[Fetch, Confirm, Hold, Fetch], [Reset, Confirm, Hold, Fetch]]),
        (AtPrev, [[Complete, Confirm, Hold, Complete], [Reset, Confirm, Hold, Complete]]),
        (Inside, [[Complete, Confirm, Hold, Complete], [Reset, Confirm, Hold, Complete]]),
        (AtNew, [[Complete, Confirm, Hold, Complete], [Reset, Confirm, Hold, Complete]]),
        (Ahead, [[Complete, Confirm, Hold, Complete], [Reset, Reset, Reset, Reset]]),
    ]
};

/// Decides on an announcement. `span.from` may lie above `span.upto`: then the writer has stated
/// nothing about the tokens between them.
pub(super) fn announce(view: &View, span: Span) -> Step {
    let would_move = view.position < span.upto;
    match Relation::of(view.compared(span), span).entry(view) {
        Entry::Hold => Step::Hold,
        Entry::Confirm => Step::Confirm,
        Entry::Reset => Step::Reset,
        Entry::Fetch => Step::Fetch,
        Entry::Complete if would_move && view.lacks_rows(span) => Step::Fetch,
        Entry::Complete if view.lost_beside => Step::Fetch,
        Entry::Complete if would_move && view.closes(span.upto) => Step::Advance,
        Entry::Complete => Step::Stay,
    }
}

impl View {
    /// Returns the token that the announcement is compared with: `cur` of the table.
    fn compared(&self, span: Span) -> Token {
        if matches!(self.standing, Standing::Fetching | Standing::CatchingUp) {
            return self.known_end;
        }
        // A writer that announces nothing but its position (prev = new) may have died inside a
        // burst, and started again.
        let may_be_cut = span.from >= span.upto && self.order == Order::Bursts;
        self.burst
            .filter(|burst| burst.continuous && !may_be_cut)
            .map_or(self.position, |burst| burst.highest.max(self.position))
    }

    /// Guard: returns whether rows are fetched though the announcement states that none is missing.
    /// Rows were lost; or the beginning of a burst was not received on this connection; or it may
    /// not have been: the announcement behind a burst has as its prev the row that was sent last,
    /// which is the lowest of the burst, so it looks complete also to a follower that connected in
    /// the middle of the burst.
    fn lacks_rows(&self, span: Span) -> bool {
        let is_broken = self.burst.is_some_and(|burst| !burst.continuous);
        // The row that was sent last lies below what was complete: its burst began before that was
        // said, and rows above may have been sent before we listened.
        let began_before = span.from < self.position;
        let may_be_amid = self.order == Order::Bursts
            && (self.standing != Standing::Live || self.is_amid || began_before);
        self.hole || is_broken || may_be_amid
    }

    /// Guard: returns whether `new` closes the open burst, or none is open. It does if no row above
    /// `new` was received; a burst of `UnclosedBursts` is closed by no announcement.
    fn closes(&self, new: Token) -> bool {
        let is_unclosed = self.order == Order::UnclosedBursts;
        self.burst.is_none_or(|burst| !is_unclosed && burst.highest <= new)
    }
}

impl Relation {
    fn of(cur: Token, Span { from: prev, upto: new }: Span) -> Self {
        if new < cur {
            Self::Ahead
        } else if new == cur {
            Self::AtNew
        } else if cur < prev {
            Self::Behind
        } else if cur == prev {
            Self::AtPrev
        } else {
            Self::Inside
        }
    }

    const fn entry(self, view: &View) -> Entry {
        let standing = if view.is_new { Standing::Live } else { view.standing };
        TABLE[self as usize].1[view.resettable as usize][standing as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::table;

    /// The position of the source in each relation to an announcement of (10, 20].
    const AT: [(Relation, &str, i64); 5] = [
        (Relation::Behind, "`cur < prev`", 5),
        (Relation::AtPrev, "`cur = prev`", 10),
        (Relation::Inside, "`prev < cur < new`", 15),
        (Relation::AtNew, "`cur = new`", 20),
        (Relation::Ahead, "`new < cur`", 25),
    ];

    const STANDINGS: [(Standing, &str); 4] = [
        (Standing::Unconfirmed, "unconfirmed"),
        (Standing::Fetching, "unconfirmed, fetching"),
        (Standing::CatchingUp, "catching up"),
        (Standing::Live, "live"),
    ];

    fn span() -> Span {
        Span::new(Token::new(10), Token::new(20))
    }

    fn view(standing: Standing, resettable: bool, at: i64) -> View {
        View {
            standing,
            is_new: false,
            position: Token::new(at),
            known_end: Token::new(at),
            order: Order::Rising,
            resettable,
            hole: false,
            lost_beside: false,
            is_amid: false,
            burst: None,
        }
    }

    fn burst(highest: i64, continuous: bool) -> Option<OpenBurst> {
        Some(OpenBurst { highest: Token::new(highest), continuous })
    }

    #[test]
    fn the_table_is_in_the_order_of_the_cases() {
        for (index, (relation, _)) in TABLE.iter().enumerate() {
            assert_eq!(*relation as usize, index);
        }
    }

    #[test]
    fn every_pair_of_tokens_falls_into_the_case_that_its_order_says() {
        let of = |cur, prev, new| {
            Relation::of(Token::new(cur), Span::new(Token::new(prev), Token::new(new)))
        };
        assert_eq!(of(1, 2, 3), Relation::Behind);
        assert_eq!(of(1, 3, 3), Relation::Behind);
        assert_eq!(of(2, 2, 3), Relation::AtPrev);
        assert_eq!(of(2, 1, 3), Relation::Inside);
        assert_eq!(of(3, 1, 3), Relation::AtNew);
        assert_eq!(of(3, 3, 3), Relation::AtNew);
        assert_eq!(of(4, 1, 3), Relation::Ahead);
        assert_eq!(of(4, 3, 3), Relation::Ahead);
        assert_eq!(of(1, 9, 3), Relation::Behind);
        assert_eq!(of(4, 9, 3), Relation::Ahead);
    }

    #[test]
    fn every_cell_is_as_the_documents_have_it() {
        let mut shown =
            table::Table::new(&["cur", "can start over"], &STANDINGS.map(|(_, name)| name));
        for resettable in [false, true] {
            for (relation, name, at) in AT {
                let cells = STANDINGS.map(|(standing, _)| {
                    let view = view(standing, resettable, at);
                    assert_eq!(Relation::of(view.compared(span()), span()), relation);
                    format!("{:?}", announce(&view, span()))
                });
                shown.row(&[name, if resettable { "yes" } else { "no" }], &cells);
            }
        }
        shown.compare("announce");
    }

    #[test]
    fn a_source_that_starts_here_is_judged_like_a_live_one() {
        for (_, _, at) in AT {
            for resettable in [false, true] {
                let live = view(Standing::Live, resettable, at);
                let new = View { is_new: true, ..view(Standing::Unconfirmed, resettable, at) };
                assert_eq!(announce(&new, span()), announce(&live, span()));
            }
        }
    }

    #[test]
    fn what_is_said_to_be_complete_is_fetched_where_rows_were_lost() {
        let lost = View { hole: true, ..view(Standing::Live, false, 15) };
        assert_eq!(announce(&lost, span()), Step::Fetch);
        let lost = View { hole: true, ..view(Standing::Live, false, 20) };
        assert_eq!(announce(&lost, span()), Step::Stay, "nothing lies between");
    }

    #[test]
    fn a_burst_that_was_received_from_its_head_on_is_closed_at_its_top() {
        let bursts = View { order: Order::Bursts, ..view(Standing::Live, false, 5) };
        let open = |highest, continuous| View { burst: burst(highest, continuous), ..bursts };
        assert_eq!(announce(&open(20, true), span()), Step::Advance);
        assert_eq!(announce(&open(25, true), span()), Step::Stay, "rows above have come");
        assert_eq!(announce(&open(20, false), span()), Step::Fetch, "its head was not received");
        let from_its_end = Span::new(Token::new(20), Token::new(20));
        assert_eq!(
            announce(&open(20, true), from_its_end),
            Step::Fetch,
            "its writer may have died"
        );
        let amid = View { standing: Standing::Unconfirmed, ..view(Standing::Live, false, 15) };
        assert_eq!(announce(&View { order: Order::Bursts, ..amid }, span()), Step::Fetch);
    }

    #[test]
    fn nothing_that_is_said_inside_an_unclosed_burst_closes_it() {
        let unclosed = View {
            order: Order::UnclosedBursts,
            burst: burst(15, true),
            ..view(Standing::Live, false, 5)
        };
        assert_eq!(announce(&unclosed, span()), Step::Stay);
    }
}
