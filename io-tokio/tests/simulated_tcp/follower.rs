//! A follower: a driver over direct TCP, and an application that takes its events.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use synrepl::{Builder, Dialect, Event, Replication, Source, Start, Token};
use tokio::time::timeout;

use super::{
    network::Simulated,
    writer::{Batch, STREAMS, Writer},
};

/// The time for which no more rows may come after all have arrived: twice the longest retry.
const QUIET: Duration = Duration::from_secs(20);

/// The events that the application was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Rc<RefCell<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    events: Vec<String>,
    rows: BTreeMap<String, Vec<Batch>>,
}

impl Heard {
    /// All events as text, each with its time.
    pub(super) fn events(&self) -> Vec<String> {
        self.0.borrow().events.clone()
    }

    /// The rows of one stream, in the order in which they came.
    pub(super) fn rows(&self, stream: &str) -> Vec<Batch> {
        self.0.borrow().rows.get(stream).cloned().unwrap_or_default()
    }

    fn note(&self, event: &Event) {
        let mut contents = self.0.borrow_mut();
        let at = turmoil::sim_elapsed().unwrap().as_millis();
        contents.events.push(format!("{at:>6} ms {event:?}"));
        if let Event::Rows { source, token, rows, .. } = event {
            let rows = rows.iter().map(|row| row.as_str().to_owned()).collect();
            contents.rows.entry(source.stream().to_owned()).or_default().push((token.get(), rows));
        }
    }
}

/// The instance name under which the rows come.
fn instance(dialect: Dialect) -> &'static str {
    if dialect.names_instances() { "writer" } else { "master" }
}

/// Follows until every row that was written has arrived, and [`QUIET`] longer.
pub(super) async fn follow(
    seed: u64,
    (dialect, port): (Dialect, u16),
    writer: Writer,
    heard: Heard,
) -> turmoil::Result {
    let mut replication = Builder::tcp(&format!("writer:{port}"), dialect)?
        .connector(Simulated)
        .server_name("example.com")
        .instance("follower")
        .seed(seed)
        .start(Start::Beginning)
        .fetch_source(writer.pages())
        .limits(|limits| {
            limits.connect_timeout = Duration::from_secs(2);
            // The queue is so small that the driver has to wait for the application.
            limits.events_queued_max = 4;
        })
        .spawn()?;
    while !is_complete(&replication, dialect, &writer) {
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

fn is_complete(replication: &Replication, dialect: Dialect, writer: &Writer) -> bool {
    writer.is_done()
        && STREAMS.iter().all(|stream| {
            let end = writer.written(stream).last().map_or(0, |(token, _)| *token);
            replication.positions().get(&Source::new(stream, instance(dialect)))
                == Some(Token::new(end))
        })
}
