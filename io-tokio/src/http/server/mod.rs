//! The replication listener of a writer: Synapse's catch-up call, and rows in over HTTP.

mod answer;
mod authorization;
mod body;
mod limits;
mod listen;
mod patience;
mod route;
mod service;

use std::{future::Future, sync::Arc};

use synrepl_core::wire::Secret;

pub use self::limits::ServerLimits;
use self::service::Service;
use crate::{log::LogStore, transport::Listener};

/// Serves the logs of own streams over HTTP/1.1.
///
/// * `GET /_synapse/replication/get_repl_stream_updates/STREAM/TRANSACTION?from_token=F&upto_token=U`
///   is Synapse's catch-up call, usable by Synapse's own workers: parameters, answers, status
///   codes and errors are the reference's, down to the 500 for a wrong secret. On purpose
///   different: `upto_token` of the answer is never above the end of the log, so no follower
///   passes rows that are still to come; and answers are not remembered by transaction id,
///   because a read can be repeated. Rows of one token stay in one page. A stream is known if the
///   log has it, or if any release of Synapse has a stream of that name, which is then empty here.
/// * `POST /rows` appends one batch, `{"stream":"s","rows":[[...],...]}`, and answers
///   `{"stream":"s","token":N}` once it is durable. Else `{"error":"..."}` with 400 (not a batch,
///   or one that the log refuses), 401 (no or a wrong secret), 403 (from a browser's page), 408
///   (too slow), 413 (too large), 503 (too much at once, or the log fails).
/// * `GET /health` answers `OK` to everyone.
///
/// Every answer is one `tracing` event of level info and target `synrepl::access`: method, path,
/// status, rows, milliseconds, tokens asked for. Secrets are neither logged nor compared in a time
/// that tells of them.
///
/// Source: `protocol.md` 6.1 and 6.4, `seen.md` "HTTP catch-up".
#[must_use = "a server does nothing until `run`"]
pub struct Server {
    log: Arc<dyn LogStore>,
    secret: Option<Secret>,
    limits: ServerLimits,
}

impl Server {
    /// Serves `log` to everyone who can connect, until [`Server::secret`] is set.
    pub fn new(log: Arc<dyn LogStore>) -> Self {
        Self { log, secret: None, limits: ServerLimits::default() }
    }

    /// Serves only who knows the deployment's `worker_replication_secret`.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Changes the limits.
    pub fn limits(mut self, change: impl FnOnce(&mut ServerLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Accepts connections and answers, until `stop` is ready. Then no connection is accepted,
    /// requests under way are answered within [`ServerLimits::stop_timeout`], and all connections
    /// are closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes all connections at once; what was to be appended may or may not
    /// have been.
    pub async fn run(self, listener: impl Listener, stop: impl Future<Output = ()> + Send) {
        let service = Arc::new(Service::new(self.log, self.secret, self.limits));
        listen::run(listener, service, stop).await;
    }
}

#[cfg(test)]
mod tests;
