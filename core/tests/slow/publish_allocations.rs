//! The budget of allocations for published rows, from the page of the log to the drained action.
//! Counted exactly, after a warm-up, so the numbers hold on every machine.

#![allow(clippy::unwrap_used, reason = "tests say what they expect")]

use std::hint::black_box;

use crate::bench::Bench;
use allocation_counter::measure;
use synrepl_core::{
    Action, ByteString, Config, ConnectionId, Input, ReadId, Transport,
    stream::{Page, Row, Token},
    wire::Dialect,
};

const PAGE_ROWS: i64 = 500;
const PAGES: i64 = 20;

struct Writer {
    bench: Bench,
    query: Option<ReadId>,
    /// What was sent since the last look: on the bus, and to all peers.
    sent: (u32, u32),
}

impl Writer {
    fn new(transport: Transport, peers: u64) -> Self {
        let mut config = Config::default();
        config.transport = transport;
        config.server_name = Some(ByteString::from_static("hs"));
        config.publish.own_streams.insert("events".to_owned(), Token::new(0));
        let mut writer = Self { bench: Bench::new(config), query: None, sent: (0, 0) };
        writer.drain();
        if writer.bench.is_connecting() {
            writer.handle(writer.bench.made());
        }
        let dialects = [Dialect::V1_13, Dialect::V1_22];
        for (number, dialect) in (0..peers).zip(dialects.into_iter().cycle()) {
            writer.handle(Input::Accepted { conn: ConnectionId::accepted(number), dialect });
        }
        writer
    }

    fn handle(&mut self, input: Input) {
        self.bench.hand(input);
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest costs nothing here")]
    fn drain(&mut self) {
        while let Some(action) = self.bench.poll() {
            match &action {
                Action::ReadLog { query, .. } => self.query = Some(*query),
                Action::Send { conn, .. } if !conn.is_accepted() => self.sent.0 += 1,
                Action::Broadcast { .. } => self.sent.1 += 1,
                _ => {}
            }
            black_box(&action);
        }
    }

    /// One page of single rows, all of which go out.
    fn page(&mut self, number: i64, rows: Vec<(Token, Row)>, peers: u64) {
        let upto = Token::new((number + 1) * PAGE_ROWS);
        self.handle(Input::Appended { stream: ByteString::from_static("events"), token: upto });
        let page = Page { updates: rows, upto, limited: false };
        let query = self.query.take().unwrap();
        self.handle(Input::LogRead { query, result: Ok(page) });
        if let (Some(conn), count @ 1..) = (self.bench.conn, self.sent.0) {
            self.handle(Input::Sent { conn, count });
        }
        for number in 0..peers {
            let (conn, count) = (ConnectionId::accepted(number), self.sent.1);
            self.handle(Input::Sent { conn, count });
        }
        self.sent = (0, 0);
    }
}

fn rows(page: i64) -> Vec<(Token, Row)> {
    let tokens = page * PAGE_ROWS + 1..=(page + 1) * PAGE_ROWS;
    tokens.map(|token| (Token::new(token), Row::from(r#"["ev",["$id"]]"#))).collect()
}

/// Allocations a page, after some pages.
fn allocations_of_a_page(transport: Transport, peers: u64) -> u64 {
    let mut writer = Writer::new(transport, peers);
    for number in 0..3 {
        writer.page(number, rows(number), peers);
    }
    let pages: Vec<_> = (3..3 + PAGES).map(|number| (number, rows(number))).collect();
    let info = measure(|| {
        for (number, rows) in pages {
            writer.page(number, rows, peers);
        }
    });
    info.count_total / PAGES.unsigned_abs()
}

/// The text of a row that stands alone is shared from its first copy on, which takes one.
#[test]
fn a_row_on_the_bus_costs_one_allocation() {
    let allocations = allocations_of_a_page(Transport::Bus, 0);
    let page = PAGE_ROWS.unsigned_abs();
    assert!((page..=page + 4).contains(&allocations), "{allocations} for {page} rows");
}

/// And one for the command, however many it is for.
#[test]
fn a_row_for_a_hundred_peers_costs_two_allocations() {
    let allocations = allocations_of_a_page(Transport::None, 100);
    let page = 2 * PAGE_ROWS.unsigned_abs();
    assert!((page..=page + 4).contains(&allocations), "{allocations} for {PAGE_ROWS} rows");
}
