//! Streams: names and traits, tokens, spans, sources, rows, pages, positions, anchors.
//!
//! These are the values that all other modules share; none of them does anything by itself. A
//! [`Source`] is the unit of order (F1), of catch-up (F2) and of position (F6).

mod anchors;
mod catalogue;
mod digest;
mod page;
mod positions;
mod rows;
mod source;
mod span;
mod token;

pub use self::{
    anchors::Anchor,
    catalogue::{CATALOGUE, Compared, Order, StreamTraits, traits},
    page::{FetchError, LogError, Page},
    positions::Positions,
    rows::{Row, Rows},
    source::Source,
    span::Span,
    token::Token,
};
pub(crate) use self::{
    anchors::{Anchors, Finding},
    catalogue::{is_known, static_name},
};
