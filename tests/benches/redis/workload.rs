//! The lines of the corpus as messages and as PUBLISH commands.

use std::{collections::BTreeSet, fmt::Write as _};

use bytes::BytesMut;
use synrepl::core::wire::encode_command;

use crate::{CHANNEL, corpus};

/// The lines of a workload. Before them every source announces token 1, which is below all of
/// theirs.
pub(crate) struct Workload {
    lines: Vec<String>,
    pub(crate) messages: usize,
    /// The number of bytes that a subscriber receives.
    pub(crate) message_bytes: usize,
    /// The number of rows, all of which are delivered live.
    pub(crate) rows: u64,
}

impl Workload {
    /// Repeats the corpus so many times, each time with higher tokens.
    pub(crate) fn new(corpus: &[u8], repeats: usize) -> Self {
        let text = std::str::from_utf8(corpus).expect("UTF-8");
        let mut sources = BTreeSet::new();
        for line in text.lines() {
            let mut fields = line.split(' ');
            if matches!(fields.next(), Some("RDATA" | "POSITION")) {
                sources.insert((fields.next(), fields.next()));
            }
        }
        let mut lines: Vec<String> = sources
            .into_iter()
            .map(|source| match source {
                (Some(stream), Some(instance)) => format!("POSITION {stream} {instance} 1 1"),
                _ => panic!("a source without a name"),
            })
            .collect();
        lines.extend(text.lines().map(str::to_owned));
        for repeat in 1..repeats {
            // The first announcement of a repeat would name tokens that no row had.
            let again = text.lines().filter(|line| !line.starts_with("POSITION "));
            lines.extend(again.map(|line| later(line, repeat)));
        }
        let rows = lines.iter().filter(|line| line.starts_with("RDATA ")).count() as u64;
        let mut workload = Self { messages: lines.len(), message_bytes: 0, lines, rows };
        workload.message_bytes = workload.as_messages().iter().map(BytesMut::len).sum();
        workload
    }

    /// The messages that a subscriber receives, in pieces of up to 64 KiB.
    pub(crate) fn as_messages(&self) -> Vec<BytesMut> {
        self.encoded(b"message")
    }

    /// The commands that a publisher sends, in pieces of up to 64 KiB.
    pub(crate) fn as_publishes(&self) -> Vec<BytesMut> {
        self.encoded(b"PUBLISH")
    }

    fn encoded(&self, name: &[u8]) -> Vec<BytesMut> {
        let encoded: Vec<BytesMut> = self
            .lines
            .iter()
            .map(|line| {
                // A message has the form of a command: an array of bulk strings.
                let mut out = BytesMut::new();
                encode_command(&[name, CHANNEL.as_bytes(), line.as_bytes()], &mut out);
                out
            })
            .collect();
        corpus::reads(encoded.iter().map(|one| &one[..]))
    }
}

/// The same line with a higher token, if it has one.
fn later(line: &str, repeat: usize) -> String {
    let mut fields = line.splitn(5, ' ');
    let ("RDATA", Some(stream), Some(instance), Some(token), Some(row)) = (
        fields.next().unwrap_or_default(),
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
    ) else {
        return line.to_owned();
    };
    let mut later = format!("RDATA {stream} {instance} ");
    match token.parse::<usize>() {
        Ok(token) => write!(later, "{}", token + repeat * 1_000_000).expect("memory"),
        Err(_) => later.push_str(token),
    }
    later + " " + row
}
