//! The built `synrepl` command: help, wrong flags and files, replay, and following a Redis server.

mod command {
    mod flags;
    mod follow;
    mod page_server;
    mod program;
    mod redis;
    mod replay;
}
