//! F5: own rows are never delivered. Known invariant I12.

use synrepl_core::stream::Source;

pub(super) fn check(instance: &str, source: &Source) -> Result<(), String> {
    if source.instance() == instance {
        return Err("rows or positions under its own name".to_owned());
    }
    Ok(())
}
