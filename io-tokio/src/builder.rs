//! From settings to a running replication.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    path::Path,
    sync::Arc,
};

use synrepl_core::{Config, Node, Start, stream::Positions, wire::Secret};
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
    record::Recorder,
    redis::{Bus, RedisUrl},
    replication::Replication,
    transport::{Connector, SocketConnector},
};

/// Settings of a [`Replication`].
///
/// `C` opens the sockets; it is tokio's unless [`Builder::connector`] says otherwise.
#[must_use = "a builder does nothing until `spawn` or `driver`"]
pub struct Builder<C: Connector = SocketConnector> {
    connector: C,
    redis: RedisUrl,
    server_name: String,
    user_ip: bool,
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
    /// `unix://`.
    ///
    /// # Errors
    /// What is wrong with the URL, and which forms are accepted. A password in it is not shown.
    pub fn redis(url: &str, server_name: impl Into<String>) -> Result<Self, UrlError> {
        let seed = RandomState::new().build_hasher().finish();
        let mut config = Config::default();
        config.seed = seed;
        Ok(Self {
            connector: SocketConnector,
            redis: RedisUrl::parse(url)?,
            server_name: server_name.into(),
            user_ip: false,
            secret: None,
            endpoints: BTreeMap::new(),
            fetch_source: None,
            config,
            limits: Limits::default(),
            recorder: None,
        })
    }
}

impl<C: Connector> Builder<C> {
    /// Our own instance name. Default `synrepl`. Must differ from every other instance's.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.config.instance = name.into();
        self
    }

    /// The deployment's `worker_replication_secret`, sent with every fetch. Leave out where the
    /// deployment has none.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The deployment's `worker_replication_secret`, from a file; white space at its ends is left
    /// out.
    ///
    /// # Errors
    /// The file cannot be read, or holds nothing.
    pub fn secret_file(self, path: impl AsRef<Path>) -> Result<Self, SecretFileError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|error| SecretFileError::Unreadable { path: path.to_owned(), error })?;
        match text.trim() {
            "" => Err(SecretFileError::Empty { path: path.to_owned() }),
            secret => Ok(self.secret(Secret::new(secret.to_owned()))),
        }
    }

    /// Where the rows that `instance` writes are fetched when some were missed: its replication
    /// listener, `http://`, `https://` or `unix://`. Once per writer (the main process is called
    /// `master`); a writer without an address gets a gap where rows are missing.
    ///
    /// # Errors
    /// What is wrong with the URL, and which forms are accepted.
    pub fn fetch_from(mut self, instance: impl Into<String>, url: &str) -> Result<Self, UrlError> {
        self.endpoints.insert(instance.into(), Endpoint::parse(url)?);
        Ok(self)
    }

    /// Fetches from `source` instead of the writers' HTTP endpoints.
    pub fn fetch_source(mut self, source: impl FetchSource) -> Self {
        self.fetch_source = Some(Arc::new(source));
        self
    }

    /// The streams to follow. Default all.
    pub fn streams<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.config.streams = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Where a source starts that has no saved position. Default [`Start::Now`].
    pub const fn start(mut self, start: Start) -> Self {
        self.config.start = start;
        self
    }

    /// Saved positions to resume from. Default none.
    pub fn positions(mut self, positions: Positions) -> Self {
        self.config.positions = positions;
        self
    }

    /// Publishes nothing at all, not even REPLICATE. Default false.
    pub const fn observe_only(mut self, observe_only: bool) -> Self {
        self.config.observe_only = observe_only;
        self
    }

    /// Also listens to USER_IP, which has a channel of its own and carries access tokens. Default
    /// false.
    pub const fn user_ip(mut self, listen: bool) -> Self {
        self.user_ip = listen;
        self
    }

    /// Seed of jitter and transaction ids. Default random. Two processes that talk to the same
    /// deployment must differ: Synapse caches answers by transaction id alone.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Changes settings and limits of the core.
    pub fn core(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes limits of the driver.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Shows everything that goes into the core and comes out of it to `recorder`.
    pub fn record(mut self, recorder: impl Recorder) -> Self {
        self.recorder = Some(Box::new(recorder));
        self
    }

    /// Opens sockets with `connector`: another network, such as a simulated one.
    pub fn connector<D: Connector>(self, connector: D) -> Builder<D> {
        let Self {
            connector: _,
            redis,
            server_name,
            user_ip,
            secret,
            endpoints,
            fetch_source,
            config,
            limits,
            recorder,
        } = self;
        Builder {
            connector,
            redis,
            server_name,
            user_ip,
            secret,
            endpoints,
            fetch_source,
            config,
            limits,
            recorder,
        }
    }

    /// Starts the driver on the present tokio runtime.
    ///
    /// # Errors
    /// A setting that cannot work, or there is no runtime.
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

    /// The replication, and the driver for the caller to place. It must run inside a tokio
    /// runtime with IO and time enabled.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn driver(self) -> Result<(Replication, Driver<C>), BuildError> {
        check_server_name(&self.server_name)?;
        self.limits.validate().map_err(|(limit, problem)| BuildError::Limit { limit, problem })?;
        let limits = self.limits;
        let fetch_source: Arc<dyn FetchSource> = match self.fetch_source {
            Some(source) => source,
            None => Arc::new(HttpFetch::new(
                &self.connector,
                self.endpoints,
                self.secret.as_ref(),
                &limits,
                self.config.seed,
            )?),
        };
        let (events, received) =
            events::queue(limits.events_queued_max, limits.event_bytes_queued_max);
        let (requests, requested) = mpsc::channel(limits.requests_queued_max);
        let bus = Bus::new(self.connector, self.redis, &self.server_name, self.user_ip, limits)?;
        let stop = CancellationToken::new();
        let clock = Clock::start();
        let handle = Handle::new(requests, stop.clone(), self.config.observe_only);
        let positions = self.config.positions.clone();
        let mut recorder = self.recorder;
        if let Some(recorder) = &mut recorder {
            recorder.start(&self.config);
        }
        let node = Node::new(self.config)?;
        let parts = Parts { bus, fetch_source, events, requests: requested, recorder, stop, clock };
        Ok((Replication::new(received, positions, handle, clock), Driver::new(node, parts)))
    }
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
