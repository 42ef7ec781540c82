//! What every driver must do, and the oracle it is compared with.
//!
//! The same scenarios run against every driver, on the real file systems: XFS
//! and btrfs in loop files, the ordinary temporary folder, a tmpfs that is
//! full. They need root and the packages xfsprogs, btrfs-progs and qemu-utils;
//! without these they fail.

mod crashes;
mod faults;
mod lab;
mod oracle;
mod paused;
mod power;
mod scenarios;

pub(crate) use lab::wait_until;
