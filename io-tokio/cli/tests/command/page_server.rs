//! The smallest possible HTTP replication listener.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, channel},
};

use super::program::LIMIT;

/// A listener on loopback that answers every request with the same page, and keeps the requests for
/// the test.
pub(crate) struct PageServer {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl PageServer {
    pub(crate) fn start(status: &'static str, page: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        // The thread ends once the receiver of requests is gone, or with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let mut reader = BufReader::new(&stream);
                let mut request = String::new();
                while reader.read_line(&mut request).is_ok_and(|read| read > 2) {}
                let length = page.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
                );
                let answered = (&stream).write_all(answer.as_bytes());
                if answered.is_err() || sender.send(request).is_err() {
                    break;
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request line and headers of the next request.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(LIMIT).unwrap()
    }
}
