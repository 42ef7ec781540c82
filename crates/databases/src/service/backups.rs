//! Base backups, and when they are taken by themselves.

use backout_core::code::Code;
use backout_core::ids::AccountId;
use backout_core::plan::Finding;
use backout_history::TableName;
use backout_mariadb::catalog;
use backout_store::Tx;

use super::lifecycle::only;
use super::{Asked, Caller, Databases, NewWork, holding_of, instance_of, usable};
use crate::model::{Backup, BackupConfig, BackupState, Detail, Instance, Method, TaskKind, Way};
use crate::persistence::{self, BackupFilter, Page};
use crate::preflight::TABLES_MAX;
use crate::procedures::backup::{BackupInput, TakeBackup};
use crate::procedures::delete_backup::{DeleteBackup, DeleteBackupInput, Going};
use crate::refusal::Refusal;

/// The longest name of a backup, in characters (contract).
const BACKUP_NAME_MAX_CHARS: usize = 60;

/// The longest time that backups or history are kept, in days (contract).
pub const KEEP_DAYS_MAX: u32 = 1830;

/// How many backups one job deletes: each is a rename and a folder.
pub(super) const DELETE_MAX: usize = 50;

/// A base backup to be taken.
#[derive(Clone, Debug)]
pub struct NewBackup {
    /// The instance, by id or name.
    pub instance: String,
    /// What people will call it; its time when there is none.
    pub name: Option<String>,
    /// What is to be in it.
    pub method: Method,
    /// The tables of a partial one; a name with an empty table stands for all
    /// of a database.
    pub tables: Vec<TableName>,
}

impl Databases {
    /// Takes a base backup; returns its number.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] when the server's files are not on this host;
    /// [`Refusal::Busy`], [`Refusal::State`], [`Refusal::Invalid`],
    /// [`Refusal::NoSuchTable`], [`Refusal::InstanceNotFound`],
    /// [`Refusal::Store`].
    pub async fn backup(&self, caller: &Caller, new: NewBackup) -> Result<(u64, Asked), Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return self.with_number(asked).await;
        }
        let instance = self.get(&caller.owner, &new.instance).await?;
        let (looked, action) = (instance.clone(), "back up");
        self.store
            .read(move |tx| usable(tx, &looked, action))
            .await?;
        let tables = match (new.method, new.tables.is_empty()) {
            (Method::Partial, true) => {
                return Err(Refusal::Invalid(
                    "take a backup of some tables: name them".to_owned(),
                ));
            }
            (Method::Full | Method::Incremental, false) => {
                return Err(Refusal::Invalid(
                    "take a backup of a whole instance: name no tables".to_owned(),
                ));
            }
            (_, true) => Vec::new(),
            (_, false) => self.tables_named(&instance, new.tables).await?,
        };
        if new.method == Method::Incremental {
            let id = instance.id.clone();
            let base = self
                .store
                .read(move |tx| Ok::<_, Refusal>(persistence::newest_base(tx, &id)?))
                .await?;
            if base.is_none() {
                return Err(Refusal::Invalid(format!(
                    "take an incremental backup of database {}: there is no full one to go on from; take that first",
                    instance.id
                )));
            }
        }
        let wanted = Wanted {
            name: new.name,
            way: Way::Manual,
            method: new.method,
            tables,
        };
        let asked = self.begin_backup(caller, &instance, wanted).await?;
        self.with_number(asked).await
    }

    /// Deletes a backup; with `manual_only` none that the schedule took.
    ///
    /// # Errors
    /// [`Refusal::BackupState`] when it is not usable, others build on it, or
    /// the schedule took it; [`Refusal::BackupNotFound`], [`Refusal::Busy`],
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn delete_backup(
        &self,
        caller: &Caller,
        id_or_name: &str,
        number: u64,
        manual_only: bool,
    ) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        let (owner, wanted) = (caller.owner.clone(), id_or_name.to_owned());
        let (instance, backup) = self
            .store
            .read(move |tx| {
                let instance = instance_of(tx, &owner, &wanted)?;
                if let Some(holding) = holding_of(tx, &instance.resource())? {
                    return Err(Refusal::Busy {
                        instance: instance.id,
                        job: holding.job,
                        kind: holding.kind,
                        held: holding.held,
                    });
                }
                let backup = persistence::backup(tx, number)?
                    .filter(|backup| backup.instance == instance.id)
                    .ok_or(Refusal::BackupNotFound(number))?;
                if manual_only && backup.way == Way::Automatic {
                    return Err(Refusal::BackupState {
                        action: "delete",
                        number,
                        state: backup.state,
                        hint: "the schedule took it, and takes it away when its time is over"
                            .to_owned(),
                    });
                }
                Ok((instance, backup))
            })
            .await?;
        self.begin_deletion(caller, &instance, vec![backup], false)
            .await
    }

    /// One page of an instance's backups, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn backups(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        filter: BackupFilter,
        page: Page,
    ) -> Result<(u64, Vec<Backup>), Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let instance = instance_of(tx, &owner, &wanted)?;
                Ok(persistence::list_backups(tx, &instance.id, &filter, page)?)
            })
            .await
    }

    /// Sets when base backups are taken by themselves, and how long they and
    /// the history are kept.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn set_backup_config(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        config: BackupConfig,
    ) -> Result<(), Refusal> {
        check_config(&config)?;
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .write(move |tx| {
                let instance = instance_of(tx, &owner, &wanted)?;
                Ok(persistence::set_backup_config(tx, &instance.id, &config)?)
            })
            .await
    }

    async fn with_number(&self, asked: Asked) -> Result<(u64, Asked), Refusal> {
        let job = asked.job.clone();
        let task = self
            .store
            .read(move |tx| Ok::<_, Refusal>(persistence::task_of_job(tx, &job)?))
            .await?;
        match task.and_then(|task| task.detail.backup) {
            Some(number) => Ok((number, asked)),
            None => Err(Refusal::TaskNotFound(asked.asked)),
        }
    }

    /// The tables that are meant, each by its name.
    async fn tables_named(
        &self,
        instance: &Instance,
        names: Vec<TableName>,
    ) -> Result<Vec<TableName>, Refusal> {
        let asked = names.clone();
        let mut tables = self
            .ask(instance.clone(), move |session| {
                let mut tables = Vec::new();
                for name in asked {
                    if name.table.is_empty() {
                        let all = catalog::tables(session, &name.schema)?;
                        tables.extend(
                            all.into_iter()
                                .map(|table| TableName::new(name.schema.clone(), table.name)),
                        );
                    } else if catalog::exists(session, &name)? {
                        tables.push(name);
                    }
                }
                Ok(tables)
            })
            .await?;
        tables.sort();
        tables.dedup();
        let missing = names.iter().find(|name| {
            let of = |table: &TableName| match name.table.is_empty() {
                true => table.schema == name.schema,
                false => table == *name,
            };
            !tables.iter().any(of)
        });
        if let Some(missing) = missing {
            let (what, name) = match missing.table.is_empty() {
                true => ("tables in database", missing.schema.clone()),
                false => ("table", missing.to_string()),
            };
            return Err(Refusal::NoSuchTable {
                what,
                name,
                hint: "list what there is".to_owned(),
            });
        }
        if tables.len() > TABLES_MAX {
            return Err(Refusal::Invalid(format!(
                "take a backup of {} tables: one takes at most {TABLES_MAX}; take a full one",
                tables.len()
            )));
        }
        Ok(tables)
    }

    /// Submits the job that takes a backup, with the backup's row.
    pub(super) async fn begin_backup(
        &self,
        caller: &Caller,
        instance: &Instance,
        wanted: Wanted,
    ) -> Result<Asked, Refusal> {
        self.here(instance)?;
        if instance.facts.datadir.is_none() {
            return Err(Refusal::Blocked(vec![Finding {
                code: Code::BackupTool,
                message: format!(
                    "back up database {}: the files of its server are not on this host; run Backout there",
                    instance.id
                ),
            }]));
        }
        let now = self.clock.now();
        let name = match wanted.name {
            Some(name) => name,
            None => format!("{}-{}", instance.name, now.iso8601()),
        };
        let chars = name.chars().count();
        let drawn = wanted.way == Way::Automatic;
        if name.is_empty()
            || name.chars().any(char::is_control)
            || (chars > BACKUP_NAME_MAX_CHARS && !drawn)
        {
            return Err(Refusal::Invalid(format!(
                "use the name {name:?} for a backup: give 1 to {BACKUP_NAME_MAX_CHARS} characters, none for control"
            )));
        }
        let input = BackupInput {
            instance: instance.id.clone(),
        };
        let procedure = TakeBackup(self.runtime.clone());
        let mut work: NewWork = self.work(
            caller,
            &procedure,
            instance,
            "back up",
            TaskKind::Backup,
            &input,
        )?;
        work.job.background = wanted.way == Way::Automatic;
        let job = work.job.id.clone();
        let (runtime, instance) = (self.runtime.clone(), instance.clone());
        let asked = self
            .submit(caller, vec![work], move |tx| {
                let instance = still_running(tx, &instance)?;
                let number = persistence::next_backup_number(tx)?;
                let backup = Backup {
                    number,
                    folder: runtime.backup_folder(&instance.id, number),
                    instance: instance.id,
                    owner: instance.owner,
                    name,
                    way: wanted.way,
                    method: wanted.method,
                    state: BackupState::Running,
                    tables: wanted.tables,
                    base: None,
                    position: None,
                    gtid: None,
                    bytes: 0,
                    started: now,
                    finished: None,
                    as_of: None,
                    job: Some(job.clone()),
                };
                persistence::insert_backup(tx, &backup)?;
                let detail = Detail {
                    backup: Some(number),
                    ..Detail::default()
                };
                Ok(persistence::set_task_detail(tx, &job, &detail)?)
            })
            .await?;
        only(asked)
    }

    /// Submits the job that deletes backups; those that build on others are
    /// named first.
    pub(super) async fn begin_deletion(
        &self,
        caller: &Caller,
        instance: &Instance,
        backups: Vec<Backup>,
        background: bool,
    ) -> Result<Asked, Refusal> {
        self.here(instance)?;
        let input = DeleteBackupInput {
            instance: instance.id.clone(),
            backups: backups
                .iter()
                .map(|backup| Going {
                    number: backup.number,
                    folder: backup.folder.clone(),
                    was: backup.state.as_str().to_owned(),
                })
                .collect(),
        };
        let mut work = self.work(
            caller,
            &DeleteBackup(self.runtime.clone()),
            instance,
            "delete backups of",
            TaskKind::DeleteBackup,
            &input,
        )?;
        work.job.background = background;
        work.detail.backup = backups.first().map(|backup| backup.number);
        let job = work.job.id.clone();
        let asked = self
            .submit(caller, vec![work], move |tx| {
                for backup in &backups {
                    deletable(tx, backup, &backups)?;
                    let state = BackupState::Deleting;
                    persistence::set_backup_state(tx, backup.number, state, Some(&job))?;
                }
                Ok(())
            })
            .await?;
        only(asked)
    }
}

/// What a backup is to be.
pub(super) struct Wanted {
    pub(super) name: Option<String>,
    pub(super) way: Way,
    pub(super) method: Method,
    pub(super) tables: Vec<TableName>,
}

/// The instance as it is now, when it still can be backed up. Its job is there:
/// so nobody else's is.
fn still_running(tx: &mut dyn Tx, instance: &Instance) -> Result<Instance, Refusal> {
    let now = persistence::instance_by_id(tx, &instance.id)?
        .ok_or_else(|| Refusal::InstanceNotFound(instance.id.to_string()))?;
    match now.state {
        crate::model::InstanceState::Running => Ok(now),
        state => Err(Refusal::State {
            action: "back up",
            instance: now.id,
            state,
            hint: "bring it back first",
        }),
    }
}

/// Refuses a backup that cannot go, though all of `going` go.
fn deletable(tx: &mut dyn Tx, backup: &Backup, going: &[Backup]) -> Result<(), Refusal> {
    let number = backup.number;
    let now = persistence::backup(tx, number)?.ok_or(Refusal::BackupNotFound(number))?;
    let refused = |hint: String| {
        Err(Refusal::BackupState {
            action: "delete",
            number,
            state: now.state,
            hint,
        })
    };
    match now.state {
        BackupState::Ready | BackupState::Failed => {}
        BackupState::Running => return refused("wait until it is done, or cancel it".to_owned()),
        BackupState::Deleting => return refused("it will be gone".to_owned()),
    }
    let others = persistence::backups_building_on(tx, number)?;
    match others
        .into_iter()
        .find(|other| going.iter().all(|g| g.number != *other))
    {
        Some(other) => refused(format!("backup {other} builds on it; delete that first")),
        None => Ok(()),
    }
}

fn check_config(config: &BackupConfig) -> Result<(), Refusal> {
    let (from, to) = config.window;
    if from > 23 || to > 24 || from >= to {
        return Err(Refusal::Invalid(format!(
            "take backups from {from} to {to} o'clock: give an hour from 0 to 23, and a later one up to 24"
        )));
    }
    if config.enabled && !config.days.contains(&true) {
        return Err(Refusal::Invalid(
            "take backups on no day of the week: give one, or switch the schedule off".to_owned(),
        ));
    }
    for (what, days) in [
        ("backups", config.keep_days),
        ("history", config.history_days),
    ] {
        if days == 0 || days > KEEP_DAYS_MAX {
            return Err(Refusal::Invalid(format!(
                "keep {what} for {days} days: give 1 to {KEEP_DAYS_MAX}"
            )));
        }
    }
    Ok(())
}
