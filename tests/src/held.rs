//! The rows that the writers still hold, fetched over HTTP without the code under test
//! (`docs/protocol.md` 6 and the peculiarities in `docs/seen.md`).

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Failure, Source,
    cluster::{INSTANCES, SECRET},
};

/// A row as text in one fixed spelling, so that rows compare whatever wrote them.
pub type RowText = String;

/// Rows with their tokens, each once.
pub type Rows = BTreeSet<(i64, RowText)>;

/// The streams whose pages lose rows, `to_device` before 1.81 (`docs/protocol.md` 7.5).
const WINDOWED: [&str; 2] = ["backfill", "to_device"];
/// The most tokens that one request may span in these.
const WINDOW: i64 = 99;
/// A number of pages that no answer here has, as a limit for pages that never end.
const PAGES_MAX: usize = 2_000;

#[derive(Debug, Deserialize)]
struct Page {
    updates: Vec<(i64, Value)>,
    upto_token: i64,
    limited: bool,
}

/// The spelling of a row that [`RowText`] promises.
pub fn row_text(row: &Value) -> RowText {
    row.to_string()
}

/// Every row of `source` in `(from, upto]` that its writer, an instance of the cluster, holds.
///
/// # Errors
/// Fails if the writer cannot be reached, refuses, or answers something that is not a page.
pub fn held(source: &Source, from: i64, upto: i64) -> Result<Rows, Failure> {
    let Source { instance, .. } = source;
    let address = INSTANCES.iter().find(|(name, _)| name == instance);
    let (_, address) = address.ok_or_else(|| format!("no address is known for {instance}"))?;
    held_at(address, source, from, upto)
}

/// Every row of `source` in `(from, upto]` that the writer with the HTTP replication listener at
/// `address` holds.
///
/// # Errors
/// Fails if the writer cannot be reached, refuses, or answers something that is not a page.
pub fn held_at(address: &str, source: &Source, from: i64, upto: i64) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    if WINDOWED.contains(&source.stream.as_str()) {
        let mut lower = from;
        while lower < upto {
            let window = upto.min(lower + WINDOW);
            let page = page(address, source, lower, window)?;
            if page.limited {
                return Err(format!("{source}: the window ({lower}, {window}] is limited").into());
            }
            collect(&mut rows, page, upto);
            lower = window;
        }
        return Ok(rows);
    }
    let mut lower = from;
    for _ in 0..PAGES_MAX {
        let page = page(address, source, lower, upto)?;
        let (reached, limited) = (page.upto_token, page.limited);
        collect(&mut rows, page, upto);
        if !limited || reached >= upto {
            return Ok(rows);
        }
        if reached <= lower {
            return Err(format!("{source}: the page after {lower} does not move").into());
        }
        // A page may end inside the rows of one token: that token is requested again, unless it is
        // all that the page had.
        lower = if reached - 1 > lower { reached - 1 } else { reached };
    }
    Err(format!("{source}: more than {PAGES_MAX} pages in ({from}, {upto}]").into())
}

/// Adds the rows of a page up to `upto`: pages of `caches` have rows above what was requested.
fn collect(rows: &mut Rows, page: Page, upto: i64) {
    let wanted = page.updates.into_iter().filter(|(token, _)| *token <= upto);
    rows.extend(wanted.map(|(token, row)| (token, row_text(&row))));
}

fn page(address: &str, source: &Source, from: i64, upto: i64) -> Result<Page, Failure> {
    let Source { stream, .. } = source;
    // Synapse caches answers by the last part of the path alone, for half an hour.
    let once = RandomState::new().build_hasher().finish();
    let path = format!(
        "/_synapse/replication/get_repl_stream_updates/{stream}/{once:x}?from_token={from}&upto_token={upto}"
    );
    let body = get(address, &path).map_err(|error| format!("{address}{path}: {error}"))?;
    serde_json::from_str(&body).map_err(|error| format!("{address}{path}: {error}: {body}").into())
}

/// Sends a GET in HTTP/1.0, so that the answer ends with the connection and is not chunked.
fn get(address: &str, path: &str) -> Result<String, Failure> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        socket,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {SECRET}\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
    let status = head.split(' ').nth(1);
    if status != Some("200") {
        return Err(answer.into());
    }
    Ok(body.to_owned())
}
