use std::{future::poll_fn, io, sync::Mutex};

use synrepl_core::wire::{FederationAck, LINE_BYTES_MAX};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};

use super::*;

const CONN: ConnectionId = ConnectionId::new(1);

/// A connector that hands out one stream; without one, it never answers.
#[derive(Clone)]
struct Once(std::sync::Arc<Mutex<Option<DuplexStream>>>);

impl Connector for Once {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Address) -> io::Result<DuplexStream> {
        let stream = self.0.lock().unwrap().take();
        match stream {
            Some(stream) => Ok(stream),
            None => std::future::pending().await,
        }
    }
}

fn session(stream: Option<DuplexStream>, limits: &Limits) -> Session<Once> {
    let connector = Once(std::sync::Arc::new(Mutex::new(stream)));
    let address = Address::Tcp { host: "main".to_owned(), port: 9092 };
    let mut session = Session::new(Server::new(connector, address, Dialect::V1_18, limits));
    session.connect(CONN);
    session
}

async fn connected(buffer: usize, limits: &Limits) -> (Session<Once>, DuplexStream) {
    let (near, far) = duplex(buffer);
    let mut session = session(Some(near), limits);
    assert_eq!(next(&mut session).await, Input::Connected { conn: CONN });
    (session, far)
}

async fn next(session: &mut Session<Once>) -> Input {
    poll_fn(|cx| session.poll(cx, true)).await
}

async fn is_pending(session: &mut Session<Once>, read: bool) -> bool {
    poll_fn(|cx| Poll::Ready(session.poll(cx, read).is_pending())).await
}

fn ping(text: &str) -> Command {
    Command::Ping(text.to_owned().into())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let start = Instant::now();
    let mut session = session(None, &Limits::default());
    let reason = "main:9092: no connection within 10s".to_owned();
    assert_eq!(next(&mut session).await, Input::Disconnected { conn: CONN, reason });
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(is_pending(&mut session, true).await);
}

#[tokio::test]
async fn commands_go_out_in_order_in_the_dialect_and_are_counted() {
    let (mut session, mut far) = connected(1 << 16, &Limits::default()).await;
    session.send(CONN, &Command::Name("me".into())).unwrap();
    let ack = FederationAck { instance: Some("me".into()), token: 7.into() };
    session.send(CONN, &Command::FederationAck(ack)).unwrap();
    // These have no line; they count as sent.
    session.send(CONN, &Command::Sync("x".into())).unwrap_err();
    let error = session.send(CONN, &ping(&"x".repeat(LINE_BYTES_MAX))).unwrap_err();
    assert!(error.to_string().contains("16389 bytes"), "{error}");
    // This is meant for a connection that is gone.
    session.send(ConnectionId::new(9), &ping("1")).unwrap();
    assert_eq!(next(&mut session).await, Input::Sent { conn: CONN, count: 4 });
    assert!(is_pending(&mut session, true).await);
    drop(session);
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "NAME me\nFEDERATION_ACK me 7\n");
}

#[tokio::test]
async fn what_the_server_says_is_heard_up_to_its_close() {
    let (mut session, mut far) = connected(1 << 16, &Limits::default()).await;
    far.write_all(b"SERVER a.example\nwhat\nERROR bye\nPOSITION even").await.unwrap();
    drop(far);
    let command = Command::Server("a.example".into());
    assert_eq!(next(&mut session).await, Input::Received { conn: CONN, command });
    assert!(matches!(next(&mut session).await, Input::Malformed { conn: CONN, .. }));
    // Writing fails, which does not hide what was received before.
    session.send(CONN, &ping("1")).unwrap();
    let command = Command::Error("bye".into());
    assert_eq!(next(&mut session).await, Input::Received { conn: CONN, command });
    let Input::Disconnected { reason, .. } = next(&mut session).await else { panic!() };
    assert_eq!(reason, "the other side closed the connection");
    assert!(is_pending(&mut session, true).await);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_said_once() {
    let (mut session, mut far) = connected(1 << 16, &Limits::default()).await;
    far.write_all(&vec![b'x'; LINE_BYTES_MAX + 1]).await.unwrap();
    far.write_all(b"\nPING 1\n").await.unwrap();
    assert_eq!(next(&mut session).await, Input::LineTooLong { conn: CONN });
    assert!(is_pending(&mut session, true).await);
}

#[tokio::test]
async fn nothing_is_read_while_the_application_has_no_room_but_writes_go_on() {
    let (mut session, mut far) = connected(1 << 16, &Limits::default()).await;
    far.write_all(b"PING 1\n").await.unwrap();
    session.send(CONN, &ping("2")).unwrap();
    let sent = poll_fn(|cx| session.poll(cx, false)).await;
    assert_eq!(sent, Input::Sent { conn: CONN, count: 1 });
    assert!(is_pending(&mut session, false).await);
    assert!(matches!(next(&mut session).await, Input::Received { .. }));
}

#[tokio::test]
async fn nothing_is_read_while_too_much_waits_to_go_out() {
    let limits = Limits { output_bytes_max: 1, ..Limits::default() };
    let (mut session, mut far) = connected(16, &limits).await;
    far.write_all(b"PING 1\n").await.unwrap();
    assert!(!session.is_output_long());
    session.send(CONN, &ping(&"x".repeat(200))).unwrap();
    assert!(session.is_output_long());
    assert!(is_pending(&mut session, true).await);
    let mut heard = [0; 206];
    let (_, input) = tokio::join!(far.read_exact(&mut heard), next(&mut session));
    assert_eq!(input, Input::Sent { conn: CONN, count: 1 });
    assert!(!session.is_output_long());
    assert!(matches!(next(&mut session).await, Input::Received { .. }));
}

#[tokio::test]
async fn a_close_lets_out_what_was_sent_and_is_reported_once() {
    let (mut session, mut far) = connected(4, &Limits::default()).await;
    session.send(CONN, &Command::Error("Wrong remote".into())).unwrap();
    session.close(CONN);
    let heard = tokio::spawn(async move {
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        heard
    });
    let reason = "closed on request".to_owned();
    assert_eq!(next(&mut session).await, Input::Disconnected { conn: CONN, reason });
    assert_eq!(heard.await.unwrap(), "ERROR Wrong remote\n");
    assert!(is_pending(&mut session, true).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_delays_a_close_only_so_long() {
    let (mut session, _far) = connected(4, &Limits::default()).await;
    session.send(CONN, &ping("long enough")).unwrap();
    let start = Instant::now();
    session.close(CONN);
    assert!(matches!(next(&mut session).await, Input::Disconnected { .. }));
    assert_eq!(start.elapsed(), CLOSE_TIMEOUT);
}

#[tokio::test]
async fn an_attempt_that_is_closed_is_reported() {
    let mut session = session(None, &Limits::default());
    session.close(CONN);
    let reason = "closed before it was open".to_owned();
    assert_eq!(next(&mut session).await, Input::Disconnected { conn: CONN, reason });
}
