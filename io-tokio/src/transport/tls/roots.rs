//! The file with the CAs to trust. A PEM file enters; the roots leave, or the fault with the number
//! of the certificate that has it.

use std::path::Path;

use tokio_rustls::rustls::{
    Error as TlsError, RootCertStore,
    pki_types::{CertificateDer, pem, pem::PemObject as _},
};

use super::words;

/// Adds the certificates of a file to `roots`.
pub(super) fn read(path: &Path, roots: &mut RootCertStore) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| told(&error))?;
    for (number, certificate) in (1..).zip(certificates) {
        let take_out = |problem: String| {
            format!("certificate {number} of the file {problem}. Take it out or mend it")
        };
        let certificate =
            certificate.map_err(|error| take_out(format!("cannot be read: {}", told(&error))))?;
        roots.add(certificate).map_err(|error| {
            take_out(if let TlsError::InvalidCertificate(problem) = &error {
                words::of_certificate(problem)
            } else {
                format!("cannot be used: {error}")
            })
        })?;
    }
    if roots.is_empty() {
        return Err(
            "holds no certificate; it must be PEM, with -----BEGIN CERTIFICATE----- before \
                    each"
                .to_owned(),
        );
    }
    Ok(())
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it has a -----BEGIN line without its -----END line".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            "it has a -----BEGIN line that is not closed by dashes".to_owned()
        }
        pem::Error::Base64Decode(_) => {
            "what stands between its -----BEGIN and -----END lines is not base64".to_owned()
        }
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound | pem::Error::SectionTooLarge | _ => error.to_string(),
    }
}
