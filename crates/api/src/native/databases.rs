//! Databases: coming and going, history, the ways back, backups.

use std::str::FromStr;

use backout_core::ids::DatabaseId;
use backout_databases::model::{Instance, LocalLogs, Method, Renamed, Road, Shape, Strategy};
use backout_databases::persistence::{BackupFilter, InstanceFilter, Page, TaskFilter};
use backout_databases::zone::NoInstant;
use backout_databases::{
    Asked, CloneRequest, CloneTo, Found, LogFilter, NewBackup, NewInstance, NewManaged, Proposal,
    Refusal, RewindRequest, RewindWhat, RollbackRequest, TRANSACTIONS_MAX, Until, Written, Zone,
};
use backout_history::{Gtid, Micros, TableName};

use super::dto::{
    Accepted, AcceptedClone, AcceptedRollback, AcceptedTask, AddDatabase, AddedDatabase, Backup,
    Binlog, Binlogs, ChangeDatabase, CloneDatabase, Database, DatabaseDoctor, ExamineServer,
    FoundClone, FoundView, HistoryWindow, List, NewName, PlannedClone, PlannedRollback, Resource,
    RewindDatabase, RollbackDatabase, RowsPreview, Schema, SchemaTable, TakeBackup, TakenBackup,
    Task, Transactions, table_of, table_text, zone_of,
};
use super::names::{if_there, vendor_spellings};
use super::{Call, Native, NativeError, ONE, PageOf, Result, action, cut, listed, next_offset};

/// How many transactions are shown on each side of an instant when nothing is
/// said: a screen.
const TRANSACTIONS_DEFAULT: usize = 10;

/// How many rows a preview shows: enough to see what it is about.
const PREVIEW_ROWS: usize = 20;

/// Which transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionsWanted {
    /// Around when; now when it is left out.
    pub around: Option<String>,
    /// Only those that changed this table.
    pub table: Option<String>,
    /// At most so many on each side.
    pub limit: Option<usize>,
}

/// How an instance changes hands, or its place in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeStep {
    /// It is stopped and started.
    Restart,
    /// It is stopped; one that others run is left alone.
    Isolate,
    /// It is brought back.
    Release,
}

impl LifeStep {
    /// The action, as policies name it.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Restart => action::RESTART_DATABASES,
            Self::Isolate => action::ISOLATE_DATABASES,
            Self::Release => action::RELEASE_DATABASES,
        }
    }
}

impl Native {
    /// The databases of a list of everything, counted after the servers and the
    /// disks; and how many there are.
    pub(super) async fn database_resources(
        &self,
        call: &Call,
        page: Page,
    ) -> Result<(u64, Vec<Resource>)> {
        let (owner, databases) = (&call.principal.owner, &self.parts.databases);
        let all = InstanceFilter::default();
        let (total, found) = databases.list(owner, all, page).await?;
        let items = found.into_iter().map(|i| Resource {
            resource: format!("database/{}", i.name),
            kind: "database".into(),
            id: i.id.to_string(),
            name: i.name,
            state: i.state.as_str().into(),
        });
        Ok((total, items.collect()))
    }

    /// `GET /v1/databases`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn databases(&self, call: &Call, page: &PageOf) -> Result<List<Database>> {
        self.admit(call, action::DESCRIBE_DATABASES)?;
        let page = page.rows()?;
        let databases = &self.parts.databases;
        let (total, found) = databases
            .list(&call.principal.owner, InstanceFilter::default(), page)
            .await?;
        let ids: Vec<DatabaseId> = found.iter().map(|i| i.id.clone()).collect();
        let holdings = databases.holdings(&ids).await?;
        let found = found.into_iter().zip(holdings).collect();
        Ok(listed(page, (total, found), |(i, h)| Database::of(i, h)))
    }

    /// `GET /v1/databases/{database}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database(&self, call: &Call, database: &str) -> Result<Database> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let found = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        self.shown_database(call, &found.id).await
    }

    async fn shown_database(&self, call: &Call, id: &DatabaseId) -> Result<Database> {
        let (instance, holding) = self
            .parts
            .databases
            .get_with_holding(&call.principal.owner, id.as_str())
            .await?;
        Ok(Database::of(instance, holding))
    }

    /// `POST /v1/examine`.
    ///
    /// # Errors
    /// A refusal. What stands in the way is no refusal.
    pub async fn examine_server(&self, call: &Call, ask: &ExamineServer) -> Result<DatabaseDoctor> {
        // It makes us connect to wherever it says: as taking it in does.
        self.admit(call, action::ADD_DATABASE)?;
        Ok(self.parts.databases.examine(&ask.url).await?.into())
    }

    /// `POST /v1/databases`.
    ///
    /// # Errors
    /// The first blocker, or another refusal.
    pub async fn add_database(&self, call: &Call, new: AddDatabase) -> Result<AddedDatabase> {
        let resource = format!("database/{}", new.name);
        let action = match new.managed {
            Some(_) => action::CREATE_DATABASE,
            None => action::ADD_DATABASE,
        };
        self.audited(call, action, &resource, async {
            Self::allow(call, action, &[vec![resource.clone()]])?;
            let caller = Self::caller(call);
            let databases = &self.parts.databases;
            let tags = new
                .tags
                .into_iter()
                .map(|t| backout_databases::model::Tag {
                    key: t.key,
                    value: t.value,
                })
                .collect();
            let asked = match (new.url, new.managed) {
                (Some(url), None) => {
                    let name = new.name;
                    databases.add(&caller, NewInstance { name, url, tags }).await?
                }
                (None, Some(managed)) => {
                    let plain = Shape::default();
                    let made = databases
                        .create(
                            &caller,
                            NewManaged {
                                names: vec![new.name],
                                count: 1,
                                shape: Shape {
                                    memory_mb: managed.memory_mb.unwrap_or(plain.memory_mb),
                                    ..plain
                                },
                                port: managed.port,
                                password: None,
                                version: None,
                                tags,
                            },
                        )
                        .await?;
                    let first = made.into_iter().next();
                    first.ok_or_else(|| NativeError::internal("start a job: none was made"))?
                }
                _ => {
                    return Err(NativeError::malformed(
                        "add a database: give either url, of a server that is there, or managed, for one that Backout makes",
                    ));
                }
            };
            Ok(AddedDatabase {
                database: self.shown_database(call, &asked.instance).await?,
                job: asked.job.to_string(),
            })
        })
        .await
    }

    /// `PATCH /v1/databases/{database}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn change_database(
        &self,
        call: &Call,
        database: &str,
        ask: ChangeDatabase,
    ) -> Result<Database> {
        let what = match &ask {
            ChangeDatabase { name: Some(n), .. } => format!(" to {n}"),
            // The URL itself is not audited: it has a password in it.
            ChangeDatabase { url: Some(_), .. } => ": its URL".to_owned(),
            ChangeDatabase {
                local_binlogs: Some(_),
                ..
            } => ": its own binary logs".to_owned(),
            _ => ": its backups".to_owned(),
        };
        let about = format!("database/{database}{what}");
        self.audited(call, action::CHANGE_DATABASE, &about, async {
            let known = self
                .allowed_database(call, action::CHANGE_DATABASE, database)
                .await?;
            let (owner, id) = (&call.principal.owner, known.id.as_str());
            let databases = &self.parts.databases;
            match ask {
                ChangeDatabase {
                    name: Some(name),
                    url: None,
                    backups: None,
                    local_binlogs: None,
                } => {
                    // What it is called decides what policies say of it.
                    let named = vec![format!("database/{name}")];
                    Self::allow(call, action::CHANGE_DATABASE, &[named])?;
                    databases.rename(owner, id, &name).await?;
                }
                ChangeDatabase {
                    name: None,
                    url: Some(url),
                    backups: None,
                    local_binlogs: None,
                } => {
                    let named = vec![format!("database/{}", known.name)];
                    Self::allow(call, action::ADD_DATABASE, &[named])?;
                    databases.set_url(owner, id, &url).await?;
                }
                ChangeDatabase {
                    name: None,
                    url: None,
                    backups: Some(backups),
                    local_binlogs: None,
                } => {
                    let config = backups.config().ok_or_else(|| {
                        NativeError::malformed(
                            "read the days of the week: give 1 (Monday) to 7 (Sunday)",
                        )
                    })?;
                    databases.set_backup_config(owner, id, config).await?;
                }
                ChangeDatabase {
                    name: None,
                    url: None,
                    backups: None,
                    local_binlogs: Some(logs),
                } => {
                    let logs = LocalLogs {
                        hours: logs.hours,
                        percent: logs.percent,
                    };
                    databases.set_local_logs(owner, id, logs).await?;
                }
                // One change would be made, and the other perhaps refused.
                _ => {
                    return Err(NativeError::malformed(
                        "change a database: give one of name, url, backups and local_binlogs",
                    ));
                }
            }
            self.shown_database(call, &known.id).await
        })
        .await
    }

    /// `POST /v1/databases/{database}/restart`, `/isolate` and `/release`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn move_database(
        &self,
        call: &Call,
        database: &str,
        step: LifeStep,
    ) -> Result<AcceptedTask> {
        let about = format!("database/{database}");
        self.audited(call, step.action(), &about, async {
            let id = self.database_id(call, step.action(), database).await?;
            let (caller, databases) = (Self::caller(call), &self.parts.databases);
            let asked = match step {
                LifeStep::Restart => databases.restart(&caller, &id).await?,
                LifeStep::Isolate => databases.isolate(&caller, &id).await?,
                LifeStep::Release => databases.release(&caller, &id).await?,
            };
            Ok(asked.into())
        })
        .await
    }

    /// `DELETE /v1/databases/{database}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn remove_database(
        &self,
        call: &Call,
        database: &str,
        keep_history: bool,
    ) -> Result<AcceptedTask> {
        let about = format!("database/{database}");
        self.audited(call, action::REMOVE_DATABASE, &about, async {
            let id = self
                .database_id(call, action::REMOVE_DATABASE, database)
                .await?;
            let (caller, databases) = (Self::caller(call), &self.parts.databases);
            let asked = match keep_history {
                true => databases.remove_keeping_history(&caller, &id).await?,
                false => databases.remove(&caller, &id).await?,
            };
            Ok(asked.into())
        })
        .await
    }

    /// `GET /v1/databases/{database}/doctor`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_doctor(&self, call: &Call, database: &str) -> Result<DatabaseDoctor> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let owner = &call.principal.owner;
        let found = self.parts.databases.doctor(owner, known.id.as_str());
        Ok(found.await?.into())
    }

    /// `GET /v1/databases/{database}/schemas`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_schemas(
        &self,
        call: &Call,
        database: &str,
        page: &PageOf,
    ) -> Result<List<Schema>> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let page = page.rows()?;
        let owner = &call.principal.owner;
        let found = self
            .parts
            .databases
            .schemas_with_charsets(owner, known.id.as_str())
            .await?;
        let schema = |(name, charset)| Schema { name, charset };
        Ok(listed(page, cut(page, found), schema))
    }

    /// `GET /v1/databases/{database}/schemas/{schema}/tables`.
    ///
    /// # Errors
    /// A refusal: 404 when there is no such database on the instance.
    pub async fn database_tables(
        &self,
        call: &Call,
        database: &str,
        schema: &str,
        page: &PageOf,
    ) -> Result<List<SchemaTable>> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let page = page.rows()?;
        let (owner, databases) = (&call.principal.owner, &self.parts.databases);
        let found = databases.tables(owner, known.id.as_str(), schema).await?;
        if found.is_empty() {
            // None in it, or no such database.
            let all = databases.schemas(owner, known.id.as_str()).await?;
            if !all.iter().any(|known| known == schema) {
                return Err(Refusal::NoSuchTable {
                    what: "database",
                    name: schema.chars().take(64).collect(),
                    hint: "list the databases of the instance to see which there are".to_owned(),
                }
                .into());
            }
        }
        Ok(listed(page, cut(page, found), |name: String| SchemaTable {
            table: table_text(&TableName::new(schema, name.as_str())),
            name,
        }))
    }

    /// `GET /v1/databases/{database}/binlogs`.
    ///
    /// # Errors
    /// A refusal. That the server does not answer is none.
    pub async fn database_binlogs(
        &self,
        call: &Call,
        database: &str,
        page: &PageOf,
    ) -> Result<Binlogs> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let page = page.rows()?;
        let zone = zone_of(&known);
        let found = self
            .parts
            .databases
            .binlogs(
                &call.principal.owner,
                known.id.as_str(),
                LogFilter::default(),
                page,
            )
            .await?;
        Ok(Binlogs {
            next: next_offset(page, found.files.len(), found.total),
            items: found
                .files
                .into_iter()
                .map(|f| Binlog::of(f, &zone))
                .collect(),
            unreached: found.unreached,
        })
    }

    /// What a rollback that was accepted meant.
    async fn accepted_rollback(
        &self,
        call: &Call,
        asked: AcceptedTask,
    ) -> Result<AcceptedRollback> {
        let (owner, databases) = (&call.principal.owner, &self.parts.databases);
        let filter = TaskFilter {
            numbers: vec![asked.task],
            ..TaskFilter::default()
        };
        let (_, found) = databases.tasks(owner, filter, ONE).await?;
        let missing = || Refusal::TaskNotFound(asked.task.to_string());
        let task = found.into_iter().next().ok_or_else(missing)?;
        // Of a call that is repeated: its instance may be gone by now.
        let instance = if_there(databases.get(owner, task.instance.as_str()).await)?;
        let zone = instance.as_ref().map_or(Zone::UTC, zone_of);
        let rollback = Task::of(task, &zone).rollback.ok_or_else(missing)?;
        Ok(AcceptedRollback {
            job: asked.job,
            task: asked.task,
            rollback,
        })
    }

    /// `GET /v1/databases/{database}/windows`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_windows(
        &self,
        call: &Call,
        database: &str,
    ) -> Result<List<HistoryWindow>> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let zone = zone_of(&known);
        let owner = &call.principal.owner;
        let windows = self
            .parts
            .databases
            .windows(owner, known.id.as_str())
            .await?;
        Ok(List {
            items: windows
                .iter()
                .map(|w| HistoryWindow::of(w, &zone))
                .collect(),
            next: None,
        })
    }

    /// `GET /v1/databases/{database}/transactions`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_transactions(
        &self,
        call: &Call,
        database: &str,
        wanted: &TransactionsWanted,
    ) -> Result<Transactions> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let limit = wanted.limit.unwrap_or(TRANSACTIONS_DEFAULT);
        if limit == 0 || limit > TRANSACTIONS_MAX {
            return Err(NativeError::malformed(format!(
                "show {limit} transactions: give a limit of 1 to {TRANSACTIONS_MAX}"
            )));
        }
        let zone = zone_of(&known);
        let around = match &wanted.around {
            None => self.parts.clock.now().0.saturating_mul(1000),
            Some(text) => text
                .parse::<Written>()
                .map_err(NoInstant::from)
                .and_then(|written| zone.instant(&written))
                .map_err(Refusal::from)?,
        };
        let table = match &wanted.table {
            None => None,
            Some(text) => Some(one_table(text)?),
        };
        let owner = &call.principal.owner;
        let found = self
            .parts
            .databases
            .transactions(owner, known.id.as_str(), table, around, limit)
            .await?;
        Ok(Transactions::of(&found, Micros(around), &zone))
    }

    /// `POST /v1/databases/{database}/rollback/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_database_rollback(
        &self,
        call: &Call,
        database: &str,
        ask: &RollbackDatabase,
    ) -> Result<PlannedRollback> {
        self.limit(call, action::CHECK)?;
        let known = self.allowed_database(call, action::CHECK, database).await?;
        let request = rollback_request(known.id.to_string(), ask)?;
        let owner = &call.principal.owner;
        let found = self
            .parts
            .databases
            .propose_rollback(owner, &request)
            .await?;
        Ok(planned(found, false, &known))
    }

    /// `POST /v1/databases/{database}/rollback`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn rollback_database(
        &self,
        call: &Call,
        database: &str,
        ask: &RollbackDatabase,
    ) -> Result<AcceptedRollback> {
        let about = format!("database/{database} to {}", ask.to);
        self.audited(call, action::ROLLBACK, &about, async {
            let id = self.database_id(call, action::ROLLBACK, database).await?;
            let request = rollback_request(id, ask)?;
            let asked = self
                .parts
                .databases
                .rollback(&Self::caller(call), vec![request])
                .await?;
            self.accepted_rollback(call, first(asked)?).await
        })
        .await
    }

    /// `POST /v1/databases/{database}/clone/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_database_clone(
        &self,
        call: &Call,
        database: &str,
        ask: &CloneDatabase,
    ) -> Result<PlannedClone> {
        self.limit(call, action::CHECK)?;
        let known = self.allowed_database(call, action::CHECK, database).await?;
        let request = clone_request(&known, ask)?;
        let owner = &call.principal.owner;
        let (proposal, found) = self.parts.databases.propose_clone(owner, &request).await?;
        let zone = zone_of(&known);
        Ok(PlannedClone {
            passed: proposal.preflight.passed(),
            preflight: proposal.preflight.into(),
            plan: proposal.plan.into(),
            found: found.map(|f| FoundClone::of(&f, &zone)),
        })
    }

    /// `POST /v1/databases/{database}/clone`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn clone_database(
        &self,
        call: &Call,
        database: &str,
        ask: &CloneDatabase,
    ) -> Result<AcceptedClone> {
        let about = format!("database/{database} as database/{}", ask.name);
        self.audited(call, action::CREATE_DATABASE, &about, async {
            // It makes one, of all that another holds.
            let made = vec![format!("database/{}", ask.name)];
            Self::allow(call, action::CREATE_DATABASE, &[made])?;
            let known = self
                .allowed_database(call, action::CREATE_DATABASE, database)
                .await?;
            let request = clone_request(&known, ask)?;
            let caller = Self::caller(call);
            let databases = &self.parts.databases;
            let (asked, made) = databases.clone_instance(&caller, request).await?;
            Ok(AcceptedClone {
                job: asked.job.to_string(),
                task: asked.number,
                database: self.shown_database(call, &made).await?,
            })
        })
        .await
    }

    /// `POST /v1/databases/{database}/rewind/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_database_rewind(
        &self,
        call: &Call,
        database: &str,
        ask: &RewindDatabase,
    ) -> Result<PlannedRollback> {
        self.limit(call, action::CHECK)?;
        let known = self.allowed_database(call, action::CHECK, database).await?;
        let request = rewind_request(known.id.to_string(), ask)?;
        let owner = &call.principal.owner;
        let found = self.parts.databases.propose_rewind(owner, &request).await?;
        Ok(planned(found, ask.to.is_none(), &known))
    }

    /// `POST /v1/databases/{database}/rewind/preview`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn preview_database_rewind(
        &self,
        call: &Call,
        database: &str,
        ask: &RewindDatabase,
    ) -> Result<RowsPreview> {
        self.limit(call, action::PREVIEW_ROWS)?;
        let known = self
            .allowed_database(call, action::PREVIEW_ROWS, database)
            .await?;
        let request = rewind_request(known.id.to_string(), ask)?;
        let owner = &call.principal.owner;
        let found = self
            .parts
            .databases
            .preview_rewind(owner, &request, PREVIEW_ROWS)
            .await?;
        Ok(found.into())
    }

    /// `POST /v1/databases/{database}/rewind`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn rewind_database(
        &self,
        call: &Call,
        database: &str,
        ask: &RewindDatabase,
    ) -> Result<AcceptedRollback> {
        let to = ask
            .to
            .clone()
            .unwrap_or_else(|| ask.transactions.join(", "));
        let about = format!("database/{database} in place: {to}");
        self.audited(call, action::ROLLBACK, &about, async {
            let id = self.database_id(call, action::ROLLBACK, database).await?;
            let request = rewind_request(id, ask)?;
            let caller = Self::caller(call);
            let asked = self.parts.databases.rewind(&caller, request).await?;
            self.accepted_rollback(call, asked.into()).await
        })
        .await
    }

    /// `POST /v1/databases/{database}/stop`.
    ///
    /// # Errors
    /// A refusal: 409 when none runs, or it comes too late.
    pub async fn stop_database_rollback(
        &self,
        call: &Call,
        database: &str,
    ) -> Result<AcceptedTask> {
        let about = format!("database/{database}");
        self.audited(call, action::CANCEL_JOB, &about, async {
            let known = self
                .allowed_database(call, action::CANCEL_JOB, database)
                .await?;
            let caller = Self::caller(call);
            let asked = self
                .parts
                .databases
                .stop_rollback(&caller, known.id.as_str())
                .await?;
            Ok(asked.into())
        })
        .await
    }

    /// `POST /v1/jobs/{job}/undo`, of a job of the databases.
    pub(super) async fn undo_database_job(
        &self,
        call: &Call,
        job: &backout_core::ids::JobId,
    ) -> Result<Accepted> {
        let caller = Self::caller(call);
        Ok(self.parts.databases.undo(&caller, job).await?.job.into())
    }

    /// `GET /v1/databases/{database}/tasks`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_tasks(
        &self,
        call: &Call,
        database: &str,
        page: &PageOf,
    ) -> Result<List<Task>> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let page = page.rows()?;
        let zone = zone_of(&known);
        let filter = TaskFilter {
            instance: Some(known.id),
            ..TaskFilter::default()
        };
        let (total, found) = self
            .parts
            .databases
            .tasks(&call.principal.owner, filter, page)
            .await?;
        Ok(listed(page, (total, found), |t| Task::of(t, &zone)))
    }

    /// `GET /v1/databases/{database}/tasks/{task}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_task(&self, call: &Call, database: &str, task: u64) -> Result<Task> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let zone = zone_of(&known);
        let filter = TaskFilter {
            numbers: vec![task],
            instance: Some(known.id),
            ..TaskFilter::default()
        };
        let (_, found) = self
            .parts
            .databases
            .tasks(&call.principal.owner, filter, ONE)
            .await?;
        let one = found.into_iter().next();
        let one = one.ok_or_else(|| Refusal::TaskNotFound(task.to_string()))?;
        Ok(Task::of(one, &zone))
    }

    /// `GET /v1/databases/{database}/backups`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn database_backups(
        &self,
        call: &Call,
        database: &str,
        page: &PageOf,
    ) -> Result<List<Backup>> {
        self.limit(call, action::DESCRIBE_DATABASES)?;
        let known = self
            .allowed_database(call, action::DESCRIBE_DATABASES, database)
            .await?;
        let page = page.rows()?;
        let (total, found) = self
            .parts
            .databases
            .backups(
                &call.principal.owner,
                known.id.as_str(),
                BackupFilter::default(),
                page,
            )
            .await?;
        let zone = zone_of(&known);
        Ok(listed(page, (total, found), |b| Backup::of(b, &zone)))
    }

    /// `POST /v1/databases/{database}/backups`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn take_database_backup(
        &self,
        call: &Call,
        database: &str,
        ask: TakeBackup,
    ) -> Result<TakenBackup> {
        let about = format!("database/{database}");
        self.audited(call, action::CREATE_BACKUP, &about, async {
            let instance = self
                .database_id(call, action::CREATE_BACKUP, database)
                .await?;
            let tables = ask
                .tables
                .iter()
                .map(|text| match text.strip_suffix(".*") {
                    Some(schema) => Ok(TableName::new(schema, "")),
                    None => one_table(text),
                })
                .collect::<Result<Vec<_>>>()?;
            let method = match (ask.incremental, tables.is_empty()) {
                (true, true) => Method::Incremental,
                (false, true) => Method::Full,
                (false, false) => Method::Partial,
                (true, false) => {
                    return Err(NativeError::malformed(
                        "take an incremental backup of some tables: give tables or incremental, not both",
                    ));
                }
            };
            let new = NewBackup {
                instance,
                name: ask.name,
                method,
                tables,
            };
            let caller = Self::caller(call);
            let (backup, asked) = self.parts.databases.backup(&caller, new).await?;
            Ok(TakenBackup {
                backup,
                job: asked.job.to_string(),
                task: asked.number,
            })
        })
        .await
    }

    /// `DELETE /v1/databases/{database}/backups/{backup}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_database_backup(
        &self,
        call: &Call,
        database: &str,
        backup: u64,
    ) -> Result<AcceptedTask> {
        let about = format!("database/{database} backup {backup}");
        self.audited(call, action::DELETE_BACKUP, &about, async {
            let id = self
                .database_id(call, action::DELETE_BACKUP, database)
                .await?;
            let caller = Self::caller(call);
            let asked = self
                .parts
                .databases
                .delete_backup(&caller, &id, backup, false)
                .await?;
            Ok(asked.into())
        })
        .await
    }

    /// An instance of the caller's owner, if its policy allows `action` on it.
    pub(super) async fn allowed_database(
        &self,
        call: &Call,
        action: &str,
        database: &str,
    ) -> Result<Instance> {
        let (owner, databases) = (&call.principal.owner, &self.parts.databases);
        let found = databases.get(owner, database).await;
        let given = format!("database/{database}");
        Self::allowed(call, action, found, spellings, given)
    }

    /// The id of an instance; the name itself when there is none: an earlier
    /// call with the same idempotency key may have removed or renamed it by now.
    /// The product knows.
    async fn database_id(&self, call: &Call, action: &str, database: &str) -> Result<String> {
        let found = if_there(self.allowed_database(call, action, database).await)?;
        Ok(found.map_or_else(|| database.to_owned(), |d| d.id.to_string()))
    }

    /// Every way in which a policy may name an instance; just the id for one
    /// that is gone.
    pub(super) async fn database_spellings(
        &self,
        call: &Call,
        id: &DatabaseId,
    ) -> Result<Vec<String>> {
        let (owner, databases) = (&call.principal.owner, &self.parts.databases);
        let found = if_there(databases.get(owner, id.as_str()).await)?;
        let gone = || vec![backout_databases::model::resource(id)];
        Ok(found.as_ref().map_or_else(gone, spellings))
    }

    /// The resource of jobs on an instance; it may be gone, its jobs are kept.
    pub(super) async fn database_resource(&self, call: &Call, name: &str) -> Result<String> {
        let (owner, databases) = (&call.principal.owner, &self.parts.databases);
        let found = if_there(databases.get(owner, name).await)?;
        Ok(found.map_or_else(|| format!("database/{name}"), |d| d.resource()))
    }
}

/// Every way in which a policy may name an instance.
fn spellings(instance: &Instance) -> Vec<String> {
    let id = instance.id.as_str();
    let mut out = vec![format!("database/{}", instance.name), instance.resource()];
    out.extend(vendor_spellings("cdb", &instance.owner, "instanceId", id));
    out
}

fn first(asked: Vec<Asked>) -> Result<AcceptedTask> {
    let first = asked.into_iter().next();
    first
        .map(Into::into)
        .ok_or_else(|| NativeError::internal("start a job: none was made"))
}

fn planned(
    (proposal, found): (Proposal, Option<Found>),
    alone: bool,
    instance: &Instance,
) -> PlannedRollback {
    let zone = zone_of(instance);
    PlannedRollback {
        passed: proposal.preflight.passed(),
        preflight: proposal.preflight.into(),
        plan: proposal.plan.into(),
        found: found.map(|f| FoundView::of(&f, alone, &zone)),
    }
}

fn until(text: &str) -> Result<Until> {
    Until::from_str(text.trim()).map_err(|_| {
        NativeError::malformed(format!(
            "read {:?}: give a time (2026-11-21 02:14:07, in the zone of the database, or with one: 2026-11-21T02:14:07+01:00), the id of the last transaction to keep (0-1-4711), or a place in the binary logs (mysql-bin.000007:4711)",
            text.chars().take(64).collect::<String>()
        ))
    })
}

fn one_table(text: &str) -> Result<TableName> {
    table_of(text, None).ok_or_else(|| {
        NativeError::malformed(format!(
            "read the table {:?}: give database.table, with backquotes around a name that has a dot in it",
            text.chars().take(140).collect::<String>()
        ))
    })
}

fn renamed_table(name: &NewName) -> Result<Renamed<TableName>> {
    let from = one_table(&name.from)?;
    let to = match table_of(&name.to, Some(&from.schema)) {
        Some(to) => to,
        None => one_table(&name.to)?,
    };
    Ok(Renamed { from, to })
}

fn clone_request(source: &Instance, ask: &CloneDatabase) -> Result<CloneRequest> {
    let to = match (&ask.to, ask.backup) {
        (Some(_), Some(_)) => {
            return Err(NativeError::malformed(
                "clone a database: give either to, an instant, or backup, the number of one",
            ));
        }
        (Some(to), None) => CloneTo::Until(until(to)?),
        (None, Some(number)) => CloneTo::Backup(number),
        (None, None) => CloneTo::Newest,
    };
    Ok(CloneRequest {
        source: source.id.to_string(),
        to,
        name: ask.name.clone(),
        shape: ask.memory_mb.map(|memory_mb| Shape {
            memory_mb,
            ..source.shape.clone()
        }),
        port: ask.port,
    })
}

fn rollback_request(instance: String, ask: &RollbackDatabase) -> Result<RollbackRequest> {
    let strategy = match ask.strategy.as_deref() {
        None if ask.tables.is_empty() => Strategy::Db,
        None => Strategy::Table,
        Some(word) => Strategy::parse(word)
            .ok_or_else(|| NativeError::malformed("use that strategy: give table, db or full"))?,
    };
    let road = match ask.road.as_deref() {
        None => None,
        Some("undo") => Some(Road::Undo),
        Some("restore") => Some(Road::Restore),
        Some(_) => {
            return Err(NativeError::malformed(
                "take that road: give undo or restore; in place is a rewind",
            ));
        }
    };
    Ok(RollbackRequest {
        instance,
        until: until(&ask.to)?,
        strategy,
        databases: ask
            .databases
            .iter()
            .map(|d| Renamed {
                from: d.from.clone(),
                to: d.to.clone(),
            })
            .collect(),
        tables: ask
            .tables
            .iter()
            .map(renamed_table)
            .collect::<Result<_>>()?,
        torn: ask.torn,
        road,
    })
}

fn rewind_request(instance: String, ask: &RewindDatabase) -> Result<RewindRequest> {
    let tables = ask
        .tables
        .iter()
        .map(|t| one_table(t))
        .collect::<Result<Vec<_>>>()?;
    let what = match (&ask.to, ask.transactions.is_empty()) {
        (Some(to), true) => RewindWhat::Until {
            until: until(to)?,
            tables,
        },
        (None, false) => RewindWhat::Transactions {
            gtids: ask
                .transactions
                .iter()
                .map(|text| text.trim().parse::<Gtid>())
                .collect::<std::result::Result<_, _>>()
                .map_err(|e| NativeError::malformed(e.to_string()))?,
            tables,
        },
        _ => {
            return Err(NativeError::malformed(
                "take tables back in place: give either to, with tables, or transactions",
            ));
        }
    };
    Ok(RewindRequest {
        instance,
        what,
        torn: ask.torn,
    })
}
