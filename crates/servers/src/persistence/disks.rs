//! The rows of disks: one for each server's system disk, and the data disks.

use backout_core::ids::{AccountId, DiskId, InstanceId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, TagFilter, count, optional};
use backout_store::{Error, Row, Tx, params, query_one};

use super::servers::read_volume;
use super::{op_values, path_text, read_op, read_tags, tags_text, write_tags};
use crate::model::{DiskState, ManagedDisk, Usage, Volume};

/// A system disk has its server's name and latest operation.
const DISK_COLUMNS: &str = "d.id, d.head, d.format, d.driver, d.size_bytes, d.owner, d.node, \
     COALESCE(s.name, d.name), d.usage, d.server, d.state, d.made, \
     COALESCE(s.op_kind, d.op_kind), COALESCE(s.op_state, d.op_state), \
     COALESCE(s.op_request, d.op_request), COALESCE(s.op_started_ms, d.op_started_ms), \
     d.tags, d.created_ms";

const DISK_TABLES: &str = "disks d LEFT JOIN servers s ON s.id = d.server AND d.usage = 'system'";

/// Which disks; as [`super::ServerFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// Of these servers.
    pub servers: Vec<String>,
    /// With these names.
    pub names: Vec<String>,
    /// For this.
    pub usage: Option<Usage>,
    /// In one of these states.
    pub states: Vec<DiskState>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// By size rather than by age.
    pub by_size: bool,
    /// The smallest or oldest first.
    pub ascending: bool,
    /// Matches nothing at all.
    pub nothing: bool,
}

/// One page of an owner's disks, newest first unless asked otherwise, and how
/// many match.
pub fn list_disks(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &DiskFilter,
    page: Page,
) -> Result<(u64, Vec<ManagedDisk>), Error> {
    let mut w = Conditions::new("d.owner", owner.as_str());
    w.one_of("d.id", filter.ids.iter().map(String::as_str));
    w.one_of("d.server", filter.servers.iter().map(String::as_str));
    w.one_of(
        "COALESCE(s.name, d.name)",
        filter.names.iter().map(String::as_str),
    );
    w.one_of("d.usage", filter.usage.iter().map(|u| u.as_str()));
    w.one_of("d.state", filter.states.iter().map(|s| s.as_str()));
    w.tags("d.id", "server_tags", &filter.tags);
    if filter.nothing {
        w.sql.push_str(" AND 1 = 0");
    }
    let total = count(tx, DISK_TABLES, &w)?;
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let column = if filter.by_size {
        "d.size_bytes"
    } else {
        "d.created_ms"
    };
    let way = if filter.ascending { "ASC" } else { "DESC" };
    let sql = format!(
        "SELECT {DISK_COLUMNS} FROM {DISK_TABLES} WHERE {} \
         ORDER BY {column} {way}, d.id LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    Ok((total, rows.iter().map(read_disk).collect::<Result<_, _>>()?))
}

/// A disk by id, or a data disk by name.
pub fn find_disk(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id_or_name: &str,
) -> Result<Option<ManagedDisk>, Error> {
    let sql = format!(
        "SELECT {DISK_COLUMNS} FROM {DISK_TABLES} \
         WHERE d.owner = $1 AND (d.id = $2 OR (d.usage = 'data' AND d.name = $2)) \
         ORDER BY CASE WHEN d.id = $2 THEN 0 ELSE 1 END LIMIT 1"
    );
    query_one(tx, &sql, params![owner.as_str(), id_or_name])?
        .as_ref()
        .map(read_disk)
        .transpose()
}

/// A disk by id, whoever owns it.
pub fn disk_by_id(tx: &mut dyn Tx, id: &DiskId) -> Result<Option<ManagedDisk>, Error> {
    let sql = format!("SELECT {DISK_COLUMNS} FROM {DISK_TABLES} WHERE d.id = $1");
    query_one(tx, &sql, params![id.as_str()])?
        .as_ref()
        .map(read_disk)
        .transpose()
}

/// The data disks that a server uses, or that are on their way to or from it,
/// the one that was there first first.
pub fn data_disks_of(tx: &mut dyn Tx, server: &InstanceId) -> Result<Vec<ManagedDisk>, Error> {
    let sql = format!(
        "SELECT {DISK_COLUMNS} FROM {DISK_TABLES} \
         WHERE d.server = $1 AND d.usage = 'data' ORDER BY d.created_ms, d.id"
    );
    let rows = tx.query(&sql, params![server.as_str()])?;
    rows.iter().map(read_disk).collect()
}

/// Adds a data disk. Returns false when its name, or its path on this node, is
/// taken.
pub fn insert_disk(tx: &mut dyn Tx, disk: &ManagedDisk) -> Result<bool, Error> {
    let added = insert_disk_row(tx, disk)?;
    if added {
        write_tags(tx, disk.volume.id.as_str(), &disk.tags)?;
    }
    Ok(added)
}

pub(super) fn insert_disk_row(tx: &mut dyn Tx, disk: &ManagedDisk) -> Result<bool, Error> {
    let [kind, state, request, started] = op_values(disk.latest.as_ref());
    let volume = &disk.volume;
    let added = tx.execute(
        "INSERT INTO disks (id, owner, name, usage, server, state, made, node, head, format, driver, size_bytes, \
         op_kind, op_state, op_request, op_started_ms, tags, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         ON CONFLICT DO NOTHING",
        &[
            volume.id.as_str().into(),
            disk.owner.as_str().into(),
            (&disk.name).into(),
            disk.usage.as_str().into(),
            disk.server.as_ref().map(InstanceId::as_str).into(),
            disk.state.as_str().into(),
            i64::from(disk.made).into(),
            (&disk.node).into(),
            path_text(&volume.head)?.into(),
            volume.format.as_str().into(),
            volume.driver.as_str().into(),
            volume.size_bytes.cast_signed().into(),
            kind,
            state,
            request,
            started,
            tags_text(&disk.tags)?.into(),
            disk.created.0.into(),
        ],
    )?;
    Ok(added > 0)
}

/// Forgets a data disk and its restore points. Files are not touched.
pub fn delete_disk(tx: &mut dyn Tx, id: &DiskId) -> Result<(), Error> {
    super::delete_points_of(tx, &crate::model::Subject::Disk(id.clone()))?;
    tx.execute(
        "DELETE FROM server_tags WHERE resource = $1",
        params![id.as_str()],
    )?;
    tx.execute("DELETE FROM disks WHERE id = $1", params![id.as_str()])?;
    Ok(())
}

/// Records what the disk looks like now.
pub fn update_disk(tx: &mut dyn Tx, disk: &Volume) -> Result<(), Error> {
    tx.execute(
        "UPDATE disks SET format = $2, size_bytes = $3 WHERE id = $1",
        params![
            disk.id.as_str(),
            disk.format.as_str(),
            disk.size_bytes.cast_signed()
        ],
    )?;
    Ok(())
}

/// Records which server uses a data disk, or is about to.
pub fn set_attachment(
    tx: &mut dyn Tx,
    id: &DiskId,
    server: Option<&InstanceId>,
    state: DiskState,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE disks SET server = $2, state = $3 WHERE id = $1",
        params![id.as_str(), server.map(InstanceId::as_str), state.as_str()],
    )?;
    Ok(())
}

fn read_disk(row: &Row) -> Result<ManagedDisk, Error> {
    Ok(ManagedDisk {
        volume: read_volume(row, 0)?,
        owner: row.parse(5, |t| t.parse().ok())?,
        node: row.get(6)?,
        name: row.get(7)?,
        usage: row.parse(8, Usage::parse)?,
        server: optional(row, 9, |row, at| row.parse(at, |t| t.parse().ok()))?,
        state: row.parse(10, DiskState::parse)?,
        made: row.get::<i64>(11)? != 0,
        latest: read_op(row, 12)?,
        tags: read_tags(row, 16)?,
        created: Timestamp(row.get(17)?),
    })
}
