//! Text that must not reach a log or a trace.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret. `Debug`, `Display` and serde show `<redacted>`; only [`Secret::expose`] gives the
/// text, and only the wire encoder has cause to call it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

const REDACTED: &str = "<redacted>";

impl Secret {
    /// Keeps `text`.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. For sending it to the peer that is meant to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it stands in `text`, which a peer that knows it may have made. An empty one stands
    /// nowhere.
    pub fn is_in(&self, text: &str) -> bool {
        !self.0.is_empty() && text.contains(&self.0)
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
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, "<redacted> <redacted> \"<redacted>\"");
    }
}
