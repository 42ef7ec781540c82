//! The driver for virtual machines: QEMU, spoken to over QMP.
//!
//! A machine is one QEMU process under a [`backout_shim`], so it goes on while
//! Backout is dead, and is found again. Everything of it that is not its disks
//! lies in its run folder `<runtime>/<id>`; beside the shim's files there are
//!
//! | file | what it is |
//! |---|---|
//! | `machine.json` | the [`Machine`] as it was started, with what was plugged since |
//! | `qmp`, `look` | monitors: one for who acts, one for who only looks |
//!
//! A monitor serves one client at a time, so those who look must not stand
//! behind those who act. What the guest writes to its serial console, and what
//! QEMU says, goes to the shim's log.
//!
//! The top image of a volume is the block node `t<device>-<inode>` of QEMU, after
//! the file that it writes to: so it can be told, after a crash at any instant
//! and whatever the file is called by then, which file that is.
//!
//! Architecture invariants:
//! 1. Nothing here knows a job, a product, a store or a vendor.
//! 2. Whoever changes the power or the disks of a machine shows the lock of its
//!    system disk, and with that a fence that is the newest seen.
//! 3. Every function may be repeated after a crash at any instant in it.
//! 4. An image is opened with the format that is on record, never with a guessed
//!    one, and under QEMU's own lock: a second machine on it does not start.
//! 5. The guest reaches neither this host nor its networks: only the forwarded
//!    ports, from loopback, lead in.

mod command_line;
mod error;
mod machines;
mod model;
mod nodes;
mod plug;
mod qemu;
mod qmp;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, Result};
pub use machines::Machines;
pub use model::{Boot, Capabilities, Forward, Machine, Spec, State, Stop, Volume};
pub use qemu::capabilities;
