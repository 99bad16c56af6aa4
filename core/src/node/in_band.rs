//! Lines of a server of the oldest dialect that could not be read, and its refusals: such a server
//! repeats nothing (`protocol.md` 4.2). An answer that may lack a row is not used (F2).

use super::Node;
use crate::{follow::Follower, ids::SourceIndex, inband::Blame, sources::Role, wire::BadRow};

impl Node {
    /// Handles a line that could not be read. Returns whether all is done that can be; otherwise it
    /// is for the source of the line to do.
    pub(super) fn on_lost_line(&mut self, command: &str, row: Option<&BadRow>) -> bool {
        let source = row.and_then(|row| self.sources.find(&row.stream, &row.instance));
        if let Some(Role::Followed(source)) = source {
            return self.followers[source.as_usize()].damage_answer();
        }
        let is_waiting = self.env.unconfirmed > 0 || !self.env.queries.in_band().is_empty();
        match command {
            "POSITION" if is_waiting => {
                self.connections.upstream.on_unreadable_answer(&mut self.env)
            }
            // The line may have been part of any answer.
            "RDATA" if row.is_none() => self.damage_all_answers(),
            _ => return false,
        }
        true
    }

    fn damage_all_answers(&mut self) {
        for source in self.env.queries.in_band() {
            self.followers[source.as_usize()].damage_answer();
        }
    }

    /// Handles an ERROR: the server is about to close the connection, perhaps because it will not
    /// send what was requested.
    pub(super) fn on_server_error(&mut self, text: &str) {
        let in_band = self.env.queries.in_band();
        if in_band.is_empty() {
            return;
        }
        let stream = |source: &SourceIndex| {
            let follower: &Follower = &self.followers[source.as_usize()];
            (follower.source().stream(), *source)
        };
        let blame = Blame::of(text, in_band.iter().map(stream));
        self.refused = Some((text.to_owned(), blame));
    }
}
