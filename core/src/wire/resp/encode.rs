//! Commands and frames to RESP2 bytes.

use bytes::{BufMut as _, BytesMut};

use super::Frame;
use crate::wire::integer;

/// Appends a command as Redis takes it: an array of bulk strings. `args` are its name and its
/// arguments; each may hold any bytes.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use synrepl_core::wire::encode_command;
///
/// let mut out = BytesMut::new();
/// encode_command(&[b"PUBLISH", b"example.com", b"REPLICATE "], &mut out);
/// assert_eq!(out, "*3\r\n$7\r\nPUBLISH\r\n$11\r\nexample.com\r\n$10\r\nREPLICATE \r\n");
/// ```
pub fn encode_command(args: &[&[u8]], out: &mut BytesMut) {
    // Each argument has a type byte, at most 20 digits and two line ends besides its bytes.
    out.reserve(args.iter().map(|arg| arg.len() + 25).sum::<usize>() + 23);
    header(b'*', args.len(), out);
    for arg in args {
        bulk(arg, out);
    }
}

/// Appends one frame, as a server writes it.
///
/// Decoding gives the same frame, with two exceptions: line ends in simple strings and errors
/// cannot be carried and become spaces, and an array that has the form of a published message
/// becomes a [`Frame::Message`].
pub fn encode_frame(frame: &Frame, out: &mut BytesMut) {
    match frame {
        Frame::Simple(text) => line(b'+', text, out),
        Frame::Error(text) => line(b'-', text, out),
        Frame::Integer(value) => {
            out.put_u8(b':');
            integer::append(*value, out);
            out.put_slice(b"\r\n");
        }
        Frame::Bulk(Some(data)) => bulk(data, out),
        Frame::Bulk(None) => out.put_slice(b"$-1\r\n"),
        Frame::Array(items) => {
            header(b'*', items.len(), out);
            for item in items {
                encode_frame(item, out);
            }
        }
        Frame::NullArray => out.put_slice(b"*-1\r\n"),
        Frame::Message { channel, payload } => encode_command(&[b"message", channel, payload], out),
    }
}

fn header(kind: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(kind);
    integer::append_length(length, out);
    out.put_slice(b"\r\n");
}

fn bulk(data: &[u8], out: &mut BytesMut) {
    header(b'$', data.len(), out);
    out.put_slice(data);
    out.put_slice(b"\r\n");
}

fn line(kind: u8, text: &str, out: &mut BytesMut) {
    out.put_u8(kind);
    for byte in text.bytes() {
        out.put_u8(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
    }
    out.put_slice(b"\r\n");
}
