//! Who may call a server that has no secret. A request enters; what speaks against it leaves.
//!
//! A page of any site can make its reader's browser call this machine, and, once the site's own
//! name leads to this machine's address (DNS rebinding), read the answers. Such a request names the
//! site in `Host`, and in `Origin` where the page and the address differ.

use std::{collections::BTreeSet, net::IpAddr};

use hyper::{
    HeaderMap, Uri,
    header::{HOST, ORIGIN},
    http::uri::Authority,
};

/// The names by which a server without a secret may be called, beside address literals and
/// localhost, which no site can have.
#[derive(Clone, Debug, Default)]
pub(super) struct Callers {
    names: BTreeSet<String>,
}

/// The reason why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("requests of a browser's page are not taken")]
    Page,
    #[error(
        "without a secret this server is called by its address or as localhost, not as {0:?}: \
         allow that name, or set a secret"
    )]
    Host(String),
}

impl Callers {
    pub(super) fn allow(&mut self, name: &str) {
        self.names.insert(without_dot(name).to_ascii_lowercase());
    }

    /// Checks every name by which the server was called. A request that has none is not of a
    /// browser.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        if headers.contains_key(ORIGIN) {
            return Err(Refused::Page);
        }
        if let Some(authority) = uri.authority() {
            self.check_host(authority.host())?;
        }
        for value in headers.get_all(HOST) {
            let text = String::from_utf8_lossy(value.as_bytes());
            match text.parse::<Authority>() {
                Ok(authority) => self.check_host(authority.host())?,
                Err(_) => return Err(Refused::Host(text.into_owned())),
            }
        }
        Ok(())
    }

    fn check_host(&self, host: &str) -> Result<(), Refused> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_address = literal.unwrap_or(host).parse::<IpAddr>().is_ok();
        let name = without_dot(host).to_ascii_lowercase();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        if is_address || is_local || self.names.contains(&name) {
            Ok(())
        } else {
            Err(Refused::Host(host.to_owned()))
        }
    }
}

/// Leaves out the dot that ends a name from the root on.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn checked(callers: &Callers, uri: &str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        callers.check(&uri.parse().unwrap(), &headers).is_ok()
    }

    #[test]
    fn addresses_localhost_and_allowed_names_are_let_in() {
        let mut callers = Callers::default();
        callers.allow("Writer.Internal");
        for host in [
            "127.0.0.1:9100",
            "10.1.2.3",
            "[::1]:9100",
            "localhost",
            "LOCALHOST:9100",
            "a.localhost.",
            "writer.internal:9100",
            "WRITER.internal.",
        ] {
            assert!(checked(&callers, "/rows", &[host]), "{host}");
        }
        assert!(checked(&callers, "/rows", &[]), "a browser always names the host");
    }

    #[test]
    fn a_name_that_a_site_can_have_is_refused_wherever_it_stands() {
        let callers = Callers::default();
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "notlocalhost",
        ] {
            assert!(!checked(&callers, "/rows", &[host]), "{host:?}");
        }
        assert!(!checked(&callers, "/rows", &["localhost", "evil.example"]));
        assert!(!checked(&callers, "http://evil.example/rows", &["localhost"]));
    }

    #[test]
    fn a_page_is_refused_whatever_it_calls() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("null"));
        let uri = "/rows".parse().unwrap();
        assert_eq!(Callers::default().check(&uri, &headers), Err(Refused::Page));
    }
}
