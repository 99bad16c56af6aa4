//! The reasons why rows could not be had, why something was not done, and how a wait ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stream::{FetchError, Token};

/// The reason why rows could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GapReason {
    /// No address is known to fetch the rows from.
    NoEndpoint,
    /// Every attempt that
    /// [`CatchUpConfig::fetch_attempts_max`](crate::CatchUpConfig::fetch_attempts_max) allows has
    /// failed.
    GaveUp {
        /// The error of the last attempt.
        error: FetchError,
    },
    /// A page ended inside the rows of one token and the rest cannot be requested.
    SplitToken,
    /// Rows could not be read or kept that may lie at or below the position, where it is not known
    /// any more what was delivered. The gap begins below the position and ends there.
    Unreadable,
    /// The log that the rows would come from is not the one that the rows before came from; the
    /// [`Event::Discontinuity`](crate::Event) before the gap says why. The gap begins below the
    /// position where rows that were delivered are no longer in the log.
    Discontinuity,
}

/// The sign by which a log is known not to be the one that rows were delivered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Break {
    /// Other rows stand under tokens under which rows were delivered: the log was replaced, or
    /// restored from a backup and written anew.
    OtherRows {
        /// The lowest token under which other rows were found.
        token: Token,
        /// The highest token under which a delivered row still stands; `None` if none was found.
        same_upto: Option<Token>,
    },
    /// None of the rows that were delivered last was found, nor any row of the same instance in
    /// another stream: the address belongs to another instance, or the log was emptied.
    NoRows {
        /// The number of rows that were looked for.
        looked_for: u32,
    },
}

/// The reason why rows were not compared with the writer's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotAuditedReason {
    /// The rows that were delivered there are not remembered. They were more than may be
    /// remembered ([`AuditConfig::audit_rows_max`](crate::AuditConfig::audit_rows_max),
    /// `audit_rows_total_max`), or, in a stream whose fetch returns the rows of all writers, they
    /// were delivered before this process started.
    NotRemembered,
    /// There are more tokens than one audit may request
    /// ([`AuditConfig::audit_tokens_max`](crate::AuditConfig::audit_tokens_max)).
    TooManyTokens,
    /// No address is known to fetch the rows from.
    NoEndpoint,
    /// Every attempt that
    /// [`CatchUpConfig::fetch_attempts_max`](crate::CatchUpConfig::fetch_attempts_max) allows has
    /// failed.
    GaveUp {
        /// The error of the last attempt.
        error: FetchError,
    },
    /// A page ended inside the rows of one token and the rest cannot be requested. Those that came
    /// were compared.
    SplitToken,
}

/// The reason why a command was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NotSentReason {
    /// There is no connection now.
    Disconnected,
    /// The node only observes.
    ObserveOnly,
    /// A client of this dialect may not send the command, or the node itself sends it when it is
    /// due.
    NotForClients,
    /// RDATA and POSITION go out only from the logs of own streams
    /// ([`Input::Appended`](crate::Input)): any other row could not be fetched by a follower.
    OnlyFromLog,
}

/// The way in which a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WaitOutcome {
    /// The source's position is at or above the token.
    Reached {
        /// The position of the source.
        position: Token,
    },
    /// The deadline passed first.
    TimedOut {
        /// The position at that time; `None` if nothing was ever received of the source.
        position: Option<Token>,
    },
    /// The source is not followed (unwanted, our own, or one too many), there were too many open
    /// waits, or the node is stopping.
    Refused,
}

const NO_ENDPOINT: &str = "no address is known to fetch them from";
const GAVE_UP: &str = "every attempt to fetch them failed, the last one with: ";
const SPLIT_TOKEN: &str =
    "a page ended inside the rows of one token, and the rest cannot be requested";
const UNREADABLE: &str =
    "some could not be read, and it is not known what else was delivered there";

const DISCONTINUITY: &str = "the log there is not the one that the rows before came from";

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRows { token, same_upto: Some(same) } => write!(
                f,
                "other rows stand at {token} than were delivered, and up to {same} it is the same; \
                 the address belongs to another instance, or the writer's database was restored"
            ),
            Self::OtherRows { token, same_upto: None } => write!(
                f,
                "other rows stand at {token} than were delivered; the address belongs to another \
                 instance, or the writer's database was replaced"
            ),
            Self::NoRows { looked_for } => write!(
                f,
                "none of the last {looked_for} delivered rows is in it; the address belongs to \
                 another instance, or the log was emptied"
            ),
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str(NO_ENDPOINT),
            Self::GaveUp { error } => write!(f, "{GAVE_UP}{error}"),
            Self::SplitToken => f.write_str(SPLIT_TOKEN),
            Self::Unreadable => f.write_str(UNREADABLE),
            Self::Discontinuity => f.write_str(DISCONTINUITY),
        }
    }
}

impl fmt::Display for NotAuditedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRemembered => f.write_str("it is not remembered what was delivered there"),
            Self::TooManyTokens => f.write_str("there are more tokens than one audit may request"),
            Self::NoEndpoint => f.write_str(NO_ENDPOINT),
            Self::GaveUp { error } => write!(f, "{GAVE_UP}{error}"),
            Self::SplitToken => f.write_str(SPLIT_TOKEN),
        }
    }
}

impl fmt::Display for NotSentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "there is no connection",
            Self::ObserveOnly => "this instance only observes",
            Self::NotForClients => {
                "a client of this release may not send it, or it is sent by itself when it is due"
            }
            Self::OnlyFromLog => "rows and positions go out only from the log of an own stream",
        })
    }
}

impl fmt::Display for WaitOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached { position } => write!(f, "reached: the position is {position}"),
            Self::TimedOut { position: Some(position) } => {
                write!(f, "timed out: the position is {position}")
            }
            Self::TimedOut { position: None } => {
                f.write_str("timed out: nothing was received of the source")
            }
            Self::Refused => f.write_str(
                "refused: the source is not followed, too many waits are open, or the node is \
                 stopping",
            ),
        }
    }
}
