//! The encoding of commands as lines that the other side accepts.

use bytes::{BufMut as _, BytesMut};
use synrepl_core::wire::{Command, Dialect, EncodeError, LINE_BYTES_MAX, encode};
use thiserror::Error;

/// The reason why a command cannot be sent as a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LineError {
    /// The command has no form in the dialect.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The line of the command is so long that it would end the connection at the other side.
    #[error("{command}: its line has {bytes} bytes; direct TCP takes at most {LINE_BYTES_MAX}")]
    TooLong { command: &'static str, bytes: usize },
}

/// Appends `command` with its delimiter to `out`; on an error `out` is as it was.
pub(super) fn append(
    command: &Command,
    dialect: Dialect,
    out: &mut BytesMut,
) -> Result<(), LineError> {
    let start = out.len();
    encode(command, dialect, out)?;
    let bytes = out.len() - start;
    if bytes > LINE_BYTES_MAX {
        out.truncate(start);
        return Err(LineError::TooLong { command: command.name(), bytes });
    }
    out.put_u8(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(bytes: usize) -> Command {
        Command::Ping("x".repeat(bytes - "PING ".len()).into())
    }

    #[test]
    fn the_longest_line_is_sent_and_one_byte_more_is_not() {
        let mut out = BytesMut::from(&b"before\n"[..]);
        append(&ping(LINE_BYTES_MAX), Dialect::LATEST, &mut out).unwrap();
        assert_eq!(out.len(), "before\n".len() + LINE_BYTES_MAX + 1);
        let before = out.clone();
        let error = append(&ping(LINE_BYTES_MAX + 1), Dialect::LATEST, &mut out).unwrap_err();
        assert_eq!(error, LineError::TooLong { command: "PING", bytes: LINE_BYTES_MAX + 1 });
        assert_eq!(out, before);
    }

    #[test]
    fn a_command_without_a_form_leaves_no_trace() {
        let mut out = BytesMut::new();
        let error = append(&Command::Ping("a\nb".into()), Dialect::LATEST, &mut out).unwrap_err();
        assert!(matches!(error, LineError::Encode(_)), "{error}");
        assert!(out.is_empty());
    }
}
