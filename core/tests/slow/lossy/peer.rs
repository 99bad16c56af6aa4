//! The peers of the writer: each reads its commands as slowly as the steps say.

use std::collections::{BTreeMap, VecDeque};

use synrepl_core::{
    ByteString, ConnectionId, Input,
    stream::Token,
    wire::{Command, Dialect, Replicate},
};

use super::{Outcome, STREAMS, World, reader::Reader};

pub(crate) struct Peer {
    pub(crate) conn: ConnectionId,
    pub(crate) dialect: Dialect,
    pub(crate) pending: VecDeque<Command>,
    pub(crate) readers: BTreeMap<String, Reader>,
}

impl World {
    pub(super) fn deliver_to(&mut self, conn: ConnectionId, command: Command) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.conn == conn) {
            peer.pending.push_back(command);
        }
    }

    pub(super) fn accept(&mut self, dialect: Dialect) -> Outcome {
        if self.peers.len() >= 4 {
            return Ok(());
        }
        let conn = ConnectionId::accepted(self.accepted);
        self.accepted += 1;
        let (pending, readers) = (VecDeque::new(), BTreeMap::new());
        self.peers.push(Peer { conn, dialect, pending, readers });
        self.handle(Input::Accepted { conn, dialect })
    }

    pub(super) fn ask(&mut self, which: usize, stream: usize, behind: u8) -> Outcome {
        if self.peers.is_empty() {
            return Ok(());
        }
        let which = which % self.peers.len();
        let name = STREAMS[stream % STREAMS.len()];
        let log = &self.logs[name];
        let peer = &mut self.peers[which];
        let oldest = !peer.dialect.names_instances();
        if oldest && !peer.readers.contains_key(name) {
            let from = Token::new((log.end - i64::from(behind)).max(0));
            peer.readers.entry(name.to_owned()).or_default().asks_from(from);
            let (stream, from) = (ByteString::from(name), Some(from));
            let command = Command::Replicate(Replicate::Stream { stream, from });
            return self.handle(Input::Received { conn: self.peers[which].conn, command });
        }
        if oldest {
            return Ok(());
        }
        let command = Command::Replicate(Replicate::Everything);
        let conn = peer.conn;
        self.handle(Input::Received { conn, command })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about own streams")]
    pub(super) fn take(&mut self, which: usize, count: usize) -> Outcome {
        if self.peers.is_empty() {
            return Ok(());
        }
        let which = which % self.peers.len();
        let peer = &mut self.peers[which];
        let count = count.min(peer.pending.len());
        for command in peer.pending.drain(..count) {
            let outcome = match &command {
                Command::Rdata(rdata) => {
                    let reader = peer.readers.entry(rdata.stream.to_string()).or_default();
                    reader.on_rdata(&self.logs[&*rdata.stream], rdata)
                }
                Command::Position(position) => {
                    let reader = peer.readers.entry(position.stream.to_string()).or_default();
                    reader.on_position(&self.logs[&*position.stream], position)
                }
                _ => Ok(()),
            };
            outcome.map_err(|broken| format!("{} {}: {broken}", peer.conn, peer.dialect))?;
        }
        let conn = peer.conn;
        match u32::try_from(count) {
            Ok(0) | Err(_) => Ok(()),
            Ok(count) => self.handle(Input::Sent { conn, count }),
        }
    }
}
