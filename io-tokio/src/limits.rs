//! The limits of the driver, each with unit, default and reason. Those of the core are in
//! [`Config`](crate::Config).

use std::time::Duration;

/// The limits of the driver, set with [`Builder::limits`](crate::Builder::limits). Zero is refused,
/// but for [`http_idle_max`](Limits::http_idle_max).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Events that may wait for the application. Default 16,384. While this many wait, nothing is
    /// read from the network, and while twice as many do, nothing from peers that connected to this
    /// instance; what is published goes out all the same. The application may hold as many again
    /// that were already handed over to it.
    pub events_queued_max: usize,
    /// Bytes that these events may keep alive, read buffers included. Default 32 MiB. Exceeded by
    /// at most what one read or one catch-up page brings.
    pub event_bytes_queued_max: usize,
    /// Time to connect, log in and subscribe. Default 10 s: a working deployment answers in
    /// milliseconds, and Synapse's 30 s would only delay the next attempt.
    pub connect_timeout: Duration,
    /// Time between Redis PINGs on each connection. Default 30 s, Synapse's (`docs/protocol.md`
    /// 1.3).
    pub ping_interval: Duration,
    /// Time between keep-alives on the connection that publishes to Redis, if less than
    /// [`ping_interval`](Limits::ping_interval). Default 5 s. Redis closes a connection that says
    /// nothing for its `timeout`, 10 s in some deployments, but never a subscribed one; and what
    /// is published between a primary's becoming a replica and the next keep-alive reaches nobody.
    pub publisher_ping_interval: Duration,
    /// Time that a PING may stay unanswered while nothing else, that is no whole message, is
    /// received. Default 30 s, Synapse's (`docs/protocol.md` 1.3). One more second is granted to
    /// read what the system may hold; time in which nothing was read, since the application's queue
    /// was full, does not count.
    pub ping_timeout: Duration,
    /// Longest message of the Redis server, in bytes. Default 64 MiB. A longer one ends the
    /// connection: what it carried is fetched.
    pub message_bytes_max: usize,
    /// PUBLISHes without a reply at which no further command of the application is taken. Default
    /// 1,024: ten times what 1 ms of round trip needs for 100,000 a second.
    pub publishes_in_flight_max: usize,
    /// Bytes that may wait to be written to Redis, or to the main process over direct TCP. Default
    /// 4 MiB. Above half of it no further command of the application and no more own rows are
    /// taken; above it nothing more is read there. Exceeded by at most what one page of own rows or
    /// one received command brings.
    pub output_bytes_max: usize,
    /// Lines that may wait for the driver, of all connected peers together. Default 1,024. While so
    /// many wait, nothing more is read from peers.
    pub peer_lines_queued_max: usize,
    /// Calls of [`Handle`](crate::Handle)s that may wait for the driver. Default 256; further
    /// callers wait in `await`.
    pub requests_queued_max: usize,
    /// Time for a whole catch-up call. Default 30 s: responses take 2 to 8 ms, a loaded writer's a
    /// second. A call that is made again has twice the time of the one before, up to
    /// [`fetch_timeout_max`](Limits::fetch_timeout_max), so that an answer that takes longer comes
    /// at last.
    pub fetch_timeout: Duration,
    /// Longest time for a catch-up call that is made again. Default 4 min, three times doubled:
    /// longer ones are those of a writer that hangs. Without effect if less than
    /// [`fetch_timeout`](Limits::fetch_timeout).
    pub fetch_timeout_max: Duration,
    /// Longest response to a catch-up call, in bytes. Default 32 MiB: a page has about 100 rows.
    pub fetch_body_bytes_max: usize,
    /// Idle HTTP connections that are kept per instance. Default 2.
    pub http_idle_max: usize,
    /// Time for which an idle HTTP connection is kept. Default 30 s: Synapse closes it after 60 s,
    /// and routers forget it after minutes, without a word to either end.
    pub http_idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_queued_max: 16_384,
            event_bytes_queued_max: 32 << 20,
            connect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            publisher_ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(30),
            message_bytes_max: 64 << 20,
            publishes_in_flight_max: 1_024,
            output_bytes_max: 4 << 20,
            peer_lines_queued_max: 1_024,
            requests_queued_max: 256,
            fetch_timeout: Duration::from_secs(30),
            fetch_timeout_max: Duration::from_secs(240),
            fetch_body_bytes_max: 32 << 20,
            http_idle_max: 2,
            http_idle_timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Checks the limits; an error has the name of the first one that cannot work, and what to do.
    pub(crate) fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        for (name, value) in [
            ("events_queued_max", self.events_queued_max),
            ("event_bytes_queued_max", self.event_bytes_queued_max),
            ("message_bytes_max", self.message_bytes_max),
            ("publishes_in_flight_max", self.publishes_in_flight_max),
            ("output_bytes_max", self.output_bytes_max),
            ("peer_lines_queued_max", self.peer_lines_queued_max),
            ("requests_queued_max", self.requests_queued_max),
            ("fetch_body_bytes_max", self.fetch_body_bytes_max),
        ] {
            if value == 0 {
                return Err((name, "is 0; it must be at least 1"));
            }
        }
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("ping_interval", self.ping_interval),
            ("publisher_ping_interval", self.publisher_ping_interval),
            ("ping_timeout", self.ping_timeout),
            ("fetch_timeout", self.fetch_timeout),
            ("fetch_timeout_max", self.fetch_timeout_max),
            ("http_idle_timeout", self.http_idle_timeout),
        ] {
            if value.is_zero() {
                return Err((name, "is zero; it must be a time"));
            }
        }
        Ok(())
    }
}
