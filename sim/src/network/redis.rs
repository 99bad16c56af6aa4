//! A Redis server with the commands that publish/subscribe needs, and its faults.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use synrepl_core::{
    ByteString,
    stream::Source,
    wire::{Command, Decoder, Frame, RespDecoder, RespLimits, encode_command},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, mpsc},
    task::JoinSet,
};
use turmoil::net::{TcpListener, TcpStream};

use super::{
    fault::damage,
    stage::{Stage, now},
};
use crate::{
    marks::Mark,
    trace::{MessageKind, What},
};

pub(super) const HOST: &str = "redis";
pub(super) const PORT: u16 = 6379;
pub(super) const CHANNEL: &str = "example.com";
/// The password that every client has to give before anything else.
pub(super) const PASSWORD: &str = "wonderland";

/// The messages that may wait for one subscriber. A slower one is cut off, as Redis does it.
const OUTBOX: usize = 4_096;

/// The instance at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Writer(usize),
    Follower(usize),
}

/// One connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) party: Party,
    /// The number of this connection among all that the server has taken.
    pub(super) number: u64,
}

struct Hub {
    stage: Stage,
    /// In the order in which they subscribed.
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    client: Client,
    channels: Vec<Bytes>,
    outbox: mpsc::Sender<Bytes>,
}

/// Runs the server until it dies. The subscriptions of its clients are gone then.
///
/// # Errors
/// The port is taken, or a task of the server panicked.
pub(super) async fn serve(
    stage: Stage,
    noise: Rc<RefCell<mpsc::Receiver<Bytes>>>,
) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let hub = Rc::new(RefCell::new(Hub { stage: stage.clone(), subscribers: Vec::new() }));
    let mut clients: JoinSet<io::Result<()>> = JoinSet::new();
    stage.lock().on_bus_start();
    loop {
        let strange = std::future::poll_fn(|cx| noise.borrow_mut().poll_recv(cx));
        tokio::select! {
            biased;
            // A client may break off; a panic is an error of the simulator.
            Some(ended) = clients.join_next() => { ended?.ok(); }
            Some(line) = strange => { hub.borrow_mut().publish(None, CHANNEL.as_bytes(), &line); }
            accepted = listener.accept() => {
                let (stream, address) = accepted?;
                let host = turmoil::reverse_lookup(address.ip()).unwrap_or_default();
                let Some(party) = party_of(&host) else { continue };
                let takes = stage.lock().takes(party);
                if takes {
                    let number = stage.lock().next_client();
                    let client = Client { party, number };
                    clients.spawn_local(serve_client(stream, Rc::clone(&hub), client));
                }
            }
        }
    }
}

/// Returns the instance on a host: `w0`, `w1`, ... and `f0`, `f1`, ....
pub(super) fn party_of(host: &str) -> Option<Party> {
    let number = |text: &str| text.parse().ok();
    match host.split_at_checked(1)? {
        ("w", rest) => number(rest).map(Party::Writer),
        ("f", rest) => number(rest).map(Party::Follower),
        _ => None,
    }
}

impl Hub {
    /// Hands a message to all subscribers, and returns how many they are.
    fn publish(&mut self, from: Option<Client>, channel: &[u8], payload: &Bytes) -> usize {
        let text = String::from_utf8_lossy(payload).into_owned();
        let source = source_of(payload);
        let mut stage = self.stage.lock();
        let at = now();
        let bus = stage.bus_lane();
        stage.judge_published(at, from, payload, source.as_ref());
        let sender = match from.map(|client| client.party) {
            Some(Party::Writer(writer)) => Some(writer),
            Some(Party::Follower(follower)) => Some(stage.follower_lane(follower)),
            None => None,
        };
        if let Some(lane) = sender {
            // The time at which it left its sender is not known here, so it leaves as it arrives.
            let message = stage.next_message();
            stage.note(at, lane, source.as_ref(), || What::Sent {
                message,
                to: bus,
                kind: MessageKind::Command,
                text,
            });
            stage.note(at, bus, None, || What::Received { message });
        }
        drop(stage);
        let mut listeners = 0;
        let stage = self.stage.clone();
        self.subscribers.retain(|subscriber| {
            if !subscriber.channels.iter().any(|wanted| wanted == channel) {
                return true;
            }
            listeners += 1;
            let payload = match subscriber.client.party {
                Party::Follower(follower) => on_way_to(&stage, follower, payload, source.as_ref()),
                Party::Writer(_) => payload.clone(),
            };
            let mut message = BytesMut::new();
            encode_command(&[b"message", channel, &payload], &mut message);
            subscriber.outbox.try_send(message.freeze()).is_ok()
        });
        listeners
    }
}

/// Returns a message as it is sent on to a follower, and cuts the connection if that is planned.
fn on_way_to(stage: &Stage, follower: usize, payload: &Bytes, source: Option<&Source>) -> Bytes {
    let mut stage = stage.lock();
    let (at, bus, lane) = (now(), stage.bus_lane(), stage.follower_lane(follower));
    let payload = damage(&mut stage, follower, payload, source);
    let message = stage.next_message();
    let text = String::from_utf8_lossy(&payload).into_owned();
    let part = &mut stage.followers[follower];
    part.under_way.push_back((message, ByteString::from(text.as_str())));
    if part.count_to_cut() {
        part.kick.notify_waiters();
        let text = "the server cuts the connection".to_owned();
        stage.note(at, lane, None, || What::Fault { text });
    }
    stage.note(at, bus, source, || What::Sent {
        message,
        to: lane,
        kind: MessageKind::Command,
        text,
    });
    payload
}

/// Returns the source of a message, if it is RDATA or POSITION.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are of none")]
pub(super) fn source_of(payload: &Bytes) -> Option<Source> {
    match Decoder::new().decode(payload).ok()? {
        Command::Rdata(rdata) => Some(Source::new(&rdata.stream, &rdata.instance)),
        Command::Position(position) => Some(Source::new(&position.stream, &position.instance)),
        _ => None,
    }
}

async fn serve_client(
    mut stream: TcpStream,
    hub: Rc<RefCell<Hub>>,
    client: Client,
) -> io::Result<()> {
    let (stage, party) = (hub.borrow().stage.clone(), client.party);
    let kick = kick_of(&stage, party);
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let mut outbox = Some(outbox);
    let mut decoder = RespDecoder::new(RespLimits::default());
    let mut input = BytesMut::new();
    let is_subscriber = Cell::new(false);
    let mut is_known = false;
    let kicked = async {
        loop {
            kick.notified().await;
            if !stage.lock().spares(party, is_subscriber.get()) {
                return;
            }
        }
    };
    tokio::pin!(kicked);
    loop {
        is_subscriber.set(outbox.is_none());
        loop {
            let frame = decoder.decode(&mut input).map_err(io::Error::other)?;
            let Some(words) = frame.and_then(words) else { break };
            let reply = if is_known {
                answer(&words, &hub, &mut outbox, client)
            } else {
                is_known = words[..] == [&b"AUTH"[..], PASSWORD.as_bytes()];
                let refusal = "-NOAUTH Authentication required.\r\n";
                Some(if is_known { "+OK\r\n" } else { refusal }.into())
            };
            // Without a reply the command is lost, and so is the connection.
            let Some(reply) = reply else { return Ok(()) };
            stream.write_all(&reply).await?;
        }
        tokio::select! {
            biased;
            () = &mut kicked => return Ok(()),
            message = messages.recv() => match message {
                Some(message) => stream.write_all(&message).await?,
                // The subscriber was too slow, and is cut off.
                None => return Ok(()),
            },
            read = stream.read_buf(&mut input) => if read? == 0 {
                return Ok(());
            },
        }
    }
}

fn kick_of(stage: &Stage, party: Party) -> Arc<Notify> {
    let stage = stage.lock();
    match party {
        Party::Writer(index) => Arc::clone(&stage.writers[index].kick),
        Party::Follower(index) => Arc::clone(&stage.followers[index].kick),
    }
}

/// Returns the reply to a command, or `None` if it and the connection get lost.
fn answer(
    words: &[Bytes],
    hub: &RefCell<Hub>,
    outbox: &mut Option<mpsc::Sender<Bytes>>,
    client: Client,
) -> Option<Vec<u8>> {
    let party = client.party;
    let subscribed = outbox.is_none();
    let reply = match words.iter().map(|word| &word[..]).collect::<Vec<_>>().as_slice() {
        [b"PING"] if subscribed => b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec(),
        [b"PING"] => b"+PONG\r\n".to_vec(),
        [b"ROLE"] => b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_vec(),
        [b"SUBSCRIBE", channel] => {
            let mut hub = hub.borrow_mut();
            hub.stage.lock().on_subscribed(now(), party);
            if let Some(outbox) = outbox.take() {
                hub.subscribers.push(Subscriber { client, channels: Vec::new(), outbox });
            }
            let known = hub.subscribers.iter_mut().find(|known| known.client == client);
            // A subscriber that is being cut off for being slow is no longer in the list.
            let count = known.map_or(0, |subscriber| {
                subscriber.channels.push(words[1].clone());
                subscriber.channels.len()
            });
            let head = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n", channel.len());
            [head.as_bytes(), channel, format!("\r\n:{count}\r\n").as_bytes()].concat()
        }
        [b"PUBLISH", channel, _] => {
            let payload = &words[2];
            let stage = hub.borrow().stage.clone();
            if let Party::Follower(follower) = party {
                stage.lock().check_silence(now(), follower, payload);
            }
            match fate(&stage, client, payload) {
                Fate::Passes => {
                    let count = hub.borrow_mut().publish(Some(client), channel, payload);
                    format!(":{count}\r\n").into_bytes()
                }
                Fate::VanishesUnseen => b":0\r\n".to_vec(),
                Fate::BreaksConnection => return None,
                Fate::Refused => b"-ERR no room for another message\r\n".to_vec(),
            }
        }
        _ => b"-ERR unknown command\r\n".to_vec(),
    };
    Some(reply)
}

/// How a PUBLISH ends.
enum Fate {
    Passes,
    /// It is answered, but passed to nobody.
    VanishesUnseen,
    /// It is not answered, so that its sender does not know what became of it.
    BreaksConnection,
    /// It is answered with an error and passed to nobody. So are all that follow on the connection:
    /// those that are on their way already would come without the one before them.
    Refused,
}

fn fate(stage: &Stage, client: Client, payload: &Bytes) -> Fate {
    let mut stage = stage.lock();
    let (at, bus) = (now(), stage.bus_lane());
    match client.party {
        Party::Follower(index) => {
            let lose = &mut stage.followers[index].lose_replicates;
            if *lose == 0 || !payload.starts_with(b"REPLICATE") {
                return Fate::Passes;
            }
            *lose -= 1;
            stage.marks.hit(Mark::ReplicateLost);
            let text = "a REPLICATE gets lost".to_owned();
            stage.note(at, bus, None, || What::Fault { text });
            Fate::VanishesUnseen
        }
        Party::Writer(index) => {
            if stage.writers[index].refused_on == Some(client.number) {
                return Fate::Refused;
            }
            let source = source_of(payload);
            let lose = &mut stage.writers[index].lose;
            if *lose == 0 || source.is_none() {
                return Fate::Passes;
            }
            *lose -= 1;
            stage.marks.hit(Mark::OurPublishLost);
            stage.unpublished += 1;
            let is_refused = stage.unpublished.is_multiple_of(2);
            if is_refused {
                stage.marks.hit(Mark::PublishRefused);
                stage.writers[index].refused_on = Some(client.number);
            }
            let how = if is_refused { "refused" } else { "lost with its connection" };
            let text = format!("{how}: {}", String::from_utf8_lossy(payload));
            stage.note(at, bus, source.as_ref(), || What::Fault { text });
            if is_refused { Fate::Refused } else { Fate::BreaksConnection }
        }
    }
}

fn words(frame: Frame) -> Option<Vec<Bytes>> {
    let Frame::Array(parts) = frame else { return None };
    let word = |part| if let Frame::Bulk(word) = part { word } else { None };
    parts.into_iter().map(word).collect()
}
