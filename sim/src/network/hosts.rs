//! The instances: each runs the shipped driver on a host of its own.

use std::{sync::Arc, time::Duration};

use synrepl::{Builder, Dialect, Replication, Secret, Start, http::Server, log::LogStore};
use tokio::time::{advance, sleep, timeout};
use turmoil::net::TcpListener;

use super::{
    direct::{DirectListener, PEER_PENDING_MAX, SERVER},
    front::FrontListener,
    links::Simulated,
    log::StageLog,
    redis::{CHANNEL, HOST, PASSWORD, PORT, Party},
    stage::{Stage, now},
    watch::{ServerWatch, Watch},
};
use crate::scenario::{Scenario, Via};

pub(super) const HTTP_PORT: u16 = 9093;
/// The first port for direct TCP; each dialect has one of its own.
const DIRECT_PORT: u16 = 9100;

/// The deployment's replication secret, without which no writer serves rows.
const SECRET: &str = "white-rabbit";

/// The time that connecting, a PING or a fetch may take. It is short enough that a run with many
/// faults ends, and long enough for the longest delay.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the name of a writer's host.
pub(super) fn writer_host(writer: usize) -> String {
    format!("w{writer}")
}

/// Returns the name of a follower's host.
pub(super) fn follower_host(follower: usize) -> String {
    format!("f{follower}")
}

/// Returns the dialects that followers speak, each with the port of its listener.
fn dialects(scenario: &Scenario) -> Vec<(Dialect, u16)> {
    let mut spoken: Vec<Dialect> = scenario
        .followers
        .iter()
        .filter_map(|plan| match plan.via {
            Via::Tcp(dialect) => Some(dialect),
            Via::Bus => None,
        })
        .collect();
    spoken.sort_unstable();
    spoken.dedup();
    spoken.into_iter().zip(DIRECT_PORT..).collect()
}

fn secret() -> Secret {
    Secret::new(SECRET.to_owned())
}

fn builder(
    stage: &Stage,
    party: Party,
    via: Via,
    (instance, seed): (&str, u64),
) -> Result<Builder<Simulated>, Box<dyn std::error::Error>> {
    let builder = match via {
        Via::Bus => Builder::redis(&format!("redis://:{PASSWORD}@{HOST}:{PORT}"), CHANNEL)?,
        Via::Tcp(dialect) => {
            let spoken = dialects(&stage.lock().scenario);
            let port = spoken.iter().find(|(spoken, _)| *spoken == dialect);
            let port = port.map_or(DIRECT_PORT, |(_, port)| *port);
            Builder::tcp(&format!("{}:{port}", writer_host(SERVER)), dialect)?.server_name(CHANNEL)
        }
    };
    let connector = Simulated { stage: stage.clone(), party };
    let builder = builder.connector(connector).instance(instance).seed(seed).secret(secret());
    Ok(builder.limits(|limits| {
        limits.connect_timeout = PATIENCE;
        limits.ping_interval = PATIENCE / 2;
        limits.ping_timeout = PATIENCE / 2;
        limits.fetch_timeout = PATIENCE;
        // The queue is so small that the driver has to wait for the application.
        limits.events_queued_max = 4;
    }))
}

/// Runs one life of a writer, which publishes its log and serves it over HTTP until it dies.
///
/// # Errors
/// The writer cannot start, or ended by itself.
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
    let mut listeners = Vec::new();
    if writer == SERVER {
        let spoken = dialects(&stage.lock().scenario);
        for (dialect, port) in spoken {
            let listener = TcpListener::bind(("0.0.0.0", port)).await?;
            listeners.push(DirectListener { listener, stage: stage.clone(), dialect });
        }
    }
    let listener = TcpListener::bind(("0.0.0.0", HTTP_PORT)).await?;
    let front = FrontListener { listener, stage: stage.clone(), writer };
    stage.lock().start_writer(now(), writer);
    let log: Arc<dyn LogStore> = Arc::new(StageLog { stage: stage.clone(), writer });
    let name = Scenario::writer_name(writer);
    let mut builder = builder(&stage, Party::Writer(writer), Via::Bus, (&name, seed))?
        .shared_log(Arc::clone(&log))
        // The writer follows no stream.
        .streams(["-"])
        .core(|config| {
            config.publish.peer_pending_max = PEER_PENDING_MAX;
        })
        .record(ServerWatch { stage: stage.clone(), writer });
    for listener in listeners {
        let dialect = listener.dialect;
        builder = builder.listen(listener, dialect);
    }
    let mut replication = builder.spawn()?;
    let serving = Server::new(log).secret(secret()).run(front, std::future::pending());
    tokio::pin!(serving);
    loop {
        tokio::select! {
            biased;
            event = replication.next() => {
                let event = event.ok_or("the driver of a writer ended")?;
                stage.lock().on_event_of_writer(now(), writer, &event);
            }
            () = &mut serving => return Err("the HTTP server of a writer ended".into()),
        }
    }
}

/// Runs one life of a follower, from the positions that its application had saved until it dies.
///
/// # Errors
/// The follower cannot start, or its driver ended without being told to.
pub(super) async fn follower(stage: Stage, follower: usize) -> turmoil::Result {
    let mut replication = start(&stage, follower)?;
    let jumps = {
        let part = &mut stage.lock().followers[follower];
        part.handle = Some(replication.handle());
        Arc::clone(&part.jumps)
    };
    loop {
        let (pause, jump) = {
            let mut contents = stage.lock();
            let handler =
                Duration::from_micros(u64::from(contents.scenario.followers[follower].handler_us));
            let part = &mut contents.followers[follower];
            let slow = part.slow_until.saturating_since(now());
            (slow.max(handler), std::mem::take(&mut part.jump))
        };
        if !jump.is_zero() {
            advance(jump).await;
        }
        tokio::select! {
            biased;
            () = jumps.notified() => continue,
            () = sleep(pause), if !pause.is_zero() => {}
            () = std::future::ready(()), if pause.is_zero() => {}
        }
        // The wait ends every second, as the application may have become slow meanwhile.
        let event = tokio::select! {
            biased;
            () = jumps.notified() => continue,
            event = timeout(Duration::from_secs(1), replication.next()) => event,
        };
        match event {
            Ok(Some(event)) => stage.lock().on_event(now(), follower, &event),
            Ok(None) => {
                stage.lock().on_end(follower)?;
                return std::future::pending().await;
            }
            Err(_nothing_came) => {}
        }
    }
}

fn start(stage: &Stage, follower: usize) -> Result<Replication, Box<dyn std::error::Error>> {
    let mut contents = stage.lock();
    let seed = contents.next_seed();
    let plan = contents.scenario.followers[follower].clone();
    let name = contents.scenario.follower_name(follower);
    let writers = contents.writers.len();
    let part = &mut contents.followers[follower];
    part.starts += 1;
    part.under_way.clear();
    (part.calls, part.wanted) = (0, 0);
    let positions = part.saved.clone();
    if part.starts > 1 {
        contents.restart_follower(follower, &positions);
    }
    drop(contents);
    let mut builder = builder(stage, Party::Follower(follower), plan.via, (&name, seed))?
        .positions(positions)
        .start(if plan.from_beginning { Start::Beginning } else { Start::Now })
        .core(|config| {
            config.observe_only = plan.observe_only;
            config.catch_up.fetch_attempts_max = plan.gives_up.then_some(2);
            if plan.tight_limits {
                config.limits.held_rows_max = 2;
                config.limits.batch_rows_max = 4;
                config.limits.burst_rows_max = 3;
                config.catch_up.fetches_in_flight_max = 1;
            }
        })
        .record(Watch { stage: stage.clone(), follower, fetches: Vec::new() });
    for writer in 0..writers {
        let url = format!("http://{}:{HTTP_PORT}", writer_host(writer));
        builder = builder.fetch_from(Scenario::writer_name(writer), &url)?;
    }
    Ok(builder.spawn()?)
}
