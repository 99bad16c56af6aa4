//! Serves a line from a thread, which sleeps while no call is in line.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crate::log::line::Server;

/// Takes calls as [`Server::poll_take`] does, with the thread asleep while that is pending.
pub(super) fn take<T>(server: &Server<T>, mut with: impl FnMut(&T) -> bool) -> Option<Vec<T>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match server.poll_take(&mut cx, &mut with) {
            Poll::Ready(taken) => return taken,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::line::Line;

    #[test]
    fn a_server_that_sleeps_wakes_for_the_next_call_and_for_the_end() {
        let line = Line::new();
        let server = Server::new(Arc::clone(&line));
        let thread = thread::spawn(move || {
            let mut all = Vec::new();
            while let Some(taken) = take(&server, |_| true) {
                all.extend(taken);
            }
            all
        });
        let mut places = Vec::new();
        for number in 0..1_000 {
            places.push(line.stand(number).unwrap());
        }
        line.close();
        assert_eq!(thread.join().unwrap(), (0..1_000).collect::<Vec<_>>());
    }
}
