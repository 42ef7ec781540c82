//! The rows of restore points.

use backout_core::ids::{AccountId, JobId, PointId};
use backout_core::time::Timestamp;
use backout_disks::Point;
use backout_store::{Error, Row, Tx, params, query_one};

use super::{
    Conditions, Page, TagFilter, count, op_values, optional, read_op, read_tags, set_operation,
    tags_text, write_tags,
};
use crate::model::{
    LatestOperation, OperationState, Snapshot, SnapshotKind, SnapshotState, Subject, Usage,
};

const SNAPSHOT_COLUMNS: &str = "id, owner, subject, disk, kind, name, state, point_file, point_format, \
     size_bytes, op_kind, op_state, op_request, op_started_ms, job, tags, created_ms, expires_ms";

/// The text of a subject in its column: the id of the server or of the disk.
fn subject_text(subject: &Subject) -> &str {
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

/// One page of an owner's snapshots, newest first, and how many match.
pub fn list_snapshots(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
    page: Page,
) -> Result<(u64, Vec<Snapshot>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("usage", filter.usage.iter().map(|u| u.as_str()));
    if let Some(safety) = filter.safety {
        let mark = w.bind(i64::from(safety));
        w.sql.push_str(&format!(" AND safety = {mark}"));
    }
    w.one_of("state", filter.states.iter().map(|s| s.as_str()));
    w.one_of("id", filter.ids.iter().map(String::as_str));
    w.one_of("subject", filter.subjects.iter().map(String::as_str));
    w.one_of("disk", filter.disks.iter().map(String::as_str));
    w.one_of("name", filter.names.iter().map(String::as_str));
    w.tags("id", &filter.tags);
    // A snapshot that is being deleted is gone for its users; it comes back
    // when the deletion is reverted.
    w.sql.push_str(" AND state <> 'deleting'");
    if filter.nothing {
        w.sql.push_str(" AND 1 = 0");
    }
    let conditions = w.params.len();
    // One more than asked for tells whether this page is the last: then nothing
    // need be counted.
    let limit = w.bind(page.limit.saturating_add(1).cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE {} \
         ORDER BY created_ms DESC, id LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let mut rows = tx.query(&sql, &w.params)?;
    let found = rows.len() as u64;
    let is_last = found <= page.limit && (found > 0 || page.offset == 0);
    let total = if is_last {
        page.offset + found
    } else {
        w.params.truncate(conditions);
        count(tx, "snapshots", &w)?
    };
    rows.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
    Ok((
        total,
        rows.iter().map(read_snapshot).collect::<Result<_, _>>()?,
    ))
}

/// A restore point by id, or by its name among those of `subject`, the newest
/// when several have it.
pub fn find_snapshot(
    tx: &mut dyn Tx,
    owner: &AccountId,
    subject: Option<&Subject>,
    id_or_name: &str,
) -> Result<Option<Snapshot>, Error> {
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE owner = $1 AND (id = $2 OR (subject = $3 AND name = $2)) \
         ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END, created_ms DESC LIMIT 1"
    );
    let subject = subject.map_or("", subject_text);
    query_one(tx, &sql, params![owner.as_str(), id_or_name, subject])?
        .as_ref()
        .map(read_snapshot)
        .transpose()
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
    write_tags(tx, snapshot.id.as_str(), &snapshot.tags)
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
    tx.execute("DELETE FROM snapshots WHERE id = $1", params![id.as_str()])?;
    Ok(())
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
    tx.execute(
        "DELETE FROM snapshots WHERE subject = $1",
        params![subject_text(subject)],
    )?;
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
    let mut w = Conditions::new("subject", subject_text(subject));
    w.sql.push_str(" AND safety = 0 AND state <> 'deleting'");
    count(tx, "snapshots", &w)
}

/// Records that a job begins to work on a snapshot.
pub fn begin_snapshot_operation(
    tx: &mut dyn Tx,
    id: &PointId,
    state: SnapshotState,
    job: &JobId,
    op: Option<&LatestOperation>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE snapshots SET state = $2, job = $3 WHERE id = $1",
        params![id.as_str(), state.as_str(), job.as_str()],
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
    tx.execute(
        "UPDATE snapshots SET state = 'normal' WHERE id = $1",
        params![id.as_str()],
    )?;
    if let Some(op) = op {
        tx.execute(
            "UPDATE snapshots SET op_state = $2 WHERE id = $1",
            params![id.as_str(), op.as_str()],
        )?;
    }
    Ok(())
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

fn read_snapshot(row: &Row) -> Result<Snapshot, Error> {
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
