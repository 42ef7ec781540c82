//! Accounts: who may call, with which key, how often, and for whose resources.
//!
//! - [`Accounts`] keeps accounts and their keys in the store, and answers on
//!   the hot path of every signed call ([`Accounts::authenticate_key`]).
//! - [`Limiter`] and [`Nonces`] bound how often a call is let through, and that
//!   it is let through once.
//! - [`MasterKey`] seals every secret at rest and is kept apart from the state.
//!
//! There are three kinds of accounts. `admin` is made at the first start and
//! manages all others. An *independent* account has resources of its own and
//! full rights over them. A *sub-account* acts on the resources of its parent,
//! within its policy; it has no sub-accounts itself.
//!
//! Architecture invariants:
//! - this crate knows no protocol and no product: it hands out a secret to
//!   verify with, and says whether a policy allows an action on resources whose
//!   spellings the caller gives;
//! - no secret reaches a log, an error text or a `Debug` print: [`Secret`],
//!   [`MasterKey`] and what contains them print as `(..)`;
//! - nothing here reads the environment, a clock or the system's randomness by
//!   itself;
//! - no lock is held across an `await`.

mod cache;
mod error;
mod limiter;
mod master;
mod model;
mod nonces;
mod persistence;
mod secret;
mod service;

pub use error::{Error, KeyError};
pub use limiter::{DEFAULT_CALLS, Limiter, Limits, Throttled, WINDOW_MS, WINDOWS_MAX};
pub use master::{MasterKey, MasterKeyError};
pub use model::{
    Account, KeyInfo, KeyKind, KeyMaterial, KeyPair, KeyStatus, LIFETIME_S_MAX, LIFETIME_S_MIN,
    NAME_CHARS_MAX, PAGE_MAX, PERMANENT_KEYS_MAX, Permission, Principal, SUB_ACCOUNTS_MAX,
    TEMPORARY_KEYS_MAX,
};
pub use nonces::{NONCES_MAX, NonceError, Nonces, Unique};
pub use persistence::{MIGRATIONS, holds_secrets};
pub use secret::{SECRET_ID_PREFIX, SECRET_KEY_CHARS, Secret, TOKEN_CHARS, Vault, VaultError};
pub use service::{ADMIN, Accounts};
