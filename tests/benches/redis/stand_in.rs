//! A server that sends a subscriber, from memory, what Redis would send.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use bytes::BytesMut;
use synrepl::core::wire::{Frame, RespDecoder, encode_command};

pub(crate) struct Server {
    address: SocketAddr,
}

impl Server {
    /// Listens on a free port of 127.0.0.1 until the process ends, and answers every SUBSCRIBE
    /// with `messages`.
    pub(crate) fn start(messages: Vec<BytesMut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let messages: Arc<[BytesMut]> = messages.into();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, messages) = (stream.expect("a connection"), Arc::clone(&messages));
                // A reader closes the connection once it has read enough, so an error here is none.
                thread::spawn(move || serve(stream, &messages));
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

fn serve(mut stream: TcpStream, messages: &[BytesMut]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut decoder, mut buffer) = (RespDecoder::default(), BytesMut::new());
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&piece[..length]);
        while let Some(frame) = decoder.decode(&mut buffer).map_err(io::Error::other)? {
            let Frame::Array(args) = frame else { panic!("no command: {frame:?}") };
            answer(&mut stream, &args, messages)?;
        }
    }
}

fn answer(stream: &mut TcpStream, args: &[Frame], messages: &[BytesMut]) -> io::Result<()> {
    let text = |index: usize| match args.get(index) {
        Some(Frame::Bulk(Some(text))) => text.as_ref(),
        _ => b"",
    };
    match text(0) {
        b"SUBSCRIBE" => {
            let mut reply = BytesMut::new();
            encode_command(&[b"subscribe", text(1)], &mut reply);
            // The third element is a number, which commands do not have.
            reply[1] = b'3';
            reply.extend_from_slice(b":1\r\n");
            stream.write_all(&reply)?;
            messages.iter().try_for_each(|piece| stream.write_all(piece))
        }
        b"PUBLISH" => stream.write_all(b":1\r\n"),
        b"PING" => stream.write_all(b"+PONG\r\n"),
        b"ROLE" => stream.write_all(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        _ => stream.write_all(b"+OK\r\n"),
    }
}
