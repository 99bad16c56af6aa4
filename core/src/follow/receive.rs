//! What rows mean: one pure function (`protocol.md` 4.6, 12.2).

use crate::stream::Order;

/// What a follower knows when the last row of a token comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub(super) struct View {
    pub(super) standing: Standing,
    pub(super) order: Order,
    /// All rows of the token are there.
    pub(super) whole: bool,
    /// Rows above the position were lost.
    pub(super) hole: bool,
    /// The token lies above all that the writer is known to have reached.
    pub(super) above: bool,
    /// The tokens may start over, now that the connection stands.
    pub(super) may_restart: bool,
    /// The tokens may start over at all.
    pub(super) resettable: bool,
    pub(super) history: History,
    /// Missed rows come over the connection itself, and the writer's position is on its way.
    pub(super) in_band: bool,
    /// The writer can be asked for its position.
    pub(super) may_ask: bool,
}

/// What is known of the writer's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Not confirmed on the present connection.
    Unconfirmed,
    /// Something contradicts the position; the writer was asked where it stands.
    Doubted,
    CatchingUp,
    Live,
}

/// What was delivered of the source before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum History {
    /// The source has no position.
    Unknown,
    /// It stands at its start: nothing was ever delivered.
    Nothing,
    Rows,
}

/// Everything that follows from the rows of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Hand them to the application.
    Deliver,
    /// They were delivered before.
    Repeat,
    /// Keep them until the catch-up has ended.
    Hold,
    /// Keep them, and ask the writer for its position: they are late, or the first of a writer that
    /// has started over, and only it can tell.
    HoldAndAsk,
    /// They could not be used: fetch up to their token.
    Fetch,
    /// They could not be used, and may be of a writer that has started over: ask it for its position.
    Ask,
    /// Keep them, and wait for the writer's position.
    Wait,
    /// They show that the writer has come as far as their token, which is as good as an announcement:
    /// fetch up to there.
    FetchOnEvidence,
    /// The same, of a writer that may have started over: begin again.
    ResetOnEvidence,
}

impl View {
    /// Whether a position that is not confirmed needs an announcement. In a burst, rows with higher
    /// tokens may have been missed, and where a restart is suspected a row says too little. An observer
    /// cannot ask for an announcement, which in memory may never come by itself: it takes the
    /// suspicion for true. In the oldest dialect the announcement is on its way, and no row can
    /// come before it.
    const fn needs_announcement(&self) -> bool {
        let suspects = self.resettable && matches!(self.standing, Standing::Doubted);
        match self.order {
            Order::Bursts => true,
            Order::UnclosedBursts => self.in_band || self.may_ask,
            Order::Rising | Order::Loose => self.in_band || (suspects && self.may_ask),
        }
    }

    /// Whether the writer is taken to have started over. One whose source was never delivered from has
    /// nothing to start over; where tokens can start over, only the suspicion finds a fetch under way.
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
            Order::Rising if view.may_restart => Step::HoldAndAsk,
            Order::Rising | Order::Bursts => Step::Repeat,
            Order::UnclosedBursts | Order::Loose => Step::Deliver,
        },
        Standing::CatchingUp if view.whole => {
            if is_behind {
                Step::HoldAndAsk
            } else {
                Step::Hold
            }
        }
        Standing::Live | Standing::CatchingUp => {
            if is_behind {
                Step::Ask
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
            may_ask: true,
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
        assert_eq!(receive(&View { may_ask: false, ..doubted }), Step::ResetOnEvidence);
        let unclosed = view(Standing::Unconfirmed, Order::UnclosedBursts, false);
        assert_eq!(receive(&View { may_ask: false, ..unclosed }), Step::FetchOnEvidence);
    }

    #[test]
    fn a_source_of_which_nothing_was_delivered_has_nothing_to_start_over() {
        let of = |standing, history| {
            let view = view(standing, Order::Rising, true);
            receive(&View { history, may_ask: false, ..view })
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
            assert_eq!(receive(&View { in_band: true, may_ask: true, ..view }), Step::Wait);
        }
    }
}
