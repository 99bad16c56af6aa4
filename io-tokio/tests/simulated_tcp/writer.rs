//! The writer: a driver that connects to nobody, and an application that appends on a schedule.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use synrepl::{
    Builder, Dialect, FetchFuture, FetchRequest, FetchSource, Row,
    core::stream::FetchError,
    log::{LogStore, MemoryLog},
};
use tokio::time::{sleep, timeout};

use super::{
    chance::Chance,
    network::{Listening, OpenStreams, Simulated},
};

pub(super) const STREAMS: [&str; 2] = ["events", "receipts"];

/// Each dialect, with the port at which it is spoken.
pub(super) const SPOKEN: [(Dialect, u16); 3] =
    [(Dialect::V0_23, 9_023), (Dialect::V1_13, 9_113), (Dialect::V1_22, 9_122)];

/// The rows of one token.
pub(super) type Batch = (i64, Vec<String>);

/// A writer. Its log outlives its crashes.
#[derive(Clone)]
pub(super) struct Writer(Rc<Shared>);

struct Shared {
    log: Arc<dyn LogStore>,
    open: OpenStreams,
    written: RefCell<Vec<(&'static str, Batch)>>,
    chance: RefCell<Chance>,
    /// The time of the simulation from which on it writes no more.
    until: Duration,
}

impl Writer {
    pub(super) fn new(chance: Chance, until: Duration) -> Self {
        Self(Rc::new(Shared {
            log: Arc::new(MemoryLog::default()),
            open: OpenStreams::default(),
            written: RefCell::default(),
            chance: RefCell::new(chance),
            until,
        }))
    }

    /// The batches that were written to `stream`.
    pub(super) fn written(&self, stream: &str) -> Vec<Batch> {
        let written = self.0.written.borrow();
        written.iter().filter(|(name, _)| *name == stream).map(|(_, batch)| batch.clone()).collect()
    }

    /// Whether it writes no more.
    pub(super) fn is_done(&self) -> bool {
        // The last batch may be begun before the time is over.
        turmoil::sim_elapsed().unwrap() > self.0.until + Duration::from_secs(1)
    }

    /// The connections of its followers.
    pub(super) fn open_streams(&self) -> &OpenStreams {
        &self.0.open
    }

    /// A fetch source that reads missed rows from the writer's log.
    pub(super) fn pages(&self) -> impl FetchSource + use<> {
        Pages(Arc::clone(&self.0.log))
    }

    /// Runs the process for one life, until it is crashed.
    pub(super) async fn run(self) -> turmoil::Result {
        let mut builder = Builder::standalone()
            .connector(Simulated)
            .server_name("example.com")
            .instance("writer")
            .seed(self.between(0, u64::MAX - 1))
            .shared_log(Arc::clone(&self.0.log));
        for (dialect, port) in SPOKEN {
            builder = builder.listen(Listening::on(port, self.0.open.clone()).await?, dialect);
        }
        let mut replication = builder.spawn()?;
        let handle = replication.handle();
        loop {
            let wait = Duration::from_millis(self.between(20, 400));
            // The application takes the events that come meanwhile.
            let events = async { while replication.next().await.is_some() {} };
            if timeout(wait, events).await.is_ok() {
                return Err("the driver of the writer ended".into());
            }
            if turmoil::sim_elapsed().unwrap() > self.0.until {
                continue;
            }
            for _ in 0..self.between(1, 3) {
                let stream = STREAMS[usize::try_from(self.between(0, 1)).unwrap()];
                let number = self.0.written.borrow().len();
                let rows: Vec<String> =
                    (0..self.between(1, 3)).map(|row| format!("[{number},{row}]")).collect();
                let appended = rows.iter().map(|row| Row::from(row.as_str()));
                let token = handle.append(stream, appended).await?;
                self.0.written.borrow_mut().push((stream, (token.get(), rows)));
            }
            if self.between(0, 9) == 0 {
                sleep(Duration::from_millis(self.between(0, 3_000))).await;
            }
        }
    }

    fn between(&self, low: u64, high: u64) -> u64 {
        self.0.chance.borrow_mut().between(low, high)
    }
}

struct Pages(Arc<dyn LogStore>);

impl FetchSource for Pages {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let stream = request.source.stream().to_owned().into();
        let page = self.0.read(stream, request.span, 10);
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            page.await.map_err(|error| FetchError::Unreachable {
                endpoint: "the log".to_owned(),
                message: error.to_string(),
            })
        })
    }
}
