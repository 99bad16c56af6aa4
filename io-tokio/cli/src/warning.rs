//! Warnings as sentences that a person can act on: the core states the fault, the hint here names
//! the flag or file to look at.

use std::{collections::BTreeSet, fmt};

use synrepl_core::{
    Event, GapReason, NotAuditedReason, NotSentReason, Printable, Warning,
    stream::{FetchError, Source},
};

/// The subject of a message; each kind has its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Connection,
    Malformed,
    NothingHeard,
    Unanswered,
    FetchFailed,
    NoEndpoint,
    NotAudited,
    DuplicateInstance,
    OtherWriter,
    Overflow,
    TooManySources,
    NotSent,
    PeerCutOff,
    PeerError,
    Peers,
    Log,
    RowTooLong,
    Positions,
    Exposed,
    Continuity,
    Other,
}

impl Kind {
    const fn of(warning: &Warning) -> Self {
        match warning {
            Warning::RowsGone { .. }
            | Warning::WrongAddress { .. }
            | Warning::NotRewound { .. } => Self::Continuity,
            Warning::WrongDialect { .. } | Warning::WrongServer { .. } => Self::Connection,
            Warning::Malformed { .. } => Self::Malformed,
            Warning::NothingHeard { .. } => Self::NothingHeard,
            Warning::Unanswered { .. } => Self::Unanswered,
            Warning::FetchFailed { error: FetchError::NoEndpoint { .. }, .. } => Self::NoEndpoint,
            Warning::FetchFailed { .. } => Self::FetchFailed,
            Warning::NotAudited { .. } | Warning::HoleLeft { .. } => Self::NotAudited,
            Warning::DuplicateInstance { .. } => Self::DuplicateInstance,
            Warning::OtherWriter { .. } => Self::OtherWriter,
            Warning::HoldingOverflow { .. }
            | Warning::BatchOverflow { .. }
            | Warning::TooManySyncing { .. } => Self::Overflow,
            Warning::TooManySources { .. } | Warning::TooManyStreams { .. } => Self::TooManySources,
            Warning::NotSent { .. } => Self::NotSent,
            Warning::PeerTooSlow { .. }
            | Warning::PeerRefused { .. }
            | Warning::TooManyPeers { .. } => Self::PeerCutOff,
            Warning::PeerError { .. } | Warning::WrongDirection { .. } => Self::PeerError,
            Warning::LogFailed { .. } => Self::Log,
            Warning::RowTooLong { .. } | Warning::BatchTooLong { .. } => Self::RowTooLong,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "lost connections",
            Self::Malformed => "malformed messages",
            Self::NothingHeard => "connections on which nothing was heard",
            Self::Unanswered => "unanswered questions for positions",
            Self::FetchFailed => "failed fetches",
            Self::NoEndpoint => "gaps for want of an --instance",
            Self::NotAudited => "tokens that were not looked at",
            Self::DuplicateInstance => "rows under our own name",
            Self::OtherWriter => "own streams that others write",
            Self::Overflow => "overflows",
            Self::TooManySources => "ignored sources",
            Self::NotSent => "commands not sent",
            Self::PeerCutOff => "peers cut off",
            Self::PeerError => "errors of peers",
            Self::Peers => "peers that came and went",
            Self::Log => "failed reads of the log",
            Self::RowTooLong => "rows too long for a line",
            Self::Positions => "failed saves of positions",
            Self::Exposed => "files that every user can read",
            Self::Continuity => "logs without the rows that were delivered",
            Self::Other => "warnings",
        })
    }
}

/// The flags, as far as a hint depends on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Circumstances {
    /// `--server-name`; empty if it was left out.
    pub(super) server_name: String,
    /// `--tcp`.
    pub(super) tcp: Option<String>,
    /// Whether missed rows come over `--tcp` itself.
    pub(super) server_sends_missed_rows: bool,
    /// `--observe-only`.
    pub(super) observe_only: bool,
    /// The names given in `--instance`.
    pub(super) instances: BTreeSet<String>,
    /// Whether a replication secret was given.
    pub(super) has_secret: bool,
}

impl Circumstances {
    /// The sentence about a warning: the fault and what to do, in one line.
    pub(super) fn sentence(&self, warning: &Warning) -> (Kind, String) {
        (Kind::of(warning), format!("{warning}{}", self.hint(warning)))
    }

    /// The sentence about rows that could not be had because no instance was named for their
    /// source, or nothing was to be had from it; `None` if the event is no such gap.
    pub(super) fn no_rows(&self, event: &Event) -> Option<(Kind, String)> {
        let Event::Gap { source, reason, .. } = event else { return None };
        let (kind, hint) = match reason {
            GapReason::NoEndpoint => (Kind::NoEndpoint, pass_instance(source)),
            GapReason::GaveUp { error } => (Kind::FetchFailed, self.fetch_hint(source, error)),
            GapReason::SplitToken | GapReason::Unreadable | GapReason::Discontinuity | _ => {
                return None;
            }
        };
        Some((kind, format!("{event}{hint}")))
    }

    /// The hint that follows the statement of the fault and names the flag or file to look at.
    /// Empty if there is nothing to do, or the statement names it already.
    #[expect(clippy::wildcard_enum_match_arm, reason = "of the others there is no more to say")]
    fn hint(&self, warning: &Warning) -> String {
        match warning {
            Warning::NothingHeard { .. } => self.nothing_heard(),
            Warning::Unanswered { example, .. } => {
                let again = if self.server_sends_missed_rows { "" } else { " Asking again" };
                format!(". Does the instance {} run?{again}", Printable::name(example.instance()))
            }
            Warning::FetchFailed { source, error, .. } => self.fetch_hint(source, error),
            Warning::NotAudited { source, reason, .. } => match reason {
                NotAuditedReason::NotRemembered | NotAuditedReason::TooManyTokens => {
                    "; look more often, with a shorter --audit".to_owned()
                }
                NotAuditedReason::NoEndpoint => pass_instance(source),
                NotAuditedReason::GaveUp { error } => self.fetch_hint(source, error),
                NotAuditedReason::SplitToken | _ => String::new(),
            },
            Warning::DuplicateInstance { .. } => ". Choose another name with --name".to_owned(),
            Warning::OtherWriter { .. } => {
                ". Name this instance in stream_writers of homeserver.yaml, or take the stream out \
                 of --stream-writer"
                    .to_owned()
            }
            Warning::TooManySources { .. } => ". Follow fewer with --stream".to_owned(),
            Warning::NotSent { reason: NotSentReason::ObserveOnly, .. } => {
                " (--observe-only is set)".to_owned()
            }
            Warning::WrongDialect { .. } => "; give its own release with --dialect".to_owned(),
            Warning::WrongServer { found, .. } if found.is_empty() => {
                ": is the address that of the main process's replication listener?".to_owned()
            }
            Warning::WrongServer { .. } => ": compare the address and --server-name".to_owned(),
            Warning::WrongAddress { source, error: Some(error), .. } => {
                self.fetch_hint(source, error)
            }
            Warning::WrongAddress { source, .. } | Warning::NotRewound { source, .. } => format!(
                " Compare --instance {}=URL with instance_map of homeserver.yaml",
                Printable::name(source.instance())
            ),
            Warning::BatchTooLong { .. } => ". Append smaller batches".to_owned(),
            _ => String::new(),
        }
    }

    fn nothing_heard(&self) -> String {
        if let Some(address) = &self.tcp {
            return format!(
                ": is {} the main process's listener of `type: replication`? It should have said \
                 its name at once",
                Printable::name(address)
            );
        }
        let channel = Printable::name(&self.server_name);
        if self.observe_only {
            return format!(
                " to channel {channel}: is --server-name right? With --observe-only nobody is \
                 asked to speak, so a quiet deployment looks the same"
            );
        }
        format!(
            " to channel {channel}: is --server-name right, and is this the deployment's Redis? \
             Every instance should have answered by now"
        )
    }

    /// The flag to look at; the error's own text states its meaning.
    fn fetch_hint(&self, source: &Source, error: &FetchError) -> String {
        let writer = Printable::name(source.instance());
        match error {
            FetchError::NoEndpoint { .. } => pass_instance(source),
            FetchError::Unreachable { .. } | FetchError::TimedOut { .. } => {
                format!(". Does {writer} run, and is the address in --instance {writer}=... right?")
            }
            FetchError::Status { status: 500, .. } if self.has_secret => {
                ". Compare --secret-file (or SYNREPL_REPLICATION_SECRET) with \
                 worker_replication_secret"
                    .to_owned()
            }
            FetchError::Status { status: 500, .. } => {
                ". No secret was given: pass --secret-file or set SYNREPL_REPLICATION_SECRET".into()
            }
            FetchError::Status { .. }
            | FetchError::Malformed { .. }
            | FetchError::TooLarge { .. }
            | FetchError::Unusable { .. } => format!(
                ". Is the address in --instance {writer}=... that of {writer}'s replication \
                 listener?"
            ),
            FetchError::Refused { .. } | _ => String::new(),
        }
    }
}

/// The hint to name the instance that has the rows of a source.
fn pass_instance(source: &Source) -> String {
    let writer = Printable::name(source.instance());
    format!(
        "; pass --instance {writer}=http://HOST:PORT, the HTTP replication listener of {writer}"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use synrepl_core::{
        ConnectionId,
        stream::{LogError, Span, Token},
        wire::{BadRow, DecodeError, DecodeErrorKind, Dialect},
    };

    use super::*;

    fn circumstances() -> Circumstances {
        Circumstances {
            server_name: "example.com".to_owned(),
            instances: BTreeSet::from(["p1".to_owned()]),
            has_secret: true,
            ..Circumstances::default()
        }
    }

    fn source() -> Source {
        Source::new("events", "p1")
    }

    fn failed(error: FetchError) -> Warning {
        Warning::FetchFailed {
            source: source(),
            span: Span::new(Token::new(3), Token::new(9)),
            attempt: 2,
            retry_in: Duration::from_millis(1_500),
            error,
        }
    }

    fn not_audited(source: &Source, reason: NotAuditedReason) -> Warning {
        let (from, upto) = (Token::new(3), Token::new(9));
        Warning::NotAudited { source: source.clone(), span: Span { from, upto }, reason }
    }

    fn status(status: u16) -> Warning {
        let endpoint = "http://127.0.0.1:1".to_owned();
        failed(FetchError::Status { endpoint, status, message: "Internal".to_owned() })
    }

    #[test]
    fn silence_points_at_the_server_name() {
        let warning = Warning::NothingHeard { after: Duration::from_secs(10) };
        let (kind, told) = circumstances().sentence(&warning);
        assert_eq!(kind, Kind::NothingHeard);
        assert!(told.contains(
            "for 10 s after connecting to channel example.com: is --server-name right, and"
        ));
        let observer = Circumstances { observe_only: true, ..circumstances() };
        assert!(observer.sentence(&warning).1.contains("--observe-only"));
        let tcp = Circumstances { tcp: Some("host:9092".to_owned()), ..circumstances() };
        assert!(tcp.sentence(&warning).1.contains("for 10 s after connecting: is host:9092 the"));
    }

    #[test]
    fn a_missing_address_points_at_the_flag_to_pass() {
        let (from, upto) = (Token::new(3), Token::new(9));
        let gap = |reason| Event::Gap { source: source(), span: Span { from, upto }, reason };
        let (kind, told) = circumstances().no_rows(&gap(GapReason::NoEndpoint)).unwrap();
        assert_eq!(kind, Kind::NoEndpoint);
        assert!(told.starts_with("rows (3, 9] of events/p1 could not be had: "), "{told}");
        assert!(told.contains("; pass --instance p1=http://HOST:PORT"), "{told}");
        assert_eq!(circumstances().no_rows(&gap(GapReason::SplitToken)), None);
        for warning in [
            failed(FetchError::NoEndpoint { instance: "p1".to_owned() }),
            not_audited(&source(), NotAuditedReason::NoEndpoint),
        ] {
            let (_, told) = circumstances().sentence(&warning);
            assert!(told.contains("; pass --instance p1=http://HOST:PORT"), "{told}");
        }
    }

    #[test]
    fn a_refused_fetch_points_at_the_secret() {
        let (_, told) = circumstances().sentence(&status(500));
        assert!(told.contains("attempt 2, the next one in 1.5 s"), "{told}");
        assert!(told.contains("Compare --secret-file (or SYNREPL_REPLICATION_SECRET)"), "{told}");
        let without = Circumstances { has_secret: false, ..circumstances() };
        assert!(without.sentence(&status(500)).1.contains("pass --secret-file"));
    }

    #[test]
    fn a_wrong_or_dead_address_points_at_instance() {
        let endpoint = || "http://127.0.0.1:1".to_owned();
        for warning in [
            status(404),
            failed(FetchError::Unreachable { endpoint: endpoint(), message: "refused".into() }),
            failed(FetchError::TimedOut { endpoint: endpoint(), after_ms: 5 }),
            failed(FetchError::Malformed { endpoint: endpoint(), message: "html".into() }),
        ] {
            let (kind, told) = circumstances().sentence(&warning);
            assert_eq!(kind, Kind::FetchFailed);
            assert!(told.contains("--instance p1="), "{told}");
        }
    }

    #[test]
    fn a_malformed_message_says_what_becomes_of_it() {
        let line = b"RDATA events p1 5 [\x1b";
        let error = DecodeError::new(DecodeErrorKind::BadJson, 18, "a JSON value", line);
        let (_, told) = circumstances().sentence(&Warning::Malformed { error: error.clone() });
        assert!(told.contains("bad JSON at byte 18") && told.ends_with("it is left out"), "{told}");
        assert!(!told.contains('\x1b'));
        let row = BadRow { stream: "events".into(), instance: "p1".into(), token: None };
        let error = error.with_row(row);
        let (_, told) = circumstances().sentence(&Warning::Malformed { error });
        assert!(told.ends_with("its rows of events/p1 are fetched instead"), "{told}");
    }

    #[test]
    fn what_to_do_follows_the_fault() {
        let text = || "x".to_owned();
        let observe_only = NotSentReason::ObserveOnly;
        for (warning, hint) in [
            (
                Warning::Unanswered { sources: 3, example: source(), asked: 2 },
                ". Does the instance p1 run? Asking again",
            ),
            (Warning::DuplicateInstance { instance: text() }, ". Choose another name with --name"),
            (
                Warning::OtherWriter { stream: "typing".into(), instance: "p1".into() },
                ". Name this instance in stream_writers of homeserver.yaml, or take the stream out of \
                 --stream-writer",
            ),
            (Warning::TooManySources { source: source() }, ". Follow fewer with --stream"),
            (
                not_audited(&source(), NotAuditedReason::NotRemembered),
                "; look more often, with a shorter --audit",
            ),
            (
                not_audited(&source(), NotAuditedReason::TooManyTokens),
                "; look more often, with a shorter --audit",
            ),
            (
                Warning::NotSent { command: text(), reason: observe_only },
                " (--observe-only is set)",
            ),
            (
                Warning::WrongDialect { configured: Dialect::V0_23 },
                "; give its own release with --dialect",
            ),
            (
                Warning::WrongServer { expected: text(), found: "".into() },
                "x: is the address that of the main process's replication listener?",
            ),
            (
                Warning::WrongServer { expected: text(), found: "y".into() },
                "x: compare the address and --server-name",
            ),
            (
                Warning::BatchTooLong { stream: "s".into(), token: Token::new(5), rows: 2 },
                ". Append smaller batches",
            ),
            (
                Warning::WrongAddress { source: source(), looks: 3, error: None },
                " Compare --instance p1=URL with instance_map of homeserver.yaml",
            ),
            (Warning::RowsGone { source: source(), looked_for: 3 }, "replaced by others"),
            (not_audited(&source(), NotAuditedReason::SplitToken), "cannot be requested"),
            (Warning::HoldingOverflow { source: source() }, "they will be fetched as well"),
        ] {
            let (_, told) = circumstances().sentence(&warning);
            assert!(told.ends_with(hint), "{told}");
            assert!(told.starts_with(&warning.to_string()), "{told}");
        }
        let oldest = Circumstances { server_sends_missed_rows: true, ..circumstances() };
        let warning = Warning::Unanswered { sources: 1, example: source(), asked: 1 };
        assert!(oldest.sentence(&warning).1.ends_with("run?"), "nothing is asked again there");
    }

    #[test]
    fn a_sentence_is_one_line_without_control_characters() {
        let odd = Source::new("ev\nents", "p\u{1b}1");
        let conn = ConnectionId::accepted(3);
        let log = LogError { stream: "a\nb".to_owned(), message: "a\nb".to_owned() };
        let unreachable =
            || FetchError::Unreachable { endpoint: "a\nb".to_owned(), message: "a\nb".to_owned() };
        let odd_flags = Circumstances {
            server_name: "a\nb".to_owned(),
            tcp: Some("a\nb".to_owned()),
            ..Circumstances::default()
        };
        for warning in [
            Warning::NothingHeard { after: Duration::ZERO },
            Warning::Unanswered { sources: 3, example: odd.clone(), asked: 2 },
            not_audited(&odd, NotAuditedReason::NoEndpoint),
            not_audited(&odd, NotAuditedReason::GaveUp { error: unreachable() }),
            Warning::FetchFailed {
                source: odd,
                span: Span::new(Token::new(3), Token::new(9)),
                attempt: 1,
                retry_in: Duration::ZERO,
                error: unreachable(),
            },
            Warning::PeerError { conn, text: "a\nb".into() },
            Warning::WrongServer { expected: "a\nb".to_owned(), found: "a\nb".into() },
            Warning::LogFailed { error: log, attempt: 2, retry_in: Duration::from_millis(100) },
        ] {
            for circumstances in [circumstances(), odd_flags.clone()] {
                let (_, told) = circumstances.sentence(&warning);
                assert!(!told.is_empty() && !told.contains(char::is_control), "{told}");
            }
        }
    }
}
