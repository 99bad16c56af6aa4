//! The writers, the follower and what lies between them.

use std::{collections::BTreeMap, time::Duration};

use synrepl_core::{
    Input,
    stream::{FetchError, Order, Page, Row, StreamTraits, Token, traits},
};

use super::{
    Setting, Step,
    follower::{Fetch, Follower},
    truth::Truth,
    writer::{Line, Writer},
};
use crate::bench::received;

type Outcome = Result<(), String>;

pub(super) struct World {
    setting: Setting,
    traits: StreamTraits,
    writers: Vec<Writer>,
    follower: Follower,
    truth: Truth,
    serial: u64,
    /// Per writer, the highest token of the present epoch and of the one before that the follower
    /// has heard on this connection.
    heard: BTreeMap<usize, i64>,
    /// A stream in memory started over and nothing that was heard since shows it.
    hidden_restart: Option<i64>,
    pub(super) shown: String,
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let mut known = traits(setting.stream);
        if setting.on_tcp {
            known = synrepl_core::Transport::Tcp(synrepl_core::wire::Dialect::V1_13)
                .traits_of(setting.stream);
        }
        let writers: Vec<_> =
            (0..setting.writers).map(|number| Writer::new(&format!("w{number}"))).collect();
        let mut world = Self {
            setting,
            traits: known,
            follower: Follower::new(setting),
            truth: Truth::new(known),
            writers,
            serial: 0,
            heard: BTreeMap::new(),
            hidden_restart: None,
            shown: format!("{setting:?}\n"),
        };
        if let Some(at) = setting.resumes_at {
            for index in 0..setting.writers {
                let writer = &mut world.writers[index];
                (writer.end, writer.looked, writer.last_sent) = (at, at, at);
                world.truth.start(&world.writers[index].name, at);
            }
        }
        world.hand(None, "start").expect("nothing was delivered yet");
        world
    }

    fn hand(&mut self, input: Option<Input>, text: &str) -> Outcome {
        self.shown.push_str(&format!("{} {text}\n", self.follower.bench.now));
        let events = self.follower.hand(input)?;
        self.on_events(&events)
    }

    fn on_events(&mut self, events: &[synrepl_core::Event]) -> Outcome {
        for event in events {
            self.shown.push_str(&format!("    < {event:?}\n"));
            self.truth.on_event(event, &self.writers)?;
        }
        for fetch in &self.follower.fetches {
            self.shown.push_str(&format!(
                "    (in flight {} {} {})\n",
                fetch.query, fetch.writer, fetch.span
            ));
        }
        if std::mem::take(&mut self.follower.asks) {
            self.writers.iter_mut().for_each(|writer| writer.is_asked = true);
        }
        Ok(())
    }

    fn which(&self, writer: u8) -> usize {
        usize::from(writer) % self.writers.len()
    }

    pub(super) fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Append { writer, tokens, rows, skip } => self.append(writer, tokens, rows, skip),
            Step::Send { writer, lines, back } => {
                let at = self.which(writer);
                // On TCP nothing comes between the rows of a send.
                let lines = if self.setting.on_tcp { u8::MAX } else { lines };
                for _ in 0..lines {
                    let Some(line) = self.next_line(at, back) else { break };
                    self.deliver(at, &line)?;
                }
            }
            Step::SendUnreadable { writer, has_token } => {
                let at = self.which(writer);
                match self.next_line(at, 0) {
                    Some(Line::Row { token, is_last, .. }) => {
                        let token = match (has_token, is_last) {
                            (true, true) => token.to_string(),
                            (true, false) => "batch".to_owned(),
                            (false, _) => "-x".to_owned(),
                        };
                        self.truth.may_be_unplaced = true;
                        let name = &self.writers[at].name;
                        let line = format!("RDATA {} {name} {token} {{bad", self.setting.stream);
                        self.hear(&line)?;
                        if self.setting.on_tcp {
                            self.step(Step::Send { writer, lines: 0, back: 0 })?;
                        }
                    }
                    Some(line) => self.deliver(at, &line)?,
                    None => {}
                }
            }
            Step::Answer { writer } => self.answer(self.which(writer))?,
            Step::AnnounceAhead { writer } => {
                let at = self.which(writer);
                let writer = &self.writers[at];
                if writer.queue.is_empty() && !writer.must_announce {
                    let line = writer.announcement(writer.end);
                    self.deliver(at, &line)?;
                }
            }
            Step::LoseAnnouncement { writer } => {
                let at = self.which(writer);
                let writer = &mut self.writers[at];
                if let Some(Line::Position { prev, new }) = writer.queue.front()
                    && prev < new
                {
                    writer.next();
                    writer.must_announce = true;
                }
            }
            Step::LoseToken { writer } => self.lose_token(self.which(writer))?,
            Step::Die { writer, is_heard } => self.die(self.which(writer), is_heard)?,
            Step::Fetched { nth, fails, cut } => self.fetched(nth, fails, cut)?,
            Step::Lose => self.lose()?,
            Step::Connect => self.connect()?,
            Step::Pass { ms } => self.pass(Duration::from_millis(ms.into()))?,
        }
        Ok(())
    }

    fn append(&mut self, writer: u8, tokens: u8, rows: u8, skip: u8) {
        let at = self.which(writer);
        for _ in 0..tokens {
            let end = self.writers.iter().map(|writer| writer.end).max().unwrap_or_default();
            let token = end + 1 + i64::from(skip);
            let texts = (0..rows).map(|_| {
                self.serial += 1;
                format!("[{}]", self.serial)
            });
            let texts: Vec<_> = texts.collect();
            self.writers[at].log.insert(token, texts);
            self.writers[at].end = token;
        }
        // The token may be above the last row.
        self.writers[at].end += i64::from(skip / 2);
    }

    fn next_line(&mut self, at: usize, back: u8) -> Option<Line> {
        // All writers of a stream know how far it has come.
        let end = self.writers.iter().map(|writer| writer.end).max().unwrap_or_default();
        let writer = &mut self.writers[at];
        writer.end = end;
        writer.look(self.setting.stream, self.setting.on_tcp, back.into());
        writer.next()
    }

    fn deliver(&mut self, at: usize, line: &Line) -> Outcome {
        if self.follower.bench.up && self.traits.order == Order::Bursts {
            // Who is new inside a burst is not owed what was sent before.
            let (name, sent) = (self.writers[at].name.clone(), self.writers[at].highest_sent);
            if self.truth.position(&name).is_none() && self.setting.resumes_at.is_none() {
                self.truth.floors.entry(name).or_insert(sent);
            }
        }
        let (stream, name) = (self.setting.stream, self.writers[at].name.clone());
        let text = match line {
            Line::Row { token, text, is_last: true } => {
                self.on_heard(at, *token);
                format!("RDATA {stream} {name} {token} {text}")
            }
            Line::Row { text, .. } => format!("RDATA {stream} {name} batch {text}"),
            Line::Position { prev, new } => {
                self.on_heard(at, *new);
                format!("POSITION {stream} {name} {prev} {new}")
            }
        };
        self.hear(&text)
    }

    /// A line of a stream in memory shows that it started over if it lies below one before.
    fn on_heard(&mut self, at: usize, token: i64) {
        if !self.follower.bench.up || !self.traits.resettable {
            return;
        }
        if self.hidden_restart.is_some_and(|before| token < before) {
            self.hidden_restart = None;
        }
        let heard = self.heard.entry(at).or_insert(token);
        *heard = token.max(*heard);
    }

    fn hear(&mut self, line: &str) -> Outcome {
        if !self.follower.bench.up {
            return Ok(());
        }
        let input = received(self.follower.bench.conn(), line);
        self.hand(Some(input), line)
    }

    fn answer(&mut self, at: usize) -> Outcome {
        let writer = &mut self.writers[at];
        // Nothing else is sent between the rows of a batch, nor inside a send on TCP.
        if writer.is_inside_batch() || self.setting.on_tcp && !writer.queue.is_empty() {
            return Ok(());
        }
        writer.is_asked = false;
        let at_token = writer.last_sent;
        if writer.queue.is_empty() && !writer.must_announce {
            writer.last_sent = writer.looked;
        }
        let writer = &self.writers[at];
        let at_token = if writer.queue.is_empty() { writer.last_sent } else { at_token };
        let line = writer.announcement(at_token);
        self.deliver(at, &line)
    }

    fn lose_token(&mut self, at: usize) -> Outcome {
        let is_looked_for = matches!(self.traits.order, Order::Rising | Order::Bursts)
            && !self.traits.resettable
            && !self.setting.on_tcp;
        if !is_looked_for || self.writers[at].is_inside_batch() {
            return Ok(());
        }
        let Some(line) = self.next_line(at, 0) else { return Ok(()) };
        let Line::Row { token, mut is_last, .. } = line else { return self.deliver(at, &line) };
        while !is_last && let Some(Line::Row { is_last: next_is, .. }) = self.writers[at].next() {
            is_last = next_is;
        }
        self.truth.lost.insert(token);
        self.shown.push_str(&format!("{} lost {token}\n", self.follower.bench.now));
        Ok(())
    }

    /// Every writer that has lost a token says something more: a writer that falls silent shows no
    /// loss. Time passes until all is found, at the slowest pace of the looks.
    fn look_for_lost(&mut self) -> Outcome {
        for _ in 0..80 {
            if self.truth.missing(&self.writers).is_none() {
                return Ok(());
            }
            for at in 0..self.writers.len() {
                self.append(u8::try_from(at).unwrap_or_default(), 1, 1, 0);
                while let Some(line) = self.next_line(at, 0) {
                    self.deliver(at, &line)?;
                }
            }
            self.pass(Duration::from_secs(20))?;
            while !self.follower.fetches.is_empty() {
                self.fetched(0, false, 0)?;
            }
        }
        match self.truth.missing(&self.writers) {
            Some(token) => Err(format!("F12: {token} was lost and never found")),
            None => Ok(()),
        }
    }

    fn die(&mut self, at: usize, is_heard: bool) -> Outcome {
        let is_torn = self.writers[at].is_inside_batch() && self.follower.bench.up;
        let resettable = self.traits.resettable;
        let known = self.heard.get(&at).copied().max(self.truth.position(&self.writers[at].name));
        let writer = &mut self.writers[at];
        writer.queue.clear();
        writer.must_announce = true;
        if resettable {
            writer.log.clear();
            (writer.end, writer.last_sent) = (0, 0);
            self.heard.insert(at, 0);
        }
        let end = self.writers.iter().map(|writer| writer.end).max().unwrap_or_default();
        let writer = &mut self.writers[at];
        (writer.end, writer.looked, writer.last_sent) = (end, end, end);
        if resettable && self.follower.bench.up {
            self.hidden_restart = self.hidden_restart.max(known);
        }
        // A process takes a while to start again.
        self.pass(Duration::from_millis(2_500))?;
        if (is_torn || resettable) && !is_heard {
            self.writers[at].must_announce = false;
        }
        if self.setting.on_tcp {
            // There is one writer on the other side, and its connection ends with it.
            self.lose()?;
        }
        Ok(())
    }

    fn lose(&mut self) -> Outcome {
        if self.follower.bench.up {
            (self.hidden_restart, self.heard) = (None, BTreeMap::new());
            self.truth.on_lost();
            let input = self.follower.bench.lost();
            self.writers.iter_mut().for_each(|writer| writer.is_asked = false);
            if self.setting.on_tcp {
                for writer in &mut self.writers {
                    writer.queue.clear();
                }
            }
            self.hand(Some(input), "lose")?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Outcome {
        if !self.follower.bench.is_connecting() {
            self.pass(Duration::from_secs(8))?;
        }
        if self.follower.bench.is_connecting() {
            let input = self.follower.bench.made();
            self.hand(Some(input), "connect")?;
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) -> Outcome {
        let end = self.follower.bench.now + time;
        while self.follower.bench.now < end {
            if self.setting.on_tcp {
                self.hear("PING 1")?;
            }
            // A server says something every few seconds.
            let step = Duration::from_secs(4);
            let mut left = end.saturating_since(self.follower.bench.now).min(step);
            while left > Duration::ZERO {
                let (rest, events) = self.follower.pass(left)?;
                if !events.is_empty() {
                    self.shown.push_str(&format!("{} tick\n", self.follower.bench.now));
                }
                left = rest;
                self.on_events(&events)?;
            }
        }
        Ok(())
    }

    fn fetched(&mut self, nth: u8, fails: bool, cut: u8) -> Outcome {
        let Some(nth) = usize::from(nth).checked_rem(self.follower.fetches.len()) else {
            return Ok(());
        };
        let Fetch { query, writer, span } = self.follower.fetches.remove(nth);
        let result = if fails {
            Err(FetchError::TimedOut { endpoint: "http://w".to_owned(), after_ms: 1 })
        } else {
            Ok(self.page(&writer, span.from.get(), span.upto.get(), cut))
        };
        let text = format!("{query} {span}: {result:?}");
        self.hand(Some(Input::Fetched { query, result }), &text)
    }

    fn page(&mut self, name: &str, from: i64, upto: i64, cut: u8) -> Page {
        let beyond = if self.traits.order == Order::Loose { i64::MAX - 1 } else { upto };
        let mut rows = Vec::new();
        for writer in &self.writers {
            if writer.name == name || self.traits.shared_fetch {
                for (token, texts) in writer.rows(from, beyond) {
                    rows.extend(
                        texts.iter().map(|text| (Token::new(token), Row::from(text.as_str()))),
                    );
                }
            }
        }
        rows.sort_by_key(|(token, _)| *token);
        if self.traits.order == Order::Bursts {
            rows.reverse();
        }
        let mut keep = if cut == 0 { rows.len() } else { rows.len().min(cut.into()) };
        while !self.traits.splits_tokens
            && keep < rows.len()
            && keep > 0
            && rows[keep].0 == rows[keep - 1].0
        {
            keep += 1;
        }
        let limited = keep < rows.len();
        if limited {
            let last = rows[keep - 1].0;
            if rows[keep].0 == last || self.traits.overruns || self.traits.order != Order::Rising {
                self.truth.cut.insert(last.get());
            }
        }
        rows.truncate(keep);
        let upto = match rows.last() {
            Some((token, _)) if limited => *token,
            _ => Token::new(upto),
        };
        Page { updates: rows, upto, limited }
    }

    /// Plays on without faults: in the end everything that a log holds was delivered.
    pub(super) fn settle(&mut self) -> Outcome {
        for _ in 0..6 {
            self.connect()?;
            for at in 0..self.writers.len() {
                while let Some(line) = self.next_line(at, 0) {
                    self.deliver(at, &line)?;
                }
                if self.writers[at].is_asked {
                    self.answer(at)?;
                }
            }
            for _ in 0..200 {
                if self.follower.fetches.is_empty() {
                    break;
                }
                self.fetched(0, false, 0)?;
            }
            self.pass(Duration::from_secs(40))?;
        }
        self.look_for_lost()?;
        for writer in &self.writers {
            let name = &writer.name;
            if self.hidden_restart.is_some() {
                continue;
            }
            self.truth.check_complete(name, writer.end, &self.writers, "F2")?;
            // Nothing shows the last row of a writer that falls silent, if it came as another's.
            if self.truth.lost.contains(&writer.last_sent) {
                continue;
            }
            let position = self.truth.position(name);
            if position.is_none_or(|position| position < writer.last_sent) {
                return Err(format!(
                    "F7: {name} stands at {position:?}, not at {}",
                    writer.last_sent
                ));
            }
        }
        Ok(())
    }
}
