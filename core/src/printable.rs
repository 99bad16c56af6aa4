//! Text of others, made safe to show to people.
//!
//! Names, reasons and errors come from peers, servers and files. Verbatim texts enter; texts leave
//! that may be written to a terminal or to a log of lines. The promise: nobody on the wire can send
//! commands to the terminal, forge a line, or fill the log.

use std::{borrow::Cow, fmt};

use crate::secret::veiled_text;

/// The longest name that is shown, in characters. Stream and instance names are far shorter.
const NAME_CHARS_MAX: usize = 128;

/// The longest text of others that is shown, in characters: the reason of a failure fits, and a
/// page of HTML does not.
const TEXT_CHARS_MAX: usize = 400;

/// A text that is shown on one line, at a bounded length, and sends no commands to a terminal.
///
/// `Display` escapes control characters, line and paragraph separators and characters that turn the
/// direction of the text around, as Rust does (`\u{1b}`). It writes at most as many characters as
/// are allowed, escapes included; an ellipsis stands in place of the rest. Width, fill and
/// alignment are respected.
///
/// # Examples
/// ```
/// use synrepl_core::Printable;
///
/// assert_eq!(Printable::new("two\nlines", 99).to_string(), r"two\u{a}lines");
/// assert_eq!(Printable::new("too long", 3).to_string(), "too…");
/// ```
#[derive(Clone, Debug)]
pub struct Printable<'a> {
    text: Cow<'a, str>,
    chars_max: usize,
}

impl<'a> Printable<'a> {
    /// Shows at most `chars_max` characters of `text`. The caller guarantees that it holds no
    /// secret.
    pub const fn new(text: &'a str, chars_max: usize) -> Self {
        Self { text: Cow::Borrowed(text), chars_max }
    }

    /// Shows at most 128 characters of the name of a stream, an instance, a user or a server.
    pub const fn name(name: &'a str) -> Self {
        Self::new(name, NAME_CHARS_MAX)
    }

    /// Shows at most 400 characters of a text that somebody else made, such as a reason or an
    /// ERROR, without the access tokens that it may quote ([`veiled_text`]).
    pub fn foreign(text: &'a str) -> Self {
        Self { text: veiled_text(text), chars_max: TEXT_CHARS_MAX }
    }

    fn shown(&self) -> String {
        let (mut shown, mut left) = (String::new(), self.chars_max);
        for c in self.text.chars() {
            let escaped = (!is_printable(c)).then(|| c.escape_unicode());
            let Some(after) = left.checked_sub(escaped.as_ref().map_or(1, ExactSizeIterator::len))
            else {
                shown.push('…');
                break;
            };
            left = after;
            match escaped {
                Some(escaped) => shown.extend(escaped),
                None => shown.push(c),
            }
        }
        shown
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown())
    }
}

/// Whether a character is no control character, ends no line and does not turn the text around.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, chars_max: usize) -> String {
        Printable::new(text, chars_max).to_string()
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shown("☃☃☃", 3), "☃☃☃");
        assert_eq!(shown("☃☃☃☃", 3), "☃☃☃…");
        assert_eq!(shown("☃", 0), "…");
    }

    #[test]
    fn escapes_count_as_they_are_written_and_are_not_cut() {
        assert_eq!(shown("a\u{1b}b", 8), r"a\u{1b}b");
        assert_eq!(shown("a\u{1b}b", 7), r"a\u{1b}…");
        assert_eq!(shown("a\u{1b}b", 6), "a…");
        assert_eq!(shown(&"\u{1b}".repeat(10_000), 99).chars().count(), 97);
    }

    #[test]
    fn nothing_on_the_wire_commands_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb", 99), r"a\u{1b}[2Jb");
        assert_eq!(shown("a\u{9b}\r\n\u{202e}b", 99), r"a\u{9b}\u{d}\u{a}\u{202e}b");
        assert_eq!(shown("\u{61c}\u{7f}\u{2028}", 99), r"\u{61c}\u{7f}\u{2028}");
    }

    #[test]
    fn names_fill_columns() {
        assert_eq!(
            format!("{:<4}|{:>4}|", Printable::name("ab"), Printable::name("c")),
            "ab  |   c|"
        );
        assert_eq!(format!("{:<2}|", Printable::new("abc", 2)), "ab…|");
    }

    #[test]
    fn text_of_others_shows_no_access_token() {
        let text = Printable::foreign("no: b'USER_IP @u:h syt_abc'").to_string();
        assert_eq!(text, "no: b'USER_IP <redacted>");
        let long = "x".repeat(TEXT_CHARS_MAX + 1);
        assert_eq!(Printable::foreign(&long).to_string(), format!("{}…", &long[1..]));
    }
}
