//! A page of whole batches.

use synrepl_core::{
    ByteString,
    stream::{Page, Row, Token},
};

use super::batch::rows_of;

/// Bytes of rows after which a page is full, however many rows were asked for. A single batch may
/// be as long.
pub(super) const PAGE_BYTES_MAX: usize = 8 << 20;

/// A page that is being filled, batch by batch, in order of tokens.
pub(super) struct PageBuilder {
    updates: Vec<(Token, Row)>,
    rows_max: usize,
    bytes: usize,
    last: Token,
}

impl PageBuilder {
    /// An empty page for rows above `from`.
    pub(super) fn new(from: Token, rows_max: u32) -> Self {
        let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX);
        Self { updates: Vec::with_capacity(rows_max.min(128)), rows_max, bytes: 0, last: from }
    }

    /// Whether the next batch belongs into this page. The first always does, so that every page
    /// moves on.
    pub(super) fn has_room_for(&self, rows: u32, bytes: usize) -> bool {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        self.updates.is_empty()
            || (self.updates.len().saturating_add(rows) <= self.rows_max
                && self.bytes + bytes <= PAGE_BYTES_MAX)
    }

    /// Adds a whole batch.
    pub(super) fn push(&mut self, token: Token, text: &ByteString) {
        self.bytes += text.len();
        self.last = token;
        self.updates.extend(rows_of(text).map(|row| (token, row)));
    }

    /// The page, with more behind its last batch.
    pub(super) fn limited(self) -> Page {
        Page { updates: self.updates, upto: self.last, limited: true }
    }

    /// The page, with nothing more up to `bound`.
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
