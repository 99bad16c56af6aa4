//! The commands that each side of a direct TCP connection may send (`protocol.md` 3.5).
//!
//! A dialect spans releases that differ here; what any of them allows is allowed.

use crate::wire::{Command, Dialect, Replicate};

/// Returns whether a client may send this to a server of `dialect`.
pub(crate) const fn client_may_send(command: &Command, dialect: Dialect) -> bool {
    match command {
        Command::Name(_) | Command::Ping(_) | Command::Error(_) | Command::FederationAck(_) => true,
        Command::Replicate(Replicate::Everything) => dialect.has_bare_replicate(),
        // Later servers read a line of the oldest dialect as a bare REPLICATE.
        Command::Replicate(Replicate::Stream { .. })
        | Command::UserSync(_)
        | Command::UserIp(_)
        | Command::RemoteServerUp(_) => true,
        Command::ClearUserSync(_) => dialect.has_clear_user_sync(),
        Command::RemovePusher(_) => !matches!(dialect, Dialect::V1_92),
        Command::InvalidateCache(_) => {
            matches!(dialect, Dialect::V0_22 | Dialect::V0_23 | Dialect::V1_13)
        }
        Command::LockReleased(_) => dialect.position_has_prev(),
        Command::Server(_)
        | Command::Sync(_)
        | Command::Rdata(_)
        | Command::Position(_)
        | Command::NewActiveTask(_)
        | Command::CancelTask(_) => false,
    }
}

/// Returns whether a server of `dialect` may send this to a client.
pub(crate) const fn server_may_send(command: &Command, dialect: Dialect) -> bool {
    match command {
        Command::Server(_)
        | Command::Ping(_)
        | Command::Error(_)
        | Command::Rdata(_)
        | Command::Position(_)
        | Command::RemoteServerUp(_) => true,
        Command::Sync(_) => dialect.has_sync(),
        Command::LockReleased(_) => dialect.position_has_prev(),
        Command::Name(_)
        | Command::Replicate(_)
        | Command::UserSync(_)
        | Command::ClearUserSync(_)
        | Command::FederationAck(_)
        | Command::RemovePusher(_)
        | Command::InvalidateCache(_)
        | Command::UserIp(_)
        | Command::NewActiveTask(_)
        | Command::CancelTask(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Decoder;

    fn command(line: &'static str) -> Command {
        Decoder::new().decode(&bytes::Bytes::from_static(line.as_bytes())).unwrap()
    }

    #[test]
    fn what_only_some_releases_take_is_said_to_those() {
        let pusher = command("REMOVE_PUSHER app key @u:x");
        assert!(client_may_send(&pusher, Dialect::V1_22));
        assert!(!client_may_send(&pusher, Dialect::V1_92));
        let cache = command("INVALIDATE_CACHE get_user [\"@u:x\"]");
        assert!(client_may_send(&cache, Dialect::V0_22) && client_may_send(&cache, Dialect::V1_13));
        assert!(!client_may_send(&cache, Dialect::V1_22));
        let sync = command("SYNC 5");
        assert!(server_may_send(&sync, Dialect::V0_23));
        assert!(!server_may_send(&sync, Dialect::V1_13));
    }
}
