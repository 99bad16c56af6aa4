//! The subscriptions at a server of the oldest dialect, and the meaning of its refusals.
//!
//! What enters: the text of an ERROR. What leaves: the request that it is about, so that no other
//! source counts a failure.

use std::collections::BTreeSet;

use bytestring::ByteString;

use crate::{
    config::Config,
    ids::SourceIndex,
    wire::{Command, Replicate},
};

/// The end of the answers that were coming in on a lost connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost<'a> {
    /// The last ERROR of the server, or the reason with which the connection ended.
    pub(crate) reason: &'a str,
    /// The request for which the server closed the connection, as far as its ERROR names one.
    pub(crate) blame: Blame,
}

/// The request that a server refused to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Blame {
    /// Its ERROR names no request.
    Unknown,
    /// The request for rows of this source.
    Source(SourceIndex),
    /// A request for something else than rows.
    Other,
}

impl Blame {
    /// Reads an ERROR; `asked` are the streams whose rows were requested, with their sources.
    pub(crate) fn of<'a>(text: &str, asked: impl Iterator<Item = (&'a str, SourceIndex)>) -> Self {
        match named_in(text, asked) {
            Some((_, source)) => Self::Source(source),
            None if names_unknown_stream(text) => Self::Other,
            None => Self::Unknown,
        }
    }
}

/// Returns whether an ERROR states that the server has no stream of some name.
pub(crate) fn names_unknown_stream(text: &str) -> bool {
    text.contains("unknown stream")
}

/// Returns the commands that subscribe to everything, or to the wanted streams but for those that
/// the server does not have (`unknown`): it closes the connection each time that one of them is
/// requested.
pub(crate) fn subscriptions(
    config: &Config,
    unknown: &BTreeSet<String>,
) -> impl Iterator<Item = Command> {
    let all = config.streams.is_none().then_some("ALL");
    let wanted = config.streams.iter().flatten().filter(|stream| !unknown.contains(*stream));
    all.into_iter().chain(wanted.map(String::as_str)).map(|stream| {
        Command::Replicate(Replicate::Stream { stream: ByteString::from(stream), from: None })
    })
}

/// Returns the first of `names` that an ERROR names: `failed to handle replicate:
/// Exception('unknown stream %s', 'x')`, `... stream x has fallen behind` (`seen.md`).
pub(crate) fn named_in<'a, T>(
    text: &str,
    names: impl Iterator<Item = (&'a str, T)>,
) -> Option<(&'a str, T)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = text.split(|c| !is_word(c)).collect();
    names.into_iter().find(|(name, _)| words.contains(name))
}
