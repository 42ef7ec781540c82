//! The fault switch: faults on demand, so that runbooks can be tested.
//!
//! A [`Rule`] lets calls be answered with an error of their own, or a step of a
//! job fail, for one owner of resources, so often and so long as it says.
//! [`Faults`] keeps the rules in the store, where every process that shares it
//! finds them.
//!
//! Architecture invariants:
//! - this crate knows no vendor and no product: actions, codes, procedures and
//!   resources are opaque texts. Whether a code is one that an action may
//!   answer is for the surface to check, before it adds a rule;
//! - a rule of an owner touches that owner's calls and jobs only;
//! - a rule that may be used N times is used N times over all processes: its
//!   use is counted by one statement in the store;
//! - where there is no rule, asking costs two loads of an atomic, and twice a
//!   second one look at the store;
//! - it changes nothing in the world: a call that is answered by a rule does
//!   nothing, a step that fails by one fails as any other does.

mod error;
mod model;
mod persistence;
mod service;

pub use error::Error;
pub use model::{
    ACTION_BYTES_MAX, CODE_BYTES_MAX, COUNT_MAX, Hit, LASTS_S_MAX, MESSAGE_CHARS_MAX, NewRule,
    RESOURCE_BYTES_MAX, RULES_MAX, Rule, State, What,
};
pub use persistence::{MIGRATIONS, forget_owner};
pub use service::{Faults, LOOK_MS};
