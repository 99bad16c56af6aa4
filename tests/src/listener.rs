//! A listener on loopback, and connections that end with it.

use std::{
    io::{ErrorKind, Result as IoResult},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// A free port of loopback, as an address to listen on.
pub(crate) const FREE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listener, which is closed, with the connections that were kept, when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    connections: Connections,
    acceptor: Option<JoinHandle<()>>,
}

/// The connections that end together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    sockets: Vec<TcpStream>,
    closed: bool,
}

impl Listener {
    /// Listens on this address, and serves each connection in a thread of its own.
    ///
    /// # Errors
    /// Fails if the system does not give the port.
    pub(crate) fn open(
        address: SocketAddr,
        serve: impl Fn(&TcpStream, &Connections) -> IoResult<()> + Send + Sync + 'static,
    ) -> IoResult<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (serve, connections) = (Arc::new(serve), Connections::default());
        let acceptor = thread::spawn({
            let connections = connections.clone();
            move || {
                for socket in listener.incoming().map_while(Result::ok) {
                    if connections.kept().closed {
                        break;
                    }
                    let (serve, connections) = (Arc::clone(&serve), connections.clone());
                    // The thread ends with its connection; the errors of that do not concern the
                    // listener.
                    thread::spawn(move || drop(serve(&socket, &connections)));
                }
            }
        });
        Ok(Self { address, connections, acceptor: Some(acceptor) })
    }

    /// The address that it listens on.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the connections that were kept so far.
    pub(crate) fn cut(&self) {
        for socket in self.connections.kept().sockets.drain(..) {
            // The socket may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connections.kept().closed = true;
        self.cut();
        // This connection wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // The panic of the acceptor, if any, has been printed.
            let _ = acceptor.join();
        }
    }
}

impl Connections {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection, so that it ends with the others.
    ///
    /// # Errors
    /// Fails if the listener is closed already, or the system gives no second handle.
    pub(crate) fn keep(&self, socket: &TcpStream) -> IoResult<()> {
        let mut kept = self.kept();
        if kept.closed {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        kept.sockets.push(socket.try_clone()?);
        Ok(())
    }
}
