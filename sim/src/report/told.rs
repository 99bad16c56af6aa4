//! The words for what happened.

use std::collections::BTreeMap;

use synrepl_core::stream::Source;

use crate::trace::{Moment, Trace, What};

/// The messages of a trace by their numbers: where they came from and what they said.
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

    /// What a message said; empty if its sending was not recorded.
    pub(super) fn text(&self, message: u64) -> &'a str {
        self.0.get(&message).map_or("", |(_, text)| text)
    }

    /// Whether a moment is about a PING.
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

    /// The lane that it came from.
    pub(super) fn origin(&self, message: u64) -> Option<usize> {
        self.0.get(&message).map(|(moment, _)| moment.lane)
    }

    /// Which source a moment concerns: its own word, or that of the message that it is about.
    pub(super) fn source(&self, moment: &'a Moment) -> Option<&'a Source> {
        let (What::Received { message } | What::Lost { message, .. }) = &moment.what else {
            return moment.source.as_ref();
        };
        let sent = self.0.get(message).and_then(|(sent, _)| sent.source.as_ref());
        moment.source.as_ref().or(sent)
    }
}

/// The index of the moment of the first broken promise.
pub(super) fn violation(trace: &Trace) -> Option<usize> {
    trace.moments.iter().position(|moment| matches!(moment.what, What::Violation { .. }))
}
