//! Keeps a cache of rooms' members correct: what the deployment changes is forgotten.
//!
//! `cargo run --example cache -- redis://127.0.0.1:6379 example.com`

use std::{collections::HashMap, env, error::Error};

use synrepl::{Builder, Event, Row};

/// What costs a query elsewhere, by cache key (here: the room).
#[derive(Default)]
struct Cache(HashMap<String, Vec<String>>);

impl Cache {
    /// Forgets what a row of `caches` names: `[function, keys, timestamp]`, where keys may be
    /// null for all.
    fn invalidate(&mut self, row: &Row) {
        match row.parse::<(String, Option<Vec<String>>, serde_json::Value)>() {
            Ok((_function, Some(keys), _)) => {
                for key in keys {
                    self.0.remove(&key);
                }
            }
            // All keys, or a row that is not understood: nothing kept is surely right.
            Ok((_, None, _)) | Err(_) => self.0.clear(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [redis, server_name] = args.as_slice() else {
        return Err("usage: cache REDIS_URL SERVER_NAME".into());
    };
    let mut replication =
        Builder::redis(redis, server_name)?.instance("cache").streams(["caches"]).spawn()?;
    let mut cache = Cache::default();

    while let Some(event) = replication.next().await {
        // Requests would be served between these events, so everything that waits is applied
        // before one is.
        let mut next = Some(event);
        while let Some(event) = next {
            if let Event::Rows { rows, .. } = &event {
                rows.iter().for_each(|row| cache.invalidate(row));
            } else if matches!(
                event,
                Event::Gap { .. } | Event::Reset { .. } | Event::Disconnected { .. }
            ) {
                // Something may have changed unheard.
                cache.0.clear();
            }
            next = replication.try_next();
        }
        println!("{} entries", cache.0.len());
    }
    Ok(())
}
