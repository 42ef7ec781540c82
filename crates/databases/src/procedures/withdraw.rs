//! Takes a rollback under new names back: the tables that it made go.
//!
//! | step | do | undo |
//! |---|---|---|
//! | check | see that nobody changed them since | none |
//! | hide | remove what databases have beside tables; move the tables into a hidden database, by one statement | move them back, make the rest again |
//! | drop | drop them, and the databases that were made for them if nothing else is there | none: from its intent on the job goes forward only |

use std::collections::HashMap;

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_history::TableName;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::catalog::{self, Kind};
use backout_mariadb::digest::{self, Pace};
use backout_mariadb::session::{ident, quoted};
use backout_mariadb::{Session, definitions, transport};
use serde::{Deserialize, Serialize};

use super::beside::{Key, keys_of, make_early, make_late, unmake};
use super::rollback::{definition, drop_hidden, hide, staging, unlogged};
use super::{database_error, instance, settle_task, under_lock};
use crate::beside::Placed;
use crate::model::Instance;
use crate::runtime::{Runtime, SESSIONS};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Withdraw(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WithdrawInput {
    /// The instance.
    pub instance: DatabaseId,
    /// The tables.
    pub tables: Vec<TableName>,
    /// The databases that were made for them.
    pub databases: Vec<String>,
    /// What was made in these beside the tables.
    #[serde(default)]
    pub placed: Vec<Placed>,
    /// Whether they were made without a log: then replicas do not have them.
    #[serde(default)]
    pub unlogged: bool,
    /// What the digests of the tables were, in their order.
    pub digests: Vec<String>,
}

const STEPS: &[Step<Withdraw>] = &[
    Step {
        name: "check",
        does: "see that nobody changed the tables since",
        run: |p, ctx| Box::pin(check(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "hide",
        does: "remove what databases have beside tables, and move the tables into a hidden database",
        run: |p, ctx| Box::pin(conceal(p, ctx)),
        undo: Undo::By {
            does: "move them back, and make the rest again",
            run: |p, ctx| Box::pin(reveal(p, ctx)),
        },
    },
    Step {
        name: "drop",
        does: "drop them, and the databases that were made for them",
        run: |p, ctx| Box::pin(drop_all(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for Withdraw {
    fn name(&self) -> &'static str {
        "databases.withdraw"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        settle_task(ctx, outcome, failure, |_| {})
    }
}

async fn at_work<T: Send + 'static>(
    procedure: &Withdraw,
    ctx: &StepContext,
    work: impl FnOnce(&Runtime, &Instance, &WithdrawInput, &StepContext) -> Result<T, StepError>
    + Send
    + 'static,
) -> Result<T, StepError> {
    let input: WithdrawInput = ctx.input()?;
    let instance = instance(ctx, &input.instance).await?;
    let (runtime, id) = (procedure.0.clone(), input.instance.clone());
    under_lock(ctx, &procedure.0, &id, move |ctx| {
        work(&runtime, &instance, &input, ctx)
    })
    .await
}

async fn check(procedure: &Withdraw, ctx: &StepContext) -> Result<Done, StepError> {
    let keys = at_work(procedure, ctx, |runtime, instance, input, ctx| {
        let endpoint = runtime.endpoint(instance).map_err(super::refusal_error)?;
        let mut session = Session::open(&endpoint).map_err(database_error)?;
        let cancel = ctx.cancel.clone();
        for (table, digest) in input.tables.iter().zip(&input.digests) {
            let def = definition(&mut session, table)?;
            let now = digest::digest(&endpoint, &def, SESSIONS, Pace::Beside, &|| cancel.requested())
                .map_err(database_error)?;
            if now.to_string() != *digest {
                return Err(StepError::failed(
                    Code::RowsChanged,
                    format!(
                        "drop {table}: somebody changed it since it was made; drop it yourself if it is not needed"
                    ),
                ));
            }
        }
        beside(&mut session, input)
    })
    .await?;
    Done::remember(&keys)
}

/// Sees that what was made beside the tables is as it was made, and nothing
/// else. Returns the foreign keys of the tables.
fn beside(session: &mut Session, input: &WithdrawInput) -> Result<Vec<Key>, StepError> {
    let changed = |what: String| {
        StepError::failed(
            Code::RowsChanged,
            format!(
                "remove {what}: somebody changed it since it was made; drop it yourself if it is not needed"
            ),
        )
    };
    let mut reader = session.another().map_err(database_error)?;
    for one in &input.placed {
        let is_made = definitions::is_made(&mut reader, &one.database, &one.definition)
            .map_err(database_error)?;
        // Those that did not work were not made.
        if !is_made && !one.doubtful {
            let kind = one.definition.kind.as_str();
            return Err(changed(format!(
                "{kind} {}.{}",
                one.database, one.definition.name
            )));
        }
    }
    let names: HashMap<TableName, TableName> = input
        .tables
        .iter()
        .map(|table| (table.clone(), table.clone()))
        .collect();
    let mut keys = Vec::new();
    for table in &input.tables {
        let def = definition(session, table)?;
        for trigger in &def.triggers {
            let ours = input.placed.iter().any(|one| {
                one.definition.kind == Kind::Trigger
                    && one.database == table.schema
                    && one.definition.name == trigger.name
            });
            if !ours {
                return Err(changed(format!("trigger {} of {table}", trigger.name)));
            }
        }
        if let Some(parts) = transport::Definition::parse(&def.create_sql) {
            keys.extend(keys_of(&parts.foreign_keys, &table.schema, table, &names));
        }
    }
    Ok(keys)
}

fn moves(input: &WithdrawInput, staging: &str, back: bool) -> String {
    let pairs: Vec<String> = input
        .tables
        .iter()
        .enumerate()
        .map(|(i, table)| {
            let hidden = TableName::new(staging, format!("t{i}"));
            match back {
                false => format!("{} TO {}", quoted(table), quoted(&hidden)),
                true => format!("{} TO {}", quoted(&hidden), quoted(table)),
            }
        })
        .collect();
    format!("RENAME TABLE {}", pairs.join(", "))
}

/// A session that logs what was logged when it was made.
fn live(
    runtime: &Runtime,
    instance: &Instance,
    input: &WithdrawInput,
) -> Result<(Session, bool), StepError> {
    let mut session = super::session(runtime, instance)?;
    let logged = !input.unlogged || unlogged(&mut session);
    Ok((session, logged))
}

/// Whether the tables are in the hidden database: they move all or none.
fn hidden(session: &mut Session, staging: &str) -> Result<bool, StepError> {
    catalog::exists(session, &TableName::new(staging, "t0")).map_err(database_error)
}

async fn conceal(procedure: &Withdraw, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |runtime, instance, input, ctx| {
        let (mut session, logged) = live(runtime, instance, input)?;
        let staging = staging(ctx);
        if hidden(&mut session, &staging)? {
            return Ok(());
        }
        let keys: Vec<Key> = ctx.output("check")?.unwrap_or_default();
        unmake(&session, &keys, &input.placed, logged)?;
        hide(&mut session, &staging)?;
        session
            .exec("move tables away", moves(input, &staging, false))
            .map_err(database_error)?;
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

async fn reveal(procedure: &Withdraw, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |runtime, instance, input, ctx| {
        let (mut session, logged) = live(runtime, instance, input)?;
        let staging = staging(ctx);
        if hidden(&mut session, &staging)? {
            session
                .exec("move tables back", moves(input, &staging, true))
                .map_err(database_error)?;
        }
        drop_hidden(&mut session, &staging)?;
        let keys: Vec<Key> = ctx.output("check")?.unwrap_or_default();
        let told = |what: String| ctx.progress(90, what);
        make_early(&session, &input.placed, logged)?;
        make_late(&session, &keys, &input.placed, logged, &told)
    })
    .await?;
    Ok(Done::nothing())
}

async fn drop_all(procedure: &Withdraw, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |runtime, instance, input, ctx| {
        let (mut session, _) = live(runtime, instance, input)?;
        drop_hidden(&mut session, &staging(ctx))?;
        for database in &input.databases {
            let objects: Option<u64> = session
                .first(
                    "look what is left in a database",
                    format!(
                        "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name}) \
                         + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name}) \
                         + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name})",
                        name = backout_mariadb::session::text(database)
                    ),
                )
                .map_err(database_error)?;
            if objects == Some(0) {
                session
                    .exec(
                        "drop an empty database",
                        format!("DROP DATABASE IF EXISTS {}", ident(database)),
                    )
                    .map_err(database_error)?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}
