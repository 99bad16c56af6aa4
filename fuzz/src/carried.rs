//! The form of a command after encoding and decoding in a dialect: a command enters, what its
//! reader gets leaves.

use synrepl_core::wire::{Command, Dialect};

/// Returns the command as its reader gets it (`protocol.md` 2.4, 2.5); `None` if the dialect writes
/// it in a form that it reads as another command.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other commands are carried whole")]
pub(crate) fn as_carried(command: &Command, dialect: Dialect) -> Option<Command> {
    let mut carried = command.clone();
    let names = dialect.names_instances();
    match &mut carried {
        Command::Rdata(rdata) if !names => {
            // Without an instance name, only its first byte shows where the row begins.
            if !starts_json(rdata.row.as_str()) {
                return None;
            }
            rdata.instance = "master".into();
        }
        Command::Position(position) => {
            if !names {
                position.instance = "master".into();
            }
            if !dialect.position_has_prev() {
                position.prev = position.token;
            }
            position.ends_catch_up = !names;
        }
        Command::UserSync(sync) => {
            sync.instance_id.take_if(|_| !names);
            sync.device.take_if(|_| !dialect.user_sync_has_device());
        }
        Command::FederationAck(ack) => {
            ack.instance.take_if(|_| !dialect.federation_ack_names_instance());
        }
        Command::UserIp(ip) if !dialect.user_ip_is_json() => {
            if starts_json(ip.access_token.expose()) {
                return None;
            }
            ip.device.take_if(|device| device == "None");
        }
        _ => {}
    }
    Some(carried)
}

fn starts_json(text: &str) -> bool {
    text.starts_with(['[', '{'])
}
