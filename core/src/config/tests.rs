use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// The table in the documentation of [`Config`]: setting to default.
fn documented() -> BTreeMap<String, String> {
    let rows = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("/// | `"));
    let cells = rows.map(|row| row.split(" | ").map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].trim_end_matches('`').to_owned(), cells[2].to_owned())).collect()
}

/// A number with commas, or in MiB or KiB if it counts bytes.
fn amount(number: u64, has_bytes: bool) -> String {
    match number {
        _ if has_bytes && number.is_multiple_of(1 << 20) => format!("{} MiB", number >> 20),
        _ if has_bytes && number.is_multiple_of(1 << 10) && number > 1 << 16 => {
            format!("{} KiB", number >> 10)
        }
        1_000_000.. => {
            format!("{},{:03},{:03}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000)
        }
        1_000.. => format!("{},{:03}", number / 1_000, number % 1_000),
        _ => number.to_string(),
    }
}

fn time(value: &Value) -> Option<String> {
    let (seconds, nanos) = (value.get("secs")?.as_u64()?, value.get("nanos")?.as_u64()?);
    Some(if nanos == 0 { format!("{seconds} s") } else { format!("{} ms", nanos / 1_000_000) })
}

/// A default value in the notation of the table.
fn shown(setting: &str, value: &Value) -> String {
    if let (Some(first), Some(max)) = (value.get("first"), value.get("max")) {
        return format!("{} to {}", time(first).unwrap(), time(max).unwrap());
    }
    match value {
        Value::Null if setting == "streams" => "all".to_owned(),
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => amount(number.as_u64().unwrap(), setting.contains("bytes")),
        Value::String(text) if setting.starts_with("instance") => format!("`{text}`"),
        Value::String(text) => text.clone(),
        Value::Array(_) => "none".to_owned(),
        Value::Object(_) => time(value).unwrap_or_else(|| "none".to_owned()),
    }
}

/// The settings of each group, in the JSON that a trace has.
fn groups(config: &Config) -> [(&'static str, Value); 8] {
    let json = |group: &dyn Fn() -> serde_json::Result<Value>| group().unwrap();
    [
        ("connection", json(&|| serde_json::to_value(&config.connection))),
        ("catch_up", json(&|| serde_json::to_value(&config.catch_up))),
        ("continuity", json(&|| serde_json::to_value(&config.continuity))),
        ("audit", json(&|| serde_json::to_value(&config.audit))),
        ("holes", json(&|| serde_json::to_value(&config.holes))),
        ("publish", json(&|| serde_json::to_value(&config.publish))),
        ("users", json(&|| serde_json::to_value(&config.users))),
        ("limits", json(&|| serde_json::to_value(&config.limits))),
    ]
}

#[test]
fn the_table_has_every_setting_with_its_default() {
    let config = Config::default();
    let mut settings = serde_json::to_value(&config).unwrap();
    let mut expected = BTreeMap::new();
    for (group, values) in groups(&config) {
        for (name, value) in values.as_object().unwrap() {
            let flat = settings.as_object_mut().unwrap().remove(name);
            assert_eq!(flat.as_ref(), Some(value), "{name} stands flat in a trace");
            expected.insert(format!("{group}.{name}"), shown(name, value));
        }
    }
    for (name, value) in settings.as_object().unwrap() {
        expected.insert(name.clone(), shown(name, value));
    }
    assert_eq!(documented(), expected);
}

#[test]
fn settings_are_read_back_as_they_were_written() {
    let mut config = Config::default();
    config.limits.held_rows_max = 7;
    config.publish.own_streams.insert("s".to_owned(), 5.into());
    config.audit.audit_every = Some(std::time::Duration::from_millis(1_500));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
}

#[test]
fn a_renamed_setting_is_read_under_its_old_name() {
    let config: Config =
        serde_json::from_str(r#"{"replay_rows_max":3,"replay_bytes_max":4}"#).unwrap();
    assert_eq!((config.catch_up.in_band_rows_max, config.catch_up.in_band_bytes_max), (3, 4));
}
