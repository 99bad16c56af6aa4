//! Acknowledgements of the reader of stdout (`--acknowledge`). Printed lines and the numbers that
//! come back on stdin enter; the positions that the reader has come to leave.
//!
//! A pipe holds lines that its reader never handles, should the reader die: positions that run
//! ahead of it would pass them over.

use std::collections::VecDeque;

use serde::Deserialize;
use synrepl_core::{
    ContinuityConfig, Event, Printable, Timestamp,
    stream::{Anchor, Positions, Source, Token},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    sync::watch::{Receiver, Sender, channel},
};

/// The most lines that may wait for their acknowledgement. Above it no further event is taken.
const UNACKNOWLEDGED_MAX: usize = 100_000;
/// The longest line on stdin: a JSON line with rows would be taken up to here.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What was printed and is not acknowledged yet, and the positions up to what is.
#[derive(Debug)]
pub(super) struct Acknowledged {
    printed: VecDeque<(u64, Option<Handled>)>,
    /// The positions up to the last line that was printed.
    taken: Positions,
    /// The number of the last line that was printed.
    last: u64,
    positions: Positions,
    heard: Receiver<Heard>,
}

/// What changes in the positions when a line is acknowledged.
#[derive(Debug)]
struct Handled {
    source: Source,
    token: Token,
    /// Rows of the line that are remembered with the position.
    anchor: Option<Anchor>,
}

/// What came on stdin so far. It is read whether or not anybody asks: a reader that cannot write its
/// answers would stop reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Everything up to the line of this number is handled.
    pub(super) upto: u64,
    /// The reason why nothing more comes.
    pub(super) ended: Option<String>,
}

impl Acknowledged {
    /// Starts to read stdin. `positions` are those of the file.
    pub(super) fn of_stdin(positions: Positions) -> Self {
        Self::of(tokio::io::stdin(), positions)
    }

    fn of(input: impl AsyncRead + Send + Unpin + 'static, positions: Positions) -> Self {
        let (sender, heard) = channel(Heard::default());
        tokio::spawn(read(input, sender));
        let taken = positions.clone();
        Self { printed: VecDeque::new(), taken, last: 0, positions, heard }
    }

    /// Returns the number of the next line.
    pub(super) const fn next(&self) -> u64 {
        self.last + 1
    }

    /// Notes an event that was taken, and whether it has a line. What has none goes with the line
    /// before it.
    pub(super) fn on_taken(&mut self, event: &Event, has_line: bool, now: Timestamp) {
        if has_line {
            self.last += 1;
        }
        let handled = event.position().map(|(source, token)| {
            self.taken.set(source, token);
            let anchor = self.anchor_of(event, now);
            Handled { source: source.clone(), token, anchor }
        });
        if has_line || handled.is_some() {
            self.printed.push_back((self.last, handled));
        }
    }

    /// Returns the rows of an event in the form in which they are remembered, once in a while.
    fn anchor_of(&mut self, event: &Event, now: Timestamp) -> Option<Anchor> {
        let Event::Rows { source, token, rows, .. } = event else { return None };
        let config = ContinuityConfig::default();
        let pace = (config.anchor_every, config.anchor_tokens_max);
        self.taken.on_rows(source, *token, rows, now, pace).cloned()
    }

    /// Whether as many lines wait as may.
    pub(super) fn is_full(&self) -> bool {
        self.printed.len() >= UNACKNOWLEDGED_MAX
    }

    /// Returns the number of lines that the reader has not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.printed.len()
    }

    /// Returns the positions up to the last line that was acknowledged.
    pub(super) const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Waits for what comes next, and takes it. Cancel safe.
    ///
    /// # Errors
    /// Fails once nothing more comes, or a line is acknowledged that was not printed.
    pub(super) async fn answer(&mut self) -> Result<(), String> {
        // The last state stays when the reading has ended.
        let _ = self.heard.changed().await;
        let heard = self.heard.borrow_and_update().clone();
        self.acknowledge(heard.upto)?;
        heard.ended.map_or(Ok(()), Err)
    }

    fn acknowledge(&mut self, number: u64) -> Result<(), String> {
        if number > self.last {
            return Err(format!("line {number} is acknowledged, but {} were printed", self.last));
        }
        while let Some((_, handled)) = self.printed.pop_front_if(|(line, _)| *line <= number) {
            if let Some(Handled { source, token, anchor }) = handled {
                self.positions.set(&source, token);
                if let Some(anchor) = anchor {
                    self.positions.add_anchor(&source, anchor);
                }
            }
        }
        Ok(())
    }
}

/// An acknowledgement as a JSON line: any object with the number.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

async fn read(input: impl AsyncRead + Unpin, heard: Sender<Heard>) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        let line = line.trim_ascii();
        let number = match read {
            Ok(0) => Err("the reader has closed stdin".to_owned()),
            Ok(_) if line.is_empty() => continue,
            Ok(_) => number(line),
            Err(error) => Err(format!("stdin cannot be read: {error}")),
        };
        let is_last = number.is_err();
        heard.send_modify(|heard| match number {
            Ok(number) => heard.upto = heard.upto.max(number),
            Err(told) => heard.ended = Some(told),
        });
        if is_last {
            return;
        }
    }
}

fn number(line: &[u8]) -> Result<u64, String> {
    let number = serde_json::from_slice(line)
        .or_else(|_| serde_json::from_slice(line).map(|Numbered { seq }| seq));
    number.map_err(|_| {
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        let shown = Printable::foreign(&shown);
        format!("{shown} on stdin is neither the seq of a line nor JSON with it")
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn position(writer: &str, token: i64) -> Event {
        Event::Position { source: Source::new("events", writer), token: Token::new(token) }
    }

    fn shown(acknowledged: &Acknowledged) -> String {
        serde_json::to_string(acknowledged.positions()).unwrap()
    }

    #[tokio::test]
    async fn positions_follow_the_line_that_was_acknowledged() {
        let mut of = Acknowledged::of(tokio::io::empty(), Positions::new());
        of.on_taken(&position("p1", 5), true, Timestamp::ZERO);
        of.on_taken(&Event::Stopped, false, Timestamp::ZERO);
        of.on_taken(&position("p1", 6), true, Timestamp::ZERO);
        of.on_taken(&position("p2", 7), false, Timestamp::ZERO);
        of.on_taken(&position("p1", 8), true, Timestamp::ZERO);
        assert_eq!(shown(&of), "{}");
        of.acknowledge(1).unwrap();
        assert_eq!(shown(&of), r#"{"events":{"p1":5}}"#);
        of.acknowledge(2).unwrap();
        assert_eq!(shown(&of), r#"{"events":{"p1":6,"p2":7}}"#);
        assert_eq!(of.waiting(), 1);
        of.acknowledge(3).unwrap();
        assert_eq!(of.waiting(), 0);
        assert!(of.acknowledge(4).unwrap_err().contains("3 were printed"));
    }

    #[tokio::test]
    async fn numbers_and_json_lines_are_taken_and_everything_else_ends_it() {
        let (mut reader, stdin) = tokio::io::duplex(1_024);
        let mut of = Acknowledged::of(stdin, Positions::new());
        for token in 1..=9 {
            of.on_taken(&position("p1", token), true, Timestamp::ZERO);
        }
        for (line, token) in
            [("1\n", 1), ("\n {\"type\":\"rows\",\"seq\":2} \r\n", 2), ("5\n4\n", 5)]
        {
            reader.write_all(line.as_bytes()).await.unwrap();
            while shown(&of) != format!(r#"{{"events":{{"p1":{token}}}}}"#) {
                of.answer().await.unwrap();
            }
        }
        reader.write_all(b"four\n6\n").await.unwrap();
        let told = loop {
            if let Err(told) = of.answer().await {
                break told;
            }
        };
        assert!(told.contains("four"), "{told}");
        assert_eq!(of.waiting(), 4, "nothing behind it is read");
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let mut of = Acknowledged::of(tokio::io::empty(), Positions::new());
        for _ in 0..UNACKNOWLEDGED_MAX {
            assert!(!of.is_full());
            of.on_taken(&Event::Stopped, true, Timestamp::ZERO);
        }
        assert!(of.is_full());
        of.acknowledge(1).unwrap();
        assert!(!of.is_full());
    }
}
