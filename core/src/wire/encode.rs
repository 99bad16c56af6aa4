//! Commands to lines, in a chosen dialect (`protocol.md` 2.3 and 2.4).
//!
//! A [`Command`] enters; the one line leaves that Synapse of that dialect would write, or an error
//! and nothing. No field can end the line or shift the fields behind it.

mod json;
#[cfg(test)]
mod tests;

use bytes::{BufMut as _, BytesMut};
use memchr::{memchr, memchr2};
use thiserror::Error;

use super::{
    command::{Command, LockReleased, Position, Rdata, RemovePusher, Replicate, UserIp, UserSync},
    dialect::Dialect,
    integer,
};
use crate::stream::{Row, Token};

/// The command cannot be written as a line of the dialect; the caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field holds a line feed, which would end the line.
    #[error("{command}: {field} holds a line feed; a command is one line")]
    Newline {
        /// The name of the command.
        command: &'static str,
        /// The field that holds the line feed, in words.
        field: &'static str,
    },
    /// A field holds a space, and the fields behind it would shift.
    #[error("{command}: {field} holds a space; there is no quoting on the wire")]
    Space {
        /// The name of the command.
        command: &'static str,
        /// The field that holds the space, in words.
        field: &'static str,
    },
    /// A field is empty that has to hold something.
    #[error("{command}: {field} is empty")]
    Empty {
        /// The name of the command.
        command: &'static str,
        /// The empty field, in words.
        field: &'static str,
    },
    /// A field is `None` that this dialect needs.
    #[error("{command}: {field} is missing, which the dialect of release {dialect} needs")]
    Missing {
        /// The name of the command.
        command: &'static str,
        /// The missing field, in words.
        field: &'static str,
        /// The dialect that was to be written.
        dialect: Dialect,
    },
    /// No release of the dialect's range knows the command, or this form of it.
    #[error("{command} in this form does not exist in the dialect of release {dialect}")]
    NotInDialect {
        /// The name of the command.
        command: &'static str,
        /// The dialect that was to be written.
        dialect: Dialect,
    },
}

/// Appends `command` to `out` as Synapse of that dialect writes it, without a delimiter.
///
/// Rows and cache keys are written verbatim; JSON that is made here is compact ASCII. Fields that
/// the dialect lacks are left out: the writer's name and the previous token in old ones, the device
/// id before 1.92. A device whose id is `None` cannot be told from no device (`protocol.md` 2.5).
/// The length is not limited: Redis has no limit, direct TCP accepts lines up to
/// [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
///
/// # Errors
/// [`EncodeError`] if a field cannot be carried or the dialect lacks the command. `out` is then
/// as it was.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use synrepl_core::wire::{Command, Dialect, Replicate, encode};
///
/// let mut line = BytesMut::new();
/// encode(&Command::Replicate(Replicate::Everything), Dialect::LATEST, &mut line)?;
/// assert_eq!(line, "REPLICATE ");
/// # Ok::<(), synrepl_core::wire::EncodeError>(())
/// ```
pub fn encode(command: &Command, dialect: Dialect, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    let mut line = Line { command: command.name(), dialect, out };
    line.write(command).inspect_err(|_| out.truncate(start))
}

/// The line that is being written.
struct Line<'a> {
    command: &'static str,
    dialect: Dialect,
    out: &'a mut BytesMut,
}

impl Line<'_> {
    fn write(&mut self, command: &Command) -> Result<(), EncodeError> {
        self.check_dialect(command)?;
        self.out.put_slice(self.command.as_bytes());
        self.out.put_u8(b' ');
        match command {
            Command::Server(text) => self.rest("the server name", text),
            Command::Name(text) => self.rest("the name", text),
            Command::Ping(text) | Command::Error(text) | Command::Sync(text) => {
                self.rest("the text", text)
            }
            Command::RemoteServerUp(server) => self.rest("the server name", server),
            Command::ClearUserSync(instance_id) => self.rest("the instance id", instance_id),
            Command::NewActiveTask(task) | Command::CancelTask(task) => {
                self.rest("the task id", task)
            }
            Command::Replicate(Replicate::Everything) => Ok(()),
            Command::Replicate(Replicate::Stream { stream, from }) => {
                self.word("the stream name", stream)?;
                match from {
                    Some(token) => self.token(*token),
                    None => self.literal("NOW"),
                }
                Ok(())
            }
            Command::Rdata(rdata) => self.rdata(rdata),
            Command::Position(position) => self.position(position),
            Command::UserSync(sync) => self.user_sync(sync),
            Command::FederationAck(ack) => {
                if self.dialect.federation_ack_names_instance() {
                    let instance = self.required("the instance name", ack.instance.as_deref())?;
                    self.word("the instance name", instance)?;
                }
                self.token(ack.token);
                Ok(())
            }
            Command::RemovePusher(RemovePusher { app_id, push_key, user }) => {
                self.word("the application id", app_id)?;
                self.word("the push key", push_key)?;
                self.word("the user id", user)?;
                self.out.truncate(self.out.len() - 1);
                Ok(())
            }
            Command::InvalidateCache(cache) => {
                self.word("the function name", &cache.function)?;
                self.json("the keys", &cache.keys)
            }
            Command::UserIp(ip) => self.user_ip(ip),
            Command::LockReleased(LockReleased { instance, lock, key }) => {
                json::strings(&[instance, lock, key], self.out);
                self.out.put_u8(b']');
                Ok(())
            }
        }
    }

    fn check_dialect(&self, command: &Command) -> Result<(), EncodeError> {
        let dialect = self.dialect;
        let exists = match command {
            Command::Sync(_) => !dialect.names_instances(),
            Command::Replicate(Replicate::Stream { .. }) => !dialect.names_instances(),
            Command::Replicate(Replicate::Everything) => dialect.names_instances(),
            Command::ClearUserSync(_) => dialect.names_instances(),
            Command::InvalidateCache(_) => !dialect.since(Dialect::V1_18),
            Command::RemovePusher(_) => !dialect.since(Dialect::V1_92),
            Command::RemoteServerUp(_) => dialect.since(Dialect::V0_23),
            Command::LockReleased(_) => dialect.since(Dialect::V1_22),
            Command::NewActiveTask(_) | Command::CancelTask(_) => dialect.since(Dialect::V1_92),
            Command::Server(_)
            | Command::Name(_)
            | Command::Ping(_)
            | Command::Error(_)
            | Command::Rdata(_)
            | Command::Position(_)
            | Command::UserSync(_)
            | Command::FederationAck(_)
            | Command::UserIp(_) => true,
        };
        if exists {
            return Ok(());
        }
        Err(EncodeError::NotInDialect { command: self.command, dialect })
    }

    fn rdata(&mut self, rdata: &Rdata) -> Result<(), EncodeError> {
        self.word("the stream name", &rdata.stream)?;
        if self.dialect.names_instances() {
            self.word("the instance name", &rdata.instance)?;
        }
        match rdata.token {
            Some(token) => self.token(token),
            None => self.literal("batch"),
        }
        self.out.put_u8(b' ');
        self.json("the row", &rdata.row)
    }

    fn position(&mut self, position: &Position) -> Result<(), EncodeError> {
        self.word("the stream name", &position.stream)?;
        if self.dialect.names_instances() {
            self.word("the instance name", &position.instance)?;
        }
        if self.dialect.position_has_prev() {
            self.token(position.prev);
            self.out.put_u8(b' ');
        }
        self.token(position.token);
        Ok(())
    }

    fn user_sync(&mut self, sync: &UserSync) -> Result<(), EncodeError> {
        if self.dialect.names_instances() {
            let instance_id = self.required("the instance id", sync.instance_id.as_deref())?;
            self.word("the instance id", instance_id)?;
        }
        self.word("the user id", &sync.user)?;
        if self.dialect.user_sync_has_device() {
            self.word("the device id", sync.device.as_deref().unwrap_or("None"))?;
        }
        self.literal(if sync.syncing { "start " } else { "end " });
        integer::append(sync.last_sync_ms, self.out);
        Ok(())
    }

    fn user_ip(&mut self, ip: &UserIp) -> Result<(), EncodeError> {
        self.word("the user id", &ip.user)?;
        if self.dialect.user_ip_is_json() {
            json::strings(&[ip.access_token.expose(), &ip.ip, &ip.user_agent], self.out);
            self.out.put_u8(b',');
            match &ip.device {
                Some(device) => json::string(device, self.out),
                None => self.literal("null"),
            }
            self.out.put_u8(b',');
            integer::append(ip.last_seen_ms, self.out);
            self.out.put_u8(b']');
            return Ok(());
        }
        self.word("the access token", ip.access_token.expose())?;
        self.word("the address", &ip.ip)?;
        self.word("the device id", ip.device.as_deref().unwrap_or("None"))?;
        integer::append(ip.last_seen_ms, self.out);
        self.out.put_u8(b' ');
        self.rest("the user agent", &ip.user_agent)
    }

    fn required<'t>(
        &self,
        field: &'static str,
        text: Option<&'t str>,
    ) -> Result<&'t str, EncodeError> {
        let (command, dialect) = (self.command, self.dialect);
        text.ok_or(EncodeError::Missing { command, field, dialect })
    }

    /// Writes a field that ends at the next space, and that space.
    fn word(&mut self, field: &'static str, text: &str) -> Result<(), EncodeError> {
        let command = self.command;
        if text.is_empty() {
            return Err(EncodeError::Empty { command, field });
        }
        match memchr2(b' ', b'\n', text.as_bytes()).map(|at| text.as_bytes()[at]) {
            Some(b' ') => return Err(EncodeError::Space { command, field }),
            Some(_) => return Err(EncodeError::Newline { command, field }),
            None => {}
        }
        self.literal(text);
        self.out.put_u8(b' ');
        Ok(())
    }

    /// Writes the last field: any text without a line feed, or none.
    fn rest(&mut self, field: &'static str, text: &str) -> Result<(), EncodeError> {
        if memchr(b'\n', text.as_bytes()).is_some() {
            return Err(EncodeError::Newline { command: self.command, field });
        }
        self.literal(text);
        Ok(())
    }

    fn json(&mut self, field: &'static str, value: &Row) -> Result<(), EncodeError> {
        if value.is_empty() {
            return Err(EncodeError::Empty { command: self.command, field });
        }
        self.rest(field, value.as_str())
    }

    fn token(&mut self, token: Token) {
        integer::append(token.get(), self.out);
    }

    fn literal(&mut self, text: &str) {
        self.out.put_slice(text.as_bytes());
    }
}
