//! The rule of what is secret, and of what is shown in its place. It stands in no other module.
//!
//! | text | secret in it | shown in its place |
//! |---|---|---|
//! | a [`Secret`]: an access token, a password, the replication secret | all of it | `<redacted>` |
//! | a row of `caches`, the keys of `INVALIDATE_CACHE` | the strings behind the name of a function that takes tokens | hexadecimal digits, as many as before ([`veiled_row`], [`veiled_keys`]) |
//! | any other text of others: an ERROR, a reason, an answer | what stands behind a word that announces an access token | `<redacted>` ([`veiled_text`]) |
//! | a text of a server that has one of our secrets | all of it, if that secret stands in it | [`LEFT_OUT`] ([`Secret::veiled_in`]) |
//! | a URL | the user, the password, the query | `<redacted>` ([`veiled_url`]) |
//!
//! Texts enter, the same texts without their secrets leave. The promise: a text that leaves can be
//! written to a log, a terminal or a trace.
//!
//! Rows that are handed to the application are its data and are never changed; only their `Debug`
//! is.

mod cache;
mod text;
mod url;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::{
    cache::{holds_tokens, rows_may_hold_tokens, takes_tokens},
    text::excerpt,
};
pub use self::{
    cache::{veiled_keys, veiled_row},
    text::veiled_text,
    url::veiled_url,
};

/// The text in place of a secret.
pub(crate) const REDACTED: &str = "<redacted>";

/// The text in place of a whole text that is left out because a secret of ours stands in it.
pub const LEFT_OUT: &str = "(its text is left out: it holds our own secret)";

/// A text that must not reach a log or a trace.
///
/// `Debug`, `Display` and serde show `<redacted>`; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret of this text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text itself, to send it to the peer that is meant to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the secret stands in `text`, as it may in a text of a peer that knows it. An
    /// empty secret stands in no text.
    pub fn is_in(&self, text: &str) -> bool {
        !self.0.is_empty() && text.contains(&self.0)
    }

    /// Returns the text of a peer that knows the secret as people may see it: [`LEFT_OUT`] if the
    /// secret stands in it. It must be called before the text is cut, or a part of the secret may
    /// remain.
    pub fn veiled_in<'t>(&self, text: &'t str) -> &'t str {
        if self.is_in(text) { LEFT_OUT } else { text }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_text_and_never_shown() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(secret.is_in("AUTH hunter2\r\n") && !secret.is_in("AUTH hunter\r\n"));
        assert!(!Secret::new(String::new()).is_in("AUTH \r\n"));
        assert_eq!(secret.veiled_in("AUTH hunter2\r\n"), LEFT_OUT);
        assert_eq!(secret.veiled_in("AUTH\r\n"), "AUTH\r\n");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, "<redacted> <redacted> \"<redacted>\"");
    }
}
