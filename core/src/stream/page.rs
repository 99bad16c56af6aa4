//! Pages: the answer to one catch-up call (`protocol.md` 6.1), or to one read of an own log.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Row, Token};
use crate::printable::Printable;

/// One page of missed rows, as the writer sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// The rows with their tokens, in the writer's order.
    pub updates: Vec<(Token, Row)>,
    /// The token up to which the page is complete.
    pub upto: Token,
    /// Whether there are more rows above `upto`.
    pub limited: bool,
}

/// The reason why a fetch brought no usable page.
///
/// The fields are verbatim. `Display` shows them escaped, cut and without access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No address is known to fetch from. This is final: the missing rows become a gap.
    #[error("no fetch address is known for instance \"{}\"", Printable::name(.instance))]
    NoEndpoint {
        /// The writer, whose address is not known.
        instance: String,
    },
    /// No connection could be made, or it broke.
    #[error("{} cannot be reached: {}", Printable::foreign(.endpoint), Printable::foreign(.message))]
    Unreachable {
        /// The address that was tried.
        endpoint: String,
        /// The error of the system.
        message: String,
    },
    /// No whole answer was received in time.
    #[error("{} gave no answer within {after_ms} ms", Printable::foreign(.endpoint))]
    TimedOut {
        /// The address that the request went to.
        endpoint: String,
        /// The time that was waited, in milliseconds.
        after_ms: u64,
    },
    /// The answer has another status than 200.
    #[error(
        "{} answered {status}: {}", Printable::foreign(.endpoint), Printable::foreign(.message)
    )]
    Status {
        /// The address that the request went to.
        endpoint: String,
        /// The HTTP status code.
        status: u16,
        /// The text of the answer, truncated, with a likely cause.
        message: String,
    },
    /// The answer is larger than allowed. Fewer tokens are requested next, where that is possible.
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that it passed, in bytes.
        limit_bytes: u64,
    },
    /// The answer is not a page.
    #[error(
        "{} answered with something that is not a page: {}",
        Printable::foreign(.endpoint),
        Printable::foreign(.message)
    )]
    Malformed {
        /// The address that the request went to.
        endpoint: String,
        /// The fault of the answer.
        message: String,
    },
    /// The server of a direct TCP connection refused to send the rows and closed the connection,
    /// mostly because there are too many of them. Oldest dialect only.
    #[error("the server refused to send the rows: {}", Printable::foreign(.message))]
    Refused {
        /// The text of the server's ERROR.
        message: String,
    },
    /// The page breaks a rule of pages. Only the core reports this error.
    #[error("unusable page: {}", Printable::foreign(.message))]
    Unusable {
        /// The rule that is broken, with the numbers.
        message: String,
    },
}

impl FetchError {
    /// Returns whether who was asked has answered that it does not know the stream: it will answer
    /// so again, whatever is requested.
    pub(crate) fn is_unknown_stream(&self) -> bool {
        match self {
            Self::Status { status, message, .. } => {
                *status == 400 && message.to_ascii_lowercase().contains("unknown stream")
            }
            Self::NoEndpoint { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::Unusable { .. } => false,
        }
    }
}

/// The reason why the log of an own stream could not be read; it is tried again.
///
/// The fields are verbatim. `Display` shows them escaped, cut and without access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[error(
    "the log of stream \"{}\" cannot be read: {}",
    Printable::name(.stream),
    Printable::foreign(.message)
)]
pub struct LogError {
    /// The own stream.
    pub stream: String,
    /// The error of the store.
    pub message: String,
}
