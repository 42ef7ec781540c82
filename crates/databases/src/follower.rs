//! Follows the history of instances: a thread each, one a host.
//!
//! Who follows holds the lock of the instance's history, so that of several
//! processes of one host one does. A mark beside it tells all of them that the
//! instance is not to be followed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_history::Micros;
use backout_history::archive::pull::pull;
use backout_jobs::{StepContext, StepError};
use rustix::fs::{FlockOperation, flock};

use crate::files;
use crate::model::Instance;
use crate::procedures::managed::replication_ids;
use crate::refusal::{Refusal, with_cause};
use crate::runtime::Runtime;

const LOCK: &str = "history.lock";
const MARK: &str = "history.off";

/// How long a follower waits before it tries again what may pass by itself.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it looks meanwhile whether it is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// A follower that was last in trouble longer ago than this is out of it.
const TROUBLE: Duration = Duration::from_secs(10);

/// How often a step asks for the lock of a history that a follower is about to
/// let go: together ten seconds, many times what a follower takes.
const TRIES: u32 = 200;

/// Follows one instance, until it is dropped or nobody wants it.
#[derive(Debug)]
pub(crate) struct Follower {
    /// How the instance was reached when it began.
    pub(crate) sealed: Vec<u8>,
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<(String, Instant)>>>,
    follows: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow an instance, unless another process of this host does.
    pub(crate) fn start(runtime: &Runtime, instance: &Instance) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let trouble = Arc::new(Mutex::new(None));
        let follows = Arc::new(AtomicBool::new(false));
        let work = Work {
            runtime: runtime.clone(),
            instance: instance.clone(),
            mark: runtime.home(&instance.id).join(MARK),
            stop: Arc::clone(&stop),
            trouble: Arc::clone(&trouble),
        };
        let following = Arc::clone(&follows);
        let thread = std::thread::Builder::new()
            .name("backout-history".to_owned())
            .spawn(move || {
                match lock(&work.runtime.home(&work.instance.id)) {
                    Ok(Some(_held)) => {
                        following.store(true, Ordering::Relaxed);
                        work.follow();
                        following.store(false, Ordering::Relaxed);
                    }
                    // Somebody else does.
                    Ok(None) => {}
                    Err(e) => work.say(format!("lock the history of {}: {e}", work.instance.id)),
                }
            })?;
        Ok(Self {
            sealed: instance.sealed.clone(),
            stop,
            trouble,
            follows,
            thread,
        })
    }

    /// Whether its thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Whether it has the lock, and follows.
    pub(crate) fn follows(&self) -> bool {
        self.follows.load(Ordering::Relaxed)
    }

    /// What keeps it from following, if anything does now.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble
            .as_ref()
            .filter(|(_, at)| self.has_ended() || at.elapsed() < TROUBLE)
            .map(|(why, _)| why.clone())
    }

    /// Asks it to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for its end. Blocks.
    pub(crate) fn join(self) {
        self.stop();
        if self.thread.join().is_err() {
            tracing::error!("the follower of a history panicked");
        }
    }
}

struct Work {
    runtime: Runtime,
    instance: Instance,
    mark: PathBuf,
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<(String, Instant)>>>,
}

impl Work {
    fn say(&self, why: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = Some((why, Instant::now()));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.mark.exists()
    }

    fn follow(&self) {
        let prepared = self
            .runtime
            .endpoint(&self.instance)
            .and_then(|endpoint| Ok((endpoint, self.runtime.archive(&self.instance.id)?)));
        let (endpoint, archive) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return self.say(refusal.to_string()),
        };
        let from = endpoint.pull_from(replication_ids(&self.instance.id).1);
        let clock = || Micros(jiff::Timestamp::now().as_microsecond());
        while !self.stopped() {
            match pull(&archive, &from, &clock, &|| self.stopped()) {
                Ok(()) => return,
                Err(e) => {
                    self.say(with_cause(&e));
                    if !e.is_passing() {
                        return;
                    }
                }
            }
            let until = Instant::now() + AGAIN;
            while Instant::now() < until && !self.stopped() {
                std::thread::sleep(TICK);
            }
        }
    }
}

/// The lock of a history, held until it is dropped; `None` when somebody has
/// it.
fn lock(home: &Path) -> std::io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(home.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Tells whoever follows that the instance is not to be followed. Fine when
/// there is no folder of it.
pub(crate) fn forbid(home: &Path) -> Result<(), StepError> {
    match home.is_dir() {
        true => files::mark(&home.join(MARK)),
        false => Ok(()),
    }
}

/// Takes back what [`forbid`] says.
pub(crate) fn allow(home: &Path) -> Result<(), StepError> {
    match std::fs::remove_file(home.join(MARK)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StepError::failed(
            Code::ArchiveIo,
            format!("remove {}: {e}", home.join(MARK).display()),
        )),
        _ => Ok(()),
    }
}

/// Waits until nobody follows, and keeps it so until what it returns is
/// dropped. Blocks.
pub(crate) fn quiesce(ctx: &StepContext, home: &Path) -> Result<Option<File>, StepError> {
    if !home.is_dir() {
        return Ok(None);
    }
    forbid(home)?;
    for _ in 0..TRIES {
        let locked = lock(home).map_err(|e| {
            StepError::again(
                Code::ArchiveIo,
                format!("lock the history in {}: {e}", home.display()),
            )
        })?;
        if locked.is_some() {
            return Ok(locked);
        }
        if ctx.cancel.requested() {
            return Err(StepError::Cancelled);
        }
        std::thread::sleep(TICK);
    }
    Err(StepError::again(
        Code::ResourceBusy,
        format!(
            "remove the history in {}: whoever follows it does not let go; end that process",
            home.display()
        ),
    ))
}

/// Why a follower could not be started.
pub(crate) fn not_started(id: &DatabaseId, e: &std::io::Error) -> Refusal {
    Refusal::Failed(format!("follow the history of database {id}: {e}"))
}
