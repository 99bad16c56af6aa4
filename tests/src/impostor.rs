//! A server that means its clients no good. It stands in front of an honest one and passes
//! everything on, until it is told to attack: then it says to each client, at the place that the
//! attack names, bytes of its own.

use std::{
    io::{ErrorKind, Read as _, Result as IoResult, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::clock::Deadline;

/// What is said without an end ends here all the same, in bytes per connection: far more than any
/// victim may keep.
const FLOOD_BYTES_MAX: u64 = 1 << 30;
/// Between two bytes of a drip.
const DRIP_EVERY: Duration = Duration::from_millis(100);
/// What a client says before it is attacked, at most, in bytes.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// What an impostor does to a client.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Once a client has said this, nothing of the honest server reaches it any more, nor the
    /// other way round. Empty: at once.
    pub after: &'static [u8],
    /// What the client is told then.
    pub says: Vec<u8>,
    /// And what follows.
    pub then: Then,
}

/// How an attack goes on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Then {
    /// With the end of the connection.
    Close,
    /// With nothing, for as long as the client stays.
    Silence,
    /// With the piece of each number from 0 on, as fast as they are taken, for as long as the
    /// client stays or up to 1 GiB.
    Flood(fn(u64) -> Vec<u8>),
    /// With the same in single bytes, ten a second.
    Drip(fn(u64) -> Vec<u8>),
    /// With what the client has said, and the end of the connection.
    Echo,
}

/// An impostor on loopback. Closed, with all its connections, when dropped.
#[derive(Debug)]
pub struct Impostor {
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
    attack: Option<Arc<Attack>>,
    /// Connections whose attack has begun, and bytes said in it, since it was ordered.
    attacked: u64,
    said: u64,
    sockets: Vec<TcpStream>,
    closed: bool,
}

impl Impostor {
    /// Listens on a free port and passes each connection on to `honest`.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn open(honest: SocketAddr) -> IoResult<Self> {
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
                    let shared = Arc::clone(&shared);
                    // Ends with its connection; that it breaks is what this is for.
                    thread::spawn(move || drop(shared.serve(&client, honest)));
                }
            }
        });
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the present connections, and attacks those that come.
    pub fn attack(&self, attack: Attack) {
        self.change(Some(attack));
    }

    /// Cuts the present connections, and is honest to those that come.
    pub fn behave(&self) {
        self.change(None);
    }

    fn change(&self, attack: Option<Attack>) {
        let mut state = self.shared.state();
        state.attack = attack.map(Arc::new);
        (state.attacked, state.said) = (0, 0);
        cut(&mut state);
    }

    /// Waits until this many bytes of the attack were taken by the victims' systems, or the time
    /// is over; how many were.
    pub fn wait_until_said(&self, bytes: u64, time: Duration) -> u64 {
        self.shared.wait(time, |state| state.said >= bytes).said
    }

    /// Waits until somebody has met the present attack; false if nobody has within the time.
    pub fn wait_until_attacked(&self, time: Duration) -> bool {
        self.shared.wait(time, |state| state.attacked > 0).attacked > 0
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.closed = true;
            cut(&mut state);
        }
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // Its panic, if any, has been printed.
            let _ = acceptor.join();
        }
    }
}

fn cut(state: &mut State) {
    for socket in state.sockets.drain(..) {
        // It may be closed already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` holds, or the time is over.
    fn wait(&self, time: Duration, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Deadline::after(time);
        let mut state = self.state();
        while !done(&state)
            && let Some(left) = deadline.left()
        {
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn serve(&self, client: &TcpStream, honest: SocketAddr) -> IoResult<()> {
        client.set_nodelay(true)?;
        let attack = {
            let mut state = self.state();
            state.sockets.push(client.try_clone()?);
            state.attack.clone()
        };
        if let Some(attack) = &attack
            && attack.after.is_empty()
        {
            self.strike(client, attack, b"")?;
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(honest)?;
        server.set_nodelay(true)?;
        self.state().sockets.push(server.try_clone()?);
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        let attacks = attack.is_some();
        // Ends with either connection.
        let answers = thread::spawn(move || {
            // That the server has no more to say is no end for who attacks in its place.
            if attacks { std::io::copy(&mut &from, &mut &to).map(drop) } else { carry(&from, &to) }
        });
        let outcome = match attack {
            None => carry(client, &server),
            Some(attack) => lead_on(client, &server, attack.after).and_then(|heard| {
                // Nothing of the honest server comes between.
                server.shutdown(Shutdown::Both)?;
                let _ = answers.join();
                self.strike(client, &attack, &heard)
            }),
        };
        for socket in [client, &server] {
            // The other direction may have closed it.
            let _ = socket.shutdown(Shutdown::Both);
        }
        outcome
    }

    fn strike(&self, mut client: &TcpStream, attack: &Attack, heard: &[u8]) -> IoResult<()> {
        self.state().attacked += 1;
        self.changed.notify_all();
        self.say(client, &attack.says)?;
        match attack.then {
            Then::Close => Ok(()),
            Then::Echo => self.say(client, heard),
            Then::Silence => std::io::copy(&mut client, &mut std::io::sink()).map(drop),
            Then::Flood(piece) => {
                let mut said = 0;
                for number in 0.. {
                    let piece = piece(number);
                    self.say(client, &piece)?;
                    said += piece.len() as u64;
                    if said > FLOOD_BYTES_MAX {
                        break;
                    }
                }
                Ok(())
            }
            Then::Drip(piece) => {
                client.set_read_timeout(Some(DRIP_EVERY))?;
                let mut buffer = [0; 4096];
                for byte in (0..).flat_map(piece) {
                    self.say(client, &[byte])?;
                    // Waits as long as a drip, and sees whether the client has gone.
                    match client.read(&mut buffer) {
                        Ok(0) => break,
                        Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                        Ok(_) | Err(_) => {}
                    }
                }
                Ok(())
            }
        }
    }

    fn say(&self, mut client: &TcpStream, bytes: &[u8]) -> IoResult<()> {
        client.write_all(bytes)?;
        self.state().said += bytes.len() as u64;
        self.changed.notify_all();
        Ok(())
    }
}

/// Passes on what the client says until it comes to the place of the attack; all that it said.
fn lead_on(mut client: &TcpStream, mut server: &TcpStream, place: &[u8]) -> IoResult<Vec<u8>> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 || heard.len() > HEARD_BYTES_MAX {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        heard.extend_from_slice(&buffer[..count]);
        if heard.windows(place.len()).any(|window| window == place) {
            return Ok(heard);
        }
        server.write_all(&buffer[..count])?;
    }
}

/// Passes everything on in one direction, and the end.
fn carry(mut from: &TcpStream, mut to: &TcpStream) -> IoResult<()> {
    std::io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// A server that says what it hears.
    fn parrot() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || drop(carry(&socket, &socket)));
            }
        });
        address
    }

    fn connect(impostor: &Impostor) -> TcpStream {
        let socket = TcpStream::connect(impostor.address()).unwrap();
        socket.set_read_timeout(Some(TIME)).unwrap();
        socket
    }

    fn hear(socket: &mut TcpStream, words: &str) {
        let mut heard = vec![0; words.len()];
        socket.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), words);
    }

    #[test]
    fn it_is_honest_until_it_is_told_to_attack_and_after() {
        let impostor = Impostor::open(parrot()).unwrap();
        let mut before = connect(&impostor);
        before.write_all(b"hello").unwrap();
        hear(&mut before, "hello");
        impostor.attack(Attack { after: b"two", says: b"boo".to_vec(), then: Then::Close });
        assert!(matches!(before.read(&mut [0; 9]), Ok(0) | Err(_)), "it is cut");
        let mut during = connect(&impostor);
        during.write_all(b"one").unwrap();
        hear(&mut during, "one");
        during.write_all(b"two").unwrap();
        let mut rest = String::new();
        during.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), impostor.wait_until_attacked(TIME)), ("boo", true));
        assert_eq!(impostor.wait_until_said(3, TIME), 3);
        impostor.behave();
        let mut after = connect(&impostor);
        after.write_all(b"two").unwrap();
        hear(&mut after, "two");
    }

    #[test]
    fn floods_and_drips_go_on_until_the_client_goes() {
        let impostor = Impostor::open(parrot()).unwrap();
        impostor.attack(Attack {
            after: b"",
            says: Vec::new(),
            then: Then::Flood(|number| format!("{number};").into_bytes()),
        });
        let mut flooded = connect(&impostor);
        hear(&mut flooded, "0;1;2;");
        assert!(impostor.wait_until_said(100_000, TIME) >= 100_000);
        drop(flooded);
        impostor.attack(Attack {
            after: b"",
            says: b">".to_vec(),
            then: Then::Drip(|_| b"ab".to_vec()),
        });
        hear(&mut connect(&impostor), ">aba");
    }
}
