//! The rows of the catalogue.

use backout_core::ids::ImageId;
use backout_core::time::Timestamp;
use backout_store::rows::optional;
use backout_store::{Error, Row, Tx, params};

use super::{next_number, one, read_u64, several};
use crate::catalogue::{Entry, Level};

/// How many entries a catalogue may have: they are listed whole.
pub const ENTRIES_MAX: u64 = 1000;

const COLUMNS: &str = "id, owner, level, version, parent, text, number, created_ms, updated_ms";

/// All entries, the newest first; at most [`ENTRIES_MAX`].
pub fn entries(tx: &mut dyn Tx) -> Result<Vec<Entry>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM engine_images ORDER BY number DESC LIMIT $1");
    several(tx, &sql, params![ENTRIES_MAX.cast_signed()], read_entry)
}

/// An entry by its id.
pub fn entry(tx: &mut dyn Tx, id: &ImageId) -> Result<Option<Entry>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM engine_images WHERE id = $1");
    one(tx, &sql, params![id.as_str()], read_entry)
}

/// The entries of this version, at any level.
pub fn entries_named(tx: &mut dyn Tx, version: &str) -> Result<Vec<Entry>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM engine_images WHERE version = $1 ORDER BY number");
    several(tx, &sql, params![version], read_entry)
}

/// The entries under this version.
pub fn entries_under(tx: &mut dyn Tx, version: &str) -> Result<Vec<Entry>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM engine_images WHERE parent = $1 ORDER BY number");
    several(tx, &sql, params![version], read_entry)
}

/// Adds an entry, or replaces the text of the one that the same account added
/// for the same version. Returns it, and whether it is new.
pub fn put_entry(tx: &mut dyn Tx, new: &Entry) -> Result<(Entry, bool), Error> {
    let same = |e: &Entry| e.owner == new.owner && e.level == new.level && e.parent == new.parent;
    if let Some(old) = entries_named(tx, &new.version)?.into_iter().find(same) {
        tx.execute(
            "UPDATE engine_images SET text = $2, updated_ms = $3 WHERE id = $1",
            params![old.id.as_str(), new.text.as_str(), new.updated.0],
        )?;
        let entry = Entry {
            text: new.text.clone(),
            updated: new.updated,
            ..old
        };
        return Ok((entry, false));
    }
    let entry = Entry {
        number: next_number(tx, "image")?,
        ..new.clone()
    };
    tx.execute(
        &format!(
            "INSERT INTO engine_images ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        ),
        params![
            entry.id.as_str(),
            entry.owner.as_str(),
            entry.level.as_str(),
            entry.version.as_str(),
            entry.parent.clone(),
            entry.text.as_str(),
            entry.number.cast_signed(),
            entry.created.0,
            entry.updated.0
        ],
    )?;
    Ok((entry, true))
}

/// How many entries there are.
pub fn count_entries(tx: &mut dyn Tx) -> Result<u64, Error> {
    let row = backout_store::query_one(tx, "SELECT COUNT(*) FROM engine_images", params![])?
        .ok_or_else(|| Error::corrupt("COUNT(*) gave no row"))?;
    read_u64(&row, 0)
}

fn read_entry(row: &Row) -> Result<Entry, Error> {
    Ok(Entry {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        level: row.parse(2, Level::parse)?,
        version: row.get(3)?,
        parent: optional(row, 4, |row, at| row.get(at))?,
        text: row.get(5)?,
        number: read_u64(row, 6)?,
        created: Timestamp(row.get(7)?),
        updated: Timestamp(row.get(8)?),
    })
}
