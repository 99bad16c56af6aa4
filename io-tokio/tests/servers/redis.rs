//! A real redis-server for one test.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
};

use bytes::BytesMut;
use synrepl::core::wire::{Frame, RespDecoder, RespLimits, encode_command};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::certificate::Certificate;

/// A redis-server on loopback and on a Unix socket, which is stopped when dropped.
pub(crate) struct Redis {
    port: u16,
    directory: TempDir,
    options: Vec<String>,
    child: Child,
}

impl Redis {
    /// Starts the server with TCP on a free port, and waits until it accepts connections.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_on("--port", options)
    }

    /// Starts the server with TLS on a free port, and no plain TCP.
    pub(crate) fn start_tls(certificate: &Certificate) -> Self {
        let (certificate, key) = (certificate.path(), certificate.key_path());
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        Self::start_on(
            "--tls-port",
            &[
                ["--port", "0"],
                ["--tls-auth-clients", "no"],
                ["--tls-cert-file", certificate],
                ["--tls-key-file", key],
                ["--tls-ca-cert-file", certificate],
            ]
            .concat(),
        )
    }

    fn start_on(port_option: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Another process may take the port before the server does; then the next one is tried.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let port = free.port();
            let mut all = vec![port_option.to_owned(), port.to_string()];
            all.extend(options.iter().map(|&option| option.to_owned()));
            if let Some(child) = spawn(directory.path(), &all) {
                return Self { port, directory, options: all, child };
            }
        }
        panic!("redis-server found no free port in 5 attempts");
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.child = spawn(self.directory.path(), &self.options).expect("it started before");
    }

    pub(crate) fn stop(&mut self) {
        // The server is not needed any more, so errors do not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The server's URL over TCP, without a password.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// A new client, on the Unix socket.
    pub(crate) async fn client(&self) -> Client {
        Client {
            stream: UnixStream::connect(self.socket()).await.unwrap(),
            decoder: RespDecoder::new(RespLimits::default()),
            input: BytesMut::new(),
        }
    }
}

/// Starts a server; `None` if it ended at once.
fn spawn(directory: &Path, options: &[String]) -> Option<Child> {
    let mut child = Process::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory)
        .arg("--unixsocket")
        .arg(directory.join("redis.sock"))
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("this test needs `redis-server` (Debian: apt install redis-server): {error}")
        });
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        // The server prints this once all its sockets listen.
        if lines.by_ref().any(|line| line.contains("eady to accept connections")) {
            // This thread keeps the pipe from filling up, and ends with the server.
            std::thread::spawn(move || lines.for_each(drop));
            return Some(child);
        }
    }
    let _ = child.wait();
    None
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A Redis client that plays another instance of the deployment, or its administrator.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: RespDecoder,
    input: BytesMut,
}

impl Client {
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

    /// Subscribes to the deployment's channel.
    pub(crate) async fn subscribe(&mut self) {
        self.command(&["SUBSCRIBE", "example.com"]).await;
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

    async fn reply(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                return frame;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "Redis is gone");
        }
    }
}
