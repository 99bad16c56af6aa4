//! What a POSITION means: five cases, live or not, resettable or not, as one table
//! (`protocol.md` 4.7).

use crate::stream::Token;

/// Where a position stands relative to an announcement `(prev, new]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Relation {
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

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Rows may be missing in `(cur, new]`.
    Fetch,
    /// Nothing is missing up to `new`.
    Advance,
    /// Nothing is missing, and the position is already at or above `new`.
    Stay,
    /// The tokens started over, or may have.
    Reset,
}

/// Columns: what is not resettable before what is; not live before live.
///
/// A resettable source that is not live is always reset: its writer may have started over while
/// nobody listened, and nothing on the wire would show it (`protocol.md` H10, `X6`). A source
/// that is not resettable never goes back: a lower announcement is an old or a timid one.
const TABLE: [(Relation, [[Verdict; 2]; 2]); 5] = {
    use self::{Relation::*, Verdict::*};
    [
        (Behind, [[Fetch, Fetch], [Reset, Fetch]]),
        (AtPrev, [[Advance, Advance], [Reset, Advance]]),
        (Inside, [[Advance, Advance], [Reset, Advance]]),
        (AtNew, [[Stay, Stay], [Reset, Stay]]),
        (Ahead, [[Stay, Stay], [Reset, Reset]]),
    ]
};

impl Relation {
    /// A writer that claims `prev > new` is taken to have said nothing of what lies between.
    pub(super) fn of(cur: Token, prev: Token, new: Token) -> Self {
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

    pub(super) const fn verdict(self, live: bool, resettable: bool) -> Verdict {
        TABLE[self as usize].1[resettable as usize][live as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_cases() {
        for (index, (relation, _)) in TABLE.iter().enumerate() {
            assert_eq!(*relation as usize, index);
        }
    }

    #[test]
    fn every_pair_of_tokens_falls_into_the_case_that_its_order_says() {
        let of = |cur, prev, new| Relation::of(Token::new(cur), Token::new(prev), Token::new(new));
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
}
