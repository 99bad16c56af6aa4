//! Reports of syncing users, ours and those of others, and acknowledgements of federation rows
//! (`protocol.md` 2.3).
//!
//! What enters: the application's syncs, USER_SYNC, CLEAR_USER_SYNC and FEDERATION_ACK of others,
//! and timers. What leaves: our own reports, and the events of those that this node keeps account
//! of.

use bytestring::ByteString;

use super::Node;
use crate::{event::Event, ids::ConnectionId, timer::TimerKey, wire::Command};

impl Node {
    /// Handles the beginning or end of a sync of a user of ours. Once the node is stopping, all
    /// reports were taken back.
    pub(super) fn on_syncing(
        &mut self,
        who: (ByteString, Option<ByteString>),
        syncing: bool,
        at_ms: i64,
    ) {
        if self.stopping {
            return;
        }
        let said = self.our_users.on_syncing(who, syncing, at_ms, &mut self.env);
        self.report_users(said);
    }

    pub(super) fn on_sync_end_due(&mut self, number: u64) {
        let said = self.our_users.on_end_due(number, &self.env.config);
        self.report_users(said);
    }

    /// Reports one user again, in time for those that would count us as silent otherwise.
    pub(super) fn on_sync_repeat_due(&mut self) {
        let said = self.our_users.anyone(&self.env.config);
        self.report_users(said);
    }

    /// Reports all our users on a new connection, where none was reported yet.
    pub(super) fn report_all_users(&mut self) {
        let everyone: Vec<_> = self.our_users.everyone(&self.env.config).collect();
        self.report_users(everyone);
    }

    /// Takes back all reports of our users, before the connection is closed in order.
    pub(super) fn clear_reports(&mut self) {
        if let Some(clear_command) = self.our_users.clear_command(&self.env.config) {
            self.send_own(clear_command);
        }
    }

    fn report_users(&mut self, commands: impl IntoIterator<Item = Command>) {
        let mut said = false;
        for command in commands {
            if self.send_own(command.clone()) {
                self.our_users.on_said(&command);
                said = true;
            }
        }
        if said {
            let at = self.env.now + self.env.config.users.syncing_expires_after / 2;
            self.env.timers.set(TimerKey::SyncRepeat, at);
        }
    }

    /// Sends a command of the node's own, if it is no observer and the connection takes the
    /// command. Returns whether it was sent; users are reported again on the next connection.
    fn send_own(&mut self, command: Command) -> bool {
        !self.env.config.observe_only
            && self.connections.upstream.will_not_send(&command).is_none()
            && self.connections.upstream.send(command, &mut self.env).is_some()
    }

    /// Keeps account of what `command` reports of users or stored rows. Returns the command if it
    /// is another one, or not for this node to account for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are treated alike")]
    pub(super) fn take_report(&mut self, conn: ConnectionId, command: Command) -> Option<Command> {
        match command {
            Command::UserSync(sync) if self.env.config.users.presence_writer => {
                if sync.instance_id.as_ref() == Some(&self.env.config.instance_id) {
                    self.env.stats.echoes += 1;
                } else {
                    self.their_users.on_user_sync(conn, sync, &mut self.env);
                }
                None
            }
            Command::ClearUserSync(instance_id) if self.env.config.users.presence_writer => {
                self.their_users.on_clear(instance_id, &mut self.env);
                None
            }
            Command::FederationAck(ack) if !self.env.config.users.federation_senders.is_empty() => {
                let sent = self.publisher.sent_of("federation", &self.connections);
                if let Some(token) = self.federation_acks.on_ack(&ack, sent, &self.env.config) {
                    self.env.notify(Event::FederationAcked { token });
                }
                None
            }
            command => Some(command),
        }
    }
}
