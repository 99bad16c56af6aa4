//! The responses, with Synapse's headers and shapes of errors.

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SERVER},
};
use serde_json::json;
use synrepl_core::{
    stream::{Page, Token},
    wire::encode_page,
};

const SERVER_NAME: HeaderValue =
    HeaderValue::from_static(concat!("synrepl/", env!("CARGO_PKG_VERSION")));

/// One response, with the figures for the access log.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The number of rows that were given or taken.
    pub(super) rows: usize,
    body: Bytes,
    content_type: &'static str,
    allow: Option<&'static str>,
    /// Set where the rest of the request is not read, so that nothing may follow it on the
    /// connection.
    closes: bool,
}

impl Answer {
    fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            rows: 0,
            body: body.into(),
            content_type: "application/json",
            allow: None,
            closes: false,
        }
    }

    /// Responds `OK`, as text.
    pub(super) fn healthy() -> Self {
        let ok = Bytes::from_static(b"OK");
        Self { content_type: "text/plain", ..Self::json(StatusCode::OK, ok) }
    }

    /// Responds with a page of rows.
    pub(super) fn page(page: &Page) -> Self {
        let rows: usize = page.updates.iter().map(|(_, row)| row.len() + 24).sum();
        let mut body = BytesMut::with_capacity(rows + 64);
        encode_page(page, &mut body);
        Self { rows: page.updates.len(), ..Self::json(StatusCode::OK, body) }
    }

    /// Responds that a batch of so many rows is durable.
    pub(super) fn appended(stream: &str, token: Token, rows: usize) -> Self {
        let body = json!({"stream": stream, "token": token.get()}).to_string();
        Self { rows, ..Self::json(StatusCode::OK, body) }
    }

    /// Responds with an error of the catch-up call, in Synapse's shape.
    pub(super) fn matrix_error(status: StatusCode, errcode: &str, error: &str) -> Self {
        Self::json(status, json!({"errcode": errcode, "error": error}).to_string())
    }

    /// Responds as Synapse does when anything of its own went wrong, a missing secret included.
    pub(super) fn internal_error() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::matrix_error(status, "M_UNKNOWN", "Internal server error")
    }

    /// Responds that there is nothing at this path.
    pub(super) fn not_found() -> Self {
        Self::matrix_error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "Unrecognized request")
    }

    /// Responds that the path takes another method.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let answer = Self::matrix_error(status, "M_UNRECOGNIZED", "Unrecognized request");
        Self { allow: Some(allow), ..answer }
    }

    /// Responds with an error of `POST /rows`.
    pub(super) fn rows_error(status: StatusCode, error: &str) -> Self {
        Self::json(status, json!({"error": error}).to_string())
    }

    /// Closes the connection behind this response.
    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// Makes the response for hyper, which adds the length and the date.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(SERVER, SERVER_NAME);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let cache = HeaderValue::from_static("no-cache, no-store, must-revalidate");
        headers.insert(CACHE_CONTROL, cache);
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
