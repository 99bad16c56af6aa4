//! The recorded runs against real servers: the same inputs give the same actions (promise C1).

use std::{fs, path::PathBuf};

use synrepl_core::trace::{End, Replayer};

#[test]
fn every_recorded_run_replays_without_a_difference() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces");
    let mut runs = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let text = fs::read(&path).expect("the trace can be read");
        let mut replayer = Replayer::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            replayer.line(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let replay =
            replayer.finish(b"").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(replay.end, End::Complete, "{}", path.display());
        assert!(replay.inputs > 1_000 && replay.actions > 1_000, "{replay:?}");
        runs += 1;
    }
    assert!(runs > 0, "there are recorded runs");
}
