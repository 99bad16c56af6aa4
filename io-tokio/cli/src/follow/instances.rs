//! The `--instance` flags, checked together. Flags enter; the names to fetch from leave, or a
//! failure that says which two of them cannot both be meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::{exit::Failure, flags::Instance};

/// The main process's name in Synapse's `instance_map`.
const MAIN_IN_MAP: &str = "main";
/// Its name on the wire.
const MAIN_ON_WIRE: &str = "master";

/// Checks that every instance has one listener and every listener one instance, and returns the
/// names.
pub(super) fn names(instances: &[Instance]) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    let mut by_url: BTreeMap<&str, &str> = BTreeMap::new();
    for Instance { name, url } in instances {
        if name == MAIN_IN_MAP {
            return Err(Failure::usage(format!(
                "--instance {MAIN_IN_MAP}: the main process, which instance_map calls \
                 {MAIN_IN_MAP}, writes as {MAIN_ON_WIRE}; write --instance {MAIN_ON_WIRE}=URL"
            )));
        }
        if !names.insert(name.clone()) {
            return Err(Failure::usage(format!(
                "--instance {name}: is given twice; an instance has one replication listener here"
            )));
        }
        if let Some(other) = by_url.insert(url.trim_end_matches('/'), name) {
            return Err(Failure::usage(format!(
                "--instance {name}: has the URL of --instance {other}; each instance answers only \
                 for what it writes, at a listener of its own"
            )));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: &[(&str, &str)]) -> Option<String> {
        let instances: Vec<Instance> = flags
            .iter()
            .map(|(name, url)| Instance { name: (*name).to_owned(), url: (*url).to_owned() })
            .collect();
        names(&instances).err().map(|failure| failure.to_string())
    }

    #[test]
    fn an_instance_has_one_listener_and_a_listener_one_instance() {
        assert_eq!(refusal(&[("master", "http://a"), ("p1", "http://b")]), None);
        for (flags, expected) in [
            (&[("p1", "http://a"), ("p1", "http://b")][..], "is given twice"),
            (&[("p1", "http://a"), ("p2", "http://a/")], "has the URL of --instance p1"),
            (&[("main", "http://a")], "write --instance master=URL"),
            (&[("master", "http://a"), ("main", "http://a")], "write --instance master=URL"),
        ] {
            let said = refusal(flags).unwrap_or_default();
            assert!(said.contains(expected), "{flags:?}: {said}");
        }
    }
}
