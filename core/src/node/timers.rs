//! Deadlines that have passed: each is given to the part of the node that set it.

use super::Node;
use crate::{
    connection::Silent,
    event::{Event, WaitOutcome},
    follow::Follower,
    timer::TimerKey,
};

impl Node {
    pub(super) fn on_tick(&mut self) {
        // A deadline that is set meanwhile and due at once, because time cannot go on or a delay is
        // below its resolution, waits for the next tick.
        for _ in 0..self.env.timers.len() {
            let Some(key) = self.env.timers.pop_due(self.env.now) else { break };
            match key {
                TimerKey::Reconnect => self.connections.upstream.connect(&mut self.env),
                TimerKey::Replicate => {
                    let silent = self.silent();
                    self.connections.upstream.on_replicate_due(silent, &mut self.env);
                }
                TimerKey::KeepAlive(conn) if conn.is_accepted() => {
                    self.on_peer_keep_alive_due(conn);
                }
                TimerKey::KeepAlive(conn) => {
                    self.connections.upstream.on_keep_alive_due(conn, &mut self.env);
                }
                TimerKey::LogRetry(stream) => {
                    self.publisher.on_log_retry(stream, &mut self.connections, &mut self.env);
                }
                TimerKey::NothingHeard => {
                    self.connections.upstream.on_silence_due(&mut self.env);
                }
                TimerKey::SyncEnd(number) => self.on_sync_end_due(number),
                TimerKey::SyncExpiry(watch) => {
                    self.their_users.on_expiry_due(watch, &mut self.env);
                }
                TimerKey::SyncRepeat => self.on_sync_repeat_due(),
                TimerKey::FetchRetry(source) => {
                    self.with_follower(source, Follower::on_fetch_retry)
                }
                TimerKey::BatchOpen(source) => self.with_follower(source, Follower::on_batch_due),
                TimerKey::BurstQuiet(source) => {
                    self.with_follower(source, Follower::on_burst_quiet)
                }
                TimerKey::Audit(source) => self.with_follower(source, Follower::on_audit_due),
                TimerKey::Look(stream) => self.env.on_look_due(stream),
                // The next one is made once the input is handled.
                TimerKey::LookAllowed => {}
                TimerKey::Wait(wait) => {
                    if let Some(source) = self.env.waits.remove(wait) {
                        let position = self.followers[source.as_usize()].position();
                        let outcome = WaitOutcome::TimedOut { position };
                        self.env.notify(Event::WaitEnded { wait, outcome });
                    }
                }
            }
        }
    }

    /// Returns one of the sources whose position is not confirmed on this connection.
    fn silent(&self) -> Option<Silent> {
        if self.env.unconfirmed == 0 {
            return None;
        }
        let mut silent = self.followers.iter().filter(|follower| !follower.is_confirmed());
        let is_there = silent.clone().any(Follower::is_heard);
        // Another one each time: all are named in the end.
        let sent = self.connections.upstream.replicates_sent();
        let turn = sent.saturating_sub(1) % self.env.unconfirmed;
        let example = silent.nth(turn as usize)?.source().clone();
        Some(Silent { example, is_there })
    }
}
