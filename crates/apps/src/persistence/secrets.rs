//! The rows of secrets: their values sealed, each with a revision of its own,
//! so that a version finds the one it was deployed with.

use backout_core::ids::{AccountId, VersionId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, paged};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{one, read_u64};
use crate::model::SealedSecret;

const COLUMNS: &str = "owner, namespace, name, revision, sealed, created_ms";

/// The revision of the newest value of a secret; 0 when there is none.
pub fn secret_revision(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
) -> Result<u64, Error> {
    let row = query_one(
        tx,
        "SELECT COALESCE(MAX(revision), 0) FROM app_secrets \
         WHERE owner = $1 AND namespace = $2 AND name = $3",
        params![owner.as_str(), namespace, name],
    )?
    .ok_or_else(|| Error::corrupt("MAX() gave no row"))?;
    Ok(row.get::<i64>(0)?.cast_unsigned())
}

/// Adds a value. Returns false when somebody else added that revision.
pub fn insert_secret(tx: &mut dyn Tx, secret: &SealedSecret) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO app_secrets (owner, namespace, name, revision, sealed, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        params![
            secret.owner.as_str(),
            &secret.namespace,
            &secret.name,
            secret.revision.cast_signed(),
            secret.sealed.clone(),
            secret.created.0
        ],
    )?;
    Ok(added > 0)
}

/// One value of a secret.
pub fn secret(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
    revision: u64,
) -> Result<Option<SealedSecret>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM app_secrets \
         WHERE owner = $1 AND namespace = $2 AND name = $3 AND revision = $4"
    );
    let values = params![owner.as_str(), namespace, name, revision.cast_signed()];
    one(tx, &sql, values, read_secret)
}

/// One page of the secrets of a namespace, by name, each with its newest value,
/// and how many there are.
pub fn list_secrets(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    page: Page,
) -> Result<(u64, Vec<SealedSecret>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.is("namespace", Some(namespace));
    w.sql.push_str(
        " AND revision = (SELECT MAX(n.revision) FROM app_secrets n WHERE n.owner = s.owner \
         AND n.namespace = s.namespace AND n.name = s.name)",
    );
    paged(tx, COLUMNS, "app_secrets s", w, "name", page, read_secret)
}

/// A version that was deployed with a value of this secret, if there is one.
pub fn version_with_secret(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
) -> Result<Option<VersionId>, Error> {
    let sql = "SELECT version FROM app_version_secrets \
         WHERE owner = $1 AND namespace = $2 AND name = $3 ORDER BY version LIMIT 1";
    one(tx, sql, params![owner.as_str(), namespace, name], |row| {
        row.parse(0, |t| t.parse().ok())
    })
}

/// Forgets a secret with all its values. Returns false when there is none.
pub fn delete_secret(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
) -> Result<bool, Error> {
    let gone = tx.execute(
        "DELETE FROM app_secrets WHERE owner = $1 AND namespace = $2 AND name = $3",
        params![owner.as_str(), namespace, name],
    )?;
    Ok(gone > 0)
}

/// Forgets the values of a secret that are neither the newest one nor part of a
/// version.
pub fn forget_old_values(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM app_secrets WHERE owner = $1 AND namespace = $2 AND name = $3 \
         AND revision < (SELECT MAX(n.revision) FROM app_secrets n \
           WHERE n.owner = $1 AND n.namespace = $2 AND n.name = $3) \
         AND NOT EXISTS (SELECT 1 FROM app_version_secrets u WHERE u.owner = $1 \
           AND u.namespace = $2 AND u.name = $3 AND u.revision = app_secrets.revision)",
        params![owner.as_str(), namespace, name],
    )?;
    Ok(())
}

fn read_secret(row: &Row) -> Result<SealedSecret, Error> {
    Ok(SealedSecret {
        owner: row.parse(0, |t| t.parse().ok())?,
        namespace: row.get(1)?,
        name: row.get(2)?,
        revision: read_u64(row, 3)?,
        sealed: row.get(4)?,
        created: Timestamp(row.get(5)?),
    })
}
