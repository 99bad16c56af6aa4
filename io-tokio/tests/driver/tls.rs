//! TLS to a real redis-server, and catch-up from HTTPS and Unix-socket listeners played by the
//! test; a wrong certificate is reported with what to do.

use std::{sync::Arc, time::Duration};

use crate::servers::{
    certificate::Certificate,
    client::Client,
    connected, disconnected, until,
    writer::{Asked, Log},
};
use synrepl::{
    Builder, Event, Positions, Replication, Source, Start, Token,
    core::{Origin, Warning, stream::FetchError, wire::Frame},
};
use synrepl_tests::redis::RedisServer;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

fn over_tls(redis: &RedisServer, ca: &Certificate) -> Replication {
    let url = format!("rediss://127.0.0.1:{}?ca={}", redis.address().port(), ca.path().display());
    Builder::redis(&url, "example.com").unwrap().spawn().unwrap()
}

#[tokio::test]
async fn rows_and_commands_go_both_ways_over_tls() {
    let certificate = Certificate::new("127.0.0.1");
    let redis = RedisServer::start_tls(&certificate.path(), &certificate.key_path()).unwrap();
    let mut client = Client::of(&redis).await;
    let mut listening = Client::listening(&redis).await;

    let mut replication = over_tls(&redis, &certificate);
    listening.hear("REPLICATE ").await;
    client.publish("POSITION events p1 5 5").await;
    // The row takes more than one TLS record and more than one read.
    let large = format!("[\"{}\"]", "x".repeat(300_000));
    client.publish(&format!("RDATA events p1 6 {large}")).await;
    client.publish("RDATA events p1 7 [\"last\"]").await;
    for (token, text) in [(6, large.as_str()), (7, "[\"last\"]")] {
        let rows = until(&mut replication, |event| match event {
            Event::Rows { token, rows, .. } => Some((token, rows)),
            _ => None,
        });
        let (found, rows) = rows.await;
        assert_eq!((found, rows[0].as_str()), (Token::new(token), text));
    }

    let remote = "y".repeat(300_000);
    let command = synrepl::Command::RemoteServerUp(remote.as_str().into());
    replication.handle().send(command).await.unwrap();
    listening.hear(&format!("REMOTE_SERVER_UP {remote}")).await;
    // A client without TLS is not understood, so the connection above did use TLS.
    let plain = Builder::redis(&redis.url(), "example.com").unwrap().spawn();
    let reason = disconnected(&mut plain.unwrap()).await;
    assert!(reason.contains("if that port speaks TLS, write rediss://"), "{reason}");
    assert_eq!(client.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await, Frame::Integer(2));
    disconnected(&mut replication).await;
    connected(&mut replication).await;
}

#[tokio::test]
async fn a_wrong_ca_or_host_name_is_said_with_what_to_do() {
    let certificate = Certificate::new("127.0.0.1");
    let other = Certificate::new("127.0.0.1");
    let redis = RedisServer::start_tls(&certificate.path(), &certificate.key_path()).unwrap();
    let reason = disconnected(&mut over_tls(&redis, &other)).await;
    let start = format!("Redis at 127.0.0.1:{}: cannot connect: TLS: ", redis.address().port());
    assert!(reason.starts_with(&start), "{reason}");
    assert!(reason.ends_with("name the PEM file of the CA that signed it in the URL: ?ca=FILE"));
    // The CAs of the public web did not sign it either.
    let url = format!("rediss://{}", redis.address());
    let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
    let reason = disconnected(&mut replication).await;
    assert!(reason.ends_with("?ca=FILE"), "{reason}");

    let elsewhere = Certificate::new("redis.example");
    let redis = RedisServer::start_tls(&elsewhere.path(), &elsewhere.key_path()).unwrap();
    let reason = disconnected(&mut over_tls(&redis, &elsewhere)).await;
    assert!(reason.contains("is not for \"127.0.0.1\" but for redis.example"), "{reason}");
    assert!(reason.ends_with("write the host in the URL as the certificate names it"), "{reason}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_the_client_is_understood() {
    let certificate = Certificate::new("127.0.0.1");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let redis = RedisServer::start_tls_with(
            &certificate.path(),
            &certificate.key_path(),
            &["--tls-auth-clients", "yes", "--tls-protocols", version],
        )
        .unwrap();
        let reason = disconnected(&mut over_tls(&redis, &certificate)).await;
        assert!(reason.contains("wants a certificate of ours"), "{version}: {reason}");
    }
}

#[tokio::test]
async fn a_subscriber_that_is_cut_off_without_a_goodbye_is_told_where_to_look() {
    let certificate = Certificate::new("127.0.0.1");
    let limit = ["--client-output-buffer-limit", "pubsub 64kb 32kb 1", "--tls-auth-clients", "no"];
    let redis =
        RedisServer::start_tls_with(&certificate.path(), &certificate.key_path(), &limit).unwrap();
    let url = format!("rediss://{}?ca={}", redis.address(), certificate.path().display());
    let mut replication = Builder::redis(&url, "example.com")
        .unwrap()
        .limits(|limits| limits.events_queued_max = 1)
        .spawn()
        .unwrap();
    connected(&mut replication).await;
    let mut client = Client::of(&redis).await;
    let big = format!("REMOTE_SERVER_UP {}", "x".repeat(100_000));
    for sent in 0.. {
        assert!(sent < 10_000, "Redis never cut the subscriber off");
        if client.publish(&big).await == 0 {
            break;
        }
    }
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("see its client-output-buffer-limit"), "{reason}");
    assert!(!reason.contains("docs.rs"), "{reason}");
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_said() {
    let redis = RedisServer::start(&[]).unwrap();
    let url = format!("rediss://{}", redis.address());
    let mut replication = Builder::redis(&url, "example.com")
        .unwrap()
        .limits(|limits| limits.connect_timeout = Duration::from_millis(500))
        .spawn()
        .unwrap();
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("did not answer the TLS handshake"), "{reason}");
    assert!(reason.ends_with("does this port speak TLS?"), "{reason}");
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der.clone())],
            PrivatePkcs8KeyDer::from(certificate.key_der.clone()).into(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves `log` over HTTPS and returns the port.
async fn serve_https(certificate: &Certificate, log: &Log) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (acceptor, log) = (acceptor(certificate), log.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, log) = (acceptor.clone(), log.clone());
            tokio::spawn(async move {
                // A client that trusts another CA hangs up here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let _ = log.serve(stream).await;
            });
        }
    });
    port
}

/// A follower whose saved position is 2, after p1 has announced 9.
async fn behind(redis: &RedisServer, endpoint: &str) -> (Replication, Client) {
    let mut listening = Client::listening(redis).await;
    let mut saved = Positions::new();
    saved.set(&Source::new("events", "p1"), Token::new(2));
    let replication = Builder::redis(&redis.url(), "example.com")
        .unwrap()
        .secret(synrepl::Secret::new("s3cret".to_owned()))
        .fetch_from("p1", endpoint)
        .unwrap()
        .start(Start::Now)
        .positions(saved)
        .spawn()
        .unwrap();
    listening.hear("REPLICATE ").await;
    let mut client = Client::of(redis).await;
    client.publish("POSITION events p1 9 9").await;
    (replication, client)
}

/// Checks that the rows from 3 to 9 come, once and in order.
async fn expect_rows(replication: &mut Replication) {
    for expected in 3..=9 {
        let rows = until(replication, |event| match event {
            Event::Rows { token, rows, origin, .. } => Some((token, rows, origin)),
            Event::Warning(warning) => panic!("{warning:?}"),
            _ => None,
        });
        let (token, rows, origin) = rows.await;
        assert_eq!((token, origin), (Token::new(expected), Origin::CatchUp));
        assert_eq!(rows[0].as_str(), format!("[\"r{expected}\"]"));
    }
}

fn expect_requests(requests: &[Asked], host: &str) {
    // Each page has three rows: up to 5, up to 8, up to 9.
    let queries: Vec<&str> = requests.iter().map(|asked| asked.query.as_str()).collect();
    assert_eq!(
        queries,
        ["from_token=2&upto_token=9", "from_token=5&upto_token=9", "from_token=8&upto_token=9"]
    );
    for asked in requests {
        assert_eq!(asked.host, host);
        let path = "/_synapse/replication/get_repl_stream_updates/events/";
        assert!(asked.path.starts_with(path), "{}", asked.path);
    }
}

#[tokio::test]
async fn missed_rows_are_fetched_over_https() {
    let redis = RedisServer::start(&[]).unwrap();
    let certificate = Certificate::new("localhost");
    let log = Log::new(1..=9, 3).with_secret("s3cret");
    let port = serve_https(&certificate, &log).await;
    let url = format!("https://localhost:{port}?ca={}", certificate.path().display());
    let (mut replication, _client) = behind(&redis, &url).await;
    expect_rows(&mut replication).await;
    expect_requests(&log.requests(), &format!("localhost:{port}"));
}

#[tokio::test]
async fn a_listener_with_an_unknown_certificate_is_sent_no_secret_and_said_with_what_to_do() {
    let redis = RedisServer::start(&[]).unwrap();
    let certificate = Certificate::new("localhost");
    let log = Log::new(1..=9, 3);
    let port = serve_https(&certificate, &log).await;
    let other = Certificate::new("localhost");
    for (url, hint) in [
        (format!("https://localhost:{port}"), "?ca=FILE"),
        (format!("https://localhost:{port}?ca={}", other.path().display()), "?ca=FILE"),
        (
            format!("https://127.0.0.1:{port}?ca={}", certificate.path().display()),
            "as the certificate names it",
        ),
    ] {
        let (mut replication, _client) = behind(&redis, &url).await;
        let error = until(&mut replication, |event| match event {
            Event::Warning(Warning::FetchFailed { error, .. }) => Some(error),
            _ => None,
        });
        let FetchError::Unreachable { endpoint, message } = error.await else { panic!() };
        assert_eq!(endpoint, url.split('?').next().unwrap());
        assert!(message.starts_with("TLS: ") && message.ends_with(hint), "{message}");
    }
    assert!(log.requests().is_empty());
}

#[tokio::test]
async fn missed_rows_are_fetched_over_a_unix_socket() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main process.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let log = Log::new(1..=9, 3).with_secret("s3cret");
    let serving = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serving.clone().serve(stream));
        }
    });
    let url = format!("unix://{}/main%20process.sock", directory.path().display());
    let (mut replication, _client) = behind(&redis, &url).await;
    expect_rows(&mut replication).await;
    expect_requests(&log.requests(), "localhost");
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_said_with_its_path() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("unix://{}/none.sock", directory.path().display());
    let (mut replication, _client) = behind(&redis, &url).await;
    let error = until(&mut replication, |event| match event {
        Event::Warning(Warning::FetchFailed { error, .. }) => Some(error),
        _ => None,
    });
    let text = error.await.to_string();
    assert!(text.contains("none.sock") && text.contains("No such file"), "{text}");
}
