//! The messages of a trace: a number enters, the text, the lane and the source of its sending
//! leave.

use std::collections::BTreeMap;

use synrepl_core::stream::Source;

use crate::trace::{Moment, Trace, What};

/// The messages of a trace by number, each with the moment of its sending and its text.
pub(super) struct Messages<'a>(BTreeMap<u64, (&'a Moment, &'a str)>);

impl<'a> Messages<'a> {
    pub(super) fn of(trace: &'a Trace) -> Self {
        let sent = trace.moments.iter().filter_map(|moment| match &moment.what {
            What::Sent { message, text, .. } => Some((*message, (moment, text.as_str()))),
            What::Received { .. }
            | What::Lost { .. }
            | What::Wrote { .. }
            | What::Input { .. }
            | What::Event { .. }
            | What::Fault { .. }
            | What::Violation { .. }
            | What::FaultsEnd => None,
        });
        Self(sent.collect())
    }

    /// Returns the text of a message; empty if its sending was not recorded.
    pub(super) fn text(&self, message: u64) -> &'a str {
        self.0.get(&message).map_or("", |(_, text)| text)
    }

    /// Returns whether a moment concerns a PING.
    pub(super) fn is_keep_alive(&self, moment: &Moment) -> bool {
        let text = match &moment.what {
            What::Sent { text, .. } => text,
            What::Received { message } | What::Lost { message, .. } => self.text(*message),
            What::Wrote { .. }
            | What::Input { .. }
            | What::Event { .. }
            | What::Fault { .. }
            | What::Violation { .. }
            | What::FaultsEnd => return false,
        };
        text.starts_with("PING ")
    }

    /// Returns the lane that a message came from.
    pub(super) fn origin(&self, message: u64) -> Option<usize> {
        self.0.get(&message).map(|(moment, _)| moment.lane)
    }

    /// Returns the source of a moment: its own, or else that of the message that it concerns.
    pub(super) fn source(&self, moment: &'a Moment) -> Option<&'a Source> {
        let (What::Received { message } | What::Lost { message, .. }) = &moment.what else {
            return moment.source.as_ref();
        };
        let sent = self.0.get(message).and_then(|(sent, _)| sent.source.as_ref());
        moment.source.as_ref().or(sent)
    }
}

/// Returns the index of the moment of the first broken promise.
pub(super) fn first_violation(trace: &Trace) -> Option<usize> {
    trace.moments.iter().position(|moment| matches!(moment.what, What::Violation { .. }))
}
