//! Faults of the scenario, carried out at their time.

use std::time::Duration;

use bytes::Bytes;
use synrepl_core::{Input, Timestamp, WaitId};

use super::{
    process::{Amid, Due, LinkState, ProcessIndex},
    tcp::SERVER,
    world::World,
};
use crate::{
    marks::Mark,
    scenario::{Happening, Noise, Whom},
    trace::What,
};

/// Time from the death of a writer to its start with a restored database.
const RESTORED_AFTER_MS: u16 = 100;

impl World<'_> {
    fn follower(&self, number: u8) -> ProcessIndex {
        self.writers + usize::from(number) % (self.processes.len() - self.writers).max(1)
    }

    fn writer(&self, number: u8) -> ProcessIndex {
        usize::from(number) % self.writers.max(1)
    }

    /// Something happens.
    pub(super) fn apply(&mut self, what: Happening) {
        let lane = self.lane_of(what);
        if what.is_fault() {
            self.note(lane, None, || What::Fault { text: format!("{what:?}") });
        }
        let after = |now: Timestamp, ms: u16| now + Duration::from_millis(u64::from(ms));
        let now = self.now;
        match what {
            Happening::Write { source, tokens, rows } => {
                if !self.logs.is_empty() {
                    let log = usize::from(source) % self.logs.len();
                    self.write(log, tokens.clamp(1, 8), rows.clamp(1, 4));
                }
            }
            Happening::WaitFor { follower, source, ahead } => {
                self.wait_for(follower, source, ahead);
            }
            Happening::Cut { follower, after } => {
                let index = self.follower(follower);
                if after == 0 {
                    let conn = self.processes[index].link.conn;
                    self.disconnect(index, conn, "cut");
                } else if let Some(follower) = &mut self.processes[index].follower {
                    follower.cut_after = Some(after - 1);
                }
            }
            Happening::HalfOpen { follower, ms } => {
                let index = self.follower(follower);
                self.marks.hit(Mark::HalfOpen);
                self.break_link(index, ms);
            }
            Happening::RefuseConnections { follower, count } => {
                let index = self.follower(follower);
                self.processes[index].link.refuse = count;
            }
            Happening::DelayFollower { follower, ms } => {
                let index = self.follower(follower);
                self.make_late(index, ms);
            }
            Happening::CrashFollower { follower } => self.crash_follower(follower),
            Happening::SlowHandler { follower, ms } => {
                let index = self.follower(follower);
                if let Some(follower) = &mut self.processes[index].follower {
                    follower.busy_until = follower.busy_until.max(after(now, ms));
                }
            }
            Happening::ClockJump { follower, ms } => {
                let index = self.follower(follower);
                self.processes[index].skew += Duration::from_millis(u64::from(ms));
                self.marks.hit(Mark::ClockJumped);
                self.feed(index, Input::Tick, None);
            }
            Happening::LoseReplicate { follower } => {
                let index = self.follower(follower);
                if let Some(follower) = &mut self.processes[index].follower {
                    follower.lose_replicates = follower.lose_replicates.saturating_add(1);
                }
            }
            Happening::Damage { follower, byte } => {
                let index = self.follower(follower);
                if let Some(follower) = &mut self.processes[index].follower {
                    follower.damage = Some(byte);
                }
            }
            Happening::SpoilFetches { follower, fault, count } => {
                let index = self.follower(follower);
                if let Some(follower) = &mut self.processes[index].follower {
                    let count = usize::from(count.clamp(1, 8));
                    follower.spoil.extend(std::iter::repeat_n(fault, count));
                    follower.spoil.truncate(32);
                }
            }
            Happening::CrashWriter { writer, down_ms } => {
                self.crash_writer(self.writer(writer), down_ms);
            }
            Happening::AnswerAmid { writer, after } => {
                self.plan_amid(writer, Amid::Answers { after });
            }
            Happening::DieAmid { writer, after, down_ms } => {
                self.plan_amid(writer, Amid::Dies { after, down_ms });
            }
            Happening::WriterOffline { writer, ms } => {
                let index = self.writer(writer);
                let at = after(now, ms);
                self.marks.hit(Mark::WriterOffline);
                self.processes[index].link.refuse_until = at;
                self.take_offline(index);
                if self.processes[index].machine.is_none() {
                    self.queue.plan(at, Due::WriterBack { writer: index });
                }
            }
            Happening::LosePublish { writer, count } => {
                let index = self.writer(writer);
                if let Some(writer) = &mut self.processes[index].writer {
                    writer.lose = count.clamp(1, 16);
                }
            }
            Happening::DelayWriter { writer, ms } => {
                let index = self.writer(writer);
                self.make_late(index, ms);
            }
            Happening::StallWriter { writer, ms } => {
                let index = self.writer(writer);
                if let Some(writer) = &mut self.processes[index].writer {
                    writer.stalled_until = after(now, ms);
                }
            }
            Happening::Repeat { writer } => {
                let index = self.writer(writer);
                self.repeat(index);
            }
            Happening::EmptyPosition { writer } => {
                let index = self.writer(writer);
                if let Some(writer) = &mut self.processes[index].writer {
                    writer.empty_next = writer.is_builtin;
                }
            }
            Happening::FailReads { writer, count } => {
                let index = self.writer(writer);
                if let Some(writer) = &mut self.processes[index].writer {
                    writer.fail_reads = count.clamp(1, 16);
                }
            }
            Happening::RestoreBackup { writer, tokens } => {
                self.restore_backup(self.writer(writer), tokens.clamp(1, 8));
            }
            Happening::WrongAddresses { follower, ms } => {
                let index = self.follower(follower);
                let conn = self.processes[index].link.conn;
                self.disconnect(index, conn, "cut");
                if let Some(follower) = &mut self.processes[index].follower {
                    follower.misled_until = after(now, ms);
                    follower.oracle.on_misled();
                }
            }
            // Here messages are whole, and connections are made or not.
            Happening::Deafen { .. } | Happening::SlowAccept { .. } | Happening::Pieces { .. } => {}
            Happening::RestartBus { down_ms } => self.restart_bus(down_ms),
            Happening::Noise { noise } => self.noise(noise),
        }
    }

    fn lane_of(&self, what: Happening) -> usize {
        match what.whom() {
            Whom::Follower(number) => self.lane(self.follower(number)),
            Whom::Writer(number) => self.writer(number),
            Whom::Bus => self.writers,
        }
    }

    fn make_late(&mut self, index: ProcessIndex, ms: u16) {
        let by = Duration::from_millis(u64::from(ms));
        let link = &mut self.processes[index].link;
        (link.late_by, link.late_until) = (by, self.now + by);
    }

    fn wait_for(&mut self, follower: u8, source: u8, ahead: u8) {
        if self.logs.is_empty() {
            return;
        }
        let index = self.follower(follower);
        let log = &self.logs[usize::from(source) % self.logs.len()];
        let source = log.source.clone();
        let token = log.current.advanced_by(u32::from(ahead));
        self.waits += 1;
        let wait = WaitId::new(self.waits);
        let deadline = Timestamp::from_micros(u64::MAX);
        if self.processes[index].machine.as_ref().is_none_or(|machine| machine.as_node().is_none())
        {
            return;
        }
        let Some(follower) = &mut self.processes[index].follower else { return };
        if !follower.inbox.is_empty() || self.is_behind(index) {
            // The driver of a follower that is behind would not get to it now.
            return;
        }
        let Some(follower) = &mut self.processes[index].follower else { return };
        if follower.oracle.on_wait(wait, source.clone(), token) {
            self.marks.hit(Mark::WaitTwice);
        }
        let input = Input::WaitFor { wait, source, token, deadline };
        self.feed(index, input, None);
    }

    fn crash_follower(&mut self, number: u8) {
        let index = self.follower(number);
        let Some(follower) = &mut self.processes[index].follower else { return };
        self.marks.hit(Mark::FollowerCrashed);
        if !follower.pending.is_empty() {
            self.marks.hit(Mark::FollowerCrashedBusy);
        }
        let unhandled: Vec<_> = follower.pending.drain(..).collect();
        follower.inbox.clear();
        follower.cut_after = None;
        follower.live_since = None;
        follower.tick_missed = false;
        follower.oracle.on_restart(&follower.applied, &unhandled, &self.logs);
        follower.counts.on_restart(&follower.applied);
        let applied = follower.applied.clone();
        self.processes[index].config.positions = applied;
        self.processes[index].link.state = LinkState::Down;
        self.end_peer(index, "reset");
        if index == self.writers
            && let Some(handler) = &mut self.options.handler
        {
            handler.on_restart();
        }
        self.start_machine(index);
    }

    fn plan_amid(&mut self, number: u8, amid: Amid) {
        let index = self.writer(number);
        if let Some(writer) = &mut self.processes[index].writer
            && writer.is_builtin
        {
            writer.amid = Some(amid);
        }
    }

    /// A writer dies, and starts again after a time.
    pub(super) fn crash_writer(&mut self, index: ProcessIndex, down_ms: u16) {
        let Some(writer) = &mut self.processes[index].writer else { return };
        if writer.down || !writer.started {
            return;
        }
        self.marks.hit(Mark::WriterCrashed);
        writer.down = true;
        writer.must_announce = false;
        writer.amid = None;
        let process = &mut self.processes[index];
        process.machine = None;
        process.life += 1;
        process.timer_at = None;
        process.link.state = LinkState::Down;
        if index == SERVER {
            self.end_all_peers();
        }
        self.on_writer_disconnected(index);
        let at = self.now + Duration::from_millis(u64::from(down_ms));
        self.queue.plan(at, Due::WriterStarts { writer: index });
    }

    /// A writer dies and starts again with a database that lacks the last `tokens` tokens.
    fn restore_backup(&mut self, index: ProcessIndex, tokens: u8) {
        let Some(writer) = &self.processes[index].writer else { return };
        if writer.down || !writer.started || !writer.is_builtin {
            return;
        }
        self.crash_writer(index, RESTORED_AFTER_MS);
        self.logs.go_back(index, tokens);
    }

    fn restart_bus(&mut self, down_ms: u16) {
        self.marks.hit(Mark::BusRestarted);
        self.bus_down_until = self.now + Duration::from_millis(u64::from(down_ms));
        for index in 0..self.processes.len() {
            if self.processes[index].link.is_up() && self.dialect_of(index).is_none() {
                let conn = self.processes[index].link.conn;
                self.disconnect(index, conn, "the bus went away");
                if self.processes[index].machine.is_none() {
                    let at = self.bus_down_until;
                    self.queue.plan(at, Due::WriterBack { writer: index });
                }
            }
        }
    }

    /// A stranger says something; it reaches everyone at once.
    pub(super) fn noise(&mut self, noise: Noise) {
        if self.now < self.bus_down_until {
            return;
        }
        let line: &'static [u8] = match noise {
            Noise::Replicate => b"REPLICATE",
            Noise::Garbage => b"RDATA \xff\xfe",
            Noise::Blank => b"   ",
            Noise::UnknownCommand => b"FROM_THE_FUTURE 1 2 3",
            Noise::UnknownStream => b"POSITION from_the_future stranger 3 9",
            Noise::RemoteServerUp => b"REMOTE_SERVER_UP example.org",
        };
        match noise {
            Noise::Garbage | Noise::Blank | Noise::UnknownCommand => self.marks.hit(Mark::Garbage),
            Noise::UnknownStream => self.marks.hit(Mark::UnknownStream),
            Noise::Replicate | Noise::RemoteServerUp => {}
        }
        let read = synrepl_core::wire::Decoder::new().decode(&Bytes::from_static(line));
        // As if the first writer's neighbour had sent it, on a connection of its own.
        let message = self.new_message(0, Bytes::from_static(line), read);
        self.pass_to_all(&message);
    }
}
