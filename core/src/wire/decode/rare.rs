//! The commands that come rarely: all but RDATA and POSITION.

use bytes::Bytes;
use bytestring::ByteString;
use memchr::{memchr, memrchr};

use super::{Field, fault::Fault, integer_at, json};
use crate::{
    secret::Secret,
    stream::{Row, Token},
    wire::{
        command::{
            Command, FederationAck, InvalidateCache, LockReleased, RemovePusher, Replicate, UserIp,
            UserSync,
        },
        error::DecodeErrorKind,
    },
};

/// Decodes any command but a well-formed RDATA or POSITION.
pub(super) fn command(line: &Bytes, validate_rows: bool) -> Result<Command, Fault> {
    let text = ByteString::try_from(line.clone()).map_err(|error| Fault::utf8(0, &error))?;
    let name_end = memchr(b' ', line).unwrap_or(line.len());
    let args = Args::new(&text, (name_end + 1).min(text.len()));
    match &line[..name_end] {
        b"SERVER" => Ok(Command::Server(args.all())),
        b"NAME" => Ok(Command::Name(args.all())),
        b"PING" => Ok(Command::Ping(args.all())),
        b"ERROR" => Ok(Command::Error(args.all())),
        b"SYNC" => Ok(Command::Sync(args.all())),
        b"REMOTE_SERVER_UP" => Ok(Command::RemoteServerUp(args.all())),
        b"CLEAR_USER_SYNC" => Ok(Command::ClearUserSync(args.all())),
        b"NEW_ACTIVE_TASK" => Ok(Command::NewActiveTask(args.all())),
        b"CANCEL_TASK" => Ok(Command::CancelTask(args.all())),
        b"REPLICATE" => args.replicate().map(Command::Replicate),
        b"USER_SYNC" => args.user_sync().map(|sync| Command::UserSync(Box::new(sync))),
        b"FEDERATION_ACK" => args.federation_ack().map(Command::FederationAck),
        b"REMOVE_PUSHER" => args.remove_pusher().map(Command::RemovePusher),
        b"INVALIDATE_CACHE" => {
            args.invalidate_cache(line, validate_rows).map(Command::InvalidateCache)
        }
        b"USER_IP" => args.user_ip().map(|seen| Command::UserIp(Box::new(seen))),
        b"LOCK_RELEASED" => args.lock_released().map(Command::LockReleased),
        // With a space behind the name, these two do not come here.
        b"RDATA" | b"POSITION" => Err(Fault::field(line.len(), "a stream name behind the name")),
        _ if text.trim().is_empty() => Err(Fault::new(DecodeErrorKind::Blank, 0, "a command")),
        _ => Err(Fault::new(DecodeErrorKind::UnknownCommand, 0, "the name of a command")),
    }
}

/// The arguments: the text behind the command's name and one space.
struct Args<'a> {
    line: &'a ByteString,
    start: usize,
}

impl<'a> Args<'a> {
    const fn new(line: &'a ByteString, start: usize) -> Self {
        Self { line, start }
    }

    fn bytes(&self) -> &'a [u8] {
        self.line.as_bytes()
    }

    /// All arguments, verbatim.
    fn all(&self) -> ByteString {
        self.slice(self.start, self.line.len())
    }

    /// A piece of the line. Both ends must stand beside an ASCII byte or an end of the line.
    fn slice(&self, start: usize, end: usize) -> ByteString {
        self.line.slice_ref(&self.line[start..end])
    }

    fn text(&self, field: Field) -> ByteString {
        self.slice(field.start, field.end)
    }

    fn raw(&self, field: Field) -> &'a [u8] {
        &self.bytes()[field.start..field.end]
    }

    fn name(&self, field: Field, expected: &'static str) -> Result<ByteString, Fault> {
        field.not_empty(expected).map(|field| self.text(field))
    }

    fn integer(&self, field: Field, expected: &'static str) -> Result<i64, Fault> {
        integer_at(self.raw(field), field.start, expected)
    }

    fn first(&self) -> Field {
        Field::at(self.start, self.bytes())
    }

    fn after(&self, field: Field, expected: &'static str) -> Result<Field, Fault> {
        field.next(self.bytes(), expected)
    }

    /// The last field before byte `end`, where a space or the end of the line stands; a fault if it
    /// is the first one.
    fn last_before(&self, end: usize, expected: &'static str) -> Result<Field, Fault> {
        memrchr(b' ', &self.bytes()[self.start..end])
            .map(|space| Field { start: self.start + space + 1, end })
            .ok_or_else(|| Fault::field(end, expected))
    }

    fn ends(&self, field: Field, expected: &'static str) -> Result<(), Fault> {
        if field.end == self.line.len() { Ok(()) } else { Err(Fault::field(field.end, expected)) }
    }

    fn replicate(&self) -> Result<Replicate, Fault> {
        if self.start == self.line.len() {
            return Ok(Replicate::Everything);
        }
        let stream = self.first();
        let token = self.after(stream, "a token or NOW behind the stream name")?;
        self.ends(token, "the end of the line behind the token")?;
        let from = match self.raw(token) {
            b"NOW" | b"now" => None,
            _ => Some(Token::new(self.integer(token, "a token or NOW")?)),
        };
        Ok(Replicate::Stream { stream: self.name(stream, "a stream name")?, from })
    }

    /// Decodes USER_SYNC from the right: the last word but one, `start` or `end`, stands behind the
    /// fields that only newer dialects have.
    fn user_sync(&self) -> Result<UserSync, Fault> {
        const FORM: &str = "[instance id] user [device] start|end milliseconds";
        let ms = self.last_before(self.line.len(), FORM)?;
        let state = self.last_before(ms.start - 1, FORM)?;
        let syncing = match self.raw(state) {
            b"start" => true,
            b"end" => false,
            _ => return Err(Fault::field(state.start, "`start` or `end`")),
        };
        let first = self.first();
        let (instance_id, user, device) = if first.end + 1 == state.start {
            (None, first, None)
        } else {
            let user = self.after(first, FORM)?;
            let device = (user.end + 1 < state.start).then(|| (user.end + 1, state.start - 1));
            (Some(self.name(first, "an instance id")?), user, device)
        };
        let device =
            device.map(|(start, end)| self.slice(start, end)).filter(|device| &**device != "None");
        Ok(UserSync {
            instance_id,
            user: self.name(user, "a user id")?,
            device,
            syncing,
            last_sync_ms: self.integer(ms, "milliseconds since the epoch")?,
        })
    }

    fn federation_ack(&self) -> Result<FederationAck, Fault> {
        let first = self.first();
        let (instance, token) = if first.end == self.line.len() {
            (None, first)
        } else {
            let token = self.after(first, "a token")?;
            self.ends(token, "the end of the line behind the token")?;
            (Some(self.name(first, "an instance name")?), token)
        };
        Ok(FederationAck { instance, token: Token::new(self.integer(token, "a token")?) })
    }

    /// Decodes REMOVE_PUSHER from both ends if the last word is a user id; else it is cut at the
    /// first two spaces.
    fn remove_pusher(&self) -> Result<RemovePusher, Fault> {
        const FORM: &str = "an application id, a push key and a user id";
        let app_id = self.first();
        let key = self.after(app_id, FORM)?;
        let left_cut = self.after(key, FORM)?;
        let last = self.last_before(self.line.len(), FORM)?;
        let user_start = match self.raw(last) {
            [b'@', ..] => last.start,
            _ => left_cut.start,
        };
        Ok(RemovePusher {
            app_id: self.text(app_id),
            push_key: self.slice(key.start, user_start - 1),
            user: self.slice(user_start, self.line.len()),
        })
    }

    fn invalidate_cache(
        &self,
        line: &Bytes,
        validate_rows: bool,
    ) -> Result<InvalidateCache, Fault> {
        let function = self.first();
        let keys = self.after(function, "a JSON array of keys behind the function name")?;
        let keys: Row = super::json_tail(line, keys.start, validate_rows)?;
        Ok(InvalidateCache { function: self.name(function, "a function name")?, keys })
    }

    fn user_ip(&self) -> Result<UserIp, Fault> {
        const ARRAY: &str = "[access token, address, user agent, device id or null, milliseconds]";
        let user = self.first();
        let second = self.after(user, ARRAY)?;
        let name = self.name(user, "a user id")?;
        if super::starts_json(&self.bytes()[second.start..]) {
            let fields: json::UserIpFields =
                json::read(&self.line[second.start..], second.start, ARRAY)?;
            return Ok(UserIp {
                user: name,
                access_token: fields.access_token,
                ip: fields.ip,
                user_agent: fields.user_agent,
                device: fields.device,
                last_seen_ms: fields.last_seen_ms,
            });
        }
        let ip = self.after(second, "an address behind the access token")?;
        let device = self.after(ip, "a device id behind the address")?;
        let last_seen = self.after(device, "milliseconds since the epoch")?;
        let user_agent = match self.after(last_seen, "a user agent") {
            Ok(first_word) => &self.line[first_word.start..],
            Err(_) => "",
        };
        let owned = |field: Field| self.line[field.start..field.end].to_owned();
        Ok(UserIp {
            user: name,
            access_token: Secret::new(owned(second)),
            ip: owned(ip),
            user_agent: user_agent.to_owned(),
            device: Some(owned(device)).filter(|device| device != "None"),
            last_seen_ms: self.integer(last_seen, "milliseconds since the epoch")?,
        })
    }

    fn lock_released(&self) -> Result<LockReleased, Fault> {
        let fields: json::LockFields = json::read(
            &self.line[self.start..],
            self.start,
            "[instance name, lock name, lock key], three strings",
        )?;
        let json::LockFields { instance, lock, key } = fields;
        Ok(LockReleased { instance, lock, key })
    }
}
