//! A node that follows the sources of a corpus, all of them live, and counts the rows that it
//! delivers.

use std::{collections::BTreeSet, hint::black_box};

use bytes::{Bytes, BytesMut};
use synrepl_core::{
    Action, Config, ConnectionId, Event, Input, Node, Origin, Timestamp,
    wire::{Command, Decoder, Frame, LineDecoder, RespDecoder},
};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// A node with one connection.
#[derive(Clone)]
pub(crate) struct Follower {
    node: Node,
    conn: ConnectionId,
    decoder: Decoder,
    /// The number of rows that were delivered live.
    pub(crate) rows: u64,
}

impl Follower {
    /// Creates a node in which every source of `lines` is live, at token 1, which lies below all
    /// tokens of the corpus.
    pub(crate) fn live(lines: &[u8], decoder: Decoder) -> Self {
        let mut node = Node::new(Config::default()).expect("good settings");
        let Some(Action::Connect { conn }) = node.poll_action() else {
            panic!("the first action is to connect");
        };
        node.handle(NOW, Input::Connected { conn }).expect("connected");
        let mut follower = Self { node, conn, decoder, rows: 0 };
        follower.drain();
        for (stream, instance) in sources(lines) {
            follower.on_line(&Bytes::from(format!("POSITION {stream} {instance} 1 1")));
        }
        follower
    }

    /// Cuts lines, decodes them, lets the node handle them, and drops its actions.
    pub(crate) fn on_lines(&mut self, reads: Vec<BytesMut>) {
        let mut lines = LineDecoder::new();
        for mut read in reads {
            while let Some(line) = lines.decode(&mut read).expect("short lines") {
                self.on_line(&line);
            }
            assert!(read.is_empty(), "a line without its end");
        }
    }

    /// Does the same with published messages.
    pub(crate) fn on_messages(&mut self, reads: Vec<BytesMut>) {
        let mut frames = RespDecoder::default();
        for mut read in reads {
            while let Some(frame) = frames.decode(&mut read).expect("RESP2") {
                let Frame::Message { payload, .. } = frame else { panic!("{frame:?}") };
                self.on_line(&payload);
            }
            assert!(read.is_empty(), "a message without its end");
        }
    }

    #[inline]
    fn on_line(&mut self, line: &Bytes) {
        let command = self.decoder.decode(line).expect("a command");
        self.on_command(command);
    }

    /// Hands one command to the node.
    #[inline]
    pub(crate) fn on_command(&mut self, command: Command) {
        let input = Input::Received { conn: self.conn, command };
        self.node.handle(NOW, input).expect("a good driver");
        self.drain();
    }

    #[inline]
    fn drain(&mut self) {
        while let Some(action) = self.node.poll_action() {
            if let Action::Notify(Event::Rows { rows, origin: Origin::Live, .. }) = &action {
                self.rows += rows.len() as u64;
            }
            black_box(&action);
        }
    }
}

/// Returns the sources whose rows or announcements are in `lines`, by name.
pub(crate) fn sources(lines: &[u8]) -> BTreeSet<(String, String)> {
    let text = std::str::from_utf8(lines).expect("UTF-8");
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let name = fields.next()?;
            matches!(name, "RDATA" | "POSITION")
                .then(|| Some((fields.next()?.to_owned(), fields.next()?.to_owned())))
                .flatten()
        })
        .collect()
}
