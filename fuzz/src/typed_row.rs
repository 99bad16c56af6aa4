//! Rows as types.

use synrepl_core::{
    stream::{CATALOGUE, Row},
    typed::{
        AccountDataRow, CachesRow, DeviceListsRow, PresenceRow, PushRulesRow, PushersRow,
        ReceiptsRow, StreamRow as _, ToDeviceRow, TypedRow, TypingRow, parse, to_row,
    },
};

/// The first byte picks the stream, the rest is the row. A row that is read and can be written is
/// read again as what was written; any other gives an error that names the stream.
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

/// What is written reads as a row that is written alike.
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
    // Forms of the past have fields that are not written today, and verbatim values lose their
    // line breaks; these streams had one form only.
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
