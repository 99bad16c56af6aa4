//! The commands that were sent to a peer and have not gone out yet (`protocol.md` 3.3), within
//! limits in commands and bytes (P5).

use std::collections::VecDeque;

use crate::{
    config::Config,
    wire::{Command, LINE_OVERHEAD_BYTES},
};

/// The commands that a peer has not taken, as their sizes, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SendQueue {
    sizes: VecDeque<u32>,
    bytes: u64,
}

/// The number of commands for which an empty queue keeps its room: that of a usual page of rows.
const KEPT_ROOM: usize = 1_024;

/// Returns the length of a command as a line, about, in bytes. Those that never go to a peer count
/// as a short line.
pub(super) fn size_of_line(command: &Command) -> u32 {
    let text = match command {
        Command::Rdata(rdata) => rdata.row.len() + rdata.stream.len() + rdata.instance.len(),
        Command::Position(position) => {
            LINE_OVERHEAD_BYTES + position.stream.len() + position.instance.len()
        }
        Command::LockReleased(lock) => {
            LINE_OVERHEAD_BYTES + lock.instance.len() + lock.lock.len() + lock.key.len()
        }
        Command::Server(text)
        | Command::Name(text)
        | Command::Ping(text)
        | Command::Error(text)
        | Command::Sync(text)
        | Command::RemoteServerUp(text) => LINE_OVERHEAD_BYTES + text.len(),
        Command::Replicate(_)
        | Command::UserSync(_)
        | Command::ClearUserSync(_)
        | Command::FederationAck(_)
        | Command::RemovePusher(_)
        | Command::InvalidateCache(_)
        | Command::UserIp(_)
        | Command::NewActiveTask(_)
        | Command::CancelTask(_) => LINE_OVERHEAD_BYTES,
    };
    u32::try_from(text + LINE_OVERHEAD_BYTES).unwrap_or(u32::MAX)
}

/// Returns the most bytes that a row takes here which is not too long for a peer.
pub(crate) const fn bytes_of_row_max(config: &Config) -> u64 {
    config.publish.row_bytes_max as u64 + LINE_OVERHEAD_BYTES as u64
}

impl SendQueue {
    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Returns whether a further command of `size` bytes is one too many. The first one never is.
    pub(super) fn would_overflow(&self, size: u32, config: &Config) -> bool {
        self.len() >= config.publish.peer_pending_max as usize
            || (!self.sizes.is_empty()
                && self.bytes + u64::from(size) > u64::from(config.publish.peer_pending_bytes_max))
    }

    /// Returns whether more than half of what may be untaken is untaken, in commands or in bytes.
    pub(super) fn is_half_full(&self, config: &Config) -> bool {
        self.len() > config.publish.peer_pending_max as usize / 2
            || self.bytes > u64::from(config.publish.peer_pending_bytes_max) / 2
    }

    pub(super) fn push(&mut self, size: u32) {
        self.sizes.push_back(size);
        self.bytes += u64::from(size);
    }

    /// Removes the oldest `count` commands, which have gone out.
    pub(super) fn take(&mut self, count: u32) {
        let count = self.sizes.len().min(count as usize);
        let taken: u64 = self.sizes.drain(..count).map(u64::from).sum();
        self.bytes -= taken;
        if self.sizes.is_empty() {
            // A peer that was slow once does not keep the room of its queue.
            self.sizes.shrink_to(KEPT_ROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublishConfig;

    #[test]
    fn one_command_more_than_allowed_is_too_many() {
        let config = Config {
            publish: PublishConfig { peer_pending_max: 3, ..PublishConfig::default() },
            ..Config::default()
        };
        let mut untaken = SendQueue::default();
        for _ in 0..3 {
            assert!(!untaken.would_overflow(1, &config));
            untaken.push(1);
        }
        assert!(untaken.would_overflow(1, &config));
        untaken.take(1);
        assert!(!untaken.would_overflow(1, &config));
    }

    #[test]
    fn bytes_count_too_but_one_command_always_fits() {
        let config = Config {
            publish: PublishConfig { peer_pending_bytes_max: 100, ..PublishConfig::default() },
            ..Config::default()
        };
        let mut untaken = SendQueue::default();
        assert!(!untaken.would_overflow(1_000, &config));
        untaken.push(60);
        assert!(untaken.is_half_full(&config));
        assert!(!untaken.would_overflow(40, &config));
        assert!(untaken.would_overflow(41, &config));
        untaken.take(1);
        assert_eq!(untaken, SendQueue::default());
    }

    #[test]
    fn half_of_what_is_allowed_is_not_more_than_half() {
        let config = Config {
            publish: PublishConfig {
                peer_pending_max: 4,
                peer_pending_bytes_max: 8,
                ..PublishConfig::default()
            },
            ..Config::default()
        };
        let of = |sizes: &[u32]| {
            let mut untaken = SendQueue::default();
            sizes.iter().for_each(|size| untaken.push(*size));
            untaken
        };
        assert!(!of(&[1, 1]).is_half_full(&config));
        assert!(of(&[1, 1, 1]).is_half_full(&config));
        assert!(!of(&[4]).is_half_full(&config));
        assert!(of(&[5]).is_half_full(&config));
    }

    #[test]
    fn a_row_counts_with_its_names_and_a_bit_more() {
        let rdata = crate::wire::Rdata {
            stream: "events".into(),
            instance: "w".into(),
            token: None,
            row: crate::stream::Row::from("[1]"),
        };
        assert_eq!(size_of_line(&Command::Rdata(rdata)), 6 + 1 + 3 + 32);
        assert_eq!(size_of_line(&Command::Ping("1".into())), 65);
        let name = "x".repeat(10_000);
        let long = Command::RemoteServerUp(name.as_str().into());
        assert_eq!(size_of_line(&long), 10_064, "a name counts whatever command it is in");
    }
}
