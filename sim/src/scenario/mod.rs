//! What happens in a run, as plain data.
//!
//! Everything in a [`Scenario`] is explicit: who is there, what is written and what goes wrong, each
//! at its time. The only chance left is how long each message takes, which is a function of the
//! seed, the link and the number of the message on it; so an edit of one event leaves the others as
//! they were, and a shrunk scenario is still the same story.

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

/// A whole run. Numbers of writers, followers and sources are taken modulo what there is, so that
/// any edit of a scenario is a scenario. One with a field that this version does not know is not
/// read: it would be another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where it came from, and the seed of all delays.
    pub seed: u64,
    /// How it was drawn, for reports.
    pub mode: Mode,
    /// Streams, each name once.
    pub streams: Vec<StreamPlan>,
    /// Instances that write, 1 or more: `master`, `w1`, `w2`, ...
    pub writers: Vec<WriterPlan>,
    /// Instances that follow, 1 or more: `f0`, `f1`, ...
    pub followers: Vec<FollowerPlan>,
    /// How long a message takes on one leg, in microseconds: at least, at most.
    pub delay_us: (u32, u32),
    /// Rows that a fetch page holds at most, 1 or more.
    pub page_rows_max: u32,
    /// What happens, by time. Events after `faults_end_ms` happen at it.
    pub events: Vec<Timed>,
    /// When the safety phase ends: all faults are gone then, and everything must arrive.
    pub faults_end_ms: u32,
}

/// How a scenario was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// Nothing goes wrong.
    Calm,
    /// Each kind of fault is there or not for the whole run, each at a rate of its own. Runs in
    /// which everything goes wrong at once hide the errors of quieter ones.
    Swarm,
    /// Everything goes wrong.
    Storm,
    /// An order of events that is known to be hard.
    Pattern(Pattern),
}

/// One stream of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamPlan {
    /// Its name; that decides its class (`synrepl_core::stream::traits`).
    pub name: String,
    /// Who writes it, by number. They share one sequence of tokens, unless it is resettable.
    pub writers: Vec<u8>,
}

/// One writing instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterPlan {
    /// By whose rules it sends.
    pub manners: Manners,
    /// When it first appears.
    pub starts_ms: u32,
}

/// By whose rules a writer sends.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Manners {
    /// Our own publishing core, with a simulated log.
    Ours,
    /// Synapse 1.97 and later: announces in its send loop, from the last token sent
    /// (`protocol.md` 5.3, 5.4).
    #[default]
    Synapse,
    /// Synapse 1.22 to 1.96: announces its current token at once, ahead of rows still to be sent
    /// (known bug A33; `protocol.md` H9).
    Hasty,
    /// Synapse 1.13 to 1.13.x: does not announce when it comes back to the bus (known bug A28).
    /// What it wrote meanwhile can be lost without a trace on the wire.
    Mute,
}

/// One following instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowerPlan {
    /// How it reaches the writers.
    pub via: Via,
    /// Whether it starts from the beginning rather than from now.
    pub from_beginning: bool,
    /// Publishes nothing, not even REPLICATE.
    pub observe_only: bool,
    /// Runs with very small limits, so that every queue overflows.
    pub tight_limits: bool,
    /// Gives a fetch up after two failures and reports a gap.
    pub gives_up: bool,
    /// Has the name of this writer: two instances with one name.
    pub namesake_of: Option<u8>,
    /// Compares from time to time what it was given with what the writers hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// How long its application takes for one event, in microseconds.
    pub handler_us: u32,
}

/// How a follower reaches the writers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Via {
    /// One subscription behind which all writers are.
    #[default]
    Bus,
    /// A direct TCP connection to `master`, in this dialect.
    Tcp(Dialect),
}

impl Scenario {
    /// Name of a writer, as on the wire.
    pub fn writer_name(number: usize) -> String {
        if number == 0 { "master".to_owned() } else { format!("w{number}") }
    }

    /// Name of a follower, as on the wire.
    pub fn follower_name(&self, number: usize) -> String {
        match self.followers[number].namesake_of {
            Some(writer) => Self::writer_name(usize::from(writer) % self.writers.len().max(1)),
            None => format!("f{number}"),
        }
    }
}
