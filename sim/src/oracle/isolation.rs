//! F8: nothing that happens on one source changes what is delivered on another. Known invariants
//! I6 and I7.

use synrepl_core::stream::Source;

/// `about` is the source that the present input concerns, if it concerns one.
pub(super) fn check(about: Option<&Source>, source: &Source) -> Result<(), String> {
    match about {
        Some(about) if about != source => {
            Err(format!("was told something because of what happened on {about}"))
        }
        _ => Ok(()),
    }
}
