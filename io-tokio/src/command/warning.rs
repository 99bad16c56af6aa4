//! Warnings as sentences that a person can act on.

use std::{collections::BTreeSet, fmt, time::Duration};

use synrepl_core::{
    ConnectionId, NotAuditedReason, NotSentReason, Warning,
    stream::{FetchError, Source, Token},
};

use super::{shorten::shortened, text::peer};

/// Longest text of others that is told, in characters.
const TEXT_CHARS_MAX: usize = 400;

/// What a message is about; each kind has its own limit.
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
    Overflow,
    TooManySources,
    NotSent,
    PeerCutOff,
    PeerError,
    Peers,
    Log,
    RowTooLong,
    Positions,
    Other,
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
            Self::NotAudited => "ranges that --audit left out",
            Self::DuplicateInstance => "rows under our own name",
            Self::Overflow => "overflows",
            Self::TooManySources => "ignored sources",
            Self::NotSent => "commands not sent",
            Self::PeerCutOff => "peers cut off",
            Self::PeerError => "errors of peers",
            Self::Peers => "peers that came and went",
            Self::Log => "failed reads of the log",
            Self::RowTooLong => "rows too long for a line",
            Self::Positions => "failed saves of positions",
            Self::Other => "warnings",
        })
    }
}

/// What the flags said, as far as a hint depends on it.
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
    /// Names in `--instance`.
    pub(super) instances: BTreeSet<String>,
    /// Whether a replication secret was given.
    pub(super) has_secret: bool,
}

impl Circumstances {
    /// What is wrong and what to do, in one line.
    pub(super) fn sentence(&self, warning: &Warning) -> (Kind, String) {
        match warning {
            Warning::Malformed { error } => {
                let sequel = match error.row() {
                    Some(row) => format!(
                        "its rows of {}/{} are fetched instead",
                        shortened(&row.stream, TEXT_CHARS_MAX),
                        shortened(&row.instance, TEXT_CHARS_MAX)
                    ),
                    None => "it is left out".to_owned(),
                };
                let told = shortened(&error.to_string(), TEXT_CHARS_MAX);
                (Kind::Malformed, format!("a message is not a command: {told}; {sequel}"))
            }
            Warning::NothingHeard { after } => (Kind::NothingHeard, self.nothing_heard(*after)),
            Warning::Unanswered { sources, example, asked } => {
                let count = match sources {
                    1 => "1 source has".to_owned(),
                    count => format!("{count} sources have"),
                };
                let told = format!(
                    "{count} not said where they stand ({} is one), asked {asked} times: does the \
                     instance {} run? Asking again",
                    name(example),
                    shortened(example.instance(), TEXT_CHARS_MAX)
                );
                (Kind::Unanswered, told)
            }
            Warning::FetchFailed {
                source,
                error: FetchError::NoEndpoint { .. },
                from,
                upto,
                ..
            } => (Kind::NoEndpoint, self.no_endpoint(source, *from, *upto)),
            Warning::FetchFailed { source, from, upto, attempt, retry_in, error } => {
                let told = format!(
                    "rows ({from}, {upto}] of {} could not be fetched (attempt {attempt}, the \
                     next one in {:.1} s): {}{}",
                    name(source),
                    retry_in.as_secs_f64(),
                    shortened(&error.to_string(), TEXT_CHARS_MAX),
                    self.fetch_hint(source, error)
                );
                (Kind::FetchFailed, told)
            }
            Warning::NotAudited { source, from, upto, reason } => {
                (Kind::NotAudited, self.not_audited(source, *from, *upto, reason))
            }
            Warning::DuplicateInstance { instance } => {
                let told = format!(
                    "another instance is called {} as well; its rows are taken for our own and \
                     left out. Choose another name with --name",
                    shortened(instance, TEXT_CHARS_MAX)
                );
                (Kind::DuplicateInstance, told)
            }
            Warning::HoldingOverflow { source } => {
                let told = format!(
                    "more rows of {} came while it catches up than are held in memory; they will \
                     be fetched as well",
                    name(source)
                );
                (Kind::Overflow, told)
            }
            Warning::BatchOverflow { source } => {
                let told = format!(
                    "a batch of {} is longer than allowed; its rows will be fetched",
                    name(source)
                );
                (Kind::Overflow, told)
            }
            Warning::TooManySources { source } => {
                let told = format!(
                    "there are more sources than are followed at once; {} is ignored. Follow fewer \
                     with --stream",
                    name(source)
                );
                (Kind::TooManySources, told)
            }
            Warning::NotSent { command, reason } => {
                let why = match reason {
                    NotSentReason::ObserveOnly => "--observe-only is set",
                    NotSentReason::NotForClients => "a client of this release may not say it",
                    NotSentReason::OnlyFromLog => "rows and positions go out from a log alone",
                    NotSentReason::Disconnected | _ => "there is no connection",
                };
                (Kind::NotSent, format!("{} was not sent: {why}", shortened(command, 40)))
            }
            Warning::PeerTooSlow { conn, pending } => {
                let told = format!(
                    "{} left {pending} commands untaken and was cut off; it can connect again and \
                     catch up",
                    peer(*conn)
                );
                (Kind::PeerCutOff, told)
            }
            Warning::PeerRefused { conn, told } => {
                let told = shortened(told, TEXT_CHARS_MAX);
                (Kind::PeerCutOff, format!("{} was cut off: {told}", peer(*conn)))
            }
            Warning::PeerError { conn, text } => {
                let told = shortened(text, TEXT_CHARS_MAX);
                (Kind::PeerError, format!("{} says ERROR: {told}", of(*conn)))
            }
            Warning::TooManyPeers { conn } => {
                let told = format!(
                    "{} was refused: there are as many connections as are allowed",
                    peer(*conn)
                );
                (Kind::PeerCutOff, told)
            }
            Warning::WrongDirection { conn, command } => {
                let told = format!(
                    "{} says {}, which its side may not say; it is left out",
                    of(*conn),
                    shortened(command, 40)
                );
                (Kind::PeerError, told)
            }
            Warning::WrongDialect { configured } => {
                let told = format!(
                    "the server there is of a later release than {configured}, which --dialect \
                     says; give its own"
                );
                (Kind::Connection, told)
            }
            Warning::WrongServer { expected, found } if found.is_empty() => {
                let told = format!(
                    "the server there sends rows before it says its name, which should be {}: is \
                     the address that of the main process's replication listener?",
                    shortened(expected, TEXT_CHARS_MAX)
                );
                (Kind::Connection, told)
            }
            Warning::WrongServer { expected, found } => {
                let told = format!(
                    "the server there is of {}, not of {}: compare the address and --server-name",
                    shortened(found, TEXT_CHARS_MAX),
                    shortened(expected, TEXT_CHARS_MAX)
                );
                (Kind::Connection, told)
            }
            Warning::LogFailed { error, attempt, retry_in } => {
                let told = format!(
                    "{} (attempt {attempt}, the next one in {:.1} s); nothing is lost, but rows \
                     wait to be published",
                    shortened(&error.to_string(), TEXT_CHARS_MAX),
                    retry_in.as_secs_f64()
                );
                (Kind::Log, told)
            }
            Warning::RowTooLong { stream, token } => {
                let told = format!(
                    "a row of {} at {token} is too long for a line of direct TCP; its batch is \
                     announced there, and has to be fetched",
                    shortened(stream, TEXT_CHARS_MAX)
                );
                (Kind::RowTooLong, told)
            }
            Warning::BatchTooLong { stream, token, rows } => {
                let told = format!(
                    "the batch of {} at {token} has {rows} rows, more than a peer may leave \
                     untaken: peers that get it are cut off and have to fetch it. Append smaller \
                     batches",
                    shortened(stream, TEXT_CHARS_MAX)
                );
                (Kind::RowTooLong, told)
            }
            Warning::TooManyStreams { stream } => {
                let told = format!(
                    "there are more own streams than are published; {} is not",
                    shortened(stream, TEXT_CHARS_MAX)
                );
                (Kind::TooManySources, told)
            }
            Warning::TooManySyncing { user } => {
                let told = format!(
                    "more users sync than are remembered; {} is not",
                    shortened(user, TEXT_CHARS_MAX)
                );
                (Kind::Overflow, told)
            }
            other => (Kind::Other, shortened(&format!("{other:?}"), TEXT_CHARS_MAX)),
        }
    }

    /// Rows are lost because nobody was named who has them.
    pub(super) fn no_endpoint(&self, source: &Source, from: Token, upto: Token) -> String {
        let writer = shortened(source.instance(), TEXT_CHARS_MAX);
        format!(
            "rows ({from}, {upto}] of {} cannot be fetched: pass --instance \
             {writer}=http://HOST:PORT, the HTTP replication listener of {writer}",
            name(source)
        )
    }

    fn not_audited(
        &self,
        source: &Source,
        from: Token,
        upto: Token,
        reason: &NotAuditedReason,
    ) -> String {
        let writer = shortened(source.instance(), TEXT_CHARS_MAX);
        let why = match reason {
            NotAuditedReason::NotRemembered => {
                "more rows came than are remembered; look more often".to_owned()
            }
            NotAuditedReason::TooManyTokens => {
                "more tokens went by than are asked for; look more often".to_owned()
            }
            NotAuditedReason::NoEndpoint => format!(
                "pass --instance {writer}=http://HOST:PORT, the HTTP replication listener of \
                 {writer}"
            ),
            NotAuditedReason::GaveUp { error } => format!(
                "{}{}",
                shortened(&error.to_string(), TEXT_CHARS_MAX),
                self.fetch_hint(source, error)
            ),
            NotAuditedReason::SplitToken => {
                "the writer gives only some of the rows of this token".to_owned()
            }
            _ => "for another reason".to_owned(),
        };
        format!(
            "rows ({from}, {upto}] of {} were not looked through for lost ones: {why}",
            name(source)
        )
    }

    fn nothing_heard(&self, after: Duration) -> String {
        if let Some(address) = &self.tcp {
            return format!(
                "nothing heard from {} after {} s: is that the main process's listener of `type: \
                 replication`? It should have said its name at once",
                shortened(address, TEXT_CHARS_MAX),
                after.as_secs()
            );
        }
        let channel = shortened(&self.server_name, TEXT_CHARS_MAX);
        let seconds = after.as_secs();
        if self.observe_only {
            return format!(
                "nothing heard on channel {channel} after {seconds} s: is --server-name right? With \
                 --observe-only nobody is asked to speak, so a quiet deployment looks the same"
            );
        }
        format!(
            "nothing heard on channel {channel} after {seconds} s: is --server-name right, and is \
             this the deployment's Redis? Every instance should have answered by now"
        )
    }

    /// Which flag to look at. What the error means is in its own text.
    fn fetch_hint(&self, source: &Source, error: &FetchError) -> String {
        let writer = shortened(source.instance(), TEXT_CHARS_MAX);
        match error {
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
            FetchError::NoEndpoint { .. } | _ => String::new(),
        }
    }
}

/// Whoever is at the other end: a peer that connected to us, or the server that we connected to.
fn of(conn: ConnectionId) -> String {
    if conn.is_accepted() { peer(conn) } else { "the server".to_owned() }
}

/// A source's name, fit for a terminal.
pub(super) fn name(source: &Source) -> String {
    shortened(&source.to_string(), TEXT_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use synrepl_core::{
        stream::LogError,
        wire::{BadRow, DecodeError, DecodeErrorKind},
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
            from: Token::new(3),
            upto: Token::new(9),
            attempt: 2,
            retry_in: Duration::from_millis(1_500),
            error,
        }
    }

    fn not_audited(source: &Source, reason: NotAuditedReason) -> Warning {
        let (from, upto) = (Token::new(3), Token::new(9));
        Warning::NotAudited { source: source.clone(), from, upto, reason }
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
        assert!(told.starts_with(
            "nothing heard on channel example.com after 10 s: is --server-name right"
        ));
        let observer = Circumstances { observe_only: true, ..circumstances() };
        assert!(observer.sentence(&warning).1.contains("--observe-only"));
        let tcp = Circumstances { tcp: Some("host:9092".to_owned()), ..circumstances() };
        assert!(tcp.sentence(&warning).1.contains("from host:9092 after 10 s"));
    }

    #[test]
    fn a_missing_address_points_at_the_flag_to_pass() {
        let told = circumstances().no_endpoint(&source(), Token::new(3), Token::new(9));
        assert!(told.contains("rows (3, 9] of events/p1 cannot be fetched"), "{told}");
        assert!(told.contains("--instance p1=http://HOST:PORT"), "{told}");
        let warning = failed(FetchError::NoEndpoint { instance: "p1".to_owned() });
        assert_eq!(circumstances().sentence(&warning), (Kind::NoEndpoint, told));
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
    fn every_other_warning_is_one_sentence_without_control_characters() {
        let odd = Source::new("ev\nents", "p\u{1b}1");
        let conn = ConnectionId::accepted(3);
        let log = LogError { stream: "a\nb".to_owned(), message: "a\nb".to_owned() };
        for warning in [
            Warning::Unanswered { sources: 3, example: odd.clone(), asked: 2 },
            Warning::DuplicateInstance { instance: "a\nb".to_owned() },
            Warning::HoldingOverflow { source: odd.clone() },
            Warning::BatchOverflow { source: odd.clone() },
            not_audited(&odd, NotAuditedReason::NotRemembered),
            not_audited(&odd, NotAuditedReason::TooManyTokens),
            not_audited(&odd, NotAuditedReason::NoEndpoint),
            not_audited(&odd, NotAuditedReason::SplitToken),
            not_audited(
                &odd,
                NotAuditedReason::GaveUp { error: FetchError::TooLarge { limit_bytes: 9 } },
            ),
            Warning::TooManySources { source: odd },
            Warning::NotSent { command: "A\nB".into(), reason: NotSentReason::Disconnected },
            Warning::PeerTooSlow { conn, pending: 10_001 },
            Warning::PeerRefused { conn, told: "a\nb".to_owned() },
            Warning::PeerError { conn, text: "a\nb".into() },
            Warning::PeerError { conn: ConnectionId::new(1), text: "a\nb".into() },
            Warning::TooManyPeers { conn },
            Warning::WrongDirection { conn, command: "A\nB".to_owned() },
            Warning::WrongServer { expected: "a\nb".to_owned(), found: "a\nb".into() },
            Warning::LogFailed { error: log, attempt: 2, retry_in: Duration::from_millis(100) },
            Warning::RowTooLong { stream: "a\nb".into(), token: Token::new(5) },
            Warning::TooManyStreams { stream: "a\nb".into() },
            Warning::TooManySyncing { user: "a\nb".into() },
        ] {
            let (_, told) = circumstances().sentence(&warning);
            assert!(!told.is_empty() && !told.chars().any(char::is_control), "{told}");
            assert!(!told.contains("{ "), "not the debug form: {told}");
        }
    }
}
