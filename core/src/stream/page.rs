//! Pages: the answer to one catch-up call (`protocol.md` 6.1).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Row, Token};

/// One page of missed rows, as the writer gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// Rows with their tokens, in the writer's order.
    pub updates: Vec<(Token, Row)>,
    /// The page is complete up to here.
    pub upto: Token,
    /// Whether there is more above `upto`.
    pub limited: bool,
}

/// Why a fetch brought no page that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is nowhere to fetch from. Final: becomes a gap.
    #[error("no fetch address is known for instance {instance:?}")]
    NoEndpoint {
        /// The writer that would have been asked.
        instance: String,
    },
    /// No connection could be made, or it broke.
    #[error("{endpoint} cannot be reached: {message}")]
    Unreachable {
        /// Address that was tried.
        endpoint: String,
        /// What the system said.
        message: String,
    },
    /// No whole answer came in time.
    #[error("{endpoint} gave no answer within {after_ms} ms")]
    TimedOut {
        /// Address that was asked.
        endpoint: String,
        /// Time waited, in milliseconds.
        after_ms: u64,
    },
    /// An answer with another status than 200.
    #[error("{endpoint} answered {status}: {message}")]
    Status {
        /// Address that was asked.
        endpoint: String,
        /// HTTP status code.
        status: u16,
        /// What it said, cut short, and a hint at the usual cause.
        message: String,
    },
    /// The answer is larger than allowed. A smaller window is asked for next.
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that it passed, in bytes.
        limit_bytes: u64,
    },
    /// The answer is not a page.
    #[error("{endpoint} answered with something that is not a page: {message}")]
    Malformed {
        /// Address that was asked.
        endpoint: String,
        /// What is wrong with it.
        message: String,
    },
    /// The server of a direct TCP connection would not send the rows and closed the connection,
    /// mostly because there are too many of them. Oldest dialect only.
    #[error("the server refused to send the rows: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The page breaks its own rules; found by the core.
    #[error("unusable page: {message}")]
    Unusable {
        /// Which rule, with the numbers.
        message: String,
    },
}

/// Why the log of an own stream could not be read. Tried again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[error("the log of stream {stream:?} cannot be read: {message}")]
pub struct LogError {
    /// The own stream.
    pub stream: String,
    /// What the store said.
    pub message: String,
}
