//! The output on stdout: sentences, or one JSON object per line.

use std::io::{self, Write};

use serde::Serialize;

/// A writer of results. Once a write has failed, further output is dropped.
#[derive(Debug)]
pub(super) struct Output<W = io::Stdout> {
    json: bool,
    out: W,
    gone: bool,
}

impl Output {
    pub(super) fn to_stdout(json: bool) -> Self {
        Self { json, out: io::stdout(), gone: false }
    }
}

impl<W: Write> Output<W> {
    #[cfg(test)]
    pub(super) const fn new(json: bool, out: W) -> Self {
        Self { json, out, gone: false }
    }

    /// Returns whether a write has failed, so that no further output can be read.
    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Prints a result in the requested form: as text, or as a JSON object of this type with these
    /// fields.
    pub(super) fn say(
        &mut self,
        text: impl FnOnce() -> String,
        kind: &str,
        fields: impl Serialize,
    ) {
        let line = if self.json { object(kind, fields) } else { text() };
        if !line.is_empty() {
            self.line(&line);
        }
    }

    /// Prints a JSON object, and nothing if the output is text.
    pub(super) fn note(&mut self, kind: &str, fields: impl Serialize) {
        if self.json {
            self.line(&object(kind, fields));
        }
    }

    fn line(&mut self, line: &str) {
        if !self.gone {
            let written = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
            self.gone = written.is_err();
        }
    }
}

/// Returns a JSON object whose first field is its type.
fn object(kind: &str, fields: impl Serialize) -> String {
    let fields = serde_json::to_string(&fields).unwrap_or_default();
    match fields.strip_prefix('{') {
        Some(rest) if rest != "}" => format!("{{\"type\":\"{kind}\",{rest}"),
        _ => format!("{{\"type\":\"{kind}\"}}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn people_get_text_and_machines_get_objects() {
        let mut text = Output::new(false, Vec::new());
        text.say(|| "hello".to_owned(), "greeting", serde_json::json!({"to": "you"}));
        text.note("greeting", serde_json::json!({}));
        assert_eq!(text.out, b"hello\n");
        let mut json = Output::new(true, Vec::new());
        json.say(|| "hello".to_owned(), "greeting", serde_json::json!({"to": "you"}));
        let line: Value = serde_json::from_slice(&json.out).unwrap();
        assert_eq!(line, serde_json::json!({"type": "greeting", "to": "you"}));
    }

    #[test]
    fn what_nobody_reads_is_dropped() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(false, Closed);
        output.say(|| "hello".to_owned(), "greeting", ());
        assert!(output.is_gone());
    }
}
