//! The plain data that callers store and hand in.

use std::path::{Path, PathBuf};

use backout_core::size::Size;
use backout_disks::Format;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most CPUs of a machine: what its chipset takes without more ado.
pub(crate) const CPUS_MAX: u32 = 255;
/// Least memory, in bytes: firmware and a small kernel do not fit into less.
pub(crate) const MEMORY_MIN_BYTES: u64 = 32 << 20;
/// Most memory, in bytes: the address space of many CPUs ends at 1 TiB.
pub(crate) const MEMORY_MAX_BYTES: u64 = 1 << 40;
/// Most volumes beside the system disk: as many slots are there to plug into,
/// and each costs the guest time at boot.
pub(crate) const DATA_VOLUMES_MAX: usize = 16;
/// Most forwarded ports.
pub(crate) const FORWARDS_MAX: usize = 64;
/// Longest name of a volume, in bytes: the serial number of a virtio disk has
/// no room for more.
pub(crate) const VOLUME_NAME_MAX_BYTES: usize = 20;
/// Longest id of a machine, in bytes: it is a folder's name and QEMU's.
pub(crate) const ID_MAX_BYTES: usize = 64;
/// Longest kernel command line, in bytes, as x86 has it.
pub(crate) const APPEND_MAX_BYTES: usize = 2047;

/// What a machine is made of, beside its disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Virtual CPUs, 1 to 255.
    pub cpus: u32,
    /// Memory, in bytes: 32 MiB to 1 TiB, in whole MiB.
    pub memory_bytes: u64,
    /// What it boots.
    pub boot: Boot,
    /// Ports of this host that lead into the guest. The network card is there
    /// without any as well, and leads nowhere.
    #[serde(default)]
    pub forwards: Vec<Forward>,
}

/// What a machine boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Boot {
    /// Its system disk, by BIOS.
    Disk,
    /// A kernel that is handed to it.
    Kernel {
        /// The kernel: an absolute path.
        kernel: PathBuf,
        /// The initial RAM disk: an absolute path.
        #[serde(default)]
        initrd: Option<PathBuf>,
        /// The kernel's command line.
        #[serde(default)]
        append: String,
    },
}

/// A TCP port of 127.0.0.1 that leads into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Port on this host.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

/// A disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name, and its serial number in the guest: 1 to 20 letters, digits or
    /// `-`, the first a letter. One of a kind in the machine.
    pub name: String,
    /// Its image file: an absolute path.
    pub path: PathBuf,
    /// How the bytes of that are to be read.
    pub format: Format,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id: 1 to 64 lower-case letters, digits or `-`, the first a letter.
    pub id: String,
    /// What it is made of.
    pub spec: Spec,
    /// Its disks, the system disk first.
    pub volumes: Vec<Volume>,
}

/// How to switch a machine off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// By the power button. Fails when the guest does not obey.
    Soft,
    /// By force: for the guest, a power cut.
    Hard,
    /// By the power button, and when the guest does not obey, by force.
    SoftFirst,
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "power", rename_all = "snake_case")]
pub enum State {
    /// There is no process of it.
    Off,
    /// There is one.
    On {
        /// Its pid.
        pid: u32,
        /// Whether the guest stands still: by [`crate::Machines::pause`], or
        /// because its disk is full.
        paused: bool,
    },
}

/// What this host can do with machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Version of QEMU, when it runs here.
    pub qemu: Option<String>,
    /// Why it does not.
    pub qemu_why: Option<String>,
    /// `kvm`, or `tcg` for emulation by software; `None` without QEMU.
    pub accelerator: Option<String>,
    /// Why KVM is not used, when it is not.
    pub kvm_why: Option<String>,
    /// Whether QEMU can be confined to the system calls that it needs.
    pub sandbox: bool,
}

/// Checks the id of a machine.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let good = id.len() <= ID_MAX_BYTES
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        return Ok(());
    }
    Err(bad(format!(
        "the id {} is none: want 1 to {ID_MAX_BYTES} lower-case letters, digits or -, the first a \
         letter",
        quoted(id)
    )))
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    let good = name.len() <= VOLUME_NAME_MAX_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good {
        return Ok(());
    }
    Err(bad(format!(
        "the volume name {} is none: want 1 to {VOLUME_NAME_MAX_BYTES} letters, digits or -, the \
         first a letter",
        quoted(name)
    )))
}

impl Volume {
    pub(crate) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        check_path("the image", &self.path)
    }
}

impl Boot {
    /// Whether a machine can boot by it, as far as can be told without looking
    /// at its files.
    ///
    /// # Errors
    /// [`Error::BadMachine`].
    pub fn check(&self) -> Result<()> {
        let Self::Kernel {
            kernel,
            initrd,
            append,
        } = self
        else {
            return Ok(());
        };
        check_path("the kernel", kernel)?;
        if let Some(initrd) = initrd {
            check_path("the initial RAM disk", initrd)?;
        }
        if append.len() > APPEND_MAX_BYTES || append.contains(char::is_control) {
            return Err(bad(format!(
                "the kernel's command line is not possible: want at most {APPEND_MAX_BYTES} \
                 bytes in one line"
            )));
        }
        Ok(())
    }
}

impl Spec {
    /// Whether there can be such a machine.
    ///
    /// # Errors
    /// [`Error::BadMachine`].
    pub fn check(&self) -> Result<()> {
        if !(1..=CPUS_MAX).contains(&self.cpus) {
            return Err(bad(format!(
                "{} CPUs are not possible: want 1 to {CPUS_MAX}",
                self.cpus
            )));
        }
        let memory = self.memory_bytes;
        if !(MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES).contains(&memory)
            || !memory.is_multiple_of(1 << 20)
        {
            return Err(bad(format!(
                "{memory} bytes of memory are not possible: want whole MiB, {} to {}",
                Size(MEMORY_MIN_BYTES),
                Size(MEMORY_MAX_BYTES)
            )));
        }
        self.boot.check()?;
        if self.forwards.len() > FORWARDS_MAX {
            return Err(bad(format!(
                "{} ports cannot be forwarded: want at most {FORWARDS_MAX}",
                self.forwards.len()
            )));
        }
        if self.forwards.iter().any(|f| f.host == 0 || f.guest == 0) {
            return Err(bad("port 0 cannot be forwarded: name a port".to_owned()));
        }
        Ok(())
    }
}

impl Machine {
    /// Nothing in it is trusted.
    pub(crate) fn check(&self) -> Result<()> {
        check_id(&self.id)?;
        self.spec.check()?;
        if self.volumes.is_empty() {
            return Err(bad("it has no disk: give it one".to_owned()));
        }
        if self.volumes.len() > DATA_VOLUMES_MAX + 1 {
            return Err(bad(format!(
                "it has {} disks: want at most {}",
                self.volumes.len(),
                DATA_VOLUMES_MAX + 1
            )));
        }
        for (at, volume) in self.volumes.iter().enumerate() {
            volume.check()?;
            let before = self.volumes.iter().take(at);
            if before
                .clone()
                .any(|v| v.name == volume.name || v.path == volume.path)
            {
                return Err(bad(format!(
                    "two of its disks are called {} or are the file {:?}: name each once",
                    volume.name, volume.path
                )));
            }
        }
        Ok(())
    }
}

fn check_path(what: &str, path: &Path) -> Result<()> {
    // QEMU takes no bytes that are not UTF-8 in JSON, and a relative path would
    // start at the run folder.
    if path.is_absolute() && path.to_str().is_some_and(|p| !p.contains('\0')) {
        return Ok(());
    }
    Err(bad(format!(
        "{what} {path:?} cannot be used: want an absolute path in UTF-8"
    )))
}

fn bad(why: String) -> Error {
    Error::BadMachine { why }
}

/// Outside text, fit for an error message.
fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    format!("{cut:?}")
}
