//! Plain followers over direct TCP, one thread each, and one that never reads.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Failure, PHASES};

/// The longest time without a row, at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The latencies of each phase.
type Latencies = Vec<Vec<Duration>>;

/// A follower that reads all that comes.
pub(crate) struct Follower {
    stream: TcpStream,
    seen: Receiver<u64>,
    thread: JoinHandle<Latencies>,
}

impl Follower {
    /// Subscribes, and reads the writer's greeting.
    pub(crate) fn start(
        address: SocketAddr,
        start: Instant,
        phase: Arc<AtomicUsize>,
    ) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"NAME follower\nREPLICATE \n")?;
        let mut lines = BufReader::with_capacity(256 << 10, stream.try_clone()?);
        let mut greeting = String::new();
        lines.read_line(&mut greeting)?;
        if !greeting.starts_with("SERVER ") {
            return Err(format!("not a server of direct TCP: {greeting:?}").into());
        }
        let (tell, seen) = channel();
        let thread = thread::spawn(move || {
            let mut latencies = vec![Vec::new(); PHASES.len()];
            let mut line = String::new();
            loop {
                line.clear();
                match lines.read_line(&mut line) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return latencies,
                }
                let Some((number, written)) = row(&line) else { continue };
                let latency = start.elapsed().saturating_sub(Duration::from_micros(written));
                if let Some(phase) = latencies.get_mut(phase.load(Ordering::Relaxed)) {
                    phase.push(latency);
                }
                if tell.send(number).is_err() {
                    return latencies;
                }
            }
        });
        Ok(Self { stream, seen, thread })
    }

    /// Checks that every row came, in order, and returns the latencies.
    pub(crate) fn finish(self, rows: u64) -> Result<Latencies, Failure> {
        for expected in 1..=rows {
            let number = self.seen.recv_timeout(PATIENCE)?;
            if number != expected {
                return Err(format!("row {number} came where {expected} was due").into());
            }
        }
        self.stream.shutdown(std::net::Shutdown::Both)?;
        self.thread.join().map_err(|_| "a follower panicked".into())
    }
}

/// The number of a row and the time at which it was written, in microseconds, of `RDATA bench NAME
/// TOKEN [...]`.
fn row(line: &str) -> Option<(u64, u64)> {
    let row = line.strip_prefix("RDATA ")?.split_once('[')?.1;
    let mut fields = row.split(',');
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A follower that subscribes and never reads.
pub(crate) struct Sleeper {
    _stream: TcpStream,
}

impl Sleeper {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"NAME sleeper\nREPLICATE \n")?;
        Ok(Self { _stream: stream })
    }
}
