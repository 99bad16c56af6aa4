//! The reading of a request's path and query (`docs/protocol.md` 6.1, `docs/seen.md` "HTTP
//! catch-up").

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use synrepl_core::stream::Token;

const CATCH_UP: &str = "/_synapse/replication/get_repl_stream_updates/";

/// The resource that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/health`.
    Health,
    /// `/rows`.
    Rows,
    /// The catch-up call, for this stream.
    CatchUp(String),
    /// No resource.
    Unknown,
}

impl Route {
    /// Reads a path. Its parts are separated before they are decoded, so a name may hold a slash.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/health" => return Self::Health,
            "/rows" => return Self::Rows,
            _ => {}
        }
        let Some((stream, transaction)) =
            path.strip_prefix(CATCH_UP).and_then(|rest| rest.split_once('/'))
        else {
            return Self::Unknown;
        };
        if stream.is_empty() || transaction.is_empty() || transaction.contains('/') {
            return Self::Unknown;
        }
        Self::CatchUp(percent_decode_str(stream).decode_utf8_lossy().into_owned())
    }
}

/// The reason why a parameter cannot be used, in Synapse's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadParameter {
    pub(super) errcode: &'static str,
    pub(super) error: String,
}

/// Reads a token from the query. Of a parameter given twice the first counts. A token beyond 64
/// bits is taken, as Synapse takes it: no log reaches that far.
pub(super) fn token(query: &str, name: &str) -> Result<Token, BadParameter> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    });
    let Some(value) = value else {
        return Err(BadParameter {
            errcode: "M_MISSING_PARAM",
            error: format!("Missing required integer query parameter {name}"),
        });
    };
    let invalid = |problem: &str| BadParameter {
        errcode: "M_INVALID_PARAM",
        error: format!("Query parameter {name} must be {problem}"),
    };
    let value = value.trim();
    let (negative, digits) = match value.as_bytes() {
        [b'-', ..] => (true, &value[1..]),
        [b'+', ..] => (false, &value[1..]),
        _ => (false, value),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("an integer"));
    }
    if negative && digits.bytes().any(|byte| byte != b'0') {
        return Err(invalid("a positive integer"));
    }
    // Only too many digits are left to go wrong.
    Ok(Token::new(digits.parse().unwrap_or(i64::MAX)))
}

/// Decodes one key or value of a query.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_route() {
        let catch_up = |stream: &str| Route::CatchUp(stream.to_owned());
        for (rest, expected) in [
            ("events/abc", catch_up("events")),
            ("a%2Fb%20%E2%98%83/x", catch_up("a/b ☃")),
            ("a%FFb/x", catch_up("a\u{fffd}b")),
            ("events/%2F", catch_up("events")),
            ("events", Route::Unknown),
            ("events/", Route::Unknown),
            ("events/abc/", Route::Unknown),
            ("/abc", Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::of(&format!("{CATCH_UP}{rest}")), expected, "{rest}");
        }
        assert_eq!(Route::of("/health"), Route::Health);
        assert_eq!(Route::of("/rows"), Route::Rows);
        for path in ["/", "", "*", "/rows/", "/health/", "/_synapse/replication"] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn tokens_are_read_as_the_reference_reads_them() {
        for (query, expected) in [
            ("t=5", 5),
            ("a=1&t=5&t=6", 5),
            ("t=%2B1", 1),
            ("t=+1", 1),
            ("t=%201%20", 1),
            ("t=007", 7),
            ("t=-0", 0),
            ("%74=9", 9),
            ("t=9223372036854775807", i64::MAX),
            ("t=9223372036854775808", i64::MAX),
            ("t=1208925819614629174706176", i64::MAX),
        ] {
            assert_eq!(token(query, "t"), Ok(Token::new(expected)), "{query}");
        }
        for query in ["t=abc", "t=1.0", "t=", "t", "t=-", "t=+", "t=1_0", "t=1e3", "t=%00", "t=٣"]
        {
            let bad = token(query, "t").unwrap_err();
            assert_eq!(bad.errcode, "M_INVALID_PARAM", "{query}");
            assert_eq!(bad.error, "Query parameter t must be an integer");
        }
        assert_eq!(
            token("t=-5", "t").unwrap_err().error,
            "Query parameter t must be a positive integer"
        );
        for query in ["", "u=1", "tt=1"] {
            let bad = token(query, "t").unwrap_err();
            assert_eq!(bad.errcode, "M_MISSING_PARAM", "{query}");
        }
    }
}
