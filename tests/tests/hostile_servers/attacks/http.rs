//! Attacks of an HTTP replication listener on a client that fetches rows from it.

use synrepl_tests::impostor::Then;

use super::{LONG, Row, attack, many, row};
use crate::REPLICATION_SECRET;

/// The place at which a request has ended, and heads of answers.
const ASKED: &[u8] = b"\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn answer(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let mut said =
        format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {length}\r\n\r\n").into_bytes();
    said.extend_from_slice(body);
    said
}

fn page(updates: &str, upto: &str) -> Vec<u8> {
    answer("", format!("{{\"updates\":{updates},\"upto_token\":{upto},\"limited\":false}}"))
}

/// The attacks that an HTTP replication listener can make on its clients.
pub(crate) fn catch_up() -> Vec<Row> {
    const NOT_HTTP: &[&str] = &["http://127.0.0.1:", "not HTTP", "--instance p1="];
    const NO_PAGE: &[&str] = &["http://127.0.0.1:", "not a page", "--instance p1="];
    const TOO_LARGE: &[&str] = &["the answer is larger than 33554432 bytes", "--instance p1="];
    const TIMED_OUT: &[&str] = &["http://127.0.0.1:", "30000 ms", "Does p1 run"];
    const CUT: &[&str] = &["http://127.0.0.1:", "cannot be reached", "Does p1 run"];
    vec![
        row(
            "an endless line",
            || attack(ASKED, "HTTP/1.1 200 OK\r\nX: ", Then::Flood(|_| many(b"x"))),
            NOT_HTTP,
        ),
        row(
            "endless headers",
            || attack(ASKED, "HTTP/1.1 200 OK\r\n", Then::Flood(|_| many(b"X: y\r\n"))),
            NOT_HTTP,
        ),
        row(
            "a head that drips",
            || attack(ASKED, "HTTP/1.1 200 OK\r\nX: ", Then::Drip(|_| b"x".to_vec())),
            TIMED_OUT,
        ),
        row(
            "a body that drips",
            || attack(ASKED, CHUNKED, Then::Drip(|_| b"1\r\n \r\n".to_vec())),
            TIMED_OUT,
        ),
        row("silence", || attack(ASKED, "", Then::Silence), TIMED_OUT),
        row("a close at once", || attack(ASKED, "", Then::Close), CUT),
        row(
            "interim answers without an end",
            || attack(ASKED, "", Then::Flood(|_| many(b"HTTP/1.1 100 Continue\r\n\r\n"))),
            TIMED_OUT,
        ),
        row(
            "a body of 10^11 bytes",
            || {
                attack(
                    ASKED,
                    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                    Then::Silence,
                )
            },
            TOO_LARGE,
        ),
        row(
            "a body of 2^63 bytes",
            || {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n";
                attack(ASKED, head, Then::Silence)
            },
            TOO_LARGE,
        ),
        row(
            "a body of 2^80 bytes",
            || {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
                attack(ASKED, head, Then::Silence)
            },
            NOT_HTTP,
        ),
        row(
            "a chunk of 2^80 bytes",
            || attack(ASKED, format!("{CHUNKED}100000000000000000000\r\n"), Then::Silence),
            NOT_HTTP,
        ),
        row(
            "a chunk's name without an end",
            || attack(ASKED, format!("{CHUNKED}1;"), Then::Flood(|_| many(b"x"))),
            NOT_HTTP,
        ),
        row(
            "trailers without an end",
            || attack(ASKED, format!("{CHUNKED}0\r\n"), Then::Flood(|_| many(b"X: y\r\n"))),
            NOT_HTTP,
        ),
        row(
            "chunks without an end",
            || {
                attack(
                    ASKED,
                    CHUNKED,
                    Then::Flood(|_| format!("4000\r\n{}\r\n", " ".repeat(0x4000)).into()),
                )
            },
            TOO_LARGE,
        )
        .memory_max(140),
        row(
            "a body without an end",
            || attack(ASKED, "HTTP/1.1 200 OK\r\n\r\n", Then::Flood(|_| many(b" "))),
            TOO_LARGE,
        )
        .memory_max(140),
        row(
            "an error without an end",
            || attack(ASKED, "HTTP/1.1 500 No\r\n\r\n", Then::Flood(|_| many(b"x"))),
            &["http://127.0.0.1:", "answered 500", "--secret-file"],
        ),
        row(
            "JSON a million deep",
            || attack(ASKED, answer("", "[".repeat(1 << 20)), Then::Silence),
            NO_PAGE,
        ),
        row(
            "JSON a million deep where nobody looks",
            || {
                let body = format!("{{\"more\":{}", "[{\"x\":".repeat(1 << 20));
                attack(ASKED, answer("", body), Then::Silence)
            },
            NO_PAGE,
        )
        .memory_max(80),
        row(
            "a token of 2^63",
            || attack(ASKED, page("[[9223372036854775808,[1]]]", "13"), Then::Silence),
            NO_PAGE,
        ),
        row("an end of 2^80", || attack(ASKED, page("[]", LONG), Then::Silence), NO_PAGE),
        row(
            "an end of 2^63 - 1",
            || attack(ASKED, page("[]", "9223372036854775807"), Then::Silence),
            &["unusable page", "beyond"],
        ),
        row(
            "NUL and what is not UTF-8",
            || attack(ASKED, answer("", b"{\"updates\":\x00\xff}"), Then::Silence),
            NO_PAGE,
        ),
        row(
            "a head that is not UTF-8",
            || attack(ASKED, b"HTTP/1.1 200 \xff\x00\r\n\r\n".to_vec(), Then::Silence),
            NOT_HTTP,
        ),
        row(
            "a gzip bomb",
            || {
                let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";
                attack(
                    ASKED,
                    answer("Content-Encoding: gzip\r\n", bomb),
                    Then::Flood(|_| many(b"\0")),
                )
            },
            &["http://127.0.0.1:", "compressed (gzip)", "proxy"],
        ),
        row(
            "a gzip bomb on its way",
            || {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
                let chunk = "8\r\n\x1f\x7f\x08\0\0\0\0\0\r\n0\r\n\r\n";
                attack(ASKED, format!("{head}{chunk}"), Then::Silence)
            },
            &["http://127.0.0.1:"],
        ),
        row(
            "a brotli bomb",
            || attack(ASKED, answer("Content-Encoding: br\r\n", b"\xff"), Then::Silence),
            &["compressed (br)"],
        ),
        row(
            "half a million rows",
            || {
                let updates = format!("[{}[14,1]]", "[14,1],".repeat(1 << 19));
                attack(ASKED, page(&updates, "99"), Then::Silence)
            },
            &["unusable page", "beyond"],
        )
        .memory_max(140),
        row(
            "a way to somewhere else",
            || {
                let head = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\
                        Content-Length: 0\r\n\r\n";
                attack(ASKED, head, Then::Silence)
            },
            &["http://127.0.0.1:", "answered 302", "redirected"],
        ),
        row(
            "an error that tells the secret back",
            || {
                let text = format!("you said Bearer {} to me", REPLICATION_SECRET);
                let length = text.len();
                let head = format!("HTTP/1.1 500 No\r\nContent-Length: {length}\r\n\r\n{text}");
                attack(ASKED, head, Then::Silence)
            },
            &["http://127.0.0.1:", "left out: it holds our own secret"],
        ),
        row(
            "all that was said, told back",
            || attack(ASKED, "HTTP/1.1 418 No\r\nX: y\r\n\r\n", Then::Echo),
            &["http://127.0.0.1:", "answered 418", "left out: it holds our own secret"],
        ),
    ]
}
