//! The check of a fetched page: is it what was requested? (`protocol.md` 6.1, 7.5, H12, H15; known
//! bugs A24, A25, A27)
//!
//! What enters: a page, the span that was requested, and the traits of the stream. What leaves:
//! rows that may be applied, with the token up to which they are complete, so that nothing is
//! passed over in silence (F2); or the reason why there are none.

use crate::stream::{Order, Page, Row, Rows, Span, StreamTraits, Token};

/// A page that may be applied: its rows sorted by token, all in `(from, complete]`. In a loose
/// stream rows may also lie above.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Checked {
    /// The token above which rows were requested.
    pub(super) from: Token,
    pub(super) rows: Vec<(Token, Row)>,
    /// Every row up to here is in the page.
    pub(super) complete: Token,
    /// Whether rows of the token `complete` may be missing and cannot be requested.
    pub(super) split: bool,
    /// The number of rows that were left out, as they lie at or below `from`.
    pub(super) repeated: u64,
}

/// The result of the check.
pub(super) enum Judgement {
    Apply(Checked),
    /// The page cannot be used as it is; fewer tokens are to be requested at once.
    Narrow,
    /// The page breaks its own rules, in the way that the text says.
    Unusable(String),
}

/// Checks the answer to a fetch of `span`.
pub(super) fn judge(page: Page, span: Span, traits: StreamTraits) -> Judgement {
    let Span { from, upto } = span;
    let Page { updates: mut rows, upto: mut complete, mut limited } = page;
    let single = span.len() <= 1;
    if complete > upto {
        if !traits.overruns {
            return Judgement::Unusable(format!("it ends at {complete}, beyond {upto}"));
        }
        // Whatever was cut off lies above the requested tokens.
        complete = upto;
        limited = false;
    }
    if complete <= from {
        return Judgement::Unusable(format!(
            "it ends at {complete} and so does not move on from {from} towards {upto}"
        ));
    }
    if let Some((token, _)) = rows.iter().find(|(token, _)| *token > complete)
        && !traits.overruns
        && !matches!(traits.order, Order::Bursts | Order::UnclosedBursts)
    {
        return Judgement::Unusable(format!("it has a row at {token}, beyond its end {complete}"));
    }
    // A page that ends below what was requested, but is not `limited`, is whole as far as it goes:
    // some streams end theirs at their last row.
    let disorderly =
        traits.order == Order::UnclosedBursts && !rows.is_sorted_by_key(|(token, _)| *token);
    let pages_fall = traits.order == Order::Bursts || disorderly;
    if pages_fall && (limited || complete < upto) {
        // Pages of these streams start with the highest tokens and claim to be complete up to the
        // lowest: a follower that believed it would lose the rows below that one.
        if !single {
            return Judgement::Narrow;
        }
        complete = upto;
    }
    let in_page = rows.len();
    rows.retain(|(token, _)| *token > from);
    let repeated = (in_page - rows.len()) as u64;
    if traits.order != Order::Loose {
        // Rows above the end come again, live or in a later page.
        rows.retain(|(token, _)| *token <= complete);
    }
    rows.sort_by_key(|(token, _)| *token);
    let mut split = pages_fall && limited;
    if limited && traits.splits_tokens && !pages_fall {
        let cut = rows.partition_point(|(token, _)| *token < complete);
        let last = rows.len() - cut;
        if last > 0 && complete.before() > from {
            if traits.order != Order::Loose {
                rows.truncate(cut);
            }
            complete = complete.before();
        } else if last > 0 && !single {
            return Judgement::Narrow;
        } else if last > 0 {
            split = true;
        }
    }
    Judgement::Apply(Checked { from, rows, complete, split, repeated })
}

/// Splits the rows of a page, which are sorted by token, into those of each token.
pub(super) fn by_token(rows: Vec<(Token, Row)>) -> impl Iterator<Item = (Token, Rows)> {
    let mut rows = rows.into_iter().peekable();
    std::iter::from_fn(move || {
        let (token, first) = rows.next()?;
        let mut group = Rows::from(first);
        while let Some((_, row)) = rows.next_if(|(next, _)| *next == token) {
            group.push(row);
        }
        Some((token, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::traits;

    fn page(tokens: &[i64], upto: i64, limited: bool) -> Page {
        let updates =
            tokens.iter().map(|token| (Token::new(*token), Row::from("[]"))).collect::<Vec<_>>();
        Page { updates, upto: Token::new(upto), limited }
    }

    fn judged(stream: &str, page: Page, from: i64, upto: i64) -> String {
        match judge(page, Span::new(Token::new(from), Token::new(upto)), traits(stream)) {
            Judgement::Apply(Checked { rows, complete, split, .. }) => {
                let tokens: Vec<_> = rows.iter().map(|(token, _)| token.get()).collect();
                format!("{tokens:?} to {complete}{}", if split { " split" } else { "" })
            }
            Judgement::Narrow => "narrow".to_owned(),
            Judgement::Unusable(_) => "unusable".to_owned(),
        }
    }

    #[test]
    fn a_whole_page_is_applied_to_its_end() {
        assert_eq!(judged("pushers", page(&[3, 5], 9, false), 2, 9), "[3, 5] to 9");
        assert_eq!(judged("pushers", page(&[], 9, false), 2, 9), "[] to 9");
    }

    #[test]
    fn rows_that_are_out_of_order_are_sorted_and_old_ones_left_out() {
        assert_eq!(judged("account_data", page(&[5, 2, 4, 3], 9, false), 2, 9), "[3, 4, 5] to 9");
    }

    #[test]
    fn a_page_that_does_not_move_is_unusable() {
        assert_eq!(judged("events", page(&[], 2, true), 2, 9), "unusable");
        assert_eq!(judged("events", page(&[], 2, false), 2, 9), "unusable");
        assert_eq!(judged("events", page(&[], 1, true), 2, 9), "unusable");
    }

    #[test]
    fn a_page_beyond_what_was_asked_is_unusable_but_in_caches() {
        assert_eq!(judged("events", page(&[3], 12, false), 2, 9), "unusable");
        assert_eq!(judged("events", page(&[10], 9, false), 2, 9), "unusable");
        assert_eq!(judged("caches", page(&[3, 369], 369, true), 2, 9), "[3, 369] to 9");
    }

    #[test]
    fn a_row_beyond_the_end_is_left_for_later_in_federation() {
        assert_eq!(judged("federation", page(&[3, 10], 9, false), 2, 9), "[3] to 9");
    }

    #[test]
    fn the_last_token_of_a_limited_page_is_asked_for_again() {
        assert_eq!(judged("receipts", page(&[3, 4, 4], 4, true), 2, 9), "[3] to 3");
        assert_eq!(judged("events", page(&[3, 4, 4], 4, true), 2, 9), "[3, 4, 4] to 4");
    }

    #[test]
    fn a_limited_page_of_one_token_is_asked_for_alone_and_then_taken_as_it_is() {
        assert_eq!(judged("receipts", page(&[3, 3], 3, true), 2, 9), "narrow");
        assert_eq!(judged("receipts", page(&[3, 3], 3, false), 2, 3), "[3, 3] to 3");
        assert_eq!(judged("receipts", page(&[3, 3], 3, true), 2, 3), "[3, 3] to 3 split");
        assert_eq!(judged("receipts", page(&[3], 3, true), 2, 3), "[3] to 3 split");
    }

    #[test]
    fn a_page_that_ends_at_its_last_row_without_saying_limited_is_whole_up_to_there() {
        assert_eq!(
            judged("thread_subscriptions", page(&[3, 5, 5], 5, false), 2, 9),
            "[3, 5, 5] to 5"
        );
        assert_eq!(judged("backfill", page(&[5, 3], 5, false), 2, 9), "narrow");
    }

    #[test]
    fn a_limited_page_without_its_last_token_is_complete() {
        assert_eq!(judged("to_device", page(&[], 102, true), 2, 900), "[] to 102");
        assert_eq!(judged("to_device", page(&[50], 102, true), 2, 900), "[50] to 102");
    }

    #[test]
    fn a_limited_page_of_backfill_is_asked_for_in_smaller_windows() {
        assert_eq!(judged("backfill", page(&[9, 8, 7], 7, true), 2, 9), "narrow");
        assert_eq!(judged("backfill", page(&[9, 8, 7], 9, false), 2, 9), "[7, 8, 9] to 9");
        assert_eq!(judged("backfill", page(&[3, 3], 3, true), 2, 3), "[3, 3] to 3 split");
    }

    #[test]
    fn rows_that_were_left_out_as_old_are_counted() {
        let page = page(&[1, 2, 2, 3], 9, false);
        let judgement = judge(page, Span::new(Token::new(2), Token::new(9)), traits("events"));
        let Judgement::Apply(checked) = judgement else { panic!("the page is good") };
        assert_eq!((checked.rows.len(), checked.repeated), (1, 3));
    }

    #[test]
    fn disorder_in_a_page_of_a_stream_in_order_is_sorted_and_not_narrowed() {
        assert_eq!(judged("events", page(&[4, 3], 4, true), 2, 9), "[3, 4] to 4");
    }
}
