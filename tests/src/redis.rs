//! A real redis-server for one test, and plain connections to it.

use std::{
    io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result as IoResult, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::Failure;

/// The longest time that Redis may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest reply that is read, in bytes, which is enough for every message to the tests'
/// subscribers.
const REPLY_BYTES_MAX: usize = 4 << 20;

/// A redis-server on loopback and on a Unix socket, with nothing on disk. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    address: SocketAddr,
    directory: TempDir,
    settings: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server on a free port, with these settings added.
    ///
    /// # Errors
    /// Fails if there is no redis-server, or it does not come up.
    pub fn start(settings: &[&str]) -> Result<Self, Failure> {
        Self::start_on("--port", settings)
    }

    /// Starts a server with TLS on a free port, and without plain TCP. The certificate is its own
    /// CA.
    ///
    /// # Errors
    /// Fails if there is no redis-server, or it does not come up.
    pub fn start_tls(certificate: &Path, key: &Path) -> Result<Self, Failure> {
        Self::start_tls_with(certificate, key, &["--tls-auth-clients", "no"])
    }

    /// Starts a server with TLS as [`RedisServer::start_tls`] does, with these settings added.
    ///
    /// # Errors
    /// Fails if there is no redis-server, or it does not come up.
    pub fn start_tls_with(
        certificate: &Path,
        key: &Path,
        settings: &[&str],
    ) -> Result<Self, Failure> {
        let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        let ca = ["--tls-ca-cert-file", &certificate];
        Self::start_on("--tls-port", &[&["--port", "0"][..], &files, &ca, settings].concat())
    }

    fn start_on(port: &str, settings: &[&str]) -> Result<Self, Failure> {
        // Another process may take the port before the server does; then the next one is tried.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let at = address.port().to_string();
            let settings = [&[port, &at], settings].concat();
            let settings = settings.into_iter().map(str::to_owned).collect();
            let directory = tempfile::tempdir()?;
            let mut server = Self { address, directory, settings, child: None };
            if server.start_again().is_ok() {
                return Ok(server);
            }
        }
        Err("redis-server did not come up; is it installed (.ci/install)?".into())
    }

    /// Starts the server once more, on its port, after [`RedisServer::kill`].
    ///
    /// # Errors
    /// Fails if it does not come up.
    pub fn start_again(&mut self) -> Result<(), Failure> {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .arg("--unixsocket")
            .arg(self.socket())
            // The server never drops a slow subscriber by itself: the tests cut on purpose only.
            .args(["--client-output-buffer-limit", "pubsub 0 0 0"])
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let log = child.stdout.take();
        self.child = Some(child);
        let mut lines =
            BufReader::new(log.ok_or("no log of redis-server")?).lines().map_while(Result::ok);
        // The server prints this once all its sockets listen.
        if !lines.any(|line| line.contains("eady to accept connections")) {
            self.kill();
            return Err("redis-server ended at once".into());
        }
        // This thread keeps the pipe from filling up, and ends with the server.
        thread::spawn(move || lines.for_each(drop));
        Ok(())
    }

    /// Kills the server. What it had not yet sent is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The server may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// The URL of the server over plain TCP and without a password, as the command takes it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The number of its process; `None` while it is not running.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Publishes a message, and returns the number of its receivers.
    ///
    /// # Errors
    /// Fails if the server is away, or wants a password.
    pub fn publish(&self, channel: &str, message: &str) -> Result<i64, Failure> {
        let words = [b"PUBLISH", channel.as_bytes(), message.as_bytes()];
        let reply = Connection::open(self.address)?.call(&words)?;
        let Reply::Integer(receivers) = reply else {
            return Err(format!("Redis answered PUBLISH with {reply:?}").into());
        };
        Ok(receivers)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A reply of Redis, as far as these tests see them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the protocol")]
#[non_exhaustive]
pub enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Self>),
}

impl Reply {
    /// The text of a bulk string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Status(_) | Self::Error(_) | Self::Integer(_) | Self::Array(_) => None,
        }
    }
}

/// One connection to Redis.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// Fails if the server does not accept it.
    pub fn open(address: SocketAddr) -> IoResult<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let reader = BufReader::new(socket.try_clone()?);
        Ok(Self { socket, reader })
    }

    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// Fails if the connection breaks.
    pub fn call(&mut self, words: &[&[u8]]) -> IoResult<Reply> {
        self.socket.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = Vec::new();
        append_command(&mut bytes, words);
        self.socket.write_all(&bytes)?;
        read_reply(&mut self.reader)
    }

    /// Sends commands that are encoded already and waits for that many replies.
    ///
    /// # Errors
    /// Fails if the connection breaks, or one of them was refused.
    pub fn call_all(&mut self, encoded: &[u8], count: usize) -> IoResult<()> {
        self.socket.set_read_timeout(Some(PATIENCE))?;
        self.socket.write_all(encoded)?;
        for _ in 0..count {
            if let Reply::Error(text) = read_reply(&mut self.reader)? {
                return Err(Error::new(ErrorKind::InvalidData, text));
            }
        }
        Ok(())
    }

    /// Waits for the next message of a subscription, however long it takes.
    ///
    /// # Errors
    /// Fails if the connection breaks or is shut down.
    pub fn next_push(&mut self) -> IoResult<Reply> {
        self.socket.set_read_timeout(None)?;
        read_reply(&mut self.reader)
    }

    /// A handle that ends the connection from another thread.
    ///
    /// # Errors
    /// Fails if the system does not give a second handle.
    pub fn breaker(&self) -> IoResult<Breaker> {
        Ok(Breaker(self.socket.try_clone()?))
    }
}

/// Ends a connection when dropped.
#[derive(Debug)]
pub struct Breaker(TcpStream);

impl Drop for Breaker {
    fn drop(&mut self) {
        // The socket may be closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Appends a command in RESP to `bytes`.
pub fn append_command(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

fn read_reply(reader: &mut BufReader<TcpStream>) -> IoResult<Reply> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let invalid = || Error::new(ErrorKind::InvalidData, format!("not RESP2: {line:?}"));
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or_else(invalid)?;
    let number = || rest.parse::<i64>().map_err(|_| invalid());
    let length = || usize::try_from(number()?).map_err(|_| invalid());
    match kind {
        "+" => Ok(Reply::Status(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => Ok(Reply::Integer(number()?)),
        "$" => {
            let length = length()?;
            if length > REPLY_BYTES_MAX {
                return Err(invalid());
            }
            let mut bytes = vec![0; length + 2];
            reader.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(Reply::Bulk(bytes))
        }
        "*" => {
            Ok(Reply::Array((0..length()?).map(|_| read_reply(reader)).collect::<Result<_, _>>()?))
        }
        _ => Err(invalid()),
    }
}
