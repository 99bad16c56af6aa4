//! The rules of receiving and sending in which the releases of Synapse differ, and the eras that
//! share them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A range of releases of Synapse that share the rules of receiving and sending (`protocol.md` 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Era {
    /// v1.13 to v1.21, in which a POSITION has one token.
    E1,
    /// v1.22 to v1.95, in which it has the previous token as well.
    E2,
    /// v1.96 and later, with fewer fetches, and with announcements in the order of the rows.
    E3,
}

impl Era {
    /// All eras, oldest first.
    pub const ALL: [Self; 3] = [Self::E1, Self::E2, Self::E3];

    /// Returns the rules of typical releases of the era: for E1 the last ones, which lose least;
    /// for E2 v1.60 to v1.75; for E3 the newest.
    pub const fn rules(self) -> Rules {
        match self {
            Self::E1 => Rules::V1_18,
            Self::E2 => Rules::V1_60,
            Self::E3 => Rules::V1_157,
        }
    }

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::E1 => "e1",
            Self::E2 => "e2",
            Self::E3 => "e3",
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Era {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|era| era.name() == text)
            .ok_or_else(|| format!("{text:?} is no era; there are e1, e2 and e3"))
    }
}

/// The condition under which a POSITION makes the receiver fetch (`protocol.md` 4.3 line 13, 4.4
/// line 13', 4.5 line i).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Missing {
    /// Its token differs from the receiver's.
    TokenDiffers,
    /// Its previous token differs from the receiver's.
    PrevDiffers,
    /// The receiver's token is not between its two tokens.
    OutsideInterval,
}

/// The way in which an announcement is made (`protocol.md` 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Announcing {
    /// At once, with the current token, even if rows up to it are unsent.
    AtOnce,
    /// By the send loop, with the last token that went out, before the rows above it.
    InOrder,
}

/// The streams of which a range without rows is announced (`protocol.md` 5.3, A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Silence {
    /// None.
    Kept,
    /// Only `events`.
    BrokenForEvents,
    /// Every stream.
    Broken,
}

/// The rules of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rules {
    /// The condition under which a POSITION makes the receiver fetch.
    pub missing: Missing,
    /// Whether RDATA at or below the current token is dropped (v1.16 and later).
    pub drops_old_rdata: bool,
    /// Whether the end of a catch-up may set the position of a stream in memory back (v1.16 and
    /// later).
    pub sets_back: bool,
    /// Whether a POSITION without news is discarded while the stream is connected (v1.97 and
    /// later).
    pub discards_positions: bool,
    /// Whether a POSITION of an unknown stream ends the connection (v1.97 and later).
    pub falls_over_unknown_streams: bool,
    /// Whether two pairs of streams draw tokens from one generator each (to v1.75).
    pub shares_generators: bool,
    /// Whether a writer's position counts as at least the minimum over all writers (v1.96 and
    /// later).
    pub counts_what_all_reached: bool,
    /// The way in which announcements are made.
    pub announcing: Announcing,
    /// The streams of which a range without rows is announced.
    pub silence: Silence,
    /// Whether rows that end below the current token are followed by a POSITION (v1.78 and later).
    pub closes_after_rows: bool,
    /// Whether a writer reads its log only while a write of its own is unsent (v1.96 and later).
    pub knows_own_writes: bool,
}

impl Rules {
    /// The rules of v1.13 to v1.15, which apply old RDATA again.
    pub const V1_15: Self = Self {
        missing: Missing::TokenDiffers,
        drops_old_rdata: false,
        sets_back: false,
        discards_positions: false,
        falls_over_unknown_streams: false,
        shares_generators: true,
        counts_what_all_reached: false,
        announcing: Announcing::AtOnce,
        silence: Silence::Kept,
        closes_after_rows: false,
        knows_own_writes: false,
    };
    /// The rules of v1.18 to v1.21, the end of E1.
    pub const V1_18: Self = Self { drops_old_rdata: true, sets_back: true, ..Self::V1_15 };
    /// The rules of v1.60 to v1.75, a typical range of E2.
    pub const V1_60: Self =
        Self { missing: Missing::PrevDiffers, silence: Silence::BrokenForEvents, ..Self::V1_18 };
    /// The rules of v1.97 and later: E3.
    pub const V1_157: Self = Self {
        missing: Missing::OutsideInterval,
        discards_positions: true,
        falls_over_unknown_streams: true,
        shares_generators: false,
        counts_what_all_reached: true,
        announcing: Announcing::InOrder,
        silence: Silence::Broken,
        closes_after_rows: true,
        knows_own_writes: true,
        ..Self::V1_60
    };

    /// Returns the name of a stream's generator, under which its positions are kept.
    pub(crate) fn generator(self, stream: &str) -> &str {
        match stream {
            "tag_account_data" if self.shares_generators => "account_data",
            "user_signature" if self.shares_generators => "device_lists",
            _ => stream,
        }
    }
}
