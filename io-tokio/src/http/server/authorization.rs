//! The check of the secret: a request is allowed if it carries the secret (`docs/protocol.md` 6.4).

use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::ConstantTimeEq as _;
use synrepl_core::wire::Secret;

/// Returns whether the request carries `secret`: one `Authorization` header, scheme `Bearer` to the
/// letter, as Synapse demands. The time taken depends on nothing but the length of the secret.
pub(super) fn is_allowed(headers: &HeaderMap, secret: Option<&Secret>) -> bool {
    let Some(secret) = secret else { return true };
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return false };
    only.as_bytes()
        .strip_prefix(b"Bearer ")
        .is_some_and(|given| given.ct_eq(secret.expose().as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn allowed(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        is_allowed(&headers, Some(&Secret::new("hunter2".to_owned())))
    }

    #[test]
    fn only_the_exact_secret_is_let_in() {
        assert!(allowed(&["Bearer hunter2"]));
        for values in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer hunter"],
            &["Bearer hunter22"],
            &["Bearer Hunter2"],
            &["bearer hunter2"],
            &["Basic hunter2"],
            &["hunter2"],
            &["Bearer  hunter2"],
            &["Bearer hunter2", "Bearer hunter2"],
        ] {
            assert!(!allowed(values), "{values:?}");
        }
    }

    #[test]
    fn without_a_secret_everybody_is_let_in() {
        let mut headers = HeaderMap::new();
        assert!(is_allowed(&headers, None));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic x"));
        assert!(is_allowed(&headers, None));
    }
}
