//! Events as text lines for people. An event and a time of day enter; at most one line leaves, in
//! which the texts of others are cut and free of control characters.

use std::io::Write as _;

use synrepl_core::{
    Event, GapReason, Origin, Printable,
    stream::{Rows, Source, Span},
    wire::Command,
};

use crate::{clock::TimeOfDay, json};

/// Longest piece of a row that is shown, in characters.
const ROW_CHARS_MAX: usize = 72;
/// Longest name that is shown in a column, in characters.
const NAME_CHARS_MAX: usize = 40;
/// Longest piece of a command's fields that is shown, in characters.
const FIELDS_CHARS_MAX: usize = 200;

/// Writes events as lines: the time of day in UTC, and the event as the core words it. Lines about
/// a source have columns: stream, writer, token, and what happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextFormat {
    /// Whether to use colours; set for terminals only.
    pub(super) colour: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Plain,
    Dim,
    Red,
    Yellow,
    Green,
}

impl Colour {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[31m",
            Self::Yellow => "\x1b[33m",
            Self::Green => "\x1b[32m",
        }
    }
}

impl TextFormat {
    /// Appends the line of `event`, with its line feed, to `out`; nothing for events that are not
    /// for stdout.
    pub(super) fn append(self, out: &mut Vec<u8>, time: TimeOfDay, event: &Event) {
        match event {
            Event::Rows { source, token, rows, origin, .. } => {
                let colour = if *origin == Origin::Live { Colour::Plain } else { Colour::Dim };
                self.of_source(
                    out,
                    time,
                    source,
                    &token.to_string(),
                    colour,
                    &told_rows(rows, *origin),
                );
            }
            Event::Position { source, token } => {
                self.of_source(out, time, source, &token.to_string(), Colour::Dim, "position");
            }
            Event::Gap { source, span: Span { from, upto }, reason } => {
                let hint = match reason {
                    GapReason::NoEndpoint => "; name its writer with --instance",
                    GapReason::GaveUp { .. }
                    | GapReason::SplitToken
                    | GapReason::Unreadable
                    | GapReason::Discontinuity
                    | _ => "",
                };
                let told =
                    format!("GAP: rows in ({from}, {upto}] could not be had: {reason}{hint}");
                self.of_source(out, time, source, &upto.to_string(), Colour::Red, &told);
            }
            Event::Reset { source, from, token } => {
                let told = format!("RESET: starts over, was at {from}");
                self.of_source(out, time, source, &token.to_string(), Colour::Yellow, &told);
            }
            Event::Discontinuity { source, position, why } => {
                let told = format!(
                    "DISCONTINUITY: the log there is another one: {why}; compare its writer's \
                     address with --instance, or find out what became of its database"
                );
                self.of_source(out, time, source, &position.to_string(), Colour::Red, &told);
            }
            Event::Rewound { source, from, to } => {
                let told = format!(
                    "REWOUND: goes back from {from}, as the log was restored from a backup; what \
                     came above {to} is no longer in it, and what it has there is fetched"
                );
                self.of_source(out, time, source, &to.to_string(), Colour::Yellow, &told);
            }
            Event::CatchingUp { source, span: Span { from, upto } } => {
                let told = format!("catching up to {upto}");
                self.of_source(out, time, source, &from.to_string(), Colour::Dim, &told);
            }
            Event::NotLive { source, token } => {
                let told = "not live: asking its writer where it stands";
                self.of_source(out, time, source, &token.to_string(), Colour::Yellow, told);
            }
            Event::Live { source, token } => {
                self.of_source(out, time, source, &token.to_string(), Colour::Green, "live");
            }
            Event::Connected { .. } => self.line(out, time, Colour::Green, &event.to_string()),
            Event::Disconnected { .. } => self.line(out, time, Colour::Yellow, &event.to_string()),
            Event::Command { command } => {
                let told = format!("{}{}", command.name(), fields(command));
                self.line(out, time, Colour::Dim, &told);
            }
            Event::PeerCommand { command, .. } => {
                self.line(out, time, Colour::Dim, &format!("{event}{}", fields(command)));
            }
            Event::PeerConnected { .. }
            | Event::PeerNamed { .. }
            | Event::PeerDisconnected { .. }
            | Event::Published { .. }
            | Event::UserSyncing { .. }
            | Event::SyncingCleared { .. }
            | Event::FederationAcked { .. } => {
                self.line(out, time, Colour::Dim, &event.to_string());
            }
            // Warnings go to stderr, the command starts no waits, and the end of the output shows
            // the stop.
            Event::Warning(_) | Event::WaitEnded { .. } | Event::Stopped => {}
            _ => {}
        }
    }

    fn of_source(
        self,
        out: &mut Vec<u8>,
        time: TimeOfDay,
        source: &Source,
        token: &str,
        colour: Colour,
        told: &str,
    ) {
        let stream = Printable::new(source.stream(), NAME_CHARS_MAX);
        let writer = Printable::new(source.instance(), NAME_CHARS_MAX);
        self.line(out, time, colour, &format!("{stream:<22} {writer:<12} {token:>9}  {told}"));
    }

    fn line(self, out: &mut Vec<u8>, time: TimeOfDay, colour: Colour, told: &str) {
        let (on, off) = match colour.code() {
            code if self.colour && !code.is_empty() => (code, "\x1b[0m"),
            _ => ("", ""),
        };
        // Writing to memory does not fail.
        let _ = writeln!(out, "{time} {on}{told}{off}");
    }
}

fn told_rows(rows: &Rows, origin: Origin) -> String {
    let first = rows.first().map(|row| format!("{row:?}")).unwrap_or_default();
    let first = Printable::new(&first, ROW_CHARS_MAX);
    let count = match rows.len() {
        1 => "1 row ".to_owned(),
        count => format!("{count} rows"),
    };
    match origin {
        Origin::Live => format!("{count}  {first}"),
        Origin::Audit | Origin::CatchUp | Origin::Hole | _ => format!("{count}, {origin}  {first}"),
    }
}

/// The fields of a command, with the space before them; empty if it has none.
fn fields(command: &Command) -> String {
    let mut line = Vec::new();
    json::append(&mut line, &Event::Command { command: command.clone() });
    let line = String::from_utf8_lossy(&line);
    // {"type":"command","command":"NAME","field":...}: only the fields are shown.
    match line.trim_end().strip_suffix('}').and_then(|line| line.splitn(3, ',').nth(2)) {
        Some(fields) => format!("  {}", Printable::new(fields, FIELDS_CHARS_MAX)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use synrepl_core::{
        ClearedReason, ConnectionId, SyncOrigin, Timestamp,
        stream::{Row, Token},
        wire::{Dialect, LockReleased, UserSync},
    };

    use super::*;

    fn told(event: &Event) -> String {
        let mut out = Vec::new();
        let time = TimeOfDay::at(Duration::from_secs(3_661));
        TextFormat { colour: false }.append(&mut out, time, event);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        text.trim_end().to_owned()
    }

    fn rows(rows: Vec<Row>, origin: Origin) -> Event {
        let (source, token) = (Source::new("events", "p1"), Token::new(290));
        Event::Rows { source, token, rows: Rows::new(rows).unwrap(), origin, position: token }
    }

    #[test]
    fn rows_are_told_in_one_line() {
        assert_eq!(
            told(&rows(vec![Row::from("[1]")], Origin::Live)),
            "01:01:01 events                 p1                 290  1 row   [1]"
        );
        let long = format!("[\"{}\"]", "x".repeat(200));
        let line = told(&rows(vec![Row::from(long.as_str()); 3], Origin::CatchUp));
        assert!(line.contains("290  3 rows, caught up  [\"xxx"), "{line}");
        assert!(line.ends_with("xxx…") && line.chars().count() < 160, "{line}");
    }

    #[test]
    fn access_tokens_in_rows_are_not_told() {
        let row = Row::from(r#"["get_user_by_access_token",["syt_secret"],1]"#);
        let line = told(&rows(vec![row], Origin::Live));
        assert!(line.contains("get_user_by_access_token"), "{line}");
        assert!(!line.contains("syt_secret"), "{line}");
    }

    #[test]
    fn what_goes_wrong_is_told_with_its_cause() {
        let source = Source::new("typing", "streams1");
        let (from, upto) = (Token::new(3), Token::new(9));
        let gap = Event::Gap {
            source: source.clone(),
            span: Span { from, upto },
            reason: GapReason::NoEndpoint,
        };
        assert!(told(&gap).ends_with(
            "GAP: rows in (3, 9] could not be had: no address is known to fetch them from; name its \
             writer with --instance"
        ));
        let reset = Event::Reset { source, from: upto, token: Token::START };
        assert!(told(&reset).ends_with("0  RESET: starts over, was at 9"));
        let lost = Event::Disconnected {
            conn: ConnectionId::new(1),
            reason: "connection refused".to_owned(),
            retry_at: Some(Timestamp::ZERO),
        };
        assert_eq!(told(&lost), "01:01:01 disconnected: connection refused; trying again");
    }

    #[test]
    fn commands_are_told_by_name_and_fields() {
        let lock = LockReleased { instance: "p1".into(), lock: "l".into(), key: "\u{9b}k".into() };
        assert_eq!(
            told(&Event::Command { command: Command::LockReleased(lock) }),
            r#"01:01:01 LOCK_RELEASED  "instance":"p1","lock":"l","key":"\u{9b}k""#
        );
        let replicate = Command::Replicate(synrepl_core::wire::Replicate::Everything);
        assert_eq!(told(&Event::Command { command: replicate }), "01:01:01 REPLICATE");
    }

    #[test]
    fn peers_are_told_by_their_numbers_and_without_control_characters() {
        let conn = ConnectionId::accepted(3);
        let command = Box::new(Command::RemoteServerUp("a\u{1b}b".into()));
        let sync = Box::new(UserSync {
            instance_id: Some("abcde".into()),
            user: "@u:x".into(),
            device: None,
            syncing: false,
            last_sync_ms: 5,
        });
        let origin = SyncOrigin::Instance("abcde".into());
        for (event, expected) in [
            (
                Event::PeerConnected { conn, dialect: Dialect::V1_13 },
                "peer 3 has connected; it is spoken to as since release 1.13",
            ),
            (Event::PeerNamed { conn, name: "w\n1".into() }, r"peer 3 is called w\u{a}1"),
            (Event::PeerDisconnected { conn, reason: "reset".to_owned() }, "peer 3 is gone: reset"),
            (
                Event::PeerCommand { conn, command },
                r#"peer 3 sent REMOTE_SERVER_UP  "server":"a\u001bb""#,
            ),
            (
                Event::Published { stream: "s".into(), token: Token::new(9) },
                "s is published up to 9",
            ),
            (
                Event::UserSyncing { origin: origin.clone(), sync },
                "@u:x no longer syncs at instance abcde",
            ),
            (
                Event::SyncingCleared { origin, users: 2, reason: ClearedReason::Silent },
                "forgot 2 syncing users of instance abcde: it reported no user for too long",
            ),
            (
                Event::FederationAcked { token: Token::new(4) },
                "every federation sender has stored federation up to 4",
            ),
        ] {
            assert_eq!(told(&event), format!("01:01:01 {expected}"));
        }
    }

    #[test]
    fn there_is_no_colour_unless_asked_for() {
        let event = Event::Live { source: Source::new("events", "p1"), token: Token::new(1) };
        assert!(!told(&event).contains('\u{1b}'));
        let mut out = Vec::new();
        TextFormat { colour: true }.append(&mut out, TimeOfDay::at(Duration::ZERO), &event);
        assert!(String::from_utf8(out).unwrap().ends_with("live\u{1b}[0m\n"));
    }
}
