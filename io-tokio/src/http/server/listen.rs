//! The connections of the server: accepted up to a limit, each on a task of its own. A listener
//! enters; each of its connections is served until it ends, or until the stop.

use std::{convert::Infallible, future::Future, io, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{limits::ServerLimits, patience::WriteTimeout, service::Service};
use crate::transport::Listener;

/// The time until the next attempt when the system does not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The least limit in bytes of what hyper reads ahead of a connection: it takes no smaller one.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// Runs until `stop` is ready, then until all connections are closed.
pub(super) async fn run<L: Listener>(
    mut listener: L,
    service: Arc<Service>,
    stop: impl Future<Output = ()> + Send,
) {
    let limits = *service.limits();
    let http = http(&limits);
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let has_room = connections.len() < limits.connections_max;
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => tell(ended),
            accepted = accept(&mut listener), if has_room => {
                let (stream, peer) = accepted;
                let (http, service) = (http.clone(), Arc::clone(&service));
                connections.spawn(serve(http, service, stream, peer, closing.clone()));
            }
        }
    }
    drop(listener);
    closing.cancel();
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            tell(ended);
        }
    };
    if timeout(limits.stop_timeout, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time; cut off");
    }
}

fn http(limits: &ServerLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.head_bytes_max.max(BUFFER_BYTES_MIN));
    http
}

/// Waits for the next connection. An error of the system is logged and waited out.
async fn accept<L: Listener>(listener: &mut L) -> (L::Stream, String) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve<S>(
    http: http1::Builder,
    service: Arc<Service>,
    stream: S,
    peer: String,
    closing: CancellationToken,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(WriteTimeout::new(stream, service.limits().answer_timeout));
    let answers = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let mut connection = pin!(http.serve_connection(stream, answers));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer, error = cause(&error), "connection ended");
    }
}

fn cause(error: &hyper::Error) -> String {
    let system = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    system.map_or_else(|| error.to_string(), io::Error::to_string)
}

fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "answering a request panicked, which is a defect of synrepl");
    }
}
