//! The rows of versions. A version is written once; only its mark changes.

use std::collections::{BTreeMap, BTreeSet};

use backout_core::ids::{ApplicationId, VersionId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, json_text, optional, paged, read_json};
use backout_store::{Error, Row, Tx, params, query_one};
use backout_workloads::PackageHash;

use super::{among, one, read_u64, several};
use crate::model::{Artifact, Release, Version};

const COLUMNS: &str = "id, app, number, release, label, barred, created_ms";

/// Adds a version, as the next of its application, and returns its number.
///
/// Two of one application are never added at once: an order claims that.
pub fn insert_version(
    tx: &mut dyn Tx,
    id: &VersionId,
    application: &ApplicationId,
    release: &Release,
    label: &str,
    now: Timestamp,
) -> Result<u64, Error> {
    let number = next_version_number(tx, application)?.cast_signed();
    let (package, package_version) = match &release.artifact {
        Artifact::Package { hash, version, .. } => {
            let named = (!version.is_empty()).then(|| version.clone());
            (Some(hash.as_str().to_owned()), named)
        }
        Artifact::Image { .. } => (None, None),
    };
    tx.execute(
        "INSERT INTO app_versions (id, app, number, release, package, package_version, label, \
         barred, created_ms, cpu_millis, memory_bytes, port) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $10, $11)",
        params![
            id.as_str(),
            application.as_str(),
            number,
            json_text("release", release)?,
            package,
            package_version,
            label,
            now.0,
            i64::from(release.cpu_millis.unwrap_or(0)),
            release.memory_bytes.unwrap_or(0).cast_signed(),
            release.port.map(i64::from)
        ],
    )?;
    for secret in &release.secrets {
        tx.execute(
            "INSERT INTO app_version_secrets (version, app, owner, namespace, name, revision) \
             SELECT $1, a.id, a.owner, a.namespace, $3, $4 FROM apps a WHERE a.id = $2 \
             ON CONFLICT DO NOTHING",
            params![
                id.as_str(),
                application.as_str(),
                &secret.secret,
                secret.revision.cast_signed()
            ],
        )?;
    }
    Ok(number.cast_unsigned())
}

/// The application of a host other than `but` that is reached on a port, or will
/// be when its open order is done.
pub fn application_on_port(
    tx: &mut dyn Tx,
    node: &str,
    port: u16,
    but: &ApplicationId,
) -> Result<Option<ApplicationId>, Error> {
    let sql = "SELECT a.id FROM apps a \
         LEFT JOIN app_orders o ON o.app = a.id AND o.ended_ms IS NULL \
         JOIN app_versions v ON v.id = a.version OR v.id = o.version_to \
         WHERE a.node = $1 AND v.port = $2 AND a.id <> $3 ORDER BY a.id LIMIT 1";
    let values = params![node, i64::from(port), but.as_str()];
    one(tx, sql, values, |row| row.parse(0, |t| t.parse().ok()))
}

/// The number that an application's next version gets.
pub fn next_version_number(tx: &mut dyn Tx, application: &ApplicationId) -> Result<u64, Error> {
    let row = query_one(
        tx,
        "SELECT COALESCE(MAX(number), 0) + 1 FROM app_versions WHERE app = $1",
        params![application.as_str()],
    )?
    .ok_or_else(|| Error::corrupt("MAX() gave no row"))?;
    read_u64(&row, 0)
}

/// The newest version of an application that has this label.
pub fn version_labelled(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    label: &str,
) -> Result<Option<Version>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM app_versions WHERE app = $1 AND label = $2 \
         ORDER BY number DESC LIMIT 1"
    );
    one(tx, &sql, params![application.as_str(), label], read_version)
}

/// The newest version of an application that is older than number `before` and
/// may be gone back to.
pub fn version_before(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    before: u64,
) -> Result<Option<Version>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM app_versions WHERE app = $1 AND number < $2 AND barred IS NULL \
         ORDER BY number DESC LIMIT 1"
    );
    let values = params![application.as_str(), before.cast_signed()];
    one(tx, &sql, values, read_version)
}

/// Writes down which image a version is made of, where that was not known yet.
pub fn pin_image(tx: &mut dyn Tx, version: &Version, image: &str) -> Result<(), Error> {
    let mut release = version.release.clone();
    match &mut release.artifact {
        Artifact::Image { id: id @ None, .. } => *id = Some(image.to_owned()),
        _ => return Ok(()),
    }
    tx.execute(
        "UPDATE app_versions SET release = $2 WHERE id = $1",
        params![version.id.as_str(), json_text("release", &release)?],
    )?;
    Ok(())
}

/// A version of an application by its id.
pub fn version(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    id: &str,
) -> Result<Option<Version>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_versions WHERE app = $1 AND id = $2");
    one(tx, &sql, params![application.as_str(), id], read_version)
}

/// These versions, of whichever applications, by their ids.
pub fn versions_by_id(
    tx: &mut dyn Tx,
    ids: &BTreeSet<VersionId>,
) -> Result<BTreeMap<VersionId, Version>, Error> {
    let Some(w) = among("id", ids.iter().map(VersionId::as_str)) else {
        return Ok(BTreeMap::new());
    };
    let sql = format!("SELECT {COLUMNS} FROM app_versions WHERE {}", w.sql);
    let found = several(tx, &sql, &w.params, read_version)?;
    Ok(found.into_iter().map(|v| (v.id.clone(), v)).collect())
}

/// A version of an application by its number.
pub fn version_by_number(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    number: u64,
) -> Result<Option<Version>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_versions WHERE app = $1 AND number = $2");
    let values = params![application.as_str(), number.cast_signed()];
    one(tx, &sql, values, read_version)
}

/// Whether an application has a version whose builders call it so.
pub fn has_package_version(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    package_version: &str,
) -> Result<bool, Error> {
    let row = query_one(
        tx,
        "SELECT 1 FROM app_versions WHERE app = $1 AND package_version = $2 LIMIT 1",
        params![application.as_str(), package_version],
    )?;
    Ok(row.is_some())
}

/// One page of an application's versions, newest first, and how many there are.
pub fn list_versions(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    page: Page,
) -> Result<(u64, Vec<Version>), Error> {
    let w = Conditions::new("app", application.as_str());
    let order = "number DESC";
    paged(tx, COLUMNS, "app_versions", w, order, page, read_version)
}

/// Marks a version as one not to go back to, with the reason, or takes that off.
/// Returns false when the application has no such version.
pub fn set_barred(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    id: &VersionId,
    why: Option<&str>,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE app_versions SET barred = $3 WHERE app = $1 AND id = $2",
        params![application.as_str(), id.as_str(), why],
    )?;
    Ok(changed > 0)
}

/// The versions of an application that must stay whatever their age: what it
/// was deployed to, what its replicas run, and what its open order goes from
/// and to.
pub fn versions_in_use(
    tx: &mut dyn Tx,
    application: &ApplicationId,
) -> Result<BTreeSet<VersionId>, Error> {
    let sql = "SELECT version FROM apps WHERE id = $1 AND version IS NOT NULL \
         UNION SELECT version FROM app_replicas WHERE app = $1 \
         UNION SELECT version_from FROM app_orders WHERE app = $1 AND ended_ms IS NULL AND version_from IS NOT NULL \
         UNION SELECT version_to FROM app_orders WHERE app = $1 AND ended_ms IS NULL AND version_to IS NOT NULL";
    let rows = several(tx, sql, params![application.as_str()], |row| {
        row.parse(0, |t| t.parse().ok())
    })?;
    Ok(rows.into_iter().collect())
}

/// Forgets a version.
pub fn delete_version(tx: &mut dyn Tx, id: &VersionId) -> Result<(), Error> {
    for sql in [
        "DELETE FROM app_version_secrets WHERE version = $1",
        "DELETE FROM app_versions WHERE id = $1",
    ] {
        tx.execute(sql, params![id.as_str()])?;
    }
    Ok(())
}

/// The packages that versions of a host's applications need, by hash, from the
/// one after `after` on, a page at a time: what is not among them may go.
pub fn packages_in_use(
    tx: &mut dyn Tx,
    node: &str,
    after: Option<&PackageHash>,
    limit: u64,
) -> Result<Vec<PackageHash>, Error> {
    let sql = "SELECT DISTINCT v.package FROM app_versions v JOIN apps a ON a.id = v.app \
         WHERE a.node = $1 AND v.package > $2 ORDER BY v.package LIMIT $3";
    let after = after.map_or("", PackageHash::as_str);
    let values = params![node, after, limit.cast_signed()];
    several(tx, sql, values, |row| row.parse(0, |t| t.parse().ok()))
}

fn read_version(row: &Row) -> Result<Version, Error> {
    Ok(Version {
        id: row.parse(0, |t| t.parse().ok())?,
        application: row.parse(1, |t| t.parse().ok())?,
        number: read_u64(row, 2)?,
        release: read_json("release", row, 3)?,
        label: row.get(4)?,
        barred: optional(row, 5, |row, at| row.get(at))?,
        created: Timestamp(row.get(6)?),
    })
}
