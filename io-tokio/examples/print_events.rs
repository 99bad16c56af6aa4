//! Prints every event of a deployment until Ctrl-C.
//!
//! ```text
//! cargo run --example print_events -- redis://127.0.0.1:6379 example.com \
//!     /etc/synapse/replication_secret master=http://127.0.0.1:9093
//! ```

use std::{env, error::Error};

use synrepl::{Builder, Event, typed};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [redis, server_name, secret_file, instances @ ..] = args.as_slice() else {
        return Err("usage: print_events REDIS_URL SERVER_NAME SECRET_FILE [NAME=URL]...".into());
    };

    let mut builder =
        Builder::redis(redis, server_name)?.instance("print-events").secret_file(secret_file)?;
    for instance in instances {
        let (name, url) = instance.split_once('=').ok_or("an instance is NAME=URL")?;
        builder = builder.fetch_from(name, url)?;
    }
    let mut replication = builder.spawn()?;

    let handle = replication.handle();
    tokio::spawn(async move { tokio::signal::ctrl_c().await.map(|()| handle.shutdown()) });

    while let Some(event) = replication.next().await {
        if let Event::Rows { source, token, rows, .. } = event {
            for row in &rows {
                match typed::parse(source.stream(), row) {
                    Ok(read) => println!("{source} {token} {read:?}"),
                    Err(error) => println!("{source} {token} {row:?}: {error}"),
                }
            }
        } else {
            println!("{event:?}");
        }
    }
    Ok(())
}
