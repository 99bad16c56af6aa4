//! Syncing users: the reports of a node about its own users, and the account of a presence writer
//! of the reports of others.
#![expect(clippy::wildcard_enum_match_arm, reason = "only a few kinds matter here")]

use std::time::Duration;

use crate::bench::{Bench, command};
use synrepl_core::{
    Action, ClearedReason, Config, Event, Input, SyncOrigin, Warning,
    wire::{Command, Dialect, encode},
};

struct World {
    bench: Bench,
    said: Vec<String>,
    events: Vec<Event>,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.instance_id = "aBcDe".into();
        change(&mut config);
        let mut world = Self { bench: Bench::new(config), said: vec![], events: vec![] };
        world.drain();
        world
    }

    fn connected(change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::new(change);
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.handle(self.bench.made());
    }

    fn cut(&mut self) {
        self.handle(self.bench.lost());
    }

    fn handle(&mut self, input: Input) {
        self.bench.hand(input);
        self.drain();
    }

    fn hear(&mut self, line: &str) {
        self.handle(Input::Received { conn: self.bench.conn(), command: command(line) });
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.bench.now + Duration::from_secs(seconds);
        while self.bench.is_due_by(end) {
            self.handle(Input::Tick);
        }
    }

    fn sync(&mut self, user: &'static str, syncing: bool) {
        let at_ms = 1_000 + i64::try_from(self.bench.now.as_micros() / 1_000).expect("small");
        let (user, device) = (user.into(), Some("DEV".into()));
        self.handle(Input::Syncing { user, device, syncing, at_ms });
    }

    fn drain(&mut self) {
        while let Some(action) = self.bench.poll() {
            match action {
                Action::Send { command: Command::Replicate(_), .. } => {}
                Action::Send { command, .. } => {
                    let mut line = bytes::BytesMut::new();
                    encode(&command, Dialect::LATEST, &mut line).expect("it can be said");
                    self.said.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
                }
                Action::Notify(event) => self.events.push(event),
                Action::Close { .. } => self.said.push("closed".to_owned()),
                _ => {}
            }
        }
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// What the presence writer learned, in short.
    fn learned(&mut self) -> Vec<String> {
        let short = |event| match event {
            Event::UserSyncing { sync, .. } => Some(format!("{} {}", sync.user, sync.syncing)),
            Event::SyncingCleared { origin, users, reason } => {
                let origin = match origin {
                    SyncOrigin::Instance(id) => id.to_string(),
                    SyncOrigin::Connection(_) => "connection".to_owned(),
                    _ => unreachable!("no other origin is known"),
                };
                Some(format!("{origin} cleared {users} {reason:?}"))
            }
            Event::Command { command } => Some(command.name().to_owned()),
            Event::Warning(Warning::TooManySyncing { user }) => Some(format!("{user} too many")),
            _ => None,
        };
        std::mem::take(&mut self.events).into_iter().filter_map(short).collect()
    }
}

#[test]
fn a_sync_is_said_at_once_and_its_end_only_when_the_user_stays_away() {
    let mut world = World::connected(|_| {});
    world.sync("@a:x", true);
    assert_eq!(world.said(), ["USER_SYNC aBcDe @a:x DEV start 1000"]);
    world.sync("@a:x", false);
    world.pass(9);
    world.sync("@a:x", true);
    world.pass(20);
    assert_eq!(world.said(), [""; 0], "the user came back in time");
    world.sync("@a:x", false);
    world.pass(9);
    assert_eq!(world.said(), [""; 0]);
    world.pass(1);
    assert_eq!(world.said(), ["USER_SYNC aBcDe @a:x DEV end 30000"]);
    world.pass(1_000);
    assert_eq!(world.said(), [""; 0], "who is gone is not named again");
}

#[test]
fn users_who_leave_one_after_the_other_end_one_after_the_other() {
    let mut world = World::connected(|_| {});
    for user in ["@a:x", "@b:x"] {
        world.sync(user, true);
    }
    world.said();
    world.sync("@a:x", false);
    world.pass(4);
    world.sync("@b:x", false);
    world.pass(6);
    assert_eq!(world.said(), ["USER_SYNC aBcDe @a:x DEV end 1000"]);
    world.pass(4);
    assert_eq!(world.said(), ["USER_SYNC aBcDe @b:x DEV end 5000"]);
}

#[test]
fn overlapping_syncs_of_one_device_end_with_the_last() {
    let mut world = World::connected(|_| {});
    for syncing in [true, true, false] {
        world.sync("@a:x", syncing);
    }
    world.pass(60);
    assert_eq!(world.said().len(), 1, "one is still under way");
    world.sync("@a:x", false);
    world.pass(10);
    assert!(world.said()[0].contains(" end "));
}

#[test]
fn every_new_connection_hears_of_all_who_sync() {
    let mut world = World::new(|_| {});
    world.sync("@b:x", true);
    world.sync("@a:x", true);
    assert_eq!(world.said(), [""; 0], "nobody listens yet");
    world.connect();
    let all = ["USER_SYNC aBcDe @a:x DEV start 1000", "USER_SYNC aBcDe @b:x DEV start 1000"];
    assert_eq!(world.said(), all);
    world.cut();
    world.pass(10);
    world.connect();
    assert_eq!(world.said(), all);
}

#[test]
fn a_user_who_stays_is_named_again_before_the_others_forget_us() {
    let mut world = World::connected(|_| {});
    world.sync("@a:x", true);
    world.said();
    world.pass(299);
    assert_eq!(world.said(), ["USER_SYNC aBcDe @a:x DEV start 1000"]);
}

#[test]
fn an_orderly_shutdown_takes_everything_back_before_it_closes() {
    let mut world = World::connected(|_| {});
    world.sync("@a:x", true);
    world.said();
    world.handle(Input::Shutdown);
    assert_eq!(world.said(), ["CLEAR_USER_SYNC aBcDe", "closed"]);
}

#[test]
fn who_never_spoke_of_users_takes_nothing_back() {
    let mut world = World::connected(|_| {});
    world.handle(Input::Shutdown);
    assert_eq!(world.said(), ["closed"]);
}

#[test]
fn an_observer_says_nothing_of_its_users() {
    let mut world = World::connected(|config| config.observe_only = true);
    world.sync("@a:x", true);
    world.sync("@a:x", false);
    world.pass(600);
    world.handle(Input::Shutdown);
    assert_eq!(world.said(), ["closed"]);
}

#[test]
fn users_beyond_the_limit_are_refused_with_a_warning() {
    let mut world = World::connected(|config| {
        config.users.presence_writer = true;
        config.users.syncing_users_max = 1;
    });
    world.sync("@a:x", true);
    world.sync("@b:x", true);
    assert_eq!(world.said().len(), 1);
    assert_eq!(world.learned(), ["@b:x too many"]);
    world.hear("USER_SYNC other @c:x DEV start 1");
    world.hear("USER_SYNC other @d:x DEV start 1");
    assert_eq!(world.learned(), ["@c:x true", "@d:x too many"]);
    world.hear("USER_SYNC other @c:x DEV end 1");
    world.hear("USER_SYNC other @d:x DEV start 1");
    assert_eq!(world.learned(), ["@c:x false", "@d:x true"], "an end makes room");
}

#[test]
fn an_instance_that_stops_gives_its_room_to_others() {
    let mut world = World::connected(|config| {
        config.users.presence_writer = true;
        config.users.syncing_users_max = 2;
    });
    world.hear("USER_SYNC one @a:x DEV start 1");
    world.hear("USER_SYNC one @b:x DEV start 1");
    world.hear("USER_SYNC one @b:x DEV start 2");
    world.hear("USER_SYNC one @c:x DEV end 2");
    assert_eq!(
        world.learned(),
        ["@a:x true", "@b:x true", "@b:x true"],
        "who is known needs no room, and who ends none"
    );
    world.hear("CLEAR_USER_SYNC one");
    world.hear("USER_SYNC two @c:x DEV start 3");
    world.hear("USER_SYNC two @d:x DEV start 3");
    world.hear("USER_SYNC two @e:x DEV start 3");
    assert_eq!(
        world.learned(),
        ["one cleared 2 Stopped", "@c:x true", "@d:x true", "@e:x too many"]
    );
}

#[test]
fn an_instance_that_falls_silent_has_no_syncing_users_any_more() {
    let mut world = World::connected(|config| config.users.presence_writer = true);
    world.hear("USER_SYNC other @a:x DEV start 1");
    world.hear("USER_SYNC other @b:x None start 1");
    world.pass(299);
    world.hear("USER_SYNC other @a:x DEV start 2");
    world.pass(299);
    assert_eq!(world.learned(), ["@a:x true", "@b:x true", "@a:x true"]);
    world.pass(1);
    assert_eq!(world.learned(), ["other cleared 2 Silent"]);
}

#[test]
fn an_instance_that_stops_takes_its_users_back_and_only_its_own() {
    let mut world = World::connected(|config| config.users.presence_writer = true);
    world.hear("USER_SYNC one @a:x DEV start 1");
    world.hear("USER_SYNC two @a:x DEV start 1");
    world.hear("CLEAR_USER_SYNC one");
    world.hear("CLEAR_USER_SYNC one");
    assert_eq!(
        world.learned(),
        ["@a:x true", "@a:x true", &format!("one cleared 1 {:?}", ClearedReason::Stopped)]
    );
    world.pass(300);
    assert_eq!(world.learned(), ["two cleared 1 Silent"]);
}

#[test]
fn in_the_oldest_dialect_the_end_of_the_connection_takes_its_users_back() {
    let mut world = World::connected(|config| config.users.presence_writer = true);
    world.hear("USER_SYNC @a:x start 1");
    world.hear("USER_SYNC other @b:x DEV start 1");
    world.cut();
    assert_eq!(
        world.learned(),
        ["@a:x true", "@b:x true", "connection cleared 1 Disconnected"],
        "a process outlives the connection by which we heard of it"
    );
}

#[test]
fn the_echo_of_what_we_said_of_our_own_users_is_ignored() {
    let mut world = World::connected(|config| config.users.presence_writer = true);
    world.hear("USER_SYNC aBcDe @a:x DEV start 1");
    assert_eq!(world.learned(), [""; 0]);
    assert_eq!(world.bench.node.stats().echoes, 1);
}

#[test]
fn who_is_not_the_presence_writer_gets_the_commands_as_they_are() {
    let mut world = World::connected(|_| {});
    world.hear("USER_SYNC other @a:x DEV start 1");
    world.hear("CLEAR_USER_SYNC other");
    world.pass(600);
    assert_eq!(world.learned(), ["USER_SYNC", "CLEAR_USER_SYNC"]);
}

#[test]
fn an_end_that_comes_while_there_is_no_connection_is_said_on_the_next() {
    let mut world = World::connected(|_| {});
    world.sync("@a:x", true);
    world.sync("@b:x", true);
    world.cut();
    world.sync("@a:x", false);
    world.sync("@c:x", true);
    world.sync("@c:x", false);
    world.pass(20);
    world.said();
    world.connect();
    let said = world.said();
    assert_eq!(said.len(), 2, "nobody ever heard of @c: {said:?}");
    assert!(said[0].starts_with("USER_SYNC aBcDe @a:x DEV end"), "{said:?}");
    assert!(said[1].starts_with("USER_SYNC aBcDe @b:x DEV start"), "{said:?}");
    world.cut();
    world.pass(20);
    world.said();
    world.connect();
    assert_eq!(world.said().len(), 1, "@a is forgotten now");
}

#[test]
fn what_is_said_of_users_behind_the_shutdown_goes_nowhere() {
    let mut world = World::connected(|_| {});
    world.sync("@a:x", true);
    world.handle(Input::Shutdown);
    world.said();
    world.sync("@a:x", false);
    world.sync("@b:x", true);
    assert_eq!(world.said(), [""; 0]);
    assert_eq!(world.bench.node.poll_timeout(), None);
}

#[test]
fn a_report_that_says_nothing_new_is_a_sign_of_life() {
    let mut world = World::connected(|config| config.users.presence_writer = true);
    world.hear("USER_SYNC proc1 @a:x DEV start 1");
    world.pass(299);
    world.hear("USER_SYNC proc1 @nobody:x DEV end 1");
    world.pass(2);
    assert_eq!(world.learned(), ["@a:x true"], "it spoke two seconds ago");
}

#[test]
fn an_origin_whose_last_user_is_gone_takes_no_room() {
    let mut world = World::connected(|config| {
        config.users.presence_writer = true;
        config.users.syncing_users_max = 2;
    });
    for number in 0..100 {
        world.hear(&format!("USER_SYNC proc{number} @a:x DEV start 1"));
        world.hear(&format!("USER_SYNC proc{number} @a:x DEV end 2"));
    }
    let waits_for = world.bench.node.poll_timeout().map(|at| at.as_micros());
    assert!(waits_for.is_none_or(|at| at < 300_000_000), "none of them is watched: {waits_for:?}");
    let long = "x".repeat(300);
    world.learned();
    world.hear(&format!("USER_SYNC proc {long} DEV start 1"));
    world.hear(&format!("USER_SYNC proc {long}y DEV start 1"));
    let learned = world.learned();
    assert!(learned[0].ends_with(" true"), "nothing is left of the others: {learned:?}");
    assert!(learned[1].ends_with("too many"), "names have a limit as well: {learned:?}");
}
