//! The built `synrepl` command, run as a process: help, refused flags and files, `demo`, `follow`,
//! `serve` and `replay`. `follow` and `serve` run against a real redis-server, and an HTTP listener
//! or followers of the test.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

mod demo;
mod flags;
mod follow;
mod program;
mod redis;
mod replay;
mod serve;
mod serve_killed;
mod stuck;
mod writer;
