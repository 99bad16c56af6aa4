use super::*;
use crate::{
    config::Config,
    ids::ConnectionId,
    input::Input,
    time::Timestamp,
    wire::{Command, LockReleased, Secret, UserIp},
};

/// The trace of a short run: a connection, two commands, a shutdown.
fn trace() -> Vec<Vec<u8>> {
    let config = Config::default();
    let mut lines = Vec::new();
    let mut keep = |line: TraceLine<'_>| {
        let mut text = Vec::new();
        line.append_to(&mut text).unwrap();
        lines.push(text);
    };
    keep(TraceLine::header(&config));
    let mut node = Node::new(config.clone()).unwrap();
    let mut conn = ConnectionId::new(0);
    while let Some(action) = node.poll_action() {
        if let Action::Connect { conn: asked } = action {
            conn = asked;
        }
        keep(TraceLine::action(&action));
    }
    let lock = LockReleased { instance: "p1".into(), lock: "l".into(), key: "k".into() };
    let user_ip = UserIp {
        user: "@a:b".into(),
        access_token: Secret::new("syt_abc".to_owned()),
        ip: "127.0.0.1".to_owned(),
        user_agent: "agent".to_owned(),
        device: None,
        last_seen_ms: 5,
    };
    let inputs = [
        Input::Connected { conn },
        Input::Received { conn, command: Command::LockReleased(lock) },
        Input::Received { conn, command: Command::UserIp(Box::new(user_ip)) },
        Input::Shutdown,
    ];
    for (millis, input) in (1_u64..).zip(inputs) {
        let now = Timestamp::from_micros(millis * 1_000);
        keep(TraceLine::input(now, &input));
        node.handle(now, input).unwrap();
        while let Some(action) = node.poll_action() {
            keep(TraceLine::action(&action));
        }
    }
    lines
}

fn replay(lines: &[Vec<u8>], rest: &[u8]) -> Result<Replay, ReplayError> {
    let mut replayer = Replayer::new();
    for line in lines {
        replayer.line(line)?;
    }
    replayer.finish(rest)
}

/// An action that the run above never has.
fn strange_action() -> (Action, Vec<u8>) {
    let action = Action::Close { conn: ConnectionId::new(99) };
    let mut text = Vec::new();
    TraceLine::action(&action).append_to(&mut text).unwrap();
    (action, text)
}

#[test]
fn a_recorded_run_replays_without_a_difference() {
    let lines = trace();
    let replay = replay(&lines, b"").unwrap();
    assert_eq!(replay.inputs, 4);
    assert_eq!(replay.inputs + replay.actions + 1, lines.len() as u64);
    assert_eq!(replay.end, End::Complete);
}

#[test]
fn a_redacted_access_token_changes_nothing() {
    let lines = trace();
    assert!(lines.iter().all(|line| !line.windows(7).any(|w| w == b"syt_abc")));
    assert!(replay(&lines, b"").is_ok());
}

#[test]
fn an_action_that_the_node_does_not_ask_for_is_the_difference() {
    let mut lines = trace();
    let (action, text) = strange_action();
    lines.push(text);
    let error = replay(&lines, b"").unwrap_err();
    assert!(error.is_difference());
    let ReplayError::Different(difference) = error else { panic!("{error}") };
    assert_eq!(difference.line, lines.len() as u64);
    assert_eq!(difference.inputs, 4);
    assert_eq!(difference.expected, Some(action));
    assert_eq!(difference.got, None);
}

#[test]
fn an_action_that_the_trace_lacks_is_the_difference() {
    let mut lines = trace();
    // The line after the header is the first `Connect`.
    let taken: TraceLine<'_> = serde_json::from_slice(&lines.remove(1)).unwrap();
    let TraceLine::Action(taken) = taken else { panic!("{taken:?}") };
    let ReplayError::Different(difference) = replay(&lines, b"").unwrap_err() else { panic!() };
    assert_eq!((difference.line, difference.inputs), (2, 0));
    assert_eq!((difference.expected, difference.got), (None, Some(taken.into_owned())));
}

#[test]
fn a_trace_that_breaks_off_before_its_last_actions_says_so() {
    let mut lines = trace();
    lines.truncate(1);
    let replay = replay(&lines, b"").unwrap();
    assert_eq!((replay.inputs, replay.actions), (0, 0));
    assert_eq!(replay.end, End::BeforeActions { missing: 1 });
}

#[test]
fn a_broken_last_line_ends_the_replay_without_a_failure() {
    let lines = trace();
    let (last, whole) = lines.split_last().unwrap();
    for cut in 1..last.len() - 2 {
        let replay = replay(whole, &last[..cut]).unwrap();
        assert_eq!(replay.end, End::InsideLine { line: lines.len() as u64 });
    }
}

#[test]
fn a_last_line_without_line_feed_counts() {
    let lines = trace();
    let (last, whole) = lines.split_last().unwrap();
    let replay = replay(whole, &last[..last.len() - 1]).unwrap();
    assert_eq!(replay.end, End::Complete);
    assert_eq!(replay.inputs, 4);
}

#[test]
fn the_end_of_a_trace_is_told_in_words() {
    for (end, words) in [
        (End::Complete, "ends with every action of its last input"),
        (End::InsideLine { line: 5 }, "ends inside line 5; everything before it agreed"),
        (
            End::BeforeActions { missing: 1 },
            "ends before 1 action of its last input; everything before it agreed",
        ),
        (
            End::BeforeActions { missing: 2 },
            "ends before 2 actions of its last input; everything before it agreed",
        ),
    ] {
        assert_eq!(end.to_string(), words);
    }
}

#[test]
fn what_a_file_holds_commands_no_terminal() {
    let mut lines = trace();
    lines.push(br#"{"now":9,"input":{"\u001b[2J":1}}"#.to_vec());
    lines.push(lines[1].clone());
    let error = replay(&lines, b"").unwrap_err();
    let told = error.to_string();
    assert!(told.contains(r"\u{1b}[2J") && !told.contains(char::is_control), "{told}");
    assert!(told.contains("column"), "{told}");
}

#[test]
fn a_file_that_is_no_trace_says_what_was_expected() {
    for (lines, rest) in [
        (vec![], &b""[..]),
        (vec![], b"{\"synrepl_tr"),
        (vec![b"hello\n".to_vec()], b""),
        (vec![b"{\"type\":\"rows\"}\n".to_vec()], b""),
        (vec![b"{\"synrepl_trace\":1}\n".to_vec()], b""),
        (vec![b"{\"synrepl_trace\":1,\"now\":0,\"input\":\"Tick\"}\n".to_vec()], b""),
        (vec![b"\xff\xfe\n".to_vec()], b""),
    ] {
        let error = replay(&lines, rest).unwrap_err();
        assert!(matches!(error, ReplayError::NotATrace { .. }), "{error:?}");
        assert!(error.to_string().contains("--record"), "{error}");
        assert!(!error.is_difference());
    }
}

#[test]
fn an_unknown_version_is_named() {
    let header = b"{\"synrepl_trace\":2,\"settings\":[]}\n".to_vec();
    assert_eq!(replay(&[header], b""), Err(ReplayError::UnknownVersion { found: 2 }));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let header =
        b"{\"synrepl_trace\":1,\"version\":\"0\",\"config\":{\"instance\":\"\"}}\n".to_vec();
    assert!(matches!(replay(&[header], b""), Err(ReplayError::Config(_))));
}

#[test]
fn a_bad_line_in_the_middle_is_named_by_number() {
    let mut lines = trace();
    lines.insert(2, b"{\"now\":1}\n".to_vec());
    let error = replay(&lines, b"").unwrap_err();
    assert!(matches!(error, ReplayError::BadLine { line: 3, .. }), "{error:?}");
    lines[2] = lines[0].clone();
    let error = replay(&lines, b"").unwrap_err();
    assert!(matches!(error, ReplayError::BadLine { line: 3, .. }), "{error:?}");
}

#[test]
fn an_input_that_the_node_refuses_is_a_difference() {
    let mut lines = trace();
    let late = TraceLine::input(Timestamp::from_micros(u64::MAX), &Input::Tick);
    let mut text = Vec::new();
    late.append_to(&mut text).unwrap();
    lines.push(text.clone());
    let early = TraceLine::input(Timestamp::ZERO, &Input::Tick);
    text.clear();
    early.append_to(&mut text).unwrap();
    lines.push(text);
    let error = replay(&lines, b"").unwrap_err();
    assert!(matches!(error, ReplayError::Refused { .. }), "{error:?}");
    assert!(error.is_difference());
}
