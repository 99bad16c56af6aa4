//! A writer on a bus that loses commands in flight, with followers on the bus and peers of three
//! dialects connected to it.

mod checks;
mod follower;
mod peer;
mod reader;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synrepl_core::{
    Action, ByteString, Config, Event, Input,
    stream::{Row, Token},
    wire::{Command, Dialect},
};

use self::{follower::Follower, peer::Peer, reader::Reader};
use crate::{
    bench::Bench,
    writer::log::{Log, Read},
};

pub(crate) const STREAMS: [&str; 3] = ["a", "b", "typing"];
const ME: &str = "me";

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A batch of so many rows is appended, so many tokens further on.
    Append {
        stream: usize,
        rows: usize,
        skip: u8,
    },
    /// The store answers the oldest read.
    Read {
        fails: bool,
    },
    /// The server takes so many commands of the writer and passes them on.
    Publish {
        count: u8,
    },
    /// The answers to so many of them reach the writer.
    Confirm {
        count: u8,
    },
    /// The writer's connection is lost with what the server has not taken.
    CutWriter,
    ConnectWriter,
    /// The writer's process dies and starts again with its logs.
    RestartWriter,
    /// So many messages reach the writer.
    Hear {
        count: u8,
    },
    CutFollower {
        which: usize,
    },
    ConnectFollower {
        which: usize,
    },
    Deliver {
        which: usize,
        count: u8,
    },
    Fetched {
        which: usize,
        fails: bool,
    },
    Accept {
        dialect: Dialect,
    },
    Leave {
        which: usize,
    },
    /// A peer asks: everything, or (oldest dialect) a stream from as many tokens below its end.
    Ask {
        which: usize,
        stream: usize,
        behind: u8,
    },
    /// A peer reads so many commands.
    Take {
        which: usize,
        count: u8,
    },
    Wait,
}

pub(crate) struct World {
    bench: Bench,
    config: Config,
    pub(crate) logs: BTreeMap<String, Log>,
    serial: u64,
    reads: Vec<Read>,
    /// Sent and not taken by the server.
    outbound: VecDeque<Command>,
    /// Taken, the answer on its way.
    unanswered: VecDeque<Command>,
    inbox: VecDeque<Command>,
    /// What was sent on the present connection.
    sent: BTreeMap<String, Reader>,
    confirmed: BTreeMap<String, i64>,
    highest: BTreeMap<String, i64>,
    /// Streams of which something is known to have gone out since the writer's start.
    heard: BTreeSet<String>,
    published: BTreeMap<String, i64>,
    followers: Vec<Follower>,
    peers: Vec<Peer>,
    accepted: u64,
}

type Outcome = Result<(), String>;

impl World {
    pub(crate) fn new(tight: bool) -> Self {
        let mut config = Config::default();
        ME.clone_into(&mut config.instance);
        config.server_name = Some(ByteString::from_static("hs"));
        if tight {
            config.publish.log_rows_max = 2;
            config.publish.unconfirmed_max = 5;
            config.publish.peer_pending_max = 12;
        }
        let mut world = Self {
            bench: Bench::new(config.clone()),
            config,
            logs: STREAMS.map(|name| (name.to_owned(), Log::default())).into(),
            serial: 0,
            reads: Vec::new(),
            outbound: VecDeque::new(),
            unanswered: VecDeque::new(),
            inbox: VecDeque::new(),
            sent: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            highest: BTreeMap::new(),
            heard: BTreeSet::new(),
            published: BTreeMap::new(),
            followers: vec![Follower::new(0), Follower::new(1)],
            peers: Vec::new(),
            accepted: 0,
        };
        world.restart().expect("nothing was sent yet");
        world
    }

    pub(crate) fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Append { stream, rows, skip } => {
                let name = STREAMS[stream % STREAMS.len()];
                let rows = (0..rows).map(|_| {
                    self.serial += 1;
                    Row::from(format!("[{}]", self.serial).as_str())
                });
                let rows = rows.collect();
                let log = self.logs.get_mut(name).expect("one of ours");
                log.put(log.end + 1 + i64::from(skip), rows);
                let token = Token::new(log.end);
                self.handle(Input::Appended { stream: ByteString::from(name), token })?;
            }
            Step::Read { fails } => self.read(fails)?,
            Step::Publish { count } => {
                for _ in 0..count {
                    self.publish();
                }
            }
            Step::Confirm { count } => self.confirm(count.into())?,
            Step::CutWriter => self.cut()?,
            Step::ConnectWriter => self.connect()?,
            Step::RestartWriter => self.restart()?,
            Step::Hear { count } => {
                for _ in 0..count {
                    let Some(command) = self.inbox.pop_front() else { break };
                    self.handle(Input::Received { conn: self.bench.conn(), command })?;
                }
            }
            Step::CutFollower { which } => self.follower(which).cut()?,
            Step::ConnectFollower { which } => self.follower(which).connect()?,
            Step::Deliver { which, count } => {
                for _ in 0..count {
                    self.follower(which).deliver()?;
                }
            }
            Step::Fetched { which, fails } => {
                let which = which % self.followers.len();
                self.followers[which].answer(&self.logs, fails)?;
            }
            Step::Accept { dialect } => self.accept(dialect)?,
            Step::Leave { which } => {
                if !self.peers.is_empty() {
                    let peer = self.peers.remove(which % self.peers.len());
                    let reason = "left".to_owned();
                    self.handle(Input::Disconnected { conn: peer.conn, reason })?;
                }
            }
            Step::Ask { which, stream, behind } => self.ask(which, stream, behind)?,
            Step::Take { which, count } => self.take(which, count.into())?,
            Step::Wait => {
                self.bench.now = self.bench.now + std::time::Duration::from_secs(3);
                self.handle(Input::Tick)?;
                for follower in &mut self.followers {
                    follower.bench.now = self.bench.now;
                    follower.handle(Input::Tick)?;
                }
            }
        }
        self.pass_on();
        Ok(())
    }

    fn follower(&mut self, which: usize) -> &mut Follower {
        let which = which % self.followers.len();
        &mut self.followers[which]
    }

    fn handle(&mut self, input: Input) -> Outcome {
        self.bench.try_hand(input).map_err(|misuse| misuse.to_string())?;
        while let Some(action) = self.bench.poll() {
            self.act(action)?;
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest changes nothing here")]
    fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Send { conn, command, .. } if conn.is_accepted() => {
                self.deliver_to(conn, command)
            }
            Action::Broadcast { audience, command } => {
                for conn in audience.connections() {
                    self.deliver_to(*conn, (*command).clone());
                }
            }
            Action::Send { command, .. } => {
                self.check_sent(&command)?;
                self.outbound.push_back(command);
            }
            Action::ReadLog { .. } => self.reads.extend(Read::of(&action)),
            Action::Close { conn } => {
                self.peers.retain(|peer| peer.conn != conn);
                self.handle(Input::Disconnected { conn, reason: "closed".to_owned() })?;
            }
            Action::Notify(Event::Published { stream, token }) => {
                let confirmed = self.confirmed[&*stream];
                if token.get() > confirmed {
                    return Err(format!("P3: {stream} said to be out to {token}, not {confirmed}"));
                }
                self.published.insert(stream.to_string(), token.get());
            }
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, fails: bool) -> Outcome {
        if self.reads.is_empty() {
            return Ok(());
        }
        let read = self.reads.remove(0);
        self.handle(if fails { read.fail() } else { read.answer(&self.logs) })
    }

    /// The server takes a command and passes it on, to all in the same order.
    fn publish(&mut self) {
        if let Some(command) = self.outbound.pop_front() {
            self.unanswered.push_back(command.clone());
            self.broadcast(&command);
        }
    }

    fn broadcast(&mut self, command: &Command) {
        if self.bench.up {
            self.inbox.push_back(command.clone());
        }
        for follower in self.followers.iter_mut().filter(|follower| follower.bench.up) {
            follower.inbox.push_back(command.clone());
        }
    }

    /// What followers say reaches the server at once.
    fn pass_on(&mut self) {
        for which in 0..self.followers.len() {
            for command in std::mem::take(&mut self.followers[which].outbox) {
                self.broadcast(&command);
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about own streams")]
    fn confirm(&mut self, count: usize) -> Outcome {
        let gone_out: Vec<_> = self.unanswered.drain(..count.min(self.unanswered.len())).collect();
        for command in &gone_out {
            let (name, token) = match command {
                Command::Rdata(rdata) => (rdata.stream.to_string(), rdata.token),
                Command::Position(position) => (position.stream.to_string(), Some(position.token)),
                _ => continue,
            };
            if let (Some(confirmed), Some(token)) = (self.confirmed.get_mut(&name), token) {
                *confirmed = token.get().max(*confirmed);
                self.heard.insert(name);
            }
        }
        match u32::try_from(gone_out.len()) {
            Ok(0) | Err(_) => Ok(()),
            Ok(count) => self.handle(Input::Sent { conn: self.bench.conn(), count }),
        }
    }

    fn connect(&mut self) -> Outcome {
        self.handle(Input::Tick)?;
        if !self.bench.is_connecting() {
            return Ok(());
        }
        self.sent.clear();
        self.handle(self.bench.made())
    }

    /// What was under way on the connection is lost with it.
    fn lose_connection(&mut self) {
        self.outbound.clear();
        self.unanswered.clear();
        self.inbox.clear();
    }

    fn cut(&mut self) -> Outcome {
        if !self.bench.up {
            return Ok(());
        }
        self.lose_connection();
        self.handle(self.bench.lost())
    }

    fn restart(&mut self) -> Outcome {
        self.lose_connection();
        self.reads.clear();
        self.peers.clear();
        self.heard.clear();
        self.accepted = 0;
        for (name, log) in &self.logs {
            for known in [&mut self.confirmed, &mut self.highest, &mut self.published] {
                known.insert(name.clone(), log.end);
            }
            self.config.publish.own_streams.insert(name.clone(), Token::new(log.end));
        }
        self.bench = Bench { now: self.bench.now, ..Bench::new(self.config.clone()) };
        self.handle(Input::Tick)
    }
}
