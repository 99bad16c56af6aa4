//! The counters of a writer. Those of a follower are checked by the `stats` lines of the scenarios.

use crate::writer::{NEWEST, NOTHING, on_bus, on_bus_with};

#[test]
fn rows_to_the_bus_and_to_peers_are_counted_and_so_are_reads() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.accept(0, NEWEST);
    writer.accept(1, NEWEST);
    writer.append("s", 1, &["[1]", "[2]"]);
    writer.append("s", 2, &["[3]"]);
    let stats = writer.stats();
    assert_eq!((stats.rows_published, stats.rows_broadcast, stats.log_reads), (3, 3, 2));
    assert_eq!((stats.log_reads_failed, stats.peers_now, stats.peers_cut_off), (0, 2, 0));
}

#[test]
fn reads_that_fail_are_counted() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    writer.fail_next();
    let stats = writer.stats();
    assert_eq!((stats.log_reads, stats.log_reads_failed, stats.rows_published), (1, 1, 0));
}

#[test]
fn what_peers_say_is_counted_and_who_is_refused_is_counted_as_cut_off() {
    let mut writer = on_bus(&[]);
    writer.accept(0, NEWEST);
    writer.says(0, "NAME worker1");
    writer.says(0, "PING 1");
    let before = writer.stats();
    assert_eq!((before.commands, before.malformed, before.peers_now), (2, 0, 1));
    writer.says(0, "NONSENSE 1");
    let stats = writer.stats();
    assert_eq!((stats.commands, stats.malformed, stats.peers_cut_off), (2, 1, 1));
    writer.leaves(0);
    assert_eq!(writer.stats().peers_now, 0);
}

#[test]
fn stored_federation_rows_are_told_once_every_sender_has_them() {
    let mut writer = on_bus_with(&[("federation", 5)], |config| {
        config.users.federation_senders = ["fed1", "fed2"].map(str::to_owned).into()
    });
    assert_eq!(writer.hear("FEDERATION_ACK fed1 3"), NOTHING);
    assert_eq!(writer.hear("FEDERATION_ACK fed2 4"), ["FederationAcked { token: Token(3) }"]);
    assert_eq!(writer.hear("FEDERATION_ACK fed1 6"), NOTHING, "6 was never sent");
}
