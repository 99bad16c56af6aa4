//! The other instances of a deployment, played by the test: they publish on a real Redis, answer
//! REPLICATE with their positions, and answer catch-up requests from what they have written.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Result as IoResult,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Failure, Source,
    endpoint::{Answer, Endpoint, Request},
    redis::{Breaker, Connection, Reply, append_command},
    writers::{Held, Writers},
};

/// The number of messages that are sent to Redis at once.
const AT_ONCE: usize = 32;
/// A channel of the deployment's own: a message on it comes after all that was published before.
const FENCE: &str = "lab:fence";
/// The longest time that the deployment's own subscription may lag.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel.
    pub channel: String,
    /// The text of the message.
    pub text: Vec<u8>,
    /// The source whose send goes on behind this message; its writer answers no REPLICATE there.
    pub amid: Option<Source>,
}

impl Message {
    /// A message that is a send of its own.
    pub fn new(channel: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { channel: channel.to_owned(), text: text.into(), amid: None }
    }
}

/// The played instances of one deployment.
#[derive(Debug)]
pub struct Deployment {
    channel: String,
    writers: Arc<Mutex<Writers>>,
    voice: Arc<Mutex<Voice>>,
    replicates: Arc<AtomicUsize>,
    ear: Option<Ear>,
}

/// The publishing side.
#[derive(Debug)]
struct Voice {
    channel: String,
    redis: Connection,
    /// The sources in the middle of a send.
    amid: BTreeSet<Source>,
    /// The sources that have still to answer a REPLICATE.
    owed: BTreeSet<Source>,
}

#[derive(Debug)]
struct Ear {
    client: i64,
    breaker: Option<Breaker>,
    thread: Option<JoinHandle<()>>,
    /// A value for each fence that was received.
    fenced: Receiver<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.breaker = None;
        if let Some(thread) = self.thread.take() {
            // The panic of the thread, if any, has been printed.
            let _ = thread.join();
        }
    }
}

impl Deployment {
    /// Starts instances that publish on this channel of the Redis at this address. They have
    /// written nothing yet.
    ///
    /// # Errors
    /// Fails if Redis cannot be reached.
    pub fn start(redis: SocketAddr, channel: &str) -> Result<Self, Failure> {
        let voice = Voice {
            channel: channel.to_owned(),
            redis: Connection::open(redis)?,
            amid: BTreeSet::new(),
            owed: BTreeSet::new(),
        };
        let mut deployment = Self {
            channel: channel.to_owned(),
            writers: Arc::default(),
            voice: Arc::new(Mutex::new(voice)),
            replicates: Arc::default(),
            ear: None,
        };
        deployment.listen(redis)?;
        Ok(deployment)
    }

    /// Connects to Redis again after it went away.
    ///
    /// # Errors
    /// Fails if Redis cannot be reached.
    pub fn connect_again(&mut self, redis: SocketAddr) -> Result<(), Failure> {
        self.ear = None;
        lock(&self.voice).redis = Connection::open(redis)?;
        self.listen(redis)
    }

    fn listen(&mut self, redis: SocketAddr) -> Result<(), Failure> {
        let mut connection = Connection::open(redis)?;
        let Reply::Integer(client) = connection.call(&[b"CLIENT", b"ID"])? else {
            return Err("Redis gives no CLIENT ID".into());
        };
        connection.call(&[b"SUBSCRIBE", FENCE.as_bytes()])?;
        connection.call(&[b"SUBSCRIBE", self.channel.as_bytes()])?;
        let breaker = Some(connection.breaker()?);
        let (voice, writers) = (Arc::clone(&self.voice), Arc::clone(&self.writers));
        let replicates = Arc::clone(&self.replicates);
        let (fences, fenced) = channel();
        let thread = thread::spawn(move || {
            // The loop ends with the connection.
            while let Ok(push) = connection.next_push() {
                let Reply::Array(parts) = push else { break };
                if parts.get(1).and_then(Reply::text) == Some(FENCE) {
                    // The waiting side may have given up.
                    let _ = fences.send(());
                }
                if parts
                    .get(2)
                    .and_then(Reply::text)
                    .is_some_and(|text| text.split(' ').next() == Some("REPLICATE"))
                {
                    replicates.fetch_add(1, Ordering::SeqCst);
                    let announced = lock(&writers).announced();
                    let mut voice = lock(&voice);
                    voice.owed.extend(announced.into_keys());
                    let answered = voice.publish(&[], &writers);
                    if answered.is_err() {
                        break;
                    }
                }
            }
        });
        self.ear = Some(Ear { client, breaker, thread: Some(thread), fenced });
        Ok(())
    }

    /// Publishes messages in order; each counts as written just before it goes out. Returns when
    /// Redis has taken all.
    ///
    /// # Errors
    /// Fails if the connection to Redis breaks.
    pub fn publish(&self, messages: &[Message]) -> Result<(), Failure> {
        for messages in messages.chunks(AT_ONCE) {
            lock(&self.voice).publish(messages, &self.writers)?;
        }
        Ok(())
    }

    /// Publishes one line on the deployment's channel.
    ///
    /// # Errors
    /// Fails if the connection to Redis breaks.
    pub fn say(&self, line: impl Into<Vec<u8>>) -> Result<(), Failure> {
        self.publish(&[Message::new(&self.channel, line)])
    }

    /// Publishes a line on the deployment's channel that no writer has written: whatever it looks
    /// like, it is not in any log.
    ///
    /// # Errors
    /// Fails if the connection to Redis breaks.
    pub fn interject(&self, line: &[u8]) -> Result<(), Failure> {
        let mut voice = lock(&self.voice);
        let reply = voice.redis.call(&[b"PUBLISH", self.channel.as_bytes(), line])?;
        if let Reply::Integer(_) = reply {
            Ok(())
        } else {
            Err(format!("Redis answered PUBLISH with {reply:?}").into())
        }
    }

    /// Adds the row or position of this line to its writer's log, without publishing it.
    pub fn write(&self, line: &str) {
        lock(&self.writers).take(line);
    }

    /// The position of each source.
    pub fn announced(&self) -> BTreeMap<Source, i64> {
        lock(&self.writers).announced()
    }

    /// The number of REPLICATEs published so far, by any instance.
    ///
    /// # Errors
    /// Fails if the deployment's own subscription does not keep up.
    pub fn replicates_heard(&self) -> Result<usize, Failure> {
        let ear = self.ear.as_ref().ok_or("the deployment listens no more")?;
        lock(&self.voice).redis.call(&[b"PUBLISH", FENCE.as_bytes(), b""])?;
        ear.fenced.recv_timeout(PATIENCE)?;
        Ok(self.replicates.load(Ordering::SeqCst))
    }

    /// Ends the connections of all subscribers but the deployment itself, and returns their number.
    ///
    /// # Errors
    /// Fails if the connection to Redis breaks.
    pub fn cut_subscribers(&self) -> Result<usize, Failure> {
        let mut voice = lock(&self.voice);
        let own = self.ear.as_ref().map(|ear| ear.client.to_string());
        let list = voice.redis.call(&[b"CLIENT", b"LIST", b"TYPE", b"pubsub"])?;
        let mut cut = 0;
        for client in list.text().unwrap_or_default().lines() {
            let id = client.split(' ').find_map(|field| field.strip_prefix("id="));
            let Some(id) = id.filter(|id| own.as_deref() != Some(id)) else { continue };
            if voice.redis.call(&[b"CLIENT", b"KILL", b"ID", id.as_bytes()])? == Reply::Integer(1) {
                cut += 1;
            }
        }
        Ok(cut)
    }

    /// Opens the HTTP replication listener of one instance, which requires this secret. `fault` may
    /// answer in its place.
    ///
    /// # Errors
    /// Fails if the system gives no port.
    pub fn endpoint(
        &self,
        instance: &str,
        secret: &str,
        fault: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> IoResult<Endpoint> {
        let (instance, bearer) = (instance.to_owned(), format!("Bearer {secret}"));
        let writers = Arc::clone(&self.writers);
        // Answers are cached by transaction id alone, whatever the request is.
        let given: Mutex<BTreeMap<String, Answer>> = Mutex::default();
        Endpoint::open(move |request| {
            if let Some(answer) = fault(request) {
                return answer;
            }
            if request.authorization.as_ref() != Some(&bearer) {
                return refused();
            }
            let source = Source::new(&request.stream, &instance);
            let mut given = lock(&given);
            let answer = given.entry(request.transaction.clone()).or_insert_with(|| {
                match lock(&writers).page(&source, request.from, request.upto) {
                    Held::Page(text) => Answer::Page(text),
                    Held::UnknownStream => {
                        let body = r#"{"errcode":"M_UNKNOWN","error":"Unknown stream"}"#;
                        Answer::Status(400, body)
                    }
                }
            });
            answer.clone()
        })
    }
}

/// The answer that Synapse gives to a wrong secret.
pub fn refused() -> Answer {
    Answer::Status(500, r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#)
}

impl Voice {
    /// Publishes these messages, and between them the answers to REPLICATE that are due.
    fn publish(&mut self, messages: &[Message], writers: &Mutex<Writers>) -> IoResult<()> {
        let mut encoded = Vec::new();
        let mut count = self.append_owed(&mut encoded, writers);
        for message in messages {
            if let Ok(text) = std::str::from_utf8(&message.text)
                && message.channel == self.channel
            {
                lock(writers).take(text);
            }
            append_command(&mut encoded, &[b"PUBLISH", message.channel.as_bytes(), &message.text]);
            count += 1;
            if let Some(source) = &message.amid {
                self.amid.insert(source.clone());
            } else {
                self.end_send(&message.text);
                count += self.append_owed(&mut encoded, writers);
            }
        }
        self.redis.call_all(&encoded, count)
    }

    /// Marks the send to which this message belongs as over.
    fn end_send(&mut self, text: &[u8]) {
        let mut words = text.splitn(4, |byte| *byte == b' ').skip(1);
        let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
        if let (Some(stream), Some(instance)) = (word(), word()) {
            self.amid.remove(&Source::new(stream, instance));
        }
    }

    fn append_owed(&mut self, encoded: &mut Vec<u8>, writers: &Mutex<Writers>) -> usize {
        if self.owed.is_empty() {
            return 0;
        }
        let announced = lock(writers).announced();
        let (later, now) =
            std::mem::take(&mut self.owed).into_iter().partition(|of| self.amid.contains(of));
        self.owed = later;
        let now: BTreeSet<Source> = now;
        for source in &now {
            let Some(token) = announced.get(source) else { continue };
            let Source { stream, instance } = source;
            let line = format!("POSITION {stream} {instance} {token} {token}");
            append_command(encoded, &[b"PUBLISH", self.channel.as_bytes(), line.as_bytes()]);
        }
        now.iter().filter(|source| announced.contains_key(source)).count()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
