//! The check of settings: a [`Config`] enters, the first setting that cannot work leaves as a
//! [`ConfigError`].

use std::time::Duration;

use super::{Config, MainChannel, Transport};
use crate::{error::ConfigError, stream::is_known, wire::LINE_OVERHEAD_BYTES};

/// The name under which the main process writes; the only writer on direct TCP.
const MAIN_INSTANCE: &str = "master";

/// The commands that greet a peer: SERVER and PING.
const GREETING: u32 = 2;

/// Returns the bytes that the greeting counts for, at most.
fn bytes_of_greeting(server_name: &str) -> u64 {
    const TIME_BYTES_MAX: usize = 20;
    (2 * GREETING as usize * LINE_OVERHEAD_BYTES + server_name.len() + TIME_BYTES_MAX) as u64
}

impl Config {
    /// Checks what the types do not check. [`Node::new`](crate::Node::new) calls it.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that cannot work, and what to do.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad =
            |setting, problem: &str| Err(ConfigError { setting, problem: problem.to_owned() });
        if self.instance.is_empty() {
            return bad("instance", "is empty; give this process a name of its own");
        }
        if self.instance.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return bad(
                "instance",
                "has a space or control character, which the wire cannot carry",
            );
        }
        if let Transport::Tcp(dialect) = self.transport {
            if self.observe_only && !dialect.names_instances() {
                return bad(
                    "observe_only",
                    "cannot be had of a server before 1.13, which sends nothing to who has not \
                     subscribed; leave it out, or listen to a later release",
                );
            }
            if self.instance == MAIN_INSTANCE {
                return bad(
                    "instance",
                    "is `master`, the name of the main process that is connected to; give this \
                     process a name of its own",
                );
            }
        }
        for (setting, value) in [
            ("catch_up.fetches_in_flight_max", self.catch_up.fetches_in_flight_max),
            ("catch_up.burst_window_max", self.catch_up.burst_window_max),
            ("catch_up.in_band_rows_max", self.catch_up.in_band_rows_max),
            ("catch_up.in_band_bytes_max", self.catch_up.in_band_bytes_max),
            ("limits.sources_max", self.limits.sources_max),
            ("limits.batch_rows_max", self.limits.batch_rows_max),
            ("audit.audit_rows_max", self.audit.audit_rows_max),
            ("audit.audit_tokens_max", self.audit.audit_tokens_max),
            ("holes.hole_looks_per_minute_max", self.holes.hole_looks_per_minute_max),
            ("holes.hole_looks_in_flight_max", self.holes.hole_looks_in_flight_max),
            ("holes.hole_span_tokens_max", self.holes.hole_span_tokens_max),
            ("holes.hole_spans_max", self.holes.hole_spans_max),
            ("continuity.anchor_tokens_max", self.continuity.anchor_tokens_max),
            ("publish.log_rows_max", self.publish.log_rows_max),
            ("publish.unconfirmed_max", self.publish.unconfirmed_max),
            ("catch_up.fetch_attempts_max", self.catch_up.fetch_attempts_max.unwrap_or(1)),
        ] {
            if value == 0 {
                return bad(setting, "is 0; it must be at least 1");
            }
        }
        for (setting, names) in [
            (
                "publish.own_streams",
                self.publish.own_streams.keys().map(String::as_str).collect::<Vec<_>>(),
            ),
            ("instance_id", vec![&*self.instance_id]),
        ] {
            if names.iter().any(|name| {
                name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control())
            }) {
                return bad(
                    setting,
                    "has an empty name or one with a space or control character, which the wire \
                     cannot carry",
                );
            }
        }
        if self.publish.own_streams.len() > self.publish.own_streams_max as usize {
            return bad("publish.own_streams", "names more streams than `own_streams_max` allows");
        }
        if let MainChannel::Streams(streams) = &self.publish.main_channel
            && let Some(stream) = streams.iter().find(|stream| !is_known(stream))
        {
            return bad(
                "publish.main_channel",
                &format!(
                    "names the stream {stream:?}, which no Synapse knows: its announcements would \
                     cut every Synapse process off Redis; leave it out, and it goes out on a \
                     channel of its own"
                ),
            );
        }
        if let Some(every) = self.audit.audit_every {
            if every < Duration::from_secs(1) {
                return bad(
                    "audit.audit_every",
                    "is below 1 s; rows that are late must have time to come before they count as \
                     lost",
                );
            }
            if self.transport.catches_up_in_band() {
                return bad(
                    "audit.audit_every",
                    "cannot be had of a server before 1.13, which has nothing to compare with; \
                     leave it out, or follow a later release",
                );
            }
        }
        if self.publish.peer_pending_max < GREETING {
            return bad(
                "publish.peer_pending_max",
                "is below 2, which are the commands of the greeting: each peer would be cut off \
                 with it",
            );
        }
        let name = self.server_name.as_deref().unwrap_or_default();
        if u64::from(self.publish.peer_pending_bytes_max) < bytes_of_greeting(name) {
            return bad(
                "publish.peer_pending_bytes_max",
                "is less than the greeting takes: each peer would be cut off with it",
            );
        }
        for (setting, time, why) in [
            (
                "catch_up.burst_quiet_after",
                self.catch_up.burst_quiet_after,
                "is below 1 ms; rows of one send need time to come",
            ),
            (
                "catch_up.batch_torn_after",
                self.catch_up.batch_torn_after,
                "is below 1 ms; the rows of one batch need time to come",
            ),
            (
                "holes.hole_grace",
                self.holes.hole_grace,
                "is below 1 ms; rows that are late need time to come",
            ),
            (
                "users.syncing_expires_after",
                self.users.syncing_expires_after,
                "is below 1 ms; users are reported again every half of it",
            ),
            (
                "connection.ping_timeout",
                self.connection.ping_timeout,
                "is below 1 ms; a peer needs time to answer",
            ),
        ] {
            if time < Duration::from_millis(1) {
                return bad(setting, why);
            }
        }
        if self.connection.replicate_absent_max < self.connection.replicate_retry.max {
            return bad(
                "connection.replicate_absent_max",
                "is below the longest delay of connection.replicate_retry",
            );
        }
        if self.connection.ping_every.is_zero() {
            return bad("connection.ping_every", "is zero; it must be a time");
        }
        for (setting, backoff) in [
            ("publish.log_retry", self.publish.log_retry),
            ("connection.reconnect", self.connection.reconnect),
            ("holes.hole_look_every", self.holes.hole_look_every),
            ("catch_up.fetch_retry", self.catch_up.fetch_retry),
            ("connection.replicate_retry", self.connection.replicate_retry),
        ] {
            if backoff.first < Duration::from_millis(1) || backoff.max < backoff.first {
                return bad(
                    setting,
                    "needs a first delay of at least 1 ms and a longest one not below it",
                );
            }
        }
        Ok(())
    }
}
