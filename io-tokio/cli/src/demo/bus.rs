//! A pub/sub server in this process that speaks Redis's protocol, and loses messages or drops
//! connections on purpose. With it the demonstration needs no set-up.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use synrepl_core::wire::{Frame, RespDecoder, RespLimits, encode_frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// The most frames that wait for one connection. A reply beyond that ends the connection, a message
/// beyond that its subscription; Redis, too, cuts off slow subscribers.
const QUEUE_FRAMES_MAX: usize = 65_536;
/// The most connections at a time; the demonstration makes six.
const CONNECTIONS_MAX: usize = 64;

/// A running server, which ends when dropped.
pub(super) struct Bus {
    shared: Arc<Shared>,
    port: u16,
    stop: CancellationToken,
}

struct Shared {
    state: Mutex<State>,
    /// Whether PUBLISHes are taken, and neither delivered nor answered.
    swallows: AtomicBool,
    swallowed: AtomicU64,
}

struct State {
    subscribers: Vec<Subscriber>,
    /// Cancelled to end every present connection.
    cut: CancellationToken,
    connections: usize,
}

struct Subscriber {
    channel: Bytes,
    queue: mpsc::Sender<Bytes>,
}

impl Shared {
    /// Locks the state. No code panics while holding the lock, so a poisoned one guards a whole
    /// value.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus {
    /// Starts a server on a free port of the loopback address.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let state =
            State { subscribers: Vec::new(), cut: CancellationToken::new(), connections: 0 };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            swallows: AtomicBool::new(false),
            swallowed: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, Arc::clone(&shared))));
        Ok(Self { shared, port, stop })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Loses every message from now on, until [`Bus::cut`].
    pub(super) fn swallow(&self) {
        self.shared.swallows.store(true, Ordering::Relaxed);
    }

    /// The number of messages lost so far.
    pub(super) fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Relaxed)
    }

    /// Ends all connections. New ones work, and lose no messages.
    pub(super) fn cut(&self) {
        let mut state = self.shared.state();
        state.subscribers.clear();
        std::mem::take(&mut state.cut).cancel();
        self.shared.swallows.store(false, Ordering::Relaxed);
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let cut = {
            let mut state = shared.state();
            if state.connections >= CONNECTIONS_MAX {
                continue;
            }
            state.connections += 1;
            state.cut.clone()
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // The way that a connection ends makes no difference to the others.
            let _ended = cut.run_until_cancelled(serve(stream, &shared)).await;
            shared.state().connections -= 1;
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let (queue, queued) = mpsc::channel(QUEUE_FRAMES_MAX);
    tokio::try_join!(read(reader, shared, queue), write(writer, queued))?;
    Ok(())
}

async fn write(mut writer: OwnedWriteHalf, mut queued: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(frame) = queued.recv().await {
        writer.write_all(&frame).await?;
    }
    Ok(())
}

async fn read(
    mut reader: OwnedReadHalf,
    shared: &Shared,
    queue: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut subscribed = false;
    let (mut decoder, mut input) = (RespDecoder::new(RespLimits::default()), BytesMut::new());
    loop {
        while let Some(frame) = decoder.decode(&mut input).map_err(io::Error::other)? {
            if let Some(reply) = handle(frame, shared, &queue, &mut subscribed)
                && queue.try_send(reply).is_err()
            {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        if reader.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Carries out a command, and returns its reply, if it has one.
fn handle(
    frame: Frame,
    shared: &Shared,
    queue: &mpsc::Sender<Bytes>,
    subscribed: &mut bool,
) -> Option<Bytes> {
    let Frame::Array(parts) = frame else { return Some(refusal()) };
    let texts: Vec<Bytes> = parts
        .into_iter()
        .filter_map(|part| if let Frame::Bulk(text) = part { text } else { None })
        .collect();
    match texts.as_slice() {
        [name, channel, message] if name.eq_ignore_ascii_case(b"PUBLISH") => {
            publish(shared, channel, message)
        }
        [name, channels @ ..] if name.eq_ignore_ascii_case(b"SUBSCRIBE") => {
            *subscribed = true;
            let mut confirmed = BytesMut::new();
            let mut state = shared.state();
            for (count, channel) in channels.iter().enumerate() {
                let subscriber = Subscriber { channel: channel.clone(), queue: queue.clone() };
                state.subscribers.push(subscriber);
                let count = i64::try_from(count + 1).unwrap_or(i64::MAX);
                let kind = Bytes::from_static(b"subscribe");
                encode_frame(
                    &Frame::Array(vec![
                        Frame::Bulk(Some(kind)),
                        Frame::Bulk(Some(channel.clone())),
                        Frame::Integer(count),
                    ]),
                    &mut confirmed,
                );
            }
            Some(confirmed.freeze())
        }
        [name, ..] if name.eq_ignore_ascii_case(b"PING") => {
            let subscriber = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n";
            Some(Bytes::from_static(if *subscribed { subscriber } else { b"+PONG\r\n" }))
        }
        [name] if name.eq_ignore_ascii_case(b"ROLE") => {
            Some(Bytes::from_static(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"))
        }
        _ => Some(refusal()),
    }
}

const fn refusal() -> Bytes {
    Bytes::from_static(b"-ERR this bus knows SUBSCRIBE, PUBLISH, PING and ROLE\r\n")
}

fn publish(shared: &Shared, channel: &Bytes, message: &Bytes) -> Option<Bytes> {
    if shared.swallows.load(Ordering::Relaxed) {
        shared.swallowed.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    let mut delivery = BytesMut::new();
    let payload = message.clone();
    encode_frame(&Frame::Message { channel: channel.clone(), payload }, &mut delivery);
    let delivery = delivery.freeze();
    let mut reached = 0;
    shared.state().subscribers.retain(|subscriber| {
        if subscriber.channel != *channel {
            return !subscriber.queue.is_closed();
        }
        let taken = subscriber.queue.try_send(delivery.clone()).is_ok();
        reached += i64::from(taken);
        taken
    });
    let mut reply = BytesMut::new();
    encode_frame(&Frame::Integer(reached), &mut reply);
    Some(reply.freeze())
}
