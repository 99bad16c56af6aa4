//! The cases that are measured. Each is a whole pass over a corpus.

use std::{fmt::Write as _, hint::black_box, rc::Rc, time::Duration};

use bytes::BytesMut;
use synrepl_core::wire::{Command, Decoder, Frame, LineDecoder, RespDecoder, encode_command};

use super::{
    corpus::{LINES, lines, reads},
    cpu_time,
    floor::{self, Floor},
    follower::Follower,
};

/// A group of cases that read the same bytes.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// One way to read the bytes of a group.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The number of lines or messages that one pass reads.
    pub(crate) lines: usize,
    pass: Box<dyn Fn() -> Duration>,
}

impl Case {
    fn new(name: &'static str, pass: impl Fn() -> Duration + 'static) -> Self {
        let case = Self { name, lines: LINES, pass: Box::new(pass) };
        // A case whose checks fail does so here, before anything is measured.
        case.pass();
        case
    }

    /// Runs one pass, and returns its CPU time without its preparation.
    pub(crate) fn pass(&self) -> Duration {
        (self.pass)()
    }
}

/// Returns all cases, in their groups.
pub(crate) fn all() -> Vec<Group> {
    let mix: Rc<[u8]> = lines("mix", &[]).into();
    vec![
        Group {
            name: "lines",
            cases: vec![
                floor_case("floor: fields", &mix, Floor::Fields),
                floor_case("floor: fields, UTF-8", &mix, Floor::Utf8),
                floor_case("floor: fields, UTF-8, validated JSON", &mix, Floor::Validated),
                floor_case("floor: fields, UTF-8, RawValue", &mix, Floor::RawValue),
                decode_case("decode", &mix, Decoder::new()),
                decode_case("decode, not validated", &mix, Decoder::new().without_row_validation()),
                handle_case("handle", &mix),
                notify_case("bytes to Notify", &mix, Decoder::new()),
                notify_case("bytes to Notify, not validated", &mix, not_validating()),
            ],
        },
        Group { name: "RESP2", cases: messages_cases(&mix) },
        Group {
            name: "events of N writers",
            cases: ["1", "10", "1000"]
                .iter()
                .zip(["1 writer", "10 writers", "1,000 writers"])
                .map(|(writers, name)| {
                    let options = ["--streams", "events", "--writers", writers];
                    let lines = lines(&format!("events-{writers}"), &options);
                    notify_case(name, &lines, Decoder::new())
                })
                .collect(),
        },
        Group {
            name: "batches of N rows",
            cases: [1, 10, 100]
                .iter()
                .zip(["1 row", "10 rows", "100 rows"])
                .map(|(size, name)| {
                    let singles = lines("events-1", &["--streams", "events", "--writers", "1"]);
                    notify_case(name, &in_batches(&singles, *size), Decoder::new())
                })
                .collect(),
        },
    ]
}

const fn not_validating() -> Decoder {
    Decoder::new().without_row_validation()
}

fn floor_case(name: &'static str, lines: &Rc<[u8]>, floor: Floor) -> Case {
    let (lines, rows) = (Rc::clone(lines), rows_in(lines));
    Case::new(name, move || {
        let (time, read) = cpu_time::measure(|| floor::read(&lines, floor));
        assert_eq!(read, rows);
        time
    })
}

fn decode_case(name: &'static str, lines: &[u8], decoder: Decoder) -> Case {
    let (reads, rows) = (reads(each_line(lines)), rows_in(lines));
    Case::new(name, move || {
        let reads = reads.clone();
        let (time, decoded) = cpu_time::measure(|| {
            let mut cutter = LineDecoder::new();
            let mut decoded = 0;
            for mut read in reads {
                while let Some(line) = cutter.decode(&mut read).expect("short lines") {
                    let command = decoder.decode(&line).expect("a command");
                    decoded += u64::from(matches!(command, Command::Rdata(_)));
                    black_box(command);
                }
            }
            decoded
        });
        assert_eq!(decoded, rows);
        time
    })
}

/// The case of the node alone: the commands are decoded before the time is measured.
fn handle_case(name: &'static str, lines: &[u8]) -> Case {
    let (rows, live) = (rows_in(lines), Follower::live(lines, Decoder::new()));
    let mut cutter = LineDecoder::new();
    let mut commands = Vec::with_capacity(LINES);
    for mut read in reads(each_line(lines)) {
        while let Some(line) = cutter.decode(&mut read).expect("short lines") {
            commands.push(Decoder::new().decode(&line).expect("a command"));
        }
    }
    Case::new(name, move || {
        let (commands, mut follower) = (commands.clone(), live.clone());
        let (time, ()) = cpu_time::measure(|| {
            for command in commands {
                follower.on_command(command);
            }
        });
        assert_eq!(follower.rows, rows);
        time
    })
}

fn notify_case(name: &'static str, lines: &[u8], decoder: Decoder) -> Case {
    let (reads, rows) = (reads(each_line(lines)), rows_in(lines));
    let live = Follower::live(lines, decoder);
    Case::new(name, move || {
        let (mut follower, reads) = (live.clone(), reads.clone());
        let (time, ()) = cpu_time::measure(|| follower.on_lines(reads));
        assert_eq!(follower.rows, rows);
        time
    })
}

fn messages_cases(lines: &[u8]) -> Vec<Case> {
    let rows = rows_in(lines);
    let messages: Vec<BytesMut> = each_line(lines)
        .map(|line| {
            let line = line.strip_suffix(b"\n").expect("a whole line");
            // A message has the form of a command: an array of bulk strings.
            let mut message = BytesMut::new();
            encode_command(&[b"message", b"matrix.example.org", line], &mut message);
            message
        })
        .collect();
    let bytes: Vec<u8> = messages.concat();
    let reads: Rc<[BytesMut]> = reads(messages.iter().map(|message| &message[..])).into();
    let framing = Rc::clone(&reads);
    let mut cases = vec![
        Case::new("floor: framing, fields", move || {
            let (time, read) = cpu_time::measure(|| floor::read_messages(&bytes));
            assert_eq!(read, rows);
            time
        }),
        Case::new("framing", move || {
            let reads = framing.to_vec();
            let (time, count) = cpu_time::measure(|| {
                let mut decoder = RespDecoder::default();
                let mut count = 0;
                for mut read in reads {
                    while let Some(frame) = decoder.decode(&mut read).expect("RESP2") {
                        count += usize::from(matches!(frame, Frame::Message { .. }));
                        black_box(frame);
                    }
                }
                count
            });
            assert_eq!(count, LINES);
            time
        }),
    ];
    for (name, decoder) in
        [("bytes to Notify", Decoder::new()), ("bytes to Notify, not validated", not_validating())]
    {
        let (reads, live) = (Rc::clone(&reads), Follower::live(lines, decoder));
        cases.push(Case::new(name, move || {
            let (mut follower, reads) = (live.clone(), reads.to_vec());
            let (time, ()) = cpu_time::measure(|| follower.on_messages(reads));
            assert_eq!(follower.rows, rows);
            time
        }));
    }
    cases
}

/// The lines, with their line feeds.
fn each_line(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.split_inclusive(|byte| *byte == b'\n')
}

fn rows_in(lines: &[u8]) -> u64 {
    each_line(lines).filter(|line| line.starts_with(b"RDATA ")).count() as u64
}

/// The rows of one writer in batches: `size` rows share one token. Other commands are left out.
fn in_batches(lines: &[u8], size: usize) -> Vec<u8> {
    let text = std::str::from_utf8(lines).expect("UTF-8");
    let mut out = String::with_capacity(text.len());
    let rows = text.lines().filter(|line| line.starts_with("RDATA ")).cycle().take(LINES);
    for (number, line) in rows.enumerate() {
        let mut fields = line.splitn(5, ' ');
        let (stream, instance) = (fields.nth(1).expect("stream"), fields.next().expect("name"));
        let row = fields.nth(1).expect("a row");
        let place = number + 1;
        write!(out, "RDATA {stream} {instance} ").expect("memory");
        if place.is_multiple_of(size) || place == LINES {
            writeln!(out, "{} {row}", place + 1).expect("memory");
        } else {
            writeln!(out, "batch {row}").expect("memory");
        }
    }
    out.into_bytes()
}
