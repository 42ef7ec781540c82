//! Our own API, as plain functions: one for each path of `docs/native-api.md`.
//!
//! Each takes a [`Call`] (who, under which request id) and a request, and does
//! it all: the rate limit, what the policy says, the product, the audit line.
//! A transport only has to find out who calls ([`auth`]) and to read and write
//! JSON.
//!
//! Architecture invariant: knows no HTTP. Statuses, headers, streams and the
//! OpenAPI document belong to `server`.

mod accounts;
mod apps;
pub mod auth;
mod databases;
mod disks;
mod doctor;
pub mod dto;
mod engines;
mod error;
mod faults;
mod images;
mod jobs;
mod names;
mod points;
mod requests;
mod servers;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backout_accounts::{Accounts, Limiter, Principal};
use backout_apps::Apps;
use backout_core::code::Code;
use backout_core::ids::{Entropy, JobId, RequestId};
use backout_core::time::Clock;
use backout_databases::Databases;
use backout_engines::Engines;
use backout_faults::Faults;
use backout_jobs::{Idempotency, Jobs};
use backout_servers::{Caller, Servers};
use backout_store::Store;
use backout_store::rows::Page;

pub use apps::{LOG_LINES_MAX, LogTails, LogsWanted, OrdersWanted};
pub use databases::{LifeStep, TransactionsWanted};
pub use disks::DisksWanted;
pub use engines::{EngineImagesWanted, OUTPUT_LINES_MAX, engine_action};
pub use error::{Kind, NativeError};
pub use jobs::{EventsAfter, JobFilter};

use crate::audit;
use dto::{List, RequestLine};

/// The longest page of a list.
pub const PAGE_MAX: usize = 100;
/// The page of a list when nothing is said.
pub const PAGE_DEFAULT: usize = 50;
/// The longest idempotency key: room for several UUIDs.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// How long the store may take to show that it answers: less than whoever
/// watches over a server waits for.
const READY_WAIT: Duration = Duration::from_secs(2);
/// How far into a list of resources a cursor may lead. A million resources is
/// far beyond one host.
const OFFSET_MAX: u64 = 1_000_000;

/// What a native call answers.
pub type Result<T> = std::result::Result<T, NativeError>;

/// The actions of the native API, as policies name them.
pub mod action {
    /// Lists what is managed.
    pub const LIST_RESOURCES: &str = "backout:ListResources";
    /// Looks at servers.
    pub const DESCRIBE_SERVERS: &str = "backout:DescribeServers";
    /// Takes a disk under management.
    pub const ADD_SERVER: &str = "backout:AddServer";
    /// Looks at restore points.
    pub const DESCRIBE_SNAPSHOTS: &str = "backout:DescribeSnapshots";
    /// Takes a snapshot.
    pub const CREATE_SNAPSHOT: &str = "backout:CreateSnapshot";
    /// Looks at the sizes that servers are made in.
    pub const DESCRIBE_SIZES: &str = "backout:DescribeSizes";
    /// Makes servers of an image.
    pub const CREATE_SERVERS: &str = "backout:CreateServers";
    /// Starts servers.
    pub const START_SERVERS: &str = "backout:StartServers";
    /// Stops servers.
    pub const STOP_SERVERS: &str = "backout:StopServers";
    /// Stops servers and starts them again.
    pub const REBOOT_SERVERS: &str = "backout:RebootServers";
    /// Gives servers back.
    pub const ISOLATE_SERVERS: &str = "backout:IsolateServers";
    /// Removes servers that were given back.
    pub const TERMINATE_SERVERS: &str = "backout:TerminateServers";
    /// Makes a server's system disk anew.
    pub const RESET_SERVER: &str = "backout:ResetServer";
    /// Renames a server.
    pub const RENAME_SERVER: &str = "backout:RenameServer";
    /// Sets or ends the schedule of a server's snapshots.
    pub const SCHEDULE_SNAPSHOTS: &str = "backout:ScheduleSnapshots";
    /// Shortens the chain of layers under a disk.
    pub const COMPACT: &str = "backout:Compact";
    /// Looks at disks.
    pub const DESCRIBE_DISKS: &str = "backout:DescribeDisks";
    /// Makes a data disk, or takes one under management.
    pub const ADD_DISK: &str = "backout:AddDisk";
    /// Takes a data disk out of management.
    pub const REMOVE_DISK: &str = "backout:RemoveDisk";
    /// Gives data disks to a server.
    pub const ATTACH_DISKS: &str = "backout:AttachDisks";
    /// Takes data disks from their servers.
    pub const DETACH_DISKS: &str = "backout:DetachDisks";
    /// Looks at images.
    pub const DESCRIBE_IMAGES: &str = "backout:DescribeImages";
    /// Refers to an image file.
    pub const ADD_IMAGE: &str = "backout:AddImage";
    /// Makes an image of a server's disk.
    pub const CREATE_IMAGE: &str = "backout:CreateImage";
    /// Forgets an image.
    pub const DELETE_IMAGE: &str = "backout:DeleteImage";
    /// Renames a restore point.
    pub const RENAME_SNAPSHOT: &str = "backout:RenameSnapshot";
    /// Takes a server out of management.
    pub const RELEASE_SERVER: &str = "backout:ReleaseServer";
    /// Deletes a snapshot.
    pub const DELETE_SNAPSHOT: &str = "backout:DeleteSnapshot";
    /// Judges and plans a rollback.
    pub const CHECK: &str = "backout:Check";
    /// Rolls back, or undoes that.
    pub const ROLLBACK: &str = "backout:Rollback";
    /// Looks at jobs and their events.
    pub const DESCRIBE_JOBS: &str = "backout:DescribeJobs";
    /// Cancels a job.
    pub const CANCEL_JOB: &str = "backout:CancelJob";
    /// Goes on with a held job.
    pub const RETRY_JOB: &str = "backout:RetryJob";
    /// Manages accounts and keys.
    pub const MANAGE_ACCOUNTS: &str = "backout:ManageAccounts";
    /// Looks up what a request was.
    pub const DESCRIBE_REQUESTS: &str = "backout:DescribeRequests";
    /// Looks at the rules of the fault switch.
    pub const DESCRIBE_FAULTS: &str = "backout:DescribeFaults";
    /// Adds and removes rules of the fault switch. No wildcard of a policy
    /// stands for it.
    pub const MANAGE_FAULTS: &str = "backout:ManageFaults";
    /// Looks at databases: their state, history, tasks and backups.
    pub const DESCRIBE_DATABASES: &str = "backout:DescribeDatabases";
    /// Takes a database server under management, or has one examined.
    pub const ADD_DATABASE: &str = "backout:AddDatabase";
    /// Makes a database server.
    pub const CREATE_DATABASE: &str = "backout:CreateDatabase";
    /// Renames a database, sets when it is backed up or how it is reached.
    pub const CHANGE_DATABASE: &str = "backout:ChangeDatabase";
    /// Restarts databases that Backout runs.
    pub const RESTART_DATABASES: &str = "backout:RestartDatabases";
    /// Isolates databases.
    pub const ISOLATE_DATABASES: &str = "backout:IsolateDatabases";
    /// Brings isolated databases back.
    pub const RELEASE_DATABASES: &str = "backout:ReleaseDatabases";
    /// Removes an isolated database, with its history and its backups.
    pub const REMOVE_DATABASE: &str = "backout:RemoveDatabase";
    /// Sees rows that taking back in place would change.
    pub const PREVIEW_ROWS: &str = "backout:PreviewRows";
    /// Takes a base backup of a database.
    pub const CREATE_BACKUP: &str = "backout:CreateBackup";
    /// Deletes a base backup of a database.
    pub const DELETE_BACKUP: &str = "backout:DeleteBackup";
    /// Looks at applications: versions, replicas, orders, events, settings.
    pub const DESCRIBE_APPS: &str = "backout:DescribeApps";
    /// Reads what replicas write.
    pub const READ_APP_LOGS: &str = "backout:ReadAppLogs";
    /// Makes an application.
    pub const CREATE_APP: &str = "backout:CreateApp";
    /// Deploys a version of an application.
    pub const DEPLOY_APP: &str = "backout:DeployApp";
    /// Describes and labels an application.
    pub const CHANGE_APP: &str = "backout:ChangeApp";
    /// Starts applications.
    pub const START_APPS: &str = "backout:StartApps";
    /// Stops applications.
    pub const STOP_APPS: &str = "backout:StopApps";
    /// Starts replicas anew.
    pub const RESTART_APPS: &str = "backout:RestartApps";
    /// Changes how many replicas there are, how much they may take, and the rules
    /// for that.
    pub const SCALE_APPS: &str = "backout:ScaleApps";
    /// Takes an application away.
    pub const DELETE_APP: &str = "backout:DeleteApp";
    /// Marks versions as ones not to go back to.
    pub const BAR_VERSION: &str = "backout:BarVersion";
    /// Lets batches go.
    pub const CONFIRM_ORDER: &str = "backout:ConfirmOrder";
    /// Ends orders, and takes back what they changed.
    pub const ABORT_ORDER: &str = "backout:AbortOrder";
    /// Tries again what an order is stuck on.
    pub const RETRY_ORDER: &str = "backout:RetryOrder";
    /// Approves orders that somebody else asked for.
    pub const APPROVE_ORDER: &str = "backout:ApproveOrder";
    /// Makes, changes and takes away namespaces.
    pub const MANAGE_NAMESPACES: &str = "backout:ManageNamespaces";
    /// Sets and deletes secrets.
    pub const MANAGE_SECRETS: &str = "backout:ManageSecrets";
    /// Makes, changes and deletes config maps.
    pub const MANAGE_CONFIG_MAPS: &str = "backout:ManageConfigMaps";
    /// Says how much accounts may have.
    pub const MANAGE_APP_SETTINGS: &str = "backout:ManageAppSettings";
    /// Looks at data engines: their versions, parameters, log and events.
    pub const DESCRIBE_ENGINES: &str = "backout:DescribeEngines";
    /// Reads what instances of engines write.
    pub const READ_ENGINE_OUTPUT: &str = "backout:ReadEngineOutput";
    /// Makes a data engine.
    pub const CREATE_ENGINE: &str = "backout:CreateEngine";
    /// Describes a data engine.
    pub const CHANGE_ENGINE: &str = "backout:ChangeEngine";
    /// Gives data engines another version.
    pub const SWITCH_ENGINE: &str = "backout:SwitchEngine";
    /// Changes the parameters and the size of data engines.
    pub const CONFIGURE_ENGINE: &str = "backout:ConfigureEngine";
    /// Stops data engines.
    pub const SUSPEND_ENGINES: &str = "backout:SuspendEngines";
    /// Starts data engines that are suspended.
    pub const RESUME_ENGINES: &str = "backout:ResumeEngines";
    /// Starts data engines anew.
    pub const RESTART_ENGINES: &str = "backout:RestartEngines";
    /// Takes a data engine away.
    pub const DELETE_ENGINE: &str = "backout:DeleteEngine";
    /// Looks at the versions that data engines can have.
    pub const DESCRIBE_ENGINE_IMAGES: &str = "backout:DescribeEngineImages";
    /// Adds a version that data engines can have.
    pub const ADD_ENGINE_IMAGE: &str = "backout:AddEngineImage";
    /// Looks at what the host can do.
    pub const DOCTOR: &str = "backout:Doctor";
}

/// A native call: who, and under which id.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// The id that the answer carries.
    pub request: RequestId,
    /// What makes a repetition the same call. The key has been checked with
    /// [`is_idempotency_key`].
    pub idempotency: Option<Idempotency>,
}

/// Whether a text may be an idempotency key.
#[must_use]
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageOf {
    /// At most so many items; 1 to [`PAGE_MAX`].
    pub limit: Option<usize>,
    /// Where the page begins: the `next` of the one before.
    pub cursor: Option<String>,
}

impl PageOf {
    fn limit(&self) -> Result<usize> {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if (1..=PAGE_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(NativeError::malformed(format!(
                "list {limit} items: give a limit of 1 to {PAGE_MAX}"
            )))
        }
    }

    /// For lists that are counted through.
    fn rows(&self) -> Result<Page> {
        let limit = self.limit()?;
        Ok(Page {
            offset: self.offset()?,
            limit: u64::try_from(limit).unwrap_or(u64::MAX),
        })
    }

    fn offset(&self) -> Result<u64> {
        let Some(cursor) = &self.cursor else {
            return Ok(0);
        };
        cursor
            .strip_prefix('o')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|offset| *offset <= OFFSET_MAX)
            .ok_or_else(bad_cursor)
    }
}

fn bad_cursor() -> NativeError {
    NativeError::malformed(
        "read the cursor: give the one that the previous page ended with, unchanged",
    )
}

/// The first row of what there is.
const ONE: Page = Page {
    offset: 0,
    limit: 1,
};

/// The cursor of the page after this one, which has `got` items.
fn next_offset(page: Page, got: usize, total: u64) -> Option<String> {
    let next = page
        .offset
        .saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
    (got > 0 && next < total).then(|| format!("o{next}"))
}

/// A page of a list, as it is shown: how many there are, and those on the page.
fn listed<T, U>(page: Page, (total, found): (u64, Vec<T>), of: impl FnMut(T) -> U) -> List<U> {
    List {
        next: next_offset(page, found.len(), total),
        items: found.into_iter().map(of).collect(),
    }
}

/// How many there are, and those on a page, of what is known as a whole.
fn cut<T>(page: Page, all: Vec<T>) -> (u64, Vec<T>) {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let found = all.into_iter().skip(size(page.offset));
    (total, found.take(size(page.limit)).collect())
}

/// What [`RequestLog::find`] returns.
pub type LineFuture<'a> =
    Pin<Box<dyn Future<Output = std::result::Result<Option<RequestLine>, String>> + Send + 'a>>;

/// Where answered requests are looked up.
pub trait RequestLog: Send + Sync {
    /// The line of a request; the error says what could not be read.
    fn find<'a>(&'a self, request: &'a RequestId) -> LineFuture<'a>;
}

/// What [`Native`] is made of.
pub struct Parts {
    /// The state.
    pub store: Store,
    /// The accounts.
    pub accounts: Accounts,
    /// Bounds how often a call is let through.
    pub limiter: Arc<Limiter>,
    /// The servers.
    pub servers: Servers,
    /// The databases.
    pub databases: Databases,
    /// The applications.
    pub apps: Apps,
    /// The data engines.
    pub engines: Engines,
    /// The jobs.
    pub jobs: Jobs,
    /// The fault switch, where there is one.
    pub faults: Option<Faults>,
    /// Where answered requests are looked up.
    pub requests: Arc<dyn RequestLog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The name of this host.
    pub node: String,
    /// The data folder, for `doctor`.
    pub data: PathBuf,
    /// Names by which a reverse proxy in front of us is called.
    pub public_hosts: Vec<String>,
    /// The version that is told.
    pub version: String,
}

/// The native API.
pub struct Native {
    parts: Parts,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Native")
            .field("node", &self.parts.node)
            .finish_non_exhaustive()
    }
}

/// What a call that changes something leaves in its audit line.
trait Outcome {
    fn job(&self) -> Option<JobId> {
        None
    }
}

impl Outcome for () {}
impl Outcome for dto::Account {}
impl Outcome for dto::CreatedAccount {}
impl Outcome for dto::NewKey {}
impl Outcome for dto::Server {}
impl Outcome for dto::Snapshot {}
impl Outcome for dto::Image {}
impl Outcome for dto::Database {}
impl Outcome for dto::App {}
impl Outcome for dto::DataEngine {}
impl Outcome for dto::AddedEngineImage {}
impl Outcome for dto::AppVersion {}
impl Outcome for dto::NamespaceView {}
impl Outcome for dto::SecretView {}
impl Outcome for dto::ConfigMapView {}
impl Outcome for dto::ScalingRuleView {}
impl Outcome for dto::AccountSettings {}
impl Outcome for dto::ServiceSettings {}

/// What makes a job, or several: the first stands for the call.
macro_rules! made_a_job {
    ($($answer:ident: $job:expr;)*) => {$(
        impl Outcome for dto::$answer {
            fn job(&self) -> Option<JobId> {
                let job: fn(&Self) -> Option<&String> = $job;
                job(self)?.parse().ok()
            }
        }
    )*};
}

made_a_job! {
    Accepted: |a| Some(&a.job);
    AcceptedClone: |a| Some(&a.job);
    AcceptedJobs: |a| a.jobs.first();
    AcceptedOrder: |a| a.job.as_ref();
    AcceptedEngine: |a| Some(&a.job);
    OrderView: |a| a.job.as_ref();
    AcceptedRollback: |a| Some(&a.job);
    AddedServer: |a| Some(&a.job);
    AddedDisk: |a| Some(&a.job);
    AddedDatabase: |a| Some(&a.job);
    AcceptedTask: |a| Some(&a.job);
    TakenBackup: |a| Some(&a.job);
    CreatedServers: |a| a.servers.first().map(|s| &s.job);
    CreatedSnapshot: |a| Some(&a.job);
    CreatedImage: |a| Some(&a.job);
}
impl Outcome for dto::Fault {}
impl Outcome for dto::ClearedFaults {}

impl Native {
    /// Composes it from its parts.
    #[must_use]
    pub const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The jobs, for streams of events that were let in by
    /// [`Native::watch_job`].
    #[must_use]
    pub const fn jobs(&self) -> &Jobs {
        &self.parts.jobs
    }

    /// A fresh id for an answer.
    #[must_use]
    pub fn new_request(&self) -> RequestId {
        RequestId::random(self.parts.entropy.as_ref())
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    /// Finds out who calls; see [`auth::authenticate`].
    ///
    /// # Errors
    /// As [`auth::authenticate`].
    pub async fn authenticate(
        &self,
        raw: backout_wire::RawRequest<'_>,
        channel: auth::Channel,
    ) -> Result<Arc<Principal>> {
        let p = &self.parts;
        auth::authenticate(&p.accounts, raw, channel, p.clock.now(), &p.public_hosts).await
    }

    /// Which Backout this is.
    #[must_use]
    pub fn version(&self) -> dto::Version {
        dto::Version {
            name: "backout".into(),
            version: self.parts.version.clone(),
        }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it does not.
    pub async fn ready(&self) -> Result<()> {
        let asked = self
            .parts
            .store
            .read::<_, backout_store::Error>(|tx| tx.query("SELECT 1", &[]).map(drop));
        let why = match tokio::time::timeout(READY_WAIT, asked).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => e.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        tracing::warn!(error = %why, "not ready: the store does not answer");
        Err(NativeError::new(
            Code::Store,
            "reach the state: the store does not answer; try again",
        ))
    }

    fn limit(&self, call: &Call, action: &str) -> Result<()> {
        Ok(self.parts.limiter.check(&call.principal.account, action)?)
    }

    /// Whether the caller's policy allows `action` on these resources, each
    /// with all its spellings.
    fn allow(call: &Call, action: &str, resources: &[Vec<String>]) -> Result<()> {
        if call.principal.allows(action, resources) {
            return Ok(());
        }
        let on = resources
            .first()
            .and_then(|r| r.first())
            .map_or("everything", String::as_str);
        Err(NativeError::denied(format!(
            "let account {} do {action} on {on}: its policy does not allow it; ask who manages the account",
            call.principal.name
        )))
    }

    /// Lets a call in that is about no resource in particular.
    fn admit(&self, call: &Call, action: &str) -> Result<()> {
        self.limit(call, action)?;
        Self::allow(call, action, &[])
    }

    /// Runs a call that changes something, and writes its audit line.
    async fn audited<T: Outcome>(
        &self,
        call: &Call,
        action: &str,
        resource: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        // Before the work: a flood must not fill the audit trail.
        self.limit(call, action)?;
        let result = work.await;
        let line = audit::Line {
            at: self.parts.clock.now(),
            account: call.principal.account.clone(),
            owner: call.principal.owner.clone(),
            request: call.request.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            refused: result.as_ref().err().map(|e| e.code.as_str().to_owned()),
            job: result.as_ref().ok().and_then(Outcome::job),
        };
        if let Err(e) = audit::record(&self.parts.store, line).await {
            tracing::error!(request = %call.request, action, error = %e, "an audit line could not be written");
        }
        result
    }

    fn caller(call: &Call) -> Caller {
        Caller {
            account: call.principal.account.clone(),
            owner: call.principal.owner.clone(),
            request: call.request.clone(),
            idempotency: call.idempotency.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys() {
        assert!(is_idempotency_key("a"));
        assert!(is_idempotency_key(&"~".repeat(128)));
        for bad in ["", " ", "a b", "a\n", "ä", &"x".repeat(129)] {
            assert!(!is_idempotency_key(bad), "{bad:?}");
        }
    }

    #[test]
    fn pages() {
        let page = |limit, cursor: Option<&str>| PageOf {
            limit,
            cursor: cursor.map(str::to_owned),
        };
        assert_eq!(page(None, None).limit(), Ok(50));
        assert!(page(Some(0), None).limit().is_err());
        assert!(page(Some(101), None).limit().is_err());
        assert_eq!(page(None, Some("o50")).offset(), Ok(50));
        for bad in [
            "",
            "50",
            "o",
            "o-1",
            "o+1",
            "o99999999999999999999",
            "o1000001",
        ] {
            assert!(page(None, Some(bad)).offset().is_err(), "{bad:?}");
        }
        let rows = page(Some(2), Some("o1")).rows().unwrap();
        assert_eq!((rows.offset, rows.limit), (1, 2));
        assert_eq!(next_offset(rows, 2, 4), Some("o3".into()));
        assert_eq!(next_offset(rows, 2, 3), None);
        assert_eq!(next_offset(rows, 0, 200), None);

        let all = || vec!["a", "b", "c", "d"];
        assert_eq!(cut(rows, all()), (4, vec!["b", "c"]));
        let shown = listed(rows, cut(rows, all()), str::to_owned);
        assert_eq!(
            (shown.items, shown.next),
            (vec!["b".into(), "c".into()], Some("o3".into()))
        );
        let last = page(None, Some("o3")).rows().unwrap();
        let shown = listed(last, cut(last, all()), str::to_owned);
        assert_eq!((shown.items, shown.next), (vec!["d".into()], None));
        let beyond = page(None, Some("o9")).rows().unwrap();
        assert_eq!(cut(beyond, all()), (4, Vec::new()));
    }
}
