//! Starts `synrepl serve` on a log of the test's own, feeds it, and reads its answers.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::ChildStdin,
};

use tempfile::TempDir;

use super::program::{LIMIT, Running, synrepl};

/// A directory with a log that several runs write one after the other.
pub(crate) struct LogDirectory(TempDir);

impl LogDirectory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        self.path("rows.log").to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Serves the log, with these flags added.
    pub(crate) fn serve(&self, flags: &[&str]) -> Writer {
        let log = self.log();
        self.serve_flags(&[&["--log", &log], flags].concat())
    }

    /// Serves with these flags alone, and waits until it listens.
    pub(crate) fn serve_flags(&self, flags: &[&str]) -> Writer {
        let file = self.path("addresses.json");
        // An earlier run may have left its file there.
        let _ = fs::remove_file(&file);
        let path = file.to_str().unwrap();
        let command = synrepl(&[&["serve", "--addresses-file", path], flags].concat());
        let (running, feed) = Running::start_fed(command);
        // This is the last line of the start; the file is written by then.
        running.stderr_until("listening");
        Writer { running, feed: Some(feed), addresses: addresses(&file) }
    }
}

fn addresses(file: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// One run of `synrepl serve`, which is killed when dropped.
pub(crate) struct Writer {
    pub(crate) running: Running,
    feed: Option<ChildStdin>,
    addresses: serde_json::Value,
}

impl Writer {
    pub(crate) fn http(&self) -> &str {
        self.addresses["http"].as_str().unwrap()
    }

    pub(crate) fn tcp(&self, index: usize) -> &str {
        self.addresses["tcp"][index].as_str().unwrap()
    }

    /// Writes to the process's stdin.
    pub(crate) fn feed(&mut self, text: &str) {
        self.feed.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn take_feed(&mut self) -> ChildStdin {
        self.feed.take().unwrap()
    }

    pub(crate) fn end_of_stdin(&mut self) {
        self.feed = None;
    }

    /// The next acknowledgement.
    pub(crate) fn line(&self) -> String {
        self.running.next_line().expect("it has closed its stdout")
    }

    /// The status and body of the answer to a request; `head` is its head without the host.
    pub(crate) fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let length = body.len();
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    pub(crate) fn post(&self, body: &str) -> (u16, String) {
        self.ask("POST /rows", body)
    }

    /// All rows of a stream, each with its token, page by page.
    pub(crate) fn rows(&self, stream: &str) -> Vec<(i64, serde_json::Value)> {
        let (mut from, mut rows) = (0, Vec::new());
        loop {
            let head = format!(
                "GET /_synapse/replication/get_repl_stream_updates/{stream}/x\
                 ?from_token={from}&upto_token={}",
                i64::MAX
            );
            let (status, body) = self.ask(&head, "");
            assert_eq!(status, 200, "{body}");
            let page: serde_json::Value = serde_json::from_str(&body).unwrap();
            for update in page["updates"].as_array().unwrap() {
                rows.push((update[0].as_i64().unwrap(), update[1].clone()));
            }
            from = page["upto_token"].as_i64().unwrap();
            if page["limited"] == false {
                return rows;
            }
        }
    }
}
