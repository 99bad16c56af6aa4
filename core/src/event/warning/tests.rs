use super::*;
use crate::{
    event::tests::{
        CONN, FROM, PEER, UPTO, assert_lines, fetch_failed, malformed, source, too_large,
    },
    wire::BadRow,
};

fn not_audited(reason: NotAuditedReason) -> Warning {
    Warning::NotAudited { source: source(), span: Span::new(FROM, UPTO), reason }
}

#[test]
fn every_warning_states_its_fault_in_one_line() {
    let row = BadRow { stream: "events".into(), instance: "p1".into(), token: None };
    let log = LogError { stream: "s".to_owned(), message: "disk I/O error".to_owned() };
    let retry_in = Duration::from_millis(100);
    assert_lines(
        26,
        &[
            (
                Warning::RowsGone { source: source(), looked_for: 8 },
                "none of the 8 rows of events/p1 that were delivered last is in its writer's log any \
                 more: deleted, or replaced by others",
            ),
            (
                Warning::WrongAddress { source: source(), looks: 3, error: None },
                "rows that p1 had just sent were looked for at its address 3 times: they were not \
                 there; is it the address of another instance?",
            ),
            (
                Warning::WrongAddress { source: source(), looks: 3, error: Some(too_large()) },
                "rows that p1 had just sent were looked for at its address 3 times: the last \
                 attempt failed: the answer is larger than 5 bytes; is it the address of another \
                 instance?",
            ),
            (
                Warning::NotRewound { source: source(), position: UPTO, announced: FROM },
                "events/p1 is announced at 3, below its position 9, and no delivered row is in its \
                 log; is it the log of another instance?",
            ),
            (
                Warning::Malformed { error: malformed("RDATA events p1 5 [").with_row(row) },
                "a message is not a command: bad JSON at byte 18: expected one valid JSON value in \
                 \"RDATA events p1 5 [\"; its rows of events/p1 are fetched instead",
            ),
            (
                Warning::Malformed { error: malformed("LOCK_RELEASED [") },
                "a message is not a command: bad JSON at byte 18: expected one valid JSON value in \
                 \"LOCK_RELEASED [\"; it is left out",
            ),
            (
                Warning::NothingHeard { after: Duration::from_millis(10_400) },
                "nothing was received from any instance for 10 s after connecting",
            ),
            (
                Warning::Unanswered { sources: 1, example: source(), asked: 1 },
                "events/p1 announced no position on this connection after 1 request",
            ),
            (
                Warning::Unanswered { sources: 3, example: source(), asked: 2 },
                "events/p1 and 2 other sources announced no position on this connection after 2 \
                 requests",
            ),
            (
                fetch_failed(too_large()),
                "rows (3, 9] of events/p1 could not be fetched (attempt 2, the next one in 1.5 s): \
                 the answer is larger than 5 bytes",
            ),
            (
                Warning::DuplicateInstance { instance: "p1".to_owned() },
                "another instance is called p1 as well: its rows are taken for our own and left out",
            ),
            (
                Warning::OtherWriter { stream: "typing".into(), instance: "p1".into() },
                "p1 writes typing as well, of which Synapse takes one writer only",
            ),
            (
                not_audited(NotAuditedReason::TooManyTokens),
                "rows (3, 9] of events/p1 were not compared with the writer's log: there are more \
                 tokens than one audit may request",
            ),
            (
                Warning::HoldingOverflow { source: source() },
                "more rows of events/p1 came during its catch-up than are held in memory; they will \
                 be fetched as well",
            ),
            (
                Warning::BatchOverflow { source: source() },
                "a batch of events/p1 is longer than allowed; its rows will be fetched",
            ),
            (
                Warning::TooManySources { source: source() },
                "there are more sources than are followed at once; events/p1 is ignored",
            ),
            (
                Warning::PeerTooSlow { conn: PEER, pending: 10_001 },
                "peer 3 left 10001 commands untaken and was cut off; it can connect again and catch \
                 up",
            ),
            (
                Warning::PeerRefused { conn: PEER, told: "ping timeout".to_owned() },
                "peer 3 was cut off: ping timeout",
            ),
            (
                Warning::PeerError { conn: CONN, text: "Failed to keep up".into() },
                "the server sent ERROR: Failed to keep up",
            ),
            (
                Warning::TooManyPeers { conn: PEER },
                "peer 3 was refused: there are as many connections as are allowed",
            ),
            (
                Warning::WrongDirection { conn: CONN, command: "REPLICATE".to_owned() },
                "the server sent REPLICATE, which its side may not send; it is left out",
            ),
            (
                Warning::WrongDialect { configured: Dialect::V0_23 },
                "the server there is of a later release than 0.23, which is configured: it would \
                 not understand how missed rows are requested",
            ),
            (
                Warning::WrongServer { expected: "a.org".to_owned(), found: ByteString::new() },
                "the server there sent rows or positions before its name, which should be a.org",
            ),
            (
                Warning::WrongServer { expected: "a.org".to_owned(), found: "b.org".into() },
                "the server there is of b.org, not of a.org",
            ),
            (
                Warning::LogFailed { error: log, attempt: 2, retry_in },
                "the log of stream \"s\" cannot be read: disk I/O error (attempt 2, the next one in \
                 0.1 s); nothing is lost, but rows wait to be published",
            ),
            (
                Warning::RowTooLong { stream: "s".into(), token: UPTO },
                "a row of s at 9 is too long for a line of direct TCP: its batch is announced there, \
                 and has to be fetched",
            ),
            (
                Warning::BatchTooLong { stream: "s".into(), token: UPTO, rows: 20_000 },
                "the batch of s at 9 has 20000 rows, more than a peer may leave untaken: peers that \
                 get it are cut off and have to fetch it",
            ),
            (
                Warning::TooManyStreams { stream: "s".into() },
                "there are more own streams than are published; s is not",
            ),
            (
                Warning::TooManySyncing { user: "@u:h".into() },
                "more users sync than are remembered; @u:h is not",
            ),
            (
                Warning::NotSent { command: "PING".into(), reason: NotSentReason::Disconnected },
                "PING was not sent: there is no connection",
            ),
        ],
    );
}
