//! The writer under test: a driver that listens for direct TCP, on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use synrepl::{
    Builder, Dialect, Event, Handle, Replication, Token,
    log::{LogStore, MemoryLog, MemoryOptions},
};
use tokio::{net::TcpListener, time::timeout};

/// The longest time that anything may take here; only a failing test waits that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// One dialect of each of the three groups that differ in what they do, not only in the form of
/// their lines.
pub(crate) const DIALECTS: [Dialect; 3] = [Dialect::V0_23, Dialect::V1_13, Dialect::V1_22];

pub(crate) struct Writer {
    pub(crate) replication: Replication,
    pub(crate) handle: Handle,
    pub(crate) log: Arc<dyn LogStore>,
    addresses: Vec<(Dialect, SocketAddr)>,
}

impl Writer {
    /// A writer called `writer` that listens in each of [`DIALECTS`] and has one row in stream `s`.
    pub(crate) async fn start(build: impl FnOnce(Builder) -> Builder) -> Self {
        let mut options = MemoryOptions::default();
        options.keep_bytes_max = 256 << 20;
        let log: Arc<dyn LogStore> = Arc::new(MemoryLog::new(options));
        let mut builder = Builder::standalone()
            .server_name("example.com")
            .instance("writer")
            .seed(1)
            .shared_log(Arc::clone(&log));
        let mut addresses = Vec::new();
        for dialect in DIALECTS {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push((dialect, listener.local_addr().unwrap()));
            builder = builder.listen(listener, dialect);
        }
        let replication = build(builder).spawn().unwrap();
        let handle = replication.handle();
        let writer = Self { replication, handle, log, addresses };
        assert_eq!(writer.append(&["[0]"]).await, Token::new(1));
        writer
    }

    /// The address at which this dialect is spoken.
    pub(crate) fn address(&self, dialect: Dialect) -> SocketAddr {
        let found = self.addresses.iter().find(|(spoken, _)| *spoken == dialect);
        found.expect("one of DIALECTS").1
    }

    /// Appends a batch to stream `s`.
    pub(crate) async fn append(&self, rows: &[&str]) -> Token {
        let rows = rows.iter().map(|row| synrepl::Row::from(*row));
        timeout(LIMIT, self.handle.append("s", rows)).await.unwrap().unwrap()
    }

    /// The next event for which `wanted` finds something.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = timeout(LIMIT, self.replication.next()).await.expect("no event in time");
            if let Some(found) = wanted(event.expect("the driver stopped")) {
                return found;
            }
        }
    }
}
