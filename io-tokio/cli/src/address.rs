//! Adds the Redis password and the CA file to URLs. The URLs of flags enter; the URLs that the
//! library takes leave, with the values of other flags in their queries.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use synrepl_core::wire::Secret;

use crate::exit::Failure;

/// The URL of `--redis`, with the password and, for `rediss://`, the CA file added.
pub(super) fn redis(url: &str, password: Option<&Secret>, ca_file: Option<&str>) -> String {
    let mut url = url.to_owned();
    if let Some(password) = password {
        let encoded = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC).to_string();
        add(&mut url, "password", &encoded);
    }
    if let Some(ca_file) = ca_file.filter(|_| url.starts_with("rediss://")) {
        add(&mut url, "ca", &utf8_percent_encode(ca_file, NON_ALPHANUMERIC).to_string());
    }
    url
}

/// The URL of `--instance`, with the CA file added to an `https://` URL that has no query.
pub(super) fn instance(url: &str, ca_file: Option<&str>) -> String {
    let mut url = url.to_owned();
    if let Some(ca_file) = ca_file.filter(|_| url.starts_with("https://") && !url.contains('?')) {
        add(&mut url, "ca", &utf8_percent_encode(ca_file, NON_ALPHANUMERIC).to_string());
    }
    url
}

/// The file of `--ca-file`, as text.
///
/// # Errors
/// Fails if the name is not UTF-8, or if no URL uses TLS.
pub(super) fn ca_file<'a>(
    path: Option<&'a Path>,
    urls: impl IntoIterator<Item = &'a str>,
) -> Result<Option<&'a str>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let uses_tls = |url: &str| url.starts_with("rediss://") || url.starts_with("https://");
    if !urls.into_iter().any(uses_tls) {
        return Err(Failure::usage(
            "--ca-file: nothing uses TLS here; write rediss:// in --redis or https:// in \
             --instance, or leave it out",
        ));
    }
    let text = path.to_str().ok_or_else(|| {
        Failure::usage(format!("--ca-file {}: the name is not UTF-8; rename it", path.display()))
    })?;
    Ok(Some(text))
}

fn add(url: &mut String, key: &str, value: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(key);
    url.push('=');
    url.push_str(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_odd_characters_is_encoded() {
        let password = Secret::new("a&b?c=d@☃".to_owned());
        assert_eq!(
            redis("redis://h:1/2?user=u", Some(&password), None),
            "redis://h:1/2?user=u&password=a%26b%3Fc%3Dd%40%E2%98%83"
        );
        assert!(synrepl::Builder::redis(&redis("redis://h", Some(&password), None), "x").is_ok());
    }

    #[test]
    fn a_ca_file_goes_where_tls_is() {
        assert_eq!(redis("redis://h", None, Some("/a.pem")), "redis://h");
        assert_eq!(redis("rediss://h", None, Some("/a b")), "rediss://h?ca=%2Fa%20b");
        assert_eq!(instance("https://h", Some("/50%20.pem")), "https://h?ca=%2F50%2520%2Epem");
        assert_eq!(instance("http://h", Some("/a.pem")), "http://h");
        let path = Some(Path::new("/a.pem"));
        assert!(ca_file(path, ["redis://h", "http://h"]).is_err());
        assert_eq!(ca_file(path, ["redis://h", "https://h"]).unwrap(), Some("/a.pem"));
    }
}
