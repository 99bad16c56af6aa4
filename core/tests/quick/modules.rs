//! Every file of tests is a module of a `main.rs`: one that is not would never be built.

use std::{fs, path::Path};

#[test]
fn every_file_of_tests_is_a_module() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for binary in ["quick", "slow"] {
        let folder = tests.join(binary);
        let main = fs::read_to_string(folder.join("main.rs")).expect("a main.rs");
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy();
            let is_source = path.is_dir() || path.extension().is_some_and(|end| end == "rs");
            if is_source && stem != "main" {
                assert!(main.contains(&format!("mod {stem};")), "{binary}/main.rs: {stem}");
            }
        }
    }
}
