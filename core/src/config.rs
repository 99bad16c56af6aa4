//! Settings and limits, each with unit, default and reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    error::ConfigError,
    stream::{Order, Positions, StreamTraits, Token, is_known, traits},
    wire::Dialect,
};

/// The name under which the main process writes; the only writer on direct TCP.
const MAIN_INSTANCE: &str = "master";

/// Streams whose tokens fall or repeat inside one send on direct TCP before 1.22: two tables share
/// one token (`account_data`, `device_lists`), or rows are gathered kind by kind (`federation`).
const UNCLOSED: [&str; 4] = ["account_data", "device_lists", "federation", "tag_account_data"];

/// Settings of a [`Node`](crate::Node). Every queue of the core has its limit here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Config {
    /// Our instance name. Default `synrepl`. Must differ from every other instance's: rows under
    /// it are taken for echoes. Not empty, no spaces, no control characters.
    pub instance: String,
    /// Publish nothing at all, not even REPLICATE. Default false. For observers of a production
    /// system; sources then become live only when their writers speak. A direct TCP connection
    /// carries NAME and PING all the same; not possible in the oldest dialect (up to 1.12), where
    /// nothing comes without a subscription.
    pub observe_only: bool,
    /// How the others are reached. Default [`Transport::Bus`].
    pub transport: Transport,
    /// The homeserver's name: said to peers that connect, and compared with what a direct TCP
    /// server says. Default none: not compared. Must be set to accept peers.
    pub server_name: Option<ByteString>,
    /// Random id of this process, under which it speaks of syncing users. Default `synrepl`. Give
    /// each start another one (5 random letters are usual). Not empty, no white space.
    pub instance_id: ByteString,
    /// Streams that we write, each with the last token of its log. Default none. Rows above it
    /// are published; more streams appear with [`Input::Appended`](crate::Input).
    pub own_streams: BTreeMap<String, Token>,
    /// The own streams that go out on the deployment's channel of a bus, where Synapse listens.
    /// Default [`MainChannel::Streams`] of none: all go out on a channel of their own.
    // A trace of before there were two channels has everything on one.
    #[serde(default = "MainChannel::everything")]
    pub main_channel: MainChannel,
    /// Keep account of the syncing users of all instances, as the presence writer must. Default
    /// false. Then USER_SYNC and CLEAR_USER_SYNC come as [`Event::UserSyncing`](crate::Event) and
    /// `SyncingCleared` and not as commands.
    pub presence_writer: bool,
    /// Instances that send federation traffic. Default none. Rows of `federation` count as stored
    /// when all of these have said so.
    pub federation_senders: BTreeSet<String>,
    /// Streams to follow; `None` (default) is all, an empty set is none. Rows of others are dropped
    /// on arrival; in the oldest dialect they are not asked for.
    pub streams: Option<BTreeSet<String>>,
    /// Where a source starts that has no saved position. Default [`Start::Now`].
    pub start: Start,
    /// Saved positions to resume from. Default none.
    pub positions: Positions,
    /// Seed of the jitter on every delay. Default 0. Give each process another one, so that a
    /// fleet does not retry in step.
    pub seed: u64,

    /// Delay between connection attempts. Default 1 s to 5 s: the reference's, short enough not
    /// to fall further behind than can be caught up. Starts over after a POSITION was handled.
    pub reconnect: Backoff,
    /// Delay between attempts of a failed fetch, per source. Default 0.5 s to 30 s.
    pub fetch_retry: Backoff,
    /// Delay until REPLICATE is repeated while known sources have not answered. Default 2 s to
    /// 60 s: answers take some 20 ms, and each REPLICATE makes every instance announce.
    pub replicate_retry: Backoff,
    /// Time after the first connection within which a writer that answers is taken to have been
    /// there from the start. Default 2 s: answers take some 20 ms. One that appears later has
    /// its rows since then fetched.
    pub settling_for: Duration,
    /// Time after which a connection without a single command is reported. Default 10 s.
    pub nothing_heard_after: Duration,
    /// Quiet time after which an open burst is completed by a fetch, so that its rows can be
    /// saved. Default 2 s: the writers' own POSITIONs mostly come within 0.25 s. On
    /// direct TCP before 1.22, where nothing closes a burst, it is then taken to be whole, if
    /// anything else has come since.
    pub burst_quiet_after: Duration,

    /// Time between two audits of a source, each moved by up to a quarter. Default `None`: none.
    /// At least 1 s; 1 min is usual.
    ///
    /// RDATA does not say what came before it: if a PUBLISH of another writer gets lost and the
    /// next one arrives, nothing on the wire tells of it (`protocol.md` H5). An audit fetches what
    /// lies above the last audit, up to where the source stood one period before, and delivers the
    /// rows that were not delivered, as [`Origin::Audit`](crate::Origin). So a lost row comes one
    /// to two periods and a half after the rows above it. It costs one fetch per source and period
    /// in which the source moved (more where a page is not enough), one at a time and never while
    /// a catch-up waits, and some 30 bytes per row delivered in two periods.
    ///
    /// It begins where a source first becomes live, so what was lost before this process started
    /// is not found, nor what was lost in the last two periods before it stopped. A row that its
    /// writer rewrites in place comes again. Not possible in the oldest dialect (up to 1.12), where
    /// rows are only sent over the connection; not done in a stream that this node writes too if
    /// its fetch shows the rows of all writers ([`StreamTraits`](crate::stream::StreamTraits)), nor
    /// in [`Order::UnclosedBursts`](crate::stream::Order).
    pub audit_every: Option<Duration>,

    /// Delay between attempts to read an own log that failed. Default 0.1 s to 5 s.
    pub log_retry: Backoff,
    /// Direct TCP: a PING is sent when nothing else was for this long; also the time between two
    /// looks. Default 5 s, the reference's.
    pub ping_every: Duration,
    /// Direct TCP: silence after which a peer that has sent a PING before is given up. Default
    /// 25 s, the reference's.
    pub ping_timeout: Duration,
    /// Time without a new sync after which a user of ours counts as gone. Default 10 s, the
    /// reference's: most clients come back at once.
    pub user_sync_end_after: Duration,
    /// Time after which an instance that says nothing of its syncing users has none. Default
    /// 5 min, the reference's.
    pub syncing_expires_after: Duration,

    /// Own streams. Default 1,000. More are refused with a warning.
    pub own_streams_max: u32,
    /// Rows asked of an own log at once. Default 500.
    pub log_rows_max: u32,
    /// Commands on a bus that may be unconfirmed before an own log is read on. Default 10,000:
    /// 20 ms of a server that takes half a million a second.
    pub unconfirmed_max: u32,
    /// Longest row of an own stream, in bytes. Default 15,872: with names and a token it fits a
    /// line of direct TCP.
    pub row_bytes_max: u32,
    /// Accepted connections. Default 1,000. More are refused with an ERROR line.
    pub peers_max: u32,
    /// Commands that an accepted connection may leave untaken before it is cut off. Default
    /// 10,000, the reference's.
    pub peer_pending_max: u32,
    /// Bytes of rows that an accepted connection may leave untaken before it is cut off. Default
    /// 32 MiB.
    pub peer_pending_bytes_max: u32,
    /// Syncing (user, device) pairs remembered, ours and the others' each. Default 100,000.
    pub syncing_users_max: u32,
    /// Fetches in flight at once, over all sources. Default 8: a writer answers in 2 to 8 ms.
    pub fetches_in_flight_max: u32,
    /// Failures in a row after which a fetch is given up and a gap reported. Default `None`:
    /// never, for a gap cannot be mended later.
    pub fetch_attempts_max: Option<u32>,
    /// Rows kept of one answer of a server of the oldest dialect, which sends all that is missing
    /// at once. Default 50,000; most releases send at most 10,000. Of more, those with the lowest
    /// tokens are kept, and the others are asked for again. At most `fetches_in_flight_max`
    /// answers come at once.
    pub replay_rows_max: u32,
    /// Bytes kept of one such answer. Default 16 MiB.
    pub replay_bytes_max: u32,
    /// Tokens asked for at once in streams whose paging is broken (`backfill`, `to_device`). Default
    /// 99: a full page of 100 rows would be cut.
    pub burst_window_max: u32,

    /// Sources followed. Default 100,000 (some 25 MB). More are ignored with a warning, and so are
    /// those whose names together have more than 256 bytes for each source that is allowed.
    pub sources_max: u32,
    /// Rows of one batch. Default 10,000. Longer ones are fetched.
    pub batch_rows_max: u32,
    /// Bytes of one batch. Default 8 MiB.
    pub batch_bytes_max: u32,
    /// Rows held per source while it catches up. Default 10,000. More are fetched.
    pub held_rows_max: u32,
    /// Bytes held per source while it catches up. Default 4 MiB.
    pub held_bytes_max: u32,
    /// Bytes held by all sources together. Default 64 MiB.
    pub held_bytes_total_max: u64,
    /// Bytes kept of rows by all sources together otherwise: those of open batches and open bursts,
    /// and those remembered to know repeats. Default 64 MiB. Above it a batch or burst is fetched,
    /// and repeats are no longer known.
    pub kept_bytes_total_max: u64,
    /// Rows remembered per source of a loose stream, to suppress exact repeats. Default 1,024;
    /// repeats were seen at most 29 rows apart.
    pub repeat_window_rows_max: u32,
    /// Bytes remembered per source of a loose stream. Default 256 KiB.
    pub repeat_window_bytes_max: u32,
    /// Rows of an open burst that are remembered. Default 10,000; a longer burst is completed by
    /// a fetch.
    pub burst_rows_max: u32,
    /// Bytes of an open burst that are remembered. Default 4 MiB.
    pub burst_bytes_max: u32,
    /// Tokens remembered per stream whose fetch returns other writers' rows too. Default 65,536.
    pub shared_tokens_max: u32,
    /// Rows remembered for the audit, per source, or per stream whose fetch shows the rows of all
    /// writers. Default 10,000 (some 300 kB). Of more, the older half is forgotten and not audited,
    /// and a warning says so.
    pub audit_rows_max: u32,
    /// Rows remembered for the audit by all sources together. Default 1,000,000 (some 30 MB).
    pub audit_rows_total_max: u64,
    /// Tokens that one audit covers. Default 1,000,000: 10,000 fetches where few tokens are asked
    /// for at once. Of more, the lower ones are not audited, and a warning says so.
    pub audit_tokens_max: u32,
    /// Open waits. Default 10,000. More are refused.
    pub waits_max: u32,

    /// A bug to have, to see it caught. Default none.
    #[cfg(feature = "planted-bugs")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planted: Option<crate::PlantedBug>,
}

/// How the other instances are reached by the connection that we make ourselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// One subscription behind which all instances are (Redis).
    #[default]
    Bus,
    /// A direct TCP connection to the main process, in the dialect that it speaks.
    Tcp(Dialect),
    /// Not at all: we only accept connections.
    None,
}

impl Transport {
    /// Whether missed rows come over the connection itself: the oldest dialect.
    pub(crate) const fn catches_up_in_band(self) -> bool {
        match self {
            Self::Tcp(dialect) => dialect.catches_up_in_band(),
            Self::Bus | Self::None => false,
        }
    }

    /// The traits of the stream with this name where the others are reached by this transport.
    ///
    /// Those of [`traits`], but on direct TCP in a dialect without previous tokens (before 1.22) four
    /// streams come in [`Order::UnclosedBursts`], and there, where one instance writes everything, no
    /// fetch returns rows of another.
    pub fn traits_of(self, stream: &str) -> StreamTraits {
        let mut known = traits(stream);
        if let Self::Tcp(dialect) = self
            && !dialect.position_has_prev()
            && UNCLOSED.contains(&stream)
        {
            known.order = Order::UnclosedBursts;
            known.shared_fetch = false;
        }
        known
    }
}

/// A channel of a bus. Followers listen to both.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Channel {
    /// The deployment's channel, named as its homeserver: every Synapse process listens to it.
    #[default]
    Main,
    /// The channel `SERVER_NAME/synrepl`, which only this crate's followers listen to. It carries
    /// the rows and announcements that would harm a Synapse: see
    /// [`MainChannel`].
    Synrepl,
}

impl Channel {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    pub(crate) const fn is_main(&self) -> bool {
        matches!(self, Self::Main)
    }
}

/// Which own streams are published on the deployment's channel of a bus ([`Channel::Main`]). The
/// others go out on [`Channel::Synrepl`], where followers of this crate hear them as well, and no
/// Synapse does.
///
/// A Synapse process loses its Redis connection over an announcement of a stream that it does not
/// know, connects again, asks everyone where they stand, and loses it over the answer: the whole
/// deployment stands still until the writer stops (`protocol.md` 5.6). An announcement of a
/// stream whose writer, in Synapse's configuration, is somebody else is an error in the log of each
/// process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MainChannel {
    /// The streams for which Synapse's configuration names this instance as a writer
    /// (`stream_writers`). Each must be one of [`CATALOGUE`](crate::stream::CATALOGUE).
    Streams(BTreeSet<String>),
    /// All own streams. Safe only where no Synapse listens.
    Everything,
}

impl MainChannel {
    const fn everything() -> Self {
        Self::Everything
    }

    /// Where rows and announcements of the own stream with this name go out.
    pub fn channel_of(&self, stream: &str) -> Channel {
        match self {
            Self::Streams(streams) if !streams.contains(stream) => Channel::Synrepl,
            Self::Streams(_) | Self::Everything => Channel::Main,
        }
    }
}

impl Default for MainChannel {
    fn default() -> Self {
        Self::Streams(BTreeSet::new())
    }
}

/// Where a source starts that has no saved position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Start {
    /// With what is written from now on.
    #[default]
    Now,
    /// With everything that the writer still holds.
    Beginning,
}

/// Delays that double from `first` to `max`, each with seeded jitter of -25 % to +25 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backoff {
    /// The first delay.
    pub first: Duration,
    /// The longest delay, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// Delays from `first`, doubling up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }
}

impl Default for Config {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            instance: "synrepl".to_owned(),
            observe_only: false,
            transport: Transport::default(),
            server_name: None,
            instance_id: ByteString::from_static("synrepl"),
            own_streams: BTreeMap::new(),
            main_channel: MainChannel::default(),
            presence_writer: false,
            federation_senders: BTreeSet::new(),
            streams: None,
            start: Start::default(),
            positions: Positions::new(),
            seed: 0,
            reconnect: Backoff::new(millis(1_000), millis(5_000)),
            fetch_retry: Backoff::new(millis(500), millis(30_000)),
            replicate_retry: Backoff::new(millis(2_000), millis(60_000)),
            settling_for: millis(2_000),
            nothing_heard_after: millis(10_000),
            burst_quiet_after: millis(2_000),
            audit_every: None,
            log_retry: Backoff::new(millis(100), millis(5_000)),
            ping_every: millis(5_000),
            ping_timeout: millis(25_000),
            user_sync_end_after: millis(10_000),
            syncing_expires_after: millis(300_000),
            own_streams_max: 1_000,
            log_rows_max: 500,
            unconfirmed_max: 10_000,
            row_bytes_max: 15_872,
            peers_max: 1_000,
            peer_pending_max: 10_000,
            peer_pending_bytes_max: 32 << 20,
            syncing_users_max: 100_000,
            fetches_in_flight_max: 8,
            fetch_attempts_max: None,
            replay_rows_max: 50_000,
            replay_bytes_max: 16 << 20,
            burst_window_max: 99,
            sources_max: 100_000,
            batch_rows_max: 10_000,
            batch_bytes_max: 8 << 20,
            held_rows_max: 10_000,
            held_bytes_max: 4 << 20,
            held_bytes_total_max: 64 << 20,
            kept_bytes_total_max: 64 << 20,
            repeat_window_rows_max: 1_024,
            repeat_window_bytes_max: 256 << 10,
            burst_rows_max: 10_000,
            burst_bytes_max: 4 << 20,
            shared_tokens_max: 65_536,
            audit_rows_max: 10_000,
            audit_rows_total_max: 1_000_000,
            audit_tokens_max: 1_000_000,
            waits_max: 10_000,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first setting that cannot work, with what to do.
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
            ("fetches_in_flight_max", self.fetches_in_flight_max),
            ("burst_window_max", self.burst_window_max),
            ("replay_rows_max", self.replay_rows_max),
            ("replay_bytes_max", self.replay_bytes_max),
            ("sources_max", self.sources_max),
            ("batch_rows_max", self.batch_rows_max),
            ("audit_rows_max", self.audit_rows_max),
            ("audit_tokens_max", self.audit_tokens_max),
            ("log_rows_max", self.log_rows_max),
            ("unconfirmed_max", self.unconfirmed_max),
            ("peer_pending_max", self.peer_pending_max),
            ("fetch_attempts_max", self.fetch_attempts_max.unwrap_or(1)),
        ] {
            if value == 0 {
                return bad(setting, "is 0; it must be at least 1");
            }
        }
        for (setting, names) in [
            ("own_streams", self.own_streams.keys().map(String::as_str).collect::<Vec<_>>()),
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
        if self.own_streams.len() > self.own_streams_max as usize {
            return bad("own_streams", "names more streams than `own_streams_max` allows");
        }
        if let MainChannel::Streams(streams) = &self.main_channel
            && let Some(stream) = streams.iter().find(|stream| !is_known(stream))
        {
            return bad(
                "main_channel",
                &format!(
                    "names the stream {stream:?}, which no Synapse knows: its announcements would \
                     cut every Synapse process off Redis; leave it out, and it goes out on a \
                     channel of its own"
                ),
            );
        }
        if let Some(every) = self.audit_every {
            if every < Duration::from_secs(1) {
                return bad(
                    "audit_every",
                    "is below 1 s; rows that are late must have time to come before they count as \
                     lost",
                );
            }
            if self.transport.catches_up_in_band() {
                return bad(
                    "audit_every",
                    "cannot be had of a server before 1.13, which has nothing to compare with; \
                     leave it out, or follow a later release",
                );
            }
        }
        if self.ping_every.is_zero() {
            return bad("ping_every", "is zero; it must be a time");
        }
        for (setting, backoff) in [
            ("log_retry", self.log_retry),
            ("reconnect", self.reconnect),
            ("fetch_retry", self.fetch_retry),
            ("replicate_retry", self.replicate_retry),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::CATALOGUE;

    #[test]
    fn four_streams_come_in_unclosed_bursts_on_direct_tcp_before_1_22_and_nowhere_else() {
        for (name, known) in CATALOGUE {
            for dialect in Dialect::ALL {
                let unclosed = UNCLOSED.contains(&name) && dialect < Dialect::V1_22;
                let order = if unclosed { Order::UnclosedBursts } else { known.order };
                let found = Transport::Tcp(dialect).traits_of(name);
                assert_eq!((found.order, found.resettable), (order, known.resettable), "{name}");
            }
            assert_eq!(Transport::Bus.traits_of(name), known);
            assert_eq!(Transport::None.traits_of(name), known);
        }
    }
}
