//! A network whose far end the test plays: Redis servers without sockets, and a fetch source with
//! fixed answers.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{collections::VecDeque, io, sync::Mutex};

use bytes::BytesMut;
use synrepl::{
    Builder, Event, FetchFuture, FetchRequest, FetchSource, Replication,
    core::{
        stream::{FetchError, Page},
        wire::{Frame, RespDecoder, RespLimits},
    },
    transport::{Address, Connector},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::mpsc,
};

/// A connector whose connections end at the test.
#[derive(Clone)]
pub(crate) struct Script(mpsc::Sender<DuplexStream>);

/// The far ends of the connections, in the order in which they were opened.
pub(crate) struct Network(mpsc::Receiver<DuplexStream>);

pub(crate) fn network() -> (Script, Network) {
    let (sender, receiver) = mpsc::channel(16);
    (Script(sender), Network(receiver))
}

impl Connector for Script {
    type Stream = DuplexStream;

    async fn connect(&self, _address: &Address) -> io::Result<DuplexStream> {
        let (near, far) = duplex(1 << 16);
        let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        self.0.send(far).await.map_err(refused)?;
        Ok(near)
    }
}

impl Network {
    pub(crate) async fn accept(&mut self) -> Peer {
        let stream = self.0.recv().await.expect("the driver is gone");
        Peer { stream, decoder: RespDecoder::new(RespLimits::default()), input: BytesMut::new() }
    }

    /// Plays a Redis server without a password up to the confirmed subscription.
    pub(crate) async fn log_in(&mut self) -> Redis {
        let mut redis = self.log_in_to_subscribe(&["example.com"]).await;
        redis.subscriber.say("*3\r\n$9\r\nsubscribe\r\n$11\r\nexample.com\r\n:2\r\n").await;
        redis
    }

    /// Plays it up to the SUBSCRIBE for these channels, which is not answered.
    pub(crate) async fn log_in_to_subscribe(&mut self, channels: &[&str]) -> Redis {
        let mut publisher = self.accept().await;
        let mut subscriber = self.accept().await;
        publisher.is_primary().await;
        subscriber.subscribe_apart().await;
        subscriber.expect(&[&["SUBSCRIBE"], channels].concat()).await;
        Redis { publisher, subscriber }
    }
}

/// The far ends of the two connections that the driver has to Redis.
pub(crate) struct Redis {
    pub(crate) publisher: Peer,
    pub(crate) subscriber: Peer,
}

impl Redis {
    pub(crate) async fn message(&mut self, text: &str) {
        self.subscriber.message(text).await;
    }

    pub(crate) async fn expect_publish(&mut self, text: &str) {
        self.publisher.expect(&["PUBLISH", "example.com", text]).await;
        self.publisher.say(":1\r\n").await;
    }
}

/// The answer of a primary to ROLE.
pub(crate) const PRIMARY: &str = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";

/// The far end of one connection.
pub(crate) struct Peer {
    stream: DuplexStream,
    decoder: RespDecoder,
    input: BytesMut,
}

impl Peer {
    /// The next command of the driver; `None` once it has closed the connection.
    pub(crate) async fn command(&mut self) -> Option<Vec<String>> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                let Frame::Array(parts) = frame else { panic!("not a command: {frame:?}") };
                return Some(parts.into_iter().map(text).collect());
            }
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn expect(&mut self, parts: &[&str]) {
        let command = self.command().await.expect("the driver closed the connection");
        assert_eq!(command, parts);
    }

    pub(crate) async fn expect_close(&mut self) {
        assert_eq!(self.command().await, None);
    }

    /// Answers PING, and ROLE as a primary does.
    pub(crate) async fn is_primary(&mut self) {
        self.expect(&["PING"]).await;
        self.say("+PONG\r\n").await;
        self.expect(&["ROLE"]).await;
        self.say(PRIMARY).await;
    }

    /// Confirms the first subscription, which is of the channel to which no Synapse listens.
    pub(crate) async fn subscribe_apart(&mut self) {
        self.expect(&["SUBSCRIBE", "example.com/synrepl"]).await;
        self.say("*3\r\n$9\r\nsubscribe\r\n$19\r\nexample.com/synrepl\r\n:1\r\n").await;
    }

    /// Sends `text` as a message of the deployment's channel.
    pub(crate) async fn message(&mut self, text: &str) {
        let length = text.len();
        let frame = format!("*3\r\n$7\r\nmessage\r\n$11\r\nexample.com\r\n${length}\r\n{text}\r\n");
        self.say(&frame).await;
    }

    pub(crate) async fn say(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.expect("the driver closed the connection");
    }
}

fn text(frame: Frame) -> String {
    match frame {
        Frame::Bulk(Some(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("not a bulk string: {other:?}"),
    }
}

pub(crate) fn builder(script: Script) -> Builder<Script> {
    builder_for("redis://redis", script)
}

pub(crate) fn builder_for(url: &str, script: Script) -> Builder<Script> {
    Builder::redis(url, "example.com").unwrap().instance("me").seed(1).connector(script)
}

/// The reason of the next `Disconnected`.
pub(crate) async fn disconnect_reason(replication: &mut Replication) -> String {
    loop {
        match replication.next().await.expect("the driver stopped") {
            Event::Disconnected { reason, .. } => return reason,
            Event::Connected { .. } | Event::Warning(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A fetch source that answers with these results in order, and then never.
#[derive(Default)]
pub(crate) struct Pages {
    pages: Mutex<VecDeque<Result<Page, FetchError>>>,
}

impl Pages {
    pub(crate) fn new(pages: impl IntoIterator<Item = Result<Page, FetchError>>) -> Self {
        Self { pages: Mutex::new(pages.into_iter().collect()) }
    }
}

impl FetchSource for Pages {
    fn fetch(&self, _request: FetchRequest) -> FetchFuture {
        let page = self.pages.lock().unwrap().pop_front();
        Box::pin(async move {
            match page {
                Some(page) => page,
                None => std::future::pending().await,
            }
        })
    }
}
