//! Counts rows per stream, and goes on after a restart without missing or repeating one: the counts
//! and the positions that belong to them are one file, which is replaced at once.
//!
//! ```text
//! cargo run --example resume -- redis://127.0.0.1:6379 example.com \
//!     /etc/synapse/replication_secret counts.json master=http://127.0.0.1:9093
//! ```

use std::{collections::BTreeMap, env, error::Error, fs, io, path::Path};

use synrepl::{Builder, Event, Positions};

type State = (BTreeMap<String, u64>, Positions);

fn load(path: &Path) -> Result<State, Box<dyn Error>> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the file, so that it holds either the old state or the new one, whatever happens
/// meanwhile.
fn save(path: &Path, counts: &BTreeMap<String, u64>, at: &Positions) -> Result<(), Box<dyn Error>> {
    let new = path.with_extension("new");
    let file = fs::File::create(&new)?;
    serde_json::to_writer(&file, &(counts, at))?;
    file.sync_all()?;
    Ok(fs::rename(new, path)?)
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [redis, server_name, secret_file, path, instances @ ..] = args.as_slice() else {
        return Err("usage: resume REDIS_URL SERVER_NAME SECRET_FILE FILE [NAME=URL]...".into());
    };
    let path = Path::new(path);
    let (mut counts, positions) = load(path)?;
    let mut builder = Builder::redis(redis, server_name)?.instance("resume").positions(positions);
    builder = builder.secret_file(secret_file)?;
    for instance in instances {
        let (name, url) = instance.split_once('=').ok_or("an instance is NAME=URL")?;
        builder = builder.fetch_from(name, url)?;
    }
    let mut replication = builder.spawn()?;
    let handle = replication.handle();
    tokio::spawn(async move { tokio::signal::ctrl_c().await.map(|()| handle.shutdown()) });
    while let Some(event) = replication.next().await {
        if let Event::Rows { source, rows, .. } = &event {
            *counts.entry(source.stream().to_owned()).or_default() += rows.len() as u64;
        }
        save(path, &counts, replication.positions())?;
        println!("{counts:?}");
    }
    Ok(())
}
