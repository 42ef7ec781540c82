//! The rows of config maps. A version has what it mounts of one in itself, so
//! that a later change of the map, or its end, touches no version.

use std::collections::BTreeMap;

use backout_core::ids::AccountId;
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, json_text, paged, read_json};
use backout_store::{Error, Row, Tx, params};

use super::{next_number, one, read_u64};
use crate::model::ConfigMap;

const COLUMNS: &str = "number, owner, namespace, name, entries, created_ms, updated_ms";

/// Adds a config map and returns its number; none when its namespace has one of
/// that name.
pub fn insert_config_map(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
    entries: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Option<u64>, Error> {
    let number = next_number(tx, "config map")?;
    let added = tx.execute(
        "INSERT INTO app_config_maps (number, owner, namespace, name, entries, created_ms, \
         updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING",
        params![
            number.cast_signed(),
            owner.as_str(),
            namespace,
            name,
            json_text("entries", entries)?,
            now.0
        ],
    )?;
    Ok((added > 0).then_some(number))
}

/// A config map by its number.
pub fn config_map(
    tx: &mut dyn Tx,
    owner: &AccountId,
    number: u64,
) -> Result<Option<ConfigMap>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_config_maps WHERE owner = $1 AND number = $2");
    let values = params![owner.as_str(), number.cast_signed()];
    one(tx, &sql, values, read_config_map)
}

/// One page of the config maps of a namespace, by name, and how many there are.
pub fn list_config_maps(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    page: Page,
) -> Result<(u64, Vec<ConfigMap>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.is("namespace", Some(namespace));
    paged(
        tx,
        COLUMNS,
        "app_config_maps",
        w,
        "name",
        page,
        read_config_map,
    )
}

/// Gives a config map these entries, and no others. Returns false when there is
/// none of that number.
pub fn set_config_map(
    tx: &mut dyn Tx,
    owner: &AccountId,
    number: u64,
    entries: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE app_config_maps SET entries = $3, updated_ms = $4 WHERE owner = $1 AND number = $2",
        params![
            owner.as_str(),
            number.cast_signed(),
            json_text("entries", entries)?,
            now.0
        ],
    )?;
    Ok(changed > 0)
}

/// Forgets a config map. Returns false when there is none of that number.
pub fn delete_config_map(tx: &mut dyn Tx, owner: &AccountId, number: u64) -> Result<bool, Error> {
    let gone = tx.execute(
        "DELETE FROM app_config_maps WHERE owner = $1 AND number = $2",
        params![owner.as_str(), number.cast_signed()],
    )?;
    Ok(gone > 0)
}

fn read_config_map(row: &Row) -> Result<ConfigMap, Error> {
    Ok(ConfigMap {
        number: read_u64(row, 0)?,
        owner: row.parse(1, |t| t.parse().ok())?,
        namespace: row.get(2)?,
        name: row.get(3)?,
        entries: read_json("entries", row, 4)?,
        created: Timestamp(row.get(5)?),
        updated: Timestamp(row.get(6)?),
    })
}
