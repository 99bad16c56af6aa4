//! The other parties of a deployment on loopback: clients of a real redis-server, and a writer's
//! HTTP listener played by the test.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod writer;

use std::time::Duration;

use synrepl::{Event, Replication, core::ConnectionId};
use tokio::time::timeout;

/// The longest time that anything may take here; only a failing test waits that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Takes events until `wanted` returns a value, and returns that.
pub(crate) async fn until<T>(
    replication: &mut Replication,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    loop {
        let event = timeout(LIMIT, replication.next()).await.expect("no event in time");
        if let Some(found) = wanted(event.expect("the driver stopped")) {
            return found;
        }
    }
}

pub(crate) async fn connected(replication: &mut Replication) -> ConnectionId {
    until(replication, |event| match event {
        Event::Connected { conn } => Some(conn),
        _ => None,
    })
    .await
}

/// The reason of the next `Disconnected`.
pub(crate) async fn disconnected(replication: &mut Replication) -> String {
    until(replication, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}
