//! What can be asked of applications: the one way in for every surface.
//!
//! | file | what is asked there |
//! |---|---|
//! | `mod` | who there is; what all share |
//! | `namespaces` | rooms for applications |
//! | `applications` | applications come, are found, described and labelled; their versions |
//! | `releases` | what is to be deployed is read, checked and fetched |
//! | `orders` | what changes applications: what it would do, that it is done, approved, undone |
//! | `words` | what a person says to an order that is under way |
//! | `queries` | orders, batches, replicas, logs and events |
//! | `rules` | how the number of replicas follows the load |
//! | `keeper` | what is done without being asked for |
//! | `kept` | config maps and secrets |
//! | `settings` | what operators say of the service and of accounts |

mod applications;
mod keeper;
mod kept;
mod namespaces;
mod orders;
mod queries;
mod releases;
mod rules;
mod settings;
mod words;

use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{AccountId, ApplicationId, Entropy, JobId, OrderId, RequestId, VersionId};
use backout_core::plan::{Plan, Preflight};
use backout_core::time::Clock;
use backout_jobs::{Idempotency, Jobs};
use backout_rollout::Planned;
use backout_store::{Store, Tx};
use tokio::sync::Semaphore;

pub use self::applications::{
    APPLICATIONS_MAX, Created, DESCRIPTION_MAX_CHARS, Group, NAME_MAX_CHARS, NewApplication,
    TAGS_MAX, Usage,
};
pub(crate) use self::keeper::Memory;
pub use self::keeper::{Swept, Tended};
pub use self::kept::{CONFIG_MAPS_MAX, ENTRIES_MAX_BYTES, SECRET_MAX_BYTES, SECRETS_MAX};
pub use self::namespaces::{DEFAULT_NAMESPACE, NAMESPACES_MAX, NamespaceResources};
pub use self::orders::{BATCH_MAX, Wanted};
pub use self::queries::{ApplicationView, OrderMetric, OrderView, ReplicaView};
pub use self::releases::{
    FILES_MAX, LABEL_MAX_CHARS, NewArtifact, NewFile, NewRelease, PACKAGE_VERSION_MAX_CHARS,
};
use crate::model::{Application, ApplicationState, Version};
use crate::persistence;
use crate::planning::Settings;
use crate::refusal::Refusal;
use crate::runtime::Runtime;

/// How many packages are fetched at a time: each is unpacked and packed again,
/// which keeps a processor busy.
const FETCHES_MAX: usize = 4;

/// How long one call waits for its package: longer than clients wait for an
/// answer, and within what a local deploy of gigabytes takes.
const FETCH_MAX: Duration = Duration::from_secs(120);

/// Who calls, on whose resources, under which request id.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account that signed the call.
    pub account: AccountId,
    /// The account whose resources it works on.
    pub owner: AccountId,
    /// The id of the call.
    pub request: RequestId,
    /// The caller's idempotency key and a hash of its request.
    pub idempotency: Option<Idempotency>,
    /// The rule of the caller's policy by which what it asks for waits for
    /// approval; none when it does not.
    pub approval: Option<String>,
}

/// How an order is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Floor, batches and waits.
    pub settings: Settings,
    /// Free text.
    pub description: String,
    /// Whether scaling rules are on afterwards; none, those that were.
    pub scaling_on: Option<bool>,
}

/// An order that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub order: OrderId,
    /// Its job; none while it waits for approval.
    pub job: Option<JobId>,
    /// The application.
    pub application: ApplicationId,
    /// The version that it goes to; none where that is no matter.
    pub version: Option<VersionId>,
    /// Whether it waits for approval.
    pub needs_approval: bool,
    /// Whether an earlier call with the same idempotency key had asked for it.
    pub repeated: bool,
}

/// What an order would do.
#[derive(Debug)]
pub struct Proposal {
    /// What stands in the way, and what to know.
    pub preflight: Preflight,
    /// What stands in the way, once more, for who tells it in words of its own.
    pub blockers: Vec<Refusal>,
    /// The steps of its job.
    pub plan: Plan,
    /// The batches; none when they cannot be told.
    pub planned: Option<Planned>,
    /// The application; of one that is to be made, as it would be.
    pub application: Application,
    /// The version before.
    pub from: Option<Version>,
    /// The version after; none where that is no matter. One that is to be
    /// deployed has an id that it will not have.
    pub to: Option<Version>,
    /// How many replicas there are to be now.
    pub replicas_before: u32,
    /// How many there would be.
    pub replicas_after: u32,
    /// The rule by which it would wait for approval.
    pub needs_approval: Option<String>,
}

/// The applications of this store.
#[derive(Clone)]
pub struct Apps {
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) node: String,
    pub(crate) runtime: Runtime,
    fetches: Arc<Semaphore>,
    fetch_max: Duration,
}

impl std::fmt::Debug for Apps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apps")
            .field("node", &self.node)
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl Apps {
    /// Applications whose jobs run on the host `node`, and what works on them
    /// there.
    #[must_use]
    pub fn new(
        store: Store,
        jobs: Jobs,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        node: String,
        runtime: Runtime,
    ) -> Self {
        Self {
            store,
            jobs,
            clock,
            entropy,
            node,
            runtime,
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            fetch_max: FETCH_MAX,
        }
    }

    /// These applications, where a call waits for its package no longer than
    /// `max`.
    #[must_use]
    pub const fn fetching_for(mut self, max: Duration) -> Self {
        self.fetch_max = max;
        self
    }

    /// A number that changes with every commit to the store; `None` where the
    /// store cannot tell it cheaply.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.store.version()
    }

    /// The node of this host.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What works on applications here.
    #[must_use]
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Refuses an application whose jobs run elsewhere.
    pub(crate) fn here(&self, application: &Application) -> Result<(), Refusal> {
        if application.node == self.node {
            return Ok(());
        }
        Err(Refusal::Elsewhere {
            application: application.id.clone(),
            node: application.node.clone(),
        })
    }
}

/// An application by its id, its name where that is the owner's only one of that
/// name, or `NAMESPACE/NAME`.
pub(crate) fn application_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
    wanted: &str,
) -> Result<Application, Refusal> {
    let none = || Refusal::ApplicationNotFound(wanted.chars().take(100).collect());
    if let Some(found) = persistence::application(tx, owner, wanted)? {
        return Ok(found);
    }
    if let Some((namespace, name)) = wanted.split_once('/') {
        return persistence::application_in(tx, owner, namespace, name)?.ok_or_else(none);
    }
    let mut named = persistence::applications_named(tx, owner, wanted)?;
    match named.len() {
        1 => Ok(named.remove(0)),
        0 => Err(none()),
        _ => Err(Refusal::Parameter {
            name: "application",
            why: format!("{wanted:?} is in several namespaces; write NAMESPACE/{wanted}"),
        }),
    }
}

/// A version of an application by its id, its number (`3`, `v3`), or its label.
pub(crate) fn version_of(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    wanted: &str,
) -> Result<Version, Refusal> {
    if wanted.is_empty() {
        return Err(Refusal::Empty("version"));
    }
    if let Some(found) = persistence::version(tx, application, wanted)? {
        return Ok(found);
    }
    let digits = wanted.strip_prefix('v').unwrap_or(wanted);
    // Its numbers are those of the store.
    if let Ok(number) = digits.parse::<i64>()
        && let Ok(number) = u64::try_from(number)
        && let Some(found) = persistence::version_by_number(tx, application, number)?
    {
        return Ok(found);
    }
    persistence::version_labelled(tx, application, wanted)?
        .ok_or_else(|| Refusal::VersionNotFound(wanted.chars().take(100).collect()))
}

/// Refuses an application that is being taken away.
pub(crate) fn not_leaving(application: &Application, action: &'static str) -> Result<(), Refusal> {
    if application.state != ApplicationState::Deleting {
        return Ok(());
    }
    Err(Refusal::State {
        action,
        application: application.id.clone(),
        state: application.state,
        hint: "it will not be there much longer",
    })
}

/// Refuses a text that is too long, or has in it what no line has.
pub(crate) fn check_text(name: &'static str, text: &str, most_chars: usize) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if chars > most_chars {
        return Err(Refusal::Parameter {
            name,
            why: format!("{chars} characters are too many; give at most {most_chars}"),
        });
    }
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(Refusal::Parameter {
            name,
            why: "control characters are in it; take them out".to_owned(),
        });
    }
    Ok(())
}

/// Refuses a name that is none: 1 to `most` lower- or upper-case letters,
/// digits, `-`, `_` and `.`, beginning with a letter or a digit.
pub(crate) fn check_name(name: &'static str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::Empty(name));
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fine = text.len() <= most
        && text
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(known);
    if fine {
        return Ok(());
    }
    Err(Refusal::Parameter {
        name,
        why: format!(
            "{:?} is none: give 1 to {most} letters, digits, hyphens, underscores and dots, a letter or a digit first",
            text.chars().take(100).collect::<String>()
        ),
    })
}

/// Performs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Refusal::Invalid(format!("work on the application: {e}"))),
    }
}
