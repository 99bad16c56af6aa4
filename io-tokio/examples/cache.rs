//! Keeps a cache correct: what the deployment changes is forgotten, and nothing is kept while a
//! change could be missed. `cargo run --example cache -- REDIS_URL SERVER_NAME ROOM...`
#![expect(clippy::print_stdout, clippy::wildcard_enum_match_arm, reason = "a program for people")]

use std::{collections::BTreeMap, env, error::Error, iter};

use synrepl::{
    Builder, Event, Row, Source,
    typed::{CachesRow, StreamRow as _},
};

#[derive(Default)]
struct Cache {
    /// The rooms that are known without a query. Empty unless all writers are live.
    rooms: BTreeMap<String, ()>,
    writers: BTreeMap<Source, bool>, // The sources of `caches`, and whether each is live.
}

impl Cache {
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Rows { rows, .. } => return rows.iter().for_each(|row| self.forget(row)),
            Event::Live { source, .. } => _ = self.writers.insert(source, true),
            Event::CatchingUp { source, .. } | Event::NotLive { source, .. } => {
                self.writers.insert(source, false);
            }
            Event::Disconnected { .. } => self.writers.values_mut().for_each(|live| *live = false),
            _ => return,
        }
        self.rooms.clear(); // A change may have been missed: gaps lie in catch-ups.
    }

    /// Forgets what a row names: everything, if it has no keys or cannot be read.
    fn forget(&mut self, row: &Row) {
        let keys = CachesRow::parse(row).ok().and_then(|row| row.keys);
        let names = |room: &str| keys.iter().flatten().any(|key| key.as_str() == room);
        self.rooms.retain(|room, ()| keys.is_some() && !names(room));
    }

    /// Returns whether `room` is known. If not, it is queried, and kept where no change can be
    /// missed.
    fn is_known(&mut self, room: &str) -> bool {
        let all_live = !self.writers.is_empty() && self.writers.values().all(|live| *live);
        all_live && self.rooms.insert(room.to_owned(), ()).is_some()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [redis, server_name, rooms @ ..] = args.as_slice() else {
        return Err("usage: cache REDIS_URL SERVER_NAME ROOM...".into());
    };
    let mut cache = Cache::default();
    let mut replication = Builder::redis(redis, server_name)?.streams(["caches"]).spawn()?;
    let handle = replication.handle();
    tokio::spawn(async move { tokio::signal::ctrl_c().await.map(|()| handle.shutdown()) });
    while let Some(event) = replication.next().await {
        let heard_so_far = iter::once(event).chain(iter::from_fn(|| replication.try_next()));
        heard_so_far.for_each(|event| cache.on_event(event));
        rooms.iter().for_each(|room| println!("{room} known: {}", cache.is_known(room)));
    }
    Ok(())
}
