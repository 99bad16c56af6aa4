//! Streams: names and traits, tokens, sources, rows, pages, positions.

mod catalogue;
mod page;
mod positions;
mod rows;
mod source;
mod span;
mod token;

pub(crate) use self::catalogue::{is_known, static_name};
pub use self::{
    catalogue::{CATALOGUE, Order, StreamTraits, traits},
    page::{FetchError, LogError, Page},
    positions::Positions,
    rows::{Row, Rows},
    source::Source,
    span::Span,
    token::Token,
};
