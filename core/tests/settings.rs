//! What settings are refused, and by which name.

use std::time::Duration;

use synrepl_core::{Backoff, Config, stream::Token};

#[test]
fn a_name_that_the_wire_cannot_carry_is_refused() {
    let setting = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.validate().err().map(|error| error.setting)
    };
    assert_eq!(setting(&|_| {}), None);
    for name in ["a b", "a\u{7}b"] {
        assert_eq!(setting(&|config| config.instance = name.to_owned()), Some("instance"));
    }
    for name in ["", "a b", "a\u{7}b"] {
        assert_eq!(
            setting(&|config| {
                config.own_streams.insert(name.to_owned(), Token::START);
            }),
            Some("own_streams")
        );
        assert_eq!(setting(&|config| config.instance_id = name.into()), Some("instance_id"));
    }
}

#[test]
fn as_many_own_streams_as_are_allowed_may_be_named() {
    let mut config = Config::default();
    config.own_streams_max = 2;
    for name in ["a", "b"] {
        config.own_streams.insert(name.to_owned(), Token::START);
    }
    assert!(config.validate().is_ok());
    config.own_streams.insert("c".to_owned(), Token::START);
    assert_eq!(config.validate().expect_err("three are too many").setting, "own_streams");
}

#[test]
fn a_delay_is_at_least_a_millisecond_and_the_longest_is_not_below_the_first() {
    let ok = |first, max| {
        let mut config = Config::default();
        config.fetch_retry = Backoff::new(Duration::from_micros(first), Duration::from_micros(max));
        config.validate().is_ok()
    };
    assert!(ok(1_000, 1_000));
    assert!(!ok(999, 5_000));
    assert!(!ok(5_000, 4_999));
}
