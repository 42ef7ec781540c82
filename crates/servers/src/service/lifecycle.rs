//! Servers are made of images, started, stopped, and given back.

use backout_core::ids::{AccountId, InstanceId, JobId};
use backout_machines::{Forward, Stop};

use super::{Caller, Denied, Proposal, Servers};
use crate::bundles::{BUNDLES, Bundle};
use crate::model::Tag;
use crate::refusal::Refusal;

/// How many servers one call may make, or be about (contract: the longest list
/// of ids that an operation takes).
pub const BATCH_MAX: usize = 100;

/// Servers to make.
#[derive(Clone, Debug)]
pub struct NewInstances {
    /// Their name; `-1`, `-2` and so on follow it when there are several.
    pub name: Option<String>,
    /// How many, 1 to [`BATCH_MAX`].
    pub count: u32,
    /// The id of their size.
    pub bundle: String,
    /// The id or name of their image.
    pub blueprint: String,
    /// Free labels.
    pub tags: Vec<Tag>,
    /// Ports of this host that lead into the guest; of one server only.
    pub forwards: Vec<Forward>,
}

/// How much there is of something, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many there are.
    pub used: u64,
    /// How many there may be.
    pub total: u64,
}

/// What an owner has, and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Servers.
    pub servers: Quota,
    /// Restore points, of system disks and of data disks; safety points are not
    /// counted.
    pub snapshots: Quota,
    /// Data disks.
    pub data_disks: Quota,
    /// Images.
    pub images: Quota,
}

impl Servers {
    /// The sizes that servers are made in, the smallest first.
    #[must_use]
    pub const fn bundles(&self) -> &'static [Bundle] {
        BUNDLES
    }

    /// Judges and plans the making of servers; the plan is of the first.
    ///
    /// # Errors
    /// [`Refusal::BlueprintNotFound`], [`Refusal::BundleNotFound`],
    /// [`Refusal::Invalid`], [`Refusal::Store`].
    pub async fn propose_create(
        &self,
        _owner: &AccountId,
        _new: &NewInstances,
    ) -> Result<Proposal, Refusal> {
        Err(soon())
    }

    /// Judges the making of servers: what a surface asks that tells refusals
    /// apart by their kind.
    ///
    /// # Errors
    /// What [`Servers::create`] would refuse.
    pub async fn check_create(
        &self,
        _owner: &AccountId,
        _new: &NewInstances,
    ) -> Result<(), Refusal> {
        Err(soon())
    }

    /// Makes servers of an image: one job each, all of them or none. They run
    /// when their jobs are applied.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn create(
        &self,
        _caller: &Caller,
        _new: NewInstances,
    ) -> Result<Vec<(InstanceId, JobId)>, Refusal> {
        Err(soon())
    }

    /// Starts servers that are stopped: one job each, all of them or none.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn start(
        &self,
        _caller: &Caller,
        _servers: &[String],
    ) -> Result<Vec<JobId>, Refusal> {
        Err(soon())
    }

    /// Stops servers that run; as [`Servers::start`].
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn stop(
        &self,
        _caller: &Caller,
        _servers: &[String],
        _how: Stop,
    ) -> Result<Vec<JobId>, Refusal> {
        Err(soon())
    }

    /// Stops servers that run, and starts them again; as [`Servers::start`].
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn reboot(
        &self,
        _caller: &Caller,
        _servers: &[String],
        _how: Stop,
    ) -> Result<Vec<JobId>, Refusal> {
        Err(soon())
    }

    /// Gives servers back: they are stopped, and wait to be terminated. Their
    /// data disks are detached on the way when `with_data_disks` says so, else
    /// when the server is terminated. As [`Servers::start`].
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn isolate(
        &self,
        _caller: &Caller,
        _servers: &[String],
        _with_data_disks: bool,
    ) -> Result<Vec<JobId>, Refusal> {
        Err(soon())
    }

    /// Removes servers that were given back, or could not be made. A disk that
    /// Backout made goes with its restore points; a user's file stays where it
    /// is, as do data disks. As [`Servers::start`].
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn terminate(
        &self,
        _caller: &Caller,
        _servers: &[String],
    ) -> Result<Vec<JobId>, Refusal> {
        Err(soon())
    }

    /// Makes a server's system disk anew of an image: the one of this id or
    /// name, else the one that it was made of. Undoing the job brings the old
    /// disk back.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn reset(
        &self,
        _caller: &Caller,
        _server: &str,
        _blueprint: Option<&str>,
    ) -> Result<JobId, Refusal> {
        Err(soon())
    }

    /// Renames servers, all of them or none. A name is unique for its owner, so
    /// several get `-1`, `-2` and so on behind it.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Invalid`], [`Refusal::Taken`],
    /// [`Refusal::Store`].
    pub async fn rename(
        &self,
        _caller: &Caller,
        _servers: &[String],
        _name: &str,
    ) -> Result<(), Refusal> {
        Err(soon())
    }

    /// What each of these servers refuses now.
    ///
    /// # Errors
    /// [`Refusal::ServerNotFound`], [`Refusal::Store`].
    pub async fn denied_on_servers(
        &self,
        _owner: &AccountId,
        _ids: &[String],
    ) -> Result<Vec<(InstanceId, Vec<Denied>)>, Refusal> {
        Err(soon())
    }

    /// What `owner` has, and may have.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn quotas(&self, _owner: &AccountId) -> Result<Quotas, Refusal> {
        Err(soon())
    }

    /// Brings the power states of this host's servers in line with their
    /// machines, where no job works on them. Says how many were wrong.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn reconcile_power(&self) -> Result<u64, Refusal> {
        Err(soon())
    }
}

fn soon() -> Refusal {
    Refusal::Invalid("use servers' lifecycle: it is being built".to_owned())
}
