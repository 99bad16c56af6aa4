//! Takes access tokens out of the lines of a trace.
//!
//! `USER_IP` is redacted by its type. Rows are verbatim text, and those of `caches` that
//! invalidate `get_user_by_access_token` have the token as their key (seen on running servers).

use memchr::memmem;

/// The cached function whose key is an access token.
const FUNCTION: &[u8] = b"get_user_by_access_token";
/// Bytes after the function's name within which its keys begin.
const KEYS_WITHIN: usize = 64;
/// Comes after the digest, as far as there is room.
const REDACTED: &[u8] = b"<redacted>";

/// Replaces access tokens in a line that was just written, in place.
///
/// Each is replaced by a text of the same length with a short digest of it, so that equal tokens
/// stay equal, others differ, and the limits of the core count the same bytes in a replay.
pub(super) fn redact(line: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memmem::find(&line[at..], FUNCTION) {
        at += found + FUNCTION.len();
        let within = &line[at..line.len().min(at + KEYS_WITHIN)];
        let Some(bracket) = memchr::memchr(b'[', within) else { continue };
        let mut key = at + bracket + 1;
        // Rows are texts inside JSON, so their quotes are escaped.
        while let Some(start) = after_quote(line, key) {
            let end = end_of_key(line, start);
            replace(&mut line[start..end]);
            key = end + 2;
            at = end;
        }
    }
}

/// The first byte inside the next quotes, if nothing but white space and commas comes before.
fn after_quote(line: &[u8], from: usize) -> Option<usize> {
    let skipped = line.get(from..)?.iter().take_while(|byte| b" ,".contains(byte)).count();
    let start = from + skipped;
    line[start..].starts_with(b"\\\"").then_some(start + 2)
}

/// Where the key's closing quote begins, or the text that holds the row ends.
fn end_of_key(line: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match line.get(at..) {
            None | Some([] | [b'"', ..] | [b'\\', b'"', ..]) => return at.min(line.len()),
            // A backslash of the row, with what it escapes.
            Some([b'\\', b'\\', b'\\', ..]) => at += 4,
            Some([b'\\', b'\\', ..]) => at += 3,
            Some([b'\\', ..]) => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn replace(token: &mut [u8]) {
    // FNV-1a, folded to 32 bits: enough to tell tokens apart, far too little to find one.
    let digest = token.iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let digest = format!("{:08x}", (digest ^ (digest >> 32)) & 0xffff_ffff);
    let text = digest.bytes().chain(REDACTED.iter().copied()).chain(std::iter::repeat(b'.'));
    for (byte, new) in token.iter_mut().zip(text) {
        *byte = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{ConnectionId, QueryId},
        input::Input,
        stream::{Page, Row, Token},
        time::Timestamp,
        trace::TraceLine,
        wire::{Command, InvalidateCache, Rdata},
    };

    fn written(input: &Input) -> String {
        let mut out = Vec::new();
        TraceLine::input(Timestamp::ZERO, input).append_to(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<TraceLine<'_>>(&text).is_ok(), "{text}");
        text
    }

    fn row(text: &str) -> String {
        let (stream, instance) = ("caches".into(), "master".into());
        let rdata = Rdata { stream, instance, token: Some(Token::new(1)), row: Row::from(text) };
        written(&Input::Received { conn: ConnectionId::new(1), command: Command::Rdata(rdata) })
    }

    #[test]
    fn the_key_of_a_cached_token_is_replaced_by_a_text_of_the_same_length() {
        let token = "syt_bm9ib2R5_aaaabbbbccccddddeeee_0aaaaa";
        let text = row(&format!(r#"["get_user_by_access_token",["{token}"],179]"#));
        assert!(!text.contains("syt_") && !text.contains("aaaabbbb"), "{text}");
        assert!(text.contains("<redacted>"), "{text}");
        assert!(text.contains(r#"],179]""#), "the rest stays: {text}");
        let other = row(r#"["get_user_by_access_token",["x"],179]"#);
        assert_eq!(text.len() - other.len(), token.len() - 1);
    }

    #[test]
    fn equal_tokens_stay_equal_and_others_differ() {
        let of = |token| row(&format!(r#"["get_user_by_access_token", [ "{token}", "k" ], 1]"#));
        assert_eq!(of("syt_aaaaaaaa"), of("syt_aaaaaaaa"));
        assert_ne!(of("syt_aaaaaaaa"), of("syt_aaaaaaab"));
    }

    #[test]
    fn escapes_do_not_end_a_key_early() {
        let text = row(r#"["get_user_by_access_token",["a\"secret\\","secret"],1]"#);
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn pages_and_the_old_command_are_covered() {
        let line = Row::from(r#"["get_user_by_access_token",["syt_secret"],1]"#);
        let updates = vec![(Token::new(1), line.clone()), (Token::new(2), line)];
        let page = Page { updates, upto: Token::new(2), limited: false };
        let text = written(&Input::Fetched { query: QueryId::new(1), result: Ok(page) });
        assert!(!text.contains("syt_") && text.matches("redac").count() <= 2, "{text}");
        let (function, keys) = ("get_user_by_access_token".into(), Row::from(r#"["syt_secret"]"#));
        let command = Command::InvalidateCache(InvalidateCache { function, keys });
        let text = written(&Input::Received { conn: ConnectionId::new(1), command });
        assert!(!text.contains("syt_") && text.contains("\"keys\":"), "{text}");
    }

    #[test]
    fn other_rows_and_cut_lines_are_left_alone() {
        let text = row(r#"["get_user_by_id",["@a:b"],1]"#);
        assert!(text.contains("@a:b"), "{text}");
        for cut in ["get_user_by_access_token", "get_user_by_access_token\\\",[", "[\\\"a"] {
            let mut line = cut.as_bytes().to_vec();
            redact(&mut line);
            assert_eq!(line, cut.as_bytes());
        }
        let mut line = b"get_user_by_access_token\\\",[\\\"abc\\".to_vec();
        redact(&mut line);
        assert!(!line.windows(3).any(|window| window == b"abc"));
    }
}
