//! What the work on this host is done with, and where its files are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use backout_core::ids::{ApplicationId, ReplicaId};
use backout_gateway::{Client, Host, Settings};
use backout_rollout::Limits;
use backout_workloads::packages::Packages;
use backout_workloads::{InstanceId, LogChunk, LogFrom, Status, Workloads};
use tokio::sync::{Semaphore, watch};

use crate::components::Components;
use crate::model::Artifact;
use crate::refusal::Refusal;
use crate::service::Memory;

/// How long things of an order may take where a release says nothing else: five
/// minutes until ready, as others have it; a minute to drain; and to stop what a
/// killed process group takes on a busy host, beside its own grace.
pub const LIMITS: Limits = Limits {
    ready_ms: 300_000,
    drain_ms: 60_000,
    stop_ms: 60_000,
};

/// How many statuses are read at a time: each is a few small files.
const READERS: usize = 8;

/// How many are read by one reader at least: a thread for one would be more
/// work than the reading.
const READ_AT_LEAST: usize = 8;

/// How many orders hear of changes of their replicas at once; others look now
/// and then. Each takes a thread, and one of the kernel's watches, of which a
/// user has 128.
const WATCHERS: usize = 48;

/// What came of a look at a replica.
pub type Looked = Result<Option<Status>, Refusal>;

/// Seals and opens secrets. The store holds nothing else of them.
pub trait Secrets: Send + Sync {
    /// Seals a secret; it opens only with the same `bound_to`.
    ///
    /// # Errors
    /// Why not, as a fragment that fits "failed to ...".
    fn seal(&self, bound_to: &str, secret: &str) -> Result<Vec<u8>, String>;

    /// Opens what was sealed.
    ///
    /// # Errors
    /// Why not, as a fragment that fits "failed to ...".
    fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<String, String>;
}

/// Tells that something was said to an order, in this process: see
/// [`crate::persistence::speak`]. What is said through others is found by
/// looking.
#[derive(Clone, Debug)]
pub struct Wake(Arc<watch::Sender<u64>>);

impl Default for Wake {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Wake {
    /// Wakes all who listen. After the transaction.
    pub fn wake(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Hears of everything from now on.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// What the work on this host is done with.
///
/// The files of gateways are in `<folder>/gateways/<application>`; those of
/// instances and packages are their drivers'.
#[derive(Clone)]
pub struct Runtime {
    /// Where gateways have their folders.
    pub folder: PathBuf,
    /// What runs packages, and programs of this host.
    pub processes: Arc<dyn Workloads>,
    /// What runs images; none where there is no engine for them.
    pub containers: Option<Arc<dyn Workloads>>,
    /// The packages.
    pub packages: Packages,
    /// How gateways are run.
    pub gateways: Host,
    /// How gateways work.
    pub gateway_settings: Settings,
    /// The address that gateways listen on.
    pub listen: IpAddr,
    /// Seals and opens secrets.
    pub secrets: Arc<dyn Secrets>,
    /// What else there is on this host that releases are started with.
    pub components: Arc<Components>,
    /// How long things of an order may take.
    pub limits: Limits,
    /// Whether replicas run without their limits where those cannot be
    /// enforced, instead of being refused.
    pub without_limits: bool,
    /// Woken when somebody has said something to an order.
    pub spoken: Wake,
    /// Woken when an order has taken up what was said to it.
    pub heard: Wake,
    pub(crate) watchers: Arc<Semaphore>,
    /// What the keeper remembers.
    pub(crate) memory: Arc<Mutex<Memory>>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// With gateways in `folder`, and what is usual.
    #[must_use]
    pub fn new(
        folder: &Path,
        processes: Arc<dyn Workloads>,
        packages: Packages,
        gateways: Host,
        secrets: Arc<dyn Secrets>,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            processes,
            containers: None,
            packages,
            gateways,
            gateway_settings: Settings::default(),
            listen: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secrets,
            components: Arc::default(),
            limits: LIMITS,
            without_limits: false,
            spoken: Wake::default(),
            heard: Wake::default(),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            memory: Arc::default(),
        }
    }

    /// What runs an artifact.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for an image where nothing runs images.
    pub fn driver(&self, artifact: &Artifact) -> Result<&Arc<dyn Workloads>, Refusal> {
        match artifact {
            Artifact::Package { .. } => Ok(&self.processes),
            Artifact::Image { name, .. } => self.containers.as_ref().ok_or_else(|| {
                Refusal::Invalid(format!(
                    "run image {name:?}: no container engine was found on this host; install one and start Backout again, or deploy a package"
                ))
            }),
        }
    }

    /// Whether the package of an artifact is kept here; true for one that has
    /// none. Blocking.
    #[must_use]
    pub fn keeps(&self, artifact: &Artifact) -> bool {
        artifact
            .package()
            .is_none_or(|hash| self.packages.has(hash))
    }

    /// How replicas are, by their ids, each with the artifact that it runs.
    /// Those that their driver does not know, or could not look at, are left
    /// out.
    pub async fn statuses(
        &self,
        replicas: Vec<(ReplicaId, Artifact)>,
    ) -> BTreeMap<ReplicaId, Status> {
        let looked = self.look(replicas).await;
        looked
            .into_iter()
            .filter_map(|(id, status)| Some((id, status.ok()??)))
            .collect()
    }

    /// The same, told apart: none where the driver knows of none.
    pub async fn look(&self, replicas: Vec<(ReplicaId, Artifact)>) -> BTreeMap<ReplicaId, Looked> {
        let mut found = BTreeMap::new();
        let mut readers = tokio::task::JoinSet::new();
        let size = replicas.len().div_ceil(READERS).max(READ_AT_LEAST);
        for part in replicas.chunks(size) {
            let (runtime, part) = (self.clone(), part.to_vec());
            readers.spawn_blocking(move || {
                let looked = part.into_iter().map(|(id, artifact)| {
                    let status = match runtime.driver(&artifact) {
                        Ok(driver) => driver.status(&instance(&id)).map_err(Refusal::Workload),
                        Err(refusal) => Err(refusal),
                    };
                    (id, status)
                });
                looked.collect::<Vec<_>>()
            });
        }
        while let Some(part) = readers.join_next().await {
            found.extend(part.unwrap_or_default());
        }
        found
    }

    /// Reads from the log of a replica.
    ///
    /// # Errors
    /// [`Refusal::Workload`], [`Refusal::Invalid`].
    pub async fn logs(
        &self,
        replica: &ReplicaId,
        artifact: &Artifact,
        from: LogFrom,
    ) -> Result<LogChunk, Refusal> {
        let driver = Arc::clone(self.driver(artifact)?);
        let id = instance(replica);
        tokio::task::spawn_blocking(move || driver.logs(&id, from))
            .await
            .map_err(|e| Refusal::Invalid(format!("read a log: the reader panicked ({e})")))?
            .map_err(Refusal::Workload)
    }

    /// The gateway of an application, whether it runs or not.
    ///
    /// # Errors
    /// [`backout_gateway::Error::Io`].
    pub fn gateway(&self, application: &ApplicationId) -> backout_gateway::Result<Client> {
        Client::new(&self.gateway_folder(application))
    }

    /// Where the gateway of an application has its files.
    #[must_use]
    pub fn gateway_folder(&self, application: &ApplicationId) -> PathBuf {
        self.folder.join("gateways").join(application.as_str())
    }
}

/// The name by which a driver knows a replica.
#[must_use]
pub fn instance(replica: &ReplicaId) -> InstanceId {
    // The ids of replicas are `inst-` and letters and digits.
    replica
        .as_str()
        .parse()
        .expect("the id of a replica is one of an instance")
}
