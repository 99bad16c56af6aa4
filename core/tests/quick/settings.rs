//! The settings that [`Config::validate`] refuses: each error names its setting and what to do.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

use std::{path::Path, time::Duration};

use serde_json::Value;
use synrepl_core::{Backoff, Config, MainChannel, Node, Transport, stream::Token, wire::Dialect};

#[track_caller]
fn refused(setting: &str, change: impl FnOnce(&mut Config)) {
    let mut config = Config::default();
    change(&mut config);
    let error = config.validate().expect_err("it cannot work");
    assert_eq!(error.setting, setting);
    assert!(!error.problem.is_empty());
    assert_eq!(Node::new(config).expect_err("nor does a node start with it"), error);
}

#[test]
fn a_name_that_the_wire_cannot_carry_is_refused() {
    for name in ["", "two words", "tab\tbed", "line\n"] {
        refused("instance", |config| config.instance = name.to_owned());
        refused("instance_id", |config| config.instance_id = name.into());
        refused("publish.own_streams", |config| {
            config.publish.own_streams.insert(name.to_owned(), Token::START);
        });
    }
}

#[test]
fn a_stream_that_no_synapse_knows_is_refused_on_its_channel() {
    refused("publish.main_channel", |config| {
        config.publish.main_channel = MainChannel::Streams(["logins".to_owned()].into());
    });
    let mut config = Config::default();
    config.publish.main_channel = MainChannel::Streams(["typing".to_owned()].into());
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn the_name_of_the_main_process_is_refused_where_that_is_connected_to() {
    refused("instance", |config| {
        config.transport = Transport::Tcp(Dialect::V1_22);
        config.instance = "master".to_owned();
    });
}

#[test]
fn nobody_observes_a_server_that_sends_nothing_unasked() {
    refused("observe_only", |config| {
        config.transport = Transport::Tcp(Dialect::V0_23);
        config.observe_only = true;
    });
}

#[test]
fn limits_of_nothing_are_refused() {
    refused("catch_up.fetches_in_flight_max", |config| config.catch_up.fetches_in_flight_max = 0);
    refused("catch_up.burst_window_max", |config| config.catch_up.burst_window_max = 0);
    refused("catch_up.in_band_rows_max", |config| config.catch_up.in_band_rows_max = 0);
    refused("catch_up.in_band_bytes_max", |config| config.catch_up.in_band_bytes_max = 0);
    refused("limits.sources_max", |config| config.limits.sources_max = 0);
    refused("limits.batch_rows_max", |config| config.limits.batch_rows_max = 0);
    refused("publish.log_rows_max", |config| config.publish.log_rows_max = 0);
    refused("publish.unconfirmed_max", |config| config.publish.unconfirmed_max = 0);
    refused("publish.peer_pending_max", |config| config.publish.peer_pending_max = 0);
    refused("publish.peer_pending_max", |config| config.publish.peer_pending_max = 1);
    refused("publish.peer_pending_bytes_max", |config| {
        config.publish.peer_pending_bytes_max = 100;
    });
    refused("connection.replicate_absent_max", |config| {
        config.connection.replicate_absent_max = Duration::from_secs(59);
    });
    refused("catch_up.batch_torn_after", |config| {
        config.catch_up.batch_torn_after = Duration::from_micros(999);
    });
    refused("catch_up.burst_quiet_after", |config| {
        config.catch_up.burst_quiet_after = Duration::ZERO;
    });
    refused("users.syncing_expires_after", |config| {
        config.users.syncing_expires_after = Duration::from_micros(1);
    });
    refused("connection.ping_timeout", |config| config.connection.ping_timeout = Duration::ZERO);
    refused("catch_up.fetch_attempts_max", |config| config.catch_up.fetch_attempts_max = Some(0));
}

#[test]
fn more_own_streams_than_are_allowed_are_refused() {
    refused("publish.own_streams", |config| {
        config.publish.own_streams_max = 1;
        config.publish.own_streams = ["a", "b"].map(|name| (name.to_owned(), Token::START)).into();
    });
}

#[test]
fn times_that_do_not_pass_are_refused() {
    let backwards = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
    for backoff in [backwards, Backoff::new(Duration::ZERO, Duration::from_secs(1))] {
        refused("connection.reconnect", |config| config.connection.reconnect = backoff);
        refused("catch_up.fetch_retry", |config| config.catch_up.fetch_retry = backoff);
        refused("connection.replicate_retry", |config| config.connection.replicate_retry = backoff);
        refused("publish.log_retry", |config| config.publish.log_retry = backoff);
    }
    refused("connection.ping_every", |config| config.connection.ping_every = Duration::ZERO);
}

#[test]
fn as_many_own_streams_as_are_allowed_may_be_named() {
    let mut config = Config::default();
    config.publish.own_streams_max = 2;
    for name in ["a", "b"] {
        config.publish.own_streams.insert(name.to_owned(), Token::START);
    }
    assert!(config.validate().is_ok());
    config.publish.own_streams.insert("c".to_owned(), Token::START);
    assert_eq!(config.validate().expect_err("three are too many").setting, "publish.own_streams");
}

#[test]
fn a_delay_is_at_least_a_millisecond_and_the_longest_is_not_below_the_first() {
    let ok = |first, max| {
        let mut config = Config::default();
        config.catch_up.fetch_retry =
            Backoff::new(Duration::from_micros(first), Duration::from_micros(max));
        config.validate().is_ok()
    };
    assert!(ok(1_000, 1_000));
    assert!(!ok(999, 5_000));
    assert!(!ok(5_000, 4_999));
}

/// The settings in the headers of the kept traces, each with its file.
fn kept_headers() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let traces = paths.filter(|path| path.extension().is_some_and(|kind| kind == "trace"));
    traces
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            (path.display().to_string(), header["config"].clone())
        })
        .collect()
}

#[test]
fn every_setting_of_every_kept_trace_is_taken() {
    let headers = kept_headers();
    assert!(!headers.is_empty(), "there are kept traces");
    for (file, settings) in headers {
        let config: Config = serde_json::from_value(settings.clone()).unwrap();
        let taken = serde_json::to_value(&config).unwrap();
        for (name, value) in settings.as_object().unwrap() {
            let name = match name.as_str() {
                "replay_rows_max" => "in_band_rows_max",
                "replay_bytes_max" => "in_band_bytes_max",
                name => name,
            };
            assert_eq!(taken.get(name), Some(value), "{file}: {name}");
        }
    }
}
