//! A process whose files cannot grow any more, as on a full disk: whole batches fail, and appends
//! work again once there is room.

use std::io::{BufRead as _, BufReader, Write as _};

use synrepl::{
    Span, Token,
    core::ByteString,
    log::{LogStore as _, SqliteLog, SqliteOptions},
};

pub(crate) fn a_full_disk_fails_whole_batches_until_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut child = crate::program(&["append-on-command", path.to_str().unwrap()]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ask = |command: &str| {
        writeln!(stdin, "{command}").unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    };
    let mut kept = Vec::new();
    let mut append = |ask: &mut dyn FnMut(&str) -> String, rows: usize, bytes: usize| {
        let answer = ask(&format!("append {rows} {bytes}"));
        match answer.parse::<i64>() {
            Ok(token) => {
                kept.push((token, rows, bytes));
                true
            }
            Err(_) => {
                assert!(answer.starts_with("error: the log cannot be written: "), "{answer}");
                false
            }
        }
    };
    for _ in 0..5 {
        assert!(append(&mut ask, 2, 100));
    }
    assert_eq!(ask("limit 300000"), "limited");
    let mut fitted = 0;
    while append(&mut ask, 7, 3_000) {
        fitted += 1;
    }
    assert!((1..15).contains(&fitted), "{fitted} batches of 21,000 bytes are in 300,000 bytes");
    for _ in 0..3 {
        assert!(!append(&mut ask, 50, 10_000));
    }
    assert_eq!(ask("limit none"), "limited");
    for _ in 0..5 {
        assert!(append(&mut ask, 3, 10_000));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());

    let tokens: Vec<_> = kept.iter().map(|(token, ..)| *token).collect();
    assert_eq!(tokens, (1..=10 + fitted).collect::<Vec<_>>());
    let log = SqliteLog::open(&path, SqliteOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let end = Token::new(i64::MAX);
    let read = log.read(ByteString::from_static("s"), Span::new(Token::START, end), 10_000);
    let page = runtime.block_on(read).unwrap();
    let expected: Vec<_> =
        kept.iter().flat_map(|(token, rows, bytes)| vec![(*token, *bytes); *rows]).collect();
    let found: Vec<_> = page.updates.iter().map(|(token, row)| (token.get(), row.len())).collect();
    assert_eq!(found, expected);
}
