//! Replay of a recorded run: the lines of a trace enter, the first [`Difference`] between them and
//! a new node leaves, or the proof that there is none (promise C1).

use std::{collections::VecDeque, fmt};

use serde::Deserialize;
use thiserror::Error;

use super::{TRACE_VERSION, TraceLine};
use crate::{
    action::Action,
    error::{ConfigError, Misuse},
    node::Node,
    printable::Printable,
};

/// The longest message about a line that is shown, in characters: the JSON reader lists the names
/// that it knows before it names the place.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Replays a trace, line by line, on a node of its own, and stops at the first difference.
///
/// Every whole line is handed in with [`Replayer::line`], then the text behind the last line feed
/// with [`Replayer::finish`]. At most the actions of one input are kept at a time.
#[derive(Debug, Default)]
pub struct Replayer {
    /// `None` until the header was read.
    node: Option<Node>,
    /// The actions that the node returned and that the trace has not shown yet.
    due: VecDeque<Action>,
    lines: u64,
    inputs: u64,
    actions: u64,
}

/// The result of a replay in which everything agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Replay {
    /// The number of inputs that were handed to the node.
    pub inputs: u64,
    /// The number of actions that were compared, all equal.
    pub actions: u64,
    /// The end of the trace.
    pub end: End,
}

/// The end of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The trace ends with every action of the last input.
    Complete,
    /// The trace ends inside a line: the recorder was killed, or its disk was full. Everything
    /// before agreed.
    InsideLine {
        /// The number of the broken line, from 1.
        line: u64,
    },
    /// The trace ends before actions of its last input: the recorder was killed between two lines.
    /// Everything before agreed.
    BeforeActions {
        /// The number of actions that are missing.
        missing: u64,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("ends with every action of its last input"),
            Self::InsideLine { line } => {
                write!(f, "ends inside line {line}; everything before it agreed")
            }
            Self::BeforeActions { missing } => {
                let plural = if *missing == 1 { "" } else { "s" };
                write!(
                    f,
                    "ends before {missing} action{plural} of its last input; everything before it \
                     agreed"
                )
            }
        }
    }
}

/// The first place at which a replayed node and its trace do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The number of the line in the trace, from 1.
    pub line: u64,
    /// The number of inputs that were handed in before.
    pub inputs: u64,
    /// The action in the trace; `None` if it has no action there.
    pub expected: Option<Action>,
    /// The action that the node returned; `None` if it returned no more.
    pub got: Option<Action>,
}

/// The reason why a replay stopped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The first line is not the header of a trace.
    #[error(
        "line 1 is not the header of a trace ({}): expected \
         {{\"synrepl_trace\":{TRACE_VERSION},...}}, as `synrepl follow --record FILE` writes it",
        Printable::new(.message, MESSAGE_CHARS_MAX)
    )]
    NotATrace {
        /// The fault of the line, or what stands there instead.
        message: String,
    },
    /// The trace has a format that is not known here.
    #[error(
        "the trace has format version {found}, this program reads version {TRACE_VERSION}: \
         replay it with the version of synrepl that recorded it"
    )]
    UnknownVersion {
        /// The version that the header names.
        found: u64,
    },
    /// The settings in the header cannot work.
    #[error("line 1: {0}")]
    Config(#[from] ConfigError),
    /// A line is not part of a trace.
    #[error(
        "line {line} is not a line of a trace: {}", Printable::new(.message, MESSAGE_CHARS_MAX)
    )]
    BadLine {
        /// The number of the line, from 1.
        line: u64,
        /// The fault of the line, with the column.
        message: String,
    },
    /// The node refused an input: the driver broke its contract, or the node has changed.
    #[error("line {line}: the node refuses this input: {misuse}")]
    Refused {
        /// The line of the input, from 1.
        line: u64,
        /// The reason why the node refuses it.
        misuse: Misuse,
    },
    /// The node returned another action than the trace has.
    #[error("line {}: after {} inputs the actions differ", .0.line, .0.inputs)]
    Different(Box<Difference>),
}

impl ReplayError {
    /// Returns whether the trace could be read and the node behaved differently; otherwise the
    /// trace is at fault.
    pub const fn is_difference(&self) -> bool {
        matches!(self, Self::Different(_) | Self::Refused { .. })
    }
}

/// The one field that every version of the header has.
#[derive(Deserialize)]
struct Version {
    synrepl_trace: u64,
}

impl Replayer {
    /// Creates a replayer that waits for the header.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next whole line, with or without its line feed.
    ///
    /// # Errors
    /// [`ReplayError`] if the line cannot be read, or at the first difference. The replayer cannot
    /// be used afterwards.
    pub fn line(&mut self, line: &[u8]) -> Result<(), ReplayError> {
        self.lines += 1;
        let number = self.lines;
        let Some(node) = &mut self.node else {
            let mut node = read_header(line)?;
            drain(&mut node, &mut self.due);
            self.node = Some(node);
            return Ok(());
        };
        let line: TraceLine<'_> = serde_json::from_slice(line)
            .map_err(|error| ReplayError::BadLine { line: number, message: error.to_string() })?;
        match line {
            TraceLine::Header { .. } => Err(ReplayError::BadLine {
                line: number,
                message: "a second header; one file holds one run".to_owned(),
            }),
            TraceLine::Input { now, input } => {
                if let Some(got) = self.due.pop_front() {
                    return Err(self.different(None, Some(got)));
                }
                node.handle(now, input.into_owned())
                    .map_err(|misuse| ReplayError::Refused { line: number, misuse })?;
                drain(node, &mut self.due);
                self.inputs += 1;
                Ok(())
            }
            TraceLine::Action(expected) => {
                let got = self.due.pop_front();
                if got.as_ref() != Some(&*expected) {
                    return Err(self.different(Some(expected.into_owned()), got));
                }
                self.actions += 1;
                Ok(())
            }
        }
    }

    /// Ends the replay. `rest` is the text behind the last line feed, normally empty.
    ///
    /// A trace that breaks off is no error, because a recorder that was killed leaves one:
    /// everything before its end agreed, and [`Replay::end`] names the place.
    ///
    /// # Errors
    /// As [`Replayer::line`].
    pub fn finish(mut self, rest: &[u8]) -> Result<Replay, ReplayError> {
        if self.node.is_none() && rest.is_empty() {
            return Err(ReplayError::NotATrace { message: "the file is empty".to_owned() });
        }
        let mut end = End::Complete;
        if !rest.is_empty() {
            let broken = serde_json::from_slice::<serde::de::IgnoredAny>(rest)
                .is_err_and(|error| error.is_eof());
            if self.node.is_some() && broken {
                end = End::InsideLine { line: self.lines + 1 };
            } else {
                self.line(rest)?;
            }
        }
        if end == End::Complete && !self.due.is_empty() {
            end = End::BeforeActions { missing: self.due.len() as u64 };
        }
        Ok(Replay { inputs: self.inputs, actions: self.actions, end })
    }

    fn different(&self, expected: Option<Action>, got: Option<Action>) -> ReplayError {
        let (line, inputs) = (self.lines, self.inputs);
        ReplayError::Different(Box::new(Difference { line, inputs, expected, got }))
    }
}

fn read_header(line: &[u8]) -> Result<Node, ReplayError> {
    let not_a_trace =
        |error: serde_json::Error| ReplayError::NotATrace { message: error.to_string() };
    let Version { synrepl_trace } = serde_json::from_slice(line).map_err(not_a_trace)?;
    if synrepl_trace != TRACE_VERSION {
        return Err(ReplayError::UnknownVersion { found: synrepl_trace });
    }
    match serde_json::from_slice(line).map_err(not_a_trace)? {
        TraceLine::Header { config, .. } => Ok(Node::new(config.into_owned())?),
        TraceLine::Input { .. } | TraceLine::Action(_) => {
            Err(ReplayError::NotATrace { message: "it has no settings".to_owned() })
        }
    }
}

fn drain(node: &mut Node, due: &mut VecDeque<Action>) {
    while let Some(action) = node.poll_action() {
        due.push_back(action);
    }
}

#[cfg(test)]
mod tests;
