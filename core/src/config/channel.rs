//! The channels of a bus, and the channel of each own stream (promise P6, `protocol.md` 5.6).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A channel of a bus. Followers subscribe to both.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Channel {
    /// The deployment's channel, named as its homeserver: every Synapse process subscribes to it.
    #[default]
    Main,
    /// The channel `SERVER_NAME/synrepl`, to which only followers of this crate subscribe. It
    /// carries the rows and announcements that would harm Synapse: see [`MainChannel`].
    Synrepl,
}

impl Channel {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    pub(crate) const fn is_main(&self) -> bool {
        matches!(self, Self::Main)
    }
}

/// The own streams that are published on the deployment's channel of a bus ([`Channel::Main`]). The
/// others go out on [`Channel::Synrepl`], where followers of this crate receive them as well, and
/// no Synapse process does.
///
/// A Synapse process loses its Redis connection over an announcement of a stream that it does not
/// know, connects again, requests all positions, and loses the connection over the answer: the
/// whole deployment stands still until the writer stops (`protocol.md` 5.6). An announcement of a
/// stream whose writer, in Synapse's configuration, is another instance is an error in the log of
/// each process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MainChannel {
    /// The streams for which Synapse's configuration names this instance as a writer
    /// (`stream_writers`). Each must be one of [`CATALOGUE`](crate::stream::CATALOGUE).
    Streams(BTreeSet<String>),
    /// All own streams. This is safe only where no Synapse process subscribes.
    Everything,
}

impl MainChannel {
    pub(super) const fn everything() -> Self {
        Self::Everything
    }

    /// Returns the channel on which rows and announcements of the own stream of this name go out.
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
