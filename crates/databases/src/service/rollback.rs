//! The ways back: what they would do, doing it, stopping it, undoing it.

use backout_core::ids::{AccountId, JobId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_jobs::{CancelAnswer, JobsError, planned_steps};

use super::{Asked, Caller, Databases, NewWork, Proposal, blocking, instance_of, usable};
use crate::model::{
    Backup, Copying, Detail, Instance, Road, RollbackDetail, Standing, Strategy, Task, TaskKind,
};
use crate::persistence;
use crate::preflight::{self, Checked, Choice, Made, Sight};
use crate::preview;
use crate::procedures::rewind::{Rewind, RewindInput};
use crate::procedures::rollback::{Rollback, RollbackInput};
use crate::procedures::withdraw::{Withdraw, WithdrawInput};
use crate::refusal::Refusal;
use crate::request::{Found, Preview, RewindRequest, RewindWhat, RollbackRequest, Until};
use crate::zone::Written;

/// How many base backups a preflight looks at: with one a day, more than a
/// year's.
const BACKUPS_LOOKED_AT: u64 = 500;

/// How many pages of 100 rollbacks are looked at for what they made: more than
/// people leave beside their tables.
const MADE_PAGES: u64 = 10;

/// How many rows a preview shows at most.
pub const PREVIEW_MAX: usize = 1_000;

/// How many instances one call may take back: each is looked at while the
/// caller waits.
pub const INSTANCES_MAX: usize = 10;

impl Databases {
    /// What a rollback under new names would do.
    ///
    /// # Errors
    /// What made it impossible to look; what stands in the way is in the
    /// proposal.
    pub async fn propose_rollback(
        &self,
        owner: &AccountId,
        request: &RollbackRequest,
    ) -> Result<(Proposal, Option<Found>), Refusal> {
        let (instance, backups) = self.seen(owner, &request.instance).await?;
        let busy = self.hindered(&instance, "take back").await?;
        let plan = plan(
            &Rollback(self.runtime.clone()),
            &instance,
            "take tables back",
        );
        let mut checked = self
            .look_rollback(instance, backups, request.clone())
            .await?;
        checked.preflight.blockers.extend(busy.map(|r| r.finding()));
        Ok((
            Proposal {
                preflight: checked.preflight,
                plan,
            },
            checked.found,
        ))
    }

    /// Takes tables or databases back under new names; one job an instance,
    /// all of them accepted or none.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] with all that the preflight found;
    /// [`Refusal::Busy`], [`Refusal::State`]; as
    /// [`Databases::propose_rollback`].
    pub async fn rollback(
        &self,
        caller: &Caller,
        requests: Vec<RollbackRequest>,
    ) -> Result<Vec<Asked>, Refusal> {
        if requests.is_empty() || requests.len() > INSTANCES_MAX {
            return Err(Refusal::Invalid(format!(
                "take back {} instances: name 1 to {INSTANCES_MAX}",
                requests.len()
            )));
        }
        let before = self.asked_before(caller).await?;
        if !before.is_empty() {
            return Ok(before);
        }
        let as_caller = caller.clone();
        let checked = self
            .look_at_each(&requests, move |databases, request| {
                let caller = as_caller.clone();
                async move { databases.rollback_checked(&caller, &request).await }
            })
            .await;
        // Of several that are refused, the first.
        let work = checked.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<_> = work.iter().map(|w| w.instance.clone()).collect();
        ids.sort();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::Invalid(
                "take an instance back twice in one call: put its tables into one".to_owned(),
            ));
        }
        // Again, in the transaction: another call may have been faster.
        self.submit(caller, work, move |_| Ok(())).await
    }

    /// The job of one instance, once its preflight passed.
    async fn rollback_checked(
        &self,
        caller: &Caller,
        request: &RollbackRequest,
    ) -> Result<NewWork, Refusal> {
        let (instance, backups) = self.seen(&caller.owner, &request.instance).await?;
        if let Some(refusal) = self.hindered(&instance, "take back").await? {
            return Err(refusal);
        }
        self.here(&instance)?;
        let base_of = backups.clone();
        let checked = self
            .look_rollback(instance.clone(), backups, request.clone())
            .await?;
        let (choice, found) = passed(checked)?;
        self.rollback_work(caller, &instance, request, choice, &found, &base_of)
            .await
    }

    async fn rollback_work(
        &self,
        caller: &Caller,
        instance: &Instance,
        request: &RollbackRequest,
        choice: Choice,
        found: &Found,
        backups: &[Backup],
    ) -> Result<NewWork, Refusal> {
        let base = match choice.base {
            None => Vec::new(),
            Some(number) => {
                debug_assert!(backups.iter().any(|b| b.number == number));
                let chain = self
                    .store
                    .read(move |tx| Ok::<_, Refusal>(persistence::chain_of(tx, number)?))
                    .await?;
                chain.into_iter().map(|b| b.folder).collect()
            }
        };
        let input = RollbackInput {
            instance: instance.id.clone(),
            incarnation: choice.incarnation,
            cut: choice.located.position.clone(),
            road: choice.road,
            copying: choice.copying,
            base,
            tables: choice.tables.iter().map(|t| t.name.clone()).collect(),
            databases: choice.databases.clone(),
            placed: choice.placed,
            replay: choice.replay,
            lower_case_names: choice.lower_case_names,
        };
        let procedure = Rollback(self.runtime.clone());
        let what = match (request.databases.as_slice(), request.tables.as_slice()) {
            ([one], []) => one.from.clone(),
            ([], [one]) => one.from.to_string(),
            (databases, tables) => {
                format!("{} databases and tables", databases.len() + tables.len())
            }
        };
        let title = format!("take {what} of {} back to {}", instance.name, found.until);
        let plan = plan(&procedure, instance, &title);
        let id = JobId::random(self.entropy.as_ref());
        Ok(NewWork {
            job: self.job(caller, id, plan, &instance.node, &input)?,
            instance: instance.id.clone(),
            kind: TaskKind::Rollback,
            detail: Detail {
                rollback: Some(RollbackDetail {
                    strategy: request.strategy,
                    until_us: found.until_us,
                    asked: written(&request.until),
                    databases: request.databases.clone(),
                    tables: request.tables.clone(),
                    road: Some(choice.road),
                    cut: Some(found.cut.clone()),
                    kept: found.kept.as_ref().and_then(|t| t.gtid.clone()),
                    undone: found.undone.as_ref().and_then(|t| t.gtid.clone()),
                    made: None,
                    proofs: Vec::new(),
                }),
                ..Detail::default()
            },
        })
    }

    /// What a rollback in place would do.
    ///
    /// # Errors
    /// As [`Databases::propose_rollback`].
    pub async fn propose_rewind(
        &self,
        owner: &AccountId,
        request: &RewindRequest,
    ) -> Result<(Proposal, Option<Found>), Refusal> {
        let (instance, backups) = self.seen(owner, &request.instance).await?;
        let busy = self.hindered(&instance, "take back").await?;
        let plan = plan(
            &Rewind(self.runtime.clone()),
            &instance,
            "take tables back in place",
        );
        let mut checked = self.look_rewind(instance, backups, request.clone()).await?;
        checked.preflight.blockers.extend(busy.map(|r| r.finding()));
        Ok((
            Proposal {
                preflight: checked.preflight,
                plan,
            },
            checked.found,
        ))
    }

    /// The rows that a rollback in place would change: at most `limit` of them,
    /// and how many there are.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] with all that the preflight found; as
    /// [`Databases::propose_rewind`].
    pub async fn preview_rewind(
        &self,
        owner: &AccountId,
        request: &RewindRequest,
        limit: usize,
    ) -> Result<Preview, Refusal> {
        let (instance, backups) = self.seen(owner, &request.instance).await?;
        let checked = self
            .look_rewind(instance.clone(), backups, request.clone())
            .await?;
        let (choice, _) = passed(checked)?;
        let runtime = self.runtime.clone();
        let id = JobId::random(self.entropy.as_ref());
        blocking(move || {
            // As a job's, so that what a crash leaves is swept as such.
            let folder = runtime.job_folder(&instance.id, &id);
            let preview = preview::rows(
                &runtime,
                &instance,
                &choice,
                &folder,
                limit.min(PREVIEW_MAX),
            );
            let swept = crate::files::remove_folder(&folder);
            let preview = preview?;
            swept.map_err(|e| Refusal::Failed(e.to_string()))?;
            Ok(preview)
        })
        .await
    }

    /// Takes tables back in place, or undoes transactions.
    ///
    /// # Errors
    /// As [`Databases::rollback`].
    pub async fn rewind(&self, caller: &Caller, request: RewindRequest) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        let (instance, backups) = self.seen(&caller.owner, &request.instance).await?;
        if let Some(refusal) = self.hindered(&instance, "take back").await? {
            return Err(refusal);
        }
        self.here(&instance)?;
        let checked = self
            .look_rewind(instance.clone(), backups, request.clone())
            .await?;
        let (choice, found) = passed(checked)?;
        let title = match &request.what {
            RewindWhat::Until { tables, .. } => format!(
                "take {} of {} back to {} in place",
                counted(tables.len(), "table"),
                instance.name,
                found.until
            ),
            RewindWhat::Transactions { gtids, .. } => {
                format!(
                    "undo {} of {}",
                    counted(gtids.len(), "transaction"),
                    instance.name
                )
            }
        };
        let work = self.rewind_work(caller, &instance, &choice, &found, &title)?;
        one(self.submit(caller, vec![work], |_| Ok(())).await?)
    }

    fn rewind_work(
        &self,
        caller: &Caller,
        instance: &Instance,
        choice: &Choice,
        found: &Found,
        title: &str,
    ) -> Result<NewWork, Refusal> {
        let input = RewindInput {
            instance: instance.id.clone(),
            incarnation: choice.incarnation,
            cut: choice.located.position.clone(),
            only: choice.only.clone(),
            tables: choice.tables.iter().map(|t| t.name.from.clone()).collect(),
            lower_case_names: choice.lower_case_names,
        };
        let plan = plan(&Rewind(self.runtime.clone()), instance, title);
        let id = JobId::random(self.entropy.as_ref());
        Ok(NewWork {
            job: self.job(caller, id, plan, &instance.node, &input)?,
            instance: instance.id.clone(),
            kind: TaskKind::Rewind,
            detail: Detail {
                rollback: Some(RollbackDetail {
                    strategy: Strategy::Table,
                    until_us: found.until_us,
                    asked: found.until.clone(),
                    databases: Vec::new(),
                    tables: choice.tables.iter().map(|t| t.name.clone()).collect(),
                    road: Some(Road::InPlace),
                    cut: Some(found.cut.clone()),
                    kept: found.kept.as_ref().and_then(|t| t.gtid.clone()),
                    undone: found.undone.as_ref().and_then(|t| t.gtid.clone()),
                    made: None,
                    proofs: Vec::new(),
                }),
                ..Detail::default()
            },
        })
    }

    /// Asks the rollback that runs on an instance to stop; all will be as
    /// before.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::NothingToStop`],
    /// [`Refusal::Held`], [`Refusal::TooLateToStop`], [`Refusal::Store`].
    pub async fn stop_rollback(&self, caller: &Caller, id_or_name: &str) -> Result<Asked, Refusal> {
        let (asked, now) = (self.draw_asked(), self.clock.now());
        let (caller, wanted, id) = (caller.clone(), id_or_name.to_owned(), asked.clone());
        // In one transaction: the job is not asked without its task, and no
        // other job than the one that was looked at.
        let (stop, answer) = self
            .store
            .write(move |tx| {
                let instance = instance_of(tx, &caller.owner, &wanted)?;
                let Some(task) = persistence::running_rollback_of(tx, &instance.id)? else {
                    return Err(Refusal::NothingToStop(instance.id));
                };
                if task.standing == Standing::Held {
                    return Err(Refusal::Held {
                        instance: instance.id,
                        job: task.job,
                    });
                }
                let answer =
                    backout_jobs::request_cancel_in(tx, &task.job, now).map_err(|e| match e {
                        JobsError::Store(e) => Refusal::Store(e),
                        other => Refusal::Store(backout_store::Error::corrupt(other.to_string())),
                    })?;
                if answer == CancelAnswer::TooLate {
                    return Err(Refusal::TooLateToStop {
                        instance: instance.id,
                        job: task.job,
                    });
                }
                let stop = Task {
                    number: persistence::next_task_number(tx)?,
                    asked: id,
                    owner: caller.owner,
                    operator: caller.account,
                    request: caller.request,
                    instance: instance.id,
                    kind: TaskKind::Stop,
                    detail: Detail {
                        stops: Some(task.number),
                        ..Detail::default()
                    },
                    job: task.job,
                    standing: Standing::Running,
                    percent: 0,
                    words: String::new(),
                    error: None,
                    created: now,
                    ended: None,
                };
                persistence::insert_task(tx, &stop)?;
                Ok((stop, answer))
            })
            .await?;
        if answer == CancelAnswer::Requested {
            self.jobs.cancel_requested(&stop.job);
        }
        Ok(Asked {
            number: stop.number,
            asked,
            job: stop.job,
            instance: stop.instance,
            repeated: false,
        })
    }

    /// Takes an applied rollback back: the tables that it made go, unless
    /// somebody changed them since; what it took back in place comes again.
    ///
    /// # Errors
    /// [`Refusal::NotReversible`]; as [`Databases::rollback`].
    pub async fn undo(&self, caller: &Caller, job: &JobId) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        let (owner, wanted) = (caller.owner.clone(), job.clone());
        let (view, task, instance) = self
            .store
            .read(move |tx| {
                let view = backout_jobs::expect_in(tx, &wanted)?;
                let refuse = |why: &str| Refusal::NotReversible {
                    job: wanted.clone(),
                    why: why.to_owned(),
                };
                let task = persistence::task_of_job(tx, &wanted)?
                    .filter(|t| t.owner == owner)
                    .ok_or_else(|| refuse("it is not one of the databases'"))?;
                if view.outcome != Some(Outcome::Applied) {
                    return Err(refuse(
                        "it was not applied, so there is nothing to take back",
                    ));
                }
                if view.undone_by.is_some() {
                    return Err(refuse("another job took it back already"));
                }
                let instance = instance_of(tx, &owner, task.instance.as_str())?;
                usable(tx, &instance, "take back")?;
                Ok((view, task, instance))
            })
            .await?;
        self.here(&instance)?;
        let title = format!("undo: {}", view.title);
        let refuse = |why: &str| Refusal::NotReversible {
            job: job.clone(),
            why: why.to_owned(),
        };
        let detail = task.detail.rollback.clone();
        let made = detail.as_ref().and_then(|d| d.made.clone());
        let mut work = match (task.kind, detail, made) {
            (TaskKind::Rollback, Some(detail), _) => {
                let input: RollbackInput = serde_json::from_value(view.input).map_err(|e| {
                    Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}")))
                })?;
                let input = WithdrawInput {
                    instance: instance.id.clone(),
                    tables: input.tables.into_iter().map(|t| t.to).collect(),
                    databases: input.databases.into_iter().map(|d| d.to).collect(),
                    placed: input.placed,
                    unlogged: input.copying == Copying::Files,
                    digests: detail.proofs.iter().map(|p| p.digest.clone()).collect(),
                };
                let plan = plan(&Withdraw(self.runtime.clone()), &instance, &title);
                let id = JobId::random(self.entropy.as_ref());
                NewWork {
                    job: self.job(caller, id, plan, &instance.node, &input)?,
                    instance: instance.id.clone(),
                    kind: TaskKind::Undo,
                    detail: Detail {
                        rollback: Some(RollbackDetail {
                            proofs: Vec::new(),
                            ..detail
                        }),
                        ..Detail::default()
                    },
                }
            }
            // What took rows back in place is a transaction, and undone as such.
            (TaskKind::Rewind | TaskKind::Undo, Some(detail), Some(made)) => {
                let request = RewindRequest {
                    instance: instance.id.to_string(),
                    what: RewindWhat::Transactions {
                        gtids: vec![made],
                        tables: detail.tables.iter().map(|t| t.from.clone()).collect(),
                    },
                    torn: true,
                };
                let (_, backups) = self.seen(&caller.owner, instance.id.as_str()).await?;
                let checked = self.look_rewind(instance.clone(), backups, request).await?;
                let (choice, found) = passed(checked)?;
                let work = self.rewind_work(caller, &instance, &choice, &found, &title)?;
                NewWork {
                    kind: TaskKind::Undo,
                    ..work
                }
            }
            (TaskKind::Rewind, ..) => {
                return Err(refuse(
                    "it changed nothing, or its transaction cannot be told",
                ));
            }
            (TaskKind::Undo, ..) => {
                return Err(refuse("the tables are gone; roll back again instead"));
            }
            _ => return Err(refuse("only rollbacks can be taken back")),
        };
        work.job.undo_of = Some(job.clone());
        one(self.submit(caller, vec![work], |_| Ok(())).await?)
    }

    /// An instance, and its base backups that can be used.
    pub(super) async fn seen(
        &self,
        owner: &AccountId,
        wanted: &str,
    ) -> Result<(Instance, Vec<Backup>), Refusal> {
        let (owner, wanted) = (owner.clone(), wanted.to_owned());
        self.store
            .read(move |tx| {
                let instance = instance_of(tx, &owner, &wanted)?;
                let backups = persistence::ready_backups(tx, &instance.id, BACKUPS_LOOKED_AT)?;
                Ok((instance, backups))
            })
            .await
    }

    /// Why an instance cannot be worked on now.
    pub(super) async fn hindered(
        &self,
        instance: &Instance,
        action: &'static str,
    ) -> Result<Option<Refusal>, Refusal> {
        let instance = instance.clone();
        self.store
            .read(move |tx| match usable(tx, &instance, action) {
                Ok(()) => Ok(None),
                Err(e @ Refusal::Store(_)) => Err(e),
                Err(refusal) => Ok(Some(refusal)),
            })
            .await
    }

    async fn look_rollback(
        &self,
        instance: Instance,
        backups: Vec<Backup>,
        request: RollbackRequest,
    ) -> Result<Checked, Refusal> {
        self.here(&instance)?;
        let made = self.made(&instance).await?;
        let runtime = self.runtime.clone();
        blocking(move || {
            let sight = Sight {
                runtime: &runtime,
                instance: &instance,
                backups: &backups,
            };
            preflight::rollback(&sight, &request, &made)
        })
        .await
    }

    /// The tables and databases that rollbacks of an instance made, or took away
    /// again. Files come and go without a log, so history does not tell that
    /// they were not there before.
    async fn made(&self, instance: &Instance) -> Result<Vec<Made>, Refusal> {
        let (owner, instance) = (instance.owner.clone(), instance.id.clone());
        self.store
            .read(move |tx| {
                let filter = persistence::TaskFilter {
                    instance: Some(instance),
                    kinds: vec![TaskKind::Rollback, TaskKind::Undo],
                    standings: vec![Standing::Applied],
                    ..persistence::TaskFilter::default()
                };
                let mut made = Vec::new();
                for page in 0..MADE_PAGES {
                    let limit = 100;
                    let page = persistence::Page {
                        offset: page * limit,
                        limit,
                    };
                    let (_, tasks) = persistence::list_tasks(tx, &owner, &filter, page)?;
                    if tasks.is_empty() {
                        break;
                    }
                    made.extend(tasks.into_iter().filter_map(|task| {
                        // In place a transaction is made, and no table.
                        let detail = task.detail.rollback?;
                        let beside = detail.made.is_none() && detail.road != Some(Road::InPlace);
                        beside.then_some(())?;
                        Some(Made {
                            taken_away: task.kind == TaskKind::Undo,
                            tables: detail.tables.into_iter().map(|t| t.to).collect(),
                            databases: detail.databases.into_iter().map(|d| d.to).collect(),
                            at: task.ended?,
                        })
                    }));
                }
                Ok::<_, Refusal>(made)
            })
            .await
    }

    async fn look_rewind(
        &self,
        instance: Instance,
        backups: Vec<Backup>,
        request: RewindRequest,
    ) -> Result<Checked, Refusal> {
        self.here(&instance)?;
        let runtime = self.runtime.clone();
        blocking(move || {
            let sight = Sight {
                runtime: &runtime,
                instance: &instance,
                backups: &backups,
            };
            preflight::rewind(&sight, &request)
        })
        .await
    }
}

fn passed(checked: Checked) -> Result<(Choice, Found), Refusal> {
    match (checked.choice, checked.found) {
        (Some(choice), Some(found)) => Ok((choice, found)),
        _ => Err(Refusal::Blocked(checked.preflight.blockers)),
    }
}

fn one(asked: Vec<Asked>) -> Result<Asked, Refusal> {
    asked
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::Failed("start a job: none was made".to_owned()))
}

/// The plan of one run of `procedure` on an instance.
pub(super) fn plan<P: backout_jobs::Procedure>(
    procedure: &P,
    instance: &Instance,
    title: &str,
) -> Plan {
    Plan {
        procedure: procedure.name().to_owned(),
        title: title.to_owned(),
        claims: vec![instance.resource()],
        steps: planned_steps(procedure),
    }
}

/// `1 table`, `2 tables`.
fn counted(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// What was asked for, as it was written.
pub(super) fn written(until: &Until) -> String {
    match until {
        Until::Written(Written::Local(text)) => text.clone(),
        Until::Written(Written::Instant(us)) => crate::zone::Zone::UTC.explicit(*us),
        Until::Gtid(gtid) => gtid.to_string(),
        Until::Position(at) => at.to_string(),
    }
}
