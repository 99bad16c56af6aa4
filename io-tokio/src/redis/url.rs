//! Redis URLs. A text enters; an address and a login leave, or an error that shows no password.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use synrepl_core::secret::{Secret, veiled_url};

use crate::{error::UrlError, transport::Address};

const ACCEPTED: &str = "redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// (the same over TLS, with \
                        ?ca=PEM_FILE where the CA is not one of the public web), unix:///PATH/TO/SOCKET[?password=PASSWORD]";

/// The address of a Redis server, and the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    /// The PEM file with the CAs to trust instead of Mozilla's.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
}

impl RedisUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let hint = if has_raw_password(url) { RAW_PASSWORD } else { "" };
        parse(url).map_err(|problem| UrlError {
            url: veiled_url(url),
            problem: format!("{problem}{hint}"),
            accepted: ACCEPTED,
        })
    }
}

/// Returns whether the host seems to begin only behind a `/`, `?` or `#`, which ends it: then one of
/// these is in the password.
fn has_raw_password(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    scheme != "unix" && !authority.contains('@') && rest.contains('@')
}

const RAW_PASSWORD: &str = " (perhaps since the password has a / ? or # in it: write these as %2F, \
                            %3F and %23, or keep the password out of the URL, in a file)";

fn parse(url: &str) -> Result<RedisUrl, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parsed = RedisUrl {
        address: Address::Unix(PathBuf::new()),
        tls: scheme == "rediss",
        ca_file: None,
        user: None,
        password: None,
    };
    match scheme {
        "redis" | "rediss" => parse_network(rest, &mut parsed)?,
        "unix" => {
            if !rest.starts_with('/') {
                return Err("the path of a Unix socket must be absolute: unix:///run/redis.sock");
            }
            parsed.address = Address::Unix(PathBuf::from(decoded(rest)?));
        }
        _ => return Err("the scheme is not redis, rediss or unix"),
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "user" => parsed.user = Some(decoded(value)?),
            "password" => parsed.password = Some(Secret::new(decoded(value)?)),
            "ca" if parsed.tls => parsed.ca_file = Some(PathBuf::from(decoded(value)?)),
            "ca" => return Err("`ca` needs TLS: write rediss://"),
            _ => return Err("it has a parameter other than user, password and ca"),
        }
    }
    if parsed.user.is_some() && parsed.password.is_none() {
        return Err("it has a user but no password");
    }
    Ok(parsed)
}

fn parse_network(rest: &str, parsed: &mut RedisUrl) -> Result<(), &'static str> {
    let (authority, db) = rest.rsplit_once('/').unwrap_or((rest, ""));
    if !db.is_empty() {
        // It is accepted since common URLs have it; publish/subscribe is not per database.
        db.parse::<u32>().map_err(|_| "the part after / is not a database number")?;
    }
    let (login, host_port) = match authority.rsplit_once('@') {
        Some((login, host_port)) => (Some(login), host_port),
        None => (None, authority),
    };
    if let Some(login) = login {
        let (user, password) = login.split_once(':').ok_or("it has a user but no password")?;
        parsed.user = if user.is_empty() { None } else { Some(decoded(user)?) };
        parsed.password = Some(Secret::new(decoded(password)?));
    }
    let (host, port) = split_port(host_port)?;
    parsed.address = Address::Tcp { host: host.to_owned(), port: port.unwrap_or(6379) };
    Ok(())
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port` into host and port.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("the [ of an IPv6 address has no ]")?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("something other than :PORT stands after the IPv6 address"),
            }
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address must stand in [ ]");
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        return Err("the host has a character that no host has");
    }
    match port.map(str::parse) {
        None => Ok((host, None)),
        Some(Ok(0) | Err(_)) => Err("the port is not a number from 1 to 65535"),
        Some(Ok(port)) => Ok((host, Some(port))),
    }
}

pub(crate) fn decoded(text: &str) -> Result<String, &'static str> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "a percent-encoded part is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    fn login(url: &RedisUrl) -> (Option<&str>, Option<&str>) {
        (url.user.as_deref(), url.password.as_ref().map(Secret::expose))
    }

    #[test]
    fn every_accepted_form_is_read() {
        for (url, address, tls, user, password) in [
            ("redis://h", tcp("h", 6379), false, None, None),
            ("redis://h:1/", tcp("h", 1), false, None, None),
            ("redis://h:1/3", tcp("h", 1), false, None, None),
            ("redis://[::1]", tcp("::1", 6379), false, None, None),
            ("redis://[::1]:7", tcp("::1", 7), false, None, None),
            ("redis://:pw@h", tcp("h", 6379), false, None, Some("pw")),
            ("redis://me:p%40w%2F@h:7", tcp("h", 7), false, Some("me"), Some("p@w/")),
            ("redis://me:a@b:c@h:7", tcp("h", 7), false, Some("me"), Some("a@b:c")),
            ("rediss://h", tcp("h", 6379), true, None, None),
            ("unix:///run/r.sock", Address::Unix("/run/r.sock".into()), false, None, None),
            (
                "unix:///run/r%20s.sock?user=me&password=p%26w",
                Address::Unix("/run/r s.sock".into()),
                false,
                Some("me"),
                Some("p&w"),
            ),
        ] {
            let parsed = RedisUrl::parse(url).unwrap();
            assert_eq!(parsed.address, address, "{url}");
            assert_eq!(parsed.tls, tls, "{url}");
            assert_eq!(login(&parsed), (user, password), "{url}");
        }
        let with_ca = RedisUrl::parse("rediss://h?ca=/etc/ca.pem").unwrap();
        assert_eq!(with_ca.ca_file, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_and_what_is_accepted() {
        for (url, problem) in [
            ("127.0.0.1:6379", "it has no scheme"),
            ("http://h", "the scheme is not redis, rediss or unix"),
            ("redis://", "it has no host"),
            ("redis://:6379", "it has no host"),
            ("redis://h:0", "the port is not a number from 1 to 65535"),
            ("redis://h:65536", "the port is not a number from 1 to 65535"),
            ("redis://h:x", "the port is not a number from 1 to 65535"),
            ("redis://::1", "an IPv6 address must stand in [ ]"),
            ("redis://[::1", "the [ of an IPv6 address has no ]"),
            ("redis://[::1]x", "something other than :PORT stands after the IPv6 address"),
            ("redis://h/x", "the part after / is not a database number"),
            ("redis://me@h", "it has a user but no password"),
            ("redis://a b", "the host has a character that no host has"),
            ("redis://:%ff@h", "a percent-encoded part is not UTF-8"),
            ("redis://h?ca=x", "`ca` needs TLS: write rediss://"),
            ("redis://h?x=1", "it has a parameter other than user, password and ca"),
            ("unix://r.sock", "the path of a Unix socket must be absolute: unix:///run/redis.sock"),
            ("unix:///r.sock?user=me", "it has a user but no password"),
        ] {
            let error = RedisUrl::parse(url).unwrap_err();
            assert_eq!(error.problem, problem, "{url}");
            assert!(error.to_string().contains("redis://[USER][:PASSWORD@]HOST"), "{error}");
        }
    }

    #[test]
    fn odd_characters_in_a_password_are_named_as_the_likely_cause() {
        for url in ["redis://:a/hunter2@h", "redis://u:a?hunter2@h:1", "rediss://:a#/hunter2@h"] {
            let error = RedisUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains("write these as %2F, %3F and %23"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = RedisUrl::parse("redis://:pw@h:x").unwrap_err().to_string();
        assert!(!error.contains("%2F"), "{error}");
    }

    #[test]
    fn no_error_or_debug_output_shows_a_password() {
        for url in [
            "redis://me:hunter2@h:x",
            "redis://hunter2@h",
            "redis://me:hun@hunter2@h:x",
            "redis://me:/hunter2?@h:x",
            "unix:///r.sock?pass=hunter2",
            "http://:hunter2@h",
            "me:hunter2@h",
        ] {
            let error = RedisUrl::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let parsed = RedisUrl::parse("redis://me:hunter2@h").unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"));
    }
}
