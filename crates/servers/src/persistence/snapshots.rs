//! The rows of restore points.

use backout_core::ids::{AccountId, JobId, PointId};
use backout_core::time::Timestamp;
use backout_disks::Point;
use backout_store::rows::{TagFilter, optional};
use backout_store::{Error, Row, Tx, params, query_one};

use super::counts::{COUNTED_COLUMNS, Counted, counted, read_count};
use super::{by_index, op_values, read_op, read_tags, set_operation, tags_text, write_tags};
use crate::model::{
    LatestOperation, OperationState, Snapshot, SnapshotKind, SnapshotState, Subject, Usage,
};

pub(super) const SNAPSHOT_COLUMNS: &str = "id, owner, subject, disk, kind, name, state, point_file, point_format, \
     size_bytes, op_kind, op_state, op_request, op_started_ms, job, tags, created_ms, expires_ms";

/// The text of a subject in its column: the id of the server or of the disk.
pub(super) fn subject_text(subject: &Subject) -> &str {
    match subject {
        Subject::Server(id) => id.as_str(),
        Subject::Disk(id) => id.as_str(),
    }
}

fn parse_subject(text: &str) -> Option<Subject> {
    match text.parse() {
        Ok(id) => Some(Subject::Server(id)),
        Err(_) => text.parse().ok().map(Subject::Disk),
    }
}

const fn usage_of(subject: &Subject) -> Usage {
    match subject {
        Subject::Server(_) => Usage::System,
        Subject::Disk(_) => Usage::Data,
    }
}

/// Which restore points; as [`super::ServerFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// Of the system disks of these servers, or of these data disks.
    pub subjects: Vec<String>,
    /// Of these disks.
    pub disks: Vec<String>,
    /// With these names.
    pub names: Vec<String>,
    /// Of system disks, or of data disks.
    pub usage: Option<Usage>,
    /// Only those that rollbacks kept, or only the others.
    pub safety: Option<bool>,
    /// In one of these states.
    pub states: Vec<SnapshotState>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// Matches nothing at all.
    pub nothing: bool,
}

/// The restore points of `subject` that have this name, the newest first, at
/// most `limit` of them.
pub fn points_named(
    tx: &mut dyn Tx,
    subject: &Subject,
    name: &str,
    limit: i64,
) -> Result<Vec<PointId>, Error> {
    let sql = format!(
        "SELECT id FROM snapshots{} WHERE subject = $1 AND name = $2 \
         ORDER BY created_ms DESC LIMIT $3",
        by_index(tx, "snapshots_by_name")
    );
    tx.query(&sql, params![subject_text(subject), name, limit])?
        .iter()
        .map(|row| row.parse(0, |t| t.parse().ok()))
        .collect()
}

/// A restore point by id, or by its name among those of `subject`, the newest
/// when several have it.
pub fn find_snapshot(
    tx: &mut dyn Tx,
    owner: &AccountId,
    subject: Option<&Subject>,
    id_or_name: &str,
) -> Result<Option<Snapshot>, Error> {
    let sql = format!("SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE id = $1 AND owner = $2");
    let mut found = query_one(tx, &sql, params![id_or_name, owner.as_str()])?;
    if let (None, Some(subject)) = (&found, subject) {
        let sql = format!(
            "SELECT {SNAPSHOT_COLUMNS} FROM snapshots{} \
             WHERE subject = $1 AND name = $2 AND owner = $3 ORDER BY created_ms DESC LIMIT 1",
            by_index(tx, "snapshots_by_name")
        );
        let wanted = params![subject_text(subject), id_or_name, owner.as_str()];
        found = query_one(tx, &sql, wanted)?;
    }
    found.as_ref().map(read_snapshot).transpose()
}

/// A snapshot by id, whoever owns it.
pub fn snapshot_by_id(tx: &mut dyn Tx, id: &PointId) -> Result<Option<Snapshot>, Error> {
    let sql = format!("SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE id = $1");
    query_one(tx, &sql, params![id.as_str()])?
        .as_ref()
        .map(read_snapshot)
        .transpose()
}

/// The safety point that `job` left behind.
pub fn safety_point_of(tx: &mut dyn Tx, job: &JobId) -> Result<Option<Snapshot>, Error> {
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE kind = 'safety' AND id = (SELECT safety FROM safety_points WHERE job = $1)"
    );
    query_one(tx, &sql, params![job.as_str()])?
        .as_ref()
        .map(read_snapshot)
        .transpose()
}

/// The files of all restore points of `subject`, safety points included.
pub fn points_of(tx: &mut dyn Tx, subject: &Subject) -> Result<Vec<(PointId, Point)>, Error> {
    let rows = tx.query(
        "SELECT id, point_file, point_format FROM snapshots WHERE subject = $1 AND point_file IS NOT NULL",
        params![subject_text(subject)],
    )?;
    rows.iter()
        .map(|row| {
            let point = Point {
                file: row.get(1)?,
                format: row.parse(2, |t| t.parse().ok())?,
            };
            Ok((row.parse(0, |t| t.parse().ok())?, point))
        })
        .collect()
}

/// Adds a snapshot.
pub fn insert_snapshot(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), Error> {
    let [kind, state, request, started] = op_values(snapshot.latest.as_ref());
    tx.execute(
        "INSERT INTO snapshots (id, owner, usage, subject, disk, kind, safety, name, state, point_file, point_format, size_bytes, \
         op_kind, op_state, op_request, op_started_ms, job, tags, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        &[
            snapshot.id.as_str().into(),
            snapshot.owner.as_str().into(),
            usage_of(&snapshot.subject).as_str().into(),
            subject_text(&snapshot.subject).into(),
            snapshot.disk.as_str().into(),
            snapshot.kind.as_str().into(),
            i64::from(snapshot.kind == SnapshotKind::Safety).into(),
            (&snapshot.name).into(),
            snapshot.state.as_str().into(),
            snapshot.point.as_ref().map(|p| p.file.clone()).into(),
            snapshot.point.as_ref().map(|p| p.format.as_str()).into(),
            snapshot.size_bytes.cast_signed().into(),
            kind,
            state,
            request,
            started,
            snapshot.job.as_ref().map(JobId::as_str).into(),
            tags_text(&snapshot.tags)?.into(),
            snapshot.created.0.into(),
            snapshot.expires.map(|t| t.0).into(),
        ],
    )?;
    write_tags(tx, snapshot.id.as_str(), &snapshot.tags)?;
    if snapshot.state == SnapshotState::Deleting {
        return Ok(());
    }
    let counted = Counted {
        owner: snapshot.owner.to_string(),
        usage: usage_of(&snapshot.subject).as_str().to_owned(),
        subject: subject_text(&snapshot.subject).to_owned(),
        disk: snapshot.disk.to_string(),
        safety: snapshot.kind == SnapshotKind::Safety,
    };
    counted.add(tx, 1)
}

/// Forgets a snapshot. Its file is not touched.
pub fn delete_snapshot(tx: &mut dyn Tx, id: &PointId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM server_tags WHERE resource = $1",
        params![id.as_str()],
    )?;
    tx.execute(
        "DELETE FROM safety_points WHERE safety = $1",
        params![id.as_str()],
    )?;
    let gone = query_one(
        tx,
        &format!("DELETE FROM snapshots WHERE id = $1 RETURNING {COUNTED_COLUMNS}, state"),
        params![id.as_str()],
    )?;
    match gone {
        Some(row) if row.text(5)? != SnapshotState::Deleting.as_str() => {
            Counted::read(&row)?.add(tx, -1)
        }
        _ => Ok(()),
    }
}

/// Forgets all restore points of `subject`. Their files are not touched.
pub fn delete_points_of(tx: &mut dyn Tx, subject: &Subject) -> Result<(), Error> {
    for (table, column) in [("server_tags", "resource"), ("safety_points", "safety")] {
        tx.execute(
            &format!(
                "DELETE FROM {table} WHERE {column} IN (SELECT id FROM snapshots WHERE subject = $1)"
            ),
            params![subject_text(subject)],
        )?;
    }
    let counts = tx.query(
        &format!(
            "SELECT {COUNTED_COLUMNS}, COUNT(*) FROM snapshots \
             WHERE subject = $1 AND state <> 'deleting' GROUP BY {COUNTED_COLUMNS}"
        ),
        params![subject_text(subject)],
    )?;
    let disks = tx.query(
        "DELETE FROM snapshots WHERE subject = $1 RETURNING owner, disk",
        params![subject_text(subject)],
    )?;
    for row in &counts {
        Counted::read(row)?.add(tx, -row.get::<i64>(5)?)?;
    }
    // Nobody asks for these again.
    let mut scopes: Vec<(&str, &str)> = Vec::new();
    for row in &disks {
        scopes.push((row.text(0)?, row.text(1)?));
        scopes.push((row.text(0)?, subject_text(subject)));
    }
    scopes.sort_unstable();
    scopes.dedup();
    for (owner, scope) in scopes {
        tx.execute(
            "DELETE FROM snapshot_counts WHERE owner = $1 AND scope = $2",
            params![owner, scope],
        )?;
    }
    Ok(())
}

/// Renames a restore point.
pub fn rename_snapshot(tx: &mut dyn Tx, id: &PointId, name: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE snapshots SET name = $2 WHERE id = $1",
        params![id.as_str(), name],
    )?;
    Ok(())
}

/// How many restore points `subject` has, safety points not counted.
pub fn count_points(tx: &mut dyn Tx, subject: &Subject) -> Result<u64, Error> {
    let row = query_one(
        tx,
        "SELECT CAST(COALESCE(SUM(points), 0) AS BIGINT) FROM snapshot_counts WHERE scope = $1",
        params![subject_text(subject)],
    )?;
    read_count(row.as_ref())
}

/// How many restore points an owner has, of system disks and of data disks,
/// safety points not counted.
pub fn count_snapshots(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    let filter = SnapshotFilter {
        safety: Some(false),
        ..SnapshotFilter::default()
    };
    counted(tx, owner, &filter)
}

/// Records that a job begins to work on a snapshot.
pub fn begin_snapshot_operation(
    tx: &mut dyn Tx,
    id: &PointId,
    state: SnapshotState,
    job: &JobId,
    op: Option<&LatestOperation>,
) -> Result<(), Error> {
    set_state(tx, id, state)?;
    tx.execute(
        "UPDATE snapshots SET job = $2 WHERE id = $1",
        params![id.as_str(), job.as_str()],
    )?;
    if let Some(op) = op {
        set_operation(tx, "snapshots", id.as_str(), op)?;
    }
    Ok(())
}

/// Records that a job is done with a snapshot, which is usable again.
pub fn end_snapshot_operation(
    tx: &mut dyn Tx,
    id: &PointId,
    op: Option<OperationState>,
) -> Result<(), Error> {
    set_state(tx, id, SnapshotState::Normal)?;
    if let Some(op) = op {
        tx.execute(
            "UPDATE snapshots SET op_state = $2 WHERE id = $1",
            params![id.as_str(), op.as_str()],
        )?;
    }
    Ok(())
}

/// Moves a snapshot to another state. One that is being deleted is hidden, and
/// not counted.
fn set_state(tx: &mut dyn Tx, id: &PointId, state: SnapshotState) -> Result<(), Error> {
    let (hides, shows) = match state {
        SnapshotState::Deleting => (true, "state = 'deleting'"),
        _ => (false, "state <> 'deleting'"),
    };
    let moved = tx.execute(
        &format!("UPDATE snapshots SET state = $2 WHERE id = $1 AND {shows}"),
        params![id.as_str(), state.as_str()],
    )?;
    if moved > 0 {
        return Ok(());
    }
    let crossed = query_one(
        tx,
        &format!("UPDATE snapshots SET state = $2 WHERE id = $1 RETURNING {COUNTED_COLUMNS}"),
        params![id.as_str(), state.as_str()],
    )?;
    match crossed {
        Some(row) => Counted::read(&row)?.add(tx, if hides { -1 } else { 1 }),
        None => Ok(()),
    }
}

/// Records the file of a snapshot.
pub fn set_point(
    tx: &mut dyn Tx,
    id: &PointId,
    point: &Point,
    size_bytes: u64,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE snapshots SET point_file = $2, point_format = $3, size_bytes = $4 WHERE id = $1",
        params![
            id.as_str(),
            &point.file,
            point.format.as_str(),
            size_bytes.cast_signed()
        ],
    )?;
    Ok(())
}

/// Remembers which safety point takes `job` back.
pub fn insert_safety_point(tx: &mut dyn Tx, job: &JobId, safety: &PointId) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO safety_points (job, safety) VALUES ($1, $2) ON CONFLICT (job) DO NOTHING",
        params![job.as_str(), safety.as_str()],
    )?;
    Ok(())
}

pub(super) fn read_snapshot(row: &Row) -> Result<Snapshot, Error> {
    let point = match row.is_null(7) {
        true => None,
        false => Some(Point {
            file: row.get(7)?,
            format: row.parse(8, |t| t.parse().ok())?,
        }),
    };
    Ok(Snapshot {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        subject: row.parse(2, parse_subject)?,
        disk: row.parse(3, |t| t.parse().ok())?,
        kind: row.parse(4, SnapshotKind::parse)?,
        name: row.get(5)?,
        state: row.parse(6, SnapshotState::parse)?,
        point,
        size_bytes: row.get::<i64>(9)?.cast_unsigned(),
        latest: read_op(row, 10)?,
        job: optional(row, 14, |row, at| row.parse(at, |t| t.parse().ok()))?,
        tags: read_tags(row, 15)?,
        created: Timestamp(row.get(16)?),
        expires: row.get::<Option<i64>>(17)?.map(Timestamp),
    })
}
