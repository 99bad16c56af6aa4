//! The promises P1 to P4, judged on the bus and for each peer: inputs and sent commands enter, a
//! broken promise leaves.

use std::collections::{BTreeMap, VecDeque};

use synrepl_core::{
    Config, ConnectionId, Input, Transport,
    stream::{Token, traits},
    wire::{Command, Dialect, Replicate},
};

use super::{
    Verdict, holds,
    outlet::{Heard, Known, Outlet, Reader},
};
use crate::core_inputs::logs::Logs;

/// The tokens of an own stream on the bus.
#[derive(Clone, Copy, Debug)]
struct OnBus {
    confirmed: Token,
    highest: Token,
    told: Token,
    /// Whether a command about it is known to have gone out.
    heard: bool,
}

/// The own streams, and what was published of them.
pub(super) struct Published {
    config: Config,
    /// The own streams that the node knows, each with the end of its log.
    ends: BTreeMap<String, Token>,
    stopping: bool,
    on_bus: BTreeMap<String, OnBus>,
    bus: Outlet,
    /// The token that each command on our own connection confirms, oldest first.
    marks: VecDeque<Option<(String, Token)>>,
    peers: BTreeMap<ConnectionId, Outlet>,
    /// The command that the application sends, which may be of any kind.
    from_application: Option<Command>,
    /// The peer that requested all positions, with the streams not yet announced to it.
    asking: Option<(ConnectionId, Vec<String>)>,
}

impl Published {
    pub(super) fn new(config: &Config) -> Self {
        let mut published = Self {
            config: config.clone(),
            ends: BTreeMap::new(),
            stopping: false,
            on_bus: BTreeMap::new(),
            bus: Outlet::new(Reader::Bus),
            marks: VecDeque::new(),
            peers: BTreeMap::new(),
            from_application: None,
            asking: None,
        };
        for (stream, end) in config.publish.own_streams.iter().filter(|_| !config.observe_only) {
            published.begin(stream, *end);
        }
        published
    }

    fn begin(&mut self, stream: &str, end: Token) {
        self.ends.insert(stream.to_owned(), end);
        self.on_bus.insert(
            stream.to_owned(),
            OnBus { confirmed: end, highest: end, told: end, heard: false },
        );
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others publish nothing")]
    pub(super) fn on_input(&mut self, input: &Input) {
        self.from_application = None;
        self.asking = None;
        match input {
            Input::Appended { stream, token } => self.on_appended(stream, *token),
            Input::Accepted { conn, dialect } => self.on_accepted(*conn, *dialect),
            Input::Disconnected { conn, .. } if conn.is_accepted() => {
                self.peers.remove(conn);
            }
            Input::Disconnected { .. } => {
                self.bus = Outlet::new(Reader::Bus);
                self.marks.clear();
            }
            Input::Received { conn, command: Command::Replicate(replicate) } => {
                self.on_replicate(*conn, replicate);
            }
            Input::Sent { conn, count } if !conn.is_accepted() => {
                for (stream, token) in self.marks.drain(..*count as usize).flatten() {
                    if let Some(on_bus) = self.on_bus.get_mut(&stream) {
                        on_bus.confirmed = on_bus.confirmed.max(token);
                        on_bus.heard = true;
                    }
                }
            }
            Input::Send { command } => self.from_application = Some(command.clone()),
            Input::Shutdown => self.stopping = true,
            _ => {}
        }
    }

    fn on_appended(&mut self, stream: &str, token: Token) {
        if self.config.observe_only || self.stopping {
            return;
        }
        if !self.ends.contains_key(stream) {
            if self.ends.len() >= self.config.publish.own_streams_max as usize {
                return;
            }
            self.begin(stream, Token::START);
        }
        if let Some(end) = self.ends.get_mut(stream) {
            *end = token.max(*end);
        }
    }

    fn on_accepted(&mut self, conn: ConnectionId, dialect: Dialect) {
        let named = dialect.names_instances();
        let mut outlet = Outlet::new(if named { Reader::Named } else { Reader::Oldest });
        if named {
            let nothing = |(stream, end): (&String, &Token)| (stream.clone(), Heard::Nothing(*end));
            outlet.heard = self.ends.iter().map(nothing).collect();
        }
        self.peers.insert(conn, outlet);
    }

    fn on_replicate(&mut self, conn: ConnectionId, replicate: &Replicate) {
        let Some(outlet) = self.peers.get_mut(&conn).filter(|_| !self.stopping) else { return };
        match replicate {
            _ if outlet.reader == Reader::Named => {
                self.asking = Some((conn, self.ends.keys().cloned().collect()));
            }
            Replicate::Stream { stream, from: None } if &**stream == "ALL" => {
                self.asking = Some((conn, self.ends.keys().cloned().collect()));
                for (stream, end) in &self.ends {
                    outlet.heard.insert(stream.clone(), Heard::Asked(*end, 0));
                }
            }
            Replicate::Stream { stream, from } => {
                if let Some(end) = self.ends.get(&**stream) {
                    outlet.heard.insert(stream.to_string(), Heard::Asked(from.unwrap_or(*end), 0));
                }
            }
            Replicate::Everything | _ => {}
        }
    }

    fn known<'a>(&self, stream: &str, logs: &'a Logs) -> Result<Known<'a>, String> {
        match (logs.get(stream), self.ends.get(stream)) {
            (Some(log), Some(end)) => {
                let row_bytes_max = self.config.publish.row_bytes_max as usize;
                Ok(Known { log, end: *end, row_bytes_max })
            }
            _ => Err(format!("{stream} is not an own stream")),
        }
    }

    pub(super) fn on_send(
        &mut self,
        conn: ConnectionId,
        command: &Command,
        logs: &Logs,
    ) -> Verdict {
        if conn.is_accepted() {
            return self.on_send_to_peer(conn, command, logs);
        }
        let is_own = self.config.transport == Transport::Bus
            && self.from_application.as_ref() != Some(command);
        let mark = if is_own { self.on_send_on_bus(command, logs)? } else { None };
        self.marks.push_back(mark);
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about rows")]
    fn on_send_on_bus(
        &mut self,
        command: &Command,
        logs: &Logs,
    ) -> Result<Option<(String, Token)>, String> {
        self.check_instance(command)?;
        let (stream, token) = match command {
            Command::Rdata(rdata) => {
                let known = self.known(&rdata.stream, logs)?;
                self.bus.on_rdata(rdata, known)?;
                let Some(token) = rdata.token else { return Ok(None) };
                (rdata.stream.to_string(), token)
            }
            Command::Position(position) => {
                let known = self.known(&position.stream, logs)?;
                if let Some(on_bus) = self.on_bus.get(&*position.stream)
                    && !self.bus.heard.contains_key(&*position.stream)
                {
                    let beyond = traits(&position.stream).resettable && on_bus.heard;
                    let at = if beyond { on_bus.highest } else { on_bus.confirmed };
                    holds(position.prev == at && position.token == at, || {
                        format!("P3: {position:?} on a new connection, {on_bus:?} before")
                    })?;
                    self.bus.heard.insert(position.stream.to_string(), Heard::UpTo(at));
                }
                self.bus.on_position(position, known)?;
                (position.stream.to_string(), position.token)
            }
            other => return self.bus.check_whole(other.name()).map(|()| None),
        };
        if let Some(on_bus) = self.on_bus.get_mut(&stream) {
            on_bus.highest = on_bus.highest.max(token);
        }
        Ok(Some((stream, token)))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about rows")]
    fn on_send_to_peer(&mut self, conn: ConnectionId, command: &Command, logs: &Logs) -> Verdict {
        self.check_instance(command)?;
        let known = match command {
            Command::Rdata(rdata) => Some(self.known(&rdata.stream, logs)?),
            Command::Position(position) => Some(self.known(&position.stream, logs)?),
            _ => None,
        };
        let Some(outlet) = self.peers.get_mut(&conn) else {
            return Err(format!("sent to {conn}, which is not there"));
        };
        let verdict = match (command, known) {
            (Command::Rdata(rdata), Some(known)) => outlet.on_rdata(rdata, known),
            (Command::Position(position), Some(known)) => {
                if let Some((asking, owed)) = &mut self.asking
                    && *asking == conn
                {
                    owed.retain(|stream| **stream != *position.stream);
                }
                outlet.on_position(position, known)
            }
            // The peer is cut off, perhaps inside a batch.
            (Command::Error(_), _) => Ok(()),
            (other, _) => outlet.check_whole(other.name()),
        };
        verdict.map_err(|broken| format!("{conn}: {broken}"))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others name no writer")]
    fn check_instance(&self, command: &Command) -> Verdict {
        let instance = match command {
            Command::Rdata(rdata) => &rdata.instance,
            Command::Position(position) => &position.instance,
            _ => return Ok(()),
        };
        holds(**instance == *self.config.instance, || format!("not under our name: {command:?}"))
    }

    pub(super) fn on_published(&mut self, stream: &str, token: Token) -> Verdict {
        let Some(on_bus) = self.on_bus.get_mut(stream) else {
            return Err(format!("{stream} is not an own stream"));
        };
        holds(on_bus.told < token && token <= on_bus.confirmed, || {
            format!("{token} of {stream} published: {on_bus:?}")
        })?;
        on_bus.told = token;
        Ok(())
    }

    /// Checks what must hold between two inputs: no batch is open.
    pub(super) fn check(&self, open: impl Iterator<Item = ConnectionId>) -> Verdict {
        self.bus.check_whole("the end of a turn")?;
        for conn in open {
            if let Some(outlet) = self.peers.get(&conn) {
                outlet.check_whole("the end of a turn")?;
            }
            if let Some((asking, owed)) = &self.asking {
                let told = *asking != conn || owed.is_empty();
                holds(told, || format!("P4: {conn} asked and was not told of {owed:?}"))?;
            }
        }
        Ok(())
    }

    /// Checks that everything was sent to all that are connected.
    pub(super) fn check_complete(
        &self,
        open: impl Iterator<Item = ConnectionId>,
        bus_is_up: bool,
        logs: &Logs,
    ) -> Verdict {
        let on_bus =
            bus_is_up && self.config.transport == Transport::Bus && !self.config.observe_only;
        let peers = open.filter_map(|conn| self.peers.get(&conn));
        let outlets: Vec<_> = on_bus.then_some(&self.bus).into_iter().chain(peers).collect();
        for stream in self.ends.keys() {
            let known = self.known(stream, logs)?;
            outlets.iter().try_for_each(|outlet| outlet.check_complete(stream, known))?;
        }
        Ok(())
    }

    /// Returns the end of the log of an own stream.
    pub(super) fn end_of(&self, stream: &str) -> Option<Token> {
        self.ends.get(stream).copied()
    }

    pub(super) fn streams(&self) -> usize {
        self.ends.len()
    }
}
