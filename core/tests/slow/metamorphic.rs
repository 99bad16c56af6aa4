//! Changes of the inputs that must not change the deliveries: more ticks, another origin of time,
//! other names of writers and of streams of one class, other pieces of the byte stream, another
//! order between independent sources (F8). On recorded traffic and on generated lists.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crate::material::{
    Heard, Material, Player, made_up, recorded_on_redis, recorded_on_tcp, source_of, text,
};
use bytes::BytesMut;
use proptest::prelude::*;
use synrepl_core::{
    Action, Event, Timestamp,
    stream::{Source, traits},
    wire::{Frame, LineDecoder, RespDecoder, RespLimits, encode_frame},
};

fn any_material() -> impl Strategy<Value = Material> {
    prop_oneof![made_up(), recorded_on_redis()]
}

/// `play`, with ticks that nobody asked for.
fn play_with_ticks(material: &Material, ticks: &[u8]) -> Vec<Action> {
    let mut player = Player::new(&material.rows);
    let (mut last, mut ticks) = (0, ticks.iter().cycle());
    for (at, heard) in &material.heard {
        let count = u64::from(*ticks.next().unwrap_or(&0));
        for nth in 1..=count {
            player.pass(last + (at - last) * nth / count);
            player.tick();
        }
        player.pass(*at);
        player.hear(heard);
        player.tick();
        last = *at;
    }
    player.pass(last + 10_000_000);
    player.did
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other has a time")]
fn earlier(action: Action, by: u64) -> Action {
    match action {
        Action::Notify(Event::Disconnected { conn, reason, retry_at }) => {
            let retry_at =
                retry_at.map(|at| Timestamp::from_micros(at.as_micros().wrapping_sub(by)));
            Action::Notify(Event::Disconnected { conn, reason, retry_at })
        }
        action => action,
    }
}

/// Names that sort the other way round, and that occur nowhere else.
fn other_name(name: &str) -> String {
    let falling: String = name.bytes().map(|byte| char::from(b'z' - byte % 26)).collect();
    format!("~{falling}~{name}~")
}

/// Streams that the catalogue says nothing special of may have any name that it does not know.
fn other_stream(stream: &str) -> String {
    let unknown = other_name(stream);
    if traits(stream) == traits(&unknown) { unknown } else { stream.to_owned() }
}

fn renamed(material: &Material) -> Material {
    let heard = material.heard.iter().map(|(at, heard)| {
        let heard = match source_of(text(heard)) {
            Some([command, stream, writer, rest]) => {
                let (stream, writer) = (other_stream(stream), other_name(writer));
                Heard::Line(format!("{command} {stream} {writer} {rest}"))
            }
            None => heard.clone(),
        };
        (*at, heard)
    });
    let rows = material
        .rows
        .iter()
        .map(|((stream, writer), rows)| ((other_stream(stream), other_name(writer)), rows.clone()));
    Material { heard: heard.collect(), rows: Arc::new(rows.collect()) }
}

/// What was done, with the names that were there before.
fn with_old_names(did: &[Action], material: &Material) -> String {
    let sources = material.heard.iter().filter_map(|(_, heard)| source_of(text(heard)));
    let names: BTreeSet<_> = sources
        .flat_map(|[_, stream, writer, _]| {
            [(other_stream(stream), stream), (other_name(writer), writer)]
        })
        .collect();
    let shown = format!("{did:#?}");
    names.iter().fold(shown, |shown, (other, name)| shown.replace(other, name))
}

/// Cuts `bytes` at these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

/// Hears lines that come as RESP in these pieces.
fn hear_frames(player: &mut Player, pieces: &[&[u8]]) {
    let (mut decoder, mut buffer) = (RespDecoder::new(RespLimits::default()), BytesMut::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer).expect("good frames") {
            let Frame::Message { payload, .. } = frame else { panic!("{frame:?}") };
            player.hear(&Heard::Line(String::from_utf8(payload.to_vec()).expect("text")));
        }
    }
}

/// Hears lines of direct TCP that come in these pieces.
fn hear_lines(player: &mut Player, pieces: &[&[u8]]) {
    let (mut decoder, mut buffer) = (LineDecoder::new(), BytesMut::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(line) = decoder.decode(&mut buffer).expect("no line is too long") {
            player.hear(&Heard::Line(String::from_utf8(line.to_vec()).expect("text")));
        }
    }
}

/// The events of each source.
fn by_source(did: &[Action]) -> BTreeMap<Source, Vec<&Event>> {
    let mut events = BTreeMap::<_, Vec<_>>::new();
    for action in did {
        if let Action::Notify(event) = action
            && let Some((source, _)) = event.position()
        {
            events.entry(source.clone()).or_default().push(event);
        }
    }
    events
}

/// The same lines, those of each writer in their order, and between writers in that of `keys`: a
/// writer says nothing between the rows of a batch.
/// All at one time, or the order would be one of times.
fn shuffled(material: &Material, keys: &[u16]) -> Vec<(u64, Heard)> {
    let writer = |line: &str| source_of(line).map(|[_, _, writer, _]| writer.to_owned());
    let lines: Vec<_> = material
        .heard
        .iter()
        .filter_map(|(_, heard)| Some((writer(text(heard))?, heard)))
        .collect();
    let mut order: Vec<_> =
        lines.iter().map(|(source, _)| source).zip(keys.iter().cycle()).collect();
    order.sort_by_key(|(_, key)| **key);
    let mut queues = BTreeMap::<&String, VecDeque<&Heard>>::new();
    for (source, heard) in &lines {
        queues.entry(source).or_default().push_back(heard);
    }
    let next = |(source, _)| queues.get_mut(source).and_then(VecDeque::pop_front);
    order.into_iter().filter_map(next).map(|heard| (0, heard.clone())).collect()
}

/// Without the streams whose sources share rows: they have to do with each other.
fn of_independent_sources(material: &Material) -> Material {
    let is_independent = |heard: &Heard| {
        source_of(text(heard)).is_some_and(|[_, stream, ..]| !traits(stream).shared_fetch)
    };
    let mut heard = material.heard.clone();
    heard.retain(|(_, heard)| is_independent(heard));
    Material { heard, rows: Arc::clone(&material.rows) }
}

proptest! {
    #![proptest_config(crate::cases::kept(60))]

    #[test]
    fn more_ticks_change_nothing(
        material in any_material(),
        ticks in prop::collection::vec(0_u8..4, 1..20),
    ) {
        let did = Player::new(&material.rows).play(&material.heard);
        prop_assert_eq!(play_with_ticks(&material, &ticks), did);
    }

    #[test]
    fn when_time_began_changes_nothing(material in any_material(), by in 1_u64..1 << 50) {
        let did = Player::new(&material.rows).play(&material.heard);
        let later: Vec<_> =
            material.heard.iter().map(|(at, heard)| (at + by, heard.clone())).collect();
        // The connection is asked for at once and made when time begins.
        let did_later = Player::beginning_at(by, &material.rows).play(&later);
        let did_later: Vec<_> = did_later.into_iter().map(|action| earlier(action, by)).collect();
        prop_assert_eq!(did_later, did);
    }

    #[test]
    fn other_names_change_nothing_but_the_names(material in any_material()) {
        let did = Player::new(&material.rows).play(&material.heard);
        let other = renamed(&material);
        let did_other = Player::new(&other.rows).play(&other.heard);
        prop_assert_eq!(with_old_names(&did_other, &material), format!("{did:#?}"));
    }

    #[test]
    fn where_the_bytes_of_a_bus_are_cut_changes_nothing(
        material in recorded_on_redis(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let mut bytes = BytesMut::new();
        for (_, heard) in &material.heard {
            let payload = text(heard).to_owned().into();
            encode_frame(&Frame::Message { channel: "hs".into(), payload }, &mut bytes);
        }
        let mut whole = Player::new(&material.rows);
        whole.pass(0);
        material.heard.iter().for_each(|(_, heard)| {
            whole.hear(&Heard::Line(text(heard).to_owned()));
        });
        let mut cut = Player::new(&material.rows);
        cut.pass(0);
        hear_frames(&mut cut, &pieces(&bytes, &cuts));
        prop_assert_eq!(cut.did, whole.did);
    }

    #[test]
    fn where_the_bytes_of_direct_tcp_are_cut_changes_nothing(
        material in recorded_on_tcp(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let mut bytes = b"SERVER hs\n".to_vec();
        let mut whole = Player::on_tcp(&material.rows);
        whole.pass(0);
        whole.hear(&Heard::Line("SERVER hs".to_owned()));
        for (_, heard) in material.heard.iter().filter(|(_, heard)| !text(heard).is_empty()) {
            bytes.extend_from_slice(text(heard).as_bytes());
            bytes.push(b'\n');
            whole.hear(heard);
        }
        let mut cut = Player::on_tcp(&material.rows);
        cut.pass(0);
        hear_lines(&mut cut, &pieces(&bytes, &cuts));
        prop_assert_eq!(cut.did, whole.did);
    }

    #[test]
    fn the_order_between_writers_changes_nothing_of_each(
        material in any_material(),
        keys in prop::collection::vec(any::<u16>(), 1..80),
    ) {
        let material = of_independent_sources(&material);
        let one = Player::new(&material.rows).play(&shuffled(&material, &[0]));
        let other = Player::new(&material.rows).play(&shuffled(&material, &keys));
        prop_assert_eq!(by_source(&other), by_source(&one));
    }
}

#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not counted")]
fn the_material_has_all_that_can_happen() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut fetches, mut resets, mut live, mut reconnections, mut rows) = (0, 0, 0, 0, 0);
    for _ in 0..60 {
        let tree = any_material().new_tree(&mut runner).expect("material can be had");
        let material = prop::strategy::ValueTree::current(&tree);
        for action in Player::new(&material.rows).play(&material.heard) {
            match action {
                Action::Fetch { .. } => fetches += 1,
                Action::Connect { .. } => reconnections += 1,
                Action::Notify(Event::Reset { .. }) => resets += 1,
                Action::Notify(Event::Live { .. }) => live += 1,
                Action::Notify(Event::Rows { rows: delivered, .. }) => rows += delivered.len(),
                _ => {}
            }
        }
    }
    assert!(fetches > 500 && resets > 20 && live > 500, "{fetches} {resets} {live}");
    assert!(reconnections > 90 && rows > 5_000, "{reconnections} {rows}");
}
