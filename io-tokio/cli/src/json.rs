//! Events as JSON lines: the stable format for scripts. Fields are only ever added.

use std::io::Write as _;

use synrepl_core::{
    Break, ClearedReason, ConnectionId, Event, GapReason, Origin, SyncOrigin,
    secret::{veiled_keys, veiled_row, veiled_text},
    stream::{Rows, Source, Span, Token},
    wire::{Command, Replicate},
};

/// Appends the line of `event`, with its line feed, to `out`; nothing for events that are not
/// for stdout (warnings, ended waits, the end).
///
/// Every line is one object whose first field is `type`; those of a follower and their fields are
/// listed in the help of `synrepl follow`. The others come from a node that accepts peers,
/// publishes or tracks users (`peer` is the peer's number, counted from 0):
///
/// | type | fields |
/// |---|---|
/// | `peer_connected` | `peer`, `dialect` |
/// | `peer_named` | `peer`, `name` |
/// | `peer_disconnected` | `peer`, `reason` |
/// | `peer_command` | `peer`, `command` and its fields |
/// | `published` | `stream`, `token` |
/// | `user_syncing` | `instance_id` or `peer`, `user`, `device`, `syncing`, `last_sync_ms` |
/// | `syncing_cleared` | `instance_id` or `peer`, `users`, `reason` |
/// | `federation_acked` | `token` |
///
/// The `reason` of `syncing_cleared` is `stopped`, `silent` or `disconnected`.
///
/// Rows are verbatim, except that line feeds between their JSON tokens become spaces, so that a
/// line stays a line. In commands and in texts for people access tokens are replaced: they are not
/// the data that was requested.
pub(super) fn append(out: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Rows { source, token, rows, origin, position } => {
            let mut line = of_source(out, "rows", source).token("token", *token);
            line.rows("rows", rows);
            line.name("origin", origin_name(*origin)).token("position", *position).end();
        }
        Event::Position { source, token } => {
            of_source(out, "position", source).token("token", *token).end();
        }
        Event::Gap { source, span: Span { from, upto }, reason } => {
            let line = of_source(out, "gap", source).token("from", *from).token("upto", *upto);
            let line = line.name("reason", gap_reason_name(reason));
            match reason {
                GapReason::GaveUp { error } => line.text("error", &error.to_string()).end(),
                GapReason::NoEndpoint
                | GapReason::SplitToken
                | GapReason::Unreadable
                | GapReason::Discontinuity
                | _ => line.end(),
            }
        }
        Event::Reset { source, from, token } => {
            of_source(out, "reset", source).token("token", *token).token("from", *from).end();
        }
        Event::Discontinuity { source, position, why } => {
            let line = of_source(out, "discontinuity", source).token("position", *position);
            match why {
                Break::OtherRows { token, same_upto } => {
                    let line = line.name("why", "other_rows").token("token", *token);
                    match same_upto {
                        Some(same) => line.token("same_upto", *same).end(),
                        None => line.end(),
                    }
                }
                Break::NoRows { .. } => line.name("why", "no_rows").end(),
                _ => line.name("why", "other").end(),
            }
        }
        Event::Rewound { source, from, to } => {
            of_source(out, "rewound", source).token("token", *to).token("from", *from).end();
        }
        Event::CatchingUp { source, span: Span { from, upto } } => {
            let line = of_source(out, "catching_up", source);
            line.token("from", *from).token("upto", *upto).end();
        }
        Event::NotLive { source, token } => {
            of_source(out, "not_live", source).token("token", *token).end();
        }
        Event::Live { source, token } => {
            of_source(out, "live", source).token("token", *token).end();
        }
        Event::Connected { conn } => {
            Object::of_type(out, "connected").number("connection", conn.get()).end();
        }
        Event::Disconnected { conn, reason, retry_at } => {
            Object::of_type(out, "disconnected")
                .number("connection", conn.get())
                .text("reason", &veiled_text(reason))
                .boolean("retrying", retry_at.is_some())
                .end();
        }
        Event::Command { command } => {
            command_fields(Object::of_type(out, "command"), command).end();
        }
        Event::PeerConnected { conn, dialect } => {
            let line = Object::of_type(out, "peer_connected").number("peer", peer_number(*conn));
            line.text("dialect", &dialect.to_string()).end();
        }
        Event::PeerNamed { conn, name } => {
            let line = Object::of_type(out, "peer_named").number("peer", peer_number(*conn));
            line.text("name", name).end();
        }
        Event::PeerDisconnected { conn, reason } => {
            let line = Object::of_type(out, "peer_disconnected");
            line.number("peer", peer_number(*conn)).text("reason", &veiled_text(reason)).end();
        }
        Event::PeerCommand { conn, command } => {
            let line = Object::of_type(out, "peer_command").number("peer", peer_number(*conn));
            command_fields(line, command).end();
        }
        Event::Published { stream, token } => {
            Object::of_type(out, "published").text("stream", stream).token("token", *token).end();
        }
        Event::UserSyncing { origin, sync } => {
            let line = of_origin(Object::of_type(out, "user_syncing"), origin);
            line.text("user", &sync.user)
                .optional_text("device", sync.device.as_deref())
                .boolean("syncing", sync.syncing)
                .number("last_sync_ms", sync.last_sync_ms)
                .end();
        }
        Event::SyncingCleared { origin, users, reason } => {
            let line = of_origin(Object::of_type(out, "syncing_cleared"), origin);
            line.number("users", *users).name("reason", cleared_reason_name(*reason)).end();
        }
        Event::FederationAcked { token } => {
            Object::of_type(out, "federation_acked").token("token", *token).end();
        }
        // Warnings go to stderr, the command starts no waits, and the end of the output shows the
        // stop.
        Event::Warning(_) | Event::WaitEnded { .. } | Event::Stopped => {}
        _ => {}
    }
}

/// The name of an origin of rows.
const fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::CatchUp => "catch_up",
        Origin::Audit => "audit",
        Origin::Hole => "hole",
        Origin::Live | _ => "live",
    }
}

/// The name of a reason of missing rows.
const fn gap_reason_name(reason: &GapReason) -> &'static str {
    match reason {
        GapReason::NoEndpoint => "no_endpoint",
        GapReason::GaveUp { .. } => "gave_up",
        GapReason::SplitToken => "split_token",
        GapReason::Unreadable => "unreadable",
        GapReason::Discontinuity => "discontinuity",
        _ => "other",
    }
}

/// The number of a peer that connected to us, counted from 0; for a connection that we made, the
/// connection's own number.
const fn peer_number(conn: ConnectionId) -> u64 {
    match conn.accepted_number() {
        Some(number) => number,
        None => conn.get(),
    }
}

/// The name of a reason why reports of users are void.
const fn cleared_reason_name(reason: ClearedReason) -> &'static str {
    match reason {
        ClearedReason::Stopped => "stopped",
        ClearedReason::Silent => "silent",
        ClearedReason::Disconnected => "disconnected",
        _ => "other",
    }
}

fn of_origin<'a>(line: Object<'a>, origin: &SyncOrigin) -> Object<'a> {
    match origin {
        SyncOrigin::Instance(id) => line.text("instance_id", id),
        SyncOrigin::Connection(conn) => line.number("peer", peer_number(*conn)),
        _ => line,
    }
}

fn command_fields<'a>(line: Object<'a>, command: &Command) -> Object<'a> {
    let line = line.name("command", command.name());
    match command {
        Command::Server(name) => line.text("server", name),
        Command::Name(name) => line.text("name", name),
        Command::Ping(text) | Command::Error(text) | Command::Sync(text) => {
            line.text("text", &veiled_text(text))
        }
        Command::Replicate(Replicate::Stream { stream, from }) => {
            line.text("stream", stream).optional_token("from", *from)
        }
        Command::Replicate(_) => line,
        Command::Rdata(rdata) => {
            let line = line.text("stream", &rdata.stream).text("instance", &rdata.instance);
            line.optional_token("token", rdata.token).raw("row", &veiled_row(rdata.row.as_str()))
        }
        Command::Position(position) => {
            let line = line.text("stream", &position.stream).text("instance", &position.instance);
            line.token("prev", position.prev).token("token", position.token)
        }
        Command::UserSync(sync) => line
            .optional_text("instance_id", sync.instance_id.as_deref())
            .text("user", &sync.user)
            .optional_text("device", sync.device.as_deref())
            .boolean("syncing", sync.syncing)
            .number("last_sync_ms", sync.last_sync_ms),
        Command::ClearUserSync(id) => line.text("instance_id", id),
        Command::FederationAck(ack) => {
            line.optional_text("instance", ack.instance.as_deref()).token("token", ack.token)
        }
        Command::RemovePusher(pusher) => line
            .text("app_id", &pusher.app_id)
            .text("push_key", &pusher.push_key)
            .text("user", &pusher.user),
        Command::InvalidateCache(cache) => {
            let keys = veiled_keys(&cache.function, cache.keys.as_str());
            line.text("function", &cache.function).raw("keys", &keys)
        }
        Command::UserIp(seen) => line
            .text("user", &seen.user)
            .text("access_token", &seen.access_token.to_string())
            .text("ip", &seen.ip)
            .text("user_agent", &seen.user_agent)
            .optional_text("device", seen.device.as_deref())
            .number("last_seen_ms", seen.last_seen_ms),
        Command::RemoteServerUp(server) => line.text("server", server),
        Command::LockReleased(lock) => {
            line.text("instance", &lock.instance).text("lock", &lock.lock).text("key", &lock.key)
        }
        Command::NewActiveTask(task) | Command::CancelTask(task) => line.text("task", task),
        _ => line,
    }
}

fn of_source<'a>(out: &'a mut Vec<u8>, kind: &'static str, source: &Source) -> Object<'a> {
    Object::of_type(out, kind).text("stream", source.stream()).text("instance", source.instance())
}

/// A JSON object that is being written. Field names are our own and need no escape.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    /// Begins a line with its type.
    pub(super) fn of_type(out: &'a mut Vec<u8>, kind: &'static str) -> Self {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        Self { out }
    }

    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Adds a field with a text of our own, which needs no escape.
    pub(super) fn name(mut self, key: &'static str, name: &'static str) -> Self {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
        self
    }

    /// Adds a field with any text, escaped.
    pub(super) fn text(mut self, key: &'static str, text: &str) -> Self {
        self.key(key);
        append_text(self.out, text);
        self
    }

    /// Adds a field with an integer.
    pub(super) fn number(mut self, key: &'static str, number: impl Into<i128>) -> Self {
        self.key(key);
        // Writing to memory does not fail.
        let _ = write!(self.out, "{}", number.into());
        self
    }

    fn optional_text(self, key: &'static str, text: Option<impl AsRef<str>>) -> Self {
        match text {
            Some(text) => self.text(key, text.as_ref()),
            None => self.raw(key, "null"),
        }
    }

    fn token(self, key: &'static str, token: Token) -> Self {
        self.number(key, token.get())
    }

    fn optional_token(self, key: &'static str, token: Option<Token>) -> Self {
        match token {
            Some(token) => self.token(key, token),
            None => self.raw(key, "null"),
        }
    }

    fn boolean(self, key: &'static str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// Adds a field with any JSON text.
    pub(super) fn raw(mut self, key: &'static str, json: &str) -> Self {
        self.key(key);
        append_json(self.out, json);
        self
    }

    fn rows(&mut self, key: &'static str, rows: &Rows) {
        self.key(key);
        self.out.push(b'[');
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            append_json(self.out, row.as_str());
        }
        self.out.push(b']');
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

/// Adds the number of the line that was appended last, as its last field `seq`.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    if out.ends_with(b"}\n") {
        out.truncate(out.len() - 2);
        // Writing to memory does not fail.
        let _ = writeln!(out, ",\"seq\":{number}}}");
    }
}

/// Appends JSON text on one line. In JSON a line feed can only be white space between tokens.
fn append_json(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Appends `text` as a JSON string.
fn append_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x00..0x20 => {
                // Writing to memory does not fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
