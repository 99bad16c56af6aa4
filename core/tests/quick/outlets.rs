//! The bus and accepted peers side by side: they take turns, and rows go out that only one of them
//! can carry.

use crate::writer::{ME, NEWEST, on_bus_with, server_with};
use synrepl_core::wire::LINE_BYTES_MAX;

#[test]
fn when_the_bus_falls_behind_the_next_turn_is_the_peers_however_long_they_went_together() {
    for together in 1..=3 {
        let mut writer = on_bus_with(&[("s", 0)], |config| config.publish.log_rows_max = 1);
        writer.accept(0, NEWEST);
        for token in 1..=together {
            assert_eq!(writer.append("s", token, &["[]"]).len(), 2, "one read for both");
        }
        writer.lose();
        writer.append("s", together + 1, &["[]"]);
        writer.wait(10_000);
        writer.holds_reads = true;
        writer.connect();
        writer.append("s", together + 2, &["[2]"]);
        let mut rows = Vec::new();
        while !writer.reads.is_empty() {
            rows.extend(writer.answer_next());
        }
        rows.retain(|line| line.contains("RDATA"));
        let to_peer = format!("p0< RDATA s me {} [2]", together + 2);
        assert_eq!(rows[1], to_peer, "behind the one that was under way: {rows:?}");
    }
}

#[test]
fn a_row_goes_to_peers_up_to_the_limits_and_one_byte_more_is_too_long() {
    // The line also takes the names of stream and instance, and up to 32 bytes around them.
    let by_the_line = LINE_BYTES_MAX - "s".len() - ME.len() - 32;
    for (row_bytes_max, longest) in [(100, 100), (LINE_BYTES_MAX, by_the_line)] {
        let mut server = server_with(&[("s", 0)], |config| {
            config.publish.row_bytes_max = u32::try_from(row_bytes_max).expect("a small number")
        });
        server.accept(0, NEWEST);
        let row = |length: usize| format!("[\"{}\"]", "x".repeat(length - 4));
        let fits = row(longest);
        assert_eq!(server.append("s", 1, &[&fits]), [format!("p0< RDATA s me 1 {fits}")]);
        let too_long = server.append("s", 2, &[&row(longest + 1)]);
        assert_eq!(too_long, ["too long: s 2", "p0< POSITION s me 2 2"]);
    }
}
