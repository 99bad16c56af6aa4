//! TLS with rustls and ring. A stream enters, an encrypted one leaves, or an error with a hint; the
//! server's certificate and name are always checked.

mod roots;
mod words;

use std::{io, path::Path, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

pub(super) use self::words::in_words;
use super::{Address, Secured};
use crate::error::BuildError;

/// A maker of TLS connections, which checks the server's certificate.
#[derive(Clone)]
pub(crate) struct TlsClient(TlsConnector);

impl TlsClient {
    /// Makes a client that trusts the CAs in the PEM file `ca_file`, or Mozilla's where there is
    /// none. `url` names the address in errors.
    pub(crate) fn new(ca_file: Option<&Path>, url: &str) -> Result<Self, BuildError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => roots::read(path, &mut roots)
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
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            io::Error::other(format!("TLS: {host:?} is no host that a certificate could name"))
        })?;
        match self.0.connect(name, stream).await {
            Ok(stream) => Ok(Secured::Tls(Box::new(stream))),
            // Before the handshake is over it is not one of those that speak TLS and end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(io::Error::new(
                error.kind(),
                "TLS: the connection was closed during the handshake; does this port speak TLS?",
            )),
            Err(error) => Err(in_words(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, pki_types::PrivateKeyDer},
    };

    use super::*;

    /// A certificate file, which is removed when this is dropped.
    struct CaFile(PathBuf);

    impl CaFile {
        fn new(name: &str, text: &str) -> Self {
            let file = format!("synrepl-tls-{name}-{}.pem", std::process::id());
            let path = std::env::temp_dir().join(file);
            fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for CaFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Returns a server called `redis.test`, and its certificate as PEM.
    fn server() -> (TlsAcceptor, String) {
        server_of(rcgen::CertificateParams::new(["redis.test".to_owned()]).unwrap())
    }

    fn server_of(parameters: rcgen::CertificateParams) -> (TlsAcceptor, String) {
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = parameters.self_signed(&signing_key).unwrap();
        let made = rcgen::CertifiedKey { cert, signing_key };
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
    }

    fn named(host: &str) -> Address {
        Address::Tcp { host: host.to_owned(), port: 1 }
    }

    async fn connect(
        acceptor: TlsAcceptor,
        client: &TlsClient,
        address: &Address,
    ) -> io::Result<Secured<DuplexStream>> {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(async move {
            let mut stream = acceptor.accept(far).await?;
            stream.write_all(b"hello").await?;
            stream.flush().await
        });
        client.handshake(near, address).await
    }

    #[tokio::test]
    async fn a_server_whose_ca_is_in_the_file_is_trusted() {
        let (acceptor, pem) = server();
        let file = CaFile::new("trusted", &pem);
        let client = TlsClient::new(Some(&file.0), "rediss://").unwrap();
        let mut stream = connect(acceptor, &client, &named("redis.test")).await.unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn another_name_or_an_unknown_ca_is_refused_and_said() {
        let (acceptor, pem) = server();
        let file = CaFile::new("refused", &pem);
        let client = TlsClient::new(Some(&file.0), "rediss://").unwrap();
        let error = connect(acceptor.clone(), &client, &named("other.test")).await.err().unwrap();
        assert!(
            error.to_string().starts_with(
                "TLS: the server's certificate is not for \"other.test\" but for redis.test; "
            ),
            "{error}"
        );
        assert!(error.to_string().ends_with("as the certificate names it"), "{error}");
        let client = TlsClient::new(None, "rediss://").unwrap();
        let error = connect(acceptor, &client, &named("redis.test")).await.err().unwrap();
        assert!(error.to_string().contains("signed by nobody who is trusted here"), "{error}");
        assert!(error.to_string().ends_with("in the URL: ?ca=FILE"), "{error}");
    }

    #[tokio::test]
    async fn a_certificate_that_no_server_may_show_is_said_with_what_it_is() {
        let mut ca = rcgen::CertificateParams::new(["redis.test".to_owned()]).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let nameless = rcgen::CertificateParams::new(Vec::new()).unwrap();
        for (name, parameters, expected) in [
            ("ca", ca, "is that of a CA (CA:TRUE)"),
            ("nameless", nameless, "names no host at all"),
        ] {
            let (acceptor, pem) = server_of(parameters);
            let file = CaFile::new(name, &pem);
            let client = TlsClient::new(Some(&file.0), "rediss://").unwrap();
            let error = connect(acceptor, &client, &named("redis.test")).await.err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_is_said_to_have_none() {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(b"-ERR unknown command\r\n").await.unwrap();
        let client = TlsClient::new(None, "rediss://").unwrap();
        let error = client.handshake(near, &named("redis.test")).await.err().unwrap();
        assert!(error.to_string().starts_with("TLS: what came is no TLS"), "{error}");
        assert!(error.to_string().ends_with("does this port speak TLS?"), "{error}");
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_refused() {
        let empty = CaFile::new("empty", "no certificate\n");
        let error = TlsClient::new(Some(&empty.0), "rediss://").err().unwrap();
        assert!(error.to_string().contains("holds no certificate; it must be PEM"), "{error}");
        // The second certificate of three is none.
        let (_, good) = server();
        let bad = good.lines().enumerate().map(|(line, text)| match line {
            1 => "AAAA\n".to_owned(),
            _ => format!("{text}\n"),
        });
        let bundle = CaFile::new("bundle", &format!("{good}{}{good}", bad.collect::<String>()));
        let error = TlsClient::new(Some(&bundle.0), "rediss://").err().unwrap();
        assert!(error.to_string().contains("certificate 2 of the file cannot be read"), "{error}");
        let cut = CaFile::new("cut", good.split_once("-----END").unwrap().0);
        let error = TlsClient::new(Some(&cut.0), "rediss://").err().unwrap();
        assert!(error.to_string().contains("without its -----END line"), "{error}");
        let missing = Path::new("/nonexistent/ca.pem");
        let error = TlsClient::new(Some(missing), "rediss://").err().unwrap();
        assert!(error.to_string().starts_with("CA file /nonexistent/ca.pem: "), "{error}");
    }
}
