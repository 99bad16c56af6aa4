//! Secrets in URLs: the user, the password and the query.

use super::REDACTED;

/// Returns the URL with the parts replaced that may hold a password: the part before the last `@`,
/// and the query. A password with a bare `/` or `?` in it is replaced as a whole.
///
/// # Examples
/// ```
/// use synrepl_core::secret::veiled_url;
///
/// assert_eq!(veiled_url("redis://me:pass@host:6379/0"), "redis://<redacted>@host:6379/0");
/// ```
pub fn veiled_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
    if let Some((_, host)) = rest.rsplit_once('@') {
        let host = host.split('?').next().unwrap_or_default();
        return format!("{scheme}{REDACTED}@{host}");
    }
    match rest.split_once('?') {
        Some((path, _)) => format!("{scheme}{path}?{REDACTED}"),
        None => format!("{scheme}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_replaced_and_the_rest_stays() {
        for (url, shown) in [
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://me:hunter2@h:x", "redis://<redacted>@h:x"),
            ("redis://me:hun@hunter2@h:x", "redis://<redacted>@h:x"),
            ("redis://me:/hunter2?@h:x", "redis://<redacted>@h:x"),
            ("redis://hunter2@h?password=hunter2", "redis://<redacted>@h"),
            ("unix:///r.sock?password=hunter2", "unix:///r.sock?<redacted>"),
            ("me:hunter2@h", "<redacted>@h"),
            ("h", "h"),
        ] {
            assert_eq!(veiled_url(url), shown);
        }
    }
}
