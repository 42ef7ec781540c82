//! The kinds of job that applications have, a file each.

pub mod order;
