//! The dialects of the protocol: ranges of releases that write the same lines (`protocol.md` 2.4).
//!
//! A release number enters, a [`Dialect`] leaves; its methods state what differs between dialects.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The form of commands that a peer writes and expects, by the release that it runs (`protocol.md`
/// 2.4).
///
/// The [`Decoder`](super::Decoder) reads all dialects at once; to encode, one must be chosen. There
/// is no negotiation on the wire, so the dialect comes from configuration. Later dialects are
/// greater. A command exists in a dialect if it exists in any release of its range.
///
/// # Examples
/// ```
/// use synrepl_core::wire::Dialect;
///
/// assert_eq!("1.66.0".parse(), Ok(Dialect::V1_22));
/// assert_eq!("latest".parse(), Ok(Dialect::LATEST));
/// assert_eq!(Dialect::V1_22.to_string(), "1.22");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Dialect {
    /// 0.22: no instance names, catch-up over the connection, `USER_IP` with positional fields.
    #[serde(rename = "0.22")]
    V0_22,
    /// 0.23 to 1.12: `USER_IP` with a JSON array. `REMOTE_SERVER_UP` appears in 1.9.
    #[serde(rename = "0.23")]
    V0_23,
    /// 1.13 to 1.17: instance names in `RDATA` and `POSITION`, instance ids in `USER_SYNC`,
    /// `CLEAR_USER_SYNC`, a bare `REPLICATE`; `SYNC` is gone.
    #[serde(rename = "1.13")]
    V1_13,
    /// 1.18 to 1.21: instance names in `FEDERATION_ACK`; `INVALIDATE_CACHE` is gone.
    #[serde(rename = "1.18")]
    V1_18,
    /// 1.22 to 1.91: `POSITION` with a previous token. `REMOVE_PUSHER` goes in 1.29,
    /// `LOCK_RELEASED` comes in 1.90.
    #[serde(rename = "1.22")]
    V1_22,
    /// 1.92 and later: device ids in `USER_SYNC`; `NEW_ACTIVE_TASK`, and `CANCEL_TASK` from
    /// 1.146 on.
    #[default]
    #[serde(rename = "1.92")]
    V1_92,
}

/// The text names no release of Synapse, or one whose dialect is not known here: before 0.22, or
/// 2.0 and later. At most 40 characters of the text are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error(
    "{given:?} is not a release of Synapse from 0.22 on: write it as in `1.66.0` or `1.13`, \
     or `latest`"
)]
pub struct UnknownRelease {
    given: String,
}

/// The first release of each dialect, as (major, minor), oldest first.
const FIRST_RELEASES: [((u32, u32), Dialect); 6] = [
    ((0, 22), Dialect::V0_22),
    ((0, 23), Dialect::V0_23),
    ((1, 13), Dialect::V1_13),
    ((1, 18), Dialect::V1_18),
    ((1, 22), Dialect::V1_22),
    ((1, 92), Dialect::V1_92),
];

impl Dialect {
    /// The newest dialect, and the default.
    pub const LATEST: Self = Self::V1_92;

    /// All dialects, oldest first.
    pub const ALL: [Self; 6] =
        [Self::V0_22, Self::V0_23, Self::V1_13, Self::V1_18, Self::V1_22, Self::V1_92];

    /// Returns whether `RDATA` and `POSITION` name the writer, and `USER_SYNC` the sending process.
    /// Where they do not, all rows are of the main process, and a subscriber requests for each
    /// stream the rows above a token.
    pub const fn names_instances(self) -> bool {
        self.since(Self::V1_13)
    }

    /// Returns whether a server sends nothing that was not requested, and missed rows over the
    /// connection itself: a client subscribes stream by stream with `REPLICATE stream from`, and a
    /// POSITION ends the rows that it missed. Later servers send everything from the start, and
    /// missed rows are fetched over HTTP.
    pub const fn catches_up_in_band(self) -> bool {
        !self.since(Self::V1_13)
    }

    /// Returns whether `REPLICATE` has a form without fields, which requests positions.
    pub(crate) const fn has_bare_replicate(self) -> bool {
        self.since(Self::V1_13)
    }

    /// Returns whether `CLEAR_USER_SYNC` exists.
    pub(crate) const fn has_clear_user_sync(self) -> bool {
        self.since(Self::V1_13)
    }

    /// Returns whether `SYNC` exists.
    pub(crate) const fn has_sync(self) -> bool {
        !self.since(Self::V1_13)
    }

    /// Returns whether the ERROR of a server that refuses an unknown command names the command.
    pub(crate) const fn names_unknown_commands(self) -> bool {
        !self.since(Self::V1_13)
    }

    /// Returns whether a server that stops sends an ERROR before it closes its connections.
    pub(crate) const fn says_that_it_stops(self) -> bool {
        !self.since(Self::V1_13)
    }

    /// Returns whether `FEDERATION_ACK` names the sender.
    pub const fn federation_ack_names_instance(self) -> bool {
        self.since(Self::V1_18)
    }

    /// Returns whether `POSITION` has a previous token besides the new one.
    pub const fn position_has_prev(self) -> bool {
        self.since(Self::V1_22)
    }

    /// Returns whether `USER_SYNC` has a device id.
    pub const fn user_sync_has_device(self) -> bool {
        self.since(Self::V1_92)
    }

    /// Returns whether `USER_IP` has a JSON array.
    pub const fn user_ip_is_json(self) -> bool {
        self.since(Self::V0_23)
    }

    /// Returns whether this dialect is `first` or a later one.
    pub(super) const fn since(self, first: Self) -> bool {
        self as u8 >= first as u8
    }
}

impl fmt::Display for Dialect {
    /// Writes the first release of the range, which parses to the same dialect.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((major, minor), _) = FIRST_RELEASES[*self as usize];
        write!(f, "{major}.{minor}")
    }
}

impl FromStr for Dialect {
    type Err = UnknownRelease;

    /// Parses any release number from 0.22 on, such as `1.13`, `v1.66.0`, `0.34.1.1` or
    /// `1.22.0rc1`, or `latest`. A release 1.x above all that are known has the newest dialect.
    ///
    /// # Errors
    /// [`UnknownRelease`] for any other text.
    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        let unknown = || UnknownRelease { given: text.chars().take(40).collect() };
        if text == "latest" {
            return Ok(Self::LATEST);
        }
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut number = || {
            let digits = parts.next()?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let release = number().zip(number()).ok_or_else(unknown)?;
        let is_patch = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_digit())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if release.0 > 1 || !parts.all(is_patch) {
            return Err(unknown());
        }
        FIRST_RELEASES
            .into_iter()
            .rfind(|(first, _)| *first <= release)
            .map(|(_, dialect)| dialect)
            .ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_finds_its_dialect() {
        for (release, dialect) in [
            ("0.22.0", Dialect::V0_22),
            ("0.22.1", Dialect::V0_22),
            ("0.23.0", Dialect::V0_23),
            ("0.33.5", Dialect::V0_23),
            ("0.34.1.1", Dialect::V0_23),
            ("0.99.5", Dialect::V0_23),
            ("1.0", Dialect::V0_23),
            ("1.12.4", Dialect::V0_23),
            ("1.13", Dialect::V1_13),
            ("1.17.0", Dialect::V1_13),
            ("1.18.0", Dialect::V1_18),
            ("1.21.2", Dialect::V1_18),
            ("1.22", Dialect::V1_22),
            ("1.22.0rc1", Dialect::V1_22),
            ("v1.66.0", Dialect::V1_22),
            ("1.91.2", Dialect::V1_22),
            ("1.92.0", Dialect::V1_92),
            ("1.163.2", Dialect::V1_92),
            ("1.4000", Dialect::V1_92),
            ("latest", Dialect::V1_92),
        ] {
            assert_eq!(release.parse(), Ok(dialect), "{release}");
        }
    }

    #[test]
    fn a_release_that_cannot_be_spoken_is_refused_with_what_to_write() {
        for text in
            ["", "1", "1.", ".1", "0.21.1", "2.0", "1.x", "1.13.", "1.13.-1", "+1.13", "new"]
        {
            let error = text.parse::<Dialect>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("latest"), "{error}");
        }
        assert!("9".repeat(1000).parse::<Dialect>().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn a_dialect_is_written_as_a_release_that_reads_back() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
            let json = serde_json::to_string(&dialect).unwrap();
            assert_eq!(json, format!("{:?}", dialect.to_string()));
            assert_eq!(serde_json::from_str::<Dialect>(&json).unwrap(), dialect);
        }
        assert!(Dialect::ALL.is_sorted());
        assert_eq!(Dialect::ALL.last(), Some(&Dialect::LATEST));
        assert_eq!(Dialect::default(), Dialect::LATEST);
    }
}
