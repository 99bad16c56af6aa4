//! A Matrix client with the few requests that a test needs to see what its homeserver has received.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Failure, clock::Deadline};

/// The longest time for an answer, which is longer than any `/sync` here waits.
const ANSWER: Duration = Duration::from_secs(30);

/// A logged-in user.
#[derive(Debug)]
pub struct Client {
    /// `HOST:PORT` of the client API.
    address: String,
    /// The Matrix user id.
    user: String,
    token: String,
}

impl Client {
    /// Registers this user, where registration is open.
    ///
    /// # Errors
    /// Fails if the homeserver refuses.
    pub fn register(address: &str, name: &str) -> Result<Self, Failure> {
        let mut client =
            Self { address: address.to_owned(), user: String::new(), token: String::new() };
        let body = json!({
            "username": name, "password": format!("pw-{name}"), "auth": {"type": "m.login.dummy"},
        });
        let answer = client.request("POST", "/register", Some(&body))?;
        client.user = text(&answer, "user_id")?;
        client.token = text(&answer, "access_token")?;
        Ok(client)
    }

    /// The same user at another worker's client API.
    pub fn at(&self, address: &str) -> Self {
        Self { address: address.to_owned(), user: self.user.clone(), token: self.token.clone() }
    }

    /// The Matrix user id.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Creates a room and returns its id.
    ///
    /// # Errors
    /// Fails if the homeserver refuses.
    pub fn create_room(&self) -> Result<String, Failure> {
        let body = json!({"preset": "public_chat"});
        text(&self.request("POST", "/createRoom", Some(&body))?, "room_id")
    }

    /// Does one `/sync`: from the beginning, or from the `next_batch` of an earlier one. Waits up
    /// to 2 s for something new.
    ///
    /// # Errors
    /// Fails if the homeserver refuses.
    pub fn sync(&self, since: Option<&str>) -> Result<Value, Failure> {
        let since = since.map_or_else(String::new, |since| format!("&since={since}"));
        self.request("GET", &format!("/sync?timeout=2000{since}"), None)
    }

    /// Syncs from the beginning until the users who are typing in `room` are these, given by name.
    ///
    /// # Errors
    /// Fails if they are not within the time; names those who are.
    pub fn wait_for_typing(
        &self,
        room: &str,
        users: &[&str],
        time: Duration,
    ) -> Result<(), Failure> {
        let deadline = Deadline::after(time);
        loop {
            let answer = self.sync(None)?;
            let typing = typing(&answer, room);
            if typing == users {
                return Ok(());
            }
            if !deadline.pause() {
                return Err(format!("typing in {room}: {typing:?}, not {users:?}").into());
            }
        }
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map_or_else(String::new, Value::to_string);
        let authorization = match self.token.as_str() {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let mut socket = TcpStream::connect(&self.address)?;
        socket.set_read_timeout(Some(ANSWER))?;
        // HTTP/1.0 is used so that the answer ends with the connection and is not chunked.
        write!(
            socket,
            "{method} /_matrix/client/v3{path} HTTP/1.0\r\nHost: {}\r\n{authorization}\
             X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
        if head.split(' ').nth(1) != Some("200") {
            return Err(format!("{method} {path}: {answer}").into());
        }
        Ok(serde_json::from_str(body)?)
    }
}

fn text(answer: &Value, field: &str) -> Result<String, Failure> {
    let value = answer[field].as_str().ok_or_else(|| format!("no {field} in {answer}"))?;
    Ok(value.to_owned())
}

/// The users who are typing in this room by one answer of `/sync`, sorted, because a server names
/// them in any order. Empty if the answer names nobody.
pub fn typing<'a>(answer: &'a Value, room: &str) -> Vec<&'a str> {
    let events = answer["rooms"]["join"][room]["ephemeral"]["events"].as_array();
    let typing = events.into_iter().flatten().rfind(|event| event["type"] == "m.typing");
    let users = typing.and_then(|event| event["content"]["user_ids"].as_array());
    let mut users: Vec<_> = users.into_iter().flatten().filter_map(Value::as_str).collect();
    users.sort_unstable();
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_types_is_found_in_an_answer() {
        let event = json!({"type": "m.typing", "content": {"user_ids": ["@b:x", "@a:x"]}});
        let answer = json!({"rooms": {"join": {"!r:x": {"ephemeral": {"events": [event]}}}}});
        assert_eq!(typing(&answer, "!r:x"), ["@a:x", "@b:x"]);
        assert!(typing(&answer, "!s:x").is_empty());
    }
}
