//! Lines as a busy deployment sends them, made by `tests/corpus.py`. The same options give the same
//! bytes.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, exit},
};

use bytes::BytesMut;

/// Returns lines with their line feeds. The generator makes them with these options besides seed 1
/// and no PING, which exists only on direct TCP. They are kept in the target directory under
/// `name`.
pub(crate) fn lines(name: &str, options: &[&str]) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus.py");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("corpus-{name}.txt"));
    if is_older(&kept, &script) {
        generate(&script, options, &kept);
    }
    let bytes = fs::read(&kept).unwrap_or_else(|error| {
        give_up(&format!("cannot read {}: {error}", kept.display()));
    });
    assert_eq!(memchr::memchr_iter(b'\n', &bytes).count(), LINES, "lines in {}", kept.display());
    bytes
}

/// The number of lines in a corpus.
pub(crate) const LINES: usize = 100_000;

fn is_older(kept: &Path, script: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    match (modified(kept), modified(script)) {
        (Ok(kept), Ok(script)) => kept < script,
        (Err(_), _) => true,
        (_, Err(error)) => give_up(&format!("cannot find {}: {error}", script.display())),
    }
}

fn generate(script: &Path, options: &[&str], kept: &Path) {
    let unfinished: PathBuf = kept.with_extension("unfinished");
    let made = File::create(&unfinished).and_then(|output| {
        let lines = LINES.to_string();
        Command::new("python3")
            .arg(script)
            .args(["--seed", "1", "--lines", &lines, "--no-ping"])
            .args(options)
            .stdout(output)
            .status()
    });
    match made {
        Ok(status) if status.success() => {}
        Ok(status) => give_up(&format!("{} ended with {status}", script.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            give_up(
                "these benches need python3 (3.9 or later) in PATH: tests/corpus.py makes lines",
            );
        }
        Err(error) => give_up(&format!("cannot run python3 {}: {error}", script.display())),
    }
    fs::rename(&unfinished, kept)
        .unwrap_or_else(|error| give_up(&format!("cannot write {}: {error}", kept.display())));
}

#[expect(clippy::print_stderr, reason = "a bench has nobody else to tell")]
fn give_up(problem: &str) -> ! {
    eprintln!("{problem}");
    exit(2)
}

/// Returns the pieces in the form of reads from a socket of up to 64 KiB each. No piece is split
/// between two reads, because the cost of a rest that is carried over belongs to no line.
pub(crate) fn reads<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<BytesMut> {
    let mut reads: Vec<BytesMut> = Vec::new();
    for piece in pieces {
        match reads.last_mut() {
            Some(read) if read.len() + piece.len() <= READ_BYTES => read.extend_from_slice(piece),
            _ => {
                let mut read = BytesMut::with_capacity(READ_BYTES);
                read.extend_from_slice(piece);
                reads.push(read);
            }
        }
    }
    reads
}

/// The most bytes that one read from a socket returns.
const READ_BYTES: usize = 64 * 1024;
