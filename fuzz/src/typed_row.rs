//! The target for typed rows (promise C2).

use synrepl_core::{
    stream::{CATALOGUE, Row},
    typed::{
        AccountDataRow, CachesRow, DeviceListsRow, PresenceRow, PushRulesRow, PushersRow,
        ReceiptsRow, StreamRow as _, ToDeviceRow, TypedRow, TypingRow, parse, to_row,
    },
};

/// Checks a row, whose stream the first byte picks: if it parses and can be encoded, the encoding
/// parses to the same value; otherwise the error names the stream.
pub fn typed_row(data: &[u8]) {
    let Some((stream, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (stream, _) = CATALOGUE[usize::from(*stream) % CATALOGUE.len()];
    let row = Row::from(text);
    let typed = match parse(stream, &row) {
        Ok(typed) => typed,
        Err(error) => {
            assert_eq!(error.stream(), stream);
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(typed.stream(), stream);
    assert!(!format!("{typed:?}").is_empty());
    check_written(&typed, text);
}

/// Checks that an encoded row parses to a row with the same encoding.
macro_rules! read_again {
    ($row:expr, $type:ident, $check:expr) => {
        if let Ok(written) = to_row($row) {
            assert!(!written.as_str().contains(['\n', '\r']), "{written:?} is not one line");
            match $type::parse(&written) {
                Ok(read) => {
                    assert_eq!(to_row(&read).ok().as_ref(), Some(&written));
                    $check(read);
                }
                Err(error) => panic!("{written:?} was written of {:?}: {error}", $row),
            }
        }
    };
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other rows cannot be written")]
fn check_written(typed: &TypedRow<'_>, text: &str) {
    // Old forms have fields that are no longer encoded, and verbatim values lose their line breaks;
    // these streams have had one form only.
    let verbatim = !text.contains(['\n', '\r']);
    match typed {
        TypedRow::AccountData(row) => read_again!(row, AccountDataRow, drop),
        TypedRow::Caches(row) => {
            read_again!(row, CachesRow, |read| assert!(!verbatim || read == *row, "{read:?}"));
        }
        TypedRow::DeviceLists(row) => read_again!(row, DeviceListsRow, drop),
        TypedRow::Presence(row) => read_again!(row, PresenceRow, drop),
        TypedRow::PushRules(row) => read_again!(row, PushRulesRow, drop),
        TypedRow::Pushers(row) => {
            read_again!(row, PushersRow, |read| assert_eq!(read, *row));
        }
        TypedRow::Receipts(row) => read_again!(row, ReceiptsRow, drop),
        TypedRow::ToDevice(row) => read_again!(row, ToDeviceRow, drop),
        TypedRow::Typing(row) => {
            read_again!(row, TypingRow, |read| assert_eq!(read, *row));
        }
        _ => {}
    }
}
