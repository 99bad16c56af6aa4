//! The kept scenarios, which once broke a promise or catch a planted bug, played again in the
//! simulation: every promise holds, and every bug of the simulated driver is caught.

use std::{fs, path::Path};

use synrepl_sim::Kept;

#[test]
fn every_kept_scenario_holds_its_promises_and_catches_its_bug() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "{} files in {}", files.len(), folder.display());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let kept: Kept = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(error) = kept.replay() {
            panic!("{}: {error}", file.display());
        }
    }
}
