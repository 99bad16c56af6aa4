//! A call that is made again: with the same id and more time while there was no answer, and not on
//! connections that are likely dead.

use tokio::io::AsyncReadExt as _;

use super::*;

#[tokio::test]
async fn an_answer_that_takes_longer_than_the_limit_is_taken_at_the_next_call_with_its_id() {
    let server = Server::start().await;
    let client = server.client(|limits| {
        limits.fetch_timeout = Duration::from_millis(50);
        limits.fetch_timeout_max = Duration::from_millis(150);
    });
    let serve = async {
        let (mut ids, mut unanswered) = (Vec::new(), Vec::new());
        // The answer is ready only when the fourth call waits for it.
        loop {
            let mut stream = server.accept().await;
            let head = request(&mut stream).await;
            ids.push(path(&head).split(['/', '?']).nth(5).unwrap().to_owned());
            if ids.len() == 4 {
                stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
                ids.push(
                    path(&request(&mut stream).await).split(['/', '?']).nth(5).unwrap().into(),
                );
                stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
                return ids;
            }
            unanswered.push(stream);
        }
    };
    let calls = async {
        for expected in [50, 100, 150] {
            let Err(FetchError::TimedOut { after_ms, .. }) = client.fetch(events()).await else {
                panic!("answered in less than {expected} ms")
            };
            assert_eq!(after_ms, expected);
        }
        client.fetch(events()).await.unwrap();
        // What was answered once is asked anew.
        client.fetch(events()).await.unwrap();
    };
    let (ids, ()) = tokio::join!(serve, calls);
    assert!(ids[..4].iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(ids[4], ids[0]);
}

#[tokio::test]
async fn another_span_of_the_same_source_has_an_id_of_its_own() {
    let server = Server::start().await;
    let client = server.client(|limits| limits.fetch_timeout = Duration::from_millis(50));
    let serve = async {
        let mut first = server.accept().await;
        let unanswered = request(&mut first).await;
        let mut second = server.accept().await;
        let other = request(&mut second).await;
        second.write_all(ok(PAGE).as_bytes()).await.unwrap();
        (path(&unanswered).to_owned(), path(&other).to_owned())
    };
    let calls = async {
        client.fetch(events()).await.unwrap_err();
        let span = Span::new(Token::new(2), Token::new(5));
        client.fetch(FetchRequest::new(Source::new("events", "p1"), span)).await.unwrap();
    };
    let ((unanswered, other), ()) = tokio::join!(serve, calls);
    assert_ne!(unanswered.split('?').next(), other.split('?').next());
}

/// Makes two calls at once, so that two idle connections are kept.
async fn two_kept(server: &Server, client: &HttpFetch<SocketConnector>) -> [TcpStream; 2] {
    let serve = async {
        let (mut first, mut second) = (server.accept().await, server.accept().await);
        for stream in [&mut first, &mut second] {
            request(stream).await;
        }
        for stream in [&mut first, &mut second] {
            stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
        }
        [first, second]
    };
    let calls = async { tokio::join!(client.fetch(events()), client.fetch(events())) };
    let (streams, (first, second)) = tokio::join!(serve, calls);
    assert!(first.is_ok() && second.is_ok());
    streams
}

#[tokio::test]
async fn after_one_kept_connection_that_is_silent_the_other_is_not_tried() {
    let server = Server::start().await;
    let client = server.client(|limits| limits.fetch_timeout = Duration::from_millis(100));
    // Neither says a word any more, as behind a router that has forgotten them.
    let [mut first, mut second] = two_kept(&server, &client).await;
    let error = client.fetch(events()).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
    let serve = async {
        let mut stream = server.accept().await;
        request(&mut stream).await;
        stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
        Ok(())
    };
    tokio::try_join!(client.fetch(events()), serve).unwrap();
    // Both are closed; one of them got a request before.
    let mut got = Vec::new();
    first.read_to_end(&mut got).await.unwrap();
    second.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.windows(4).filter(|end| end == b"\r\n\r\n").count(), 1);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_not_used() {
    let server = Server::start().await;
    // Every connection is too old once it is idle.
    let client = server.client(|limits| limits.http_idle_timeout = Duration::from_nanos(1));
    let serve = async {
        for _ in 0..2 {
            let mut stream = server.accept().await;
            request(&mut stream).await;
            stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
            assert!(stream.read_u8().await.is_err(), "a second request on it");
        }
    };
    let calls = async {
        client.fetch(events()).await.unwrap();
        client.fetch(events()).await.unwrap();
        drop(client);
    };
    tokio::join!(serve, calls);
}
