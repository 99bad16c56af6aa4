//! Attacks of a main process on its workers over direct TCP.

use synrepl_tests::impostor::Then;

use super::{LONG, Row, attack, many, row};

/// The attacks that a main process can make on its workers.
pub(crate) fn direct_tcp() -> Vec<Row> {
    const SERVER: &str = "SERVER example.com\nPING 1\n";
    /// The place of an attack that begins at once: nothing of the honest server comes before.
    const AT_ONCE: &[u8] = b"";
    const BAD_INTEGER: &[&str] = &["is not a command", "expected an integer within 64 bits"];
    vec![
        row(
            "an endless line",
            || attack(b"", "", Then::Flood(|_| many(b"x"))),
            &["no connection: Line length exceeded"],
        ),
        row(
            "a slow drip",
            || attack(b"", "", Then::Drip(|_| b"x".to_vec())),
            &["for 10 s after connecting", "is 127.0.0.1:"],
        ),
        row(
            "a close at once",
            || attack(b"", "", Then::Close),
            &["no connection: ", "the other side closed the connection"],
        ),
        row(
            "rows with a token of 2^63",
            || {
                attack(
                    AT_ONCE,
                    format!("{SERVER}RDATA e w 9223372036854775808 [1]\n"),
                    Then::Silence,
                )
            },
            BAD_INTEGER,
        ),
        row(
            "a position of 2^80",
            || attack(AT_ONCE, format!("{SERVER}POSITION e w 1 {LONG}\n"), Then::Silence),
            BAD_INTEGER,
        ),
        row(
            "JSON thousands deep",
            || {
                let deep = format!("RDATA e w 7 {}{}\n", "[".repeat(8_000), "]".repeat(8_000));
                let open = format!("RDATA e w 8 {}\n", "[".repeat(16_000));
                attack(AT_ONCE, format!("{SERVER}{deep}{open}"), Then::Silence)
            },
            &["is not a command", "bad JSON"],
        ),
        row(
            "NUL and what is not UTF-8",
            || {
                let said = [SERVER.as_bytes(), b"RDATA e \x00 1 [1]\nPING \xff\n"].concat();
                attack(AT_ONCE, said, Then::Silence)
            },
            &["is not a command", "not UTF-8 at byte 5"],
        ),
        row(
            "a server of another name",
            || attack(AT_ONCE, "SERVER other.example\n", Then::Silence),
            &["the server there is of other.example", "--server-name"],
        ),
        row(
            "rows of a server without a name",
            || attack(AT_ONCE, "RDATA e w 7 [1]\n", Then::Silence),
            &["sent rows or positions before its name", "should be example.com"],
        ),
        row(
            "what only clients may say, for ever",
            || attack(AT_ONCE, SERVER, Then::Flood(|_| many(b"REPLICATE\nNAME x\n"))),
            &["the server sent REPLICATE, which its side may not send"],
        )
        .floods(5),
        row(
            "lines that nobody knows, for ever",
            || attack(AT_ONCE, SERVER, Then::Flood(|_| many(b"XYZZY\n\n"))),
            &["is not a command", "XYZZY"],
        )
        .floods(5),
        row(
            "long names of writers",
            || {
                let name =
                    |number| format!("POSITION s w{number}{} 1 1\n", "x".repeat(16_000)).into();
                attack(AT_ONCE, SERVER, Then::Flood(name))
            },
            &["more sources than are followed"],
        )
        .floods(40)
        .memory_max(240),
    ]
}
