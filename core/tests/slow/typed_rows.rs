//! Typed rows against rows of real servers, and against random JSON arrays.
//!
//! Reads all of `tests/captures/`: the sample of rows, and the recordings of Redis messages, direct
//! TCP and catch-up pages beside it. `SYNREPL_CAPTURES` names another folder to read as well.
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    reason = "all of this file is tests, also the functions that they share"
)]

use std::{borrow::Cow, collections::BTreeMap, env, fs, path::Path};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use synrepl_core::{
    stream::{CATALOGUE, Row},
    typed::{
        AccountDataRow, CacheKey, CachesRow, DeviceListsRow, EventsRow, FederationRow, Json,
        PresenceRow, PushRulesRow, PushersRow, ReceiptsRow, RowError, StreamRow, ToDeviceRow,
        TypedRow, TypingRow, parse, to_row,
    },
};

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures");

/// A row that a server sent, and where that is written down.
struct Captured {
    place: String,
    stream: String,
    release: Option<String>,
    row: Row,
}

/// A line of any of the recordings.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    release: Option<Cow<'a, str>>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
    #[serde(borrow)]
    m: Option<Cow<'a, str>>,
    #[serde(borrow)]
    note: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PageBody<'a> {
    #[serde(borrow)]
    updates: Vec<(i64, &'a RawValue)>,
}

fn captured() -> Vec<Captured> {
    let mut rows = Vec::new();
    read_folder(Path::new(CAPTURES), &mut rows);
    if let Some(folder) = env::var_os("SYNREPL_CAPTURES") {
        read_folder(Path::new(&folder), &mut rows);
    }
    assert!(!rows.is_empty(), "no rows in {CAPTURES}");
    rows
}

fn read_folder(folder: &Path, rows: &mut Vec<Captured>) {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let read_line = match file.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => rows_of_json_line,
            Some("txt") => rows_of_tcp_line,
            _ => continue,
        };
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&file).unwrap();
        for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            for (stream, release, row) in read_line(line) {
                let place = format!("{name}:{}", number + 1);
                rows.push(Captured { place, stream, release, row });
            }
        }
    }
}

type Found = Vec<(String, Option<String>, Row)>;

fn rows_of_json_line(line: &str) -> Found {
    let line: Line<'_> = serde_json::from_str(line).unwrap();
    if let (Some(stream), Some(row)) = (&line.stream, line.row) {
        let release = line.release.as_deref().map(str::to_owned);
        return vec![(stream.to_string(), release, row.get().into())];
    }
    if let Some(message) = line.m.as_deref() {
        return message.strip_prefix("RDATA ").and_then(row_of_rdata).into_iter().collect();
    }
    // A transaction id that was used before is answered with the page of that time.
    let stale = line.note.is_some_and(|note| note.contains("same txn id"));
    let (Some(path), Some(body), false) = (line.path, line.body, stale) else { return Vec::new() };
    let Some((_, rest)) = path.split_once("/get_repl_stream_updates/") else { return Vec::new() };
    let stream = rest.split(['/', '?']).next().unwrap_or_default();
    let Ok(page) = serde_json::from_str::<PageBody<'_>>(body.get()) else { return Vec::new() };
    page.updates.iter().map(|(_, row)| (stream.to_owned(), None, row.get().into())).collect()
}

fn rows_of_tcp_line(line: &str) -> Found {
    let rdata = line.split_once(" S< RDATA ").map(|(_, rdata)| rdata);
    rdata.and_then(row_of_rdata).into_iter().collect()
}

/// Reads `stream [instance] token json`.
fn row_of_rdata(rdata: &str) -> Option<(String, Option<String>, Row)> {
    let (stream, _) = rdata.split_once(' ')?;
    let row = &rdata[rdata.find(['[', '{'])?..];
    Some((stream.to_owned(), None, row.into()))
}

fn is_known(stream: &str) -> bool {
    CATALOGUE.iter().any(|(name, _)| *name == stream)
}

#[test]
fn every_captured_row_is_read_as_its_stream() {
    let mut counts = BTreeMap::<_, usize>::new();
    let captured = captured();
    for Captured { place, stream, row, .. } in &captured {
        let typed = parse(stream, row).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(typed.stream(), stream, "{place}");
        let unknown = matches!(
            typed,
            TypedRow::Unknown { .. }
                | TypedRow::Events(EventsRow::Unknown { .. })
                | TypedRow::Federation(FederationRow::Unknown { .. })
        );
        assert_eq!(unknown, !is_known(stream), "{place}: {typed:?}");
        if let TypedRow::Caches(caches) = &typed {
            caches.invalidation().unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        *counts.entry(stream).or_default() += 1;
    }
    println!("{counts:#?}");
    // Of these three no server was recorded.
    let unseen = ["groups", "public_rooms", "user_signature"];
    for (stream, _) in CATALOGUE {
        let seen = counts.contains_key(&stream.to_owned());
        assert!(seen || unseen.contains(&stream), "no row of {stream}");
    }
}

#[test]
fn releases_are_told_apart_by_the_form_of_their_rows() {
    let mut checked = BTreeMap::<_, usize>::new();
    for Captured { place, stream, release, row } in &captured() {
        let Some(release) = release else { continue };
        let (flat, oldest, newest) =
            (release == "0.33.5", release != "1.163.2", release == "1.163.2");
        match parse(stream, row).unwrap() {
            TypedRow::Events(EventsRow::Event(event)) => {
                assert_eq!(row.as_str().starts_with("[\"$"), flat, "{place}");
                let told = matches!(release.as_str(), "1.66.0" | "1.163.2");
                assert_eq!(event.rejected.is_some(), told, "{place}");
                assert_eq!(event.outlier.is_some(), told, "{place}");
            }
            TypedRow::Receipts(receipt) => {
                let is_text = !row.as_str().ends_with("}]");
                assert_eq!(is_text, flat, "{place}");
                assert!(receipt.data.parse::<BTreeMap<String, i64>>().unwrap()["ts"] > 0);
                assert!(receipt.thread_id.is_none() || newest, "{place}");
            }
            TypedRow::DeviceLists(devices) => {
                assert!(devices.is_user(), "{place}");
                assert_eq!(devices.is_signature.is_none(), oldest, "{place}");
                assert_eq!(devices.hosts_calculated.is_some(), newest, "{place}");
            }
            TypedRow::AccountData(data) => {
                assert_eq!(data.content.is_some(), flat, "{place}");
            }
            _ => continue,
        }
        *checked.entry((stream.clone(), release.clone())).or_default() += 1;
    }
    for stream in ["account_data", "device_lists", "events", "receipts"] {
        for release in ["0.33.5", "1.13.0", "1.66.0", "1.163.2"] {
            let key = (stream.to_owned(), release.to_owned());
            assert!(checked.contains_key(&key), "no row of {stream} of {release}");
        }
    }
}

/// Reads a row and writes it again, if its stream is one that can be published.
fn written(stream: &str, row: &Row) -> Option<Result<Row, serde_json::Error>> {
    fn again<'a, T: StreamRow<'a> + Serialize>(
        row: Result<T, RowError>,
    ) -> Option<Result<Row, serde_json::Error>> {
        row.ok().map(|row| to_row(&row))
    }
    match stream {
        "account_data" => again(AccountDataRow::parse(row)),
        "caches" => again(CachesRow::parse(row)),
        "device_lists" => again(DeviceListsRow::parse(row)),
        "presence" => again(PresenceRow::parse(row)),
        "push_rules" => again(PushRulesRow::parse(row)),
        "pushers" => again(PushersRow::parse(row)),
        "receipts" => again(ReceiptsRow::parse(row)),
        "to_device" => again(ToDeviceRow::parse(row)),
        "typing" => again(TypingRow::parse(row)),
        _ => None,
    }
}

#[test]
fn rows_are_written_exactly_as_the_newest_release_writes_them() {
    let mut counts = BTreeMap::<_, usize>::new();
    for Captured { place, stream, release, row } in &captured() {
        if release.as_deref() != Some("1.163.2") {
            continue;
        }
        let Some(written) = written(stream, row) else { continue };
        let written = written.unwrap();
        // Synapse escapes all that is not ASCII, so texts are compared only without escapes.
        if row.as_str().contains('\\') {
            let [written, captured] = [&written, row].map(|row| row.parse::<Value>().unwrap());
            assert_eq!(written, captured, "{place}");
        } else {
            assert_eq!(&written, row, "{place}");
        }
        *counts.entry(stream.clone()).or_default() += 1;
    }
    assert_eq!(counts.len(), 9, "{counts:?}");
}

#[test]
fn values_nested_deeper_than_any_stack_are_read_or_refused() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let unknown = Row::from(format!("[\"x\",{deep}]").as_str());
    let data = Json::new(&deep).unwrap();
    let event = EventsRow::Unknown { kind: "x".into(), data };
    assert_eq!(EventsRow::parse(&unknown).as_ref(), Ok(&event));
    let edu = FederationRow::Unknown { kind: "x".into(), data };
    assert_eq!(FederationRow::parse(&unknown).as_ref(), Ok(&edu));
    let cache = Row::from(format!("[\"x\",[{deep}],1]").as_str());
    let keys = CachesRow::parse(&cache).unwrap().keys.unwrap();
    assert_eq!(keys, [CacheKey::Json(data)]);
    let behind = Row::from(format!("[\"@u:h\",false,false,{deep}]").as_str());
    assert!(DeviceListsRow::parse(&behind).is_ok());

    let state = Row::from(format!("[\"pd\",{{\"state\":{deep}}}]").as_str());
    let error = FederationRow::parse(&state).expect_err("an array is no presence");
    assert!(error.to_string().len() < 200, "{error}");
    for text in [deep, "[".repeat(200_000)] {
        let row = Row::from(text.as_str());
        for (stream, _) in CATALOGUE {
            let error = parse(stream, &row).expect_err("no stream begins with an array");
            assert!(error.to_string().len() < 200, "{error}");
        }
    }
}

/// JSON texts, with a liking for what rows are made of.
fn json() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "ev",
        "state",
        "state-all",
        "p",
        "pd",
        "k",
        "e",
        "d",
        "f",
        "cs_cache_fake",
        "@u:h",
        "$e",
        "!r",
        "_get_e2e_cross_signing_signatures_for_device",
        "[\"@u:h\",\"D\"]",
        "{\"ts\":1}",
    ]);
    let leaf = prop_oneof![
        name.prop_map(|name| serde_json::to_string(name).unwrap()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "1",
            "-0",
            "1.5",
            "1e999",
            "99999999999999999999",
            r#""\ud83d""#,
            r#""\udc00 \u0000""#,
            r#""\ud83d\ude00""#,
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 24, 9, |value| {
        let key = prop::sample::select(vec![
            "\"state\"",
            "\"dests\"",
            "\"key\"",
            "\"edu\"",
            "\"edu_type\"",
            "\"content\"",
            "\"origin\"",
            "\"destination\"",
            "\"user_id\"",
            r#""\ud83d""#,
        ]);
        prop_oneof![
            prop::collection::vec(value.clone(), 0..12)
                .prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((key, value), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// Reads `text` as a row of every stream. What is read can be shown and written, and what was
/// written reads and writes the same.
fn read_as_every_stream(text: &str) -> Result<(), TestCaseError> {
    let row = Row::from(text);
    for (stream, _) in CATALOGUE {
        match parse(stream, &row) {
            Ok(typed) => {
                prop_assert_eq!(typed.stream(), stream);
                let shown = format!("{typed:?}");
                prop_assert!(!shown.is_empty());
                if let TypedRow::Caches(caches) = &typed
                    && let Err(error) = caches.invalidation()
                {
                    prop_assert_eq!(error.index(), Some(1));
                }
            }
            Err(error) => {
                prop_assert_eq!(error.stream(), stream);
                prop_assert!(error.to_string().starts_with(stream));
                prop_assert!(error.found().len() <= 80);
            }
        }
        if let Some(Ok(first)) = written(stream, &row) {
            let second = written(stream, &first).expect("what was written is read").unwrap();
            prop_assert_eq!(first, second);
        }
    }
    Ok(())
}

proptest! {
    // Nothing beside this file is the place for a failing case: it becomes a test of its own.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_array_makes_reading_panic(values in prop::collection::vec(json(), 0..12)) {
        read_as_every_stream(&format!("[{}]", values.join(",")))?;
    }

    #[test]
    fn no_json_value_makes_reading_panic(text in json()) {
        read_as_every_stream(&text)?;
    }

    #[test]
    fn no_text_makes_reading_panic(text in any::<String>()) {
        read_as_every_stream(&text)?;
    }

    /// One element of a real row replaced, left out or added.
    #[test]
    fn no_change_of_a_real_row_makes_reading_panic(
        row in prop::sample::select(sample()),
        at: prop::sample::Index,
        value in json(),
        change in 0..3_u8,
    ) {
        let mut values: Vec<String> = row
            .parse::<Vec<&RawValue>>()
            .unwrap()
            .into_iter()
            .map(|value| value.get().to_owned())
            .collect();
        let at = at.index(values.len());
        match change {
            0 => values[at] = value,
            1 => drop(values.remove(at)),
            _ => values.insert(at, value),
        }
        read_as_every_stream(&format!("[{}]", values.join(",")))?;
    }

    /// Whatever follows the last known element of a row of the newest release is ignored.
    #[test]
    fn elements_behind_the_last_one_are_ignored(
        (stream, row) in prop::sample::select(newest_rows()),
        more in prop::collection::vec(json(), 1..4),
    ) {
        let text = row.as_str();
        let longer = Row::from(format!("{},{}]", &text[..text.len() - 1], more.join(",")).as_str());
        // The fourth element of `account_data` was the content once.
        if stream != "account_data" {
            prop_assert_eq!(parse(&stream, &longer), parse(&stream, &row));
        }
    }
}

fn sample() -> Vec<Row> {
    captured().into_iter().filter(|it| it.release.is_some()).map(|it| it.row).collect()
}

fn newest_rows() -> Vec<(String, Row)> {
    captured()
        .into_iter()
        .filter(|it| it.release.as_deref() == Some("1.163.2"))
        .map(|it| (it.stream, it.row))
        .collect()
}
