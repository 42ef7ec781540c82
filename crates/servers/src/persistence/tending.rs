//! What the background keeper of a host looks for. All by index, a page at a
//! time.

use backout_core::ids::{AccountId, DiskId, InstanceId};
use backout_core::time::Timestamp;
use backout_store::{Error, Row, Tx, params};

use super::snapshots::{SNAPSHOT_COLUMNS, read_snapshot, subject_text};
use crate::model::{Snapshot, Subject};

/// A server whose schedule wants a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The server.
    pub server: InstanceId,
    /// Whose it is.
    pub owner: AccountId,
    /// Its system disk.
    pub disk: DiskId,
    /// Since when.
    pub due: Timestamp,
    /// From one to the next, in milliseconds.
    pub every_ms: i64,
}

/// The servers of a host that a snapshot is due of, by id, from the one after
/// `after` on.
pub fn due_schedules(
    tx: &mut dyn Tx,
    node: &str,
    now: Timestamp,
    after: &str,
    limit: u64,
) -> Result<Vec<Due>, Error> {
    let rows = tx.query(
        "SELECT s.id, s.owner, d.id, s.schedule_next_ms, s.schedule_every_ms FROM servers s \
         JOIN disks d ON d.server = s.id AND d.usage = 'system' \
         WHERE s.node = $1 AND s.schedule_next_ms <= $2 AND s.id > $3 ORDER BY s.id LIMIT $4",
        params![node, now.0, after, limit.cast_signed()],
    )?;
    let read = |row: &Row| {
        Ok(Due {
            server: row.parse(0, |t| t.parse().ok())?,
            owner: row.parse(1, |t| t.parse().ok())?,
            disk: row.parse(2, |t| t.parse().ok())?,
            due: Timestamp(row.get(3)?),
            every_ms: row.get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Moves a schedule on. Returns false when it is not due at `due` any more:
/// another process has taken that snapshot, or somebody changed the schedule.
pub fn advance_schedule(
    tx: &mut dyn Tx,
    server: &InstanceId,
    due: Timestamp,
    next: Timestamp,
) -> Result<bool, Error> {
    let moved = tx.execute(
        "UPDATE servers SET schedule_next_ms = $3 WHERE id = $1 AND schedule_next_ms = $2",
        params![server.as_str(), due.0, next.0],
    )?;
    Ok(moved > 0)
}

/// The servers of a host that have a schedule, and how many snapshots of it are
/// kept, by id, from the one after `after` on.
pub fn schedules(
    tx: &mut dyn Tx,
    node: &str,
    after: &str,
    limit: u64,
) -> Result<Vec<(InstanceId, u64)>, Error> {
    let rows = tx.query(
        "SELECT id, schedule_keep FROM servers \
         WHERE node = $1 AND schedule_next_ms IS NOT NULL AND id > $2 ORDER BY id LIMIT $3",
        params![node, after, limit.cast_signed()],
    )?;
    rows.iter()
        .map(|row| {
            let keep = u64::try_from(row.get::<i64>(1)?)
                .map_err(|_| Error::corrupt("a schedule's count"))?;
            Ok((row.parse(0, |t| t.parse().ok())?, keep))
        })
        .collect()
}

/// The scheduled snapshots of a server beyond the newest `keep` usable ones, the
/// oldest first.
pub fn superseded(
    tx: &mut dyn Tx,
    server: &InstanceId,
    keep: u64,
    limit: u64,
) -> Result<Vec<Snapshot>, Error> {
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM snapshots \
         WHERE subject = $1 AND kind = 'scheduled' AND state = 'normal' \
         ORDER BY created_ms DESC, id LIMIT $2 OFFSET $3"
    );
    let subject = Subject::Server(server.clone());
    let wanted = params![
        subject_text(&subject),
        limit.cast_signed(),
        keep.cast_signed()
    ];
    let rows = tx.query(&sql, wanted)?;
    rows.iter().rev().map(read_snapshot).collect()
}

/// The restore points of disks of a host whose time is over, usable ones only,
/// by subject, from the one after `after` on. The last subject may not be
/// complete.
pub fn expired(
    tx: &mut dyn Tx,
    node: &str,
    now: Timestamp,
    after: &str,
    limit: u64,
) -> Result<Vec<Snapshot>, Error> {
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM ( \
           SELECT s.id AS pick FROM snapshots s \
           LEFT JOIN servers v ON v.id = s.subject LEFT JOIN disks d ON d.id = s.subject \
           WHERE s.expires_ms <= $1 AND s.state = 'normal' AND s.subject > $3 \
           AND COALESCE(v.node, d.node) = $2 \
           ORDER BY s.subject, s.expires_ms, s.id LIMIT $4 \
         ) picked CROSS JOIN snapshots WHERE id = picked.pick ORDER BY subject, expires_ms, id"
    );
    let rows = tx.query(&sql, params![now.0, node, after, limit.cast_signed()])?;
    rows.iter().map(read_snapshot).collect()
}

/// The disks of a host that are chains of layers, and whose they are, by id,
/// from the one after `after` on.
pub fn layered_disks(
    tx: &mut dyn Tx,
    node: &str,
    after: &str,
    limit: u64,
) -> Result<Vec<(DiskId, AccountId)>, Error> {
    let rows = tx.query(
        "SELECT id, owner FROM disks WHERE node = $1 AND driver = 'qcow2' AND id > $2 ORDER BY id LIMIT $3",
        params![node, after, limit.cast_signed()],
    )?;
    rows.iter()
        .map(|row| {
            Ok((
                row.parse(0, |t| t.parse().ok())?,
                row.parse(1, |t| t.parse().ok())?,
            ))
        })
        .collect()
}
