//! Text from the wire, made fit for a terminal.

use std::fmt::Write as _;

/// `text` without control characters, so that nobody on the wire commands the terminal, and with
/// at most `chars_max` characters; an ellipsis stands for what was cut.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    let mut short = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == chars_max {
            short.push('…');
            break;
        }
        if is_printable(c) {
            short.push(c);
        } else {
            // Writing to memory does not fail.
            let _ = write!(short, "{}", c.escape_unicode());
        }
    }
    short
}

/// The cached function whose key is an access token.
const TOKEN_FUNCTION: &str = "get_user_by_access_token";

/// What of `text` may be shown: rows of `caches` can have access tokens as keys.
pub(super) fn without_token(text: &str) -> &str {
    match text.find(TOKEN_FUNCTION) {
        Some(at) => &text[..at + TOKEN_FUNCTION.len()],
        None => text,
    }
}

/// Neither a control character nor one that turns the direction of the text around.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("☃☃☃", 3), "☃☃☃");
        assert_eq!(shortened("☃☃☃☃", 3), "☃☃☃…");
    }

    #[test]
    fn access_tokens_are_not_shown() {
        let row = r#"["get_user_by_access_token",["syt_secret"],1]"#;
        assert_eq!(without_token(row), r#"["get_user_by_access_token"#);
        assert_eq!(without_token("[1]"), "[1]");
    }

    #[test]
    fn nothing_on_the_wire_commands_the_terminal() {
        assert_eq!(shortened("a\u{1b}[2Jb", 99), r"a\u{1b}[2Jb");
        assert_eq!(shortened("a\u{9b}\r\n\u{202e}b", 99), r"a\u{9b}\u{d}\u{a}\u{202e}b");
    }
}
