//! A source of missed rows, a log of own streams and a recorder, each of the application's own.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Arc, Mutex},
};

use synrepl::{
    Action, Audience, Builder, ByteString, Channel, Command, Config, ConnectionId, DecodeError,
    Dialect, Event, FetchError, FetchFuture, FetchId, FetchRequest, FetchSource, Input, LogError,
    Page, ReadId, Recorder, Row, Source, Span, Timestamp, Token, WaitId,
    log::{AppendError, AppendFuture, LogEnds, LogStore, ReadFuture},
    typed::{StreamRow as _, TypingRow, to_row},
};

use super::are;

/// Rows that lie in memory, whoever asks.
#[derive(Clone, Default)]
struct Kept {
    rows: Arc<Mutex<Vec<(Token, Row)>>>,
    ends: Arc<Mutex<Option<LogEnds>>>,
}

impl Kept {
    fn page(&self, span: Span) -> Page {
        let rows = self.rows.lock().expect("nobody panics");
        let updates = rows.iter().filter(|(token, _)| span.from < *token && *token <= span.upto);
        Page { updates: updates.cloned().collect(), upto: span.upto, limited: false }
    }
}

impl FetchSource for Kept {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let found: Result<Page, FetchError> = match request.source.stream() {
            "typing" => Ok(self.page(request.span)),
            _ => Err(FetchError::NoEndpoint { instance: request.source.instance().to_owned() }),
        };
        Box::pin(ready(found))
    }
}

impl LogStore for Kept {
    fn streams(&self) -> BTreeMap<String, Token> {
        BTreeMap::new()
    }

    fn attach(&self, ends: LogEnds) {
        *self.ends.lock().expect("nobody panics") = Some(ends);
    }

    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture {
        let mut kept = self.rows.lock().expect("nobody panics");
        let token = Token::new(kept.last().map_or(1, |(last, _)| last.get() + 1));
        kept.extend(rows.into_iter().map(|row| (token, row)));
        if let Some(ends) = &*self.ends.lock().expect("nobody panics") {
            ends.advance(&stream, token);
        }
        Box::pin(ready(Ok::<Token, AppendError>(token)))
    }

    fn read(&self, _: ByteString, span: Span, _: u32) -> ReadFuture {
        Box::pin(ready(Ok::<Page, LogError>(self.page(span))))
    }
}

/// Keeps nothing of a run.
struct Named;

impl Recorder for Named {
    fn start(&mut self, config: &Config) {
        are::<&str>(&config.instance);
    }

    fn input(&mut self, _: Timestamp, input: &Input) {
        match input {
            Input::Connected { conn } | Input::LineTooLong { conn } => are::<&ConnectionId>(conn),
            Input::Accepted { conn, dialect } => are::<(&ConnectionId, &Dialect)>((conn, dialect)),
            Input::Disconnected { conn, reason } => are::<(&ConnectionId, &str)>((conn, reason)),
            Input::Received { conn, command } => are::<(&ConnectionId, &Command)>((conn, command)),
            Input::Sent { conn, count } => are::<(&ConnectionId, &u32)>((conn, count)),
            Input::Malformed { conn, error } => are::<(&ConnectionId, &DecodeError)>((conn, error)),
            Input::Fetched { query, result } => {
                are::<(&FetchId, &Result<Page, FetchError>)>((query, result));
            }
            Input::Appended { stream, token } => are::<(&ByteString, &Token)>((stream, token)),
            Input::LogRead { query, result } => {
                are::<(&ReadId, &Result<Page, LogError>)>((query, result));
            }
            Input::Syncing { user, device, syncing, at_ms } => {
                are::<(&ByteString, &Option<ByteString>)>((user, device));
                are::<(&bool, &i64)>((syncing, at_ms));
            }
            Input::Send { command } => are::<&Command>(command),
            Input::WaitFor { wait, source, token, deadline } => {
                are::<(&WaitId, &Source, &Token, &Timestamp)>((wait, source, token, deadline));
            }
            Input::CancelWait { wait } => are::<&WaitId>(wait),
            Input::Tick | Input::Shutdown => {}
            _ => {}
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Connect { conn } | Action::Close { conn } => are::<&ConnectionId>(conn),
            Action::Send { conn, channel, command } => {
                are::<(&ConnectionId, &Channel, &Command)>((conn, channel, command));
            }
            Action::Broadcast { audience, command } => {
                are::<(&Audience, &Command)>((audience, command));
            }
            Action::ReadLog { query, stream, span, rows_max } => {
                are::<(&ReadId, &ByteString, &Span, &u32)>((query, stream, span, rows_max));
            }
            Action::Fetch { query, source, span } => {
                are::<(&FetchId, &Source, &Span)>((query, source, span));
            }
            Action::CancelFetch { query } => are::<&FetchId>(query),
            Action::Notify(event) => are::<&Event>(event),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_application_brings_a_store_a_source_and_a_recorder_of_its_own() {
    let kept = Kept::default();
    let mut replication = Builder::standalone()
        .log(kept.clone())
        .fetch_source(kept.clone())
        .record(Named)
        .spawn()
        .expect("the settings work");
    let row = TypingRow { room_id: "!r:example.com".into(), user_ids: vec![] };
    let row = to_row(&row).expect("it can be written");
    let handle = replication.handle();
    let token = handle.append("typing", [row.clone()]).await.expect("it is kept");
    let span = Span { from: Token::new(0), upto: token };
    let request = FetchRequest::new(Source::new("typing", "writer"), span);
    assert_eq!(kept.fetch(request).await.expect("a page").updates, [(token, row.clone())]);
    assert_eq!(TypingRow::parse(&row).expect("a row").room_id, "!r:example.com");
    handle.shutdown();
    while replication.next().await.is_some() {}
}
