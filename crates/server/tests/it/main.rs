//! The server from outside: bytes in, bytes out.

mod house;
mod http;
mod native;
mod openapi;
mod tls;
