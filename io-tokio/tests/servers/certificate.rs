//! Certificates for one test.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

/// A self-signed certificate and its key, as PEM files that go with it.
pub(crate) struct Certificate {
    directory: TempDir,
    /// The certificate, DER.
    pub(crate) der: Vec<u8>,
    /// Its private key, PKCS #8 DER.
    pub(crate) key_der: Vec<u8>,
}

impl Certificate {
    /// One for the host `name`, which may be an IP address.
    pub(crate) fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { directory, der: made.cert.der().to_vec(), key_der: made.signing_key.serialize_der() }
    }

    /// The certificate, which is its own CA.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub(crate) fn key_path(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }
}
