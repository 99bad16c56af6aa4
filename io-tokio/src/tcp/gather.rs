//! The way of commands to accepted connections. Commands enter with their audience, and are encoded
//! once per dialect; chunks leave to the outboxes of the audience, a turn's worth at a time, in
//! order.

use std::sync::Arc;

use bytes::BytesMut;
use synrepl_core::{
    Audience, ConnectionId,
    wire::{Command, Dialect, EncodeError},
};

use super::{
    line::{self, LineError},
    outbox::Outbox,
    output::Chunk,
};

/// The size in bytes at which a chunk is handed over. What a slow peer has taken is freed a chunk
/// at a time.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// The commands in a row that are for the same connections.
#[derive(Default)]
pub(super) struct Gather {
    to: To,
    /// The lines, one entry per dialect that is spoken there.
    spoken: Vec<PerDialect>,
    /// The outboxes of the connections, each with the index of its dialect in `spoken`.
    members: Vec<(usize, Arc<Outbox>)>,
    /// Set once something was added since the last flush.
    pending: bool,
}

#[derive(Default)]
enum To {
    #[default]
    Nobody,
    One(ConnectionId),
    All(Arc<Audience>),
}

struct PerDialect {
    dialect: Dialect,
    lines: BytesMut,
    commands: u32,
    chunk: Chunk,
}

impl Gather {
    /// Returns whether what is added goes to exactly this audience.
    pub(super) fn targets_audience(&self, audience: &Arc<Audience>) -> bool {
        // Each stream has a list of its own, mostly with the same connections.
        matches!(&self.to, To::All(present)
            if Arc::ptr_eq(present, audience) || present.connections() == audience.connections())
    }

    /// Returns whether what is added goes to this connection alone.
    pub(super) fn is_at_one(&self, conn: ConnectionId) -> bool {
        matches!(self.to, To::One(present) if present == conn)
    }

    /// Directs what is added from now on to these connections. Hands over what was for others.
    pub(super) fn target_audience<'a>(
        &mut self,
        audience: &Arc<Audience>,
        members: impl IntoIterator<Item = (Dialect, &'a Arc<Outbox>)>,
    ) {
        self.aim(To::All(Arc::clone(audience)), members);
    }

    /// Directs what is added from now on to this connection. Hands over what was for others.
    pub(super) fn aim_at_one(
        &mut self,
        conn: ConnectionId,
        dialect: Dialect,
        outbox: &Arc<Outbox>,
    ) {
        self.aim(To::One(conn), [(dialect, outbox)]);
    }

    fn aim<'a>(&mut self, to: To, members: impl IntoIterator<Item = (Dialect, &'a Arc<Outbox>)>) {
        self.flush();
        self.to = to;
        self.members.clear();
        self.spoken.clear();
        for (dialect, outbox) in members {
            let known = self.spoken.iter().position(|spoken| spoken.dialect == dialect);
            let place = known.unwrap_or_else(|| {
                let (lines, chunk) = (BytesMut::new(), Chunk::default());
                self.spoken.push(PerDialect { dialect, lines, commands: 0, chunk });
                self.spoken.len() - 1
            });
            self.members.push((place, Arc::clone(outbox)));
        }
    }

    /// Adds a command. Where it has no line it counts as sent as well.
    pub(super) fn add(&mut self, command: &Command) {
        let mut is_long = false;
        for spoken in &mut self.spoken {
            spoken.commands += 1;
            if let Err(error) = line::append(command, spoken.dialect, &mut spoken.lines) {
                log_unencodable(command, spoken.dialect, &error);
            }
            is_long |= spoken.lines.len() >= CHUNK_BYTES_MAX;
        }
        self.pending = true;
        if is_long {
            self.flush();
        }
    }

    /// Hands over what was added.
    pub(super) fn flush(&mut self) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        for spoken in &mut self.spoken {
            let commands = std::mem::take(&mut spoken.commands);
            spoken.chunk = Chunk { lines: spoken.lines.split().freeze(), commands };
        }
        for (place, outbox) in &self.members {
            outbox.push(self.spoken[*place].chunk.clone());
        }
        for spoken in &mut self.spoken {
            spoken.chunk = Chunk::default();
        }
    }
}

/// Logs that a command has no line. Where the dialect lacks the command that is normal; anything
/// else is a warning.
#[cold]
fn log_unencodable(command: &Command, dialect: Dialect, error: &LineError) {
    let command = command.name();
    if matches!(error, LineError::Encode(EncodeError::NotInDialect { .. })) {
        tracing::debug!(command, %dialect, "left out: not in the peers' dialect");
    } else {
        tracing::warn!(command, %dialect, %error, "command not sent to peers");
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use synrepl_core::wire::LINE_BYTES_MAX;

    use super::*;

    fn ping(text: &str) -> Command {
        Command::Ping(text.to_owned().into())
    }

    /// Returns the lines and the number of commands of each chunk in the outbox.
    fn taken(outbox: &Outbox) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        outbox.take(&mut Context::from_waker(Waker::noop()), |chunk| {
            found.push((String::from_utf8(chunk.lines.to_vec()).unwrap(), chunk.commands));
        });
        found
    }

    fn outboxes<const N: usize>() -> [Arc<Outbox>; N] {
        std::array::from_fn(|_| Arc::default())
    }

    fn audience(count: u64) -> Arc<Audience> {
        Arc::new((0..count).map(ConnectionId::accepted).collect())
    }

    #[test]
    fn peers_of_one_dialect_share_one_encoding() {
        let outboxes: [_; 3] = outboxes();
        let everyone = audience(3);
        let mut gather = Gather::default();
        let members = outboxes.iter().map(|outbox| (Dialect::V1_22, outbox));
        gather.target_audience(&everyone, members);
        gather.add(&ping("1"));
        gather.add(&ping("2"));
        gather.flush();
        let mut addresses = Vec::new();
        for outbox in &outboxes {
            outbox.take(&mut Context::from_waker(Waker::noop()), |chunk| {
                assert_eq!((&*chunk.lines, chunk.commands), (&b"PING 1\nPING 2\n"[..], 2));
                addresses.push(chunk.lines.as_ptr());
            });
        }
        assert_eq!(addresses.len(), 3);
        assert!(addresses.iter().all(|address| *address == addresses[0]));
    }

    #[test]
    fn each_dialect_has_its_own_lines_and_what_it_lacks_counts_as_sent() {
        let [old, new] = outboxes();
        let mut gather = Gather::default();
        gather.target_audience(&audience(2), [(Dialect::V0_23, &old), (Dialect::V1_22, &new)]);
        let position = synrepl_core::wire::Position {
            stream: "typing".into(),
            instance: "w".into(),
            prev: 3.into(),
            token: 5.into(),
            ends_catch_up: false,
        };
        gather.add(&Command::Position(position));
        gather.add(&Command::ClearUserSync("id".into()));
        gather.flush();
        assert_eq!(taken(&old), [("POSITION typing 5\n".to_owned(), 2)]);
        assert_eq!(taken(&new), [("POSITION typing w 3 5\nCLEAR_USER_SYNC id\n".to_owned(), 2)]);
    }

    #[test]
    fn the_order_among_broadcasts_and_single_commands_is_kept() {
        let [a, b] = outboxes();
        let everyone = audience(2);
        let mut gather = Gather::default();
        let broadcast = |gather: &mut Gather, text| {
            if !gather.targets_audience(&everyone) {
                gather.target_audience(&everyone, [(Dialect::LATEST, &a), (Dialect::LATEST, &b)]);
            }
            gather.add(&ping(text));
        };
        broadcast(&mut gather, "1");
        broadcast(&mut gather, "2");
        gather.aim_at_one(ConnectionId::accepted(0), Dialect::LATEST, &a);
        assert!(gather.is_at_one(ConnectionId::accepted(0)));
        gather.add(&ping("3"));
        broadcast(&mut gather, "4");
        gather.flush();
        let text = |outbox| taken(outbox).into_iter().map(|(lines, _)| lines).collect::<String>();
        assert_eq!(text(&a), "PING 1\nPING 2\nPING 3\nPING 4\n");
        assert_eq!(text(&b), "PING 1\nPING 2\nPING 4\n");
    }

    #[test]
    fn a_line_that_no_peer_takes_is_left_out_and_counts_as_sent() {
        let [peer] = outboxes();
        let mut gather = Gather::default();
        gather.aim_at_one(ConnectionId::accepted(0), Dialect::LATEST, &peer);
        for text in ["1", &"x".repeat(LINE_BYTES_MAX), "2"] {
            gather.add(&ping(text));
        }
        gather.flush();
        assert_eq!(taken(&peer), [("PING 1\nPING 2\n".to_owned(), 3)]);
    }

    #[test]
    fn a_long_turn_is_handed_over_in_chunks() {
        let [peer] = outboxes();
        let mut gather = Gather::default();
        gather.aim_at_one(ConnectionId::accepted(0), Dialect::LATEST, &peer);
        for _ in 0..20 {
            gather.add(&ping(&"x".repeat(10_000)));
        }
        gather.flush();
        let commands: Vec<u32> = taken(&peer).iter().map(|(_, commands)| *commands).collect();
        assert_eq!(commands, [7, 7, 6]);
    }
}
