//! The truth for direct TCP, without the code under test: the rows that an uncut plain connection
//! receives, and those that the server holds at the end.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Failure,
    held::{RowText, Rows, row_text},
    legacy::{Legacy, Release},
    shared::Shared,
};

/// The positions and rows that a server has sent.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The first and the last position announced of each stream.
    pub positions: BTreeMap<String, (i64, i64)>,
    /// Rows per stream with their tokens, in the order in which they came.
    pub rows: BTreeMap<String, Vec<(i64, RowText)>>,
    /// The number of RDATA.
    pub rdata: usize,
    batches: BTreeMap<String, Vec<RowText>>,
}

impl Told {
    /// Records a line. Lines that are neither RDATA nor POSITION change nothing.
    ///
    /// # Errors
    /// Fails if it is one of these and does not have the shape that the release writes.
    pub fn take(&mut self, line: &str, oldest: bool) -> Result<(), Failure> {
        let strange = || format!("not as this release writes it: {line:?}");
        // The oldest releases name no instances.
        let mut words = line.splitn(if oldest { 4 } else { 5 }, ' ');
        let name = words.next().unwrap_or_default();
        if !matches!(name, "RDATA" | "POSITION") {
            return Ok(());
        }
        let stream = words.next().ok_or_else(strange)?;
        if !oldest && words.next() != Some("master") {
            return Err(strange().into());
        }
        let token = words.next().ok_or_else(strange)?;
        if name == "POSITION" {
            // If there are two tokens, the second is the position.
            let token: i64 = words.next().unwrap_or(token).parse()?;
            self.positions.entry(stream.to_owned()).or_insert((token, token)).1 = token;
            return Ok(());
        }
        self.rdata += 1;
        let row: Value = serde_json::from_str(words.next().ok_or_else(strange)?)?;
        let row = row_text(&row);
        if token == "batch" {
            self.batches.entry(stream.to_owned()).or_default().push(row);
            return Ok(());
        }
        let token: i64 = token.parse()?;
        let mut rows = self.batches.remove(stream).unwrap_or_default();
        rows.push(row);
        let told = self.rows.entry(stream.to_owned()).or_default();
        told.extend(rows.into_iter().map(|row| (token, row)));
        Ok(())
    }

    /// The highest token of each stream so far.
    pub fn reached(&self) -> BTreeMap<String, i64> {
        let mut reached: BTreeMap<String, i64> = BTreeMap::new();
        let tokens =
            self.rows.iter().flat_map(|(of, rows)| rows.iter().map(move |row| (of, row.0)));
        let positions = self.positions.iter().map(|(of, (_, last))| (of, *last));
        for (stream, token) in tokens.chain(positions) {
            let at = reached.entry(stream.clone()).or_insert(token);
            *at = token.max(*at);
        }
        reached
    }
}

/// A connection that receives everything from its opening on.
#[derive(Debug)]
pub struct Truth {
    shared: Arc<Shared<Heard>>,
    socket: TcpStream,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    told: Told,
    problem: Option<String>,
}

impl Truth {
    /// Connects, subscribes to every stream, and waits until each has been announced.
    ///
    /// # Errors
    /// Fails if that takes longer than `time`, or the server sends something else.
    pub fn open(legacy: &Legacy, time: Duration) -> Result<Self, Failure> {
        let release = legacy.release();
        let truth = Self::connect(legacy.tcp()?, release)?;
        let all = if release.oldest { "REPLICATE ALL NOW" } else { "REPLICATE" };
        truth.say(all)?;
        truth.wait(time, "every stream's position", |told| {
            told.positions.len() == release.streams
        })?;
        Ok(truth)
    }

    fn connect(address: SocketAddr, release: Release) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address)?;
        let shared = Arc::new(Shared::<Heard>::default());
        let reader = thread::spawn({
            let (shared, socket) = (Arc::clone(&shared), socket.try_clone()?);
            move || shared.listen(&socket, release.oldest)
        });
        let truth = Self { shared, socket, reader: Some(reader) };
        truth.say("NAME truth")?;
        Ok(truth)
    }

    fn say(&self, line: &str) -> Result<(), Failure> {
        Ok((&self.socket).write_all(format!("{line}\n").as_bytes())?)
    }

    /// Everything that was received so far.
    pub fn told(&self) -> Told {
        self.shared.state().told.clone()
    }

    /// Waits until this many more RDATA were received.
    ///
    /// # Errors
    /// Fails if they were not within the time.
    pub fn wait_for_rdata(&self, more: usize, time: Duration) -> Result<(), Failure> {
        let wanted = self.shared.state().told.rdata + more;
        self.wait(time, "rows", |told| told.rdata >= wanted)
    }

    fn wait(
        &self,
        time: Duration,
        what: &str,
        done: impl Fn(&Told) -> bool,
    ) -> Result<(), Failure> {
        let waited = self.shared.wait(time, |heard| match &heard.problem {
            Some(problem) => Some(Err(format!("the plain connection: {problem}").into())),
            None => done(&heard.told).then_some(Ok(())),
        });
        waited.unwrap_or_else(|| {
            let told = &self.shared.state().told;
            Err(format!(
                "the plain connection heard no {what} within {time:?}; it has {} rows and {} \
                 positions",
                told.rdata,
                told.positions.len()
            )
            .into())
        })
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        // The socket may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            // The panic of the reader, if any, has been printed.
            let _ = reader.join();
        }
    }
}

impl Shared<Heard> {
    fn listen(&self, socket: &TcpStream, oldest: bool) {
        let mut ended = "the server ended it".to_owned();
        for line in BufReader::new(socket).lines() {
            let taken = self.change(|heard| match line {
                Ok(line) if line.starts_with("ERROR ") => Err(line.into()),
                Ok(line) => heard.told.take(&line, oldest),
                Err(error) => Err(error.into()),
            });
            if let Err(error) = taken {
                ended = error.to_string();
                break;
            }
        }
        self.change(|heard| heard.problem = Some(ended));
    }
}

/// The position that the server announces for each stream.
///
/// # Errors
/// Fails if it does not announce all within the time.
pub fn announced(legacy: &Legacy, time: Duration) -> Result<BTreeMap<String, i64>, Failure> {
    let told = Truth::open(legacy, time)?.told();
    Ok(told.positions.into_iter().map(|(stream, (_, last))| (stream, last)).collect())
}

/// Every row of a stream above `from` that a server of the oldest dialect holds.
///
/// # Errors
/// Fails if it does not send them within the time.
pub fn held_over_tcp(
    legacy: &Legacy,
    stream: &str,
    from: i64,
    time: Duration,
) -> Result<Rows, Failure> {
    let connection = Truth::connect(legacy.tcp()?, legacy.release())?;
    connection.say(&format!("REPLICATE {stream} {from}"))?;
    connection.wait(time, "end of what is held", |told| told.positions.contains_key(stream))?;
    let rows = connection.told().rows.remove(stream).unwrap_or_default();
    Ok(rows.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str], oldest: bool) -> Told {
        let mut told = Told::default();
        for line in lines {
            told.take(line, oldest).unwrap();
        }
        told
    }

    #[test]
    fn a_batch_is_taken_down_under_the_token_of_its_end() {
        for (oldest, instance) in [(true, ""), (false, "master ")] {
            let lines = [
                format!("RDATA events {instance}batch [1, \"a b\"]"),
                format!("RDATA typing {instance}3 [0]"),
                format!("RDATA events {instance}7 [2]"),
            ];
            let told = told(&lines.each_ref().map(String::as_str), oldest);
            let events = [(7, "[1,\"a b\"]".to_owned()), (7, "[2]".to_owned())];
            assert_eq!(told.rows["events"], events);
            assert_eq!((told.rdata, told.reached()["typing"]), (3, 3));
        }
    }

    #[test]
    fn a_position_tells_where_the_stream_stands_in_every_dialect() {
        let oldest = told(&["POSITION events 5", "PING 1", "POSITION events 9"], true);
        assert_eq!(oldest.positions["events"], (5, 9));
        let lines = ["POSITION events master 5", "POSITION typing master 6 8"];
        let newer = told(&lines, false);
        assert_eq!((newer.positions["events"], newer.positions["typing"]), ((5, 5), (8, 8)));
    }

    #[test]
    fn a_line_of_another_shape_is_an_error() {
        for (line, oldest) in [
            ("RDATA events master 7 [1]", true),
            ("RDATA events 7 [1]", false),
            ("RDATA events master 7 [1", false),
            ("POSITION events", true),
        ] {
            assert!(Told::default().take(line, oldest).is_err(), "{line}");
        }
    }
}
