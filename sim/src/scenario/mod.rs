//! Scenarios: the instances of a run and all its events, as plain data.
//!
//! A [`Scenario`] states its instances, writes and faults explicitly, each with its time. Only the
//! delay of each message is derived: it is a function of the seed, the link and the number of the
//! message on the link. So an edit of one event leaves the others as they were, which makes
//! shrinking effective.

mod draw;
mod happening;
mod pattern;
mod sockets;

use serde::{Deserialize, Serialize};
use synrepl_core::wire::Dialect;

pub(crate) use self::happening::Whom;
pub use self::{
    happening::{FetchFault, Happening, Noise, Timed},
    pattern::Pattern,
};

/// The description of a run. The numbers of writers, followers and sources are taken modulo how
/// many there are, so every edit of a scenario gives a valid one. A scenario with a field that this
/// version does not know is refused, because it would be another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The seed that it was drawn from, which is also the seed of all delays.
    pub seed: u64,
    /// The mode in which it was drawn, for reports.
    pub mode: Mode,
    /// The streams, each name once.
    pub streams: Vec<StreamPlan>,
    /// The instances that write, 1 or more: `master`, `w1`, `w2`, ...
    pub writers: Vec<WriterPlan>,
    /// The instances that follow, 1 or more: `f0`, `f1`, ...
    pub followers: Vec<FollowerPlan>,
    /// The minimum and maximum delay of a message on one link, in microseconds.
    pub delay_us: (u32, u32),
    /// The most rows of a page of a fetch, 1 or more.
    pub page_rows_max: u32,
    /// The events, by time. One after `faults_end_ms` takes place at `faults_end_ms`.
    pub events: Vec<Timed>,
    /// The end of the safety phase: all faults end then, and everything must arrive.
    pub faults_end_ms: u32,
}

/// The way in which a scenario was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// There are no faults.
    Calm,
    /// Each kind of fault is on or off for the whole run, at a rate of its own: a run with every
    /// fault at once hides errors that show in quieter ones.
    Swarm,
    /// Every kind of fault is on.
    Storm,
    /// An order of events that is known to be hard.
    Pattern(Pattern),
}

/// One stream of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamPlan {
    /// The name, which decides the class (`synrepl_core::stream::traits`).
    pub name: String,
    /// The writers, by number. They share one sequence of tokens, unless the stream is resettable.
    pub writers: Vec<u8>,
}

/// One writing instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterPlan {
    /// The rules by which it sends.
    pub manners: Manners,
    /// The time at which it first starts, in milliseconds.
    pub starts_ms: u32,
}

/// The rules by which a writer sends.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Manners {
    /// Those of our own core, which publishes from a simulated log.
    Ours,
    /// Those of Synapse 1.97 and later: announces in its send loop, from the last token sent
    /// (`protocol.md` 5.3, 5.4).
    #[default]
    Synapse,
    /// Those of Synapse 1.22 to 1.96: announces its current token at once, ahead of rows still to
    /// be sent (known bug A33; `protocol.md` H9).
    Hasty,
    /// Those of Synapse 1.13 to 1.13.x: does not announce when it reconnects to the bus (known bug
    /// A28), so rows written meanwhile can be lost without a trace on the wire.
    Mute,
}

/// One following instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowerPlan {
    /// The transport by which it reaches the writers.
    pub via: Via,
    /// Whether it starts from the beginning rather than from now.
    pub from_beginning: bool,
    /// Whether it publishes nothing, not even REPLICATE.
    pub observe_only: bool,
    /// Whether it runs with very small limits, so that every queue overflows.
    pub tight_limits: bool,
    /// Whether it gives up a fetch after two failures and reports a gap.
    pub gives_up: bool,
    /// The number of the writer whose name it has, if two instances are to share one name.
    pub namesake_of: Option<u8>,
    /// Whether it audits: it compares from time to time what it delivered with the writers' logs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// The time that its application takes for one event, in microseconds.
    pub handler_us: u32,
}

/// The transport by which a follower reaches the writers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Via {
    /// A subscription to the bus, which connects it to all writers.
    #[default]
    Bus,
    /// A direct TCP connection to `master`, in this dialect.
    Tcp(Dialect),
}

impl Scenario {
    /// Returns the name of a writer as it is on the wire.
    pub fn writer_name(number: usize) -> String {
        if number == 0 { "master".to_owned() } else { format!("w{number}") }
    }

    /// Returns the name of a follower as it is on the wire.
    pub fn follower_name(&self, number: usize) -> String {
        match self.followers[number].namesake_of {
            Some(writer) => Self::writer_name(usize::from(writer) % self.writers.len().max(1)),
            None => format!("f{number}"),
        }
    }
}
