//! What a server of the oldest dialect is asked for, and what it means that it refuses.

use std::collections::BTreeSet;

use bytestring::ByteString;

use crate::{
    config::Config,
    ids::SourceIndex,
    wire::{Command, Replicate},
};

/// What became of the answers that were coming in on a lost connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost<'a> {
    /// The last ERROR of the server, or what the system said.
    pub(crate) reason: &'a str,
    /// Why the server closed the connection, as far as it said so.
    pub(crate) blame: Blame,
}

/// The request that a server would not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Blame {
    /// It did not say.
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
            None if says_unknown_stream(text) => Self::Other,
            None => Self::Unknown,
        }
    }
}

/// Whether an ERROR says that the server has no stream of some name.
pub(crate) fn says_unknown_stream(text: &str) -> bool {
    text.contains("unknown stream")
}

/// Subscribes to everything, or to the wanted streams but for those that the server does not have: it
/// closes the connection each time it is asked for one of them.
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

/// The first of `names` that an ERROR names: `failed to handle replicate: Exception('unknown
/// stream %s', 'x')`, `... stream x has fallen behind` (`seen.md`).
pub(crate) fn named_in<'a, T>(
    text: &str,
    names: impl Iterator<Item = (&'a str, T)>,
) -> Option<(&'a str, T)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = text.split(|c| !is_word(c)).collect();
    names.into_iter().find(|(name, _)| words.contains(name))
}
