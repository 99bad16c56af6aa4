//! The decision about the rows of one token: one pure function (`protocol.md` 4.6, 12.2).
//!
//! What enters: the [`View`] of a follower. What leaves: the [`Step`] that the follower carries
//! out. Keeps F1 to F4, and F10.

use crate::stream::Order;

/// What a follower knows when the last row of a token is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub(super) struct View {
    pub(super) standing: Standing,
    pub(super) order: Order,
    /// Whether all rows of the token are at hand.
    pub(super) whole: bool,
    /// Whether rows were lost that may lie below the token.
    pub(super) hole: bool,
    /// Whether the token lies above all that the writer is known to have reached.
    pub(super) above: bool,
    /// Whether the tokens may start over while the connection stands.
    pub(super) may_restart: bool,
    /// Whether the tokens may start over at all.
    pub(super) resettable: bool,
    pub(super) history: History,
    /// Whether missed rows come over the connection itself. The announcement of the writer's
    /// position is then on its way.
    pub(super) in_band: bool,
    /// Whether the writer can be requested to announce its position: an observer cannot do so.
    pub(super) may_request: bool,
    /// Whether the token lies at or below the position and no row of it was delivered.
    pub(super) undelivered: bool,
}

/// Whether the position is confirmed on the present connection, and whether rows are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Not confirmed on the present connection.
    Unconfirmed,
    /// Something that was received does not fit the position, or could not be read: the writer is
    /// requested to announce its position.
    Doubted,
    CatchingUp,
    Live,
}

/// The rows of the source that were delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum History {
    /// The source has no position.
    Unknown,
    /// The source stands at its start: no row was delivered.
    Nothing,
    /// The source stands above its start, or rows of it were delivered.
    Rows,
}

/// What follows from the rows of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// They are delivered.
    Deliver,
    /// They were delivered before, and are only counted.
    Repeat,
    /// They lie at or below the position and were not delivered before: they are, and the position
    /// stays.
    DeliverBelow,
    /// They are held until the catch-up has ended.
    Hold,
    /// They are held, and the writer's position is requested: they are late, or the first of a
    /// writer that has started over, and only the writer can tell.
    HoldAndRequest,
    /// They could not be used: everything up to their token is fetched.
    Fetch,
    /// They could not be used, and may be of a writer that has started over: its position is
    /// requested.
    RequestPosition,
    /// They are held until the writer's position is announced.
    Wait,
    /// They show that the writer has reached their token, which counts as an announcement:
    /// everything up to there is fetched.
    FetchOnEvidence,
    /// The same, of a writer that may have started over: the source is reset first.
    ResetOnEvidence,
}

impl View {
    /// Returns whether a position that is not confirmed needs an announcement, because rows do not
    /// suffice. In a burst, rows with higher tokens may have been missed; and where a restart is
    /// suspected, a row does not prove one. An observer cannot request an announcement, and a
    /// stream in its writer's memory may have none without a request: there the suspicion counts as
    /// true. In the oldest dialect the announcement is on its way, and no row can come before it.
    const fn needs_announcement(&self) -> bool {
        let suspects = self.resettable && matches!(self.standing, Standing::Doubted);
        match self.order {
            Order::Bursts => true,
            Order::UnclosedBursts => self.in_band || self.may_request,
            Order::Rising | Order::Loose => self.in_band || (suspects && self.may_request),
        }
    }

    /// Returns whether the writer counts as having started over. A source of which nothing was
    /// delivered has nothing to start over but a fetch, and a resettable one has a fetch only while
    /// it is doubted: the end of a connection ends it.
    fn has_started_over(&self) -> bool {
        self.resettable
            && match self.history {
                History::Unknown => false,
                History::Nothing => self.standing == Standing::Doubted,
                History::Rows => true,
            }
    }
}

/// Decides on the rows of one token.
pub(super) fn receive(view: &View) -> Step {
    let is_behind = view.may_restart && !view.above;
    match view.standing {
        Standing::Live if view.whole && !view.hole => match view.order {
            Order::Rising | Order::Bursts if view.above => Step::Deliver,
            Order::Rising if view.may_restart => Step::HoldAndRequest,
            Order::Rising if view.undelivered => Step::DeliverBelow,
            Order::Rising | Order::Bursts => Step::Repeat,
            Order::UnclosedBursts | Order::Loose => Step::Deliver,
        },
        Standing::CatchingUp if view.whole && !view.hole => {
            if is_behind {
                Step::HoldAndRequest
            } else {
                Step::Hold
            }
        }
        Standing::Live | Standing::CatchingUp => {
            if is_behind {
                Step::RequestPosition
            } else {
                Step::Fetch
            }
        }
        Standing::Unconfirmed | Standing::Doubted if view.needs_announcement() => Step::Wait,
        Standing::Unconfirmed | Standing::Doubted if view.has_started_over() => {
            Step::ResetOnEvidence
        }
        Standing::Unconfirmed | Standing::Doubted => Step::FetchOnEvidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::table;

    const CLASSES: [(&str, Order, bool); 5] = [
        ("rising", Order::Rising, false),
        ("rising, can start over", Order::Rising, true),
        ("bursts", Order::Bursts, false),
        ("unclosed bursts", Order::UnclosedBursts, false),
        ("loose", Order::Loose, false),
    ];
    const STANDINGS: [(Standing, &str); 4] = [
        (Standing::Unconfirmed, "unconfirmed"),
        (Standing::Doubted, "doubted"),
        (Standing::CatchingUp, "catching up"),
        (Standing::Live, "live"),
    ];

    fn view(standing: Standing, order: Order, can_start_over: bool) -> View {
        View {
            standing,
            order,
            whole: true,
            hole: false,
            above: true,
            may_restart: can_start_over,
            resettable: can_start_over,
            history: History::Rows,
            in_band: false,
            may_request: true,
            undelivered: false,
        }
    }

    #[test]
    fn every_cell_is_as_the_documents_have_it() {
        let mut shown =
            table::Table::new(&["class", "rows", "token"], &STANDINGS.map(|(_, name)| name));
        for (class, order, can_start_over) in CLASSES {
            for (whole, rows) in [(true, "whole"), (false, "torn")] {
                for (above, token) in [(true, "above"), (false, "at or below")] {
                    let cells = STANDINGS.map(|(standing, _)| {
                        let view = View { whole, above, ..view(standing, order, can_start_over) };
                        format!("{:?}", receive(&view))
                    });
                    shown.row(&[class, rows, token], &cells);
                }
            }
        }
        shown.compare("receive");
    }

    #[test]
    fn a_late_row_is_delivered_unless_it_was_or_the_tokens_may_start_over() {
        let late = |order, can_start_over| {
            let view = view(Standing::Live, order, can_start_over);
            receive(&View { above: false, undelivered: true, ..view })
        };
        assert_eq!(late(Order::Rising, false), Step::DeliverBelow);
        assert_eq!(late(Order::Rising, true), Step::HoldAndRequest);
        assert_eq!(late(Order::Bursts, false), Step::Repeat);
    }

    #[test]
    fn whole_rows_behind_a_hole_are_fetched_with_it() {
        for above in [true, false] {
            let torn = View { whole: false, above, ..view(Standing::Live, Order::Rising, false) };
            let behind = View { whole: true, hole: true, ..torn };
            assert_eq!(receive(&behind), receive(&torn));
        }
    }

    #[test]
    fn an_observer_who_cannot_ask_takes_a_suspicion_for_true() {
        let doubted = view(Standing::Doubted, Order::Rising, true);
        assert_eq!(receive(&doubted), Step::Wait);
        assert_eq!(receive(&View { may_request: false, ..doubted }), Step::ResetOnEvidence);
        let unclosed = view(Standing::Unconfirmed, Order::UnclosedBursts, false);
        assert_eq!(receive(&View { may_request: false, ..unclosed }), Step::FetchOnEvidence);
    }

    #[test]
    fn a_source_of_which_nothing_was_delivered_has_nothing_to_start_over() {
        let of = |standing, history| {
            let view = view(standing, Order::Rising, true);
            receive(&View { history, may_request: false, ..view })
        };
        assert_eq!(of(Standing::Unconfirmed, History::Unknown), Step::FetchOnEvidence);
        assert_eq!(of(Standing::Unconfirmed, History::Nothing), Step::FetchOnEvidence);
        assert_eq!(of(Standing::Unconfirmed, History::Rows), Step::ResetOnEvidence);
        assert_eq!(of(Standing::Doubted, History::Unknown), Step::FetchOnEvidence);
        assert_eq!(of(Standing::Doubted, History::Nothing), Step::ResetOnEvidence);
    }

    #[test]
    fn in_the_oldest_dialect_no_row_comes_before_the_announcement() {
        for (_, order, can_start_over) in CLASSES {
            let view = view(Standing::Unconfirmed, order, can_start_over);
            assert_eq!(receive(&View { in_band: true, may_request: true, ..view }), Step::Wait);
        }
    }
}
