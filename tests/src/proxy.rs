//! A proxy of direct TCP with the faults of a network: it cuts inside a line, stalls, delays,
//! breaks lines into small pieces, and lets connections go half-open.

use std::{
    io::{Read as _, Result as IoResult, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{Failure, clock::Deadline};

/// A proxy on loopback, which is closed, with all its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The beginning of the next line of the server to be cut inside.
    cut: Option<String>,
    /// Whether nothing that the server sends is passed on.
    stalled: bool,
    /// The delay of what the server sends.
    delay: Duration,
    /// The longest piece in which what the server sends is passed on.
    piece: Option<usize>,
    /// The number up to which connections are dead: nothing is passed on either way, not even their
    /// end.
    dead_upto: u64,
    accepted: u64,
    cuts: u64,
    sockets: Vec<TcpStream>,
    closed: bool,
}

impl Proxy {
    /// Listens on a free port and passes each connection on to `server`.
    ///
    /// # Errors
    /// Fails if the system gives no port.
    pub fn open(server: SocketAddr) -> IoResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    if shared.state().closed {
                        break;
                    }
                    // If the server is away, the client's connection ends with it.
                    let _ = shared.pass_on(client, server);
                }
            }
        });
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the server's next line that begins with `start`, passes on half of it, and ends
    /// its connection on both sides.
    ///
    /// # Errors
    /// Fails if no such line came within the time.
    pub fn cut_inside(&self, start: &str, time: Duration) -> Result<(), Failure> {
        let before = {
            let mut state = self.shared.state();
            state.cut = Some(start.to_owned());
            state.cuts
        };
        self.shared
            .wait(time, |state| state.cuts > before)
            .ok_or_else(|| format!("no line {start:?} to cut within {time:?}").into())
    }

    /// Passes on nothing that the server sends until [`Self::resume`]. The server's buffers fill.
    pub fn stall(&self) {
        self.shared.state().stalled = true;
    }

    /// Ends a stall, a delay and the breaking into pieces.
    pub fn resume(&self) {
        let mut state = self.shared.state();
        (state.stalled, state.delay, state.piece) = (false, Duration::ZERO, None);
        self.shared.changed.notify_all();
    }

    /// Passes on what the server sends this much later.
    pub fn delay(&self, time: Duration) {
        self.shared.state().delay = time;
    }

    /// Passes on what the server sends in pieces of at most this many bytes, at least 1.
    pub fn break_into(&self, bytes: usize) {
        self.shared.state().piece = Some(bytes.max(1));
    }

    /// Leaves the present connections open and passes on nothing more of them, in neither
    /// direction: to both sides they look idle for ever. New ones work.
    pub fn let_go_half_open(&self) {
        let mut state = self.shared.state();
        state.dead_upto = state.accepted;
        self.shared.changed.notify_all();
    }

    /// The number of connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.state().accepted
    }

    /// Waits until more than `before` connections were accepted.
    ///
    /// # Errors
    /// Fails if they were not within the time.
    pub fn wait_for_connection(&self, before: u64, time: Duration) -> Result<(), Failure> {
        self.shared
            .wait(time, |state| state.accepted > before)
            .ok_or_else(|| format!("no new connection within {time:?}").into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let sockets = {
            let mut state = self.shared.state();
            state.closed = true;
            self.shared.changed.notify_all();
            std::mem::take(&mut state.sockets)
        };
        for socket in sockets {
            // The socket may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // This connection wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // The panic of the acceptor, if any, has been printed.
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` holds; `None` if it does not within the time.
    fn wait(&self, time: Duration, done: impl Fn(&State) -> bool) -> Option<()> {
        let deadline = Deadline::after(time);
        let mut state = self.state();
        while !done(&state) {
            let waited = self.changed.wait_timeout(state, deadline.left()?);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(())
    }

    fn pass_on(self: &Arc<Self>, client: TcpStream, server: SocketAddr) -> IoResult<()> {
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        let number = {
            let mut state = self.state();
            state.sockets.extend([client.try_clone()?, server.try_clone()?]);
            state.accepted += 1;
            self.changed.notify_all();
            state.accepted
        };
        let to_server = Pump { number, from: client.try_clone()?, to: server.try_clone()? };
        let to_client = Pump { number, from: server, to: client };
        for (pump, is_server) in [(to_server, false), (to_client, true)] {
            let shared = Arc::clone(self);
            // The thread ends with its connection, which is meant to break.
            thread::spawn(move || {
                let _ = if is_server { pump.carry_lines(&shared) } else { pump.carry(&shared) };
                pump.end(&shared);
            });
        }
        Ok(())
    }
}

/// One direction of one connection.
struct Pump {
    number: u64,
    from: TcpStream,
    to: TcpStream,
}

impl Pump {
    /// Passes on what the client sends, as it comes.
    fn carry(&self, shared: &Shared) -> IoResult<()> {
        let mut buffer = [0; 4096];
        loop {
            let read = (&self.from).read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            if !self.is_dead(&shared.state()) {
                (&self.to).write_all(&buffer[..read])?;
            }
        }
    }

    /// Passes on what the server sends, whole lines at a time, so that a cut finds its place.
    fn carry_lines(&self, shared: &Shared) -> IoResult<()> {
        let (mut buffer, mut held) = ([0; 4096], Vec::new());
        loop {
            let read = (&self.from).read(&mut buffer)?;
            if read == 0 {
                return self.forward(shared, &held);
            }
            held.extend_from_slice(&buffer[..read]);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                if shared.is_to_be_cut(&line) {
                    self.forward(shared, &line[..line.len() / 2])?;
                    self.end(shared);
                    shared.state().cuts += 1;
                    shared.changed.notify_all();
                    return Ok(());
                }
                self.forward(shared, &line)?;
            }
        }
    }

    fn forward(&self, shared: &Shared, bytes: &[u8]) -> IoResult<()> {
        let mut state = shared.state();
        while state.stalled && !state.closed && !self.is_dead(&state) {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.delay.is_zero() {
            let due = Deadline::after(state.delay);
            while let Some(left) = due.left().filter(|_| !state.closed && !state.delay.is_zero()) {
                let waited = shared.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let (dead, piece) = (self.is_dead(&state), state.piece);
        drop(state);
        if dead {
            return Ok(());
        }
        for piece in bytes.chunks(piece.unwrap_or(usize::MAX)) {
            (&self.to).write_all(piece)?;
        }
        Ok(())
    }

    const fn is_dead(&self, state: &State) -> bool {
        self.number <= state.dead_upto
    }

    /// Ends the connection on both sides, unless it is dead: then neither side may notice.
    fn end(&self, shared: &Shared) {
        if !self.is_dead(&shared.state()) {
            for socket in [&self.from, &self.to] {
                // The other direction may have closed it.
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn is_to_be_cut(&self, line: &[u8]) -> bool {
        let mut state = self.state();
        let cut = state.cut.as_ref().is_some_and(|start| line.starts_with(start.as_bytes()));
        if cut {
            state.cut = None;
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// A server that sends `lines` to each client, and leaves the connection open.
    fn server(lines: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut sockets = Vec::new();
            for mut socket in listener.incoming().map_while(Result::ok) {
                socket.write_all(lines.as_bytes()).unwrap();
                sockets.push(socket);
            }
        });
        address
    }

    fn connect(proxy: &Proxy) -> BufReader<TcpStream> {
        let socket = TcpStream::connect(proxy.address()).unwrap();
        socket.set_read_timeout(Some(TIME)).unwrap();
        BufReader::new(socket)
    }

    fn line(reader: &mut BufReader<TcpStream>) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn a_line_is_cut_in_its_middle_and_the_next_connection_is_whole() {
        let proxy = Proxy::open(server("SERVER x\nRDATA 12\n")).unwrap();
        let cutter = thread::scope(|scope| {
            let cut = scope.spawn(|| proxy.cut_inside("RDATA", TIME).is_ok());
            // The order to cut may come after the line; then the next connection is the one that is
            // cut.
            let mut heard = String::new();
            while heard != "SERVER x\nRDAT" {
                heard.clear();
                let mut reader = connect(&proxy);
                heard += &line(&mut reader);
                heard += &line(&mut reader);
            }
            cut.join().unwrap()
        });
        assert!(cutter);
        let mut whole = connect(&proxy);
        assert_eq!(
            (line(&mut whole), line(&mut whole)),
            ("SERVER x\n".into(), "RDATA 12\n".into())
        );
    }

    #[test]
    fn what_is_stalled_comes_later_and_whole() {
        let proxy = Proxy::open(server("SERVER x\nRDATA 12\n")).unwrap();
        proxy.stall();
        let mut reader = connect(&proxy);
        proxy.wait_for_connection(0, TIME).unwrap();
        reader.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(reader.read_line(&mut String::new()).is_err(), "something came");
        reader.get_ref().set_read_timeout(Some(TIME)).unwrap();
        proxy.break_into(1);
        proxy.resume();
        assert_eq!(
            (line(&mut reader), line(&mut reader)),
            ("SERVER x\n".into(), "RDATA 12\n".into())
        );
    }

    #[test]
    fn a_half_open_connection_stays_open_and_silent_and_new_ones_work() {
        let proxy = Proxy::open(server("SERVER x\n")).unwrap();
        proxy.stall();
        let mut dead = connect(&proxy);
        proxy.wait_for_connection(0, TIME).unwrap();
        proxy.let_go_half_open();
        proxy.resume();
        assert_eq!(line(&mut connect(&proxy)), "SERVER x\n");
        dead.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let error = dead.read_line(&mut String::new()).unwrap_err();
        assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock), "{error}");
    }
}
