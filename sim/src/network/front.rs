//! Stands in front of a writer's HTTP replication listener. It gives bad answers to the calls of a
//! follower whose next fetches are to go wrong, and lets all others through.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use synrepl::transport::Listener;
use synrepl_core::{
    stream::{Page, Source, Token},
    wire::encode_page,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use turmoil::net::TcpListener;

use super::{
    links::Link,
    redis::{Party, party_of},
    stage::{Contents, Stage, now},
};
use crate::{
    marks::Mark,
    scenario::{FetchFault, Scenario},
    trace::What,
    world::{scramble, spoiled},
};

/// The delay of a stale answer, which is less than what the follower waits.
const STALE_AFTER: Duration = Duration::from_millis(1_500);
/// The length that an answer announces which is too long.
const TOO_LONG: usize = 1 << 40;
/// The most bytes that are read at once.
const READ_BYTES: usize = 1 << 10;

/// Takes the connections of followers that fetch missed rows.
pub(super) struct FrontListener {
    pub(super) listener: TcpListener,
    pub(super) stage: Stage,
    pub(super) writer: usize,
}

impl Listener for FrontListener {
    type Stream = Front;

    async fn accept(&mut self) -> io::Result<(Front, String)> {
        loop {
            self.stage.wait_to_accept(self.writer).await;
            let (stream, address) = self.listener.accept().await?;
            let host = turmoil::reverse_lookup(address.ip()).unwrap_or_default();
            let Some(Party::Follower(follower)) = party_of(&host) else { continue };
            let front = Front {
                link: Link::accepted(stream, self.stage.clone(), Party::Writer(self.writer)),
                stage: self.stage.clone(),
                writer: self.writer,
                follower,
                head: BytesMut::new(),
                whole: BytesMut::new(),
                bad: None,
            };
            return Ok((front, host));
        }
    }
}

/// One connection. The server behind it sees only whole requests, and none that gets a bad answer.
#[derive(Debug)]
pub(super) struct Front {
    link: Link,
    stage: Stage,
    writer: usize,
    follower: usize,
    /// The part of the next request that has come. No request has a body.
    head: BytesMut,
    /// Whole requests that the server has not read yet.
    whole: BytesMut,
    bad: Option<Bad>,
}

/// A bad answer. The connection ends behind it.
#[derive(Debug)]
struct Bad {
    /// Ends when the answer is given.
    wait: Pin<Box<Sleep>>,
    answer: Bytes,
    /// Nothing follows the answer, and the connection stands until the other side closes it.
    stays: bool,
}

impl Front {
    /// Hands a whole request on, or prepares the bad answer to it.
    fn on_request(&mut self, request: BytesMut) {
        let mut stage = self.stage.lock();
        let Some(fault) = stage.followers[self.follower].spoil.pop_front() else {
            drop(stage);
            self.whole.unsplit(request);
            return;
        };
        let (after, answer, stays) = stage.bad_answer(fault, self.writer, &request);
        drop(stage);
        self.bad = Some(Bad { wait: Box::pin(sleep(after)), answer, stays });
    }

    /// Gives the bad answer. It is ready when the connection is to end.
    fn poll_bad(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(bad) = &mut self.bad else { return Poll::Ready(Ok(())) };
        ready!(bad.wait.as_mut().poll(cx));
        while !bad.answer.is_empty() {
            let count = ready!(Pin::new(&mut self.link).poll_write(cx, &bad.answer))?;
            bad.answer.advance(count);
        }
        ready!(Pin::new(&mut self.link).poll_flush(cx))?;
        if bad.stays {
            // The connection stands until the other side closes it.
            let mut rest = [0; READ_BYTES];
            loop {
                let mut rest = ReadBuf::new(&mut rest);
                ready!(Pin::new(&mut self.link).poll_read(cx, &mut rest))?;
                if rest.filled().is_empty() {
                    break;
                }
            }
        }
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}

impl AsyncRead for Front {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.bad.is_some() {
                // The server reads this as the end of the connection.
                return self.poll_bad(cx);
            }
            if !self.whole.is_empty() {
                let count = self.whole.len().min(buffer.remaining());
                buffer.put_slice(&self.whole.split_to(count));
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.link).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.head.extend_from_slice(read.filled());
            while let Some(end) = self.head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let request = self.head.split_to(end + 4);
                self.on_request(request);
            }
        }
    }
}

impl AsyncWrite for Front {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}

impl Contents {
    /// Makes the answer to a call that goes wrong. Returns the time after which it is given, the
    /// answer, and whether the connection stays open behind it.
    fn bad_answer(
        &mut self,
        fault: FetchFault,
        writer: usize,
        request: &[u8],
    ) -> (Duration, Bytes, bool) {
        let page = self.spoiled_page(fault, writer, request);
        self.spoilt += 1;
        let at = now();
        self.note(at, writer, None, || What::Fault { text: format!("a bad answer: {fault:?}") });
        let stays = fault == FetchFault::TimedOut;
        let after = if fault == FetchFault::Stale { STALE_AFTER } else { Duration::ZERO };
        let mut body = BytesMut::new();
        if let Some(page) = &page {
            encode_page(page, &mut body);
        }
        let (mark, answer) = match fault {
            FetchFault::TimedOut => (Mark::PageStalled, Bytes::new()),
            FetchFault::Stale => (Mark::PageLate, whole("200 OK", &body)),
            FetchFault::Beyond | FetchFault::Stuck => (Mark::FetchUnusable, whole("200 OK", &body)),
            FetchFault::TooMuch => (Mark::FetchTooMuch, whole("200 OK", &body)),
            FetchFault::Short => (Mark::FetchPaged, whole("200 OK", &body)),
            // Every other answer of this kind breaks off instead, at any byte, also in its head.
            FetchFault::TooLarge if self.spoilt.is_multiple_of(2) => {
                (Mark::PageTooLong, head("200 OK", TOO_LONG).freeze())
            }
            FetchFault::TooLarge | FetchFault::NoEndpoint => {
                let answer = whole("200 OK", &body);
                let length = u64::try_from(answer.len()).unwrap_or(1);
                let end = scramble(self.scenario.seed, 2, self.spoilt) % length;
                (Mark::PageBroken, answer.slice(..usize::try_from(end).unwrap_or(0)))
            }
            FetchFault::Status => {
                let error = br#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;
                (Mark::FetchFailed, whole("500 Internal Server Error", error))
            }
        };
        self.marks.hit(mark);
        (after, answer, stays)
    }

    /// Returns the page that the writer would answer with, spoiled by the fault.
    fn spoiled_page(&self, fault: FetchFault, writer: usize, request: &[u8]) -> Option<Page> {
        let request = str::from_utf8(request).ok()?;
        let (path, query) = request.split(' ').nth(1)?.split_once('?')?;
        let stream = path.rsplit('/').nth(1)?;
        let token = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name))?;
            found.strip_prefix('=')?.parse().ok().map(Token::new)
        };
        let (from, upto) = (token("from_token")?, token("upto_token")?);
        let source = Source::new(stream, &Scenario::writer_name(writer));
        let read = |from, upto| self.read_log(writer, stream, from, upto, u32::MAX);
        let mut page = read(from, upto);
        page.upto = page.upto.min(upto);
        Some(spoiled(fault, &source, page, (from, upto), read))
    }
}

fn head(status: &str, length: usize) -> BytesMut {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    BytesMut::from(head.as_str())
}

fn whole(status: &str, body: &[u8]) -> Bytes {
    let mut answer = head(status, body.len());
    answer.extend_from_slice(body);
    answer.freeze()
}
