//! What the store holds about database instances, their backups, and what was
//! asked of them.
//!
//! Stored: which instances are managed and how they are reached (the password
//! sealed), which backups exist and what they build on, and a row for every
//! call that made work. Not stored: anything that an instance, its archive or a
//! backup's folder itself tells, and how far a running job is; the jobs know
//! that.

mod backups;
mod instances;
mod tasks;

pub use backout_store::rows::{Page, TagFilter};
use backout_store::{Error, Migration, Tx, params, query_one};

pub use backups::*;
pub use instances::*;
pub use tasks::*;

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
    name: "databases-0001",
    sql: "
CREATE TABLE databases (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  node TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  host TEXT NOT NULL,
  port BIGINT NOT NULL,
  login TEXT NOT NULL,
  sealed BYTEA NOT NULL,
  facts TEXT NOT NULL,
  shape TEXT NOT NULL,
  backups TEXT NOT NULL,
  local_logs TEXT NOT NULL,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  isolated_ms BIGINT,
  UNIQUE (owner, name)
);
CREATE INDEX databases_listing ON databases (owner, created_ms DESC, id);
CREATE INDEX databases_of_node ON databases (node, id);
CREATE TABLE database_tags (
  resource TEXT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (resource, tag_key)
);
CREATE INDEX database_tags_by_key ON database_tags (tag_key, tag_value, resource);
CREATE TABLE database_backups (
  number BIGINT PRIMARY KEY,
  instance TEXT NOT NULL,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  way TEXT NOT NULL,
  method TEXT NOT NULL,
  state TEXT NOT NULL,
  folder TEXT NOT NULL,
  tables TEXT NOT NULL,
  base BIGINT,
  log_number BIGINT, log_file TEXT, log_offset BIGINT,
  gtid TEXT,
  bytes BIGINT NOT NULL,
  started_ms BIGINT NOT NULL,
  finished_ms BIGINT,
  as_of_ms BIGINT,
  job TEXT
);
CREATE INDEX database_backups_listing ON database_backups (instance, started_ms DESC, number DESC, state);
CREATE INDEX database_backups_ready ON database_backups (instance, as_of_ms) WHERE state = 'ready';
CREATE INDEX database_backups_by_base ON database_backups (base) WHERE base IS NOT NULL;
CREATE INDEX database_backups_by_job ON database_backups (job) WHERE job IS NOT NULL;
CREATE TABLE database_tasks (
  number BIGINT PRIMARY KEY,
  asked TEXT NOT NULL,
  owner TEXT NOT NULL,
  operator TEXT NOT NULL,
  request TEXT NOT NULL,
  instance TEXT NOT NULL,
  kind TEXT NOT NULL,
  job TEXT NOT NULL,
  detail TEXT NOT NULL,
  standing TEXT NOT NULL,
  percent BIGINT NOT NULL,
  words TEXT NOT NULL,
  error_code TEXT, error_message TEXT,
  created_ms BIGINT NOT NULL,
  ended_ms BIGINT
);
CREATE INDEX database_tasks_listing ON database_tasks (owner, number DESC, kind);
CREATE INDEX database_tasks_of_instance ON database_tasks (instance, number DESC, kind, owner);
CREATE INDEX database_tasks_asked ON database_tasks (asked);
CREATE INDEX database_tasks_by_job ON database_tasks (job);
CREATE INDEX database_tasks_open ON database_tasks (owner, instance, number DESC) WHERE ended_ms IS NULL;
CREATE TABLE database_numbers (
  kind TEXT PRIMARY KEY,
  last BIGINT NOT NULL
);
INSERT INTO database_numbers (kind, last) VALUES ('backup', 0);
INSERT INTO database_numbers (kind, last) VALUES ('task', 0);",
    },
    // What lists are narrowed by in the store: rollbacks of one whole database
    // (told by its words in rows of before), and the zones of instances that
    // are gone.
    Migration {
        name: "databases-0002",
        sql: r#"
ALTER TABLE database_tasks ADD COLUMN whole BIGINT NOT NULL DEFAULT 0;
UPDATE database_tasks SET whole = 1 WHERE detail LIKE '%"databases":[{"from":%}],"tables":[]%' AND detail NOT LIKE '%},{"from":%';
CREATE TABLE database_gone (
  instance TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  zone TEXT NOT NULL
);
CREATE INDEX database_gone_by_zone ON database_gone (owner, zone);"#,
    },
];

/// Draws the number of a new task.
pub fn next_task_number(tx: &mut dyn Tx) -> Result<u64, Error> {
    next_number(tx, "task")
}

/// Draws the number of a new backup.
pub fn next_backup_number(tx: &mut dyn Tx) -> Result<u64, Error> {
    next_number(tx, "backup")
}

/// From 1 on, each once, in the order of the transactions that draw them.
fn next_number(tx: &mut dyn Tx, kind: &str) -> Result<u64, Error> {
    let row = query_one(
        tx,
        "UPDATE database_numbers SET last = last + 1 WHERE kind = $1 RETURNING last",
        params![kind],
    )?
    .ok_or_else(|| Error::corrupt("a kind of number has no row"))?;
    Ok(row.get::<i64>(0)?.cast_unsigned())
}

fn path_text(path: &std::path::Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::corrupt("a path that is not UTF-8"))
}
