//! A client of the test's redis-server.

use bytes::BytesMut;
use synrepl::core::wire::{Frame, RespDecoder, RespLimits, encode_command};
use synrepl_tests::redis::RedisServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// A Redis client that plays another instance of the deployment, or its administrator.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: RespDecoder,
    input: BytesMut,
}

impl Client {
    /// A new client, on the server's Unix socket.
    pub(crate) async fn of(redis: &RedisServer) -> Self {
        Self {
            stream: UnixStream::connect(redis.socket()).await.unwrap(),
            decoder: RespDecoder::new(RespLimits::default()),
            input: BytesMut::new(),
        }
    }

    /// A new client that receives what is published on the deployment's channel.
    pub(crate) async fn listening(redis: &RedisServer) -> Self {
        let mut client = Self::of(redis).await;
        client.command(&["SUBSCRIBE", "example.com"]).await;
        client
    }

    /// Sends a Redis command and returns its reply.
    pub(crate) async fn command(&mut self, parts: &[&str]) -> Frame {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let mut output = BytesMut::new();
        encode_command(&parts, &mut output);
        self.stream.write_all(&output).await.unwrap();
        self.reply().await
    }

    /// Publishes on the deployment's channel and returns the number of receivers.
    pub(crate) async fn publish(&mut self, text: &str) -> i64 {
        match self.command(&["PUBLISH", "example.com", text]).await {
            Frame::Integer(count) => count,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a message with the text `expected` is received.
    pub(crate) async fn hear(&mut self, expected: &str) {
        let heard = async {
            loop {
                if let Frame::Message { payload, .. } = self.reply().await
                    && payload == expected
                {
                    return;
                }
            }
        };
        tokio::time::timeout(super::LIMIT, heard).await.expect("it was not said in time");
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        let closed =
            async { while self.stream.read_buf(&mut self.input).await.unwrap_or(0) > 0 {} };
        tokio::time::timeout(super::LIMIT, closed).await.expect("it was not closed in time");
    }

    async fn reply(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                return frame;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "Redis is gone");
        }
    }
}
