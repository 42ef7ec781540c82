//! The rows of images.

use backout_core::ids::{AccountId, BlueprintId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, TagFilter, count, json_text, read_json};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{path_text, read_tags, tags_text, write_tags};
use crate::model::{Blueprint, BlueprintState};

const BLUEPRINT_COLUMNS: &str = "b.id, b.owner, b.name, b.description, b.node, b.state, b.file, b.format, \
     b.size_bytes, b.boot, b.made, b.tags, b.created_ms";

/// Which images; as [`super::ServerFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlueprintFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// With these names.
    pub names: Vec<String>,
    /// In one of these states.
    pub states: Vec<BlueprintState>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// Matches nothing at all.
    pub nothing: bool,
}

/// One page of an owner's images, newest first, and how many match.
pub fn list_blueprints(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &BlueprintFilter,
    page: Page,
) -> Result<(u64, Vec<Blueprint>), Error> {
    let mut w = Conditions::new("b.owner", owner.as_str());
    w.one_of("b.id", filter.ids.iter().map(String::as_str));
    w.one_of("b.name", filter.names.iter().map(String::as_str));
    w.one_of("b.state", filter.states.iter().map(|s| s.as_str()));
    w.tags("b.id", "server_tags", &filter.tags);
    if filter.nothing {
        w.sql.push_str(" AND 1 = 0");
    }
    let total = count(tx, "blueprints b", &w)?;
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {BLUEPRINT_COLUMNS} FROM blueprints b WHERE {} \
         ORDER BY b.created_ms DESC, b.id LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    Ok((
        total,
        rows.iter().map(read_blueprint).collect::<Result<_, _>>()?,
    ))
}

/// An image by id, or by name, the newest when several have it.
pub fn find_blueprint(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id_or_name: &str,
) -> Result<Option<Blueprint>, Error> {
    let sql = format!(
        "SELECT {BLUEPRINT_COLUMNS} FROM blueprints b WHERE b.owner = $1 AND (b.id = $2 OR b.name = $2) \
         ORDER BY CASE WHEN b.id = $2 THEN 0 ELSE 1 END, b.created_ms DESC LIMIT 1"
    );
    query_one(tx, &sql, params![owner.as_str(), id_or_name])?
        .as_ref()
        .map(read_blueprint)
        .transpose()
}

/// The images of `owner` that have this name, the newest first, at most `limit`
/// of them.
pub fn blueprints_named(
    tx: &mut dyn Tx,
    owner: &AccountId,
    name: &str,
    limit: i64,
) -> Result<Vec<BlueprintId>, Error> {
    tx.query(
        "SELECT id FROM blueprints WHERE owner = $1 AND name = $2 ORDER BY created_ms DESC LIMIT $3",
        params![owner.as_str(), name, limit],
    )?
    .iter()
    .map(|row| row.parse(0, |t| t.parse().ok()))
    .collect()
}

/// An image by id, whoever owns it. Nobody else uses it, or deletes it, until
/// this transaction has ended.
pub fn lock_blueprint(tx: &mut dyn Tx, id: &BlueprintId) -> Result<Option<Blueprint>, Error> {
    // A write, so that of two transactions on PostgreSQL one begins anew.
    tx.execute(
        "UPDATE blueprints SET state = state WHERE id = $1",
        params![id.as_str()],
    )?;
    let sql = format!("SELECT {BLUEPRINT_COLUMNS} FROM blueprints b WHERE b.id = $1");
    query_one(tx, &sql, params![id.as_str()])?
        .as_ref()
        .map(read_blueprint)
        .transpose()
}

/// Adds an image.
pub fn insert_blueprint(tx: &mut dyn Tx, blueprint: &Blueprint) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO blueprints (id, owner, name, description, node, state, file, format, size_bytes, boot, made, tags, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        params![
            blueprint.id.as_str(),
            blueprint.owner.as_str(),
            &blueprint.name,
            &blueprint.description,
            &blueprint.node,
            blueprint.state.as_str(),
            path_text(&blueprint.file)?,
            blueprint.format.as_str(),
            blueprint.size_bytes.cast_signed(),
            json_text("boot", &blueprint.boot)?,
            i64::from(blueprint.made),
            tags_text(&blueprint.tags)?,
            blueprint.created.0,
        ],
    )?;
    write_tags(tx, blueprint.id.as_str(), &blueprint.tags)
}

/// Records whether an image can be used, and how large it is, in bytes.
pub fn set_blueprint_state(
    tx: &mut dyn Tx,
    id: &BlueprintId,
    state: BlueprintState,
    size_bytes: u64,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE blueprints SET state = $2, size_bytes = $3 WHERE id = $1",
        params![id.as_str(), state.as_str(), size_bytes.cast_signed()],
    )?;
    Ok(())
}

/// Forgets an image. Its file is not touched.
pub fn delete_blueprint(tx: &mut dyn Tx, id: &BlueprintId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM server_tags WHERE resource = $1",
        params![id.as_str()],
    )?;
    tx.execute("DELETE FROM blueprints WHERE id = $1", params![id.as_str()])?;
    Ok(())
}

fn read_blueprint(row: &Row) -> Result<Blueprint, Error> {
    Ok(Blueprint {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        name: row.get(2)?,
        description: row.get(3)?,
        node: row.get(4)?,
        state: row.parse(5, BlueprintState::parse)?,
        file: row.get::<String>(6)?.into(),
        format: row.parse(7, |t| t.parse().ok())?,
        size_bytes: row.get::<i64>(8)?.cast_unsigned(),
        boot: read_json("boot", row, 9)?,
        made: row.get::<i64>(10)? != 0,
        tags: read_tags(row, 11)?,
        created: Timestamp(row.get(12)?),
    })
}
