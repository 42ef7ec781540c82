//! Background work on an application that nobody changes: its gateway runs and
//! spreads requests over those that are ready, and replicas that were lost with
//! their host run again.
//!
//! | step | do | undo |
//! |---|---|---|
//! | mend | start the gateway and what was lost; tell the gateway who is ready | nothing: it brings about what is meant to be |

use backout_core::ids::ApplicationId;
use backout_core::outcome::Outcome;
use backout_gateway::Backend;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_store::Error as StoreError;
use backout_workloads::{Phase, Status};
use serde::{Deserialize, Serialize};

use super::{Work, driver_error, refused, specs, traffic};
use crate::model::{Application, Replica, SealedSecret, Version};
use crate::persistence;

/// The name of the procedure.
pub const NAME: &str = "apps.mend";

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MendInput {
    /// The application.
    pub application: ApplicationId,
}

/// The procedure.
#[derive(Clone, Debug)]
pub struct Mend(pub Work);

pub(crate) const STEPS: &[Step<Mend>] = &[Step {
    name: "mend",
    does: "start what should run and does not",
    run: |p, ctx| Box::pin(mend(&p.0, ctx)),
    undo: Undo::Nothing,
}];

impl Procedure for Mend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

/// A replica, and what it is run with.
pub(crate) struct Kept {
    pub(crate) replica: Replica,
    pub(crate) version: Version,
    sealed: Vec<(String, Option<SealedSecret>)>,
}

/// An application with its replicas.
pub(crate) struct Whole {
    pub(crate) application: Application,
    /// The version it was deployed or taken back to last.
    pub(crate) version: Option<Version>,
    pub(crate) replicas: Vec<Kept>,
}

/// Reads an application whole. None when it is gone.
pub(crate) fn whole(
    tx: &mut dyn backout_store::Tx,
    id: &ApplicationId,
) -> Result<Option<Whole>, StoreError> {
    let Some(application) = persistence::application_by_id(tx, id)? else {
        return Ok(None);
    };
    let version = match &application.version {
        Some(version) => persistence::version(tx, id, version.as_str())?,
        None => None,
    };
    let mut replicas: Vec<Kept> = Vec::new();
    for replica in persistence::replicas_of(tx, id)? {
        let known = replicas.iter().find(|k| k.version.id == replica.version);
        let (version, sealed) = match known {
            Some(kept) => (kept.version.clone(), kept.sealed.clone()),
            None => {
                let Some(version) = persistence::version(tx, id, replica.version.as_str())? else {
                    continue;
                };
                let sealed = specs::sealed(
                    tx,
                    &application.owner,
                    &application.namespace,
                    &version.release,
                )?;
                (version, sealed)
            }
        };
        replicas.push(Kept {
            replica,
            version,
            sealed,
        });
    }
    Ok(Some(Whole {
        application,
        version,
        replicas,
    }))
}

impl Whole {
    /// The port that the gateway should listen on.
    pub(crate) fn port(&self) -> Option<u16> {
        self.version.as_ref()?.release.port
    }

    /// Over whom the gateway should spread requests.
    pub(crate) fn backends(&self, statuses: &Statuses) -> Vec<Backend> {
        let ready = |kept: &Kept| {
            let status = statuses.get(&kept.replica.id)?;
            let address = status.address.filter(|_| status.phase == Phase::Ready)?;
            Some(Backend::ready(kept.replica.id.as_str(), address))
        };
        self.replicas.iter().filter_map(ready).collect()
    }
}

/// How replicas are, by their ids.
pub(crate) type Statuses = std::collections::BTreeMap<backout_core::ids::ReplicaId, Status>;

/// Whether a replica should be started again: its supervisor is gone, or was
/// told to let it end. One that it restarts by itself is left to it.
pub(crate) fn is_lost(status: Option<&Status>) -> bool {
    match status.map(|s| &s.phase) {
        None | Some(Phase::Lost | Phase::Ended { .. }) => true,
        Some(
            Phase::Starting | Phase::Ready | Phase::Unready | Phase::Waits { .. } | Phase::Stopping,
        ) => false,
    }
}

async fn mend(work: &Work, ctx: &StepContext) -> Result<Done, StepError> {
    let input: MendInput = ctx.input()?;
    let found = ctx
        .store
        .read(move |tx| whole(tx, &input.application))
        .await?;
    let Some(whole) = found else {
        return Ok(Done::nothing());
    };
    let look = || {
        whole
            .replicas
            .iter()
            .map(|k| {
                let artifact = k.version.release.artifact.clone();
                (k.replica.id.clone(), artifact)
            })
            .collect::<Vec<_>>()
    };
    let statuses = work.runtime.look(look()).await;
    for kept in &whole.replicas {
        if ctx.cancel.requested() {
            return Err(StepError::Cancelled);
        }
        // One that cannot be looked at is not known to be lost.
        let Some(Ok(status)) = statuses.get(&kept.replica.id) else {
            continue;
        };
        if is_lost(status.as_ref()) {
            start(work, ctx, kept).await?;
        }
    }
    let Some(port) = whole.port() else {
        return Ok(Done::nothing());
    };
    let statuses = work.runtime.statuses(look()).await;
    let spread = async {
        let client = traffic::running(&work.runtime, &whole.application.id).await?;
        traffic::listen(&work.runtime, &client, ctx.fence, &[port]).await?;
        traffic::spread(&client, ctx.fence, &whole.backends(&statuses)).await
    };
    spread.await.map_err(traffic::error)?;
    Ok(Done::nothing())
}

async fn start(work: &Work, ctx: &StepContext, kept: &Kept) -> Result<(), StepError> {
    let (runtime, fence) = (work.runtime.clone(), ctx.fence);
    let (id, release) = (kept.replica.id.clone(), kept.version.release.clone());
    let sealed = kept.sealed.clone();
    ctx.blocking(move || {
        let secrets = specs::opened(&runtime, &sealed).map_err(refused)?;
        let spec = specs::spec(&runtime, &id, &release, secrets).map_err(refused)?;
        let driver = runtime.driver(&release.artifact).map_err(refused)?;
        driver.start(fence, &spec).map(drop).map_err(driver_error)
    })
    .await
}
