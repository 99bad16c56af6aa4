//! Attacks of a Redis on the clients that connect to it.

use synrepl_tests::impostor::Then;

use super::{LONG, Row, SUBSCRIBE, attack, bulk, many, message, row};
use crate::REDIS_PASSWORD;

/// The attacks that a Redis can make on a connection.
pub(crate) fn redis() -> Vec<Row> {
    const LINE: &[&str] = &["no connection: ", "the end of the line after at most 4096 bytes"];
    vec![
        row(
            "an endless line to a subscriber",
            || attack(SUBSCRIBE, "+", Then::Flood(|_| many(b"x"))),
            LINE,
        ),
        row(
            "an endless line to a publisher",
            || attack(b"PING", "-", Then::Flood(|_| many(b"x"))),
            LINE,
        ),
        row(
            "a slow drip",
            || attack(SUBSCRIBE, "$1000000\r\n", Then::Drip(|_| b"x".to_vec())),
            &["no connection: ", "within 10s: it did not confirm the subscription"],
        ),
        row(
            "silence",
            || attack(b"PING", "", Then::Silence),
            &["no connection: ", "within 10s: it did not answer PING"],
        ),
        row("a close at once", || attack(b"", "", Then::Close), &["no connection: Redis at 127."]),
        row(
            "an array of two thousand million",
            || attack(SUBSCRIBE, "*2147483647\r\n", Then::Silence),
            &["no connection: ", "an array of at most 16 elements, found one of 2147483647"],
        ),
        row(
            "an array of 2^63",
            || attack(SUBSCRIBE, "*9223372036854775808\r\n", Then::Silence),
            &["no connection: ", "expected a decimal integer"],
        ),
        row(
            "a string of 2^80",
            || attack(SUBSCRIBE, format!("${LONG}\r\n"), Then::Silence),
            &["no connection: ", "expected a decimal integer"],
        ),
        row(
            "a string of 2^63 - 1",
            || attack(SUBSCRIBE, "$9223372036854775807\r\n", Then::Silence),
            &["no connection: ", "a bulk string of at most 67108864 bytes"],
        ),
        row(
            "a length below zero",
            || attack(SUBSCRIBE, "$-2\r\n", Then::Silence),
            &["no connection: ", "expected a length, or -1"],
        ),
        row(
            "arrays in arrays in arrays",
            || attack(SUBSCRIBE, "", Then::Flood(|_| many(b"*1\r\n"))),
            &["no connection: ", "no array here: at most 2 inside one another"],
        ),
        row(
            "arrays of long strings",
            || {
                let arrays = |number| match number {
                    0 => b"*16\r\n*16\r\n".to_vec(),
                    _ => bulk(&vec![b'x'; 10 << 20]),
                };
                attack(b"PUBLISH", "", Then::Flood(arrays))
            },
            &["no connection: ", "expected an array of at most 134283264 bytes"],
        )
        .memory_max(240),
        row(
            "a long answer to SUBSCRIBE",
            || attack(SUBSCRIBE, bulk(&vec![1; 60 << 20]), Then::Silence),
            &["no connection: ", "it answered SUBSCRIBE with"],
        )
        .memory_max(200),
        row(
            "a long answer to PING",
            || attack(b"PING", bulk(&vec![1; 60 << 20]), Then::Silence),
            &["no connection: ", "it answered a PING with"],
        )
        .memory_max(200),
        row(
            "messages before the confirmation",
            || attack(SUBSCRIBE, "", Then::Flood(|_| message(&vec![b'x'; 1 << 20]))),
            &["no connection: ", "messages without confirming the subscription"],
        )
        .memory_max(200),
        row(
            "NUL and what is not UTF-8",
            || attack(SUBSCRIBE, b"\x00\xff\xfe".to_vec(), Then::Silence),
            &["no connection: ", "found byte 0x00"],
        ),
        row(
            "a status that is not UTF-8",
            || attack(b"PING", b"+\xff\xfe\r\n".to_vec(), Then::Silence),
            &["no connection: ", "expected UTF-8 text"],
        ),
        row(
            "gzip",
            || attack(SUBSCRIBE, b"\x1f\x8b\x08\x00".to_vec(), Then::Silence),
            &["no connection: ", "found byte 0x1f"],
        ),
        row(
            "HTTP",
            || attack(b"PING", "HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close),
            &["no connection: ", "does not speak Redis", "found byte 0x48"],
        ),
        row(
            "an error that tells the password back",
            || {
                let told = format!("-ERR no, not {} 2\r\n", REDIS_PASSWORD);
                attack(b"AUTH", told, Then::Silence)
            },
            &[
                "no connection: ",
                "refused the user or password",
                "left out: it holds our own secret",
            ],
        ),
        row(
            "all that was said, told back",
            || attack(b"AUTH", "-", Then::Echo),
            &["no connection: Redis at 127.", "refused the user or password"],
        ),
        row(
            "replies that never end",
            || attack(b"PUBLISH", "", Then::Flood(|_| many(b":1\r\n"))),
            &["no connection: ", "more replies than commands it got on the publishing"],
        ),
        row(
            "endless signs of life",
            || attack(b"PUBLISH", "", Then::Flood(|_| many(b"+PONG\r\n"))),
            &["no connection: ", "more replies than commands it got on the publishing"],
        ),
    ]
}
