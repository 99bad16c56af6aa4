//! The building of a page from whole batches. Batches enter in the order of their tokens; a page
//! leaves that splits none of them (F4).

use synrepl_core::{
    ByteString,
    stream::{Page, Row, Token},
};

use super::batch::rows_of;

/// Bytes of rows after which a page is full, however many rows were requested. A single batch may
/// be as long.
pub(super) const PAGE_BYTES_MAX: usize = 8 << 20;

/// A page that is being filled, batch by batch, in the order of tokens.
pub(super) struct PageBuilder {
    updates: Vec<(Token, Row)>,
    rows_max: usize,
    bytes: usize,
    last: Token,
}

impl PageBuilder {
    /// Begins a page for rows above `from`.
    pub(super) fn new(from: Token, rows_max: u32) -> Self {
        let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX);
        Self { updates: Vec::with_capacity(rows_max.min(128)), rows_max, bytes: 0, last: from }
    }

    /// Returns whether the next batch belongs into this page. The first always does, so that every
    /// page moves on.
    pub(super) fn has_room_for(&self, rows: u32, bytes: usize) -> bool {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        self.updates.is_empty()
            || (self.updates.len().saturating_add(rows) <= self.rows_max
                && self.bytes + bytes <= PAGE_BYTES_MAX)
    }

    /// Adds a whole batch, given as its text.
    pub(super) fn push(&mut self, token: Token, text: &ByteString) {
        self.bytes += text.len();
        self.last = token;
        self.updates.extend(rows_of(text).map(|row| (token, row)));
    }

    /// Ends the page at its last batch, with more rows behind it.
    pub(super) fn limited(self) -> Page {
        Page { updates: self.updates, upto: self.last, limited: true }
    }

    /// Ends the page at `bound`, with no more rows up to there.
    pub(super) fn complete(self, bound: Token) -> Page {
        Page { updates: self.updates, upto: bound, limited: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_before_the_batch_that_would_exceed_it() {
        let mut page = PageBuilder::new(Token::START, 3);
        assert!(page.has_room_for(2, 6));
        page.push(1.into(), &"[1]\n[2]".into());
        assert!(page.has_room_for(1, 3));
        assert!(!page.has_room_for(2, 6));
        assert!(!page.has_room_for(1, PAGE_BYTES_MAX - 6));
        let page = page.limited();
        assert_eq!((page.upto, page.limited, page.updates.len()), (1.into(), true, 2));
    }

    #[test]
    fn the_first_batch_always_has_room() {
        let page = PageBuilder::new(Token::START, 0);
        assert!(page.has_room_for(u32::MAX, PAGE_BYTES_MAX + 1));
    }
}
