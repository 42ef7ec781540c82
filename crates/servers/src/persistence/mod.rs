//! What the store holds about servers, disks, restore points and images.
//!
//! Stored: which disks are managed and by what driver, who owns them, which
//! restore points exist and in which files, what was last asked of each, and
//! the labels. Not stored: anything that the disk itself tells (whether the
//! file is there, who holds it open, how much it has allocated); that is looked
//! at when it is asked for.

mod blueprints;
mod counts;
mod disks;
mod files;
mod listing;
mod servers;
mod snapshots;
mod tending;

use backout_core::ids::RequestId;
use backout_core::time::Timestamp;
pub use backout_store::rows::{Page, TagFilter};
use backout_store::{Dialect, Error, Migration, Row, Tx, Value, params};

pub use blueprints::*;
pub use disks::*;
pub use files::*;
pub use listing::list_snapshots;
pub use servers::*;
pub use snapshots::*;
pub use tending::*;

use crate::model::{LatestOperation, OperationKind, OperationState, Subject, Tag};

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "servers-0001",
        sql: "
CREATE TABLE servers (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  node TEXT NOT NULL,
  power TEXT NOT NULL,
  start_command TEXT,
  stop_command TEXT,
  op_kind TEXT, op_state TEXT, op_request TEXT, op_started_ms BIGINT,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  UNIQUE (owner, name)
);
CREATE INDEX servers_listing ON servers (owner, created_ms DESC, id);
CREATE TABLE disks (
  id TEXT PRIMARY KEY,
  server TEXT NOT NULL UNIQUE REFERENCES servers (id) ON DELETE CASCADE,
  node TEXT NOT NULL,
  head TEXT NOT NULL,
  format TEXT NOT NULL,
  driver TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  UNIQUE (node, head)
);
CREATE TABLE snapshots (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  server TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  disk TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  point_file TEXT, point_format TEXT,
  size_bytes BIGINT NOT NULL,
  op_kind TEXT, op_state TEXT, op_request TEXT, op_started_ms BIGINT,
  job TEXT,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL
);
CREATE INDEX snapshots_listing ON snapshots (owner, kind, created_ms DESC, id);
CREATE INDEX snapshots_of_server ON snapshots (server, created_ms DESC, id);
CREATE INDEX snapshots_by_job ON snapshots (job);
CREATE TABLE server_tags (
  resource TEXT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (resource, tag_key)
);
CREATE TABLE safety_points (
  job TEXT PRIMARY KEY,
  safety TEXT NOT NULL
);",
    },
    Migration {
        name: "servers-0002",
        sql: "
ALTER TABLE servers ADD COLUMN machine TEXT;
ALTER TABLE servers ADD COLUMN bundle TEXT;
ALTER TABLE servers ADD COLUMN blueprint TEXT;
ALTER TABLE servers ADD COLUMN made BIGINT NOT NULL DEFAULT 0;
ALTER TABLE servers ADD COLUMN isolated_ms BIGINT;
ALTER TABLE servers ADD COLUMN schedule_every_ms BIGINT;
ALTER TABLE servers ADD COLUMN schedule_keep BIGINT;
ALTER TABLE servers ADD COLUMN schedule_next_ms BIGINT;
CREATE INDEX servers_by_schedule ON servers (node, schedule_next_ms);
CREATE TABLE disks_2 (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  usage TEXT NOT NULL,
  server TEXT,
  state TEXT NOT NULL,
  made BIGINT NOT NULL,
  node TEXT NOT NULL,
  head TEXT NOT NULL,
  format TEXT NOT NULL,
  driver TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  op_kind TEXT, op_state TEXT, op_request TEXT, op_started_ms BIGINT,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  UNIQUE (node, head)
);
INSERT INTO disks_2 (id, owner, name, usage, server, state, made, node, head, format, driver, size_bytes, tags, created_ms)
  SELECT d.id, s.owner, '', 'system', s.id, 'attached', 0, d.node, d.head, d.format, d.driver, d.size_bytes, '[]', s.created_ms
  FROM disks d JOIN servers s ON s.id = d.server;
DROP TABLE disks;
ALTER TABLE disks_2 RENAME TO disks;
CREATE UNIQUE INDEX disks_system ON disks (server) WHERE usage = 'system';
CREATE UNIQUE INDEX disks_data_name ON disks (owner, name) WHERE usage = 'data';
CREATE INDEX disks_of_server ON disks (server);
CREATE INDEX disks_listing ON disks (owner, created_ms DESC, id);
CREATE TABLE snapshots_2 (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  usage TEXT NOT NULL,
  subject TEXT NOT NULL,
  disk TEXT NOT NULL,
  kind TEXT NOT NULL,
  safety BIGINT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  point_file TEXT, point_format TEXT,
  size_bytes BIGINT NOT NULL,
  op_kind TEXT, op_state TEXT, op_request TEXT, op_started_ms BIGINT,
  job TEXT,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  expires_ms BIGINT
);
INSERT INTO snapshots_2 (id, owner, usage, subject, disk, kind, safety, name, state, point_file, point_format, size_bytes,
    op_kind, op_state, op_request, op_started_ms, job, tags, created_ms)
  SELECT id, owner, 'system', server, disk, kind, CASE WHEN kind = 'safety' THEN 1 ELSE 0 END, name, state, point_file, point_format, size_bytes,
    op_kind, op_state, op_request, op_started_ms, job, tags, created_ms
  FROM snapshots;
DROP TABLE snapshots;
ALTER TABLE snapshots_2 RENAME TO snapshots;
CREATE INDEX snapshots_listing ON snapshots (owner, usage, safety, created_ms DESC, id);
CREATE INDEX snapshots_of_subject ON snapshots (subject, safety, created_ms DESC, id);
CREATE INDEX snapshots_of_disk ON snapshots (disk);
CREATE INDEX snapshots_by_job ON snapshots (job);
CREATE INDEX snapshots_by_expiry ON snapshots (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE TABLE blueprints (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  node TEXT NOT NULL,
  state TEXT NOT NULL,
  file TEXT NOT NULL,
  format TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  boot TEXT NOT NULL,
  made BIGINT NOT NULL,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL
);
CREATE INDEX blueprints_listing ON blueprints (owner, created_ms DESC, id);",
    },
    Migration {
        name: "servers-0003",
        sql: "
CREATE TABLE snapshot_counts (
  owner TEXT NOT NULL,
  scope TEXT NOT NULL,
  usage TEXT NOT NULL,
  shard BIGINT NOT NULL,
  points BIGINT NOT NULL,
  safety BIGINT NOT NULL,
  PRIMARY KEY (owner, scope, usage, shard)
);
CREATE INDEX snapshot_counts_by_scope ON snapshot_counts (scope);
INSERT INTO snapshot_counts (owner, scope, usage, shard, points, safety)
  SELECT owner, '', usage, 0, SUM(1 - safety), SUM(safety) FROM snapshots
  WHERE state <> 'deleting' GROUP BY owner, usage;
INSERT INTO snapshot_counts (owner, scope, usage, shard, points, safety)
  SELECT owner, subject, usage, 0, SUM(1 - safety), SUM(safety) FROM snapshots
  WHERE state <> 'deleting' GROUP BY owner, subject, usage;
INSERT INTO snapshot_counts (owner, scope, usage, shard, points, safety)
  SELECT owner, disk, usage, 0, SUM(1 - safety), SUM(safety) FROM snapshots
  WHERE state <> 'deleting' AND disk <> subject GROUP BY owner, disk, usage;
DROP INDEX snapshots_listing;
DROP INDEX snapshots_of_subject;
DROP INDEX snapshots_of_disk;
CREATE INDEX snapshots_listing ON snapshots (owner, usage, safety, created_ms DESC, id, state);
CREATE INDEX snapshots_of_subject ON snapshots (subject, safety, created_ms DESC, id, owner, state);
CREATE INDEX snapshots_of_disk ON snapshots (disk, safety, created_ms DESC, id, owner, state);
CREATE INDEX snapshots_by_name ON snapshots (subject, name);
CREATE INDEX snapshots_of_name ON snapshots (owner, name);
CREATE INDEX snapshots_unsettled ON snapshots (owner, state) WHERE state <> 'normal' AND state <> 'deleting';
CREATE INDEX snapshots_scheduled ON snapshots (subject, created_ms DESC, id) WHERE kind = 'scheduled';
CREATE INDEX safety_points_by_safety ON safety_points (safety);
CREATE INDEX server_tags_by_key ON server_tags (tag_key, tag_value, resource);
CREATE INDEX server_tags_by_value ON server_tags (tag_value, resource);",
    },
];

/// Words after a table's name for a planner that has no statistics to go by:
/// SQLite would take the index with the most columns for the best.
fn by_index(tx: &dyn Tx, index: &str) -> String {
    match tx.dialect() {
        Dialect::Sqlite => format!(" INDEXED BY {index}"),
        Dialect::Postgres => String::new(),
    }
}

fn write_tags(tx: &mut dyn Tx, resource: &str, tags: &[Tag]) -> Result<(), Error> {
    for tag in tags {
        tx.execute(
            "INSERT INTO server_tags (resource, tag_key, tag_value) VALUES ($1, $2, $3)",
            params![resource, &tag.key, &tag.value],
        )?;
    }
    Ok(())
}

/// The four columns of an operation, from `first` on.
fn read_op(row: &Row, first: usize) -> Result<Option<LatestOperation>, Error> {
    if row.is_null(first) {
        return Ok(None);
    }
    Ok(Some(LatestOperation {
        kind: row.parse(first, OperationKind::parse)?,
        state: row.parse(first + 1, OperationState::parse)?,
        request: RequestId(row.get(first + 2)?),
        started: Timestamp(row.get(first + 3)?),
    }))
}

fn op_values(op: Option<&LatestOperation>) -> [Value; 4] {
    op.map_or([Value::Null, Value::Null, Value::Null, Value::Null], |op| {
        [
            op.kind.as_str().into(),
            op.state.as_str().into(),
            (&op.request.0).into(),
            op.started.0.into(),
        ]
    })
}

fn read_tags(row: &Row, index: usize) -> Result<Vec<Tag>, Error> {
    let text = row.text(index)?;
    if text == "[]" {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|e| Error::corrupt(format!("tags: {e}")))
}

fn tags_text(tags: &[Tag]) -> Result<String, Error> {
    serde_json::to_string(tags).map_err(|e| Error::corrupt(format!("tags: {e}")))
}

fn path_text(path: &std::path::Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::corrupt("a disk path that is not UTF-8"))
}

/// Records what is asked of the row `id` of `table`.
fn set_operation(
    tx: &mut dyn Tx,
    table: &'static str,
    id: &str,
    op: &LatestOperation,
) -> Result<(), Error> {
    let [kind, state, request, started] = op_values(Some(op));
    tx.execute(
        &format!(
            "UPDATE {table} SET op_kind = $2, op_state = $3, op_request = $4, op_started_ms = $5 WHERE id = $1"
        ),
        &[id.into(), kind, state, request, started],
    )?;
    Ok(())
}

/// Records how the operation of the row `id` of `table` ended.
fn end_operation(
    tx: &mut dyn Tx,
    table: &'static str,
    id: &str,
    state: OperationState,
) -> Result<(), Error> {
    tx.execute(
        &format!("UPDATE {table} SET op_state = $2 WHERE id = $1"),
        params![id, state.as_str()],
    )?;
    Ok(())
}

/// Records what is asked of a server or a data disk.
pub fn set_subject_operation(
    tx: &mut dyn Tx,
    subject: &Subject,
    op: &LatestOperation,
) -> Result<(), Error> {
    match subject {
        Subject::Server(id) => set_operation(tx, "servers", id.as_str(), op),
        Subject::Disk(id) => set_operation(tx, "disks", id.as_str(), op),
    }
}

/// Records how the operation of a server or a data disk ended.
pub fn end_subject_operation(
    tx: &mut dyn Tx,
    subject: &Subject,
    state: OperationState,
) -> Result<(), Error> {
    match subject {
        Subject::Server(id) => end_operation(tx, "servers", id.as_str(), state),
        Subject::Disk(id) => end_operation(tx, "disks", id.as_str(), state),
    }
}
