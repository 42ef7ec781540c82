//! Instances that are made of another's past.

use backout_core::ids::{AccountId, DatabaseId, JobId, random_base36};
use backout_core::plan::Plan;

use super::lifecycle::{
    NewManaged, check_name, check_shape, free_port, insert, installed, room_for,
};
use super::rollback::{plan, written};
use super::{Asked, Caller, Databases, NewWork, Proposal, blocking};
use crate::model::{
    Backup, Detail, Instance, Road, RollbackDetail, Shape, Strategy, TaskKind, resource,
};
use crate::persistence;
use crate::preflight::{self, CheckedClone, CloneChoice, Sight};
use crate::procedures::clone::{Clone, CloneInput};
use crate::refusal::Refusal;
use crate::request::{CloneRequest, CloneTo, FoundClone};

const ACTION: &str = "clone";

impl Databases {
    /// What making an instance of another's past would do.
    ///
    /// # Errors
    /// What made it impossible to look; what stands in the way is in the
    /// proposal.
    pub async fn propose_clone(
        &self,
        owner: &AccountId,
        request: &CloneRequest,
    ) -> Result<(Proposal, Option<FoundClone>), Refusal> {
        let (source, backups) = self.seen(owner, &request.source).await?;
        check_shape(&shape_of(request, &source))?;
        let busy = self.hindered(&source, ACTION).await?;
        let room = self.hindered_name(owner, &request.name).await?;
        let (mut checked, _) = self
            .look_clone(source.clone(), backups, request.to.clone())
            .await?;
        let blockers = &mut checked.preflight.blockers;
        blockers.extend(busy.into_iter().chain(room).map(|r| r.finding()));
        Ok((
            Proposal {
                preflight: checked.preflight,
                plan: plan(&Clone(self.runtime.clone()), &source, "clone an instance"),
            },
            checked.found,
        ))
    }

    /// Makes an instance of another's past; returns its id as well.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] with all that the preflight found;
    /// [`Refusal::Busy`], [`Refusal::State`], [`Refusal::Taken`],
    /// [`Refusal::Quota`]; as [`Databases::propose_clone`].
    pub async fn clone_instance(
        &self,
        caller: &Caller,
        request: CloneRequest,
    ) -> Result<(Asked, DatabaseId), Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return self.made_by(asked).await;
        }
        let (source, backups) = self.seen(&caller.owner, &request.source).await?;
        check_shape(&shape_of(&request, &source))?;
        if let Some(refusal) = self.hindered(&source, ACTION).await? {
            return Err(refusal);
        }
        if let Some(refusal) = self.hindered_name(&caller.owner, &request.name).await? {
            return Err(refusal);
        }
        let (checked, version) = self
            .look_clone(source.clone(), backups, request.to.clone())
            .await?;
        let (choice, found) = match (checked.choice, checked.found) {
            (Some(choice), Some(found)) => (choice, found),
            _ => return Err(Refusal::Blocked(checked.preflight.blockers)),
        };
        let made = self.clone_row(caller, &request, &source, &version)?;
        let work = self
            .clone_work(caller, &request, &source, &made, choice, &found)
            .await?;
        let asked = self
            .submit(caller, vec![work], move |tx| insert(tx, &made))
            .await?;
        self.made_by(super::lifecycle::only(asked)?).await
    }

    /// The instance that a clone's task makes.
    async fn made_by(&self, asked: Asked) -> Result<(Asked, DatabaseId), Refusal> {
        let number = asked.number;
        let task = self
            .store
            .read(move |tx| Ok::<_, Refusal>(persistence::task(tx, number)?))
            .await?;
        let made = task.and_then(|task| task.detail.made);
        Ok((asked, made.ok_or(Refusal::IdempotencyMismatch)?))
    }

    async fn look_clone(
        &self,
        source: Instance,
        backups: Vec<Backup>,
        to: CloneTo,
    ) -> Result<(CheckedClone, String), Refusal> {
        self.here(&source)?;
        let runtime = self.runtime.clone();
        blocking(move || {
            let version = installed(None)?;
            let sight = Sight {
                runtime: &runtime,
                instance: &source,
                backups: &backups,
            };
            Ok((preflight::clone(&sight, &to, &version)?, version))
        })
        .await
    }

    /// Why no instance of this name can be made now.
    async fn hindered_name(
        &self,
        owner: &AccountId,
        name: &str,
    ) -> Result<Option<Refusal>, Refusal> {
        if !name.is_empty() {
            check_name(name)?;
        }
        let (owner, name) = (owner.clone(), name.to_owned());
        self.store
            .read(move |tx| {
                if let Err(refusal) = room_for(persistence::count_instances(tx, &owner)?, 1) {
                    return Ok(Some(refusal));
                }
                let taken = !name.is_empty() && persistence::name_is_taken(tx, &owner, &name)?;
                Ok(taken.then_some(Refusal::Taken(name)))
            })
            .await
    }

    /// The row of the instance that is to be made.
    fn clone_row(
        &self,
        caller: &Caller,
        request: &CloneRequest,
        source: &Instance,
        version: &str,
    ) -> Result<Instance, Refusal> {
        let id = DatabaseId::random(self.entropy.as_ref());
        let name = match request.name.is_empty() {
            true => format!("db-{}", random_base36(self.entropy.as_ref(), 8)),
            false => request.name.clone(),
        };
        let new = NewManaged {
            names: Vec::new(),
            count: 1,
            shape: shape_of(request, source),
            port: request.port,
            password: None,
            version: None,
            tags: Vec::new(),
        };
        let port = match request.port {
            Some(port) => port,
            None => free_port(&mut Vec::new())?,
        };
        self.to_be_made(caller, id, name, port, &new, version)
    }

    async fn clone_work(
        &self,
        caller: &Caller,
        request: &CloneRequest,
        source: &Instance,
        made: &Instance,
        choice: CloneChoice,
        found: &FoundClone,
    ) -> Result<NewWork, Refusal> {
        let base = choice.base;
        let chain = self
            .store
            .read(move |tx| Ok::<_, Refusal>(persistence::chain_of(tx, base)?))
            .await?;
        let input = CloneInput {
            instance: made.id.clone(),
            source: source.id.clone(),
            incarnation: choice.incarnation,
            base: chain.into_iter().map(|b| b.folder).collect(),
            cut: choice.cut,
            zone: choice.settings.zone,
            charset: choice.settings.charset,
            collation: choice.settings.collation,
            lower_case: choice.settings.lower_case,
        };
        let title = format!("make {} of {} at {}", made.name, source.name, found.until);
        // What it reads stays: nobody else works on the source meanwhile.
        let plan = Plan {
            claims: vec![source.resource(), resource(&made.id)],
            ..plan(&Clone(self.runtime.clone()), source, &title)
        };
        let id = JobId::random(self.entropy.as_ref());
        Ok(NewWork {
            job: self.job(caller, id, plan, &source.node, &input)?,
            instance: source.id.clone(),
            kind: TaskKind::Clone,
            detail: Detail {
                rollback: Some(RollbackDetail {
                    strategy: Strategy::Full,
                    until_us: found.until_us,
                    asked: asked_as(&request.to, found),
                    databases: Vec::new(),
                    tables: Vec::new(),
                    road: Some(Road::Restore),
                    cut: found.cut.clone(),
                    kept: found.kept.as_ref().and_then(|t| t.gtid.clone()),
                    undone: found.undone.as_ref().and_then(|t| t.gtid.clone()),
                    made: None,
                    proofs: Vec::new(),
                }),
                made: Some(made.id.clone()),
                backup: match request.to {
                    CloneTo::Backup(number) => Some(number),
                    CloneTo::Until(_) | CloneTo::Newest => None,
                },
                ..Detail::default()
            },
        })
    }
}

/// The past that was asked for, as it was written.
fn asked_as(to: &CloneTo, found: &FoundClone) -> String {
    match to {
        CloneTo::Until(until) => written(until),
        CloneTo::Backup(_) | CloneTo::Newest => found.until.clone(),
    }
}

fn shape_of(request: &CloneRequest, source: &Instance) -> Shape {
    request
        .shape
        .clone()
        .unwrap_or_else(|| source.shape.clone())
}
