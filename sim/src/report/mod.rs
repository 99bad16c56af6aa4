//! Reports of a run for readers: a time line in plain text, and a page with a space-time diagram.
//!
//! Both are made from a [`Trace`](crate::trace::Trace) alone, so a saved trace can be shown later,
//! elsewhere.

mod messages;
mod page;
#[cfg(test)]
mod sample;
mod timeline;
mod words;

pub(crate) use self::words::event_words;
pub use self::{
    page::{Page, mode_name},
    timeline::timeline,
};
