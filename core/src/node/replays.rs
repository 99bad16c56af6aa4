//! A server of the oldest dialect answers on the connection itself, and says nothing twice: what
//! becomes of its answers when a line cannot be read or it refuses (`protocol.md` 4.2).

use super::Node;
use crate::{
    connection::named_in,
    follow::{Blame, Replay},
    sources::Role,
    wire::BadRow,
};

impl Node {
    /// A line of a server of the oldest dialect could not be read, which says nothing twice.
    /// Whether all is done that can be.
    pub(super) fn on_lost_line(&mut self, command: &str, row: Option<&BadRow>) -> bool {
        let replays = &mut self.shared.fetches.replays;
        let source = row.and_then(|row| self.sources.find(&row.stream, &row.instance));
        if let Some(Role::Followed(source)) = source {
            return replays.get_mut(source).map(Replay::damage).is_some();
        }
        let waiting = self.shared.unanswered > 0 || !replays.is_empty();
        match command {
            "POSITION" if waiting => {
                self.upstream.on_lost_answer(&self.config, &mut self.shared);
            }
            "RDATA" if row.is_none() => replays.damage_all(),
            _ => return false,
        }
        true
    }

    /// The server is about to close the connection; in the oldest dialect perhaps because it will
    /// not send what was asked for.
    pub(super) fn on_server_error(&mut self, text: &str) {
        let replays = &self.shared.fetches.replays;
        if replays.is_empty() {
            return;
        }
        let asked = replays
            .sources()
            .map(|index| (self.followers[index.as_usize()].0.source().stream(), index));
        let blame = match named_in(text, asked) {
            Some((_, index)) => Blame::Source(index),
            None if text.contains("unknown stream") => Blame::Other,
            None => Blame::Unknown,
        };
        self.refused = Some((text.to_owned(), blame));
    }
}
