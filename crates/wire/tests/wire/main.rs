//! The wire from outside: official clients' calls, refusals, envelopes and
//! properties.

mod common;
mod envelopes;
mod parameters;
mod properties;
mod refusals;
mod vectors;
