//! The handling of requests. A request enters; its response leaves, and a line in the access log.
//! Rows are read and appended within the limits of the server.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use synrepl_core::{
    ByteString,
    stream::{CATALOGUE, Span, Token},
    wire::Secret,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    answer::Answer,
    authorization,
    body::{BodyError, Room},
    callers::Callers,
    limits::ServerLimits,
    route::{self, Route},
};
use crate::log::{AppendError, JsonBatch, LogStore};

/// The state that all connections share.
pub(super) struct Service {
    log: Arc<dyn LogStore>,
    secret: Option<Secret>,
    callers: Callers,
    limits: ServerLimits,
    /// The streams that the log was seen to have. A log never loses one.
    own: Mutex<BTreeSet<String>>,
    reads: Semaphore,
    room: Room,
}

/// The tokens that a catch-up call requests: above the first, up to the second.
type Range = (Token, Token);

impl Service {
    pub(super) fn new(
        log: Arc<dyn LogStore>,
        secret: Option<Secret>,
        callers: Callers,
        limits: ServerLimits,
    ) -> Self {
        Self {
            log,
            secret,
            callers,
            limits,
            own: Mutex::new(BTreeSet::new()),
            reads: Semaphore::new(limits.reads_max.clamp(1, Semaphore::MAX_PERMITS)),
            room: Room::new(limits.bodies_bytes_max),
        }
    }

    pub(super) const fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    /// Answers a request, and writes a line to the access log.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (answer, range) = match Route::of(uri.path()) {
            Route::Health => (health(&method), None),
            Route::CatchUp(stream) => self.catch_up(&request, &stream).await,
            Route::Rows => (self.rows(request).await, None),
            Route::Unknown => (Answer::not_found(), None),
        };
        let micros = begun.elapsed().as_micros();
        tracing::info!(
            target: "synrepl::access",
            from_token = range.map(|(from, _)| from.get()),
            upto_token = range.map(|(_, upto)| upto.get()),
            rows = answer.rows,
            ms = f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1e3,
            "{method} {} {}", uri.path(), answer.status.as_u16(),
        );
        answer.into_response()
    }

    async fn catch_up(&self, request: &Request<Incoming>, stream: &str) -> (Answer, Option<Range>) {
        if request.method() != Method::GET {
            return (Answer::wrong_method("GET"), None);
        }
        if !authorization::is_allowed(request.headers(), self.secret.as_ref()) {
            return (Answer::internal_error(), None);
        }
        if let Some(told) = self.refuses(request) {
            let answer = Answer::matrix_error(StatusCode::FORBIDDEN, "M_FORBIDDEN", &told);
            return (answer.closing(), None);
        }
        if !self.is_known(stream) {
            let status = StatusCode::BAD_REQUEST;
            return (Answer::matrix_error(status, "M_UNKNOWN", "Unknown stream"), None);
        }
        let query = request.uri().query().unwrap_or_default();
        let range = route::token(query, "from_token")
            .and_then(|from| Ok((from, route::token(query, "upto_token")?)));
        match range {
            Ok(range) => (self.page(stream, range).await, Some(range)),
            Err(bad) => {
                let status = StatusCode::BAD_REQUEST;
                (Answer::matrix_error(status, bad.errcode, &bad.error), None)
            }
        }
    }

    /// Returns what speaks against who calls. A secret is unknown to any page, so nothing else is
    /// asked for then.
    fn refuses(&self, request: &Request<Incoming>) -> Option<String> {
        if self.secret.is_some() {
            return None;
        }
        let refused = self.callers.check(request.uri(), request.headers()).err()?;
        tracing::warn!(%refused, "a call was refused");
        Some(refused.to_string())
    }

    async fn page(&self, stream: &str, (from, upto): Range) -> Answer {
        let read = async {
            // The semaphore is never closed; were it, the limit alone would be gone.
            let _turn = self.reads.acquire().await;
            self.log
                .read(ByteString::from(stream), Span::new(from, upto), self.limits.page_rows)
                .await
        };
        match timeout(self.limits.read_timeout, read).await {
            Ok(Ok(mut page)) => {
                page.upto = page.upto.min(upto);
                Answer::page(&page)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a catch-up call was not answered");
                Answer::internal_error()
            }
            Err(_) => {
                let after = self.limits.read_timeout;
                tracing::warn!(stream, ?after, "the log gave no rows in time");
                Answer::internal_error()
            }
        }
    }

    /// Returns whether the stream is an own one, or one of Synapse's.
    fn is_known(&self, stream: &str) -> bool {
        if CATALOGUE.iter().any(|(name, _)| *name == stream) {
            return true;
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if !own.contains(stream) {
            *own = self.log.streams().into_keys().collect();
        }
        own.contains(stream)
    }

    async fn rows(&self, request: Request<Incoming>) -> Answer {
        if request.method() != Method::POST {
            return Answer::wrong_method("POST");
        }
        let error = Answer::rows_error;
        if !authorization::is_allowed(request.headers(), self.secret.as_ref()) {
            let told = "the Authorization header does not carry the secret: Bearer SECRET";
            return error(StatusCode::UNAUTHORIZED, told).closing();
        }
        if let Some(told) = self.refuses(&request) {
            return error(StatusCode::FORBIDDEN, &told).closing();
        }
        let body = match self.room.read(request.into_body(), &self.limits).await {
            Ok(body) => body,
            Err(failure) => {
                let status = match failure {
                    BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                    BodyError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
                    BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
                    BodyError::Broken(_) => StatusCode::BAD_REQUEST,
                };
                return error(status, &failure.to_string()).closing();
            }
        };
        let JsonBatch { stream, rows } = match JsonBatch::from_json(&body.bytes) {
            Ok(batch) => batch,
            Err(refused) => return error(StatusCode::BAD_REQUEST, &refused.to_string()),
        };
        let count = rows.len();
        match self.log.append(stream.clone(), rows).await {
            Ok(token) => Answer::appended(&stream, token, count),
            Err(refused) => {
                let of_log = matches!(refused, AppendError::Store { .. } | AppendError::Closed);
                let status =
                    if of_log { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
                error(status, &refused.to_string())
            }
        }
    }
}

fn health(method: &Method) -> Answer {
    match *method {
        Method::GET | Method::HEAD => Answer::healthy(),
        _ => Answer::wrong_method("GET, HEAD"),
    }
}
