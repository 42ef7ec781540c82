//! Migrations: each crate that owns tables brings its own, applied in order.

use crate::{Dialect, Error, Tx, params};

/// One step in the history of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Unique and never changed, e.g. `jobs-0001`.
    pub name: &'static str,
    /// Statements that both databases understand, separated by `;` at the end
    /// of a line.
    pub sql: &'static str,
}

/// Applies what is missing, inside the transaction `tx`.
pub(crate) fn apply(tx: &mut dyn Tx, migrations: &[Migration]) -> Result<(), Error> {
    if tx.dialect() == Dialect::Postgres {
        // Several processes may start at once on an empty database. The number
        // is arbitrary, and ours alone.
        tx.query("SELECT pg_advisory_xact_lock(725346011)", &[])?;
    }
    tx.execute(
        "CREATE TABLE IF NOT EXISTS backout_migrations (name TEXT PRIMARY KEY, position BIGINT NOT NULL)",
        &[],
    )?;
    let applied = tx
        .query("SELECT name FROM backout_migrations ORDER BY position", &[])?
        .iter()
        .map(|row| row.get::<String>(0))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(unknown) = applied
        .iter()
        .find(|name| migrations.iter().all(|m| m.name != **name))
    {
        return Err(Error::Foreign(format!(
            "it holds the migration {unknown:?}, which this version does not know; start the newer version that wrote it"
        )));
    }
    for (position, migration) in (0_i64..).zip(migrations) {
        if applied.iter().any(|name| name == migration.name) {
            continue;
        }
        for statement in migration.sql.split(";\n") {
            let statement = statement.trim().trim_end_matches(';');
            if !statement.is_empty() {
                tx.execute(statement, &[])?;
            }
        }
        tx.execute(
            "INSERT INTO backout_migrations (name, position) VALUES ($1, $2)",
            params![migration.name, position],
        )?;
    }
    Ok(())
}
