//! A proxy between a log and its server, which breaks a connection at a chosen moment.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};

use super::server;

/// The fate of the first message with [`MARK`] in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The message is not passed on.
    Statement,
    /// The message is passed on, and its answer is not.
    Answer,
    /// The message is passed on, and the connection is cut before the server has answered it.
    Unheard,
}

pub(super) const MARK: &str = "cut here";

/// Starts a proxy that cuts one connection in this way, and returns the address of a server behind
/// it.
pub(super) async fn start(cut: Cut) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(pass(client, cut, Arc::clone(&done)));
        }
    });
    format!("host=127.0.0.1 port={port} user=postgres dbname=postgres")
}

async fn pass(mut client: TcpStream, cut: Cut, done: Arc<AtomicBool>) {
    let socket = format!("{}/.s.PGSQL.5432", server::folder());
    let mut server = UnixStream::connect(socket).await.unwrap();
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            length = client.read(&mut from_client) => {
                let Ok(length @ 1..) = length else { return };
                let message = &from_client[..length];
                let marked = message.windows(MARK.len()).any(|part| part == MARK.as_bytes());
                let cuts = marked && !done.swap(true, Ordering::SeqCst);
                if cuts && cut == Cut::Statement {
                    return;
                }
                if server.write_all(message).await.is_err() {
                    return;
                }
                if cuts && cut == Cut::Answer {
                    let _ = server.read(&mut from_server).await;
                }
                if cuts {
                    return;
                }
            }
            length = server.read(&mut from_server) => {
                let Ok(length @ 1..) = length else { return };
                if client.write_all(&from_server[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
