//! A simulated Redis server with the commands that publish/subscribe needs, and a client for it.

use std::{cell::RefCell, io, rc::Rc};

use bytes::{Bytes, BytesMut};
use synrepl::core::wire::{Frame, RespDecoder, RespLimits, encode_command};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinSet,
};
use turmoil::net::{TcpListener, TcpStream};

pub(super) const PORT: u16 = 6379;
pub(super) const PASSWORD: &str = "wonderland";

/// The most messages that wait for one subscriber. A slower one is cut off, as Redis does it.
const OUTBOX: usize = 4_096;

#[derive(Default)]
struct Hub {
    /// The subscribers, in the order in which they subscribed.
    subscribers: Vec<Subscriber>,
    connections: u64,
}

struct Subscriber {
    /// The number of the subscriber's connection.
    number: u64,
    channels: Vec<Bytes>,
    outbox: mpsc::Sender<Bytes>,
}

impl Hub {
    /// Hands a message to all subscribers of the channel, and returns their number.
    fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> usize {
        let mut message = BytesMut::new();
        encode_command(&[b"message", channel, payload], &mut message);
        let message = message.freeze();
        let takes = |known: &Subscriber| known.channels.contains(channel);
        self.subscribers
            .retain(|known| !takes(known) || known.outbox.try_send(message.clone()).is_ok());
        self.subscribers.iter().filter(|known| takes(known)).count()
    }
}

/// Runs the server until its host is crashed. The subscriptions of its clients are gone then.
pub(super) async fn serve() -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let hub = Rc::new(RefCell::new(Hub::default()));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // A connection that breaks does not concern the server; a panic ends the test.
            Some(ended) = clients.join_next() => drop(ended.unwrap()),
            accepted = listener.accept() => {
                clients.spawn_local(serve_client(accepted?.0, Rc::clone(&hub)));
            }
        }
    }
}

async fn serve_client(mut stream: TcpStream, hub: Rc<RefCell<Hub>>) -> io::Result<()> {
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let mut outbox = Some(outbox);
    let mut decoder = RespDecoder::new(RespLimits::default());
    let mut input = BytesMut::new();
    let mut known = false;
    hub.borrow_mut().connections += 1;
    let number = hub.borrow().connections;
    loop {
        while let Some(frame) = decoder.decode(&mut input).unwrap() {
            let reply = answer(words(frame), number, &hub, &mut outbox, &mut known);
            stream.write_all(&reply).await?;
        }
        tokio::select! {
            biased;
            message = messages.recv() => match message {
                Some(message) => stream.write_all(&message).await?,
                // The client was too slow and is cut off.
                None => return Ok(()),
            },
            read = stream.read_buf(&mut input) => if read? == 0 {
                return Ok(());
            },
        }
    }
}

fn answer(
    words: Vec<Bytes>,
    number: u64,
    hub: &RefCell<Hub>,
    outbox: &mut Option<mpsc::Sender<Bytes>>,
    known: &mut bool,
) -> Vec<u8> {
    let subscribed = outbox.is_none();
    match words.iter().map(|word| &word[..]).collect::<Vec<_>>().as_slice() {
        [b"AUTH", password] if *password == PASSWORD.as_bytes() => {
            *known = true;
            b"+OK\r\n".to_vec()
        }
        [b"AUTH", _] => b"-WRONGPASS invalid username-password pair\r\n".to_vec(),
        _ if !*known => b"-NOAUTH Authentication required.\r\n".to_vec(),
        [b"PING"] if subscribed => b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec(),
        [b"PING"] => b"+PONG\r\n".to_vec(),
        [b"SUBSCRIBE", channel] => {
            let mut hub = hub.borrow_mut();
            if let Some(outbox) = outbox.take() {
                hub.subscribers.push(Subscriber { number, channels: Vec::new(), outbox });
            }
            let known = hub.subscribers.iter_mut().find(|known| known.number == number);
            known.expect("not too slow").channels.push(words[1].clone());
            let head = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n", channel.len());
            [head.as_bytes(), channel, b"\r\n:1\r\n"].concat()
        }
        [b"PUBLISH", _, _] => {
            let count = hub.borrow_mut().publish(&words[1], &words[2]);
            format!(":{count}\r\n").into_bytes()
        }
        _ => b"-ERR unknown command\r\n".to_vec(),
    }
}

fn words(frame: Frame) -> Vec<Bytes> {
    let parts = match frame {
        Frame::Array(parts) => parts,
        // The decoder takes some arrays for a subscriber's messages; they are no commands.
        other => panic!("not a command: {other:?}"),
    };
    let word = |part| match part {
        Frame::Bulk(Some(word)) => word,
        other => panic!("not a bulk string: {other:?}"),
    };
    parts.into_iter().map(word).collect()
}

/// A connection of a writer to the server.
pub(super) struct Client {
    stream: TcpStream,
    decoder: RespDecoder,
    input: BytesMut,
}

impl Client {
    pub(super) async fn connect() -> io::Result<Self> {
        let stream = TcpStream::connect(("redis", PORT)).await?;
        let decoder = RespDecoder::new(RespLimits::default());
        let mut client = Self { stream, decoder, input: BytesMut::new() };
        client.send(&[b"AUTH", PASSWORD.as_bytes()]).await?;
        client.next().await?;
        Ok(client)
    }

    pub(super) async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut output = BytesMut::new();
        encode_command(parts, &mut output);
        self.stream.write_all(&output).await
    }

    /// The next frame. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
