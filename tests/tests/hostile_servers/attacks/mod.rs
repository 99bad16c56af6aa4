//! The attacks, a row each: the bytes, the words of the report on standard error, and the memory
//! that they may cost.

mod http;
mod messages;
mod redis;
mod tcp;

use synrepl_tests::impostor::{Attack, Then};

pub(crate) use self::{http::catch_up, messages::messages, redis::redis, tcp::direct_tcp};

/// One attack.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) attack: fn() -> Attack,
    /// The words that one line on standard error must hold.
    pub(crate) told: &'static [&'static str],
    /// The number of bytes of the attack that must be taken, where no error ends it sooner.
    pub(crate) floods: Option<u64>,
    /// The most memory that the victim may ever have had, in bytes.
    pub(crate) memory_max: u64,
}

/// The usual bound on memory: a victim begins with 17 MiB in a debug build, and few bytes cost
/// little.
const MEMORY_MAX: u64 = 40 << 20;

const fn row(name: &'static str, attack: fn() -> Attack, told: &'static [&'static str]) -> Row {
    Row { name, attack, told, floods: None, memory_max: MEMORY_MAX }
}

impl Row {
    const fn memory_max(self, mebibytes: u64) -> Self {
        Self { memory_max: mebibytes << 20, ..self }
    }

    const fn floods(self, mebibytes: u64) -> Self {
        Self { floods: Some(mebibytes << 20), ..self }
    }
}

fn attack(after: &'static [u8], says: impl Into<Vec<u8>>, then: Then) -> Attack {
    Attack { after, says: says.into(), then }
}

/// The piece of an endless attack, whatever its number: 64 KiB of these bytes.
fn many(piece: &[u8]) -> Vec<u8> {
    piece.repeat((64 << 10) / piece.len())
}

const LONG: &str = "1208925819614629174706176";

/// The place of the subscription, and its confirmation.
const SUBSCRIBE: &[u8] = b"SUBSCRIBE";
const CONFIRMED: &str = "*3\r\n$9\r\nsubscribe\r\n$19\r\nexample.com/synrepl\r\n:1\r\n\
                         *3\r\n$9\r\nsubscribe\r\n$19\r\nexample.com/USER_IP\r\n:2\r\n\
                         *3\r\n$9\r\nsubscribe\r\n$11\r\nexample.com\r\n:3\r\n";

fn bulk(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("${}\r\n", payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn message(payload: &[u8]) -> Vec<u8> {
    [&b"*3\r\n$7\r\nmessage\r\n$11\r\nexample.com\r\n"[..], &bulk(payload)].concat()
}

fn confirmed(payload: &[u8]) -> Vec<u8> {
    [CONFIRMED.as_bytes(), &message(payload)].concat()
}
