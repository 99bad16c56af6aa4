//! A follower that is a bare socket with its lines, without the code under test.

use synrepl::Dialect;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::writer::{LIMIT, Writer};

pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
    dialect: Dialect,
}

impl Raw {
    /// Connects, subscribes, and waits until stream `s` is announced.
    pub(crate) async fn follow(writer: &Writer, dialect: Dialect) -> Self {
        let mut raw = Self::connect(writer, dialect).await;
        if dialect.names_instances() {
            raw.say("REPLICATE").await;
            raw.hear_of("POSITION s writer ").await;
        } else {
            raw.say("REPLICATE s NOW").await;
            raw.hear_of("POSITION s ").await;
        }
        raw
    }

    /// Connects, reads the greeting, and sends nothing.
    pub(crate) async fn connect(writer: &Writer, dialect: Dialect) -> Self {
        let stream = TcpStream::connect(writer.address(dialect)).await.unwrap();
        let mut raw = Self { stream: BufReader::new(stream), dialect };
        assert_eq!(raw.line().await.as_deref(), Some("SERVER example.com"));
        assert!(raw.line().await.unwrap().starts_with("PING "));
        raw
    }

    pub(crate) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        timeout(LIMIT, self.stream.get_mut().write_all(line.as_bytes())).await.unwrap().unwrap();
    }

    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match timeout(LIMIT, self.stream.read_line(&mut line)).await.expect("no line in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end_matches('\n').to_owned()),
        }
    }

    /// The next line that begins with `start`.
    pub(crate) async fn hear_of(&mut self, start: &str) -> String {
        loop {
            let line = self.line().await.expect("the writer closed the connection");
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// The next row of stream `s`: its token, or `batch`, and the row.
    pub(crate) async fn row(&mut self) -> Option<(String, String)> {
        let start = if self.dialect.names_instances() { "RDATA s writer " } else { "RDATA s " };
        loop {
            if let Some(rest) = self.line().await?.strip_prefix(start) {
                let (token, row) = rest.split_once(' ').unwrap();
                return Some((token.to_owned(), row.to_owned()));
            }
        }
    }

    /// The rows up to the last one of this token.
    pub(crate) async fn rows_upto(&mut self, token: i64) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        loop {
            let row = self.row().await.expect("the writer closed the connection");
            let is_last = row.0 == token.to_string();
            rows.push(row);
            if is_last {
                return rows;
            }
        }
    }
}
