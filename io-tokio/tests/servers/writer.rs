//! A writer's HTTP replication listener played by the test, over any kind of stream.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

/// The rows that a writer still holds, and the requests for them.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Contents>>);

struct Contents {
    /// The tokens, rising; the row of token 7 is `["r7"]`.
    tokens: Vec<i64>,
    /// The most rows of one page.
    page_rows: usize,
    secret: Option<&'static str>,
    requests: Vec<Asked>,
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Log {
    pub(crate) fn new(tokens: impl IntoIterator<Item = i64>, page_rows: usize) -> Self {
        let tokens = tokens.into_iter().collect();
        let contents = Contents { tokens, page_rows, secret: None, requests: Vec::new() };
        Self(Arc::new(Mutex::new(contents)))
    }

    /// Answers only requests that carry `secret`, as Synapse does.
    pub(crate) fn with_secret(self, secret: &'static str) -> Self {
        self.0.lock().unwrap().secret = Some(secret);
        self
    }

    pub(crate) fn push(&self, token: i64) {
        self.0.lock().unwrap().tokens.push(token);
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.0.lock().unwrap().requests.clone()
    }

    /// Serves it on a free port until the test ends, and returns the URL.
    pub(crate) async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(log.clone().serve(stream));
            }
        });
        url
    }

    /// Serves one connection until it is closed.
    pub(crate) async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), hyper::Error> {
        let service = service_fn(|request: Request<Incoming>| {
            let (status, body) = self.answer(&request);
            let response = Response::builder().status(status).body(Full::new(Bytes::from(body)));
            std::future::ready(Ok::<_, Infallible>(response.unwrap()))
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    }

    fn answer(&self, request: &Request<Incoming>) -> (u16, String) {
        let mut contents = self.0.lock().unwrap();
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        let query = request.uri().query().unwrap_or_default();
        contents.requests.push(Asked {
            host: header("host").unwrap_or_default().to_owned(),
            path: request.uri().path().to_owned(),
            query: query.to_owned(),
        });
        if let Some(secret) = contents.secret
            && header("authorization") != Some(&format!("Bearer {secret}"))
        {
            let error = r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;
            return (500, error.to_owned());
        }
        let number = |name: &str| -> i64 {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap();
            value.parse().unwrap()
        };
        let (from, upto) = (number("from_token="), number("upto_token="));
        let wanted =
            contents.tokens.iter().copied().filter(|token| from < *token && *token <= upto);
        let all: Vec<i64> = wanted.collect();
        let page = &all[..all.len().min(contents.page_rows)];
        let limited = page.len() < all.len();
        let end = if limited { page[page.len() - 1] } else { upto };
        let updates: Vec<String> =
            page.iter().map(|token| format!("[{token},[\"r{token}\"]]")).collect();
        let updates = updates.join(",");
        (200, format!(r#"{{"updates":[{updates}],"upto_token":{end},"limited":{limited}}}"#))
    }
}
