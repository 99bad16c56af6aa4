//! An instance that writes streams on a schedule: into its log and onto the bus. Its HTTP listener
//! serves catch-up from the log.

use std::{
    cell::RefCell, collections::BTreeMap, convert::Infallible, future::ready, io, rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use synrepl::core::wire::Frame;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use turmoil::net::TcpListener;

use super::{chance::Chance, redis::Client};

pub(super) const HTTP_PORT: u16 = 9093;
pub(super) const CHANNEL: &str = "example.com";
pub(super) const SECRET: &str = "white-rabbit";

/// The most rows of one page, unless one batch alone has more.
const PAGE_ROWS: usize = 15;

/// The longest time that Redis may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The rows of one token.
pub(super) type Batch = (i64, Vec<String>);

/// A writer. Its log outlives its crashes.
#[derive(Clone)]
pub(super) struct Writer(Rc<Shared>);

struct Shared {
    name: &'static str,
    log: RefCell<BTreeMap<&'static str, Vec<Batch>>>,
    chance: RefCell<Chance>,
    written: Notify,
    /// The time of the simulation from which on it writes no more.
    until: Duration,
}

impl Writer {
    pub(super) fn new(
        name: &'static str,
        streams: &[&'static str],
        chance: Chance,
        until: Duration,
    ) -> Self {
        let log = streams.iter().map(|stream| (*stream, Vec::new())).collect();
        Self(Rc::new(Shared {
            name,
            log: RefCell::new(log),
            chance: RefCell::new(chance),
            written: Notify::new(),
            until,
        }))
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.name
    }

    /// All batches that were written, by stream.
    pub(super) fn log(&self) -> BTreeMap<&'static str, Vec<Batch>> {
        self.0.log.borrow().clone()
    }

    /// Whether it writes no more.
    pub(super) fn is_done(&self) -> bool {
        // The last batch may be begun before the time is over.
        turmoil::sim_elapsed().unwrap() > self.0.until + Duration::from_secs(1)
    }

    /// Runs the instance until it is crashed.
    pub(super) async fn run(self) -> turmoil::Result {
        // All parts run in one task, so that a panic ends the simulation.
        tokio::select! {
            biased;
            () = self.write() => {}
            () = self.publish() => {}
            result = self.serve() => return result,
        }
        Ok(())
    }

    async fn write(&self) {
        while turmoil::sim_elapsed().unwrap() < self.0.until {
            let pause = self.0.chance.borrow_mut().between(50, 400);
            sleep(Duration::from_millis(pause)).await;
            self.append();
            self.0.written.notify_one();
        }
        std::future::pending().await
    }

    /// Writes a batch of one to three rows to one of the streams.
    fn append(&self) {
        let mut log = self.0.log.borrow_mut();
        let mut chance = self.0.chance.borrow_mut();
        let chosen = chance.between(0, log.len() as u64 - 1);
        let (stream, batches) = log.iter_mut().nth(usize::try_from(chosen).unwrap()).unwrap();
        let last = batches.last().map_or(0, |(token, _)| *token);
        let token = last + chance.between(1, 3).cast_signed();
        let name = self.0.name;
        let row = |index| format!("[\"{stream}\",\"{name}\",{token},{index}]");
        batches.push((token, (1..=chance.between(1, 3)).map(row).collect()));
    }

    async fn publish(&self) {
        loop {
            // The next session announces what may have been lost, so the end of this one does not
            // matter.
            let _ = self.session().await;
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn session(&self) -> io::Result<()> {
        let mut publisher = timeout(PATIENCE, Client::connect()).await??;
        let mut subscriber = timeout(PATIENCE, Client::connect()).await??;
        subscriber.send(&[b"SUBSCRIBE", CHANNEL.as_bytes()]).await?;
        timeout(PATIENCE, subscriber.next()).await??;
        let mut sent = self.ends();
        self.announce(&mut publisher, &sent).await?;
        loop {
            tokio::select! {
                biased;
                () = self.0.written.notified() => self.send_rows(&mut publisher, &mut sent).await?,
                message = subscriber.next() => if let Frame::Message { payload, .. } = message?
                    && payload.starts_with(b"REPLICATE")
                {
                    // An announcement must not go ahead of rows that are still unsent.
                    self.send_rows(&mut publisher, &mut sent).await?;
                    self.announce(&mut publisher, &sent).await?;
                },
            }
        }
    }

    /// The last token of each stream.
    fn ends(&self) -> BTreeMap<&'static str, i64> {
        let end = |batches: &Vec<Batch>| batches.last().map_or(0, |(token, _)| *token);
        self.0.log.borrow().iter().map(|(stream, batches)| (*stream, end(batches))).collect()
    }

    async fn announce(
        &self,
        publisher: &mut Client,
        ends: &BTreeMap<&'static str, i64>,
    ) -> io::Result<()> {
        let name = self.0.name;
        for (stream, end) in ends {
            say(publisher, &format!("POSITION {stream} {name} {end} {end}")).await?;
        }
        Ok(())
    }

    async fn send_rows(
        &self,
        publisher: &mut Client,
        sent: &mut BTreeMap<&'static str, i64>,
    ) -> io::Result<()> {
        let name = self.0.name;
        for (stream, batches) in self.log() {
            let from = sent[stream];
            for (token, rows) in batches.into_iter().filter(|(token, _)| *token > from) {
                let (last, others) = rows.split_last().unwrap();
                for row in others {
                    say(publisher, &format!("RDATA {stream} {name} batch {row}")).await?;
                }
                say(publisher, &format!("RDATA {stream} {name} {token} {last}")).await?;
                sent.insert(stream, token);
            }
        }
        Ok(())
    }

    async fn serve(&self) -> turmoil::Result {
        let listener = TcpListener::bind(("0.0.0.0", HTTP_PORT)).await?;
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                // A connection that breaks does not concern the server; a panic ends the test.
                Some(ended) = clients.join_next() => drop(ended.unwrap()),
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let writer = self.clone();
                    clients.spawn_local(async move {
                        let service = service_fn(|request: Request<Incoming>| {
                            let (status, body) = writer.answer(&request);
                            let body = Full::new(Bytes::from(body));
                            let response = Response::builder().status(status).body(body).unwrap();
                            ready(Ok::<_, Infallible>(response))
                        });
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                    });
                }
            }
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> (u16, String) {
        let authorization = request.headers().get("authorization").unwrap();
        assert_eq!(authorization, &format!("Bearer {SECRET}"));
        let path: Vec<&str> = request.uri().path().split('/').collect();
        let ["", "_synapse", "replication", "get_repl_stream_updates", stream, _] = path[..] else {
            return (404, String::new());
        };
        let query = request.uri().query().unwrap();
        let number = |name: &str| -> i64 {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap();
            value.parse().unwrap()
        };
        let (from, upto) = (number("from_token="), number("upto_token="));
        let log = self.0.log.borrow();
        let (mut updates, mut end, mut limited) = (Vec::new(), upto, false);
        for (token, rows) in log[stream].iter().filter(|(token, _)| from < *token && *token <= upto)
        {
            if !updates.is_empty() && updates.len() + rows.len() > PAGE_ROWS {
                limited = true;
                break;
            }
            end = *token;
            updates.extend(rows.iter().map(|row| format!("[{token},{row}]")));
        }
        if !limited {
            end = upto;
        }
        let updates = updates.join(",");
        (200, format!(r#"{{"updates":[{updates}],"upto_token":{end},"limited":{limited}}}"#))
    }
}

/// Publishes a message and waits until Redis has taken it.
async fn say(publisher: &mut Client, text: &str) -> io::Result<()> {
    publisher.send(&[b"PUBLISH", CHANNEL.as_bytes(), text.as_bytes()]).await?;
    match timeout(PATIENCE, publisher.next()).await?? {
        Frame::Integer(_) => Ok(()),
        other => panic!("{other:?}"),
    }
}
