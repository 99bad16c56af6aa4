//! Anchors: rows that were delivered, by which it is seen whether a log is still the one that they
//! came from (F11).
//!
//! What enters: delivered rows, and when. What leaves: a few tokens with the digests of their rows,
//! the four newest ones and four more at growing distances. A digest costs far more than a delivery,
//! so not every row becomes an anchor: one in a while, and one in so many rows.

use std::{fmt, hash, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
    ser::SerializeSeq as _,
};

use super::{Compared, Row, Rows, StreamTraits, Token, digest::digest, traits};
use crate::time::Timestamp;

/// The anchors that are kept of one source.
const KEPT: usize = 8;
/// The newest of them, which no older one gives way to.
const NEWEST: usize = 4;
/// The rows of one token that are kept as digests: most tokens have one or two.
const ROWS: usize = 2;
/// What stands for the rows of a token beyond these in a saved anchor.
const MORE: &str = "+";

/// A token of which rows were delivered, and what they were.
///
/// As JSON: `[120, "00c4f1a2b3d4e5f6"]`, the token and a digest for each row; a last `"+"` says that
/// there were more rows than are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Anchor {
    token: Token,
    /// The first `kept` of them count.
    digests: [u64; ROWS],
    kept: u8,
    has_more: bool,
}

/// What a page says of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A row that was delivered stands there.
    Found,
    /// Rows stand under its token, and none of those that were delivered.
    Contradicted,
    /// It says nothing: no row stands under its token, or what stands there proves nothing.
    Absent,
}

impl Anchor {
    /// Creates the anchor of the rows that `stream` has under a token.
    pub(crate) fn new(stream: &str, token: Token, rows: &Rows) -> Self {
        let mut anchor = Self::at(token);
        for row in rows.iter() {
            anchor.push(|| digest(stream, row));
        }
        anchor
    }

    const fn at(token: Token) -> Self {
        Self { token, digests: [0; ROWS], kept: 0, has_more: false }
    }

    fn push(&mut self, digest: impl FnOnce() -> u64) {
        match self.digests.get_mut(usize::from(self.kept)) {
            Some(place) => {
                *place = digest();
                self.kept += 1;
            }
            None => self.has_more = true,
        }
    }

    fn digests(&self) -> &[u64] {
        &self.digests[..usize::from(self.kept)]
    }

    /// Returns the token under which the rows were delivered.
    pub const fn token(&self) -> Token {
        self.token
    }

    /// Compares the anchor with the rows that a page has under its token; `is_whole` unless it may
    /// lack some of them.
    ///
    /// Where other rows prove nothing, that there are any does so in a stream of which an instance
    /// answers with its own rows: another one has none under this token.
    pub(crate) fn compare<'a>(
        &self,
        stream: &str,
        rows: impl Iterator<Item = &'a Row>,
        is_whole: bool,
    ) -> Finding {
        let mut any = false;
        for row in rows {
            any = true;
            if self.digests().contains(&digest(stream, row)) {
                return Finding::Found;
            }
        }
        let StreamTraits { compared, own_rows_only, .. } = traits(stream);
        match compared {
            _ if !any => Finding::Absent,
            Compared::Yes if is_whole && !self.has_more => Finding::Contradicted,
            Compared::Yes | Compared::WhereFound | Compared::No if own_rows_only => Finding::Found,
            Compared::Yes | Compared::WhereFound | Compared::No => Finding::Absent,
        }
    }
}

impl Serialize for Anchor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_seq(None)?;
        parts.serialize_element(&self.token)?;
        for digest in self.digests() {
            parts.serialize_element(&format_args!("{digest:016x}"))?;
        }
        if self.has_more {
            parts.serialize_element(MORE)?;
        }
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Anchor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Anchor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of a token and the digests of its rows, 16 hex digits each")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Anchor, A::Error> {
                let token = parts
                    .next_element()?
                    .ok_or_else(|| A::Error::custom("an anchor begins with its token"))?;
                let mut anchor = Anchor::at(token);
                while let Some(part) = parts.next_element::<String>()? {
                    if part == MORE {
                        anchor.has_more = true;
                        continue;
                    }
                    let digest = u64::from_str_radix(&part, 16).map_err(|_| {
                        A::Error::custom(format!("{part:?} is no digest of 16 hex digits"))
                    })?;
                    anchor.push(|| digest);
                }
                Ok(anchor)
            }
        }

        deserializer.deserialize_seq(Parts)
    }
}

/// The anchors of one source, and when the next row becomes one.
///
/// Anchors are equal if they hold the same rows: the pace is no part of what is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anchors {
    /// By rising token.
    list: Vec<Anchor>,
    renew_at: Timestamp,
    /// The tokens that were passed over since the last anchor.
    passed: u32,
}

impl PartialEq for Anchors {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Anchors {}

impl hash::Hash for Anchors {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.list.hash(state);
    }
}

impl Anchors {
    /// Nothing is remembered.
    pub(crate) const NONE: Self = Self { list: Vec::new(), renew_at: Timestamp::ZERO, passed: 0 };

    /// Creates the anchors that were saved with a position: those above it say nothing, and of too
    /// many the lowest are left out.
    pub(crate) fn saved(mut list: Vec<Anchor>, position: Token) -> Self {
        list.retain(|anchor| anchor.token <= position && anchor.kept > 0);
        list.sort_by_key(|anchor| anchor.token);
        list.dedup_by_key(|anchor| anchor.token);
        list.drain(..list.len().saturating_sub(KEPT));
        Self { list, ..Self::default() }
    }

    /// Returns the anchors at or below `position`, the newest first.
    pub(crate) fn upto(&self, position: Token) -> impl Iterator<Item = &Anchor> {
        self.list.iter().rev().filter(move |anchor| anchor.token <= position)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns whether so much time has passed since the last anchor that the next rows are to be
    /// one.
    #[inline]
    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        self.renew_at <= now
    }

    /// Counts a delivered token; returns whether its rows are to become an anchor: `every` has
    /// passed since the last one, or `rows_max` tokens.
    #[inline]
    pub(crate) fn is_due(&mut self, now: Timestamp, rows_max: u32) -> bool {
        self.passed = self.passed.saturating_add(1);
        self.renew_at <= now || self.passed >= rows_max
    }

    /// Keeps the rows of a token, unless it lies below one that is kept. The next row is due `every`
    /// later. Returns the anchor, if it is kept.
    #[cold]
    pub(crate) fn push(
        &mut self,
        anchor: Anchor,
        now: Timestamp,
        every: Duration,
    ) -> Option<&Anchor> {
        (self.renew_at, self.passed) = (now + every, 0);
        if self.list.last().is_some_and(|last| last.token >= anchor.token) {
            return None;
        }
        // Most sources never have as many as are kept.
        self.list.reserve_exact(1);
        self.list.push(anchor);
        if self.list.len() > KEPT {
            self.list.remove(self.nearest_to_others());
        }
        self.list.last()
    }

    /// Forgets what lies above `token`: the tokens above it are given out again.
    pub(crate) fn forget_above(&mut self, token: Token) {
        self.list.retain(|anchor| anchor.token <= token);
        self.renew_at = Timestamp::ZERO;
    }

    /// Returns the place of the older anchor whose neighbours lie at the most similar distances from
    /// the newest one, so that distances grow by about the same factor without it.
    fn nearest_to_others(&self) -> usize {
        let newest = self.list.last().map_or(Token::START, |last| last.token);
        let far = |place: usize| u128::from(newest.distance_from(self.list[place].token));
        let older = self.list.len() - NEWEST;
        // a/b < c/d without a division.
        let nearer = |one: usize, other: usize| {
            far(one - 1) * far(other + 1) < far(other - 1) * far(one + 1)
        };
        (1..older).reduce(|best, place| if nearer(place, best) { place } else { best }).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(token: i64) -> Anchor {
        Anchor::new("pushers", Token::new(token), &Row::from(format!("[{token}]").as_str()).into())
    }

    fn tokens(anchors: &Anchors) -> Vec<i64> {
        anchors.list.iter().map(|anchor| anchor.token.get()).collect()
    }

    #[test]
    fn the_four_newest_are_kept_and_four_more_at_growing_distances() {
        let mut anchors = Anchors::default();
        for token in 1..=1_000 {
            anchors.push(anchor(token), Timestamp::ZERO, Duration::ZERO);
        }
        let kept = tokens(&anchors);
        assert_eq!(kept[4..], [997, 998, 999, 1_000]);
        let distances: Vec<_> = kept[..4].iter().map(|token| 1_000 - token).collect();
        assert!(distances.windows(2).all(|pair| pair[0] >= 2 * pair[1]), "{distances:?}");
    }

    #[test]
    fn a_row_is_due_after_a_while_and_after_so_many_rows() {
        let second = Duration::from_secs(1);
        let mut anchors = Anchors::default();
        assert!(anchors.is_due(Timestamp::ZERO, 3));
        anchors.push(anchor(1), Timestamp::ZERO, second);
        let due: Vec<_> = (0..3).map(|_| anchors.is_due(Timestamp::ZERO, 3)).collect();
        assert_eq!(due, [false, false, true], "the third row");
        anchors.push(anchor(4), Timestamp::ZERO, second);
        assert!(anchors.is_due(Timestamp::ZERO + second, 3), "a second later");
    }

    #[test]
    fn what_stands_under_the_token_decides() {
        let two = Anchor::new(
            "pushers",
            Token::new(5),
            &Rows::new(vec![Row::from("[1]"), Row::from("[2]")]).expect("two"),
        );
        let finding = |rows: &[&str]| {
            let rows: Vec<_> = rows.iter().map(|row| Row::from(*row)).collect();
            two.compare("pushers", rows.iter(), true)
        };
        assert_eq!(finding(&["[3]", "[2]"]), Finding::Found, "one of them is enough");
        assert_eq!(finding(&["[3]"]), Finding::Contradicted);
        assert_eq!(finding(&[]), Finding::Absent);
    }

    #[test]
    fn of_more_rows_than_are_kept_others_contradict_nothing() {
        let rows = (0..9).map(|number| Row::from(format!("[{number}]").as_str())).collect();
        let many = Anchor::new("pushers", Token::new(5), &Rows::new(rows).expect("nine"));
        assert_eq!(many.compare("pushers", [Row::from("[8]")].iter(), true), Finding::Absent);
        assert_eq!(many.compare("pushers", [Row::from("[1]")].iter(), true), Finding::Found);
    }

    #[test]
    fn where_other_rows_prove_nothing_that_there_are_any_shows_the_instance() {
        let finding = |stream: &str, row: &str, is_whole| {
            let one = Anchor::new(stream, Token::new(5), &Row::from("[1]").into());
            one.compare(stream, [Row::from(row)].iter(), is_whole)
        };
        assert_eq!(finding("presence", "[2]", true), Finding::Found, "it changes in place");
        assert_eq!(finding("backfill", "[2]", false), Finding::Found, "ours may be cut off");
        assert_eq!(finding("backfill", "[2]", true), Finding::Contradicted);
        assert_eq!(finding("pushers", "[2]", false), Finding::Absent, "any instance has them");
        assert_eq!(finding("pushers", "[1]", false), Finding::Found);
    }

    #[test]
    fn saved_anchors_are_read_back_and_those_above_the_position_left_out() {
        let mut list: Vec<_> = (1..=20).map(anchor).collect();
        let text = serde_json::to_string(&list[7]).expect("JSON");
        assert_eq!(serde_json::from_str::<Anchor>(&text).expect("an anchor"), list[7]);
        list.reverse();
        assert_eq!(tokens(&Anchors::saved(list, Token::new(15))), [8, 9, 10, 11, 12, 13, 14, 15]);
    }
}
