//! Writers: what they append, and what the builtin ones send, by the rules of Synapse's
//! (`protocol.md` 5.3, 5.4).

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use synrepl_core::{
    Input, ReadId,
    stream::{LogError, Order, Page, Source, Token},
    wire::Command,
};

use super::{
    process::{Amid, Due, LogRead, ProcessIndex},
    world::World,
};
use crate::{
    marks::Mark,
    scenario::Manners,
    trace::What,
    world::{Log, Said, look},
};

/// Time until a writer's send loop has seen a write.
pub(super) const LOOP_AFTER: Duration = Duration::from_micros(500);
/// Time from the last line that a writer sends to its death.
const DIES_AFTER: Duration = Duration::from_millis(50);
/// Time until a writer has seen that another one of its stream moved on.
const FOLLOWS_AFTER: Duration = Duration::from_millis(200);

impl World<'_> {
    /// A writer appends rows, under `tokens` tokens in one transaction.
    pub(super) fn write(&mut self, index: usize, tokens: u8, rows: u8) {
        let log = &self.logs[index];
        let (writer, stream) = (log.writer, log.stream);
        if self.processes[writer].writer.as_ref().is_none_or(|w| w.down || !w.started) {
            return;
        }
        let first = self.logs.rows_written() + 1;
        (0..tokens).for_each(|_| self.logs.write(index, rows));
        let (last, upto) = (self.logs.rows_written(), self.logs[index].current);
        let source = self.logs[index].source.clone();
        self.note(writer, Some(&source), || What::Wrote {
            text: format!("rows {first} to {last}, up to token {upto}"),
        });
        self.poke(index, writer);
        if self.logs[index].traits.resettable {
            return;
        }
        for other in 0..self.logs.len() {
            let log = &self.logs[other];
            if log.stream == stream && log.writer != writer {
                let at = self.now + FOLLOWS_AFTER;
                self.plan_loop(log.writer, at);
            }
        }
    }

    /// Tells a writer that its log has grown.
    fn poke(&mut self, index: usize, writer: ProcessIndex) {
        if self.processes[writer].machine.is_some() {
            let log = &self.logs[index];
            let (stream, token) = (ByteString::from(log.source.stream()), log.current);
            self.feed(writer, Input::Appended { stream, token }, None);
        } else {
            let at = self.now + LOOP_AFTER;
            self.plan_loop(writer, at);
        }
    }

    pub(super) fn plan_loop(&mut self, index: ProcessIndex, at: synrepl_core::Timestamp) {
        if let Some(writer) = &mut self.processes[index].writer
            && !writer.loop_planned
        {
            writer.loop_planned = true;
            self.queue.plan(at.max(writer.stalled_until), Due::SendLoop { writer: index });
        }
    }

    /// A writer looks at its logs.
    pub(super) fn on_send_loop(&mut self, index: ProcessIndex) {
        let now = self.now;
        let Some(writer) = &mut self.processes[index].writer else { return };
        writer.loop_planned = false;
        if writer.down || !writer.started {
            return;
        }
        if writer.stalled_until > now {
            self.plan_loop(index, now);
            return;
        }
        let is_up = self.processes[index].link.is_up();
        let machine = self.processes[index].machine.is_some();
        let mut announce = false;
        if let Some(writer) = &mut self.processes[index].writer
            && is_up
        {
            announce = std::mem::take(&mut writer.must_announce);
        }
        for log in 0..self.logs.len() {
            if self.logs[log].writer != index {
                continue;
            }
            let moved = self.logs.follow(log);
            if machine {
                if moved {
                    self.poke(log, index);
                }
            } else if is_up {
                self.flush(index, log, announce);
                if self.processes[index].writer.as_ref().is_some_and(|w| w.stalled_until > now) {
                    // It has died inside this send.
                    return;
                }
            } else {
                self.pass_over(index, log);
            }
        }
        if let Some(writer) = &mut self.processes[index].writer
            && is_up
        {
            writer.empty_next = false;
        }
    }

    /// Without a connection a writer moves on and sends nothing.
    pub(super) fn pass_over(&mut self, index: ProcessIndex, log: usize) {
        let mute = self.scenario.writers[index].manners == Manners::Mute;
        let log = &mut self.logs[log];
        if mute {
            let count = log.excuse(log.last_token, log.current);
            self.report.rows_untold += count as u64;
            if count > 0 {
                self.marks.hit(Mark::Untold);
            }
        }
        if log.last_token < log.current
            && let Some(writer) = &mut self.processes[index].writer
        {
            writer.last_batch.clear();
        }
        log.last_token = log.current;
    }

    /// One look of a builtin writer's send loop at one log.
    fn flush(&mut self, index: ProcessIndex, at: usize, announce: bool) {
        let hasty = self.scenario.writers[index].manners == Manners::Hasty;
        let empty = self.processes[index].writer.as_ref().is_some_and(|w| w.empty_next);
        let log = &mut self.logs[at];
        let (prev, current) = (log.last_token, log.current);
        let updates = log.between(prev, current).count();
        let order = log.traits.order;
        let mut said = look(log, announce && !hasty);
        if empty && prev < current {
            said.truncate(usize::from(announce && !hasty));
            said.push(Said::Position { prev, new: current });
            let count = log.excuse(prev, current);
            self.report.rows_untold += count as u64;
            if count > 0 {
                self.marks.hit(Mark::EmptyPosition);
                self.marks.hit(Mark::Untold);
            }
        } else if updates > 1 && order == Order::Bursts {
            self.marks.hit(Mark::FallingBurst);
        } else if updates > 1 && order == Order::Loose {
            self.marks.hit(Mark::Repeated);
        }
        let source = self.logs[at].source.clone();
        for said in said {
            match said {
                Said::Position { prev, new } => self.announce(index, at, prev, new),
                Said::Batch { token, .. } => {
                    let batch = said.lines(&source);
                    let sent = self.lines_before_death(index, batch.len());
                    self.send_batch(index, at, token, &batch, sent);
                    if sent < batch.len() {
                        self.logs[at].torn |= sent > 0;
                        return;
                    }
                    if let Some(writer) = &mut self.processes[index].writer {
                        writer.last_batch = batch;
                    }
                    self.answer_amid(index, at, token);
                }
            }
        }
    }

    /// Returns how many of the next lines a writer sends before it dies: all, unless it is to die
    /// inside this send.
    fn lines_before_death(&mut self, index: ProcessIndex, lines: usize) -> usize {
        let now = self.now;
        let Some(writer) = &mut self.processes[index].writer else { return lines };
        let Some(Amid::Dies { after, down_ms }) = &mut writer.amid else { return lines };
        let (left, down_ms) = (usize::from(*after), *down_ms);
        if left >= lines {
            *after -= u8::try_from(lines).unwrap_or(*after);
            return lines;
        }
        // What it has sent is still on its way.
        let at = now + DIES_AFTER;
        (writer.amid, writer.stalled_until) = (None, at);
        writer.last_batch.clear();
        self.marks.hit(Mark::DiedAmid);
        self.queue.plan(at, Due::WriterDies { writer: index, down_ms });
        left
    }

    /// Has a writer answer a REPLICATE inside a send of which `token` was sent last, if it is to.
    fn answer_amid(&mut self, index: ProcessIndex, at: usize, token: Token) {
        let Some(writer) = &mut self.processes[index].writer else { return };
        let Some(Amid::Answers { after }) = &mut writer.amid else { return };
        *after = after.saturating_sub(1);
        if *after == 0 {
            writer.amid = None;
            self.marks.hit(Mark::AnsweredAmid);
            self.announce(index, at, token, token);
        }
    }

    /// Sends the first `sent` rows of one token, but for those that get lost.
    fn send_batch(
        &mut self,
        index: ProcessIndex,
        at: usize,
        token: Token,
        batch: &[Bytes],
        sent: usize,
    ) {
        let (mut opened, mut lost) = (false, false);
        for (number, line) in batch.iter().enumerate().take(sent) {
            let last = number + 1 == batch.len();
            if self.loses(index, at, token) {
                // What was sent of the batch is taken for the beginning of the next one.
                self.logs[at].torn |= last && opened;
                lost = true;
                continue;
            }
            opened = true;
            let log = &mut self.logs[at];
            if last && std::mem::take(&mut log.torn) {
                log.excuse_token(token);
            }
            self.publish(index, line.clone());
        }
        if lost && opened {
            // What came of it passes for the whole, or for a part of the next one.
            self.logs[at].excuse_token(token);
        }
    }

    fn announce(&mut self, index: ProcessIndex, at: usize, prev: Token, new: Token) {
        let lost = self.loses(index, at, new);
        let log = &mut self.logs[at];
        log.unannounced = lost;
        if lost {
            return;
        }
        log.torn = false;
        if let Some(writer) = &mut self.processes[index].writer {
            writer.last_batch.clear();
        }
        for line in (Said::Position { prev, new }).lines(&log.source) {
            self.publish(index, line);
        }
    }

    /// Whether the next message of a builtin writer is lost before the bus. What it would have told
    /// shows at best later: by the hole that it leaves.
    fn loses(&mut self, index: ProcessIndex, at: usize, token: Token) -> bool {
        let Some(writer) = self.processes[index].writer.as_mut().filter(|w| w.lose > 0) else {
            return false;
        };
        writer.lose -= 1;
        self.marks.hit(Mark::PublishLost);
        let log = &mut self.logs[at];
        let count = log.lose(log.published.min(token.before()), token);
        self.report.rows_untold += count as u64;
        if count > 0 {
            self.marks.hit(Mark::Untold);
        }
        let source = self.logs[at].source.clone();
        self.note(index, Some(&source), || What::Fault {
            text: format!("a message about token {token} was lost before the bus"),
        });
        true
    }

    /// A builtin writer heard a REPLICATE, or has just connected.
    pub(super) fn on_asked_to_announce(&mut self, index: ProcessIndex) {
        if self.scenario.writers[index].manners == Manners::Hasty {
            for at in 0..self.logs.len() {
                if self.logs[at].writer == index {
                    let log = &self.logs[at];
                    let current = log.current;
                    if log.last_token < current {
                        self.marks.hit(Mark::AnnouncedAhead);
                    }
                    self.announce(index, at, current, current);
                }
            }
            return;
        }
        if let Some(writer) = &mut self.processes[index].writer {
            writer.must_announce = true;
            let at = self.now + LOOP_AFTER;
            self.plan_loop(index, at);
        }
    }

    /// A writer sends its last batch once more, if that is the last that it said: nobody keeps what
    /// was sent before.
    pub(super) fn repeat(&mut self, index: ProcessIndex) {
        let Some(writer) = &self.processes[index].writer else { return };
        let batch = writer.last_batch.clone();
        if writer.down || !self.processes[index].link.is_up() || batch.is_empty() {
            return;
        }
        self.marks.hit(Mark::Repeated);
        for line in batch {
            self.publish(index, line);
        }
    }

    pub(super) fn on_log_read(
        &mut self,
        index: ProcessIndex,
        life: u32,
        query: ReadId,
        read: &LogRead,
    ) {
        if self.processes[index].life != life {
            return;
        }
        let LogRead { stream, from, upto, rows_max } = read;
        if let Some(writer) = &mut self.processes[index].writer
            && writer.fail_reads > 0
        {
            writer.fail_reads -= 1;
            let message = "it fails on purpose".to_owned();
            let result = Err(LogError { stream: stream.to_string(), message });
            self.feed(index, Input::LogRead { query, result }, None);
            return;
        }
        let page = self.logs.own(index, stream).map_or_else(
            || Page { updates: Vec::new(), upto: *upto, limited: false },
            |log| log.read(*from, *upto, *rows_max),
        );
        if page.limited {
            self.marks.hit(Mark::LogPaged);
        }
        self.feed(index, Input::LogRead { query, result: Ok(page) }, None);
    }

    /// Something of a log reached the bus.
    pub(super) fn on_published(
        &mut self,
        sender: ProcessIndex,
        command: &Command,
        source: Option<&Source>,
    ) {
        let Some(at) = source.and_then(|source| self.log_of(source)) else { return };
        if self.logs[at].writer != sender {
            return;
        }
        self.logs[at].on_said(command);
        if self.processes[sender].machine.is_some() {
            self.marks.hit(Mark::OursPublished);
            match self.publish.judge(self.now, command, &self.logs[at]) {
                Ok(true) => self.marks.hit(Mark::OursAnnouncedAgain),
                Ok(false) => {}
                Err(violation) => self.break_promise(sender, violation),
            }
        }
        if let Some(token) = Log::token_in(command) {
            let is_builtin = self.processes[sender].machine.is_none();
            let log = &mut self.logs[at];
            // A writer that started over, and is first heard of where it has rows already, may
            // stand where the old epoch did: no epoch is on the wire. Ours says its start first.
            if is_builtin && log.traits.resettable && log.epoch > 0 && !log.heard {
                self.report.rows_untold += log.excuse(Token::START, token) as u64;
            }
            log.heard = true;
            log.published = log.published.max(token.min(log.current));
        }
    }
}
