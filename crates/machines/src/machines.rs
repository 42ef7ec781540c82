//! What can be done with machines.

use std::path::{Path, PathBuf};

use backout_disks::{Guard, Progress};
use backout_shim::Shim;

use crate::error::{Error, Result};
use crate::model::{Capabilities, Machine, State, Stop, Volume};

/// The machines of this host. Cheap to clone; several, in several processes,
/// may look after the same runtime folder.
#[derive(Clone, Debug)]
pub struct Machines {
    runtime: PathBuf,
    shim: Shim,
}

impl Machines {
    /// Machines whose run folders lie in `runtime`, started by `shim`.
    #[must_use]
    pub fn new(runtime: PathBuf, shim: Shim) -> Self {
        Self { runtime, shim }
    }

    /// What this host can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            qemu: None,
            qemu_why: Some(format!("not looked yet, {:?}", self.shim)),
            accelerator: None,
            kvm_why: None,
            sandbox: false,
        }
    }

    fn soon<T>(&self) -> Result<T> {
        Err(Error::NoQemu {
            why: "this build does not drive it yet".to_owned(),
        })
    }

    /// Whether the machine runs.
    ///
    /// # Errors
    /// [`Error::Unanswered`].
    pub fn state(&self, _id: &str) -> Result<State> {
        self.soon()
    }
    /// Starts it, and wakes it when it is paused.
    ///
    /// # Errors
    /// [`Error::NotStarted`].
    pub fn start(&self, _guard: &Guard, _machine: &Machine) -> Result<()> {
        self.soon()
    }
    /// Switches it off.
    ///
    /// # Errors
    /// [`Error::Disobeyed`].
    pub fn stop(
        &self,
        _guard: &Guard,
        _id: &str,
        _how: Stop,
        _progress: &dyn Progress,
    ) -> Result<()> {
        self.soon()
    }
    /// Switches it off and on.
    ///
    /// # Errors
    /// [`Error::Disobeyed`].
    pub fn reboot(
        &self,
        _guard: &Guard,
        _id: &str,
        _how: Stop,
        _progress: &dyn Progress,
    ) -> Result<()> {
        self.soon()
    }
    /// Holds it still, its disks flushed. `true` when it is there.
    ///
    /// # Errors
    /// [`Error::Unanswered`].
    pub fn pause(&self, _guard: &Guard, _id: &str) -> Result<bool> {
        self.soon()
    }
    /// Lets it go on.
    ///
    /// # Errors
    /// [`Error::Unanswered`].
    pub fn resume(&self, _guard: &Guard, _id: &str) -> Result<()> {
        self.soon()
    }
    /// Makes a paused machine write into the overlay at `volume.path`.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn switch_head(
        &self,
        _guard: &Guard,
        _id: &str,
        _volume: &Volume,
        _layer: &Path,
    ) -> Result<()> {
        self.soon()
    }
    /// Pulls every layer into the head.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn stream(
        &self,
        _guard: &Guard,
        _id: &str,
        _volume: &Volume,
        _progress: &dyn Progress,
    ) -> Result<()> {
        self.soon()
    }
    /// Plugs a volume in.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn attach(&self, _guard: &Guard, _id: &str, _volume: &Volume) -> Result<()> {
        self.soon()
    }
    /// Unplugs one.
    ///
    /// # Errors
    /// [`Error::Disobeyed`].
    pub fn detach(&self, _guard: &Guard, _id: &str, _name: &str) -> Result<()> {
        self.soon()
    }
    /// Removes the run folder of a machine that is off.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn forget(&self, _guard: &Guard, _id: &str) -> Result<()> {
        self.soon()
    }
    /// The file that has what its serial console showed last.
    #[must_use]
    pub fn serial_log(&self, id: &str) -> PathBuf {
        backout_shim::log_path(&self.runtime.join(id))
    }
}
