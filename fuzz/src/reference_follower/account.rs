//! The account of the core's deliveries, and its comparison with the plain follower's.

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::{
    Event,
    stream::{Order, Positions, Row, Source, Span, Token, traits},
};

use super::{
    naive::{Delivered, Naive},
    world::{World, named},
    writers::Name,
};

pub(super) type Verdict = Result<(), String>;

/// The deliveries of one source since its last reset.
#[derive(Default)]
struct Deliveries {
    delivered: Delivered,
    gaps: Vec<(Token, Token)>,
    /// The position in the source's last event.
    position: Option<Token>,
    resets: usize,
}

#[derive(Default)]
pub(super) struct Account(BTreeMap<Name, Deliveries>);

impl Account {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others deliver nothing")]
    pub(super) fn on_event(&mut self, event: &Event, world: &World) -> Verdict {
        match event {
            Event::Rows { source, token, rows, .. } => {
                let heard = self.0.entry(named(source)).or_default();
                heard.delivered.push((*token, rows.to_vec()));
            }
            Event::Gap { source, span: Span { from, upto }, reason } => {
                let name = named(source);
                if !world.may_gap.contains(&name) {
                    return Err(format!("F2: {reason:?} of {name:?}, which can be fetched"));
                }
                let heard = self.0.entry(name.clone()).or_default();
                let goes_back = traits(&name.0).order == Order::Loose;
                if heard.position.is_some_and(|position| *from < position) && !goes_back {
                    return Err(format!(
                        "F2: a gap of {name:?} over what was delivered, from {from}"
                    ));
                }
                heard.gaps.push((*from, *upto));
            }
            Event::Reset { source, .. } => {
                let name = named(source);
                if !traits(&name.0).resettable {
                    return Err(format!("F10: {name:?} starts over"));
                }
                let heard = self.0.entry(name).or_default();
                *heard = Deliveries { resets: heard.resets + 1, ..Deliveries::default() };
            }
            _ => {}
        }
        if let Some((source, position)) = event.position() {
            self.0.entry(named(source)).or_default().position = Some(position);
        }
        Ok(())
    }

    /// Checks the deliveries between two inputs. The plain follower reads the log at once, the core
    /// fetches and waits, so its deliveries are a prefix of the plain follower's.
    pub(super) fn check_behind(&self, naive: &Naive) -> Verdict {
        for (name, heard) in &self.0 {
            let Some(source) = naive.sources.get(name) else {
                return Err(format!("F5: events of {name:?}, which is not followed"));
            };
            if heard.resets > source.resets {
                return Err(format!("F10: {} resets of {name:?}", heard.resets));
            }
            // Rows that were fetched across a restart belong to no epoch until the reset is known.
            let of = traits(&name.0);
            if of.order != Order::Rising || of.resettable || of.shared_fetch {
                continue;
            }
            let expected = outside(&source.delivered, &heard.gaps);
            let found = outside(&heard.delivered, &heard.gaps);
            if !expected.starts_with(&found) {
                return Err(format!("{name:?}: {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }

    /// Checks that the deliveries are the same once every fetch is answered, without faults.
    pub(super) fn check_same(&self, naive: &Naive, positions: &Positions) -> Verdict {
        self.check_behind(naive)?;
        for (name, source) in &naive.sources {
            let of = traits(&name.0);
            // A burst that nothing closes counts as complete once it has been quiet for a while.
            let burst = source.delivered.iter().filter(|_| of.order == Order::Bursts);
            let expected = burst.map(|(token, _)| *token).max().max(source.position);
            let position = positions.get(&Source::new(&name.0, &name.1));
            if position != expected {
                return Err(format!("{name:?} at {position:?}, not {expected:?}"));
            }
            let nothing = Deliveries::default();
            let heard = self.0.get(name).unwrap_or(&nothing);
            let expected = outside(&source.delivered, &heard.gaps);
            let found = outside(&heard.delivered, &heard.gaps);
            let same = match of.order {
                Order::Rising if of.shared_fetch => self.has_shared(&name.0, &expected),
                Order::Rising => expected == found,
                // The order is free, and each row comes once.
                Order::Bursts => flat(&expected) == flat(&found),
                // Each row comes at least once, and older rows may come where a source starts.
                Order::Loose | Order::UnclosedBursts | _ => {
                    flat(&expected).iter().all(|row| flat(&found).contains(row))
                }
            };
            if !same {
                return Err(format!("{name:?}: {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }

    /// Returns whether every row came, once, under any writer's name, or lies in a gap of any
    /// writer.
    fn has_shared(&self, stream: &str, expected: &Delivered) -> bool {
        let of_stream = || self.0.iter().filter(|((of, _), _)| of == stream).map(|(_, of)| of);
        let all: Vec<_> = of_stream().flat_map(|heard| &heard.delivered).collect();
        let gaps: Vec<_> = of_stream().flat_map(|heard| heard.gaps.clone()).collect();
        let rows: BTreeSet<_> = all.iter().flat_map(|(_, rows)| rows).collect();
        let count: usize = all.iter().map(|(_, rows)| rows.len()).sum();
        rows.len() == count && outside(expected, &gaps).iter().all(|set| all.contains(&set))
    }
}

/// Returns the deliveries outside all gaps.
fn outside(delivered: &Delivered, gaps: &[(Token, Token)]) -> Delivered {
    let in_gap = |token: Token| gaps.iter().any(|(from, upto)| *from < token && token <= *upto);
    delivered.iter().filter(|(token, _)| !in_gap(*token)).cloned().collect()
}

fn flat(delivered: &Delivered) -> Vec<(Token, &Row)> {
    let mut all: Vec<_> =
        delivered.iter().flat_map(|(token, rows)| rows.iter().map(|row| (*token, row))).collect();
    all.sort();
    all
}
