//! Settings and limits, in groups, each with unit, default and reason.
//!
//! An application sets them before it makes a node; [`Config::validate`] refuses settings that
//! cannot work. Every queue of the core has its limit here, in rows or bytes (promise F9).

mod audit;
mod catch_up;
mod channel;
mod connection;
mod continuity;
mod holes;
mod limits;
mod publish;
mod transport;
mod users;
mod validate;

use std::collections::BTreeSet;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

pub use self::{
    audit::AuditConfig,
    catch_up::CatchUpConfig,
    channel::{Channel, MainChannel},
    connection::ConnectionConfig,
    continuity::ContinuityConfig,
    holes::HolesConfig,
    limits::MemoryLimits,
    publish::PublishConfig,
    transport::Transport,
    users::UsersConfig,
};
pub use crate::retry::Backoff;
use crate::stream::Positions;

/// The settings of a [`Node`](crate::Node), in groups. Every queue of the core has its limit here.
///
/// A trace holds them flat, without their groups; those that were renamed are read under the old
/// name as well.
///
/// | setting | unit | default | why |
/// |---|---|---|---|
/// | `instance` | name | `synrepl` | must differ from every other instance's |
/// | `observe_only` | yes or no | no | yes is for observers of a production system |
/// | `transport` | way | bus | the only one that later releases have |
/// | `server_name` | name | none | the server's name is not compared |
/// | `instance_id` | random text | `synrepl` | each start must draw another one |
/// | `streams` | names | all | rows of others are dropped on arrival |
/// | `start` | point | now | the history may be long |
/// | `positions` | tokens | none | those that were saved before belong here |
/// | `seed` | number | 0 | each process draws another one, so that a fleet does not retry in step |
/// | `connection.reconnect` | time | 1 s to 5 s | as Synapse; short enough not to fall further behind than can be caught up |
/// | `connection.replicate_retry` | time | 2 s to 60 s | answers take some 20 ms, and each REPLICATE makes every instance announce |
/// | `connection.replicate_absent_max` | time | 3600 s | a writer that starts again announces by itself |
/// | `connection.settling_for` | time | 2 s | answers take some 20 ms |
/// | `connection.nothing_heard_after` | time | 10 s | a busy deployment sends something each second |
/// | `connection.ping_every` | time | 5 s | as Synapse |
/// | `connection.ping_timeout` | time | 25 s | as Synapse |
/// | `catch_up.fetch_retry` | time | 500 ms to 30 s | a writer that restarts is back within seconds |
/// | `catch_up.fetch_attempts_max` | attempts | none | a gap cannot be mended later |
/// | `catch_up.fetches_in_flight_max` | fetches | 8 | a writer answers in 2 to 8 ms |
/// | `catch_up.burst_window_max` | tokens | 99 | a full page of 100 rows would be cut |
/// | `catch_up.burst_quiet_after` | time | 2 s | the writers' own POSITIONs mostly come within 0.25 s |
/// | `catch_up.batch_torn_after` | time | 1 s | a writer sends the rows of a batch without a pause |
/// | `catch_up.loose_reach_max` | tokens | 100 | repeats were seen at most 29 rows apart |
/// | `catch_up.in_band_rows_max` | rows | 50,000 | most releases send at most 10,000 |
/// | `catch_up.in_band_bytes_max` | bytes | 16 MiB | some 300 bytes a row |
/// | `continuity.continuity` | yes or no | yes | a wrong address would go unseen |
/// | `continuity.anchor_every` | time | 1 s | a digest costs about as much as a delivery |
/// | `continuity.anchor_tokens_max` | tokens | 64 | a page of catch-up comes at once |
/// | `continuity.anchor_reach_max` | tokens | 100 | a page has as many rows |
/// | `continuity.unfound_retry` | time | 3 s to 10 s | a database that lags behind has the rows by then |
/// | `continuity.unfound_retries_max` | times | 2 | some 10 s in all |
/// | `continuity.look_ups_at_once_max` | requests | 10 | a small deployment is looked at at once |
/// | `continuity.look_up_every` | time | 1 s | 300 processes within 5 min |
/// | `continuity.look_up_misses_max` | times | 3 | a row may have been deleted meanwhile |
/// | `audit.audit_every` | time | none | it costs fetches; 1 min is usual |
/// | `audit.audit_rows_max` | rows | 10,000 | some 300 kB a source |
/// | `audit.audit_rows_total_max` | rows | 1,000,000 | some 30 MB |
/// | `audit.audit_tokens_max` | tokens | 1,000,000 | 10,000 fetches where few tokens are requested at once |
/// | `holes.look_into_holes` | yes or no | yes | a token that got lost with its PUBLISH is found in seconds |
/// | `holes.hole_grace` | time | 2 s | rows of several writers come some milliseconds out of order |
/// | `holes.hole_grace_after_connect` | time | 10 s | all catch up then |
/// | `holes.hole_look_every` | time | 5 s to 300 s | many tokens never have a row |
/// | `holes.hole_looks_per_minute_max` | fetches | 30 | far less than what a writer answers |
/// | `holes.hole_looks_in_flight_max` | fetches | 4 | half of the slots are left to catch-ups |
/// | `holes.hole_span_tokens_max` | tokens | 100 | a page has 100 rows |
/// | `holes.hole_jump_tokens_min` | tokens | 10,000 | 100 fetches where few tokens are requested at once |
/// | `holes.hole_spans_max` | spans | 64 | some 3 kB a stream |
/// | `holes.hole_spans_total_max` | spans | 10,000 | some 500 kB |
/// | `publish.own_streams` | tokens | none | the last token of each own log at the start |
/// | `publish.main_channel` | names | none | an unknown stream there harms every Synapse process |
/// | `publish.own_streams_max` | streams | 1,000 | Synapse has some 20 |
/// | `publish.log_retry` | time | 100 ms to 5 s | rows wait for it |
/// | `publish.log_rows_max` | rows | 500 | enough to hide the time of a read |
/// | `publish.unconfirmed_max` | commands | 10,000 | 20 ms of a server that takes half a million a second |
/// | `publish.row_bytes_max` | bytes | 15,872 | with names and a token it fits a line of direct TCP |
/// | `publish.peers_max` | connections | 1,000 | large deployments have some 300 processes |
/// | `publish.peer_pending_max` | commands | 10,000 | as Synapse |
/// | `publish.peer_pending_bytes_max` | bytes | 32 MiB | 10,000 rows of 3 kB |
/// | `users.presence_writer` | yes or no | no | only one instance of a deployment is it |
/// | `users.federation_senders` | names | none | rows count as stored when all of these acknowledged them |
/// | `users.user_sync_end_after` | time | 10 s | as Synapse: most clients come back at once |
/// | `users.syncing_expires_after` | time | 300 s | as Synapse |
/// | `users.syncing_users_max` | users | 100,000 | for ours and for those of the others, each |
/// | `limits.sources_max` | sources | 100,000 | some 25 MB |
/// | `limits.batch_rows_max` | rows | 10,000 | longer ones are fetched |
/// | `limits.batch_bytes_max` | bytes | 8 MiB | longer ones are fetched |
/// | `limits.held_rows_max` | rows | 10,000 | more are fetched |
/// | `limits.held_bytes_max` | bytes | 4 MiB | more are fetched |
/// | `limits.held_bytes_total_max` | bytes | 64 MiB | all sources together |
/// | `limits.kept_bytes_total_max` | bytes | 64 MiB | all sources together |
/// | `limits.repeat_window_rows_max` | rows | 1,024 | repeats were seen at most 29 rows apart |
/// | `limits.repeat_window_bytes_max` | bytes | 256 KiB | 1,024 rows of 256 bytes |
/// | `limits.burst_rows_max` | rows | 10,000 | a longer burst is completed by a fetch |
/// | `limits.burst_bytes_max` | bytes | 4 MiB | a longer burst is completed by a fetch |
/// | `limits.shared_tokens_max` | tokens | 65,536 | as far as two writers may lie apart |
/// | `limits.shared_parts_bytes_max` | bytes | 1 MiB | some 10,000 rows, and a page has 100 |
/// | `limits.waits_max` | waits | 10,000 | more are refused |
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Config {
    /// Our instance name. Default `synrepl`. It must differ from every other instance's: rows under
    /// it are taken for echoes. It is not empty and has no spaces and no control characters.
    pub instance: String,
    /// Whether the node publishes nothing at all, not even REPLICATE. Default false. This is for
    /// observers of a production system; sources then become live only when their writers announce
    /// or send rows by themselves. A direct TCP connection carries NAME and PING all the same; it
    /// is not possible in the oldest dialect (up to 1.12), where nothing is received without a
    /// subscription.
    pub observe_only: bool,
    /// The transport over which the others are reached. Default [`Transport::Bus`].
    pub transport: Transport,
    /// The homeserver's name: sent to peers that connect, and compared with the name that a direct
    /// TCP server sends. Default none: not compared. It must be set to accept peers.
    pub server_name: Option<ByteString>,
    /// The random id of this process, under which it reports syncing users. Default `synrepl`. Each
    /// start must draw another one (5 random letters are usual). It is not empty and has no white
    /// space.
    pub instance_id: ByteString,
    /// The streams to follow; `None` (default) is all, an empty set is none. Rows of others are
    /// dropped on arrival; in the oldest dialect they are not requested.
    pub streams: Option<BTreeSet<String>>,
    /// The point at which a source starts that has no saved position. Default [`Start::Now`].
    pub start: Start,
    /// The saved positions to resume from. Default none.
    pub positions: Positions,
    /// The seed of the jitter on every delay. Default 0. Each process should draw another one, so
    /// that a fleet does not retry in step.
    pub seed: u64,
    /// The times at which connections are made again, checked and given up.
    #[serde(flatten)]
    pub connection: ConnectionConfig,
    /// The way in which missed rows are fetched.
    #[serde(flatten)]
    pub catch_up: CatchUpConfig,
    /// The check that a log is still the one that rows were delivered from.
    #[serde(flatten)]
    pub continuity: ContinuityConfig,
    /// The search for lost rows of which nothing on the wire gives a sign.
    #[serde(flatten)]
    pub audit: AuditConfig,
    /// The search for tokens that were lost whole.
    #[serde(flatten)]
    pub holes: HolesConfig,
    /// The own streams: their channels, and how much is read and sent at once.
    #[serde(flatten)]
    pub publish: PublishConfig,
    /// The accounts of syncing users and of stored federation rows.
    #[serde(flatten)]
    pub users: UsersConfig,
    /// The memory that a node takes for what it follows.
    #[serde(flatten)]
    pub limits: MemoryLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance: "synrepl".to_owned(),
            observe_only: false,
            transport: Transport::default(),
            server_name: None,
            instance_id: ByteString::from_static("synrepl"),
            streams: None,
            start: Start::default(),
            positions: Positions::new(),
            seed: 0,
            connection: ConnectionConfig::default(),
            catch_up: CatchUpConfig::default(),
            continuity: ContinuityConfig::default(),
            audit: AuditConfig::default(),
            holes: HolesConfig::default(),
            publish: PublishConfig::default(),
            users: UsersConfig::default(),
            limits: MemoryLimits::default(),
        }
    }
}

/// The point at which a source starts that has no saved position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Start {
    /// The source starts with the rows that are written from now on.
    #[default]
    Now,
    /// The source starts with every row that the writer still holds.
    Beginning,
}

#[cfg(test)]
mod tests;
