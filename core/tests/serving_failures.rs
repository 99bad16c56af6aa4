//! Logs that cannot be read for a while, and peers of the oldest dialect that wait for them.

mod writer;

use synrepl_core::wire::Dialect;
use writer::{Writer, config};

const NOTHING: [&str; 0] = [];

#[test]
fn a_log_that_is_read_for_one_peer_again_is_read_for_all() {
    let mut writer = Writer::on_bus(config(&[("s", 3)]));
    for token in 1..=3 {
        writer.write("s", token, &["[]"]);
    }
    writer.holds_reads = true;
    for peer in [0, 1] {
        writer.accept(peer, Dialect::V0_23);
        writer.says(peer, "REPLICATE s 0");
    }
    // And for the bus.
    writer.append("s", 4, &["[]"]);
    writer.fail_next();
    let to_one = writer.answer_next();
    assert!(to_one.iter().any(|said| said.contains("RDATA s 3 []")), "{to_one:?}");
    writer.answer_next();
    let to_other = writer.answer_next();
    assert!(to_other.iter().any(|said| said.contains("RDATA s 3 []")), "{to_other:?}");
}

#[test]
fn a_log_that_is_tried_again_for_the_outlets_is_read_for_a_peer_once_that_went_well() {
    let mut writer = Writer::on_bus(config(&[("s", 0)]));
    writer.holds_reads = true;
    assert_eq!(writer.append("s", 1, &["[1]"]), ["read q1 s 0..1"]);
    writer.fail_next();
    writer.accept(0, Dialect::V0_23);
    assert_eq!(writer.wait(200), ["read q2 s 0..1"]);
    assert_eq!(writer.says(0, "REPLICATE s 0"), NOTHING, "one try is enough");
    assert_eq!(writer.answer_next(), ["c1< RDATA s me 1 [1]", "read q3 s 0..1"]);
    assert_eq!(writer.answer_next(), ["p0< RDATA s 1 [1]", "p0< POSITION s 1"]);
}
