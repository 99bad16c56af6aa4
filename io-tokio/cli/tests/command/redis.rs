//! A real redis-server for one test.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use super::program::LIMIT;

/// A redis-server on a port of its own, on loopback only, which is stopped when dropped.
pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts the server and waits until it takes connections.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts the server with more settings.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        // Another process may take the port before the server does; then the next one is tried.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(redis) = Self::start_at(port, settings) {
                return redis;
            }
        }
        panic!("redis-server found no free port in 5 attempts");
    }

    fn start_at(port: u16, settings: &[&str]) -> Option<Self> {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .args(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server cannot be started ({error}); this test needs it installed")
            });
        let stdout = child.stdout.take();
        let redis = Self { child, port };
        let log = BufReader::new(stdout?);
        let mut lines = log.lines().map_while(Result::ok);
        lines.by_ref().find(|line| line.contains("Ready to accept connections"))?;
        // This thread keeps the pipe from filling up, and ends with the server.
        std::thread::spawn(move || lines.for_each(drop));
        Some(redis)
    }

    /// The server's URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Publishes a message, and returns the number of its receivers.
    pub(crate) fn publish(&self, channel: &str, message: &str) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut request = String::from("*3\r\n");
        for part in ["PUBLISH", channel, message] {
            request.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        BufReader::new(stream.take(64)).read_line(&mut reply).unwrap();
        reply.trim_start_matches(':').trim_end().parse().unwrap_or_else(|_| panic!("{reply:?}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The server is not needed any more, so errors do not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
