//! Measures updates over a redis-server of its own, until it has confirmed them.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use rustix::time::ClockId;
use synrepl::{Builder, Event, Row, Token, core::wire::encode_command};
use synrepl_tests::redis::RedisServer;

use crate::{median, time, writer};

const UPDATES: usize = 100_000;
const ROUNDS: usize = 5;
const CHANNEL: &str = "matrix.example.org";

/// Updates per second, pass by pass.
pub(crate) struct Measured {
    ours: Vec<f64>,
    floor: Vec<f64>,
}

impl Measured {
    /// Prints the medians and returns that of this crate.
    #[expect(clippy::print_stdout, reason = "the table is what it is for")]
    pub(crate) fn print(mut self) -> f64 {
        let (ours, floor) = (median(&mut self.ours), median(&mut self.floor));
        println!(
            "\n{:<34} {:>12} {:>12}",
            "over redis-server, one subscriber", "updates/s", "floors"
        );
        println!("{:<34} {floor:>12.0} {:>12.2}", "floor: pipelined PUBLISH", 1.0);
        println!("{:<34} {ours:>12.0} {:>12.2}", "appended, published, confirmed", ours / floor);
        ours
    }
}

pub(crate) fn measure() -> io::Result<Measured> {
    let server = RedisServer::start(&[]).map_err(io::Error::other)?;
    let mut measured = Measured { ours: Vec::new(), floor: Vec::new() };
    for _ in 0..ROUNDS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ours = runtime.block_on(publish(&server.url()));
        measured.ours.push(rate(ours));
        measured.floor.push(rate(pipeline(server.address())?));
    }
    Ok(measured)
}

fn rate(time: Duration) -> f64 {
    UPDATES as f64 / time.as_secs_f64()
}

/// Returns the time from the first append to the last confirmation. The subscriber is the writer
/// itself.
async fn publish(url: &str) -> Duration {
    let mut replication = Builder::redis(url, CHANNEL)
        .expect("an address")
        .instance("writer")
        .shared_log(writer::log())
        .spawn()
        .expect("settings that work");
    while !matches!(replication.next().await, Some(Event::Connected { .. })) {}
    let handle = replication.handle();
    let rows: Vec<Row> = (0..UPDATES).map(|number| writer::row(number).as_str().into()).collect();
    let last = Token::new(i64::try_from(UPDATES).expect("a token"));
    let start = time(ClockId::Monotonic);
    let appending = tokio::spawn(async move {
        for row in rows {
            handle.append("events", [row]).await.expect("appended");
        }
    });
    loop {
        let event = replication.next().await.expect("running");
        if matches!(&event, Event::Published { token, .. } if *token == last) {
            break;
        }
        assert!(!matches!(event, Event::Disconnected { .. }), "{event:?}");
    }
    let taken = time(ClockId::Monotonic) - start;
    appending.await.expect("appended");
    taken
}

/// Returns the time of the same PUBLISHes, written as fast as they are taken, with one subscriber
/// that only reads.
fn pipeline(address: SocketAddr) -> io::Result<Duration> {
    let mut subscriber = TcpStream::connect(address)?;
    let mut command = BytesMut::new();
    encode_command(&[b"SUBSCRIBE", CHANNEL.as_bytes()], &mut command);
    subscriber.write_all(&command)?;
    let mut confirmation = [0; 16];
    subscriber.read_exact(&mut confirmation)?;
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        // The loop ends when the socket is shut down.
        while subscriber.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });

    let mut commands = BytesMut::new();
    for number in 0..UPDATES {
        let line = format!("RDATA events writer {} {}", number + 1, writer::row(number));
        encode_command(&[b"PUBLISH", CHANNEL.as_bytes(), line.as_bytes()], &mut commands);
    }
    let mut stream = TcpStream::connect(address)?;
    let start = time(ClockId::Monotonic);
    let replies = {
        let mut stream = stream.try_clone()?;
        thread::spawn(move || {
            let mut missing = UPDATES * ":1\r\n".len();
            let mut buffer = vec![0; 64 << 10];
            while missing > 0 {
                match stream.read(&mut buffer)? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    count => missing -= count,
                }
            }
            Ok(())
        })
    };
    stream.write_all(&commands)?;
    replies.join().unwrap_or_else(|_| Err(io::Error::other("the replies")))?;
    let taken = time(ClockId::Monotonic) - start;
    let mut kill = BytesMut::new();
    encode_command(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"], &mut kill);
    stream.write_all(&kill)?;
    reading.join().map_err(|_| io::Error::other("the subscriber"))?;
    Ok(taken)
}
