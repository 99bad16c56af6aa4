//! Streams: names and traits, tokens, sources, rows, pages, positions.

mod catalogue;
mod page;
mod positions;
mod rows;
mod source;
mod token;
pub mod typed;

pub(crate) use self::catalogue::{is_known, static_name};
pub use self::{
    catalogue::{CATALOGUE, Order, StreamTraits, traits, traits_on},
    page::{FetchError, LogError, Page},
    positions::Positions,
    rows::{Row, Rows},
    source::Source,
    token::Token,
};
