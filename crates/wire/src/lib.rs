//! What the five vendor APIs look like on the wire: detection, signatures,
//! parameters and envelopes.
//!
//! Architecture invariant: knows the vendors' protocols, but no HTTP stack. It
//! takes method, path, raw query, raw headers and raw body, and returns bytes.
//! It does no I/O and reads no clock (the present instant is handed in), and
//! knows neither store nor product.
//!
//! The way of a request is downhill: [`Protocol::detect`], [`parse`], (the
//! caller looks up the secret of [`Signed::key_id`]), [`Signed::verify`],
//! [`Signed::decode`], then one of the `encode_` functions.
//!
//! Section numbers in comments are those of PROTOCOL.md.

pub mod contract;
mod crypto;
mod decode;
mod fault;
mod form;
mod generated;
mod json;
mod multipart;
mod protocol;
mod reply;
mod request;
pub mod sign;
mod signed;
pub mod types;

pub use contract::{Member, Operation, Param, Service, Type, find, operations, operations_of};
pub use decode::Call;
pub use fault::{Fault, Rejection};
pub use protocol::Protocol;
pub use reply::{
    Reply, SurfaceError, encode_rejection, encode_success, encode_surface_error, sae_message,
};
pub use request::RawRequest;
pub use signed::{Signed, parse, trace_id};
