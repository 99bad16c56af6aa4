//! The part that a Redis server plays in its replication. The answer to ROLE or INFO enters; a
//! verdict leaves. A replica takes a PUBLISH and passes it to its own clients alone, without an
//! error, so whoever publishes has to ask.

use synrepl_core::wire::Frame;

use super::socket::{Failure, kind_of};

/// The question that a keep-alive asks: the first of these that the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Role,
    /// For servers that deny ROLE.
    Info,
    /// For servers that tell nobody which part they play.
    Ping,
}

impl Question {
    pub(super) const fn words(self) -> &'static [&'static [u8]] {
        match self {
            Self::Role => &[b"ROLE"],
            Self::Info => &[b"INFO", b"replication"],
            Self::Ping => &[b"PING"],
        }
    }
}

/// The part that a server says it plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Primary,
    Replica {
        /// `HOST:PORT`, as the server tells it.
        primary: String,
        /// Whether the replica receives what the primary's clients publish.
        is_linked: bool,
    },
    Sentinel,
}

/// What this instance wants of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Publish,
    /// To hear alone, for which a replica is as good.
    Observe,
}

impl Part {
    /// Reads the answer to a [`Question`]; `None` if it does not tell a part.
    pub(super) fn read(answer: &Frame) -> Option<Self> {
        match answer {
            Frame::Array(parts) => Self::of_role(parts),
            Frame::Bulk(Some(text)) => Self::of_info(std::str::from_utf8(text).ok()?),
            Frame::Simple(_)
            | Frame::Error(_)
            | Frame::Integer(_)
            | Frame::Bulk(None)
            | Frame::NullArray
            | Frame::Message { .. }
            | _ => None,
        }
    }

    fn of_role(parts: &[Frame]) -> Option<Self> {
        let text = |index: usize| match parts.get(index) {
            Some(Frame::Bulk(Some(text))) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        match text(0)? {
            "master" | "primary" => Some(Self::Primary),
            "sentinel" => Some(Self::Sentinel),
            "slave" | "replica" => {
                let Some(Frame::Integer(port)) = parts.get(2) else { return None };
                let primary = format!("{}:{port}", text(1)?);
                Some(Self::Replica { primary, is_linked: text(3) == Some("connected") })
            }
            _ => None,
        }
    }

    fn of_info(text: &str) -> Option<Self> {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        match field("role")? {
            "master" | "primary" => Some(Self::Primary),
            "slave" | "replica" => Some(Self::Replica {
                primary: format!("{}:{}", field("master_host")?, field("master_port")?),
                is_linked: field("master_link_status") == Some("up"),
            }),
            _ => None,
        }
    }

    /// Checks whether a server that plays this part is of use.
    pub(super) fn check(&self, purpose: Purpose) -> Result<(), Failure> {
        match (self, purpose) {
            (Self::Primary, _) | (Self::Replica { is_linked: true, .. }, Purpose::Observe) => {
                Ok(())
            }
            (Self::Replica { primary, .. }, Purpose::Publish) => Err(format!(
                "it is a replica of {primary:.300}, which takes a PUBLISH and passes it to nobody \
                 there; give the address of the primary"
            )),
            (Self::Replica { primary, is_linked: false }, Purpose::Observe) => Err(format!(
                "it is a replica that has lost its primary {primary:.300}, so that it hears \
                 nothing; give the address of the primary, or wait until it is back"
            )),
            (Self::Sentinel, _) => Err("it is a Redis Sentinel, which knows where the primary is \
                                        and carries no messages of a deployment; give the address \
                                        of the primary, which SENTINEL \
                                        GET-MASTER-ADDR-BY-NAME tells"
                .to_owned()),
        }
    }
}

/// Says that the server does not tell its part. `answer` is what it said to INFO.
pub(super) fn warn_of_unknown(answer: &Frame) {
    tracing::warn!(
        answer = kind_of(answer),
        "Redis tells neither ROLE nor INFO: if it is a replica, or becomes one, what is published \
         reaches nobody and that is not seen; allow it with ACL SETUSER NAME +role"
    );
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use synrepl_core::wire::{RespDecoder, RespLimits};

    use super::*;

    fn frame(answer: &str) -> Frame {
        let mut limits = RespLimits::default();
        limits.depth_max = 3;
        RespDecoder::new(limits).decode(&mut BytesMut::from(answer)).unwrap().unwrap()
    }

    fn replica(is_linked: bool) -> Part {
        Part::Replica { primary: "10.0.0.1:6379".to_owned(), is_linked }
    }

    #[test]
    fn both_answers_tell_the_part() {
        let part = |answer: &str| Part::read(&frame(answer));
        let info = |text: &str| part(&format!("${}\r\n{text}\r\n", text.len()));
        for (told, expected) in [
            (part("*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n"), Some(Part::Primary)),
            (
                part("*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:7\r\n"),
                Some(replica(true)),
            ),
            (
                part("*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$7\r\nconnect\r\n:-1\r\n"),
                Some(replica(false)),
            ),
            (part("*2\r\n$8\r\nsentinel\r\n*1\r\n$2\r\nm1\r\n"), Some(Part::Sentinel)),
            (info("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"), Some(Part::Primary)),
            (
                info(
                    "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n\
                      master_link_status:up\r\n",
                ),
                Some(replica(true)),
            ),
            (
                info(
                    "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n\
                      master_link_status:down\r\n",
                ),
                Some(replica(false)),
            ),
            (info(""), None),
            (part("+OK\r\n"), None),
            (part("*1\r\n$5\r\nother\r\n"), None),
        ] {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn a_replica_serves_an_observer_while_it_hears_its_primary() {
        assert_eq!(Part::Primary.check(Purpose::Publish), Ok(()));
        assert_eq!(replica(true).check(Purpose::Observe), Ok(()));
        let refused = replica(false).check(Purpose::Observe).unwrap_err();
        assert!(refused.contains("lost its primary 10.0.0.1:6379"), "{refused}");
        let refused = replica(true).check(Purpose::Publish).unwrap_err();
        assert!(refused.contains("a replica of 10.0.0.1:6379"), "{refused}");
        for purpose in [Purpose::Publish, Purpose::Observe] {
            assert!(Part::Sentinel.check(purpose).unwrap_err().contains("Redis Sentinel"));
        }
    }
}
