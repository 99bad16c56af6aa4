//! The set-up of `synrepl serve`: flags enter, a [`Setup`] leaves, with the log open and the
//! listeners bound. Every mistake in flags and files is found before any row is taken or sent.

use std::{
    fs,
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use synrepl::{
    Builder, MainChannel,
    http::Server,
    log::{LogStore, MemoryLog, MemoryOptions, SqliteLog, SqliteOptions},
};
use synrepl_core::{Printable, wire::Secret};
use tokio::net::TcpListener;

use super::taken::{CountedLog, Taken};
use crate::{
    address,
    diagnostics::Diagnostics,
    exit::Failure,
    flags::serve::{ServeFlags, TcpFlag},
    library_log,
    secrets::SecretSource,
    stderr::Stderr,
    stop::GRACE,
    warning::Circumstances,
};

/// The time that running HTTP requests have at a stop: less than the whole stop has.
const HTTP_GRACE: Duration = GRACE.saturating_sub(Duration::from_secs(1));

/// Everything that a run needs.
pub(super) struct Setup {
    pub(super) log: Arc<dyn LogStore>,
    pub(super) taken: Arc<Taken>,
    pub(super) builder: Builder,
    pub(super) http: Option<(Server, TcpListener)>,
    pub(super) diagnostics: Diagnostics<Stderr>,
    pub(super) circumstances: Circumstances,
    pub(super) until_eof: bool,
}

/// Opens the log, listens, fills the builder, and prints what is served where.
pub(super) async fn set_up(flags: ServeFlags) -> Result<Setup, Failure> {
    library_log::show(&flags.loudness, flags.access_log);
    let is_served = flags.http.is_some() || flags.redis.is_some() || !flags.tcp.is_empty();
    if !is_served && !flags.until_eof {
        return Err(Failure::usage(
            "nobody could follow: add --http ADDR, --tcp ADDR or --redis URL (or --until-eof, to \
             append only)",
        ));
    }
    let builder = builder(&flags)?;
    let secret = SecretSource::replication(flags.secret_file.as_ref()).read()?;
    let has_secret = secret.is_some();
    let taken = Arc::new(Taken::default());
    let log = open_log(&flags, Arc::clone(&taken))?;

    let terminal = io::stderr().is_terminal();
    let mut diagnostics = Diagnostics::new(Stderr, terminal, flags.loudness.quiet);
    diagnostics.exposed(&[
        SecretSource::replication(flags.secret_file.as_ref()),
        SecretSource::redis(flags.redis_password_file.as_ref()),
    ]);
    diagnostics.note(&told_log(&flags, &*log));
    let mut addresses = Addresses::default();
    let mut builder = builder.shared_log(Arc::clone(&log));
    for TcpFlag { address, release, dialect } in &flags.tcp {
        let (listener, at) = listen("--tcp", address).await?;
        diagnostics.note(&format!("direct TCP, as release {release} speaks it: {at}"));
        if !at.ip().is_loopback() {
            diagnostics.note("direct TCP has no passwords: whoever reaches it reads every row");
        }
        addresses.tcp.push(at);
        builder = builder.listen(listener, *dialect);
    }
    let http = match &flags.http {
        None => None,
        Some(address) => {
            let (listener, at) = listen("--http", address).await?;
            diagnostics.note(&format!("HTTP, catch-up and POST /rows: http://{at}"));
            if !has_secret && !at.ip().is_loopback() {
                diagnostics.note(
                    "no secret is given: whoever reaches it reads and appends rows; see \
                     --secret-file",
                );
            }
            addresses.http = Some(at);
            Some((server(&flags, &log, secret), listener))
        }
    };
    if let Some(server_name) = flags.server_name.as_ref().filter(|_| flags.redis.is_some()) {
        diagnostics.note(&told_channels(&flags, &Printable::name(server_name)));
    }
    if let Some(path) = &flags.addresses_file {
        addresses.write(path)?;
    }
    diagnostics.note("rows in on stdin, one JSON object a line; listening");
    let circumstances = Circumstances {
        server_name: flags.server_name.unwrap_or_default(),
        has_secret,
        ..Circumstances::default()
    };
    let until_eof = flags.until_eof;
    Ok(Setup { log, taken, builder, http, diagnostics, circumstances, until_eof })
}

fn builder(flags: &ServeFlags) -> Result<Builder, Failure> {
    let needs_name =
        if flags.redis.is_some() { Some("--redis") } else { flags.tcp.first().map(|_| "--tcp") };
    let server_name = match (&flags.server_name, needs_name) {
        (Some(name), _) => Some(name.as_str()),
        (None, None) => None,
        (None, Some(flag)) => {
            return Err(Failure::usage(format!(
                "{flag}: needs --server-name NAME, the homeserver's server_name (without Synapse \
                 any name, the same for all)"
            )));
        }
    };
    let ca_file = address::ca_file(flags.ca_file.as_deref(), flags.redis.as_deref())?;
    let builder = match (&flags.redis, server_name) {
        (Some(redis), Some(server_name)) => {
            let password = SecretSource::redis(flags.redis_password_file.as_ref()).read()?;
            Builder::redis(&address::redis(redis, password.as_ref(), ca_file), server_name)
                .map_err(|error| Failure::usage(format!("--redis: {error}")))?
        }
        (_, Some(server_name)) => Builder::standalone().server_name(server_name),
        (_, None) => Builder::standalone(),
    };
    let builder = if flags.announce_unknown_streams {
        builder.core(|core| core.publish.main_channel = MainChannel::Everything)
    } else {
        builder.stream_writer(&flags.stream_writer)
    };
    // With an empty list of streams nothing is followed.
    Ok(builder.instance(&flags.name).streams(Vec::<String>::new()))
}

fn open_log(flags: &ServeFlags, taken: Arc<Taken>) -> Result<Arc<dyn LogStore>, Failure> {
    let Some(path) = &flags.log else {
        if !flags.memory {
            return Err(Failure::usage(
                "--log FILE is missing: the file that keeps the rows (or --memory, for streams \
                 that start over with their writer)",
            ));
        }
        let mut options = MemoryOptions::default();
        if let Some(rows) = flags.keep_rows {
            options.keep_rows_max = rows;
            options.keep_bytes_max = u64::MAX;
        }
        return Ok(Arc::new(CountedLog::new(MemoryLog::new(options), taken)));
    };
    let mut options = SqliteOptions::default();
    options.keep_rows_max = flags.keep_rows;
    let log = SqliteLog::open(path, options)
        .map_err(|error| Failure::usage(format!("--log {}: {error}", path.display())))?;
    Ok(Arc::new(CountedLog::new(log, taken)))
}

fn told_log(flags: &ServeFlags, log: &dyn LogStore) -> String {
    let place = match &flags.log {
        Some(path) => format!("log {}", path.display()),
        None => "log in memory".to_owned(),
    };
    let streams = log.streams();
    let mut told: Vec<String> = streams
        .iter()
        .take(5)
        .map(|(name, token)| format!("{} at {token}", Printable::name(name)))
        .collect();
    if streams.len() > told.len() {
        told.push(format!("{} more", streams.len() - told.len()));
    }
    match told.as_slice() {
        [] => format!("{place}: empty"),
        told => format!("{place}: {}", told.join(", ")),
    }
}

/// The note that states on which Redis channel each stream goes out.
fn told_channels(flags: &ServeFlags, server_name: &Printable<'_>) -> String {
    let name = Printable::name(&flags.name);
    if flags.announce_unknown_streams {
        return format!(
            "Redis, as {name}: every stream on channel {server_name}, where any Synapse that \
             listens loses its connection over those that it does not know"
        );
    }
    let apart = format!("on channel {server_name}/synrepl, where Synapse does not listen");
    match flags.stream_writer.as_slice() {
        [] => format!(
            "Redis, as {name}: every stream {apart}; those that Synapse is configured to have from \
             us are named with --stream-writer"
        ),
        streams => format!(
            "Redis, as {name}: {} on channel {server_name}, every other stream {apart}",
            streams.join(", ")
        ),
    }
}

fn server(flags: &ServeFlags, log: &Arc<dyn LogStore>, secret: Option<Secret>) -> Server {
    let server = Server::new(Arc::clone(log)).limits(|limits| limits.stop_timeout = HTTP_GRACE);
    let server = flags.allow_host.iter().fold(server, |server, name| server.allow_host(name));
    match secret {
        Some(secret) => server.secret(secret),
        None => server,
    }
}

async fn listen(flag: &str, address: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: io::Error| {
        Failure::usage(format!(
            "{flag} {address}: cannot listen there: {error}; write an address of this machine, as \
             in 127.0.0.1:9100"
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((listener, at))
}

/// The addresses that are listened on.
#[derive(Debug, Default)]
struct Addresses {
    tcp: Vec<SocketAddr>,
    http: Option<SocketAddr>,
}

impl Addresses {
    /// Writes the file whole, or not at all: a program that waits for it reads it at once.
    fn write(&self, path: &Path) -> Result<(), Failure> {
        let tcp: Vec<String> = self.tcp.iter().map(SocketAddr::to_string).collect();
        let json = json!({"tcp": tcp, "http": self.http.map(|at| at.to_string())});
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        fs::write(&aside, format!("{json}\n")).and_then(|()| fs::rename(&aside, path)).map_err(
            |error| {
                Failure::usage(format!(
                    "--addresses-file {}: cannot be written: {error}",
                    path.display()
                ))
            },
        )
    }
}
