//! The way from an address to a confirmed subscription (`docs/protocol.md` 1.3, order at start).
//! What is published from the confirmation on is not missed.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Once},
};

use synrepl_core::{
    Channel,
    wire::{Command, Frame, Secret},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    link::{Link, is_push},
    part::{Part, Purpose, Question, warn_of_unknown},
    publisher::Publisher,
    socket::{Failure, Role, Socket, kind_of},
    url::RedisUrl,
};
use crate::{
    error::BuildError,
    limits::Limits,
    transport::{Address, Connector, Secured, Security},
};

/// A Redis server and the channels of one deployment on it, from which connections are made.
#[derive(Clone)]
pub(crate) struct Bus<C: Connector> {
    connector: C,
    address: Address,
    security: Security,
    login: Login,
    channels: Channels,
    limits: Limits,
    purpose: Purpose,
    /// Done once it was said that the server does not tell its part.
    unknown_part: Arc<Once>,
}

/// The user and password, if the server wants them.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

/// The names of the channels of one deployment.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    /// The channel that is named as the homeserver; Synapse listens to it.
    main: String,
    /// The channel of this crate, to which Synapse does not listen (P6).
    synrepl: String,
    /// The channel that carries USER_IP alone.
    user_ip: String,
    listen_user_ip: bool,
}

impl Channels {
    pub(super) fn new(server_name: &str, listen_user_ip: bool) -> Self {
        Self {
            main: server_name.to_owned(),
            synrepl: format!("{server_name}/synrepl"),
            user_ip: format!("{server_name}/USER_IP"),
            listen_user_ip,
        }
    }

    /// Returns the name of the channel that carries a command.
    pub(super) const fn name_for(&self, channel: Channel, command: &Command) -> &str {
        match (channel, command) {
            (_, Command::UserIp(_)) => self.user_ip.as_str(),
            (Channel::Synrepl, _) => self.synrepl.as_str(),
            (Channel::Main | _, _) => self.main.as_str(),
        }
    }
}

impl<C: Connector> Bus<C> {
    pub(crate) fn new(
        connector: C,
        url: RedisUrl,
        server_name: &str,
        listen_user_ip: bool,
        purpose: Purpose,
        limits: Limits,
    ) -> Result<Self, BuildError> {
        let security = Security::new(url.tls, url.ca_file.as_deref(), "rediss://")?;
        Ok(Self {
            connector,
            address: url.address,
            security,
            login: Login { user: url.user, password: url.password },
            channels: Channels::new(server_name, listen_user_ip),
            limits,
            purpose,
            unknown_part: Arc::new(Once::new()),
        })
    }

    /// Connects, logs in and subscribes; returns when the subscription is confirmed, so that
    /// nothing published from then on is missed.
    pub(super) async fn open(self) -> Result<Link<Secured<C::Stream>>, Failure> {
        let limit = self.limits.connect_timeout;
        let address = self.address.clone();
        let mut stage = if self.security.is_tls() { Stage::ConnectTls } else { Stage::Connect };
        timeout(limit, self.open_unbounded(&mut stage))
            .await
            .unwrap_or_else(|_| {
                Err(format!("no connection and subscription within {limit:?}: {stage}"))
            })
            .map_err(|failure| format!("Redis at {address}: {failure}"))
    }

    async fn open_unbounded(self, stage: &mut Stage) -> Result<Link<Secured<C::Stream>>, Failure> {
        let publisher = self.connect().await?;
        let subscriber = self.connect().await?;
        self.log_in_and_subscribe(subscriber, publisher, stage).await
    }

    async fn connect(&self) -> Result<Secured<C::Stream>, Failure> {
        self.security
            .connect(&self.connector, &self.address)
            .await
            .map_err(|error| format!("cannot connect: {error}"))
    }

    /// Logs in on both streams and subscribes on the first.
    async fn log_in_and_subscribe(
        self,
        subscriber: Secured<C::Stream>,
        publisher: Secured<C::Stream>,
        stage: &mut Stage,
    ) -> Result<Link<Secured<C::Stream>>, Failure> {
        let Self { login, channels, limits, .. } = &self;
        let password = login.password.as_ref();
        let mut publisher = Socket::new(publisher, Role::Publishing, password, limits);
        greet(&mut publisher, login, stage).await.map_err(|failure| {
            // A server with TLS takes what it got for a broken handshake.
            let hint = if publisher.has_heard() || self.security.is_tls() {
                ""
            } else {
                "; if that port speaks TLS, write rediss:// in the URL"
            };
            format!("{failure}{hint}")
        })?;
        *stage = Stage::Part;
        self.check_part(&mut publisher).await?;
        let publisher = Publisher::new(publisher, self.purpose);

        let mut subscriber = Socket::new(subscriber, Role::Subscribing, password, limits);
        *stage = Stage::Auth;
        authenticate(&mut subscriber, login).await?;
        *stage = Stage::Subscribe;
        // This has a SUBSCRIBE of its own, because a server may have been configured to allow the
        // deployment's channel alone.
        subscriber.queue(&[b"SUBSCRIBE", channels.synrepl.as_bytes()]);
        let main = channels.main.as_bytes();
        let mut expected = 2;
        if channels.listen_user_ip {
            expected = 3;
            subscriber.queue(&[b"SUBSCRIBE", channels.user_ip.as_bytes(), main]);
        } else {
            subscriber.queue(&[b"SUBSCRIBE", main]);
        }
        let synrepl = channels.synrepl.clone();
        let mut link = Link::new(subscriber, publisher, channels.clone(), limits);
        let mut is_first = true;
        while expected > 0 {
            let frame = reply(link.subscriber()).await?;
            if is_push(&frame, b"subscribe") {
                expected -= 1;
                is_first = false;
            } else if let Frame::Error(text) = frame {
                if !(std::mem::take(&mut is_first) && text.starts_with("NOPERM")) {
                    return Err(refused("the subscription", &text));
                }
                expected -= 1;
                tracing::warn!(
                    channel = synrepl,
                    "Redis does not allow to subscribe to this channel: rows of writers that publish \
                     there, for none of whose streams Synapse is configured, are not heard; allow it \
                     with ACL SETUSER NAME &CHANNEL"
                );
            } else {
                // A message on the first channel may arrive before the second is confirmed.
                link.keep(frame)?;
            }
        }
        Ok(link)
    }

    /// Asks which part the server plays, and has the keep-alive ask on. A server that tells it
    /// nobody is taken as it is, which is said once.
    async fn check_part(&self, socket: &mut Socket<Secured<C::Stream>>) -> Result<(), Failure> {
        let mut told = Frame::NullArray;
        for question in [Question::Role, Question::Info] {
            socket.queue(question.words());
            told = reply(socket).await?;
            if let Some(part) = Part::read(&told) {
                socket.ask(question);
                return part.check(self.purpose);
            }
        }
        self.unknown_part.call_once(|| warn_of_unknown(&told));
        Ok(())
    }
}

/// The stage of an attempt: the answer that is being waited for.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    Connect,
    ConnectTls,
    Auth,
    Ping,
    Part,
    Subscribe,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "it did not take the connection",
            // A Redis without TLS waits for the end of what it takes for a line.
            Self::ConnectTls => {
                "it did not take the connection or did not answer the TLS handshake; \
                 does this port speak TLS?"
            }
            Self::Auth => "it did not answer AUTH",
            Self::Ping => "it did not answer PING",
            Self::Part => "it did not answer ROLE or INFO",
            Self::Subscribe => "it did not confirm the subscription",
        })
    }
}

impl<C: Connector> fmt::Debug for Bus<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Logs in, and sees whether the server takes commands at all before anything depends on it.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    publisher: &mut Socket<S>,
    login: &Login,
    stage: &mut Stage,
) -> Result<(), Failure> {
    *stage = Stage::Auth;
    authenticate(publisher, login).await?;
    *stage = Stage::Ping;
    publisher.queue(&[b"PING"]);
    expect_status(publisher, "a PING").await
}

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    login: &Login,
) -> Result<(), Failure> {
    let Some(password) = &login.password else { return Ok(()) };
    let password = password.expose().as_bytes();
    match &login.user {
        Some(user) => socket.queue(&[b"AUTH", user.as_bytes(), password]),
        None => socket.queue(&[b"AUTH", password]),
    }
    expect_status(socket, "the user or password").await
}

/// Waits for the `+OK` or `+PONG` that answers `what`.
async fn expect_status<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    what: &str,
) -> Result<(), Failure> {
    let frame = reply(socket).await?;
    if let Frame::Simple(_) = frame {
        Ok(())
    } else if let Frame::Error(text) = frame {
        Err(refused(what, &text))
    } else {
        let kind = kind_of(&frame);
        Err(format!("it answered {what} with {kind}; is that a Redis server?"))
    }
}

/// Waits for the next frame, writing what is queued meanwhile.
async fn reply<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
) -> Result<Frame, Failure> {
    loop {
        if let Some(frame) = socket.next_frame()? {
            return Ok(frame);
        }
        poll_fn(|cx| {
            // The reason of a failed write is mostly in what the server sent before.
            let written = socket.poll_write(cx);
            match (socket.poll_read(cx), written) {
                (std::task::Poll::Pending, std::task::Poll::Ready(Err(failure))) => {
                    std::task::Poll::Ready(Err(failure))
                }
                (read, _) => read,
            }
        })
        .await?;
    }
}

fn refused(what: &str, text: &str) -> Failure {
    let hint = if text.starts_with("NOAUTH") {
        "; put the password into the URL: redis://:PASSWORD@HOST"
    } else if text.starts_with("NOPERM") {
        "; its user must be allowed SUBSCRIBE, PUBLISH and PING on the deployment's channels, and ROLE"
    } else if text.starts_with("WRONGPASS") {
        "; the password is read once, at the start: start anew if it was changed since. In a URL its \
         odd characters (% / ? # @ :) are written percent-encoded, as in %2F"
    } else if text.contains("max number of clients") {
        "; raise its maxclients, or see with CLIENT LIST who has so many connections"
    } else if text.contains("without any password configured")
        || text.contains("no password is set")
    {
        "; it wants no password: leave it out"
    } else if text.starts_with("DENIED") {
        "; protected mode wants a password or a local connection"
    } else {
        ""
    };
    format!("it refused {what}: {text:.300}{hint}")
}
