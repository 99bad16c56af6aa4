//! Errors of TLS in words for people, with what to do. An error enters; the same leaves with a text
//! in which no name of a type stands.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Returns the error with its text in words, if it is one of TLS.
pub(crate) fn in_words(error: io::Error) -> io::Error {
    let told = match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(tls) => format!("TLS: {}", told(tls)),
        // The library's own text is an address in its documentation.
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "TLS: the far end closed the connection without a goodbye".to_owned()
        }
        None => return error,
    };
    io::Error::new(error.kind(), told)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are rare, and say what they are")]
fn told(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(problem) => {
            format!("the server's certificate {}", of_certificate(problem))
        }
        TlsError::InvalidMessage(_) => "what came is no TLS; does this port speak TLS?".to_owned(),
        TlsError::AlertReceived(alert) => of_alert(*alert),
        TlsError::PeerIncompatible(_) => {
            "the far end speaks no version or cipher that is spoken here (TLS 1.2 and 1.3)"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// The problem of a certificate, to be put behind `the server's certificate`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are spelt out")]
pub(super) fn of_certificate(problem: &CertificateError) -> String {
    match problem {
        // A CA of the same name but another key shows as a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is signed by nobody who is trusted here; name the PEM file of the CA that signed it \
             in the URL: ?ca=FILE"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            "is not for this host; write the host in the URL as the certificate names it".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!(
                    "is not for {expected:?} and names no host at all (its common name does not \
                     count); make it anew with a subjectAltName"
                );
            }
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            format!(
                "is not for {expected:?} but for {}; write the host in the URL as the certificate \
                 names it",
                names.join(", ")
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired; renew it, or set the clock right".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; set the clock right".to_owned()
        }
        CertificateError::Revoked => "was revoked; renew it".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not one for servers; make it anew with extendedKeyUsage serverAuth".to_owned()
        }
        CertificateError::BadEncoding => "cannot be read; make it anew".to_owned(),
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            "CaUsedAsEndEntity" => {
                "is that of a CA (CA:TRUE), which no server may show, also if it \
                                    is its own CA; make it anew with basicConstraints CA:FALSE, or \
                                    sign one with it"
                    .to_owned()
            }
            "UnsupportedCertVersion" => {
                "is of a version before 3; make it anew, with a subjectAltName".to_owned()
            }
            other => format!("cannot be used: {}", spelt_out(other)),
        },
        other => {
            // Their text is the name, for most.
            format!("cannot be used: {}", spelt_out(&other.to_string()))
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are spelt out")]
fn of_alert(alert: AlertDescription) -> String {
    const WANTED: &str = "the server wants a certificate of ours, and none can be given here; have \
                          it ask for none (Redis: tls-auth-clients no)";
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            WANTED.to_owned()
        }
        AlertDescription::HandshakeFailure | AlertDescription::BadCertificate => {
            format!("the server broke off. Perhaps {WANTED}")
        }
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3".to_owned(),
        AlertDescription::UnrecognisedName => {
            "the server does not know the host by this name; write it as its certificate names it"
                .to_owned()
        }
        other => match other.as_str() {
            Some(name) => format!("the server broke off: {}", spelt_out(name)),
            None => format!("the server broke off, with alert {}", u8::from(other)),
        },
    }
}

/// Returns the name in a text like `DnsName("redis.example")`, or the text.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// Writes a name like `PathLenConstraintViolated` as words. Other texts stay as they are.
fn spelt_out(name: &str) -> String {
    if name.contains(|c: char| !c.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_error_has_the_name_of_a_type() {
        for (error, expected) in [
            (
                TlsError::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
                "the server's certificate cannot be used: unhandled critical extension",
            ),
            (
                TlsError::AlertReceived(AlertDescription::CertificateRequired),
                "the server wants a certificate of ours",
            ),
            (
                TlsError::AlertReceived(AlertDescription::AccessDenied),
                "the server broke off: access denied",
            ),
            (TlsError::InvalidCertificate(CertificateError::Expired), "has expired; renew it"),
        ] {
            let told = in_words(io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
            assert!(told.starts_with("TLS: ") && told.contains(expected), "{told}");
        }
        let end = io::Error::new(io::ErrorKind::UnexpectedEof, "see https://docs.rs/");
        assert!(in_words(end).to_string().ends_with("without a goodbye"));
        let other = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(in_words(other).kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn names_are_freed_of_what_a_library_puts_around_them() {
        assert_eq!(plain("DnsName(\"redis.example\")"), "redis.example");
        assert_eq!(plain("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(plain("redis.example"), "redis.example");
    }
}
