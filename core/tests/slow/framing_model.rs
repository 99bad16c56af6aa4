//! The two framings, lines of direct TCP and RESP2 (`protocol.md` 1.2, 1.3), with bytes arriving in
//! any pieces, against decoders that read all bytes anew each time.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use synrepl_core::wire::{
    Frame, LINE_BYTES_MAX, LineDecoder, LineTooLong, RespDecoder, RespErrorKind, RespLimits,
};

/// What can happen to either decoder.
#[derive(Clone, Debug)]
enum Step<T> {
    /// The peer sends something: it is on its way.
    Send(T),
    /// So many bytes arrive.
    Arrive(usize),
    /// The decoder is asked for the next thing.
    Take,
}

fn steps<T: Clone + std::fmt::Debug + 'static>(
    sends: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Step<T>> {
    prop_oneof![
        3 => sends.prop_map(Step::Send),
        3 => prop_oneof![4 => 0_usize..40, 1 => Just(usize::MAX)].prop_map(Step::Arrive),
        4 => Just(Step::Take),
    ]
    .boxed()
}

/// Bytes on their way, and bytes that have arrived and were not taken.
#[derive(Clone, Debug, Default)]
struct Wire {
    under_way: VecDeque<u8>,
    arrived: Vec<u8>,
}

impl Wire {
    fn arrive(&mut self, count: usize) -> Vec<u8> {
        let bytes: Vec<_> = self.under_way.drain(..count.min(self.under_way.len())).collect();
        self.arrived.extend_from_slice(&bytes);
        bytes
    }
}

/// The decoder under test with its buffer and the bytes that are on their way to it.
struct Bench<D> {
    decoder: D,
    buffer: BytesMut,
    under_way: VecDeque<u8>,
}

impl<D> Bench<D> {
    fn new(decoder: D) -> Self {
        Self { decoder, buffer: BytesMut::new(), under_way: VecDeque::new() }
    }

    fn arrive(&mut self, count: usize) {
        let count = count.min(self.under_way.len());
        self.buffer.extend(self.under_way.drain(..count));
    }
}

/// A line, if a whole one is there, or nothing if it is too long.
type Line = Result<Option<Bytes>, ()>;

#[derive(Clone, Debug)]
struct LineModel {
    wire: Wire,
    taken: Line,
}

impl ReferenceStateMachine for LineModel {
    type State = Self;
    type Transition = Step<String>;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { wire: Wire::default(), taken: Ok(None) }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step<String>> {
        // Runs that end at the limit or one byte on either side of it.
        let long = LINE_BYTES_MAX - 1..=LINE_BYTES_MAX + 1;
        steps(prop_oneof![
            8 => "[a\r ]{0,9}(\n|\n\n)?",
            1 => long.prop_map(|length| format!("\n{}\n", "x".repeat(length))),
            1 => Just("y".repeat(LINE_BYTES_MAX / 2)),
        ])
    }

    fn apply(mut state: Self, step: &Step<String>) -> Self {
        match step {
            Step::Send(text) => state.wire.under_way.extend(text.bytes()),
            Step::Arrive(count) => drop(state.wire.arrive(*count)),
            Step::Take => {
                let arrived = &mut state.wire.arrived;
                state.taken = match arrived.iter().position(|byte| *byte == b'\n') {
                    Some(length) if length <= LINE_BYTES_MAX => {
                        let line: Vec<u8> = arrived.drain(..=length).collect();
                        Ok(Some(Bytes::copy_from_slice(&line[..length])))
                    }
                    None if arrived.len() <= LINE_BYTES_MAX => Ok(None),
                    Some(_) | None => Err(()),
                };
            }
        }
        state
    }
}

struct Lines;

impl StateMachineTest for Lines {
    type SystemUnderTest = Bench<LineDecoder>;
    type Reference = LineModel;

    fn init_test(_: &LineModel) -> Self::SystemUnderTest {
        Bench::new(LineDecoder::new())
    }

    fn apply(
        mut bench: Self::SystemUnderTest,
        model: &LineModel,
        step: Step<String>,
    ) -> Self::SystemUnderTest {
        match step {
            Step::Send(text) => bench.under_way.extend(text.bytes()),
            Step::Arrive(count) => bench.arrive(count),
            Step::Take => {
                let taken =
                    bench.decoder.decode(&mut bench.buffer).map_err(|LineTooLong { .. }| ());
                assert_eq!(taken, model.taken);
            }
        }
        bench
    }

    fn check_invariants(bench: &Self::SystemUnderTest, model: &LineModel) {
        assert_eq!(bench.buffer, model.wire.arrived);
    }
}

/// Something of RESP2, or a byte that begins nothing of it.
#[derive(Clone, Debug)]
enum Sent {
    Frame(Frame),
    Nonsense(u8),
}

#[expect(clippy::wildcard_enum_match_arm, reason = "there is nothing else in RESP2")]
fn write(frame: &Frame, out: &mut Vec<u8>) {
    let bulk = |bytes: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    };
    match frame {
        Frame::Simple(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
        Frame::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
        Frame::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        Frame::Bulk(Some(bytes)) => bulk(bytes, out),
        Frame::Bulk(None) => out.extend_from_slice(b"$-1\r\n"),
        Frame::Array(items) => {
            out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
            items.iter().for_each(|item| write(item, out));
        }
        Frame::NullArray => out.extend_from_slice(b"*-1\r\n"),
        Frame::Message { channel, payload } => {
            out.extend_from_slice(b"*3\r\n");
            [b"message".as_slice(), channel, payload].iter().for_each(|bytes| bulk(bytes, out));
        }
        other => panic!("{other:?} is no RESP2"),
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let bytes = || "[a\r\n$*]{0,12}".prop_map(Bytes::from);
    let item = prop_oneof![
        "[a-z ]{0,8}".prop_map(|text| Frame::Simple(text.into())),
        "ERR [a-z]{0,8}".prop_map(Frame::Error),
        any::<i64>().prop_map(Frame::Integer),
        bytes().prop_map(|bytes| Frame::Bulk(Some(bytes))),
        Just(Frame::Bulk(None)),
        Just(Frame::NullArray),
    ];
    prop_oneof![
        2 => item.clone(),
        2 => prop::collection::vec(item.clone(), 0..4).prop_map(Frame::Array),
        1 => prop::collection::vec(item, 1..3)
            .prop_map(|items| Frame::Array(vec![Frame::Array(items), Frame::Integer(1)])),
        3 => (bytes(), bytes()).prop_map(|(channel, payload)| Frame::Message { channel, payload }),
    ]
}

#[derive(Clone, Debug)]
struct RespModel {
    /// Each with its end, in bytes from the start of the stream.
    sent: VecDeque<(Sent, u64)>,
    sent_bytes: u64,
    arrived_bytes: u64,
    taken_bytes: u64,
    taken: Result<Option<Frame>, (u64, u8)>,
}

impl ReferenceStateMachine for RespModel {
    type State = Self;
    type Transition = Step<Sent>;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            sent: VecDeque::new(),
            sent_bytes: 0,
            arrived_bytes: 0,
            taken_bytes: 0,
            taken: Ok(None),
        })
        .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step<Sent>> {
        let nonsense = prop_oneof![Just(b'a'), Just(b'\r'), Just(b'\n'), Just(0_u8)];
        steps(prop_oneof![
            19 => frame().prop_map(Sent::Frame),
            1 => nonsense.prop_map(Sent::Nonsense),
        ])
    }

    fn apply(mut state: Self, step: &Step<Sent>) -> Self {
        match step {
            Step::Send(sent) => {
                let length = bytes_of(sent).len() as u64;
                state.sent_bytes += length;
                state.sent.push_back((sent.clone(), state.sent_bytes));
            }
            Step::Arrive(count) => {
                let left = state.sent_bytes - state.arrived_bytes;
                state.arrived_bytes += left.min(*count as u64);
            }
            Step::Take => {
                state.taken = match state.sent.front() {
                    Some((Sent::Frame(frame), end)) if *end <= state.arrived_bytes => {
                        let frame = frame.clone();
                        state.taken_bytes = *end;
                        state.sent.pop_front();
                        Ok(Some(frame))
                    }
                    Some((Sent::Nonsense(byte), end)) if *end <= state.arrived_bytes => {
                        Err((state.taken_bytes, *byte))
                    }
                    Some(_) | None => Ok(None),
                };
            }
        }
        state
    }
}

fn bytes_of(sent: &Sent) -> Vec<u8> {
    let mut bytes = Vec::new();
    match sent {
        Sent::Frame(frame) => write(frame, &mut bytes),
        Sent::Nonsense(byte) => bytes.push(*byte),
    }
    bytes
}

struct Resp;

impl StateMachineTest for Resp {
    type SystemUnderTest = Bench<RespDecoder>;
    type Reference = RespModel;

    fn init_test(_: &RespModel) -> Self::SystemUnderTest {
        Bench::new(RespDecoder::new(RespLimits::default()))
    }

    fn apply(
        mut bench: Self::SystemUnderTest,
        model: &RespModel,
        step: Step<Sent>,
    ) -> Self::SystemUnderTest {
        match step {
            Step::Send(sent) => bench.under_way.extend(bytes_of(&sent)),
            Step::Arrive(count) => bench.arrive(count),
            Step::Take => {
                let taken = bench.decoder.decode(&mut bench.buffer);
                let expected = model.taken.clone();
                let expected =
                    expected.map_err(|(offset, found)| (offset, RespErrorKind::Type { found }));
                assert_eq!(taken.map_err(|error| (error.offset(), error.kind())), expected);
            }
        }
        bench
    }
}

prop_state_machine! {
    #![proptest_config(crate::cases::kept(150))]

    #[test]
    fn lines_come_whole_and_once_however_their_bytes_arrive(sequential 1..80 => Lines);

    #[test]
    fn frames_come_whole_and_once_however_their_bytes_arrive(sequential 1..80 => Resp);
}
