//! A subscriber of the cluster's Redis that records what the writers announce and send, without the
//! code under test.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result as IoResult, Write as _},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    Failure, Source,
    clock::Deadline,
    cluster::{REDIS, SERVER_NAME, sources},
    shared::Shared,
};

/// An event of the subscription. They are kept in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sound {
    /// The subscription was confirmed, for the first time or again; what came before may be
    /// incomplete.
    Subscribed,
    Rdata {
        source: Source,
        token: Option<i64>,
    },
    Position {
        source: Source,
        prev: i64,
        new: i64,
    },
}

/// A subscriber of the cluster's channel until it is dropped, which subscribes again after each
/// loss of Redis.
#[derive(Debug)]
pub struct Ear(Arc<Shared<State>>);

#[derive(Debug, Default)]
struct State {
    sounds: Vec<Sound>,
    socket: Option<TcpStream>,
    stopped: bool,
}

impl Shared<State> {
    fn listen(&self) -> IoResult<()> {
        let mut socket = TcpStream::connect(REDIS)?;
        self.state().socket = Some(socket.try_clone()?);
        write_command(&mut socket, &["SUBSCRIBE", SERVER_NAME])?;
        let mut reader = BufReader::new(socket);
        loop {
            let push = read_push(&mut reader)?;
            let sound = match push.first().map(String::as_str) {
                Some("subscribe") => Some(Sound::Subscribed),
                Some("message") => push.get(2).and_then(|message| parse(message)),
                _ => None,
            };
            let stopped = self.change(|state| {
                state.sounds.extend(sound);
                state.stopped
            });
            if stopped {
                return Ok(());
            }
        }
    }
}

impl Ear {
    /// Subscribes; returns once Redis has confirmed it.
    ///
    /// # Errors
    /// Fails if Redis does not answer within 10 s.
    pub fn open() -> Result<Self, Failure> {
        let shared = Arc::new(Shared::<State>::default());
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.state().stopped {
                    // Redis is stopped on purpose, so whatever the error, the subscription is tried
                    // again.
                    let _ = shared.listen();
                    Deadline::after(Duration::from_secs(1)).pause();
                }
            }
        });
        let ear = Self(shared);
        let subscribed = ear.wait(Duration::from_secs(10), |sounds| {
            sounds.contains(&Sound::Subscribed).then_some(())
        });
        subscribed.ok_or("Redis did not confirm the subscription")?;
        Ok(ear)
    }

    /// Requests the position of every writer, and waits until all have announced it.
    ///
    /// # Errors
    /// Fails if one has not within the time; names its source.
    pub fn ask_positions(&self, time: Duration) -> Result<BTreeMap<Source, i64>, Failure> {
        let before = self.0.state().sounds.len();
        let mut socket = TcpStream::connect(REDIS)?;
        write_command(&mut socket, &["PUBLISH", SERVER_NAME, "REPLICATE"])?;
        let mut wanted = sources();
        let answers = self.wait(time, |sounds| {
            let mut answers = BTreeMap::new();
            for sound in sounds.get(before..)? {
                // A POSITION with prev < new may have been under way before the request.
                if let Sound::Position { source, prev, new } = sound
                    && prev == new
                {
                    answers.insert(source.clone(), *new);
                }
            }
            wanted.retain(|source| !answers.contains_key(source));
            wanted.is_empty().then_some(answers)
        });
        answers.ok_or_else(|| {
            let silent: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            format!("no POSITION within {time:?} from {}", silent.join(", ")).into()
        })
    }

    /// The number of RDATA received so far.
    pub fn rdata_count(&self) -> usize {
        let state = self.0.state();
        state.sounds.iter().filter(|sound| matches!(sound, Sound::Rdata { .. })).count()
    }

    /// Waits until this many RDATA were received in all. False if they were not within the time.
    pub fn wait_for_rdata(&self, count: usize, time: Duration) -> bool {
        let heard = |sounds: &[Sound]| {
            let rdata = sounds.iter().filter(|sound| matches!(sound, Sound::Rdata { .. }));
            (rdata.count() >= count).then_some(())
        };
        self.wait(time, heard).is_some()
    }

    /// Whether the writer itself passed over this token: on a connection that was never cut
    /// meanwhile it sent something above it, but neither the row nor a POSITION whose `prev` would
    /// have shown that something was missing. No subscriber can know of such a row.
    ///
    /// Synapse does so in `caches` when rows are written faster than it looks for them.
    pub fn was_passed_over(&self, source: &Source, token: i64) -> bool {
        passed_over(&self.0.state().sounds, source, token)
    }

    fn wait<T>(&self, time: Duration, mut done: impl FnMut(&[Sound]) -> Option<T>) -> Option<T> {
        self.0.wait(time, |state| done(&state.sounds))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stopped = true;
        if let Some(socket) = &state.socket {
            // The socket may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn passed_over(sounds: &[Sound], source: &Source, token: i64) -> bool {
    let mut highest = None;
    for sound in sounds {
        match sound {
            Sound::Subscribed => highest = None,
            Sound::Rdata { source: of, token: Some(sent) } if of == source => {
                if *sent == token {
                    return false;
                }
                if *sent > token {
                    return highest.is_some_and(|highest| highest < token);
                }
                highest = highest.max(Some(*sent));
            }
            Sound::Position { source: of, prev, new } if of == source => {
                if *new >= token {
                    return highest.is_some_and(|highest| *prev <= highest && highest < token);
                }
                highest = highest.max(Some(*new));
            }
            Sound::Rdata { .. } | Sound::Position { .. } => {}
        }
    }
    false
}

fn parse(message: &str) -> Option<Sound> {
    let mut words = message.splitn(5, ' ');
    let name = words.next()?;
    if name != "RDATA" && name != "POSITION" {
        return None;
    }
    let source = Source::new(words.next()?, words.next()?);
    let token = words.next()?;
    if name == "RDATA" {
        return Some(Sound::Rdata { source, token: token.parse().ok() });
    }
    Some(Sound::Position { source, prev: token.parse().ok()?, new: words.next()?.parse().ok()? })
}

fn write_command(socket: &mut TcpStream, words: &[&str]) -> IoResult<()> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    socket.write_all(bytes.as_bytes())
}

/// Reads one array of strings and integers, which is all that a subscriber is ever sent.
fn read_push(reader: &mut BufReader<TcpStream>) -> IoResult<Vec<String>> {
    let header = read_line(reader)?;
    let count: usize = number(header.strip_prefix('*').unwrap_or("not an array"))?;
    (0..count)
        .map(|_| {
            let header = read_line(reader)?;
            let Some(length) = header.strip_prefix('$') else {
                return Ok(header);
            };
            let mut bytes = vec![0; number::<usize>(length)? + 2];
            reader.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
        })
        .collect()
}

fn read_line(reader: &mut BufReader<TcpStream>) -> IoResult<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn number<T: std::str::FromStr>(text: &str) -> IoResult<T> {
    let invalid = || Error::new(ErrorKind::InvalidData, format!("not a RESP2 length: {text}"));
    text.parse().map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches() -> Source {
        Source::new("caches", "p1")
    }

    fn rdata(token: i64) -> Sound {
        Sound::Rdata { source: caches(), token: Some(token) }
    }

    fn position(prev: i64, new: i64) -> Sound {
        Sound::Position { source: caches(), prev, new }
    }

    #[test]
    fn a_token_between_two_rows_in_a_row_was_passed_over() {
        let sounds = [Sound::Subscribed, rdata(3), rdata(5)];
        assert!(passed_over(&sounds, &caches(), 4));
        assert!(!passed_over(&sounds, &caches(), 5), "this one was sent");
        assert!(!passed_over(&sounds, &caches(), 6), "nothing was said of this one");
        assert!(!passed_over(&sounds, &caches(), 2), "nothing was heard before this one");
    }

    #[test]
    fn a_position_whose_prev_tells_of_the_token_is_no_excuse() {
        let told = [Sound::Subscribed, rdata(3), position(4, 6)];
        assert!(!passed_over(&told, &caches(), 4));
        let untold = [Sound::Subscribed, rdata(3), position(3, 6)];
        assert!(passed_over(&untold, &caches(), 4));
    }

    #[test]
    fn a_cut_is_no_excuse() {
        let sounds = [Sound::Subscribed, rdata(3), Sound::Subscribed, rdata(5)];
        assert!(!passed_over(&sounds, &caches(), 4));
    }
}
