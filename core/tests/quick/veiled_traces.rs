//! No access token gets into a recorded trace, whichever input or action carries it.

use bytes::Bytes;
use synrepl_core::{
    Action, Channel, ConnectionId, Event, FetchId, Input, Origin, ReadId, Timestamp,
    stream::{Page, Row, Rows, Source, Token},
    trace::TraceLine,
    wire::{Command, Decoder},
};

const ROW: &str = r#"["get_user_by_access_token",["syt_secret"],1]"#;

fn commands() -> [Command; 3] {
    let user_ip = r#"USER_IP @u:h ["syt_secret","::1","agent",null,1]"#;
    let rdata = format!("RDATA caches w 4 {ROW}");
    let cache = r#"INVALIDATE_CACHE get_user_by_access_token ["syt_secret"]"#.to_owned();
    [user_ip.to_owned(), rdata, cache]
        .map(|line| Decoder::new().decode(&Bytes::from(line)).expect("a command"))
}

#[track_caller]
fn hides(line: &TraceLine<'_>) {
    let mut written = Vec::new();
    line.append_to(&mut written).expect("it can be written");
    let text = String::from_utf8(written).expect("JSON");
    assert!(!text.contains("syt_secret"), "{text}");
}

#[test]
fn what_comes_in_is_veiled() {
    let conn = ConnectionId::new(1);
    let page = || Page { updates: vec![(Token::new(4), Row::from(ROW))], ..Page::default() };
    let of = |command: Command| {
        [Input::Received { conn, command: command.clone() }, Input::Send { command }]
    };
    let pages = [
        Input::Fetched { query: FetchId::new(1), result: Ok(page()) },
        Input::LogRead { query: ReadId::new(1), result: Ok(page()) },
    ];
    for input in commands().into_iter().flat_map(of).chain(pages) {
        hides(&TraceLine::input(Timestamp::ZERO, &input));
    }
}

#[test]
fn what_goes_out_is_veiled() {
    let conn = ConnectionId::new(1);
    let audience = std::sync::Arc::new([ConnectionId::accepted(1)].into_iter().collect());
    for command in commands() {
        let boxed = || Box::new(command.clone());
        for action in [
            Action::Send { conn, channel: Channel::Main, command: command.clone() },
            Action::Broadcast { audience: std::sync::Arc::clone(&audience), command: boxed() },
            Action::Notify(Event::Command { command: command.clone() }),
            Action::Notify(Event::PeerCommand { conn, command: boxed() }),
        ] {
            hides(&TraceLine::action(&action));
        }
    }
    let rows = Action::Notify(Event::Rows {
        source: Source::new("caches", "w"),
        token: Token::new(4),
        rows: Rows::from(Row::from(ROW)),
        origin: Origin::Live,
        position: Token::new(4),
    });
    hides(&TraceLine::action(&rows));
}
