//! A match on an event, on a warning, and on a command in one.

use std::time::Duration;

use synrepl::{
    BadRow, Break, ByteString, ClearedReason, Command, ConnectionId, DecodeError, DecodeErrorKind,
    Dialect, Event, FederationAck, FetchError, GapReason, InvalidateCache, LockReleased, LogError,
    NotAuditedReason, NotSentReason, Origin, Position, Rdata, RemovePusher, Replicate, Rows,
    Secret, Source, Span, SyncOrigin, Timestamp, Token, UserIp, UserSync, WaitId, WaitOutcome,
    Warning,
};

use super::are;

fn event(event: Event) {
    match event {
        Event::Connected { conn } => are::<ConnectionId>(conn),
        Event::Disconnected { conn, reason, retry_at } => {
            are::<(ConnectionId, String, Option<Timestamp>)>((conn, reason, retry_at));
        }
        Event::Rows { source, token, rows, origin, position } => {
            are::<(Source, Token, Rows, Token)>((source, token, rows, position));
            from(origin);
        }
        Event::Position { source, token }
        | Event::NotLive { source, token }
        | Event::Live { source, token } => are::<(Source, Token)>((source, token)),
        Event::Gap { source, span, reason } => {
            are::<(Source, Span)>((source, span));
            gap(reason);
        }
        Event::Reset { source, from, token } => {
            are::<(Source, Token, Token)>((source, from, token))
        }
        Event::Discontinuity { source, position, why } => {
            are::<(Source, Token)>((source, position));
            match why {
                Break::OtherRows { token, same_upto } => {
                    are::<(Token, Option<Token>)>((token, same_upto));
                }
                Break::NoRows { looked_for } => are::<u32>(looked_for),
                _ => {}
            }
        }
        Event::Rewound { source, from, to } => are::<(Source, Token, Token)>((source, from, to)),
        Event::CatchingUp { source, span } => are::<(Source, Span)>((source, span)),
        Event::Command { command: received } => command(received),
        Event::PeerCommand { conn, command: received } => {
            are::<ConnectionId>(conn);
            command(*received);
        }
        Event::PeerConnected { conn, dialect } => are::<(ConnectionId, Dialect)>((conn, dialect)),
        Event::PeerNamed { conn, name } => are::<(ConnectionId, ByteString)>((conn, name)),
        Event::PeerDisconnected { conn, reason } => are::<(ConnectionId, String)>((conn, reason)),
        Event::Published { stream, token } => are::<(ByteString, Token)>((stream, token)),
        Event::UserSyncing { origin, sync } => {
            are::<Box<UserSync>>(sync);
            syncing(origin);
        }
        Event::SyncingCleared { origin, users, reason } => {
            are::<u32>(users);
            syncing(origin);
            match reason {
                ClearedReason::Stopped | ClearedReason::Silent | ClearedReason::Disconnected => {}
                _ => {}
            }
        }

        Event::FederationAcked { token } => are::<Token>(token),
        Event::WaitEnded { wait, outcome } => {
            are::<WaitId>(wait);
            match outcome {
                WaitOutcome::Reached { position } => are::<Token>(position),
                WaitOutcome::TimedOut { position } => are::<Option<Token>>(position),
                WaitOutcome::Refused => {}
                _ => {}
            }
        }
        Event::Warning(fault) => warning(fault),
        Event::Stopped => {}
        _ => {}
    }
}

fn from(origin: Origin) {
    match origin {
        Origin::Live | Origin::CatchUp | Origin::Audit | Origin::Hole => {}
        _ => {}
    }
}

fn gap(reason: GapReason) {
    match reason {
        GapReason::GaveUp { error } => are::<FetchError>(error),
        GapReason::NoEndpoint
        | GapReason::SplitToken
        | GapReason::Unreadable
        | GapReason::Discontinuity => {}
        _ => {}
    }
}

fn syncing(origin: SyncOrigin) {
    match origin {
        SyncOrigin::Instance(id) => are::<ByteString>(id),
        SyncOrigin::Connection(conn) => are::<ConnectionId>(conn),
        _ => {}
    }
}

fn warning(warning: Warning) {
    match warning {
        Warning::Malformed { error } => malformed(&error),
        Warning::NothingHeard { after } => are::<Duration>(after),
        Warning::Unanswered { sources, example, asked } => {
            are::<(u32, Source, u32)>((sources, example, asked));
        }
        Warning::FetchFailed { source, span, attempt, retry_in, error } => {
            are::<(Source, Span, u32)>((source, span, attempt));
            are::<(Duration, FetchError)>((retry_in, error));
        }
        Warning::DuplicateInstance { instance } => are::<String>(instance),
        Warning::OtherWriter { stream, instance } => {
            are::<(ByteString, ByteString)>((stream, instance))
        }
        Warning::NotAudited { source, span, reason } => {
            are::<(Source, Span)>((source, span));
            match reason {
                NotAuditedReason::GaveUp { error } => are::<FetchError>(error),
                NotAuditedReason::NotRemembered
                | NotAuditedReason::TooManyTokens
                | NotAuditedReason::NoEndpoint
                | NotAuditedReason::SplitToken => {}
                _ => {}
            }
        }
        Warning::RowsGone { source, looked_for } => are::<(Source, u32)>((source, looked_for)),
        Warning::WrongAddress { source, looks, error } => {
            are::<(Source, u32, Option<FetchError>)>((source, looks, error));
        }
        Warning::NotRewound { source, position, announced } => {
            are::<(Source, Token, Token)>((source, position, announced));
        }
        Warning::HoldingOverflow { source }
        | Warning::BatchOverflow { source }
        | Warning::TooManySources { source } => are::<Source>(source),
        Warning::PeerTooSlow { conn, pending } => are::<(ConnectionId, u32)>((conn, pending)),
        Warning::PeerRefused { conn, told } => are::<(ConnectionId, String)>((conn, told)),
        Warning::PeerError { conn, text } => are::<(ConnectionId, ByteString)>((conn, text)),
        Warning::HoleLeft { source, span, reason } => {
            are::<(Source, Span, NotAuditedReason)>((source, span, reason));
        }
        Warning::TooManyPeers { conn } => are::<ConnectionId>(conn),
        Warning::WrongDirection { conn, command } => are::<(ConnectionId, String)>((conn, command)),
        Warning::WrongDialect { configured } => are::<Dialect>(configured),
        Warning::WrongServer { expected, found } => are::<(String, ByteString)>((expected, found)),
        Warning::LogFailed { error, attempt, retry_in } => {
            are::<(LogError, u32, Duration)>((error, attempt, retry_in));
        }
        Warning::RowTooLong { stream, token } => are::<(ByteString, Token)>((stream, token)),
        Warning::BatchTooLong { stream, token, rows } => {
            are::<(ByteString, Token, u32)>((stream, token, rows));
        }
        Warning::TooManyStreams { stream } => are::<ByteString>(stream),
        Warning::TooManySyncing { user } => are::<ByteString>(user),
        Warning::NotSent { command, reason } => {
            are::<String>(command);
            match reason {
                NotSentReason::Disconnected
                | NotSentReason::ObserveOnly
                | NotSentReason::NotForClients
                | NotSentReason::OnlyFromLog => {}
                _ => {}
            }
        }
        _ => {}
    }
}

fn malformed(error: &DecodeError) {
    are::<Option<&BadRow>>(error.row());
    match error.kind() {
        DecodeErrorKind::Blank
        | DecodeErrorKind::NotUtf8
        | DecodeErrorKind::UnknownCommand
        | DecodeErrorKind::BadField
        | DecodeErrorKind::BadJson => {}
        _ => {}
    }
}

fn command(command: Command) {
    match command {
        Command::Server(text)
        | Command::Name(text)
        | Command::Ping(text)
        | Command::Error(text)
        | Command::Sync(text)
        | Command::ClearUserSync(text)
        | Command::RemoteServerUp(text)
        | Command::NewActiveTask(text)
        | Command::CancelTask(text) => are::<ByteString>(text),
        Command::Replicate(wanted) => are::<Replicate>(wanted),
        Command::Rdata(rdata) => are::<Rdata>(rdata),
        Command::Position(position) => are::<Position>(position),
        Command::UserSync(sync) => are::<Box<UserSync>>(sync),
        Command::FederationAck(ack) => are::<FederationAck>(ack),
        Command::RemovePusher(pusher) => are::<RemovePusher>(pusher),
        Command::InvalidateCache(entry) => are::<InvalidateCache>(entry),
        Command::UserIp(seen) => {
            are::<&UserIp>(&seen);
            are::<Secret>(seen.access_token);
        }
        Command::LockReleased(lock) => are::<LockReleased>(lock),
        _ => {}
    }
}

#[test]
fn an_application_names_every_type_in_an_event() {
    let source = Source::new("events", "p1");
    let (from, token) = (Token::new(1), Token::new(2));
    let rows = Event::Rows {
        source: source.clone(),
        token,
        rows: Rows::from(synrepl::Row::from("[1]")),
        origin: Origin::Live,
        position: token,
    };
    let gap =
        Event::Gap { source, span: Span { from, upto: token }, reason: GapReason::NoEndpoint };
    let asked = Event::Command { command: Command::Replicate(Replicate::Everything) };
    let cut = Warning::PeerTooSlow { conn: ConnectionId::accepted(1), pending: 9 };
    for given in [rows, gap, asked, Event::Warning(cut), Event::Stopped] {
        event(given);
    }
}
