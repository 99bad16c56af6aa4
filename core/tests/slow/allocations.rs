//! The budget of allocations for a received line, from its bytes in the read buffer to the drained
//! action, and of memory for a source that is live and idle. Counted exactly, after a warm-up, so
//! the numbers hold on every machine.

#![allow(clippy::unwrap_used, reason = "tests say what they expect")]

use std::hint::black_box;

use crate::bench::Bench;
use allocation_counter::measure;
use bytes::{BufMut as _, Bytes, BytesMut};
use synrepl_core::{
    Action, Config, Event, Input,
    wire::{Decoder, Frame, LineDecoder, RespDecoder, encode_command},
};

/// Lines that each figure is amortised over.
const LINES: usize = 10_000;
const READ_BYTES: usize = 64 * 1024;

/// What a node has emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Emitted {
    rows: usize,
    batches: usize,
    live: usize,
    others: usize,
}

struct Follower {
    bench: Bench,
    emitted: Emitted,
}

impl Follower {
    fn new(config: Config) -> Self {
        Self { bench: Bench::connected(config), emitted: Emitted::default() }
    }

    /// Every source of `lines` live at token 0, and all of them seen once.
    fn warmed_up(config: Config, streams: &[&str], lines: &mut impl FnMut() -> String) -> Self {
        let mut follower = Self::new(config);
        for stream in streams {
            follower.on_line(&Bytes::from(format!("POSITION {stream} w1 0 0")));
        }
        for _ in 0..2_000 {
            follower.on_line(&Bytes::from(lines()));
        }
        follower.emitted = Emitted::default();
        follower
    }

    fn on_line(&mut self, line: &Bytes) {
        let command = Decoder::new().decode(line).unwrap();
        self.bench.hand(Input::Received { conn: self.bench.conn(), command });
        while let Some(action) = self.bench.poll() {
            if let Action::Notify(Event::Rows { rows, .. }) = &action {
                self.emitted.rows += rows.len();
                self.emitted.batches += 1;
            } else if let Action::Notify(Event::Live { .. }) = &action {
                self.emitted.live += 1;
            } else {
                self.emitted.others += 1;
            }
            black_box(&action);
        }
    }
}

/// Read buffers with `LINES` of these lines, each framed by `frame`.
fn reads(
    mut line: impl FnMut() -> String,
    frame: impl Fn(&[u8], &mut BytesMut),
) -> (Vec<BytesMut>, usize) {
    let mut reads = vec![BytesMut::with_capacity(READ_BYTES)];
    for _ in 0..LINES {
        let mut framed = BytesMut::new();
        frame(line().as_bytes(), &mut framed);
        match reads.last_mut() {
            Some(read) if read.len() + framed.len() <= READ_BYTES => read.put(framed),
            _ => {
                let mut read = BytesMut::with_capacity(READ_BYTES);
                read.put(framed);
                reads.push(read);
            }
        }
    }
    let count = reads.len();
    (reads, count)
}

fn end_line(line: &[u8], out: &mut BytesMut) {
    out.put(line);
    out.put_u8(b'\n');
}

fn publish(line: &[u8], out: &mut BytesMut) {
    encode_command(&[b"message", b"matrix.example.org", line], out);
}

/// Allocations over all lines, less the one that each read buffer needs to be shared at all.
fn allocations_of_lines(follower: &mut Follower, line: impl FnMut() -> String) -> u64 {
    let (reads, count) = reads(line, end_line);
    let mut cutter = LineDecoder::new();
    let info = measure(|| {
        for mut read in reads {
            while let Some(line) = cutter.decode(&mut read).unwrap() {
                follower.on_line(&line);
            }
        }
    });
    info.count_total - count as u64
}

/// The lines of one writer, with rising tokens.
fn rows_of(stream: &str) -> impl FnMut() -> String + use<'_> {
    let mut token = 0;
    move || {
        token += 1;
        format!(r#"RDATA {stream} w1 {token} ["ev",["$e{token}",{{"b":[1,{{"c":[[]]}}]}}]]"#)
    }
}

#[test]
fn a_live_row_costs_no_allocation() {
    for stream in ["events", "receipts", "typing", "federation", "from_the_future"] {
        let mut rows = rows_of(stream);
        let mut follower = Follower::warmed_up(Config::default(), &[stream], &mut rows);
        assert_eq!(allocations_of_lines(&mut follower, rows), 0, "{stream}");
        let emitted = Emitted { rows: LINES, batches: LINES, ..Emitted::default() };
        assert_eq!(follower.emitted, emitted, "{stream}");
    }
}

#[test]
fn a_live_row_of_a_published_message_costs_no_allocation() {
    let mut rows = rows_of("events");
    let mut follower = Follower::warmed_up(Config::default(), &["events"], &mut rows);
    let (reads, count) = reads(rows, publish);
    let mut frames = RespDecoder::default();
    let info = measure(|| {
        for mut read in reads {
            while let Some(frame) = frames.decode(&mut read).unwrap() {
                let Frame::Message { payload, .. } = frame else { panic!("{frame:?}") };
                follower.on_line(&payload);
            }
        }
    });
    assert_eq!(info.count_total, count as u64, "one for each read buffer");
    assert_eq!(follower.emitted.rows, LINES);
}

/// A cut in front of the payload is not tried: of a message that is so far from whole, the parts
/// are taken one by one.
#[test]
fn a_published_message_costs_no_allocation_however_long_it_is_and_wherever_it_is_cut() {
    for length in [0, 9, 10, 12_345, 999_999] {
        let mut framed = BytesMut::new();
        publish(&vec![b'x'; length], &mut framed);
        let end = framed.len();
        let payload = end - length - b"\r\n".len();
        for cut in [payload, payload + length / 2, payload + length, end - 1, end] {
            let mut read = BytesMut::with_capacity(end);
            read.put_slice(&framed[..cut]);
            let mut frames = RespDecoder::default();
            let info = measure(|| {
                if cut < end {
                    assert_eq!(frames.decode(&mut read), Ok(None));
                    read.put_slice(&framed[cut..]);
                }
                let frame = frames.decode(&mut read);
                assert!(matches!(frame, Ok(Some(Frame::Message { .. }))), "{frame:?}");
            });
            assert_eq!(info.count_total, 1, "to share the buffer: {length} bytes, cut at {cut}");
        }
    }
}

#[test]
fn a_command_costs_one_allocation_of_little_more_than_its_size() {
    let long = [b'x'; 10_000];
    for args in [&[&b""[..]; 9][..], &[b"SUBSCRIBE"], &[b"PUBLISH", b"matrix.example.org", &long]] {
        let mut out = BytesMut::new();
        let info = measure(|| encode_command(args, &mut out));
        assert_eq!(info.count_total, 1, "{} arguments", args.len());
        assert!(out.capacity() < out.len() + 30 * (1 + args.len()), "{}", out.capacity());
    }
}

#[test]
fn a_row_that_is_remembered_costs_one_allocation() {
    // Whose repeats are suppressed: a copy of the row.
    let mut rows = rows_of("caches");
    let mut follower = Follower::warmed_up(Config::default(), &["caches"], &mut rows);
    let allocations = allocations_of_lines(&mut follower, rows);
    let lines = LINES as u64;
    assert!((lines..=lines + 2).contains(&allocations), "{allocations}: the table may move");
    assert_eq!(follower.emitted.rows, LINES);

    // Whose tokens are: a set, which grows by nodes of at most eleven.
    let mut rows = rows_of("device_lists");
    let mut follower = Follower::warmed_up(Config::default(), &["device_lists"], &mut rows);
    let allocations = allocations_of_lines(&mut follower, rows);
    assert!(allocations <= LINES as u64 / 4, "{allocations}");
    assert_eq!(follower.emitted.rows, LINES);
}

#[test]
fn a_position_that_says_nothing_new_costs_no_allocation() {
    let mut line = || "POSITION events w1 7 7".to_owned();
    let mut follower = Follower::warmed_up(Config::default(), &["events"], &mut line);
    assert_eq!(allocations_of_lines(&mut follower, line), 0);
    assert_eq!(follower.emitted, Emitted::default(), "not even an event");
    assert_eq!(follower.bench.node.stats().positions, 1 + 2_000 + LINES as u64);
}

#[test]
fn a_position_that_moves_a_source_costs_no_allocation() {
    let mut token = 0;
    let mut line = || {
        token += 1;
        format!("POSITION events w1 {} {token}", token - 1)
    };
    let mut follower = Follower::warmed_up(Config::default(), &["events"], &mut line);
    assert_eq!(allocations_of_lines(&mut follower, line), 0);
    assert_eq!(follower.emitted, Emitted { others: LINES, ..Emitted::default() });
}

#[test]
fn rows_under_our_own_name_cost_no_allocation() {
    let mut config = Config::default();
    config.instance = "w1".to_owned();
    let mut rows = rows_of("events");
    let mut follower = Follower::warmed_up(config, &["events"], &mut rows);
    assert_eq!(allocations_of_lines(&mut follower, rows), 0);
    assert_eq!(follower.emitted, Emitted::default());
    assert_eq!(follower.bench.node.stats().echoes, 1 + 2_000 + LINES as u64);
}

#[test]
fn rows_of_a_stream_that_is_not_wanted_cost_no_allocation() {
    let mut config = Config::default();
    config.streams = Some(["typing".to_owned()].into());
    let mut rows = rows_of("events");
    let mut follower = Follower::warmed_up(config, &["events"], &mut rows);
    assert_eq!(allocations_of_lines(&mut follower, rows), 0);
    assert_eq!(follower.emitted, Emitted::default());
    assert_eq!(follower.bench.node.stats().ignored, 1 + 2_000 + LINES as u64);
}

/// Every row but the last is copied out of the read buffer; then there is the batch itself, and
/// its list, which starts with room for four and doubles.
#[test]
fn a_batch_costs_an_allocation_a_row_and_one_for_each_doubling_of_its_list() {
    for size in [2_usize, 4, 5, 8, 9, 100, 1_000] {
        let mut number = 0;
        let mut line = || {
            number += 1;
            let token = number / size;
            let token = if number % size == 0 { token.to_string() } else { "batch".to_owned() };
            format!(r#"RDATA events w1 {token} ["ev",["$event{number}"]]"#)
        };
        let mut follower = Follower::warmed_up(Config::default(), &["events"], &mut line);
        // The warm-up ends between two batches.
        let whole = LINES / size * size;
        (0..(size - 2_000 % size) % size).for_each(|_| follower.on_line(&Bytes::from(line())));
        follower.emitted = Emitted::default();
        let doublings = u64::from(size.next_power_of_two().max(4).ilog2()) - 1;
        let per_batch = (size as u64 - 1) + 1 + doublings;
        let mut lines = Vec::with_capacity(whole);
        lines.extend((0..whole).map(|_| Bytes::from(format!("{}\n", line()))));
        let lines: Vec<Bytes> = lines.iter().map(|line| line.slice(..line.len() - 1)).collect();
        let info = measure(|| lines.iter().for_each(|line| follower.on_line(line)));
        assert_eq!(info.count_total, per_batch * (whole / size) as u64, "batches of {size}");
        let emitted = Emitted { rows: whole, batches: whole / size, ..Emitted::default() };
        assert_eq!(follower.emitted, emitted, "batches of {size}");
    }
}

#[test]
fn an_idle_source_takes_less_than_256_bytes_and_its_names() {
    const SOURCES: usize = 100_000;
    let mut config = Config::default();
    config.limits.sources_max = u32::try_from(SOURCES).unwrap();
    let mut names = 0;
    let lines: Vec<Bytes> = (0..SOURCES)
        .map(|number| {
            let (stream, instance) = ("events", format!("event_persister-{number}"));
            names += stream.len() + instance.len();
            Bytes::from(format!("POSITION {stream} {instance} 7 7"))
        })
        .collect();
    let mut follower = None;
    let info = measure(|| {
        let mut node = Follower::new(config);
        lines.iter().for_each(|line| node.on_line(line));
        follower = Some(node);
    });
    let follower = follower.unwrap();
    assert_eq!(follower.emitted.live, SOURCES);
    assert_eq!(follower.bench.node.stats().sources_now, SOURCES as u64);
    let each = (u64::try_from(info.bytes_current).unwrap() - names as u64) / SOURCES as u64;
    assert!(each < 256, "{each} bytes a source");
    println!("{each} bytes a source, and its names");
}
