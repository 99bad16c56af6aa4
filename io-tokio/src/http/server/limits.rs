//! The limits of the server, each with unit, default and reason.

use std::time::Duration;

/// The limits of a [`Server`](super::Server). What one client does beyond them costs that client
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Most open connections. Default 1,024. While there are so many, none is accepted.
    pub connections_max: usize,
    /// Most bytes of the request line and headers together. Default 16 KiB. Longer ones get 431.
    pub head_bytes_max: usize,
    /// Time for the head of a request, and that a connection may lie idle. Default 30 s.
    pub head_timeout: Duration,
    /// Most bytes of the body of one request. Default 8 MiB, the core's limit of a batch. Longer
    /// ones get 413.
    pub body_bytes_max: usize,
    /// Most bytes of the bodies that are being read or appended, together. Default 64 MiB. What
    /// does not fit gets 503.
    pub bodies_bytes_max: usize,
    /// Time for the body of a request. Default 30 s. Slower ones get 408.
    pub body_timeout: Duration,
    /// Time that a client has to take what is written to it, from the moment at which its buffers
    /// were full until all is written. Default 60 s. Then its connection is closed.
    pub answer_timeout: Duration,
    /// About how many rows a page has. Default 100, Synapse's.
    pub page_rows: u32,
    /// Most reads of the log at once. Default 16: a read takes less than a millisecond. Further
    /// ones wait.
    pub reads_max: usize,
    /// Time for a read of the log. Default 30 s. Longer ones get 500.
    pub read_timeout: Duration,
    /// Time that requests under way have once the server is to stop. Default 5 s.
    pub stop_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            head_bytes_max: 16 << 10,
            head_timeout: Duration::from_secs(30),
            body_bytes_max: 8 << 20,
            bodies_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            page_rows: 100,
            reads_max: 16,
            read_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
        }
    }
}
