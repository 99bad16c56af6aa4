//! The target for commands: decoding is total (promise C2), and encoding is its inverse as far as
//! the dialect allows.

use bytes::{Bytes, BytesMut};
use synrepl_core::wire::{Command, Decoder, Dialect, encode};

use crate::carried::as_carried;

/// Checks that any line decodes to a command or a typed error, and that each dialect which can
/// encode the command writes one line that decodes to what the dialect can carry of it.
pub fn command(data: &[u8]) {
    let line = Bytes::copy_from_slice(data);
    let strict = Decoder::new().decode(&line);
    let lax = Decoder::new().without_row_validation().decode(&line);
    match (&strict, &lax) {
        (Ok(strict), lax) => assert_eq!(lax.as_ref(), Ok(strict), "validation only refuses"),
        (Err(error), _) => {
            assert!(error.offset() <= line.len(), "{error}");
            assert!(!format!("{error} {error:?}").is_empty());
        }
    }
    if let Ok(command) = &lax {
        let decoder =
            if strict.is_ok() { Decoder::new() } else { Decoder::new().without_row_validation() };
        for dialect in Dialect::ALL {
            check_written(command, dialect, decoder);
        }
    }
}

fn check_written(command: &Command, dialect: Dialect, decoder: Decoder) {
    const BEFORE: &[u8] = b"PING 1\n";
    let mut out = BytesMut::from(BEFORE);
    if let Err(error) = encode(command, dialect, &mut out) {
        assert_eq!(out, BEFORE, "{error}");
        return;
    }
    let line = out.split_off(BEFORE.len()).freeze();
    assert!(!line.contains(&b'\n'), "{line:?} is more than one line");
    let Some(expected) = as_carried(command, dialect) else { return };
    assert_eq!(decoder.decode(&line).as_ref(), Ok(&expected), "{dialect}: {line:?}");
}
