//! The options of a run: which machines play the instances, which bug is planted, and whether a
//! trace is recorded.

use crate::{
    handler::Handler,
    machine::{Cast, Shipped},
    planted::DriverBug,
};

/// The options of a run. By default the shipped core plays every instance, without an application
/// or a trace, up to the first broken promise.
#[non_exhaustive]
pub struct Choice<'a> {
    /// Makes the machines that play the instances.
    pub cast: &'a dyn Cast,
    /// The application of the first follower, if one is to take part.
    pub handler: Option<&'a mut dyn Handler>,
    /// Whether a trace is recorded.
    pub traced: bool,
    /// Whether the run goes on after a broken promise, so that all are reported.
    pub to_the_end: bool,
    /// The bug that is planted in the simulated driver.
    pub planted: Option<DriverBug>,
}

impl Default for Choice<'_> {
    fn default() -> Self {
        Self { cast: &Shipped, handler: None, traced: false, to_the_end: false, planted: None }
    }
}
