//! The catch-up call. A request for rows of one source enters; one page leaves, or an error that
//! states a likely cause and shows no secret. Nothing is tried again here, but for an idle
//! connection that was dead; a call that comes again after no answer has the id of the one before.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderValue},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use synrepl_core::{
    secret::{LEFT_OUT, Secret},
    stream::{FetchError, Page},
    wire::decode_page,
};
use tokio::time::timeout;

use super::{
    answer,
    connection::{BodyError, Connection, cause, is_not_http},
    endpoint::Endpoint,
    idle::Idle,
    transaction::Transactions,
};
use crate::{
    error::BuildError,
    fetch::{FetchFuture, FetchRequest, FetchSource},
    limits::Limits,
    transport::{Connector, Secured, Security},
};

/// Everything but RFC 3986's unreserved characters, as Synapse's own client encodes it.
const PATH_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The fetch source of the writers' replication listeners.
pub(crate) struct HttpFetch<C: Connector> {
    instances: BTreeMap<String, Arc<Instance<C>>>,
    transactions: Arc<Transactions>,
}

/// One replication listener and the idle connections to it.
struct Instance<C: Connector> {
    connector: C,
    security: Security,
    endpoint: Endpoint,
    authorization: Option<HeaderValue>,
    secret: Option<Secret>,
    idle: Idle<Secured<C::Stream>>,
    connect_timeout: Duration,
    body_bytes_max: usize,
}

/// A call that failed before its response began; on a reused connection it is worth another try.
enum NoAnswer {
    Stale(hyper::Error),
    Final(FetchError),
}

impl<C: Connector> HttpFetch<C> {
    /// Makes a fetch source. `seed` makes the transaction ids; Synapse caches responses by these
    /// alone (`docs/protocol.md` 6.1), so no other process that talks to the same deployment may
    /// have the same one.
    pub(crate) fn new(
        connector: &C,
        endpoints: BTreeMap<String, Endpoint>,
        secret: Option<&Secret>,
        limits: &Limits,
        seed: u64,
    ) -> Result<Self, BuildError> {
        let authorization = secret.map(bearer).transpose()?;
        let instance = |endpoint: Endpoint| -> Result<_, BuildError> {
            Ok(Arc::new(Instance {
                connector: connector.clone(),
                security: Security::new(endpoint.tls, endpoint.ca_file.as_deref(), &endpoint.name)?,
                endpoint,
                authorization: authorization.clone(),
                secret: secret.cloned(),
                idle: Idle::new(limits),
                connect_timeout: limits.connect_timeout,
                body_bytes_max: limits.fetch_body_bytes_max,
            }))
        };
        let instances = endpoints
            .into_iter()
            .map(|(name, endpoint)| Ok((name, instance(endpoint)?)))
            .collect::<Result<_, BuildError>>()?;
        Ok(Self { instances, transactions: Arc::new(Transactions::new(seed, limits)) })
    }
}

impl<C: Connector> FetchSource for HttpFetch<C> {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let name = request.source.instance();
        let Some(instance) = self.instances.get(name).map(Arc::clone) else {
            let error = FetchError::NoEndpoint { instance: name.to_owned() };
            return Box::pin(std::future::ready(Err(error)));
        };
        let transaction = self.transactions.begin(&request);
        let path = format!(
            "/_synapse/replication/get_repl_stream_updates/{stream}/{id}\
             ?from_token={from}&upto_token={upto}",
            stream = utf8_percent_encode(request.source.stream(), PATH_PART),
            id = transaction.id(),
            from = request.span.from,
            upto = request.span.upto,
        );
        let transactions = Arc::clone(&self.transactions);
        Box::pin(async move {
            let whole_timeout = transaction.timeout();
            let result = match timeout(whole_timeout, instance.call(&path)).await {
                Ok(result) => result,
                Err(_) => Err(FetchError::TimedOut {
                    endpoint: instance.endpoint.name.clone(),
                    after_ms: u64::try_from(whole_timeout.as_millis()).unwrap_or(u64::MAX),
                }),
            };
            if let Err(FetchError::TimedOut { .. } | FetchError::Unreachable { .. }) = &result {
                // Those that were kept beside it are likely as dead.
                instance.idle.clear();
                transactions.keep(request, transaction);
            }
            result
        })
    }
}

impl<C: Connector> Instance<C> {
    /// Makes one call; a reused connection that turns out dead is replaced once, with the same
    /// transaction id.
    async fn call(&self, path: &str) -> Result<Page, FetchError> {
        if let Some(connection) = self.idle.take().await {
            match self.call_on(connection, path).await {
                Ok(result) => return result,
                Err(NoAnswer::Final(error)) => return Err(error),
                Err(NoAnswer::Stale(error)) => {
                    tracing::debug!(endpoint = self.endpoint.name, %error, "idle connection was dead");
                    self.idle.clear();
                }
            }
        }
        let connection = self.open().await?;
        match self.call_on(connection, path).await {
            Ok(result) => result,
            Err(NoAnswer::Final(error)) => Err(error),
            Err(NoAnswer::Stale(error)) => Err(self.unreachable(cause(&error))),
        }
    }

    async fn call_on(
        &self,
        mut connection: Connection<Secured<C::Stream>>,
        path: &str,
    ) -> Result<Result<Page, FetchError>, NoAnswer> {
        let request = self.request(path).map_err(NoAnswer::Final)?;
        let mut response = connection.send(request).await.map_err(|error| {
            if error.is_parse() {
                NoAnswer::Final(self.not_http(&error))
            } else {
                NoAnswer::Stale(error)
            }
        })?;
        let result = self.answer(&mut connection, &mut response).await;
        // A response that was not read to its end leaves nothing to reuse.
        if matches!(result, Ok(_) | Err(FetchError::Status { .. })) && connection.is_usable().await
        {
            self.idle.keep(connection);
        }
        Ok(result)
    }

    async fn answer(
        &self,
        connection: &mut Connection<Secured<C::Stream>>,
        response: &mut Response<Incoming>,
    ) -> Result<Page, FetchError> {
        if let Some(coding) = response.headers().get(CONTENT_ENCODING)
            && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            let coding = self.veiled(&coding);
            return Err(self.malformed(format!(
                "it is compressed ({coding:.20}) though only `identity` was accepted; \
                 does a proxy stand between?"
            )));
        }
        let status = response.status();
        let bytes_max =
            if status.is_success() { self.body_bytes_max } else { answer::ERROR_BYTES_MAX };
        let body = match connection.read(response.body_mut(), bytes_max).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) if status.is_success() => {
                return Err(FetchError::TooLarge {
                    limit_bytes: u64::try_from(bytes_max).unwrap_or(u64::MAX),
                });
            }
            // The status is enough.
            Err(BodyError::TooLarge) => Bytes::new(),
            Err(BodyError::Broken(error)) if is_not_http(&error) => {
                return Err(self.not_http(&error));
            }
            Err(BodyError::Broken(error)) => return Err(self.unreachable(cause(&error))),
        };
        if status.as_u16() != 200 {
            return Err(FetchError::Status {
                endpoint: self.endpoint.name.clone(),
                status: status.as_u16(),
                message: answer::explain(status.as_u16(), &body, |text| self.veiled(text)),
            });
        }
        decode_page(&body).map_err(|error| {
            // The error may quote what it found, with escapes of the body undone.
            let (body, error) = (String::from_utf8_lossy(&body), error.to_string());
            let is_shown = self.veiled(&body) == body;
            self.malformed(if is_shown { self.veiled(&error) } else { LEFT_OUT }.to_owned())
        })
    }

    /// Returns what may be shown to people of a server's text: the server has received the secret.
    fn veiled<'t>(&self, text: &'t str) -> &'t str {
        self.secret.as_ref().map_or(text, |secret| secret.veiled_in(text))
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, FetchError> {
        let mut request = Request::get(path)
            .header(HOST, self.endpoint.host.as_str())
            .header(ACCEPT_ENCODING, "identity");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Empty::new()).map_err(|error| self.unreachable(error.to_string()))
    }

    async fn open(&self) -> Result<Connection<Secured<C::Stream>>, FetchError> {
        let opening = self.security.connect(&self.connector, &self.endpoint.address);
        let stream = timeout(self.connect_timeout, opening)
            .await
            .unwrap_or_else(|_| {
                let hint = if self.security.is_tls() { "; does this port speak TLS?" } else { "" };
                let message = format!("no connection within {:?}{hint}", self.connect_timeout);
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            })
            .map_err(|error| self.unreachable(error.to_string()))?;
        Connection::open(stream).await.map_err(|error| self.unreachable(cause(&error)))
    }

    fn unreachable(&self, message: String) -> FetchError {
        FetchError::Unreachable { endpoint: self.endpoint.name.clone(), message }
    }

    fn not_http(&self, error: &hyper::Error) -> FetchError {
        let hint =
            if self.security.is_tls() { "" } else { "; if that port speaks TLS, write https://" };
        self.malformed(format!("not HTTP: {}{hint}", cause(error)))
    }

    fn malformed(&self, message: String) -> FetchError {
        FetchError::Malformed { endpoint: self.endpoint.name.clone(), message }
    }
}

fn bearer(secret: &Secret) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose()))
        .map_err(|_| BuildError::Secret)?;
    value.set_sensitive(true);
    Ok(value)
}
