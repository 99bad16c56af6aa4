//! The built `synrepl` command: help, wrong flags and files, replay, following and serving.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

mod command {
    mod demo;
    mod flags;
    mod follow;
    mod page_server;
    mod program;
    mod redis;
    mod replay;
    mod serve;
    mod serve_killed;
    mod writer;
}
