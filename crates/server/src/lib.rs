//! Listeners: plain and TLS, vendors' calls and the native API.
//!
//! ```text
//! socket -> head -> vendor's call?  -> VendorHandler -> bytes
//!                -> native path?    -> who calls -> router -> api::native -> JSON
//!                -> neither         -> 404 that says where to look
//! ```
//!
//! Architecture invariants:
//! - only this crate knows HTTP; it hands raw method, path, query, header
//!   values and body down, and gets bytes, or typed answers, back;
//! - `Host` is never parsed, and nothing is decoded before a signature is
//!   checked;
//! - every queue, buffer, wait and number of connections is bounded;
//! - every answer's request id is in the [`RequestLog`].

mod body;
mod dispatch;
mod listener;
#[expect(
    unused_qualifications,
    reason = "utoipa writes out paths to types that are in scope"
)]
mod native;
mod request_log;
mod stream;
mod vendor;

pub use listener::{Addresses, Bound, Config, Error, Server, Tls};
pub use native::openapi;
pub use request_log::{LogError, RequestLog};
pub use vendor::{VendorFuture, VendorHandler};

use std::sync::Arc;

use backout_api::native::Native;

/// What is served.
#[derive(Clone)]
pub struct App {
    /// The native API.
    pub native: Arc<Native>,
    /// Vendors' calls.
    pub vendor: Arc<dyn VendorHandler>,
    /// Where every answer is written down. Closed by [`Server::run`].
    pub log: RequestLog,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}
