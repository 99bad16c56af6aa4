//! A host with several addresses. They enter; the first connection that stands leaves. An address
//! that does not answer delays the others by a quarter of a second, not by the system's two minutes.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, task::JoinSet, time::sleep};

/// The time that an attempt has before the next address is tried beside it: RFC 8305, section 8
/// (Happy Eyeballs). A working server of the same site answers in far less.
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses that are tried; whoever has more finds one that works among these.
const ADDRESSES_MAX: usize = 16;

/// Connects to whichever of `addresses` answers first. Families take turns.
///
/// # Errors
/// The errors of all addresses, if none could be had. Never ready while one neither answers nor
/// fails.
pub(super) async fn connect(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = in_turn(addresses.take(ADDRESSES_MAX).collect());
    // Dropping the set ends the attempts that are not needed any more.
    let mut attempts: JoinSet<(SocketAddr, io::Result<TcpStream>)> = JoinSet::new();
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        } else if attempts.is_empty() {
            return Err(together(failures));
        }
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => match ended {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => failures.push((address, error)),
                Err(panicked) => return Err(io::Error::other(panicked)),
            },
            () = sleep(HEAD_START), if !waiting.is_empty() => {}
        }
    }
}

/// Sorts the addresses so that the families take turns, the resolver's first one first.
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let is_v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

/// Makes one error of all: alone as it is, several with their addresses.
fn together(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    match failures.len() {
        0 => io::Error::new(io::ErrorKind::NotFound, "the host has no address"),
        1 => failures.remove(0).1,
        _ => {
            let kind = failures[0].1.kind();
            let said: Vec<String> =
                failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
            io::Error::new(kind, said.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::{Instant, timeout},
    };

    use super::*;

    /// An address that takes no connection and refuses none: the queue of its listener is full.
    /// What is returned beside it has to be kept.
    async fn dead() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(HEAD_START, TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        (address, listener, queued)
    }

    /// An address that refuses.
    async fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn addresses_that_do_not_answer_are_passed_over_in_time() {
        let (first, _listener, _queued) = dead().await;
        let (second, _listener_2, _queued_2) = dead().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let start = Instant::now();
        let all = [first, second, refusing().await, address];
        let connected = timeout(Duration::from_secs(5), connect(all.into_iter())).await;
        let stream = connected.expect("in time").unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(start.elapsed() >= 2 * HEAD_START);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_at_once_and_all_refusals_are_named() {
        let refused = [refusing().await, refusing().await];
        let error = connect(refused.into_iter()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        for address in refused {
            assert!(error.to_string().contains(&format!("{address}: ")), "{error}");
        }
        let none = connect(std::iter::empty()).await.unwrap_err();
        assert_eq!(none.to_string(), "the host has no address");
    }

    #[test]
    fn the_families_take_turns() {
        let of = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let resolved = of(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let expected = of(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turn(resolved), expected);
        assert_eq!(in_turn(of(&["1.1.1.1:1", "[::1]:1"])), of(&["1.1.1.1:1", "[::1]:1"]));
    }
}
