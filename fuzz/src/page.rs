//! Pages of a catch-up.

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use synrepl_core::{
    stream::Page,
    wire::{decode_page, encode_page},
};

/// A body that is a page is written so that it is read again, and reads as a plain JSON reader
/// reads it; any other gives an error that can be shown.
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
    // Not every page is one for `serde_json`'s tree: it refuses lone surrogates and deep nesting.
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

/// `serde_json` takes `-0` for a float.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| (value.as_f64() == Some(0.0)).then_some(0))
}
