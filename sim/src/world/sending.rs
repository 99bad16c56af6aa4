//! What a writer says on the bus, by the rules of Synapse's send loop (`protocol.md` 5.3, 5.4).

use bytes::Bytes;
use synrepl_core::stream::{Order, Row, Source, Token};

use super::log::Log;

/// What a writer says of one of its logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// There is nothing else between the two tokens.
    Position { prev: Token, new: Token },
    /// The rows of one token.
    Batch { token: Token, rows: Vec<Row> },
}

/// What one look of the send loop at a log puts on the bus. The log counts as sent up to its end.
pub(crate) fn look(log: &mut Log, announce: bool) -> Vec<Said> {
    let (prev, current) = (log.last_token, log.current);
    let mut said = Vec::new();
    if announce {
        said.push(Said::Position { prev, new: prev });
    }
    if prev == current {
        return said;
    }
    log.last_token = current;
    let mut updates: Vec<_> = log.between(prev, current).collect();
    if log.traits.order == Order::Bursts {
        updates.reverse();
    }
    if log.traits.order == Order::Loose && updates.len() > 1 {
        // The look is not bounded and so sees rows again.
        updates.extend_from_within(updates.len() - 2..);
    }
    let mut last_sent = prev;
    for (token, rows) in updates {
        said.push(Said::Batch { token, rows: rows.clone() });
        last_sent = token;
    }
    if last_sent < current {
        said.push(Said::Position { prev: last_sent, new: current });
    }
    said
}

impl Said {
    /// The lines that say it.
    pub(crate) fn lines(&self, source: &Source) -> Vec<Bytes> {
        let (stream, instance) = (source.stream(), source.instance());
        match self {
            Self::Position { prev, new } => {
                vec![Bytes::from(format!("POSITION {stream} {instance} {prev} {new}"))]
            }
            Self::Batch { token, rows } => {
                let line = |(number, row): (usize, &Row)| {
                    let row = row.as_str();
                    Bytes::from(if number + 1 == rows.len() {
                        format!("RDATA {stream} {instance} {token} {row}")
                    } else {
                        format!("RDATA {stream} {instance} batch {row}")
                    })
                };
                rows.iter().enumerate().map(line).collect()
            }
        }
    }
}

/// An RDATA cut behind its names: were they damaged as well, nobody could know what is lost.
pub(crate) fn damaged(line: &Bytes, byte: u8) -> Bytes {
    let names: usize = line.split(|byte| *byte == b' ').take(3).map(|word| word.len() + 1).sum();
    let rest = line.len().saturating_sub(names).max(1);
    line.slice(..(names + usize::from(byte) % rest).min(line.len()))
}
