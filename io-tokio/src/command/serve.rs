//! `synrepl serve`.

mod intake;
mod lines;
