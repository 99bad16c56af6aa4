//! The bodies of the fuzz targets on stable: over their corpora, and over random inputs.

mod core_inputs;
mod corpus;
mod random;
mod reference_follower;
