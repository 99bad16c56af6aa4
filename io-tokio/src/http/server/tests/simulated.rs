//! Tests of the server on a simulated network, where minutes cost nothing.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};
use turmoil::net::{TcpListener, TcpStream};

use super::{CATCH_UP, Server, TestLog};
use crate::transport::Listener;

struct Simulated(TcpListener);

impl Listener for Simulated {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((stream, peer.to_string()))
    }
}

/// Runs a client against a server of `log` with default limits.
fn simulate(
    log: TestLog,
    client: impl Future<Output = Result<(), Box<dyn std::error::Error>>> + 'static,
) {
    let mut sim = turmoil::Builder::new().simulation_duration(Duration::from_secs(600)).build();
    sim.host("writer", move || {
        let log = log.clone();
        async move {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            Server::new(Arc::new(log)).run(Simulated(listener), std::future::pending()).await;
            Ok(())
        }
    });
    sim.client("follower", client);
    sim.run().unwrap();
}

#[test]
fn rows_are_served_over_a_simulated_network() {
    let log = TestLog::default();
    log.fill("s", 2);
    simulate(log, async {
        let mut stream = TcpStream::connect("writer:80").await?;
        let path = format!("{CATCH_UP}/s/x?from_token=0&upto_token=9");
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert!(
            answer
                .ends_with(r#"{"updates":[[1,["r1"]],[2,["r2"]]],"upto_token":2,"limited":false}"#)
        );
        Ok(())
    });
}

#[test]
fn a_head_and_a_body_that_do_not_come_have_half_a_minute() {
    for (begun, status) in [
        ("", None),
        ("GET /health HTTP/1.1\r\nHost", None),
        ("POST /rows HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", Some("HTTP/1.1 408")),
    ] {
        simulate(TestLog::default(), async move {
            let mut stream = TcpStream::connect("writer:80").await?;
            stream.write_all(begun.as_bytes()).await?;
            let start = Instant::now();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            assert_eq!(start.elapsed().as_secs(), 30, "{begun:?}");
            if let Some(status) = status {
                assert!(answer.starts_with(status), "{answer}");
            }
            Ok(())
        });
    }
}
