//! What a node really holds, whatever the shape of what it receives: counted by the allocator, and
//! compared with the limit that is to bound it (F9). The rows are of two bytes or of many, from one
//! source or from many, and every limit in rows is out of the way.
//!
//! `REWRITE=1 cargo test -p synrepl-core --test slow memory` writes the table of `docs/memory.md`
//! anew.

use std::{env, fmt::Write as _, fs, path::Path};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use synrepl_core::{
    Config, Input, Transport,
    wire::{Decoder, Dialect, LineDecoder},
};

use crate::bench::Bench;

/// The limit of each queue, in bytes.
const LIMIT: u32 = 1 << 20;
/// The size of a read buffer, a part of which stands for all of it as long as it is kept.
const READ_BYTES: usize = 64 * 1024;

/// A queue, and how it is filled.
struct Queue {
    name: &'static str,
    limit: &'static str,
    configure: fn(&mut Config),
    /// What makes the source of this number ready to keep something.
    ready: fn(usize) -> Vec<String>,
    /// The line that adds an entry of this number to the queue of a source, with a row.
    entry: fn(usize, usize, &str) -> String,
    /// Whether an entry has a row at all.
    has_text: bool,
    /// Whether each source has a limit of its own and none is for all together.
    is_per_source: bool,
}

fn unlimited(config: &mut Config) {
    let limits = &mut config.limits;
    limits.batch_rows_max = u32::MAX;
    limits.held_rows_max = u32::MAX;
    limits.burst_rows_max = u32::MAX;
    limits.repeat_window_rows_max = u32::MAX;
    limits.batch_bytes_max = u32::MAX;
    limits.held_bytes_max = u32::MAX;
    limits.burst_bytes_max = u32::MAX;
    limits.repeat_window_bytes_max = u32::MAX;
    limits.kept_bytes_total_max = LIMIT.into();
    limits.held_bytes_total_max = LIMIT.into();
    config.catch_up.in_band_rows_max = u32::MAX;
    config.catch_up.in_band_bytes_max = LIMIT;
    config.catch_up.fetches_in_flight_max = u32::MAX;
}

fn queues() -> [Queue; 7] {
    [
        Queue {
            name: "open batches",
            limit: "`limits.kept_bytes_total_max`",
            configure: |_| {},
            ready: |source| vec![format!("POSITION events w{source} 1 1")],
            entry: |source, _, row| format!("RDATA events w{source} batch {row}"),
            has_text: true,
            is_per_source: false,
        },
        Queue {
            name: "open bursts, rising",
            limit: "`limits.kept_bytes_total_max`",
            configure: |_| {},
            ready: |source| vec![format!("POSITION backfill w{source} 1 1")],
            entry: |source, number, row| format!("RDATA backfill w{source} {} {row}", number + 2),
            has_text: true,
            is_per_source: false,
        },
        Queue {
            name: "open bursts, falling",
            limit: "`limits.kept_bytes_total_max`",
            configure: |_| {},
            ready: |source| vec![format!("POSITION backfill w{source} 1 1")],
            entry: |source, number, row| {
                format!("RDATA backfill w{source} {} {row}", 1_000_000_000 - number)
            },
            has_text: true,
            is_per_source: false,
        },
        Queue {
            name: "rows remembered to know repeats",
            limit: "`limits.kept_bytes_total_max`",
            configure: |_| {},
            ready: |source| vec![format!("POSITION caches w{source} 1 1")],
            entry: |source, number, row| format!("RDATA caches w{source} {} {row}", number + 2),
            has_text: true,
            is_per_source: false,
        },
        Queue {
            name: "held rows",
            limit: "`limits.held_bytes_total_max`",
            configure: |_| {},
            ready: |source| {
                vec![
                    format!("POSITION events w{source} 1 1"),
                    format!("POSITION events w{source} 9 9"),
                ]
            },
            entry: |source, number, row| format!("RDATA events w{source} {} {row}", number + 10),
            has_text: true,
            is_per_source: false,
        },
        Queue {
            name: "held announcements",
            limit: "`limits.held_bytes_total_max`",
            configure: |_| {},
            ready: |source| {
                vec![
                    format!("POSITION events w{source} 1 1"),
                    format!("POSITION events w{source} 9 9"),
                ]
            },
            entry: |source, number, _| {
                let at = 10 * number + 20;
                format!("POSITION events w{source} {at} {at}")
            },
            has_text: false,
            is_per_source: false,
        },
        Queue {
            name: "answers of the oldest dialect",
            limit: "`catch_up.in_band_bytes_max`, each",
            configure: |config| {
                config.transport = Transport::Tcp(Dialect::V0_23);
                config.streams = Some((0..SOURCES).map(|source| format!("s{source}")).collect());
                let at_one = (0..SOURCES).map(|source| (format!("s{source}"), 1));
                let positions: std::collections::BTreeMap<_, _> = at_one
                    .map(|(stream, at)| {
                        (stream, std::collections::BTreeMap::from([("master", at)]))
                    })
                    .collect();
                let text = serde_json::to_string(&positions).expect("they are JSON");
                config.positions = serde_json::from_str(&text).expect("they are positions");
            },
            ready: |source| vec![format!("POSITION s{source} 9")],
            entry: |source, number, row| format!("RDATA s{source} {} {row}", number + 2),
            has_text: true,
            is_per_source: true,
        },
    ]
}

/// How many sources there are where there are many.
const SOURCES: usize = 2_000;

/// Hands the node a line, at the beginning of a read buffer of its own, as it is on a quiet
/// connection.
fn hear(bench: &mut Bench, line: &str) {
    let mut read = BytesMut::with_capacity(READ_BYTES);
    read.extend_from_slice(line.as_bytes());
    read.extend_from_slice(b"\n");
    let line: Bytes = LineDecoder::new().decode(&mut read).expect("a line").expect("whole");
    let command = Decoder::new().decode(&line).expect("a good line");
    let conn = bench.conn();
    bench.hand(Input::Received { conn, command });
    while bench.poll().is_some() {}
}

/// What a queue holds, beyond what a node holds whose sources are ready.
struct Filled {
    /// The most bytes, as entries are added until the limit has been reached many times over.
    peak: u64,
    /// The bytes of an entry beside its text, while half of the limit is held.
    each: f64,
}

fn filled(queue: &Queue, sources: usize, row: &str) -> Filled {
    let mut config = Config::default();
    // The rows that a source is known again by are no queue.
    config.continuity.continuity = false;
    unlimited(&mut config);
    (queue.configure)(&mut config);
    let is_oldest = matches!(config.transport, Transport::Tcp(_));
    let mut bench = Bench::connected(config);
    if is_oldest {
        hear(&mut bench, "SERVER hs");
    }
    for source in 0..sources {
        (queue.ready)(source).iter().for_each(|line| hear(&mut bench, line));
    }
    let text = if queue.has_text { row.len() } else { 0 };
    let entries = (2 * LIMIT as usize / text.max(24)).min(60_000);
    let (mut peak, mut held, mut each) = (0_i64, 0_i64, 0.0);
    for number in 0..entries {
        let line = (queue.entry)(number % sources, number / sources, row);
        let info = measure(|| hear(&mut bench, &line));
        held += info.bytes_current;
        peak = peak.max(held);
        if peak < i64::from(LIMIT / 2) {
            each = held as f64 / (number + 1) as f64 - text as f64;
        }
    }
    Filled { peak: u64::try_from(peak).expect("it holds something"), each }
}

#[test]
fn what_is_held_stays_within_twice_the_limit_whatever_its_shape() {
    let long = format!("[\"{}\"]", "x".repeat(996));
    let mut table = String::from(
        "| queue | limit | 2 bytes, one source | 2 bytes, many | 1,000 bytes, one source | 1,000 bytes, many |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for queue in queues() {
        write!(table, "| {} | {} |", queue.name, queue.limit).expect("a string takes it");
        for row in ["[]", &long] {
            for sources in [1, SOURCES] {
                if row.len() > 2 && !queue.has_text {
                    table.push_str(" |");
                    continue;
                }
                let Filled { peak, each } = filled(&queue, sources, row);
                let limits = if queue.is_per_source { sources as u64 } else { 1 };
                let limit = u64::from(LIMIT) * limits;
                let name = queue.name;
                assert!(
                    peak <= 2 * limit,
                    "{name}, {sources} sources, rows of {}: {peak} bytes are held, allowed are {limit}",
                    row.len()
                );
                write!(table, " {each:.0} |").expect("a string takes it");
            }
        }
        table.push('\n');
    }
    println!("{table}");
    compare(&table);
}

#[test]
fn users_of_others_take_what_is_said_and_nothing_when_they_are_gone() {
    const PAIRS: usize = 2_000;
    for users_of_each in [1, PAIRS] {
        let mut config = Config::default();
        config.users.presence_writer = true;
        config.users.syncing_users_max = u32::try_from(PAIRS).expect("a few");
        let mut bench = Bench::connected(config);
        hear(&mut bench, "USER_SYNC first @first:hs - start 1");
        hear(&mut bench, "CLEAR_USER_SYNC first");
        let report = |number: usize, state: &str| {
            let process = number / users_of_each;
            format!("USER_SYNC process{process} @user{number}:hs DEVICE start 1")
                .replace("start", state)
        };
        let held = measure(|| {
            (0..3 * PAIRS).for_each(|number| hear(&mut bench, &report(number, "start")));
        });
        let each = held.bytes_current as f64 / PAIRS as f64;
        assert!(each < 700.0, "{users_of_each} users of each process: {each:.0} bytes a pair");
        let freed = measure(|| {
            (0..3 * PAIRS).for_each(|number| hear(&mut bench, &report(number, "end")));
        });
        let left = held.bytes_current + freed.bytes_current;
        assert!(left < 4_096, "{users_of_each} users of each process: {left} bytes are left");
    }
}

/// Asserts that the table stands in the document, or writes it there.
fn compare(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/memory.md");
    let document = fs::read_to_string(&path).expect("the document is there");
    let mark = "<!-- table: bytes -->\n";
    let start = document.find(mark).expect("it has a place for the table") + mark.len();
    let end = document[start..].find("\n\n").map_or(document.len(), |end| start + end + 1);
    if env::var_os("REWRITE").is_some() {
        let text = format!("{}{table}{}", &document[..start], &document[end..]);
        fs::write(&path, text).expect("the document can be written");
        return;
    }
    assert_eq!(&document[start..end], table, "REWRITE=1 writes it anew");
}
