//! The readers that are compared: our driver, the `redis` crate doing nothing, and a bare socket.

use std::{hint::black_box, io::Read as _, net::TcpStream, thread, time::Duration};

use futures_util::StreamExt as _;
use rustix::time::{ClockId, clock_gettime};
use synrepl::{Builder, Event, core::Origin, core::wire::encode_command};

use crate::{CHANNEL, workload::Workload};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Rows are parsed, checked, ordered and handed to the application.
    Synrepl,
    /// Messages are handed to the application.
    RedisCrate,
    /// Bytes are read.
    Socket,
}

impl Reader {
    pub(crate) const ALL: [Self; 3] = [Self::Socket, Self::RedisCrate, Self::Synrepl];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Synrepl => "synrepl, rows to application",
            Self::RedisCrate => "redis crate, doing nothing",
            Self::Socket => "socket, 64 KiB reads, no more",
        }
    }
}

/// The cost of reading from the confirmed subscription to the last message.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// CPU time of the reading thread.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

struct Stopwatch {
    cpu: Duration,
    wall: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { cpu: time(ClockId::ThreadCPUTime), wall: time(ClockId::Monotonic) }
    }

    fn stop(self) -> Reading {
        Reading {
            cpu: time(ClockId::ThreadCPUTime) - self.cpu,
            wall: time(ClockId::Monotonic) - self.wall,
        }
    }
}

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("nanoseconds"))
}

/// Lets one reader, on a thread of its own, read the whole workload; calls `subscribed` when it is
/// subscribed.
pub(crate) fn read<R: Send>(
    reader: Reader,
    url: &str,
    workload: &Workload,
    subscribed: impl FnOnce() -> R + Send,
) -> (Reading, R) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| match reader {
            Reader::Synrepl => runtime().block_on(synrepl(url, workload, subscribed)),
            Reader::RedisCrate => runtime().block_on(redis_crate(url, workload, subscribed)),
            Reader::Socket => socket(url, workload, subscribed),
        });
        thread.join().expect("the reader")
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn synrepl<R>(
    url: &str,
    workload: &Workload,
    subscribed: impl FnOnce() -> R,
) -> (Reading, R) {
    let mut replication = Builder::redis(url, CHANNEL)
        .expect("a good URL")
        .observe_only(true)
        .spawn()
        .expect("good settings");
    let first = replication.next().await;
    assert!(matches!(first, Some(Event::Connected { .. })), "{first:?}");
    let watch = Stopwatch::start();
    let ready = subscribed();
    let mut rows = 0;
    while rows < workload.rows {
        let event = black_box(replication.next().await.expect("an event"));
        if let Event::Rows { rows: new, origin: Origin::Live, .. } = event {
            rows += new.len() as u64;
        } else {
            let expected = matches!(
                event,
                Event::Command { .. } | Event::Live { .. } | Event::Position { .. }
            );
            assert!(expected, "rows were missed: {event:?}");
        }
    }
    (watch.stop(), ready)
}

async fn redis_crate<R>(
    url: &str,
    workload: &Workload,
    subscribed: impl FnOnce() -> R,
) -> (Reading, R) {
    let client = redis::Client::open(url).expect("a good URL");
    let mut pubsub = client.get_async_pubsub().await.expect("a connection");
    pubsub.subscribe(CHANNEL).await.expect("a subscription");
    let watch = Stopwatch::start();
    let ready = subscribed();
    let mut messages = pubsub.on_message();
    for _ in 0..workload.messages {
        black_box(messages.next().await.expect("a message"));
    }
    (watch.stop(), ready)
}

fn socket<R>(url: &str, workload: &Workload, subscribed: impl FnOnce() -> R) -> (Reading, R) {
    let address = url.strip_prefix("redis://").expect("a plain URL");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut subscribe = bytes::BytesMut::new();
    encode_command(&[b"SUBSCRIBE", CHANNEL.as_bytes()], &mut subscribe);
    std::io::Write::write_all(&mut stream, &subscribe).expect("a subscription");
    let confirmation =
        format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{CHANNEL}\r\n:1\r\n", CHANNEL.len());
    let mut buffer = vec![0; 64 * 1024];
    stream.read_exact(&mut buffer[..confirmation.len()]).expect("a subscription");
    let watch = Stopwatch::start();
    let ready = subscribed();
    let mut missing = workload.message_bytes;
    while missing > 0 {
        let length = stream.read(&mut buffer).expect("messages");
        assert!(length > 0, "closed with {missing} bytes missing");
        missing -= length;
        black_box(&buffer);
    }
    (watch.stop(), ready)
}
