//! The places in the source that use the text of a secret: each new one has to be reviewed. That no
//! secret is printed is shown from outside, in `hostile_servers` and `hostile_peers`.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The lines of what ships that take a secret's text, by file, tests left out.
fn uses() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["core/src", "io-tokio/src", "io-tokio/cli/src"];
    let mut folders: Vec<PathBuf> = crates.map(|at| root.join(at)).into();
    let mut uses = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().unwrap() == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines: Vec<String> = shipped
                .lines()
                .filter(|line| line.contains(".expose()"))
                .map(|line| line.trim().to_owned())
                .collect();
            if !lines.is_empty() {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                uses.insert(name, lines);
            }
        }
    }
    uses
}

#[test]
fn a_secret_s_text_goes_to_the_wire_or_into_a_comparison_in_constant_time() {
    let found = uses();
    let expected = [
        // This is the only secret that others send to be compared: `ct_eq` of the crate `subtle`
        // compares it.
        ("io-tokio/src/http/server/authorization.rs", vec!["given.ct_eq(secret.expose()"]),
        // These secrets go to the server that is meant to have them.
        ("io-tokio/src/http/client.rs", vec!["format!(\"Bearer {}\", secret.expose()"]),
        ("io-tokio/src/redis/login.rs", vec!["let password = password.expose()"]),
        ("core/src/wire/encode.rs", vec!["ip.access_token.expose()", "ip.access_token.expose()"]),
        // This secret goes into a URL, which is shown without it.
        ("io-tokio/cli/src/address.rs", vec!["utf8_percent_encode(password.expose()"]),
    ];
    assert_eq!(found.len(), expected.len(), "a new place to look at: {found:#?}");
    for (file, words) in expected {
        let lines = found.get(file).unwrap_or_else(|| panic!("no longer in {file}: {found:#?}"));
        assert_eq!(lines.len(), words.len(), "{file}: {lines:#?}");
        for (line, word) in lines.iter().zip(words) {
            assert!(line.contains(word), "{file}: {line}");
        }
    }
}
