//! How a scenario is played: by whom, with which bug, and what is kept of it.

use crate::{
    handler::Handler,
    machine::{Cast, Shipped},
    planted::DriverBug,
};

/// How a scenario is played. The default is the shipped core, no application, no trace, up to the
/// first broken promise.
#[non_exhaustive]
pub struct Choice<'a> {
    /// Who plays the instances.
    pub cast: &'a dyn Cast,
    /// The application of the first follower.
    pub handler: Option<&'a mut dyn Handler>,
    /// Whether to record a trace.
    pub traced: bool,
    /// Whether to go on after a broken promise, to count all.
    pub to_the_end: bool,
    /// A bug of the simulated driver to have.
    pub planted: Option<DriverBug>,
}

impl Default for Choice<'_> {
    fn default() -> Self {
        Self { cast: &Shipped, handler: None, traced: false, to_the_end: false, planted: None }
    }
}
