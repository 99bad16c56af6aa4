//! The check of a page of an own log: is it what was requested? Only a page whose tokens rise
//! within its bounds is sent, and it is complete up to its end (P1, P2).

use crate::stream::{Page, Row, Span, Token};

/// A page that may be sent: whole batches with rising tokens.
#[derive(Debug)]
pub(super) struct LogPage {
    /// The token above which rows were requested.
    pub(super) from: Token,
    /// The page has every row up to here, and none above.
    pub(super) complete: Token,
    rows: Vec<(Token, Row)>,
}

impl LogPage {
    /// Checks the answer to a read of `span`.
    ///
    /// # Errors
    /// The text names the rule that the page breaks, with the numbers.
    pub(super) fn check(page: Page, span: Span) -> Result<Self, String> {
        let Span { from, upto } = span;
        let Page { updates: rows, upto: complete, limited: _ } = page;
        if complete > upto {
            return Err(format!("the page ends at {complete}, beyond {upto}"));
        }
        if complete <= from {
            return Err(format!(
                "the page ends at {complete} and so does not move on from {from} towards {upto}"
            ));
        }
        let mut last = None;
        for (token, _) in &rows {
            if *token <= from {
                return Err(format!("the page has a row at {token}, not above {from}"));
            }
            if *token > complete {
                return Err(format!("the page has a row at {token}, beyond its end {complete}"));
            }
            if let Some(last) = last.replace(*token)
                && *token < last
            {
                return Err(format!("the page has a row at {token} behind one at {last}"));
            }
        }
        Ok(Self { from, complete, rows })
    }

    /// Returns whether an outlet that has sent everything up to `cursor` can go on with this page.
    pub(super) fn continues(&self, cursor: Token) -> bool {
        self.from <= cursor && cursor < self.complete
    }

    /// Returns the batches above `cursor`, in order.
    pub(super) fn batches_above(&self, cursor: Token) -> impl Iterator<Item = &[(Token, Row)]> {
        let first = self.rows.partition_point(|(token, _)| *token <= cursor);
        self.rows[first..].chunk_by(|(left, _), (right, _)| left == right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(tokens: &[i64], end: i64) -> Result<LogPage, String> {
        let updates =
            tokens.iter().map(|token| (Token::new(*token), Row::from("[]"))).collect::<Vec<_>>();
        let page = Page { updates, upto: Token::new(end), limited: false };
        LogPage::check(page, Span::new(Token::new(2), Token::new(9)))
    }

    #[test]
    fn a_page_is_cut_into_batches() {
        let page = checked(&[3, 3, 5, 8, 8, 8], 9).unwrap();
        let lengths = |cursor| page.batches_above(Token::new(cursor)).map(<[_]>::len).collect();
        let (all, rest, none): (Vec<_>, Vec<_>, Vec<_>) = (lengths(2), lengths(3), lengths(8));
        assert_eq!((all, rest, none), (vec![2, 1, 3], vec![1, 3], vec![]));
    }

    #[test]
    fn a_page_continues_a_cursor_inside_it_only() {
        let page = checked(&[3, 5], 7).unwrap();
        let continued: Vec<_> =
            (1..=8).filter(|cursor| page.continues(Token::new(*cursor))).collect();
        assert_eq!(continued, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_page_that_breaks_its_contract_is_refused_with_the_rule() {
        for (tokens, end, rule) in [
            (&[][..], 10, "beyond 9"),
            (&[], 2, "does not move on from 2"),
            (&[], 1, "does not move on from 2"),
            (&[2], 9, "not above 2"),
            (&[3, 6], 5, "beyond its end 5"),
            (&[4, 3], 9, "row at 3 behind one at 4"),
            (&[4, 5, 4], 9, "row at 4 behind one at 5"),
        ] {
            let error = checked(tokens, end).unwrap_err();
            assert!(error.contains(rule), "{error}");
        }
    }
}
