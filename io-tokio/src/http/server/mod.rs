//! The replication listener of a writer: Synapse's catch-up call, and rows in over HTTP. Requests
//! enter; responses leave with whole batches, or once a batch is durable. What one client does
//! beyond the limits costs that client alone.

mod answer;
mod authorization;
mod body;
mod callers;
mod limits;
mod listen;
mod patience;
mod route;
mod service;

use std::{future::Future, sync::Arc};

use synrepl_core::wire::Secret;

pub use self::limits::ServerLimits;
use self::{callers::Callers, service::Service};
use crate::{log::LogStore, transport::Listener};

/// A server of the logs of own streams over HTTP/1.1.
///
/// * `GET /_synapse/replication/get_repl_stream_updates/STREAM/TRANSACTION?from_token=F&upto_token=U`
///   is Synapse's catch-up call, usable by Synapse's own workers: parameters, responses, status
///   codes and errors are Synapse's, down to the 500 for a wrong secret. On purpose different:
///   `upto_token` of the response is never above the end of the log, so no follower passes rows
///   that are still to come; and responses are not remembered by transaction id, because a read can
///   be repeated. Rows of one token stay in one page. A stream is known if the log has it, or if
///   any release of Synapse has a stream of that name, which is then empty here.
/// * `POST /rows` appends one batch, `{"stream":"s","rows":[[...],...]}`, and responds
///   `{"stream":"s","token":N}` once it is durable. Else `{"error":"..."}` with 400 (not a batch,
///   or one that the log refuses), 401 (no or a wrong secret), 403 (from a browser's page), 408
///   (too slow), 413 (too large), 503 (too much at once, or the log fails).
/// * `GET /health` responds `OK` to everyone.
///
/// A server without a secret responds 403 to who calls it by a name that is not allowed.
///
/// Every response is one `tracing` event of level info and target `synrepl::access`: method, path,
/// status, rows, milliseconds, requested tokens. Secrets are neither logged nor compared in a time
/// that depends on their text.
///
/// Source: `docs/protocol.md` 6.1 and 6.4, `docs/seen.md` "HTTP catch-up".
#[must_use = "a server does nothing until `run`"]
pub struct Server {
    log: Arc<dyn LogStore>,
    secret: Option<Secret>,
    callers: Callers,
    limits: ServerLimits,
}

impl Server {
    /// Makes a server of `log` for everyone who can connect, unless [`Server::secret`] is set.
    ///
    /// Without a secret it is called by its address, as localhost, or by a name that
    /// [`Server::allow_host`] allows, and not by a browser's page: else any site could read the
    /// rows in the browser of somebody who can connect (DNS rebinding).
    pub fn new(log: Arc<dyn LogStore>) -> Self {
        Self { log, secret: None, callers: Callers::default(), limits: ServerLimits::default() }
    }

    /// Lets clients call the server by this name, too, while it has no secret. The port does not
    /// count, nor does case.
    pub fn allow_host(mut self, name: &str) -> Self {
        self.callers.allow(name);
        self
    }

    /// Serves only clients that send the deployment's `worker_replication_secret`.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Changes the limits.
    pub fn limits(mut self, change: impl FnOnce(&mut ServerLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Accepts connections and answers requests, until `stop` is ready. Then no connection is
    /// accepted, requests under way are answered within [`ServerLimits::stop_timeout`], and all
    /// connections are closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes all connections at once; what was to be appended may or may not
    /// have been.
    pub async fn run(self, listener: impl Listener, stop: impl Future<Output = ()> + Send) {
        let service = Arc::new(Service::new(self.log, self.secret, self.callers, self.limits));
        listen::run(listener, service, stop).await;
    }
}

#[cfg(test)]
mod tests;
