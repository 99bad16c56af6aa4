//! An HTTP replication listener whose answers a function of the test makes.

use std::{
    io::{BufRead, BufReader, Result as IoResult, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
};

use crate::listener::{FREE_PORT, Listener};

/// A catch-up request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the call's parts")]
#[non_exhaustive]
pub struct Request {
    pub stream: String,
    pub transaction: String,
    pub from: i64,
    pub upto: i64,
    pub authorization: Option<String>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Status 200 with this body, in chunks, as Synapse sends it.
    Page(String),
    /// Another status, with this body.
    Status(u16, &'static str),
    /// These bytes instead of an answer, then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Silence,
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

/// A listener on loopback, which is closed when dropped.
pub struct Endpoint {
    address: SocketAddr,
    script: Arc<Script>,
    listener: Option<Listener>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Listens on a free port and answers each request as `script` does, each connection in a
    /// thread of its own.
    ///
    /// # Errors
    /// Fails if the system gives no port.
    pub fn open(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> IoResult<Self> {
        let script: Arc<Script> = Arc::new(script);
        let listener = listen(FREE_PORT, &script)?;
        Ok(Self { address: listener.address(), script, listener: Some(listener) })
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the listener, as the command takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks all connections and refuses new ones.
    pub fn close(&mut self) {
        self.listener = None;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// Fails if the port is taken.
    pub fn open_again(&mut self) -> IoResult<()> {
        self.close();
        self.listener = Some(listen(self.address, &self.script)?);
        Ok(())
    }
}

fn listen(address: SocketAddr, script: &Arc<Script>) -> IoResult<Listener> {
    let script = Arc::clone(script);
    Listener::open(address, move |socket, connections| {
        connections.keep(socket)?;
        serve(socket, &*script)
    })
}

/// Answers the requests of one connection until either side ends it.
fn serve(socket: &TcpStream, script: &Script) -> IoResult<()> {
    let mut writer = socket;
    let mut reader = BufReader::new(socket);
    loop {
        let Some(request) = read_request(&mut reader)? else {
            return socket.shutdown(Shutdown::Both);
        };
        match script(&request) {
            Answer::Page(body) => {
                let (first, second) = body.split_at(body.len() / 2);
                write!(
                    writer,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Transfer-Encoding: chunked\r\n\r\n"
                )?;
                let mut chunks = String::new();
                for chunk in [first, second].into_iter().filter(|chunk| !chunk.is_empty()) {
                    chunks.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
                }
                chunks.push_str("0\r\n\r\n");
                writer.write_all(chunks.as_bytes())?;
            }
            Answer::Status(status, body) => {
                let length = body.len();
                write!(
                    writer,
                    "HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\n\r\n{body}"
                )?;
            }
            Answer::Raw(bytes) => {
                writer.write_all(&bytes)?;
                return socket.shutdown(Shutdown::Both);
            }
            Answer::Silence => {
                // This ends when the client closes the connection.
                return std::io::copy(&mut reader, &mut std::io::sink()).map(drop);
            }
        }
    }
}

/// The next request; `None` at the end, or if it is not a catch-up request.
fn read_request(reader: &mut impl BufRead) -> IoResult<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut authorization = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                authorization = Some(value.to_owned());
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(parse_call(&first, authorization))
}

fn parse_call(line: &str, authorization: Option<String>) -> Option<Request> {
    let rest = line.strip_prefix("GET /_synapse/replication/get_repl_stream_updates/")?;
    let (path, query) = rest.split_once(' ')?.0.split_once('?')?;
    let (stream, transaction) = path.split_once('/')?;
    let (from, upto) = query.strip_prefix("from_token=")?.split_once("&upto_token=")?;
    Some(Request {
        stream: stream.to_owned(),
        transaction: transaction.to_owned(),
        from: from.parse().ok()?,
        upto: upto.parse().ok()?,
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_taken_apart() {
        let line = "GET /_synapse/replication/get_repl_stream_updates/events/ab12\
                    ?from_token=3&upto_token=9 HTTP/1.1\r\n";
        let request = parse_call(line, None).unwrap();
        assert_eq!((request.stream.as_str(), request.transaction.as_str()), ("events", "ab12"));
        assert_eq!((request.from, request.upto), (3, 9));
        assert_eq!(parse_call("GET / HTTP/1.1\r\n", None), None);
    }
}
