//! The server from outside: bytes in, bytes out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers outside of #[test] functions: a test that cannot go on must fail"
)]

mod engines;
mod faults;
mod house;
mod http;
mod native;
mod native_servers;
mod openapi;
mod tls;
