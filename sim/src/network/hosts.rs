//! The instances: the shipped driver, on hosts of its own.

use std::{sync::Arc, time::Duration};

use synrepl::{Builder, Replication, Start, http::Server, log::LogStore};
use tokio::time::{sleep, timeout};

use super::{
    links::{Simulated, SimulatedListener},
    log::StageLog,
    redis::{CHANNEL, HOST, PORT},
    stage::{Stage, now},
    watch::Watch,
};
use crate::{planted::Planted, scenario::Scenario};

const HTTP_PORT: u16 = 9093;

/// Short enough that a run with many faults ends, long enough for the longest delay.
const PATIENCE: Duration = Duration::from_secs(2);

/// The host of a writer.
pub(super) fn writer_host(writer: usize) -> String {
    format!("w{writer}")
}

/// The host of a follower.
pub(super) fn follower_host(follower: usize) -> String {
    format!("f{follower}")
}

fn builder(instance: &str, seed: u64) -> Result<Builder<Simulated>, Box<dyn std::error::Error>> {
    let url = format!("redis://{HOST}:{PORT}");
    Ok(Builder::redis(&url, CHANNEL)?.connector(Simulated).instance(instance).seed(seed).limits(
        |limits| {
            limits.connect_timeout = PATIENCE;
            limits.ping_interval = PATIENCE;
            limits.ping_timeout = PATIENCE;
            limits.fetch_timeout = PATIENCE;
            // Small enough that the driver has to wait for the application.
            limits.events_queued_max = 8;
        },
    ))
}

/// One life of a writer: publishes its log and serves it over HTTP, until it dies.
///
/// # Errors
/// What keeps it from starting: an error of the simulator.
pub(super) async fn writer(stage: Stage, writer: usize) -> turmoil::Result {
    let (seed, delay) = {
        let mut contents = stage.lock();
        let delay = match contents.writers[writer].starts {
            0 => contents.scenario.writers[writer].starts_ms,
            _ => 0,
        };
        (contents.next_seed(), Duration::from_millis(u64::from(delay)))
    };
    sleep(delay).await;
    stage.lock().start_writer(now(), writer);
    let log: Arc<dyn LogStore> = Arc::new(StageLog { stage: stage.clone(), writer });
    let name = Scenario::writer_name(writer);
    let mut replication = builder(&name, seed)?
        .shared_log(Arc::clone(&log))
        // It follows nothing.
        .streams(["-"])
        .spawn()?;
    let listener = SimulatedListener::bind(HTTP_PORT).await?;
    let serving = Server::new(log).run(listener, std::future::pending());
    tokio::pin!(serving);
    loop {
        tokio::select! {
            biased;
            event = replication.next() => {
                event.ok_or("the driver of a writer ended")?;
            }
            () = &mut serving => return Err("the HTTP server of a writer ended".into()),
        }
    }
}

/// One life of a follower, from what its application had saved, until it dies.
///
/// # Errors
/// What keeps it from starting, or that its driver ended by itself.
pub(super) async fn follower(
    stage: Stage,
    follower: usize,
    planted: Option<Planted>,
) -> turmoil::Result {
    let mut replication = start(&stage, follower, planted)?;
    loop {
        let pause = {
            let contents = stage.lock();
            let slow_until = contents.followers[follower].slow_until;
            let handler =
                Duration::from_micros(u64::from(contents.scenario.followers[follower].handler_us));
            slow_until.saturating_since(now()).max(handler)
        };
        if !pause.is_zero() {
            sleep(pause).await;
        }
        // Woken now and then, for the application may have become slow meanwhile.
        if let Ok(event) = timeout(Duration::from_secs(1), replication.next()).await {
            let event = event.ok_or("the driver of a follower ended")?;
            stage.lock().on_event(now(), follower, &event);
        }
    }
}

fn start(
    stage: &Stage,
    follower: usize,
    planted: Option<Planted>,
) -> Result<Replication, Box<dyn std::error::Error>> {
    let mut contents = stage.lock();
    let seed = contents.next_seed();
    let plan = contents.scenario.followers[follower].clone();
    let name = contents.scenario.follower_name(follower);
    let writers = contents.writers.len();
    let part = &mut contents.followers[follower];
    part.starts += 1;
    part.under_way.clear();
    let positions = part.saved.clone();
    if part.starts > 1 {
        contents.restart_follower(follower, &positions);
    }
    drop(contents);
    let mut builder = builder(&name, seed)?
        .positions(positions)
        .start(if plan.from_beginning { Start::Beginning } else { Start::Now })
        .core(|config| {
            config.observe_only = plan.observe_only;
            if plan.tight_limits {
                config.held_rows_max = 2;
                config.batch_rows_max = 4;
                config.burst_rows_max = 3;
                config.fetches_in_flight_max = 1;
            }
            config.planted = planted.and_then(Planted::in_core);
        })
        .record(Watch { stage: stage.clone(), follower, fetches: Vec::new() });
    for writer in 0..writers {
        let url = format!("http://{}:{HTTP_PORT}", writer_host(writer));
        builder = builder.fetch_from(Scenario::writer_name(writer), &url)?;
    }
    Ok(builder.spawn()?)
}
