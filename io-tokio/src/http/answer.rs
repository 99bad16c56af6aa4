//! The meaning of a response other than 200. A status and a body enter; one line for people leaves,
//! which shows no secret.

/// The most that is read of such a response, in bytes.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;

/// The most that is shown of its text, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Returns the server's text and the usual cause of the status, for people. `veil` leaves out a
/// text that may not be shown; it is applied before the text is read and again before it is cut, as
/// reading undoes escapes.
pub(super) fn explain(status: u16, body: &[u8], veil: impl Fn(&str) -> &str) -> String {
    let said = said(veil(&String::from_utf8_lossy(body)), &veil);
    let hint = match status {
        500 => {
            "the replication secret may be wrong, or the instance is not the stream's writer \
             (Synapse answers both with 500)"
        }
        404 => {
            "no replication resource on this listener, or the path is behind something else \
             (a reverse proxy, the client port)"
        }
        401 | 403 => "refused before Synapse looked at it: is a proxy in between?",
        301 | 302 | 303 | 307 | 308 => {
            "redirected, which Synapse never does: is this the replication listener?"
        }
        400 => "the instance does not know this stream, or not this protocol",
        502..=504 => "something in between answers, not Synapse",
        _ => "",
    };
    match (said.as_str(), hint) {
        ("", "") => "no text".to_owned(),
        ("", hint) => hint.to_owned(),
        (said, "") => said.to_owned(),
        (said, hint) => format!("{said}; {hint}"),
    }
}

/// Returns Synapse's `errcode` and `error`, or the beginning of the text.
fn said(body: &str, veil: impl Fn(&str) -> &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let field = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let text = match (field("errcode"), field("error")) {
        (Some(code), Some(error)) => format!("{code}: {error}"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => body.to_owned(),
    };
    // One line, whatever the server sends.
    let words = veil(&text).split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use synrepl_core::secret::{LEFT_OUT, Secret};

    use super::*;

    fn explain(status: u16, body: &[u8]) -> String {
        super::explain(status, body, |text| text)
    }

    #[test]
    fn a_text_that_may_not_be_shown_is_left_out_also_behind_escapes() {
        let secret = Secret::new("hunter2".to_owned());
        let filler = "x".repeat(TEXT_CHARS_MAX - 2);
        for body in [
            "you sent hunter2".to_owned(),
            r#"{"error":"you sent \u0068unter2"}"#.to_owned(),
            format!(r#"{{"error":"{filler}\u0068unter2"}}"#),
        ] {
            let text = super::explain(418, body.as_bytes(), |text| secret.veiled_in(text));
            assert_eq!(text, LEFT_OUT, "{body}");
        }
    }

    #[test]
    fn the_error_of_synapse_comes_before_the_hint() {
        let text = explain(500, br#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#);
        assert!(text.starts_with("M_UNKNOWN: Internal server error; the replication secret"));
    }

    #[test]
    fn a_long_page_of_html_becomes_one_short_line() {
        let text = explain(418, "<p>\r\n no\ttea </p>".repeat(500).as_bytes());
        assert!(text.starts_with("<p> no tea </p><p> no tea"), "{text}");
        assert_eq!(text.chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn an_empty_answer_still_gets_its_hint() {
        assert!(explain(404, b"").starts_with("no replication resource"));
        assert_eq!(explain(418, b""), "no text");
    }
}
