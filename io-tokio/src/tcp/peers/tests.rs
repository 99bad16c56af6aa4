use std::{future::poll_fn, io, pin::Pin, time::Duration};

use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader, ReadBuf,
    },
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::*;
use crate::transport::Listener;

/// The longest time that anything may take here; only a failure waits for it.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns peers on a socket of loopback, and its address.
async fn listening(peers_max: usize) -> (Peers, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut peers = Peers::new(vec![Acceptor::new(listener, Dialect::V1_22)], peers_max, 4);
    peers.start();
    (peers, address)
}

async fn accepted(peers: &mut Peers) -> ConnectionId {
    let accepted = timeout(LIMIT, poll_fn(|cx| peers.poll_accepted(cx))).await.unwrap();
    let Input::Accepted { conn, dialect: Dialect::V1_22 } = accepted else {
        panic!("{accepted:?}")
    };
    conn
}

async fn input(peers: &mut Peers) -> Input {
    timeout(LIMIT, poll_fn(|cx| peers.poll_input(cx))).await.unwrap().input
}

/// Waits until this many commands have gone out on `conn`.
async fn until_sent(peers: &mut Peers, conn: ConnectionId, count: u32) {
    let mut sent = 0;
    while sent < count {
        let mut reported = Sent::new();
        timeout(LIMIT, poll_fn(|cx| peers.poll_sent(cx, &mut reported))).await.unwrap();
        sent += reported.iter().filter(|(on, _)| *on == conn).map(|(_, sent)| sent).sum::<u32>();
    }
    assert_eq!(sent, count);
}

fn ping(text: &str) -> Command {
    Command::Ping(text.to_owned().into())
}

#[tokio::test]
async fn what_a_peer_said_comes_in_order_and_its_end_last_and_once() {
    let (mut peers, address) = listening(10).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let conn = accepted(&mut peers).await;
    // These are more lines than may wait.
    for number in 0..100 {
        stream.write_all(format!("PING {number}\n").as_bytes()).await.unwrap();
    }
    stream.write_all(b"GARBAGE\nPING cut sho").await.unwrap();
    drop(stream);
    for number in 0..100 {
        let command = ping(&number.to_string());
        assert_eq!(input(&mut peers).await, Input::Received { conn, command });
    }
    assert!(matches!(input(&mut peers).await, Input::Malformed { .. }));
    assert!(matches!(input(&mut peers).await, Input::Disconnected { .. }));
    assert!(poll_fn(|cx| Poll::Ready(peers.poll_input(cx).is_pending())).await);
    // What is sent to it now goes nowhere.
    peers.send(conn, &ping("late"));
    peers.flush();
    assert!(peers.open.is_empty() && peers.conns.is_empty());
}

#[tokio::test]
async fn a_peer_that_takes_nothing_delays_no_other() {
    const COUNT: u32 = 4_000;
    let (mut peers, address) = listening(10).await;
    let _stuck = TcpStream::connect(address).await.unwrap();
    let stuck = accepted(&mut peers).await;
    let good_stream = TcpStream::connect(address).await.unwrap();
    let good = accepted(&mut peers).await;
    let audience = Arc::new([stuck, good].into_iter().collect::<Audience>());
    // These are more bytes than the system's buffers take.
    let text = "x".repeat(8_000);
    for _ in 0..COUNT {
        peers.broadcast(&audience, &ping(&text));
    }
    peers.flush();
    let reading = tokio::spawn(async move {
        let mut lines = BufReader::new(good_stream).lines();
        for _ in 0..COUNT {
            assert_eq!(lines.next_line().await.unwrap().unwrap().len(), 8_005);
        }
    });
    until_sent(&mut peers, good, COUNT).await;
    timeout(LIMIT, reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_close_lets_out_what_was_sent_before_and_nothing_after() {
    let (mut peers, address) = listening(10).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let conn = accepted(&mut peers).await;
    // Bytes that are never read here do not make the system take back what was sent.
    stream.write_all(b"PING 1\nPING 2\n").await.unwrap();
    assert!(matches!(input(&mut peers).await, Input::Received { .. }));
    peers.send(conn, &ping(&"x".repeat(16_000)));
    peers.send(conn, &Command::Error("invalid command: PING".into()));
    peers.close(conn);
    let mut heard = String::new();
    timeout(LIMIT, stream.read_to_string(&mut heard)).await.unwrap().unwrap();
    assert!(heard.ends_with("xx\nERROR invalid command: PING\n"), "{heard}");
    drop(stream);
    loop {
        let input = input(&mut peers).await;
        if let Input::Disconnected { conn: gone, reason } = input {
            assert_eq!((gone, &*reason), (conn, "closed on request"));
            break;
        }
        assert!(matches!(input, Input::Received { .. }), "{input:?}");
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_delays_its_close_only_so_long() {
    let (mut peers, address) = listening(10).await;
    let _stream = TcpStream::connect(address).await.unwrap();
    let conn = accepted(&mut peers).await;
    for _ in 0..2_000 {
        peers.send(conn, &ping(&"x".repeat(16_000)));
    }
    let start = Instant::now();
    peers.close(conn);
    let Input::Disconnected { reason, .. } = input(&mut peers).await else { panic!() };
    assert!(reason.contains("did not take"), "{reason}");
    assert!(start.elapsed() >= crate::transport::CLOSE_TIMEOUT);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let (mut peers, address) = listening(1).await;
    let mut streams = Vec::new();
    for _ in 0..1 + REFUSED_MAX {
        streams.push(TcpStream::connect(address).await.unwrap());
        accepted(&mut peers).await;
    }
    streams.push(TcpStream::connect(address).await.unwrap());
    for _ in 0..100 {
        assert!(poll_fn(|cx| Poll::Ready(peers.poll_accepted(cx).is_pending())).await);
        tokio::task::yield_now().await;
    }
    streams.remove(0);
    assert!(matches!(input(&mut peers).await, Input::Disconnected { .. }));
    accepted(&mut peers).await;
}

#[tokio::test]
async fn nobody_is_accepted_any_more_after_the_stop() {
    let (mut peers, address) = listening(10).await;
    let mut known = TcpStream::connect(address).await.unwrap();
    let conn = accepted(&mut peers).await;
    // One connection is accepted and one is not: the core was notified of neither.
    let mut unknown = TcpStream::connect(address).await.unwrap();
    let mut unheard = TcpStream::connect(address).await.unwrap();
    tokio::task::yield_now().await;
    peers.stop_accepting();
    for stream in [&mut unknown, &mut unheard] {
        let end = timeout(LIMIT, stream.read(&mut [0; 10])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    assert!(TcpStream::connect(address).await.is_err());
    assert!(poll_fn(|cx| Poll::Ready(peers.poll_accepted(cx).is_pending())).await);
    peers.send(conn, &ping("still here"));
    peers.flush();
    let mut line = [0; 16];
    timeout(LIMIT, known.read_exact(&mut line)).await.unwrap().unwrap();
    assert_eq!(&line, b"PING still here\n");
}

/// A transport that panics when it is read.
struct Panics;

impl AsyncRead for Panics {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        panic!("on purpose")
    }
}

impl AsyncWrite for Panics {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

struct PanicsOnce(Option<Panics>);

impl Listener for PanicsOnce {
    type Stream = Panics;

    async fn accept(&mut self) -> io::Result<(Panics, String)> {
        match self.0.take() {
            Some(stream) => Ok((stream, "peer".to_owned())),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn a_transport_that_panics_ends_its_connection_alone() {
    let listener = PanicsOnce(Some(Panics));
    let mut peers = Peers::new(vec![Acceptor::new(listener, Dialect::V1_22)], 10, 4);
    peers.start();
    let conn = accepted(&mut peers).await;
    let Input::Disconnected { conn: gone, reason } = input(&mut peers).await else { panic!() };
    assert_eq!(gone, conn);
    assert!(reason.contains("the transport failed"), "{reason}");
}
