//! Certificates for one test, as files that are removed with it.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

/// A self-signed certificate and its key, as PEM files that are removed when it is dropped.
pub(crate) struct Certificate {
    directory: TempDir,
    /// The certificate, as DER.
    pub(crate) der: Vec<u8>,
    /// The private key, as PKCS #8 DER.
    pub(crate) key_der: Vec<u8>,
}

impl Certificate {
    /// Makes a certificate for the host `name`, which may be an IP address.
    pub(crate) fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { directory, der: made.cert.der().to_vec(), key_der: made.signing_key.serialize_der() }
    }

    /// The PEM file of the certificate, which is its own CA.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub(crate) fn key_path(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }
}
