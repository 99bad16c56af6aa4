//! The acceptance of connections, one task per listener. A listener enters; its connections leave,
//! no more than are taken. Errors of the system are waited out.

use std::{future::Future, io, pin::Pin, time::Duration};

use synrepl_core::wire::Dialect;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::sleep,
};

use crate::transport::Listener;

/// The first and the longest wait after an accept that failed. A system without free descriptors
/// has some again when a connection ends; a shorter wait is of no use.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A byte stream of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: Box<dyn Stream>,
    /// The peer that made the connection, for people.
    pub(super) peer: String,
    pub(super) dialect: Dialect,
}

/// A listener of any kind, with the dialect that is spoken on it.
pub(crate) struct Acceptor {
    run_accept_loop: Box<dyn FnOnce(mpsc::Sender<Accepted>) -> AcceptAll + Send>,
}

type AcceptAll = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Acceptor {
    pub(crate) fn new(listener: impl Listener, dialect: Dialect) -> Self {
        let run_accept_loop = Box::new(move |accepted| -> AcceptAll {
            Box::pin(run_accept_loop(listener, dialect, accepted))
        });
        Self { run_accept_loop }
    }

    /// Accepts connections until the receiver of them is gone.
    pub(super) fn run(self, accepted: mpsc::Sender<Accepted>) -> AcceptAll {
        (self.run_accept_loop)(accepted)
    }
}

async fn run_accept_loop<L: Listener>(
    mut listener: L,
    dialect: Dialect,
    accepted: mpsc::Sender<Accepted>,
) {
    let mut wait = FIRST_WAIT;
    // A place is reserved first, so that what is not taken stays in the system's queue.
    while let Ok(place) = accepted.reserve().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                wait = FIRST_WAIT;
                place.send(Accepted { stream: Box::new(stream), peer, dialect });
            }
            Err(error) => {
                tracing::warn!(%error, retry_in = ?wait, "{}", problem(&error));
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

fn problem(error: &io::Error) -> &'static str {
    // These are EMFILE and ENFILE.
    match error.raw_os_error() {
        Some(24 | 23) => {
            "a connection cannot be accepted: no free file descriptors; raise `ulimit -n`"
        }
        _ => "a connection cannot be accepted",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::{
        io::{DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    /// A listener that gives the scripted results, then waits for ever.
    struct Scripted(VecDeque<io::Result<DuplexStream>>);

    impl Listener for Scripted {
        type Stream = DuplexStream;

        async fn accept(&mut self) -> io::Result<(DuplexStream, String)> {
            match self.0.pop_front() {
                Some(answer) => answer.map(|stream| (stream, "peer".to_owned())),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_waited_out_with_growing_delays() {
        let failure = || Err(io::Error::from_raw_os_error(24));
        let mut answers: VecDeque<_> = (0..10).map(|_| failure()).collect();
        answers.push_back(Ok(duplex(1).0));
        answers.push_back(failure());
        answers.push_back(Ok(duplex(1).0));
        let (sender, mut accepted) = mpsc::channel(1);
        let start = Instant::now();
        let accepting = Acceptor::new(Scripted(answers), Dialect::LATEST);
        let task = tokio::spawn(accepting.run(sender));
        assert_eq!(accepted.recv().await.unwrap().peer, "peer");
        // The waits are 10, 20, ... 640 ms, then a second each.
        assert_eq!(start.elapsed().as_millis(), 1_270 + 3 * 1_000);
        assert_eq!(accepted.recv().await.unwrap().dialect, Dialect::LATEST);
        assert_eq!(start.elapsed().as_millis(), 1_270 + 3 * 1_000 + 10);
        drop(accepted);
        task.abort();
    }

    #[tokio::test]
    async fn no_more_are_accepted_than_are_taken() {
        struct Counted(mpsc::Sender<()>);
        impl Listener for Counted {
            type Stream = DuplexStream;
            async fn accept(&mut self) -> io::Result<(DuplexStream, String)> {
                self.0.try_send(()).unwrap();
                Ok((duplex(1).0, String::new()))
            }
        }
        let (counter, mut count) = mpsc::channel(100);
        let (sender, mut accepted) = mpsc::channel(1);
        let task = tokio::spawn(Acceptor::new(Counted(counter), Dialect::LATEST).run(sender));
        for _ in 0..3 {
            count.recv().await.unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(count.try_recv().is_err(), "one more was accepted before one was taken");
            accepted.recv().await.unwrap();
        }
        task.abort();
    }
}
