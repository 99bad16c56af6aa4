//! Sockets of the simulated network, for the driver.

use std::io;

use synrepl::transport::{Address, Connector, Listener};
use turmoil::net::{TcpListener, TcpStream};

/// Opens streams on the simulated network.
#[derive(Clone, Debug)]
pub(super) struct Simulated;

impl Connector for Simulated {
    type Stream = TcpStream;

    async fn connect(&self, address: &Address) -> io::Result<TcpStream> {
        if let Address::Tcp { host, port } = address {
            return TcpStream::connect((host.as_str(), *port)).await;
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("no way to {address}")))
    }
}

/// Accepts streams on the simulated network.
pub(super) struct SimulatedListener(TcpListener);

impl SimulatedListener {
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        TcpListener::bind(("0.0.0.0", port)).await.map(Self)
    }
}

impl Listener for SimulatedListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((stream, peer.to_string()))
    }
}
