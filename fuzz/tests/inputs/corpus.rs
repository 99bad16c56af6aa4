//! Every committed input, on stable Rust: the corpora, and the findings that must stay fixed.

use std::{fs, path::Path};

use synrepl_fuzz::files_in;

#[expect(clippy::print_stdout, reason = "shown only if the target panics on the file named last")]
fn replay(name: &str, target: fn(&[u8])) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = files_in(&package.join("corpus").join(name)).expect("the corpus can be read");
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let findings = files_in(&package.join("findings").join(name)).expect("they can be read");
    for path in corpus.iter().chain(&findings) {
        println!("{}", path.display());
        target(&fs::read(path).expect("the file can be read"));
    }
}

macro_rules! replays {
    ($($test:ident: $target:ident,)*) => {
        $(
            #[test]
            fn $test() {
                replay(stringify!($target), synrepl_fuzz::$target);
            }
        )*

        /// All targets, by the names of their folders.
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
    };
}

replays! {
    no_line_is_read_and_written_differently: command,
    no_chunking_changes_the_lines: line,
    no_chunking_changes_the_frames: resp,
    no_page_is_read_and_written_differently: page,
    no_row_is_read_and_written_differently: typed_row,
    no_list_of_inputs_breaks_a_promise: core_inputs,
    no_trace_makes_the_replayer_panic: trace,
    no_scenario_breaks_a_promise: scenario,
    the_core_follows_as_a_plain_follower_does: reference_follower,
}

#[test]
fn every_folder_of_inputs_belongs_to_a_target() {
    for folder in ["corpus", "findings"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for path in files_in(&folder).expect("the folder can be read") {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(TARGETS.contains(&name), "{} is replayed by nothing", path.display());
        }
    }
}
