// Made by `cargo run -p xtask -- codegen`, do not edit.
//! Tables and types made from `contract/*.json`.

pub(crate) mod cdb;
pub(crate) mod cdb_types;
pub(crate) mod cdb_v2;
pub(crate) mod common;
pub(crate) mod dlc;
pub(crate) mod dlc_types;
pub(crate) mod lighthouse;
pub(crate) mod lighthouse_types;
pub(crate) mod sae;
pub(crate) mod sae_types;
