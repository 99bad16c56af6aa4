//! One HTTP/1.1 connection, driven by the call that uses it. A request enters; a response leaves,
//! its body within a limit.
//!
//! No task is spawned: an idle connection is not polled, so a close by the server shows only at the
//! next use, and dropping a call drops its connection.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::Pin,
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// An open connection.
pub(super) struct Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    requests: http1::SendRequest<Empty<Bytes>>,
    io: http1::Connection<TokioIo<S>, Empty<Bytes>>,
}

/// The reason why a body was not read to its end.
pub(super) enum BodyError {
    TooLarge,
    Broken(hyper::Error),
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) async fn open(stream: S) -> Result<Self, hyper::Error> {
        let (requests, io) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { requests, io })
    }

    /// Returns whether the connection still seems open and idle. It may break at any time.
    pub(super) async fn is_usable(&mut self) -> bool {
        // One poll reads a close that has arrived meanwhile.
        let closed = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.io).poll(cx).is_ready())).await;
        !closed && self.requests.is_ready()
    }

    /// Sends a request and reads the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let Self { requests, io } = self;
        let mut answer = std::pin::pin!(requests.send_request(request));
        let mut open = true;
        poll_fn(|cx| {
            let mut failure = None;
            if open && let Poll::Ready(ended) = Pin::new(&mut *io).poll(cx) {
                open = false;
                failure = ended.err();
            }
            match (answer.as_mut().poll(cx), failure) {
                (Poll::Ready(answer), _) => Poll::Ready(answer),
                (Poll::Pending, Some(error)) => Poll::Ready(Err(error)),
                (Poll::Pending, None) => Poll::Pending,
            }
        })
        .await
    }

    /// Reads the whole body of a response on this connection, up to `bytes_max`.
    pub(super) async fn read(
        &mut self,
        body: &mut Incoming,
        bytes_max: usize,
    ) -> Result<Bytes, BodyError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > bytes_max {
            return Err(BodyError::TooLarge);
        }
        let mut whole = BytesMut::with_capacity(announced);
        let mut open = true;
        loop {
            let frame = poll_fn(|cx| {
                let mut failure = None;
                if open && let Poll::Ready(ended) = Pin::new(&mut self.io).poll(cx) {
                    open = false;
                    failure = ended.err();
                }
                match (Pin::new(&mut *body).poll_frame(cx), failure) {
                    (Poll::Ready(frame), _) => Poll::Ready(frame),
                    (Poll::Pending, Some(error)) => Poll::Ready(Some(Err(error))),
                    (Poll::Pending, None) => Poll::Pending,
                }
            })
            .await;
            match frame {
                None => return Ok(whole.freeze()),
                Some(Err(error)) => return Err(BodyError::Broken(error)),
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    if whole.len() + data.len() > bytes_max {
                        return Err(BodyError::TooLarge);
                    }
                    whole.extend_from_slice(data);
                }
            }
        }
    }
}

/// Returns whether a body broke because of what the server sent, rather than because it went away.
pub(super) fn is_not_http(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &io::Error| {
        matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    })
}

/// Returns the text that a person can act on: the innermost cause, which names the system's error.
pub(super) fn cause(error: &hyper::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>() {
        Some(system) => system.to_string(),
        None if error.is_incomplete_message() => {
            "it closed the connection before the answer was whole".to_owned()
        }
        None => innermost.to_string(),
    }
}
