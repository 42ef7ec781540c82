//! The sizes that servers are made in.
//!
//! A fixed table: each step doubles CPUs or memory, so that one can be named by
//! looking at it, and the smallest runs on any host. Disks are sparse: what a
//! size says is the most that a server can write, not what it takes at once.

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its id: CPUs, memory in MiB (`m`) or GiB (`g`), disk in GiB.
    pub id: &'static str,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Virtual size of the system disk, in bytes.
    pub disk_bytes: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn size(id: &'static str, cpus: u32, memory_mib: u64, disk_gib: u64) -> Bundle {
    Bundle {
        id,
        cpus,
        memory_bytes: memory_mib * MIB,
        disk_bytes: disk_gib * GIB,
    }
}

/// Every size, the smallest first.
pub const BUNDLES: &[Bundle] = &[
    size("bundle_1c512m10", 1, 512, 10),
    size("bundle_1c1g20", 1, 1 << 10, 20),
    size("bundle_1c2g40", 1, 2 << 10, 40),
    size("bundle_2c2g50", 2, 2 << 10, 50),
    size("bundle_2c4g80", 2, 4 << 10, 80),
    size("bundle_4c4g80", 4, 4 << 10, 80),
    size("bundle_4c8g120", 4, 8 << 10, 120),
    size("bundle_8c16g200", 8, 16 << 10, 200),
];

/// The size of this id.
#[must_use]
pub fn bundle(id: &str) -> Option<&'static Bundle> {
    BUNDLES.iter().find(|b| b.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_the_size() {
        for b in BUNDLES {
            let memory = match b.memory_bytes / GIB {
                0 => format!("{}m", b.memory_bytes / MIB),
                gib => format!("{gib}g"),
            };
            let id = format!("bundle_{}c{memory}{}", b.cpus, b.disk_bytes / GIB);
            assert_eq!(b.id, id);
            assert_eq!(bundle(&id), Some(b), "{id} is there once");
        }
        assert_eq!(bundle("bundle_1c1g21"), None);
    }
}
