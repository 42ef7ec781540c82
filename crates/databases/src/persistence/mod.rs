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

use backout_store::{Error, Migration, Row, Tx, Value, params, query_one};

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

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return, at most 100.
    pub limit: u64,
}

/// One condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    /// It has one of these keys.
    Keys(Vec<String>),
    /// It has one of these values, under any key.
    Values(Vec<String>),
    /// It has this key with one of these values.
    Pair(String, Vec<String>),
}

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

/// A `WHERE` under construction.
struct Conditions {
    sql: String,
    params: Vec<Value>,
}

impl Conditions {
    fn new(first: &str, value: impl Into<Value>) -> Self {
        Self {
            sql: format!("{first} = $1"),
            params: vec![value.into()],
        }
    }

    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    fn one_of<V: Into<Value>>(&mut self, column: &str, values: impl IntoIterator<Item = V>) {
        let marks: Vec<String> = values.into_iter().map(|v| self.bind(v)).collect();
        if !marks.is_empty() {
            self.sql
                .push_str(&format!(" AND {column} IN ({})", marks.join(", ")));
        }
    }

    /// The column is at least `from` and at most `to`.
    fn between(&mut self, column: &str, from: Option<i64>, to: Option<i64>) {
        if let Some(from) = from {
            let mark = self.bind(from);
            self.sql.push_str(&format!(" AND {column} >= {mark}"));
        }
        if let Some(to) = to {
            let mark = self.bind(to);
            self.sql.push_str(&format!(" AND {column} <= {mark}"));
        }
    }

    fn tags(&mut self, column: &str, filters: &[TagFilter]) {
        for filter in filters {
            let mut inner = Self {
                sql: String::new(),
                params: std::mem::take(&mut self.params),
            };
            match filter {
                TagFilter::Keys(keys) => inner.one_of("t.tag_key", keys),
                TagFilter::Values(values) => inner.one_of("t.tag_value", values),
                TagFilter::Pair(key, values) => {
                    inner.one_of("t.tag_key", [key]);
                    inner.one_of("t.tag_value", values);
                }
            }
            self.params = inner.params;
            let conditions = inner.sql.strip_prefix(" AND ").unwrap_or("1 = 1");
            self.sql.push_str(&format!(
                " AND {column} IN (SELECT t.resource FROM database_tags t WHERE {conditions})"
            ));
        }
    }
}

/// How many rows match, and one page of them in `order`.
fn paged<T>(
    tx: &mut dyn Tx,
    columns: &str,
    table: &str,
    mut w: Conditions,
    order: &str,
    page: Page,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<(u64, Vec<T>), Error> {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE {}", w.sql);
    let row =
        query_one(tx, &sql, &w.params)?.ok_or_else(|| Error::corrupt("COUNT(*) gave no row"))?;
    let total = row.get::<i64>(0)?.cast_unsigned();
    if page.offset >= total || page.limit == 0 {
        return Ok((total, Vec::new()));
    }
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {columns} FROM {table} WHERE {} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    Ok((total, rows.iter().map(read).collect::<Result<_, _>>()?))
}

/// Anything stored as JSON.
fn json_text(what: &str, value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::corrupt(format!("{what}: {e}")))
}

fn read_json<T: serde::de::DeserializeOwned>(
    what: &str,
    row: &Row,
    index: usize,
) -> Result<T, Error> {
    serde_json::from_str(row.text(index)?).map_err(|e| Error::corrupt(format!("{what}: {e}")))
}

/// A column that may be null.
fn optional<T>(
    row: &Row,
    index: usize,
    read: impl FnOnce(&Row, usize) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match row.is_null(index) {
        true => Ok(None),
        false => read(row, index).map(Some),
    }
}

fn path_text(path: &std::path::Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::corrupt("a path that is not UTF-8"))
}
