//! `synrepl follow` behind a real redis-server, on good and on bad input; and the places of the
//! source that take a secret's text.

mod bad_input;
mod capture_through_redis;
mod secrets;
