//! The simulated network, as the driver sees it.

use std::io;

use synrepl::transport::{Address, Connector, Listener};
use turmoil::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(super) struct Simulated;

impl Connector for Simulated {
    type Stream = TcpStream;

    async fn connect(&self, address: &Address) -> io::Result<TcpStream> {
        match address {
            Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await,
            other => panic!("no way to {other}"),
        }
    }
}

pub(super) struct Listening(TcpListener);

impl Listening {
    pub(super) async fn on(port: u16) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(("0.0.0.0", port)).await?))
    }
}

impl Listener for Listening {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((stream, peer.to_string()))
    }
}
