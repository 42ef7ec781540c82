//! The seam between the listeners and vendors' calls.

use std::future::Future;
use std::pin::Pin;

use backout_api::front::{CallLog, Front};
use backout_wire::{Protocol, RawRequest, Reply};

/// What [`VendorHandler::handle`] returns.
pub type VendorFuture<'a> = Pin<Box<dyn Future<Output = Option<(Reply, CallLog)>> + Send + 'a>>;

/// Answers vendors' calls. Everything that is no native path is offered to it.
pub trait VendorHandler: Send + Sync + 'static {
    /// How many bytes of the body are read, judged by the head alone (the body
    /// is empty here).
    fn body_limit(&self, head: RawRequest<'_>) -> usize;

    /// Answers a call; `None` when it is not a vendor's. When `too_large`, the
    /// body is cut at the limit, and the connection is closed after the answer.
    fn handle<'a>(&'a self, raw: RawRequest<'a>, too_large: bool) -> VendorFuture<'a>;
}

impl VendorHandler for Front {
    fn body_limit(&self, head: RawRequest<'_>) -> usize {
        // Only the one protocol that is told by its form needs the body to be
        // told.
        Protocol::detect(&head)
            .unwrap_or(Protocol::TencentV1)
            .body_limit(head.method)
    }

    fn handle<'a>(&'a self, raw: RawRequest<'a>, too_large: bool) -> VendorFuture<'a> {
        Box::pin(async move {
            let protocol = Protocol::detect(&raw)?;
            Some(Front::handle(self, protocol, raw, too_large).await)
        })
    }
}
