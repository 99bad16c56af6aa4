//! A connected stream, with TLS or without. An address enters, a stream leaves; where TLS was
//! wanted, none leaves without a checked certificate.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "tls")]
use super::tls::{TlsClient, in_words};
use super::{Address, Connector};
use crate::error::BuildError;

/// Whether a stream is wrapped in TLS.
#[derive(Clone)]
pub(crate) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(TlsClient),
}

impl Security {
    /// Returns TLS with these CAs if `tls`, else a plain stream. `url` names the address in errors.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "no TLS, no CA file"))]
    pub(crate) fn new(tls: bool, ca_file: Option<&Path>, url: &str) -> Result<Self, BuildError> {
        if !tls {
            return Ok(Self::Plain);
        }
        #[cfg(feature = "tls")]
        return TlsClient::new(ca_file, url).map(Self::Tls);
        #[cfg(not(feature = "tls"))]
        return Err(BuildError::NoTls { url: url.to_owned() });
    }

    /// Returns whether connections are made with TLS.
    pub(crate) const fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Connects to `address` and makes the TLS handshake, if any. It has no time limit of its own.
    pub(crate) async fn connect<C: Connector>(
        &self,
        connector: &C,
        address: &Address,
    ) -> io::Result<Secured<C::Stream>> {
        let stream = connector.connect(address).await?;
        match self {
            Self::Plain => Ok(Secured::Plain(stream)),
            #[cfg(feature = "tls")]
            Self::Tls(client) => client.handshake(stream, address).await,
        }
    }
}

/// A stream that may be wrapped in TLS.
pub(crate) enum Secured<S> {
    Plain(S),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<S>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf).map_err(in_words),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf).map_err(in_words),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx).map_err(in_words),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
