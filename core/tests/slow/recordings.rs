//! The recordings of real servers in `tests/captures/`.

use std::{fs, path::Path};

pub(crate) fn capture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines that one side of direct TCP said, each with the name of its connection: `S<` is the
/// server's side and `C>` the client's.
pub(crate) fn said_on_tcp<'a>(
    recording: &'a str,
    side: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    recording.split_terminator('\n').filter_map(move |record| {
        let parts: Vec<_> = record.splitn(4, ' ').collect();
        let [_, connection, from, line] = parts[..] else { panic!("{record:?}") };
        (from == side).then_some((connection, line))
    })
}

/// A message of the recording of Redis.
#[derive(serde::Deserialize)]
pub(crate) struct Published {
    /// The second of the recording at which it came.
    pub(crate) t: f64,
    pub(crate) ch: String,
    pub(crate) m: String,
}

/// What a deployment of 1.163.2 published.
pub(crate) fn published_on_redis() -> Vec<Published> {
    let recording = capture("modern-redis.jsonl");
    recording.lines().map(|record| serde_json::from_str(record).expect("a message")).collect()
}
