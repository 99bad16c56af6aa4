//! The idle connections to one replication listener. What a call leaves enters; what the next may
//! use leaves. One that was idle for too long is closed instead: the far end or a router may have
//! forgotten it, which shows only by the silence after the next request.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::connection::Connection;
use crate::limits::Limits;

/// The idle connections, the latest last.
pub(super) struct Idle<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connections: Mutex<Vec<(Instant, Connection<S>)>>,
    count_max: usize,
    age_max: Duration,
}

impl<S> Idle<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            connections: Mutex::new(Vec::new()),
            count_max: limits.http_idle_max,
            age_max: limits.http_idle_timeout,
        }
    }

    /// Takes the connection that was idle for the shortest time and has not been seen to break.
    pub(super) async fn take(&self) -> Option<Connection<S>> {
        loop {
            let (since, mut connection) = self.lock().pop()?;
            if since.elapsed() >= self.age_max {
                // The others are older.
                self.clear();
                return None;
            }
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, if there is room.
    pub(super) fn keep(&self, connection: Connection<S>) {
        let mut connections = self.lock();
        connections.retain(|(since, _)| since.elapsed() < self.age_max);
        if connections.len() < self.count_max {
            connections.push((Instant::now(), connection));
        }
    }

    /// Closes all: one of them was dead.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Locks the list. No code panics while holding the lock, so a poisoned one guards a whole
    /// value.
    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Connection<S>)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
