//! In what the eras differ.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The releases of Synapse that share the rules of receiving and sending (`protocol.md` 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Era {
    /// v1.13 to v1.21: a POSITION has one token.
    E1,
    /// v1.22 to v1.95: it has the previous one as well.
    E2,
    /// v1.96 until today: fewer fetches, and announcements in the order of the rows.
    E3,
}

impl Era {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::E1, Self::E2, Self::E3];

    /// The rules of the era's typical release: for E1 its last ones, which are the kindest to it;
    /// for E2 v1.60 to v1.75; for E3 those of today.
    pub const fn rules(self) -> Rules {
        match self {
            Self::E1 => Rules::V1_18,
            Self::E2 => Rules::V1_60,
            Self::E3 => Rules::V1_157,
        }
    }

    /// The name on the command line.
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

/// When a POSITION makes the receiver fetch (`protocol.md` 4.3 line 13, 4.4 line 13', 4.5 line i).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Missing {
    /// Its token is not the receiver's.
    TokenDiffers,
    /// Its previous token is not the receiver's.
    PrevDiffers,
    /// The receiver's token is not between its two.
    OutsideInterval,
}

/// How an announcement is made (`protocol.md` 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Announcing {
    /// At once, of the current token, whatever is still unsent.
    AtOnce,
    /// By the send loop, of the last token that went out, before the rows above it.
    InOrder,
}

/// When a look that found no rows is told to the others (`protocol.md` 5.3, A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Silence {
    /// Never.
    Kept,
    /// For the stream `events` only.
    BrokenForEvents,
    /// For every stream.
    Broken,
}

/// The rules of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rules {
    /// When a POSITION makes the receiver fetch.
    pub missing: Missing,
    /// RDATA at or below the current token is dropped (v1.16 and later).
    pub drops_old_rdata: bool,
    /// The end of a catch-up sets the position of streams that live in memory back (v1.16 and
    /// later).
    pub sets_back: bool,
    /// A POSITION that tells nothing new is discarded while the stream is connected (v1.97 and
    /// later).
    pub discards_positions: bool,
    /// A POSITION of a stream that is not known ends the connection (v1.97 and later).
    pub falls_over_unknown_streams: bool,
    /// Two pairs of streams draw from one generator each (to v1.75).
    pub shares_generators: bool,
    /// A writer counts as being at least where all of them are known to be (v1.96 and later).
    pub counts_what_all_reached: bool,
    /// How announcements are made.
    pub announcing: Announcing,
    /// When a look that found no rows is told.
    pub silence: Silence,
    /// After rows that end below the current token, a POSITION says so (v1.78 and later).
    pub closes_after_rows: bool,
    /// A writer looks for rows only above its own last write (v1.96 and later).
    pub knows_own_writes: bool,
}

impl Rules {
    /// v1.13 to v1.15: old RDATA is applied again.
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
    /// v1.18 to v1.21, the end of E1.
    pub const V1_18: Self = Self { drops_old_rdata: true, sets_back: true, ..Self::V1_15 };
    /// v1.60 to v1.75, a typical member of E2.
    pub const V1_60: Self =
        Self { missing: Missing::PrevDiffers, silence: Silence::BrokenForEvents, ..Self::V1_18 };
    /// v1.97 until today: E3.
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

    /// The name under which positions of a stream are kept: that of its generator.
    pub(crate) fn generator(self, stream: &str) -> &str {
        match stream {
            "tag_account_data" if self.shares_generators => "account_data",
            "user_signature" if self.shares_generators => "device_lists",
            _ => stream,
        }
    }
}
