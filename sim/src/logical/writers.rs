//! The lives of writers: they start, lose the bus and come back to it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synrepl_core::{
    Channel, ConnectionId, MainChannel,
    stream::{CATALOGUE, Token},
    wire::Command,
};

use super::{
    process::{Due, LinkState, ProcessIndex},
    world::World,
    writing::LOOP_AFTER,
};
use crate::{oracle::Promise, scenario::Manners, trace::What};

impl World<'_> {
    /// A writer starts, for the first time or after it died.
    pub(super) fn start_writer(&mut self, index: ProcessIndex) {
        let Some(writer) = &mut self.processes[index].writer else { return };
        if !writer.down {
            return;
        }
        let first = !std::mem::replace(&mut writer.started, true);
        writer.down = false;
        writer.last_batch.clear();
        let builtin = writer.is_builtin;
        for at in 0..self.logs.len() {
            let seen = self.logs.sequence(&self.logs[at]);
            let log = &mut self.logs[at];
            if log.writer != index {
                continue;
            }
            if first {
                if !log.traits.resettable {
                    log.appear(seen);
                }
                for process in &mut self.processes {
                    if let Some(follower) = &mut process.follower
                        && follower.live_since.is_some_and(|since| {
                            self.now.saturating_since(since)
                                > process.config.connection.settling_for
                        })
                    {
                        follower.oracle.expect_all(&self.logs[at]);
                    }
                }
            } else {
                log.restart();
            }
        }
        let lane = self.lane(index);
        self.note(lane, None, || What::Input { text: "starts".to_owned() });
        if builtin {
            self.bring_back(index);
        } else {
            let own_streams = self.own_streams(index);
            for log in self.logs.iter().filter(|log| log.writer == index) {
                self.publish.on_start(log);
            }
            let config = &mut self.processes[index].config;
            config.publish.main_channel = MainChannel::Streams(named_in_synapse(&own_streams));
            config.publish.own_streams = own_streams;
            // It follows nothing.
            config.streams = Some(["-".to_owned()].into());
            self.start_machine(index);
        }
    }

    /// Judges on which channel a writer says something: Synapse hears the main one, and only what
    /// it would be configured for may go out there.
    pub(super) fn judge_channel(&mut self, index: ProcessIndex, at: Channel, command: &Command) {
        let stream = if let Command::Rdata(rdata) = command {
            &rdata.stream
        } else if let Command::Position(position) = command {
            &position.stream
        } else {
            return;
        };
        let main = &self.processes[index].config.publish.main_channel;
        let named = matches!(main, MainChannel::Streams(named) if named.contains(&**stream));
        let right = if named { Channel::Main } else { Channel::Synrepl };
        if at != right {
            let what = format!("{} {stream} went out on {at:?}, not {right:?}", command.name());
            self.fail(index, Promise::NoHarm, what);
        }
    }

    /// A builtin writer comes back to the bus: it says REPLICATE and announces.
    pub(super) fn bring_back(&mut self, index: ProcessIndex) {
        let now = self.now;
        let bus_at = self.bus_down_until;
        let process = &mut self.processes[index];
        let Some(writer) = &mut process.writer else { return };
        if writer.down || process.link.is_up() || !writer.is_builtin {
            return;
        }
        if process.link.refuse_until > now || bus_at > now {
            let at = process.link.refuse_until.max(bus_at) + LOOP_AFTER;
            self.queue.plan(at, Due::WriterBack { writer: index });
            return;
        }
        process.link.state = LinkState::Up;
        process.link.since = now;
        process.link.broken = false;
        process.link.conn = ConnectionId::new(process.link.conn.get() + 1);
        (process.link.outward_at, process.link.inward_at) = (now, now);
        // What was written meanwhile is passed over.
        for at in 0..self.logs.len() {
            if self.logs[at].writer == index {
                self.pass_over(index, at);
            }
        }
        if self.scenario.writers[index].manners != Manners::Mute {
            self.publish(index, Bytes::from_static(b"REPLICATE "));
            self.on_asked_to_announce(index);
        }
    }

    /// A builtin writer's connection ends.
    pub(super) fn take_offline(&mut self, index: ProcessIndex) {
        let conn = self.processes[index].link.conn;
        self.disconnect(index, conn, "the writer went away");
    }

    /// A writer's connection is gone, with what was on its way. One that does not announce when it
    /// is back leaves no trace of that on the wire.
    pub(super) fn on_writer_disconnected(&mut self, index: ProcessIndex) {
        if self.scenario.writers[index].manners != Manners::Mute {
            return;
        }
        for log in self.logs.of_writer(index) {
            log.torn = true;
            self.report.rows_untold += log.excuse(log.told_up_to(), log.current) as u64;
        }
    }
}

/// Returns those of a writer's own streams for which a Synapse beside it would be configured: every
/// other one that Synapse has at all.
fn named_in_synapse(own_streams: &BTreeMap<String, Token>) -> BTreeSet<String> {
    let known = |name: &&String| CATALOGUE.iter().any(|(known, _)| known == name);
    own_streams.keys().filter(known).step_by(2).cloned().collect()
}
