//! Every file that a document names exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders from which a path in a document starts; `core/` alone would be a word of prose.
const ROOTS: [&str; 7] = ["core/", "io-tokio/", "sim/", "fuzz/", "tests/", "docs/", ".ci/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What runs write, and git ignores.
const WRITTEN: [&str; 2] = ["fuzz/artifacts/", "fuzz/scratch/"];

/// Paths in backticks that are no patterns.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let path = quoted.split([' ', ':']).next()?;
        let starts = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        (starts(&ROOTS) && !starts(&WRITTEN) && !path.contains(['*', '<', '{'])).then_some(path)
    })
}

#[test]
fn every_file_that_a_document_names_exists() {
    let root = root();
    let mut documents: Vec<_> = ["core", "io-tokio", "sim", "fuzz", "tests"]
        .map(|folder| root.join(folder).join("README.md"))
        .into();
    for folder in [root.clone(), root.join("docs")] {
        let entries = fs::read_dir(folder).expect("the folder is there");
        documents.extend(entries.map(|entry| entry.expect("it can be listed").path()));
    }
    documents.retain(|path| path.extension().is_some_and(|end| end == "md") && path.exists());
    let mut named = 0;
    let mut missing = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).expect("the document is text");
        // What is fenced is output or code.
        let prose: String = text.split("```").step_by(2).collect();
        for path in paths(&prose) {
            named += 1;
            // Some name what lies beside them.
            let beside = document.with_file_name(path);
            if !root.join(path).exists() && !beside.exists() {
                missing.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(named > 50, "only {named} paths were found: the search is broken");
}
