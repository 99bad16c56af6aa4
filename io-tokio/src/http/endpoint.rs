//! The addresses of replication listeners. A URL enters; an address leaves, or an error that shows
//! nothing secret.

use std::path::PathBuf;

use synrepl_core::secret::veiled_url;

use crate::{
    error::UrlError,
    redis::{decoded, split_port},
    transport::Address,
};

const ACCEPTED: &str =
    "http://HOST[:PORT], https://HOST[:PORT][?ca=PEM_FILE], unix:///PATH/TO/SOCKET";

/// The replication listener of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    /// The PEM file with the CAs to trust instead of Mozilla's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The value of the `Host` header.
    pub(crate) host: String,
    /// The URL without anything secret, for errors.
    pub(crate) name: String,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        parse(url).map_err(|problem| UrlError {
            url: veiled_url(url),
            problem: problem.into(),
            accepted: ACCEPTED,
        })
    }
}

fn parse(url: &str) -> Result<Endpoint, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let tls = match scheme {
        "http" => false,
        "https" => true,
        "unix" => {
            if !rest.starts_with('/') {
                return Err("the path of a Unix socket must be absolute: unix:///run/main.sock");
            }
            if !query.is_empty() {
                return Err("a Unix socket takes no parameter");
            }
            return Ok(Endpoint {
                address: Address::Unix(PathBuf::from(decoded(rest)?)),
                tls: false,
                ca_file: None,
                host: "localhost".to_owned(),
                name: url.to_owned(),
            });
        }
        _ => return Err("the scheme is not http, https or unix"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err("it has a user; the listener knows only the replication secret");
    }
    if authority.contains('/') {
        return Err("it has a path; the path of the replication resource is fixed");
    }
    let ca_file = match query.split_once('=') {
        None if query.is_empty() => None,
        Some(("ca", path)) if tls && !path.is_empty() => Some(PathBuf::from(decoded(path)?)),
        _ => return Err("it has a parameter other than ca (with https)"),
    };
    let (host, port) = split_port(authority)?;
    let default_port = if tls { 443 } else { 80 };
    Ok(Endpoint {
        address: Address::Tcp { host: host.to_owned(), port: port.unwrap_or(default_port) },
        tls,
        ca_file,
        host: authority.to_owned(),
        name: format!("{scheme}://{authority}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_form_is_read() {
        for (url, address, tls, host) in [
            ("http://h", ("h", 80), false, "h"),
            ("http://h:9093", ("h", 9093), false, "h:9093"),
            ("http://h:9093/", ("h", 9093), false, "h:9093"),
            ("http://[::1]:9093", ("::1", 9093), false, "[::1]:9093"),
            ("https://h", ("h", 443), true, "h"),
        ] {
            let parsed = Endpoint::parse(url).unwrap();
            let (name, port) = address;
            assert_eq!(parsed.address, Address::Tcp { host: name.to_owned(), port }, "{url}");
            assert_eq!((parsed.tls, parsed.host.as_str()), (tls, host), "{url}");
        }
        let with_ca = Endpoint::parse("https://h?ca=/etc/ca.pem").unwrap();
        assert_eq!(with_ca.ca_file, Some(PathBuf::from("/etc/ca.pem")));
        let unix = Endpoint::parse("unix:///run/main.sock").unwrap();
        assert_eq!(unix.address, Address::Unix("/run/main.sock".into()));
        assert_eq!(unix.host, "localhost");
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_and_what_is_accepted() {
        for (url, problem) in [
            ("h:9093", "it has no scheme"),
            ("redis://h", "the scheme is not http, https or unix"),
            ("http://", "it has no host"),
            ("http://h:0", "the port is not a number from 1 to 65535"),
            ("http://h/_synapse", "it has a path; the path of the replication resource is fixed"),
            ("http://:pw@h", "it has a user; the listener knows only the replication secret"),
            ("http://h?ca=x", "it has a parameter other than ca (with https)"),
            ("unix://x", "the path of a Unix socket must be absolute: unix:///run/main.sock"),
            ("unix:///x?a=b", "a Unix socket takes no parameter"),
        ] {
            let error = Endpoint::parse(url).unwrap_err();
            assert_eq!(error.problem, problem, "{url}");
            assert!(error.to_string().contains("http://HOST[:PORT]"), "{error}");
            assert!(!error.to_string().contains(":pw@"), "{error}");
        }
    }
}
