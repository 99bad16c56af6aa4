//! Settings enter; a [`Replication`] and its [`Driver`] leave. Whatever cannot work is refused
//! here, before a connection is made.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    path::Path,
    sync::Arc,
    time::Duration,
};

use synrepl_core::{
    ByteString, Config, MainChannel, Node, Start, Transport,
    stream::Positions,
    wire::{Dialect, Secret},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    driver::{Driver, Parts},
    error::{BuildError, SecretFileError, UrlError},
    events,
    fetch::FetchSource,
    handle::Handle,
    http::{Endpoint, HttpFetch},
    limits::Limits,
    log::{LogEnds, LogStore},
    record::Recorder,
    redis::{self, Bus, Purpose, RedisUrl, split_port},
    replication::Replication,
    scatter::scattered,
    session::Session,
    tcp::{self, Acceptor, Peers, Server},
    transport::{Address, Connector, Listener, SocketConnector},
};

/// The connection that this instance makes itself.
enum Via {
    Redis { url: RedisUrl, user_ip: bool },
    Tcp { address: Address, dialect: Dialect },
    Nothing,
}

/// The settings of a [`Replication`], each with a default.
///
/// `C` opens the sockets: [`SocketConnector`] unless [`Builder::connector`] gives another.
#[must_use = "a builder does nothing until `spawn` or `driver`"]
pub struct Builder<C: Connector = SocketConnector> {
    connector: C,
    via: Via,
    listeners: Vec<Acceptor>,
    log: Option<Arc<dyn LogStore>>,
    secret: Option<Secret>,
    endpoints: BTreeMap<String, Endpoint>,
    fetch_source: Option<Arc<dyn FetchSource>>,
    config: Config,
    limits: Limits,
    recorder: Option<Box<dyn Recorder>>,
}

impl Builder {
    /// Follows the deployment whose homeserver is called `server_name` (Synapse's `server_name`,
    /// with its port if it has one) over the Redis server at `url`: `redis://`, `rediss://` or
    /// `unix://`. After `rediss://HOST`, `?ca=PEM_FILE` names the CAs to trust instead of those of
    /// the public web.
    ///
    /// # Errors
    /// [`UrlError`] if the URL cannot be used: it states the fault and the forms that are accepted.
    /// A password in the URL is not shown.
    pub fn redis(url: &str, server_name: impl Into<String>) -> Result<Self, UrlError> {
        let via = Via::Redis { url: RedisUrl::parse(url)?, user_ip: false };
        Ok(Self::new(via).server_name(server_name))
    }

    /// Follows the main process at `address` (`HOST:PORT`, its listener of type `replication`) over
    /// direct TCP, as workers of releases up to 1.66 do. `dialect` is that of its release,
    /// `"1.66.0".parse()` for example: there is no negotiation on the wire. With
    /// [`Builder::server_name`] the connection is refused if it turns out to be another
    /// homeserver's.
    ///
    /// Releases up to 1.12 send missed rows over the connection itself; from later ones they are
    /// fetched over HTTP, see [`Builder::fetch_from`].
    ///
    /// # Errors
    /// [`UrlError`] if the address has no host or no port, or is malformed.
    pub fn tcp(address: &str, dialect: Dialect) -> Result<Self, UrlError> {
        let parsed = match split_port(address) {
            Ok((host, Some(port))) => Ok(Address::Tcp { host: host.to_owned(), port }),
            Ok((_, None)) => Err("it has no port"),
            Err(problem) => Err(problem),
        };
        let address = parsed.map_err(|problem| UrlError {
            url: address.to_owned(),
            problem: problem.to_owned(),
            accepted: "HOST:PORT, [IPV6]:PORT",
        })?;
        Ok(Self::new(Via::Tcp { address, dialect }))
    }

    /// Makes no connection: for a writer whose followers connect to it, see [`Builder::listen`] and
    /// [`Builder::log`].
    pub fn standalone() -> Self {
        Self::new(Via::Nothing)
    }

    fn new(via: Via) -> Self {
        let mut config = Config::default();
        config.seed = RandomState::new().build_hasher().finish();
        Self {
            connector: SocketConnector,
            via,
            listeners: Vec::new(),
            log: None,
            secret: None,
            endpoints: BTreeMap::new(),
            fetch_source: None,
            config,
            limits: Limits::default(),
            recorder: None,
        }
    }
}

impl<C: Connector> Builder<C> {
    /// Sets the name of this instance. Default `synrepl`. Must differ from every other instance's.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.config.instance = name.into();
        self
    }

    /// Sets the homeserver's name, as in user ids. It is sent to peers that connect to this
    /// instance, and compared with the name that the main process sends over direct TCP.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.config.server_name = Some(ByteString::from(name.into()));
        self
    }

    /// Sets the log of the streams that this instance writes. What is appended to it, by
    /// [`Handle::append`](crate::Handle::append) or otherwise, is published to Redis and to the
    /// peers that connect.
    pub fn log(self, store: impl LogStore) -> Self {
        self.shared_log(Arc::new(store))
    }

    /// Sets the log as [`Builder::log`] does, shared with other users of it, such as an
    /// [`http::Server`](crate::http::Server).
    pub fn shared_log(mut self, store: Arc<dyn LogStore>) -> Self {
        self.log = Some(store);
        self
    }

    /// Names the streams for which Synapse's configuration has this instance as a writer
    /// (`stream_writers`): on Redis they are published where Synapse listens. Default none: every
    /// stream is published on a channel of its own, `SERVER_NAME/synrepl`, to which followers of
    /// this crate listen as well.
    ///
    /// A Synapse loses its Redis connection over each announcement of a stream that it does not
    /// know (`docs/protocol.md` 5.6); [`MainChannel`] has the details. A name that no release of
    /// Synapse knows is refused by [`Builder::spawn`]. Replaces the names of an earlier call.
    pub fn stream_writer<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.config.publish.main_channel = MainChannel::Streams(names);
        self
    }

    /// Lets peers connect through `listener`, as workers to a main process, and publishes the own
    /// streams to them in `dialect`. There is no negotiation on the wire: give each dialect a
    /// listener of its own. Direct TCP has no authentication (`docs/protocol.md` 1.2); listen only
    /// where every host is trusted. Needs [`Builder::server_name`].
    pub fn listen(mut self, listener: impl Listener, dialect: Dialect) -> Self {
        self.listeners.push(Acceptor::new(listener, dialect));
        self
    }

    /// Sets the deployment's `worker_replication_secret`, which is sent with every fetch. Leave it
    /// out where the deployment has none.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Reads the deployment's `worker_replication_secret` from a file, without the white space at
    /// its ends. Blocks for the read.
    ///
    /// # Errors
    /// [`SecretFileError`] if the file cannot be read, is not UTF-8, or holds nothing else.
    pub fn secret_file(self, path: impl AsRef<Path>) -> Result<Self, SecretFileError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|error| SecretFileError::Unreadable { path: path.to_owned(), error })?;
        match text.trim() {
            "" => Err(SecretFileError::Empty { path: path.to_owned() }),
            secret => Ok(self.secret(Secret::new(secret.to_owned()))),
        }
    }

    /// Sets the replication listener of `instance`, from which the rows that it writes are fetched
    /// when some were missed: `http://`, `https://` (with `?ca=PEM_FILE` as for Redis) or
    /// `unix://`. To be called once per writer (the main process is called `master`); a writer
    /// without an address gets a gap where rows are missing.
    ///
    /// # Errors
    /// [`UrlError`] if the URL cannot be used: it states the fault and the forms that are accepted.
    pub fn fetch_from(mut self, instance: impl Into<String>, url: &str) -> Result<Self, UrlError> {
        self.endpoints.insert(instance.into(), Endpoint::parse(url)?);
        Ok(self)
    }

    /// Fetches missed rows from `source` instead of the writers' HTTP endpoints; those named with
    /// [`Builder::fetch_from`] are then not used.
    pub fn fetch_source(mut self, source: impl FetchSource) -> Self {
        self.fetch_source = Some(Arc::new(source));
        self
    }

    /// Sets the streams to follow. Default all.
    pub fn streams<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.config.streams = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets where a source starts that has no saved position. Default [`Start::Now`].
    pub const fn start(mut self, start: Start) -> Self {
        self.config.start = start;
        self
    }

    /// Sets the saved positions to resume from. Default none.
    pub fn positions(mut self, positions: Positions) -> Self {
        self.config.positions = positions;
        self
    }

    /// Makes this instance publish nothing at all, not even REPLICATE. Default false. For observers
    /// of a production system.
    pub const fn observe_only(mut self, observe_only: bool) -> Self {
        self.config.observe_only = observe_only;
        self
    }

    /// Compares, about once in `every`, what was delivered with what the writers hold, and delivers
    /// the rows that were lost without a trace as [`Origin::Audit`](synrepl_core::Origin). Default
    /// never. At least 1 s, 1 min is usual;
    /// [`AuditConfig::audit_every`](synrepl_core::AuditConfig::audit_every) states what it finds
    /// and costs. Needs an address to fetch from.
    pub const fn audit(mut self, every: Duration) -> Self {
        self.config.audit.audit_every = Some(every);
        self
    }

    /// Listens to USER_IP as well, which has a channel of its own on Redis and carries access
    /// tokens. Default false. Without effect where there is no Redis.
    pub const fn user_ip(mut self, listen: bool) -> Self {
        if let Via::Redis { user_ip, .. } = &mut self.via {
            *user_ip = listen;
        }
        self
    }

    /// Sets the seed of jitter and transaction ids. Default random. Two processes of one deployment
    /// must differ: Synapse caches the responses to fetches by transaction id alone
    /// (`docs/protocol.md` 6.1).
    pub const fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Changes settings and limits of the core, of which [`Config`] has a table.
    pub fn core(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes limits of the driver, of which [`Limits`] has the list.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Records the run: hands everything that enters and leaves the core to `recorder`.
    pub fn record(mut self, recorder: impl Recorder) -> Self {
        self.recorder = Some(Box::new(recorder));
        self
    }

    /// Opens sockets with `connector`, which may belong to another network, such as a simulated
    /// one.
    pub fn connector<D: Connector>(self, connector: D) -> Builder<D> {
        let Self {
            connector: _,
            via,
            listeners,
            log,
            secret,
            endpoints,
            fetch_source,
            config,
            limits,
            recorder,
        } = self;
        Builder {
            connector,
            via,
            listeners,
            log,
            secret,
            endpoints,
            fetch_source,
            config,
            limits,
            recorder,
        }
    }

    /// Starts the driver as a task of the present tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] if a setting cannot work, or if there is no runtime.
    pub fn spawn(self) -> Result<Replication, BuildError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let (replication, driver) = self.driver()?;
        runtime.spawn(async move {
            if let Err(error) = driver.run().await {
                tracing::error!(%error, "replication ended");
            }
        });
        Ok(replication)
    }

    /// Returns the replication, and its driver for the caller to place. The driver must be polled
    /// inside a tokio runtime with IO and time enabled.
    ///
    /// # Errors
    /// [`BuildError`] if a setting cannot work.
    pub fn driver(self) -> Result<(Replication, Driver<C>), BuildError> {
        self.limits.validate().map_err(|(limit, problem)| BuildError::Limit { limit, problem })?;
        let limits = self.limits;
        let mut config = self.config;
        // The server name is sent to peers, and is the name of a channel on Redis.
        let is_named = matches!(self.via, Via::Redis { .. }) || !self.listeners.is_empty();
        if is_named || config.server_name.is_some() {
            check_server_name(config.server_name.as_deref().unwrap_or_default())?;
        }
        if config.instance_id == Config::default().instance_id {
            config.instance_id = five_letters(config.seed);
        }
        config.transport = match &self.via {
            Via::Redis { .. } => Transport::Bus,
            Via::Tcp { dialect, .. } => Transport::Tcp(*dialect),
            Via::Nothing => Transport::None,
        };
        let log_ends = LogEnds::default();
        if let Some(log) = &self.log {
            log.attach(log_ends.clone());
            config.publish.own_streams = log.streams();
        }
        let fetch_source: Arc<dyn FetchSource> = match self.fetch_source {
            Some(source) => source,
            None => Arc::new(HttpFetch::new(
                &self.connector,
                self.endpoints,
                self.secret.as_ref(),
                &limits,
                config.seed,
            )?),
        };
        let (events, received) =
            events::queue(limits.events_queued_max, limits.event_bytes_queued_max);
        let (requests, requested) = mpsc::channel(limits.requests_queued_max);
        let peers_max = usize::try_from(config.publish.peers_max).unwrap_or(usize::MAX);
        let peers = Peers::new(self.listeners, peers_max, limits.peer_lines_queued_max);
        let session = match self.via {
            Via::Redis { url, user_ip } => {
                let server_name = config.server_name.as_deref().unwrap_or_default();
                let purpose = if config.observe_only { Purpose::Observe } else { Purpose::Publish };
                let bus = Bus::new(self.connector, url, server_name, user_ip, purpose, limits)?;
                Session::Redis(Box::new(redis::Session::new(bus)))
            }
            Via::Tcp { address, dialect } => {
                let server = Server::new(self.connector, address, dialect, &limits);
                Session::Tcp(tcp::Session::new(server))
            }
            Via::Nothing => Session::None,
        };
        let stop = CancellationToken::new();
        let clock = Clock::start();
        let handle = Handle::new(requests, stop.clone(), config.observe_only, self.log.clone());
        let positions = config.positions.clone();
        let continuity = config.continuity.clone();
        let mut recorder = self.recorder;
        if let Some(recorder) = &mut recorder {
            recorder.start(&config);
        }
        let node = Node::new(config)?;
        let parts = Parts {
            session,
            peers,
            fetch_source,
            log: self.log,
            log_ends,
            events,
            requests: requested,
            recorder,
            stop,
            clock,
        };
        let replication = Replication::new(received, positions, &continuity, handle, clock);
        Ok((replication, Driver::new(node, parts)))
    }
}

/// Makes an instance id of five letters from the seed; Synapse's processes draw theirs at random
/// (`docs/protocol.md` 0).
fn five_letters(seed: u64) -> ByteString {
    const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut mixed = scattered(seed);
    let mut letters = String::new();
    for _ in 0..5 {
        letters.push(char::from(LETTERS[(mixed % 52) as usize]));
        mixed /= 52;
    }
    letters.into()
}

fn check_server_name(name: &str) -> Result<(), BuildError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "has a space or control character"
    } else if name.contains('/') {
        "has a slash"
    } else {
        return Ok(());
    };
    Err(BuildError::ServerName { name: name.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_is_five_letters_that_the_seed_decides() {
        let ids: std::collections::BTreeSet<ByteString> = (0..1_000).map(five_letters).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            assert_eq!(id.len(), 5);
            assert!(id.chars().all(|c| c.is_ascii_alphabetic()), "{id}");
        }
        assert_eq!(five_letters(7), five_letters(7));
    }

    #[test]
    fn an_address_of_direct_tcp_needs_a_host_and_a_port() {
        for good in ["127.0.0.1:9092", "main.example:1", "[::1]:9092"] {
            assert!(Builder::tcp(good, Dialect::V1_22).is_ok(), "{good}");
        }
        for bad in ["", "main", ":9092", "main:0", "main:x", "::1:9092", "tcp://main:9092"] {
            let Err(error) = Builder::tcp(bad, Dialect::V1_22) else { panic!("{bad}") };
            assert!(error.to_string().contains("HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn who_listens_needs_a_server_name() {
        struct Never;
        impl Listener for Never {
            type Stream = tokio::io::DuplexStream;
            async fn accept(&mut self) -> std::io::Result<(Self::Stream, String)> {
                std::future::pending().await
            }
        }
        let error = Builder::standalone().listen(Never, Dialect::LATEST).driver().err().unwrap();
        assert!(matches!(error, BuildError::ServerName { .. }), "{error}");
        let named = Builder::standalone().server_name("example.com");
        assert!(named.listen(Never, Dialect::LATEST).driver().is_ok());
    }
}
