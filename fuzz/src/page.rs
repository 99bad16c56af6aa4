//! The target for the pages of a catch-up (promise C2).

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use synrepl_core::{
    stream::Page,
    wire::{decode_page, encode_page},
};

/// Checks that a body which parses as a page is encoded so that it parses again, and has the
/// contents that a plain JSON parser finds; any other body gives an error that can be printed.
pub fn page(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let page = match decode_page(&body) {
        Ok(page) => page,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut written = BytesMut::new();
    encode_page(&page, &mut written);
    assert_eq!(decode_page(&written.freeze()).as_ref(), Ok(&page));
    // `serde_json::Value` refuses lone surrogates and deep nesting, which a page may have.
    if let Ok(tree) = serde_json::from_slice(data) {
        check_tree(&page, &tree);
    }
}

fn check_tree(page: &Page, tree: &Value) {
    assert_eq!(integer(&tree["upto_token"]), Some(page.upto.get()));
    assert_eq!(tree["limited"].as_bool(), Some(page.limited));
    let updates = tree["updates"].as_array();
    assert_eq!(updates.map(Vec::len), Some(page.updates.len()));
    for ((token, row), update) in page.updates.iter().zip(updates.into_iter().flatten()) {
        assert_eq!(integer(&update[0]), Some(token.get()));
        assert_eq!(row.parse::<Value>().ok().as_ref(), update.get(1));
    }
}

/// Returns an integer. `serde_json` parses `-0` as a float.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| (value.as_f64() == Some(0.0)).then_some(0))
}
