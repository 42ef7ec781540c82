//! The gateway: a process of its own that listens on an application's port and
//! spreads requests over the instances that are ready; or, where what is spoken
//! is not HTTP, connections ([`Carries`]).
//!
//! Backout may die at any time, and traffic must flow on: so a gateway is kept
//! by a shim, does what it was told last also after it was started again, and is
//! changed over its control socket, without a restart. All that is known of one
//! lies in its folder (mode 0700).
//!
//! | file | what it is |
//! |---|---|
//! | `desired.json` | the [`Desired`]: listeners and backends; replaced atomically |
//! | `settings.json` | the [`Settings`], read when it starts |
//! | `control.sock` | where it is told and asked |
//! | `lock` | locked by the gateway while it lives, so that there is one |
//! | `run/` | the run folder of its shim: its pid, its log |

mod access;
mod backends;
mod body;
pub mod client;
mod control;
mod error;
mod folder;
mod head;
mod model;
mod pipe;
mod proxy;
mod serve;
mod tunnel;
mod upstream;
mod watch;
mod worker;

pub use client::{Client, Host};
pub use error::{Error, Result};
pub use model::{
    BACKENDS_MAX, Backend, BackendStatus, Carries, Desired, Drained, Failure, ID_MAX_BYTES, Intake,
    LISTENERS_MAX, Settings, Status, Totals,
};
pub use serve::main;
