//! TLS with rustls and ring.

use std::{io, path::Path, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::{Address, Secured};
use crate::error::BuildError;

/// Makes TLS connections that check the server's certificate.
#[derive(Clone)]
pub(crate) struct TlsClient(TlsConnector);

impl TlsClient {
    /// Trusts the CAs in the PEM file `ca_file`, or Mozilla's where there is none. `url` names
    /// the address in errors.
    pub(crate) fn new(ca_file: Option<&Path>, url: &str) -> Result<Self, BuildError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => read_roots(path, &mut roots)
                .map_err(|problem| BuildError::CaFile { path: path.to_owned(), problem })?,
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::Tls { url: url.to_owned(), problem: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(crate) async fn handshake<S>(&self, stream: S, address: &Address) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Address::Tcp { host, .. } = address else {
            return Err(io::Error::other("TLS needs a host name to check the certificate against"));
        };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        match self.0.connect(name, stream).await {
            Ok(stream) => Ok(Secured::Tls(Box::new(stream))),
            Err(error) => Err(io::Error::new(error.kind(), format!("TLS: {error}"))),
        }
    }
}

fn read_roots(path: &Path, roots: &mut RootCertStore) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("holds no certificate; it must be PEM".to_owned());
    }
    Ok(())
}
