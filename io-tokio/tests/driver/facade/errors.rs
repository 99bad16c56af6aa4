//! A match on each error of the crate.

use std::{error::Error, io, path::PathBuf};

use synrepl::{
    BuildError, Builder, ConfigError, ConnectionId, Dialect, DriverError, FetchError, FetchId,
    LogError, Misuse, ReadId, Row, SecretFileError, SendError, Stopped, Timestamp, Token,
    UnknownRelease, UrlError, WaitError, WaitId,
    log::{AppendError, JsonBatch, JsonBatchError},
    typed::{self, RowError},
};

use super::are;

fn url(error: UrlError) {
    let UrlError { url, problem, accepted, .. } = error;
    are::<(String, String, &'static str)>((url, problem, accepted));
}

fn secret_file(error: SecretFileError) {
    match error {
        SecretFileError::Unreadable { path, error } => are::<(PathBuf, io::Error)>((path, error)),
        SecretFileError::Empty { path } => are::<PathBuf>(path),
        _ => {}
    }
}

fn build(error: BuildError) {
    match error {
        BuildError::Config(ConfigError { setting, problem, .. }) => {
            are::<(&'static str, String)>((setting, problem));
        }
        BuildError::Limit { limit, problem } => are::<(&str, &str)>((limit, problem)),
        BuildError::ServerName { name, problem } => are::<(String, &str)>((name, problem)),
        BuildError::CaFile { path, problem } => are::<(PathBuf, String)>((path, problem)),
        BuildError::Tls { url, problem } => are::<(String, String)>((url, problem)),
        BuildError::NoTls { url } => are::<String>(url),
        BuildError::Secret | BuildError::NoRuntime => {}
        _ => {}
    }
}

fn driver(error: &DriverError) {
    let Some(misuse) = error.source().and_then(|source| source.downcast_ref::<Misuse>()) else {
        return;
    };
    match *misuse {
        Misuse::TimeWentBack { from, to } => are::<(Timestamp, Timestamp)>((from, to)),
        Misuse::UnknownConnection(conn)
        | Misuse::WrongConnectionState(conn)
        | Misuse::ConnectionIdInUse(conn)
        | Misuse::NothingToConfirm(conn) => are::<ConnectionId>(conn),
        Misuse::BadStreamName => {}
        Misuse::UnknownFetch(query) => are::<FetchId>(query),
        Misuse::UnknownRead(query) => are::<ReadId>(query),
        Misuse::WaitInUse(wait) => are::<WaitId>(wait),
        _ => {}
    }
}

fn send(error: SendError) {
    match error {
        SendError::Unencodable { problem } => are::<String>(problem),
        SendError::ObserveOnly
        | SendError::Disconnected
        | SendError::NotForClients
        | SendError::OnlyFromLog
        | SendError::Stopped => {}
        _ => {}
    }
}

fn wait(error: WaitError) {
    match error {
        WaitError::TimedOut { position } => are::<Option<Token>>(position),
        WaitError::Refused | WaitError::Stopped => {}
        _ => {}
    }
}

fn append(error: AppendError) {
    match error {
        AppendError::StreamName { name, problem } => are::<(String, &str)>((name, problem)),
        AppendError::Row { index, problem } => are::<(usize, String)>((index, problem)),
        AppendError::RowTooLong { index, bytes, bytes_max } => {
            are::<(usize, usize, usize)>((index, bytes, bytes_max));
        }
        AppendError::TooManyRows { rows, rows_max } => are::<(usize, usize)>((rows, rows_max)),
        AppendError::TooManyBytes { bytes, bytes_max } => are::<(usize, usize)>((bytes, bytes_max)),
        AppendError::TooManyStreams { streams_max } => are::<usize>(streams_max),
        AppendError::Store { message } => are::<String>(message),
        AppendError::Empty | AppendError::NoLog | AppendError::Closed => {}
        _ => {}
    }
}

fn json_batch(error: JsonBatchError) {
    match error {
        JsonBatchError::NotUtf8 { offset } => are::<usize>(offset),
        JsonBatchError::Form { message } => are::<String>(message),
        _ => {}
    }
}

fn fetch(error: FetchError) {
    match error {
        FetchError::NoEndpoint { instance } => are::<String>(instance),
        FetchError::Unreachable { endpoint, message }
        | FetchError::Malformed { endpoint, message } => {
            are::<(String, String)>((endpoint, message))
        }
        FetchError::TimedOut { endpoint, after_ms } => are::<(String, u64)>((endpoint, after_ms)),
        FetchError::Status { endpoint, status, message } => {
            are::<(String, u16, String)>((endpoint, status, message));
        }
        FetchError::TooLarge { limit_bytes } => are::<u64>(limit_bytes),
        FetchError::Refused { message } | FetchError::Unusable { message } => {
            are::<String>(message)
        }
        _ => {}
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(error: synrepl::log::SqliteOpenError) {
    use synrepl::log::SqliteOpenError as OpenError;
    match error {
        OpenError::InUse { path } => are::<PathBuf>(path),
        OpenError::Foreign { path, found } => are::<(PathBuf, &str)>((path, found)),
        OpenError::Newer { path, found, known } => are::<(PathBuf, i32, i32)>((path, found, known)),
        OpenError::Io { path, error } => are::<(PathBuf, io::Error)>((path, error)),
        OpenError::Sqlite { path, message } => are::<(PathBuf, String)>((path, message)),
        OpenError::Thread { error } => are::<io::Error>(error),
        OpenError::Panicked => {}
        _ => {}
    }
}

#[cfg(feature = "postgres")]
fn postgres(error: synrepl::log::PostgresOpenError) {
    use synrepl::log::PostgresOpenError as OpenError;
    match error {
        OpenError::Address { problem } => are::<String>(problem),
        OpenError::Schema { schema } => are::<String>(schema),
        OpenError::Instance => {}
        OpenError::InUse { instance, schema } => are::<(String, String)>((instance, schema)),
        OpenError::Newer { found, known } => are::<(i32, i32)>((found, known)),
        OpenError::Server { message } => are::<String>(message),
        _ => {}
    }
}

#[test]
fn an_application_names_the_type_of_every_error() {
    let failed = Builder::redis("http://127.0.0.1", "example.com").err();
    url(failed.expect("not an address of Redis"));
    let builder = || Builder::redis("redis://127.0.0.1", "example.com").expect("an address");
    secret_file(builder().secret_file("/nowhere/secret").err().expect("there is no such file"));
    build(builder().spawn().expect_err("there is no runtime here"));
    driver(&DriverError::from(Misuse::BadStreamName));
    send(SendError::Disconnected);
    wait(WaitError::Refused);
    append(AppendError::Empty);
    json_batch(JsonBatch::from_json(&"{".into()).expect_err("not a whole object"));
    fetch(FetchError::NoEndpoint { instance: "p1".to_owned() });
    let LogError { stream, message } = LogError { stream: "s".into(), message: "gone".into() };
    are::<(String, String)>((stream, message));
    are::<Option<UnknownRelease>>("9".parse::<Dialect>().err());
    are::<Option<Stopped>>(None);
    let row = Row::from("[]");
    are::<RowError>(typed::parse("events", &row).expect_err("it has no elements"));
    #[cfg(feature = "sqlite")]
    sqlite(synrepl::log::SqliteOpenError::Panicked);
    #[cfg(feature = "postgres")]
    postgres(synrepl::log::PostgresOpenError::Instance);
}
