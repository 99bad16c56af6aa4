//! A proxy of direct TCP with the faults of a network: it cuts inside a line, stalls, delays,
//! breaks lines into small pieces, and lets connections go half-open.

use std::{
    io::{Read as _, Result as IoResult, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    Failure,
    listener::{Connections, FREE_PORT, Listener},
    shared::Shared,
};

/// The longest stall.
const STALL_MAX: Duration = Duration::from_secs(3_600);

/// A proxy on loopback, which is closed, with all its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    listener: Listener,
    shared: Arc<Shared<State>>,
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
    closed: bool,
}

impl Proxy {
    /// Listens on a free port and passes each connection on to `server`.
    ///
    /// # Errors
    /// Fails if the system gives no port.
    pub fn open(server: SocketAddr) -> IoResult<Self> {
        let shared = Arc::new(Shared::default());
        let listener = Listener::open(FREE_PORT, {
            let shared = Arc::clone(&shared);
            // If the server is away, the client's connection ends with it.
            move |client, connections| pass_on(&shared, client, server, connections)
        })?;
        Ok(Self { listener, shared })
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Waits for the server's next line that begins with `start`, passes on half of it, and ends
    /// its connection on both sides.
    ///
    /// # Errors
    /// Fails if no such line came within the time.
    pub fn cut_inside(&self, start: &str, time: Duration) -> Result<(), Failure> {
        let before = self.shared.change(|state| {
            state.cut = Some(start.to_owned());
            state.cuts
        });
        self.shared
            .wait(time, |state| (state.cuts > before).then_some(()))
            .ok_or_else(|| format!("no line {start:?} to cut within {time:?}").into())
    }

    /// Passes on nothing that the server sends until [`Self::resume`]. The server's buffers fill.
    pub fn stall(&self) {
        self.shared.state().stalled = true;
    }

    /// Ends a stall, a delay and the breaking into pieces.
    pub fn resume(&self) {
        self.shared.change(|state| {
            (state.stalled, state.delay, state.piece) = (false, Duration::ZERO, None);
        });
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
        self.shared.change(|state| state.dead_upto = state.accepted);
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
            .wait(time, |state| (state.accepted > before).then_some(()))
            .ok_or_else(|| format!("no new connection within {time:?}").into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Who waits for the end of a stall goes on.
        self.shared.change(|state| state.closed = true);
    }
}

/// Passes on all of one connection, until either side ends it.
fn pass_on(
    shared: &Arc<Shared<State>>,
    client: &TcpStream,
    server: SocketAddr,
    connections: &Connections,
) -> IoResult<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    connections.keep(client)?;
    connections.keep(&server)?;
    let number = shared.change(|state| {
        state.accepted += 1;
        state.accepted
    });
    let to_server = Pump { number, from: client.try_clone()?, to: server.try_clone()? };
    let to_client = Pump { number, from: server, to: client.try_clone()? };
    thread::spawn({
        let shared = Arc::clone(shared);
        move || {
            // The connection is meant to break.
            let _ = to_server.carry(&shared);
            to_server.end(&shared);
        }
    });
    let carried = to_client.carry_lines(shared);
    to_client.end(shared);
    carried
}

/// One direction of one connection.
struct Pump {
    number: u64,
    from: TcpStream,
    to: TcpStream,
}

impl Pump {
    /// Passes on what the client sends, as it comes.
    fn carry(&self, shared: &Shared<State>) -> IoResult<()> {
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
    fn carry_lines(&self, shared: &Shared<State>) -> IoResult<()> {
        let (mut buffer, mut held) = ([0; 4096], Vec::new());
        loop {
            let read = (&self.from).read(&mut buffer)?;
            if read == 0 {
                return self.forward(shared, &held);
            }
            held.extend_from_slice(&buffer[..read]);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                if is_to_be_cut(&mut shared.state(), &line) {
                    self.forward(shared, &line[..line.len() / 2])?;
                    self.end(shared);
                    shared.change(|state| state.cuts += 1);
                    return Ok(());
                }
                self.forward(shared, &line)?;
            }
        }
    }

    fn forward(&self, shared: &Shared<State>, bytes: &[u8]) -> IoResult<()> {
        let goes_on = |state: &State| !state.stalled || state.closed || self.is_dead(state);
        shared.wait(STALL_MAX, |state| goes_on(state).then_some(()));
        let delay = shared.state().delay;
        shared.wait(delay, |state| (state.closed || state.delay.is_zero()).then_some(()));
        let (dead, piece) = {
            let state = shared.state();
            (self.is_dead(&state), state.piece)
        };
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
    fn end(&self, shared: &Shared<State>) {
        if !self.is_dead(&shared.state()) {
            for socket in [&self.from, &self.to] {
                // The other direction may have closed it.
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

fn is_to_be_cut(state: &mut State, line: &[u8]) -> bool {
    let cut = state.cut.as_ref().is_some_and(|start| line.starts_with(start.as_bytes()));
    if cut {
        state.cut = None;
    }
    cut
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// A server that sends `lines` to each client, and leaves the connection open.
    fn server(lines: &'static str) -> Listener {
        let serve = move |mut client: &TcpStream, connections: &Connections| {
            connections.keep(client)?;
            client.write_all(lines.as_bytes())
        };
        Listener::open(FREE_PORT, serve).unwrap()
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
        let server = server("SERVER x\nRDATA 12\n");
        let proxy = Proxy::open(server.address()).unwrap();
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
        let server = server("SERVER x\nRDATA 12\n");
        let proxy = Proxy::open(server.address()).unwrap();
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
        let server = server("SERVER x\n");
        let proxy = Proxy::open(server.address()).unwrap();
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
