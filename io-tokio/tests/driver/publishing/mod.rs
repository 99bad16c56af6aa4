//! A driver that writes a stream, against followers: bare sockets and drivers over direct TCP on
//! loopback, a scripted Redis server, and a real one. Every appended row reaches every follower
//! once and in order.

mod followers;
mod from_log;
mod peers;
mod raw;
mod redis;
mod writer;
