//! Makes and removes what databases have beside their tables: see
//! [`crate::beside`]. All of it is safe to repeat.

use std::collections::HashMap;

use backout_core::code::Code;
use backout_history::TableName;
use backout_jobs::StepError;
use backout_mariadb::catalog::Kind;
use backout_mariadb::definitions::{self, KeyClause};
use backout_mariadb::{Error, Session};
use serde::{Deserialize, Serialize};

use super::database_error;
use crate::beside::Placed;

/// A foreign key of a table that comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The table.
    pub(crate) child: TableName,
    /// The table that it refers to.
    pub(crate) parent: TableName,
    /// The key, as a definition has it.
    pub(crate) clause: String,
    /// The database that the definition is of.
    pub(crate) schema: String,
}

impl Key {
    /// Its parts.
    pub(crate) fn read(&self) -> Result<KeyClause, StepError> {
        KeyClause::parse(&self.clause, &self.schema).ok_or_else(|| {
            StepError::failed(
                Code::TableUnsupported,
                format!(
                    "read a foreign key of {}: it has not the form that was expected: {}",
                    self.child, self.clause
                ),
            )
        })
    }
}

/// The keys of a table in `schema` that refer to tables that come back with it;
/// `names` has what each becomes.
pub(crate) fn keys_of(
    clauses: &[String],
    schema: &str,
    child: &TableName,
    names: &HashMap<TableName, TableName>,
) -> Vec<Key> {
    clauses
        .iter()
        .filter_map(|clause| {
            let parent = names.get(&KeyClause::parse(clause, schema)?.parent)?;
            Some(Key {
                child: child.clone(),
                parent: parent.clone(),
                clause: clause.clone(),
                schema: schema.to_owned(),
            })
        })
        .collect()
}

/// Whether it can be made before the tables are there, and must be before
/// views are.
const fn is_early(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Function | Kind::Procedure | Kind::Package | Kind::PackageBody
    )
}

/// Makes what does not need the tables.
pub(crate) fn make_early(live: &Session, placed: &[Placed], logged: bool) -> Result<(), StepError> {
    let mut session = fresh(live, logged)?;
    for one in placed.iter().filter(|p| is_early(p.definition.kind)) {
        definitions::make(&mut session, &one.database, &one.definition).map_err(failed)?;
    }
    Ok(())
}

/// Makes what needs the tables: foreign keys, views, triggers, and events.
pub(crate) fn make_late(
    live: &Session,
    keys: &[Key],
    placed: &[Placed],
    logged: bool,
    told: &dyn Fn(String),
) -> Result<(), StepError> {
    let mut session = fresh(live, logged)?;
    session
        .exec("make foreign keys", "SET SESSION foreign_key_checks=0")
        .map_err(database_error)?;
    for key in keys {
        session
            .exec(
                "make a foreign key",
                key.read()?.add(&key.child, &key.parent),
            )
            .map_err(failed)?;
    }
    make_views(&mut session, placed, told)?;
    for kind in [Kind::Trigger, Kind::Event] {
        for one in placed.iter().filter(|p| p.definition.kind == kind) {
            definitions::make(&mut session, &one.database, &one.definition).map_err(failed)?;
        }
    }
    Ok(())
}

/// A view may need another: those that fail are made again, as long as others
/// succeed.
fn make_views(
    session: &mut Session,
    placed: &[Placed],
    told: &dyn Fn(String),
) -> Result<(), StepError> {
    let mut wanted: Vec<&Placed> = placed
        .iter()
        .filter(|p| p.definition.kind == Kind::View)
        .collect();
    loop {
        let before = wanted.len();
        let mut failures = Vec::new();
        for one in std::mem::take(&mut wanted) {
            match definitions::make(session, &one.database, &one.definition) {
                Ok(()) => {}
                Err(e) if definitions::lacks_something(&e) => {
                    wanted.push(one);
                    failures.push(e);
                }
                Err(e) => return Err(failed(e)),
            }
        }
        if !wanted.is_empty() && wanted.len() < before {
            continue;
        }
        for (one, e) in wanted.into_iter().zip(failures) {
            if !one.doubtful {
                return Err(failed(e));
            }
            told(format!(
                "view {}.{} is not made, as it does not work: {e}",
                one.database, one.definition.name
            ));
        }
        return Ok(());
    }
}

/// Removes all that is defined, and the foreign keys, in the order that lets
/// tables move.
pub(crate) fn unmake(
    live: &Session,
    keys: &[Key],
    placed: &[Placed],
    logged: bool,
) -> Result<(), StepError> {
    let mut session = fresh(live, logged)?;
    for one in placed.iter().rev() {
        definitions::unmake(&mut session, &one.database, &one.definition)
            .map_err(database_error)?;
    }
    for key in keys {
        session
            .exec("remove a foreign key", key.read()?.drop(&key.child))
            .map_err(database_error)?;
    }
    Ok(())
}

/// A session of its own: making definitions leaves other settings behind.
fn fresh(live: &Session, logged: bool) -> Result<Session, StepError> {
    let mut session = live.another().map_err(database_error)?;
    if !logged {
        session
            .exec("write without a log", "SET SESSION sql_log_bin=0")
            .map_err(database_error)?;
    }
    Ok(session)
}

/// As an error of a step, with what to do.
fn failed(e: Error) -> StepError {
    match database_error(e) {
        StepError::Failed { code, message } => StepError::Failed {
            code,
            message: format!(
                "{message}; to have the tables without what is defined beside them, name them one by one"
            ),
        },
        other => other,
    }
}
