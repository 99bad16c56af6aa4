//! The follower: the driver under test, and an application that takes its events.

use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc, time::Duration};

use synrepl::{
    Builder, Event, Positions, Replication, Secret, Source, Token,
    transport::{Address, Connector},
};
use tokio::time::timeout;
use turmoil::net::TcpStream;

use super::{
    redis::{PASSWORD, PORT},
    writer::{Batch, CHANNEL, HTTP_PORT, SECRET, Writer},
};

/// The time for which no more rows may come after all have arrived: twice the longest retry.
const QUIET: Duration = Duration::from_secs(20);

/// The simulated network, as a connector.
#[derive(Clone)]
struct Simulated;

impl Connector for Simulated {
    type Stream = TcpStream;

    async fn connect(&self, address: &Address) -> io::Result<TcpStream> {
        match address {
            Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await,
            other => panic!("no way to {other}"),
        }
    }
}

/// The events that the application was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Rc<RefCell<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    events: Vec<String>,
    rows: BTreeMap<(String, String), Vec<Batch>>,
}

impl Heard {
    /// All events as text, each with its time.
    pub(super) fn events(&self) -> Vec<String> {
        self.0.borrow().events.clone()
    }

    /// The rows of one source, in the order in which they came.
    pub(super) fn rows(&self, stream: &str, instance: &str) -> Vec<Batch> {
        let source = (stream.to_owned(), instance.to_owned());
        self.0.borrow().rows.get(&source).cloned().unwrap_or_default()
    }

    fn note(&self, event: &Event) {
        let mut contents = self.0.borrow_mut();
        let at = turmoil::sim_elapsed().unwrap().as_millis();
        contents.events.push(format!("{at:>6} ms {event:?}"));
        if let Event::Rows { source, token, rows, .. } = event {
            let source = (source.stream().to_owned(), source.instance().to_owned());
            let rows = rows.iter().map(|row| row.as_str().to_owned()).collect();
            contents.rows.entry(source).or_default().push((token.get(), rows));
        }
    }
}

/// Follows until every row of the writers has arrived, and [`QUIET`] longer.
pub(super) async fn follow(seed: u64, writers: Vec<Writer>, heard: Heard) -> turmoil::Result {
    let mut replication = start(seed, &writers)?;
    while !is_complete(&replication, &writers) {
        if let Ok(event) = timeout(Duration::from_secs(1), replication.next()).await {
            heard.note(&event.ok_or("the driver ended")?);
        }
    }
    while let Ok(event) = timeout(QUIET, replication.next()).await {
        let event = event.ok_or("the driver ended")?;
        heard.note(&event);
        if matches!(event, Event::Rows { .. }) {
            return Err(format!("after everything had arrived: {event:?}").into());
        }
    }
    replication.handle().shutdown();
    while let Some(event) = replication.next().await {
        heard.note(&event);
    }
    Ok(())
}

fn start(seed: u64, writers: &[Writer]) -> Result<Replication, Box<dyn std::error::Error>> {
    let url = format!("redis://:{PASSWORD}@redis:{PORT}");
    let mut positions = Positions::new();
    let mut builder = Builder::redis(&url, CHANNEL)?
        .connector(Simulated)
        .instance("follower")
        .seed(seed)
        .secret(Secret::new(SECRET.to_owned()))
        .limits(|limits| {
            limits.connect_timeout = Duration::from_secs(2);
            limits.ping_interval = Duration::from_secs(2);
            limits.ping_timeout = Duration::from_secs(2);
            limits.fetch_timeout = Duration::from_secs(3);
            // The queue is so small that the driver has to wait for the application.
            limits.events_queued_max = 4;
        });
    for writer in writers {
        let name = writer.name();
        builder = builder.fetch_from(name, &format!("http://{name}:{HTTP_PORT}"))?;
        for stream in writer.log().into_keys() {
            positions.set(&Source::new(stream, name), Token::new(0));
        }
    }
    Ok(builder.positions(positions).spawn()?)
}

fn is_complete(replication: &Replication, writers: &[Writer]) -> bool {
    writers.iter().all(|writer| {
        writer.is_done()
            && writer.log().into_iter().all(|(stream, batches)| {
                let end = batches.last().map_or(0, |(token, _)| *token);
                replication.positions().get(&Source::new(stream, writer.name()))
                    == Some(Token::new(end))
            })
    })
}
