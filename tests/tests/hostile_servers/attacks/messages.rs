//! Attacks by messages, from any client that may PUBLISH on a deployment's channel.

use synrepl_tests::impostor::Then;

use super::{CONFIRMED, LONG, Row, SUBSCRIBE, attack, confirmed, message, row};
use crate::TOKEN;

/// The attacks that such a client can make on the subscribers.
pub(crate) fn messages() -> Vec<Row> {
    const BAD_INTEGER: &[&str] = &["is not a command", "expected an integer within 64 bits"];
    vec![
        row(
            "rows with a token of 2^63",
            || {
                let row = confirmed(b"RDATA deep w 9223372036854775808 [1]");
                attack(SUBSCRIBE, row, Then::Silence)
            },
            BAD_INTEGER,
        ),
        row(
            "a position of 2^80",
            || {
                let position = format!("POSITION deep w 1 {LONG}");
                attack(SUBSCRIBE, confirmed(position.as_bytes()), Then::Silence)
            },
            BAD_INTEGER,
        ),
        row(
            "a position of 2^63 - 1",
            || {
                let position = b"POSITION events p3 -9223372036854775808 9223372036854775807";
                let row = b"RDATA events p3 -9223372036854775808 [1]";
                let next = b"RDATA events p3 9223372036854775807 [1]";
                let said = [&confirmed(position)[..], &message(row), &message(next)].concat();
                attack(SUBSCRIBE, said, Then::Silence)
            },
            &["p3"],
        ),
        row(
            "JSON a million deep",
            || {
                let deep = format!("RDATA deep w 7 {}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
                let open = format!("RDATA deep w 8 {}", "[".repeat(1 << 20));
                let said = [confirmed(deep.as_bytes()), message(open.as_bytes())].concat();
                attack(SUBSCRIBE, said, Then::Silence)
            },
            &["is not a command", "bad JSON"],
        )
        .memory_max(80),
        row(
            "NUL and what is not UTF-8 in messages",
            || {
                let said = [confirmed(b"RDATA events \x00 1 [1]"), message(b"PING \xff")].concat();
                attack(SUBSCRIBE, said, Then::Silence)
            },
            &["is not a command", "not UTF-8 at byte 5"],
        ),
        row(
            "an access token",
            || {
                let bad = format!("USER_IP [\"@u:a\", \"{TOKEN}\"");
                let good = format!(
                    "USER_IP [\"@u:example.com\", \"{TOKEN}\", \"127.0.0.1\", \"agent\", null, 1]"
                );
                let key =
                    format!("RDATA caches w 7 [\"get_user_by_access_token\", [\"{TOKEN}\"], 1");
                let said =
                    [confirmed(good.as_bytes()), message(key.as_bytes()), message(bad.as_bytes())];
                attack(SUBSCRIBE, said.concat(), Then::Silence)
            },
            &["is not a command", "in \"USER_IP\""],
        ),
        row(
            "the longest message",
            || {
                let mut long = b"RDATA long w 7 [\"".to_vec();
                long.resize(60 << 20, b'x');
                long.extend_from_slice(b"\"]");
                let end = message(b"END");
                attack(SUBSCRIBE, [confirmed(&long), end].concat(), Then::Silence)
            },
            &["is not a command", "END"],
        )
        .memory_max(400),
        row(
            "long names of writers",
            || {
                let name = |number| {
                    message(format!("POSITION s w{number}{} 1 1", "x".repeat(1 << 20)).as_bytes())
                };
                attack(SUBSCRIBE, CONFIRMED, Then::Flood(name))
            },
            &["more sources than are followed"],
        )
        .floods(60)
        .memory_max(240),
        row(
            "open batches of many writers",
            || {
                let batch = |number| {
                    let row =
                        format!("RDATA s w{} batch [\"{}\"]", number / 4, "x".repeat(1 << 20));
                    message(row.as_bytes())
                };
                attack(SUBSCRIBE, CONFIRMED, Then::Flood(batch))
            },
            // A batch that goes on for long is torn, so on a slow machine no limit is reached.
            &["announced no position on this connection"],
        )
        .floods(160)
        .memory_max(140),
    ]
}
