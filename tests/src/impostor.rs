//! A hostile server in front of an honest one. It relays everything until it is ordered to attack:
//! then it sends bytes of its own to each client, at the place that the attack names.

use std::{
    io::{ErrorKind, Read as _, Result as IoResult, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    listener::{Connections, FREE_PORT, Listener},
    shared::Shared,
};

/// The most bytes of an endless attack per connection: far more than any victim may keep.
const FLOOD_BYTES_MAX: u64 = 1 << 30;
/// The time between two bytes of a drip.
const DRIP_EVERY: Duration = Duration::from_millis(100);
/// The most bytes that a client sends before it is attacked.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// The attack of an impostor on a client.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Once a client has sent these bytes, nothing of the honest server reaches it any more, nor
    /// the other way round. If empty, the attack begins at once.
    pub after: &'static [u8],
    /// The bytes that are sent to the client then.
    pub says: Vec<u8>,
    /// The continuation of the attack.
    pub then: Then,
}

/// The continuation of an attack.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Then {
    /// The connection ends.
    Close,
    /// Nothing is sent for as long as the client stays.
    Silence,
    /// The piece of each number from 0 on is sent, as fast as pieces are taken, for as long as the
    /// client stays or up to 1 GiB.
    Flood(fn(u64) -> Vec<u8>),
    /// The same pieces are sent in single bytes, ten a second.
    Drip(fn(u64) -> Vec<u8>),
    /// All that the client has sent is sent back to it, and the connection ends.
    Echo,
}

/// An impostor on loopback, which is closed, with all its connections, when dropped.
#[derive(Debug)]
pub struct Impostor {
    listener: Listener,
    shared: Arc<Shared<State>>,
}

#[derive(Debug, Default)]
struct State {
    attack: Option<Arc<Attack>>,
    /// The number of connections whose attack has begun since it was ordered, and the number of
    /// bytes sent in it.
    attacked: u64,
    said: u64,
}

impl Impostor {
    /// Listens on a free port and passes each connection on to `honest`.
    ///
    /// # Errors
    /// Fails if the system gives no port.
    pub fn open(honest: SocketAddr) -> IoResult<Self> {
        let shared = Arc::new(Shared::<State>::default());
        let listener = Listener::open(FREE_PORT, {
            let shared = Arc::clone(&shared);
            move |client, connections| shared.serve(client, honest, connections)
        })?;
        Ok(Self { listener, shared })
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Cuts the present connections, and attacks new ones.
    pub fn attack(&self, attack: Attack) {
        self.change(Some(attack));
    }

    /// Cuts the present connections, and passes new ones on to the honest server.
    pub fn behave(&self) {
        self.change(None);
    }

    fn change(&self, attack: Option<Attack>) {
        let mut state = self.shared.state();
        state.attack = attack.map(Arc::new);
        (state.attacked, state.said) = (0, 0);
        self.listener.cut();
    }

    /// Waits until this many bytes of the attack were taken by the victims' systems, or the time is
    /// over; returns their number.
    pub fn wait_until_said(&self, bytes: u64, time: Duration) -> u64 {
        self.shared.wait(time, |state| (state.said >= bytes).then_some(()));
        self.shared.state().said
    }

    /// Waits until a client has met the present attack; false if none has within the time.
    pub fn wait_until_attacked(&self, time: Duration) -> bool {
        self.shared.wait(time, |state| (state.attacked > 0).then_some(())).is_some()
    }
}

impl Shared<State> {
    fn serve(
        &self,
        client: &TcpStream,
        honest: SocketAddr,
        connections: &Connections,
    ) -> IoResult<()> {
        client.set_nodelay(true)?;
        let attack = {
            // A connection that is kept is cut by the next change of the attack.
            let state = self.state();
            connections.keep(client)?;
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
        connections.keep(&server)?;
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        let attacks = attack.is_some();
        // The thread ends with either connection.
        let answers = thread::spawn(move || {
            // In an attack the end of the honest server's answers is not passed on: the impostor
            // goes on instead.
            if attacks { std::io::copy(&mut &from, &mut &to).map(drop) } else { carry(&from, &to) }
        });
        let outcome = match attack {
            None => carry(client, &server),
            Some(attack) => lead_on(client, &server, attack.after).and_then(|heard| {
                // Nothing of the honest server may come in between.
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
        self.change(|state| state.attacked += 1);
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
                    // This waits for the time of a drip, and notices whether the client has gone.
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
        self.change(|state| state.said += bytes.len() as u64);
        Ok(())
    }
}

/// Passes on what the client sends until it comes to the place of the attack; returns all that it
/// has sent.
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

/// Passes everything on in one direction, the end of the connection too.
fn carry(mut from: &TcpStream, mut to: &TcpStream) -> IoResult<()> {
    std::io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// A server that echoes what it receives.
    fn parrot() -> Listener {
        Listener::open(FREE_PORT, |client, _| carry(client, client)).unwrap()
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
        let parrot = parrot();
        let impostor = Impostor::open(parrot.address()).unwrap();
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
        let parrot = parrot();
        let impostor = Impostor::open(parrot.address()).unwrap();
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
