//! The other instances: what they have written, what they have sent, what they still hold.
//!
//! Their rules are those of a well-behaved sender of today (`protocol.md` 5.3, 5.4, 7.5).

use std::fmt::Write as _;

use synrepl_core::stream::{Order, Page, Row, Source, StreamTraits, Token, traits};

/// One token of a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) token: Token,
    pub(crate) rows: Vec<Row>,
}

/// One (stream, writer) pair as its writer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    pub(crate) source: Source,
    pub(crate) traits: StreamTraits,
    pub(crate) writer: usize,
    pub(crate) stream: usize,
    /// What the writer still holds, by token.
    pub(crate) entries: Vec<Entry>,
    /// Everything that was ever written, over all restarts.
    pub(crate) ever: Vec<Entry>,
    /// The highest token this writer knows of.
    pub(crate) current: Token,
    /// Announced or sent up to here.
    pub(crate) last_token: Token,
}

/// An instance that writes some sources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    pub(crate) online: bool,
    pub(crate) must_announce: bool,
}

impl Log {
    pub(crate) fn new(stream: &str, writer: usize, stream_index: usize) -> Self {
        let traits = traits(stream);
        // New database streams take 1 as seen; those in memory start at 0.
        let start = if traits.resettable { Token::START } else { Token::new(1) };
        Self {
            source: Source::new(stream, &format!("w{writer}")),
            traits,
            writer,
            stream: stream_index,
            entries: Vec::new(),
            ever: Vec::new(),
            current: start,
            last_token: start,
        }
    }

    pub(crate) fn append(&mut self, token: Token, rows: u8, serial: &mut u64) {
        let rows = (0..rows)
            .map(|_| {
                *serial += 1;
                Row::from(format!("[{serial}]").as_str())
            })
            .collect();
        let entry = Entry { token, rows };
        self.current = token;
        self.entries.push(entry.clone());
        self.ever.push(entry);
    }

    /// What the send loop would put on the bus now; it counts as sent.
    pub(crate) fn flush(&mut self, announce: bool) -> Vec<String> {
        let (stream, writer) = (self.source.stream(), self.source.instance());
        let mut lines = Vec::new();
        if announce {
            let last = self.last_token;
            lines.push(format!("POSITION {stream} {writer} {last} {last}"));
        }
        if self.last_token == self.current {
            return lines;
        }
        let prev = self.last_token;
        let mut updates: Vec<_> =
            self.entries.iter().filter(|entry| entry.token > prev).cloned().collect();
        if self.traits.order == Order::Bursts {
            updates.reverse();
        }
        if self.traits.order == Order::Loose && updates.len() > 1 {
            // The look is not bounded and so sees rows again.
            updates.extend_from_within(updates.len() - 2..);
        }
        let mut last_sent = prev;
        for Entry { token, rows } in updates {
            let mut line = String::new();
            for (index, row) in rows.iter().enumerate() {
                line.clear();
                write!(line, "RDATA {stream} {writer} ").ok();
                if index + 1 < rows.len() {
                    write!(line, "batch {}", row.as_str()).ok();
                } else {
                    write!(line, "{token} {}", row.as_str()).ok();
                }
                lines.push(line.clone());
            }
            last_sent = token;
        }
        if last_sent < self.current {
            let current = self.current;
            lines.push(format!("POSITION {stream} {writer} {last_sent} {current}"));
        }
        self.last_token = self.current;
        lines
    }

    /// The process dies and comes back.
    pub(crate) fn restart(&mut self) {
        if self.traits.resettable {
            self.entries.clear();
            self.current = Token::START;
        }
        self.last_token = self.current;
    }
}

/// What the fetch source of `log`'s writer answers. `all` are the logs of the same stream, whose
/// rows it shows as well if the stream is like that.
pub(crate) fn page(log: &Log, all: &[&Log], from: Token, upto: Token, rows_max: u32) -> Page {
    let mut entries: Vec<&Entry> = if log.traits.shared_fetch {
        all.iter().flat_map(|log| &log.entries).collect()
    } else {
        log.entries.iter().collect()
    };
    entries.sort_by_key(|entry| entry.token);
    entries.retain(|entry| {
        entry.token > from && (entry.token <= upto || log.traits.order == Order::Loose)
    });
    if log.traits.order == Order::Bursts {
        entries.reverse();
    }
    let mut updates: Vec<(Token, Row)> = entries
        .iter()
        .flat_map(|entry| entry.rows.iter().map(|row| (entry.token, row.clone())))
        .collect();
    let total = updates.len();
    let mut keep = total.min(rows_max as usize);
    if !log.traits.splits_tokens {
        while keep < total && keep > 0 && updates[keep].0 == updates[keep - 1].0 {
            keep += 1;
        }
    }
    updates.truncate(keep);
    if keep < total {
        let upto = updates.last().map_or(from, |(token, _)| *token);
        return Page { updates, upto, limited: true };
    }
    Page { updates, upto, limited: false }
}
