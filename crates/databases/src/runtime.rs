//! What the work on this host is done with, and where its files are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backout_core::ids::{DatabaseId, JobId};
use backout_history::archive::Archive;
use backout_mariadb::Endpoint;
use backout_shim::Shim;

use crate::model::Instance;
use crate::refusal::Refusal;

/// How much memory the reduction of one job's history takes, unless set
/// otherwise.
pub const MEMORY_BYTES: u64 = 256 << 20;

/// How many sessions apply rows at a time.
pub const SESSIONS: usize = 2;

/// How long it is waited for what the server has just written to arrive in the
/// archive.
pub const CATCH_UP: Duration = Duration::from_secs(10);

/// How long what a rollback keeps for its undo is kept, unless set otherwise.
pub const SAFETY_KEEP_MS: i64 = 7 * 24 * 3_600_000;

/// Seals and opens passwords. The store holds nothing else of them.
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

/// What the work on this host is done with.
///
/// The files of an instance are in `<folder>/<id>`:
///
/// | folder | what is in it |
/// |---|---|
/// | `history/` | the archive of its binary logs |
/// | `backups/<number>/` | a base backup |
/// | `jobs/<job>/` | what a running job needs; gone when it ends |
/// | `safety/<job>/` | what the undo of an applied job needs |
/// | `server/` | the files of a server that we run |
#[derive(Clone)]
pub struct Runtime {
    /// Where all files are.
    pub folder: PathBuf,
    /// What runs servers.
    pub shim: Shim,
    /// Opens passwords.
    pub secrets: Arc<dyn Secrets>,
    /// How much memory the reduction of history takes, in bytes.
    pub memory_bytes: u64,
    /// How long what an undo needs is kept, in milliseconds.
    pub safety_keep_ms: i64,
    archives: Arc<Mutex<HashMap<DatabaseId, Arc<Opened>>>>,
}

/// The archive of one instance, once it is opened. Whoever comes first opens it,
/// and holds up only those who want the same.
type Opened = Mutex<Option<Arc<Archive>>>;

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// All in one folder.
    #[must_use]
    pub fn new(folder: &Path, shim: Shim, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            folder: folder.to_owned(),
            shim,
            secrets,
            memory_bytes: MEMORY_BYTES,
            safety_keep_ms: SAFETY_KEEP_MS,
            archives: Arc::default(),
        }
    }

    /// The folder of an instance.
    #[must_use]
    pub fn home(&self, id: &DatabaseId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// Where its history is kept.
    #[must_use]
    pub fn history_folder(&self, id: &DatabaseId) -> PathBuf {
        self.home(id).join("history")
    }

    /// What a running job of it needs.
    #[must_use]
    pub fn job_folder(&self, id: &DatabaseId, job: &JobId) -> PathBuf {
        self.home(id).join("jobs").join(job.as_str())
    }

    /// What the undo of an applied job needs.
    #[must_use]
    pub fn safety_folder(&self, id: &DatabaseId, job: &JobId) -> PathBuf {
        self.home(id).join("safety").join(job.as_str())
    }

    /// A base backup.
    #[must_use]
    pub fn backup_folder(&self, id: &DatabaseId, number: u64) -> PathBuf {
        self.home(id).join("backups").join(number.to_string())
    }

    /// The files of a server that we run.
    #[must_use]
    pub fn server_folder(&self, id: &DatabaseId) -> PathBuf {
        self.home(id).join("server")
    }

    /// The archive of an instance's history, opened once. Blocking.
    ///
    /// # Errors
    /// [`Refusal::History`].
    pub fn archive(&self, id: &DatabaseId) -> Result<Arc<Archive>, Refusal> {
        let opened = {
            let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(archives.entry(id.clone()).or_default())
        };
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(archive) = &*opened {
            return Ok(Arc::clone(archive));
        }
        let archive = Arc::new(Archive::local(&self.history_folder(id)).map_err(Refusal::History)?);
        *opened = Some(Arc::clone(&archive));
        Ok(archive)
    }

    /// Forgets the opened archive of an instance that is removed.
    pub fn forget_archive(&self, id: &DatabaseId) {
        self.archives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    /// How to reach an instance, with its password.
    ///
    /// # Errors
    /// [`Refusal::Secret`], [`Refusal::Database`] when what is stored is not a
    /// URL of a server.
    pub fn endpoint(&self, instance: &Instance) -> Result<Endpoint, Refusal> {
        let url = self
            .secrets
            .open(&binding(&instance.id), &instance.sealed)
            .map_err(Refusal::Secret)?;
        Endpoint::parse(&url).map_err(Refusal::Database)
    }

    /// Seals how an instance is reached.
    ///
    /// # Errors
    /// [`Refusal::Secret`].
    pub fn seal(&self, id: &DatabaseId, url: &str) -> Result<Vec<u8>, Refusal> {
        self.secrets
            .seal(&binding(id), url)
            .map_err(Refusal::Secret)
    }
}

/// What the sealed address of an instance is bound to.
fn binding(id: &DatabaseId) -> String {
    format!("backout database\n{id}")
}
