//! Redis URLs.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use synrepl_core::wire::Secret;

use crate::{error::UrlError, transport::Address};

const ACCEPTED: &str = "redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// (the same over TLS), \
                        unix:///PATH/TO/SOCKET[?password=PASSWORD]";

/// Where a Redis server is, and how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    /// PEM file with the CAs to trust instead of Mozilla's.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    /// Database of the publishing connection. Pub/sub is not per database.
    pub(crate) db: u32,
}

impl RedisUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        parse(url).map_err(|problem| UrlError {
            url: redacted(url),
            problem: problem.into(),
            accepted: ACCEPTED,
        })
    }
}

fn parse(url: &str) -> Result<RedisUrl, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parsed = RedisUrl {
        address: Address::Unix(PathBuf::new()),
        tls: scheme == "rediss",
        ca_file: None,
        user: None,
        password: None,
        db: 0,
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
        parsed.db = db.parse().map_err(|_| "the part after / is not a database number")?;
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

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
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

fn decoded(text: &str) -> Result<String, &'static str> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "a percent-encoded part is not UTF-8")
}

/// The URL with all that may hold a password left out: what stands before the last `@`, and the
/// query. A password with a bare `/` or `?` in it is covered too.
pub(crate) fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
    if let Some((_, host)) = rest.rsplit_once('@') {
        let host = host.split('?').next().unwrap_or_default();
        return format!("{scheme}<redacted>@{host}");
    }
    match rest.split_once('?') {
        Some((path, _)) => format!("{scheme}{path}?<redacted>"),
        None => format!("{scheme}{rest}"),
    }
}
