//! What the store holds about servers.
//!
//! Stored: which disks are managed and by what driver, who owns them, which
//! restore points exist and in which files, what was last asked of each, and
//! the labels. Not stored: anything that the disk itself tells (whether the
//! file is there, who holds it open, how much it has allocated); that is looked
//! at when it is asked for.

use backout_core::ids::{AccountId, InstanceId, JobId, RequestId, SnapshotId};
use backout_core::time::Timestamp;
use backout_disks::Point;
use backout_store::{Error, Migration, Row, Tx, Value, params, query_one};

use crate::model::{
    LatestOperation, OperationKind, OperationState, Power, PowerCommands, Server, Snapshot,
    SnapshotKind, SnapshotState, SystemDisk, Tag,
};

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[Migration {
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
}];

const SERVER_COLUMNS: &str = "s.id, s.owner, s.name, s.node, s.power, s.start_command, s.stop_command, \
     s.op_kind, s.op_state, s.op_request, s.op_started_ms, s.tags, s.created_ms, \
     d.id, d.head, d.format, d.driver, d.size_bytes";

const SNAPSHOT_COLUMNS: &str = "id, owner, server, disk, kind, name, state, point_file, point_format, \
     size_bytes, op_kind, op_state, op_request, op_started_ms, job, tags, created_ms";

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

/// Which servers. Empty lists leave a condition out; conditions are joined by
/// AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// These names.
    pub names: Vec<String>,
    /// In one of these states.
    pub powers: Vec<Power>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// Matches nothing at all: for a condition that no server here can meet.
    pub nothing: bool,
}

/// Which snapshots; as [`ServerFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// Of these servers.
    pub servers: Vec<String>,
    /// Of these disks.
    pub disks: Vec<String>,
    /// With these names.
    pub names: Vec<String>,
    /// Of this kind.
    pub kind: Option<SnapshotKind>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
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

    fn one_of<'a>(&mut self, column: &str, values: impl IntoIterator<Item = &'a str>) {
        let marks: Vec<String> = values.into_iter().map(|v| self.bind(v)).collect();
        if !marks.is_empty() {
            self.sql
                .push_str(&format!(" AND {column} IN ({})", marks.join(", ")));
        }
    }

    fn tags(&mut self, column: &str, filters: &[TagFilter]) {
        for filter in filters {
            let mut inner = Self {
                sql: String::new(),
                params: std::mem::take(&mut self.params),
            };
            match filter {
                TagFilter::Keys(keys) => inner.one_of("t.tag_key", keys.iter().map(String::as_str)),
                TagFilter::Values(values) => {
                    inner.one_of("t.tag_value", values.iter().map(String::as_str))
                }
                TagFilter::Pair(key, values) => {
                    inner.one_of("t.tag_key", [key.as_str()]);
                    inner.one_of("t.tag_value", values.iter().map(String::as_str));
                }
            }
            self.params = inner.params;
            self.sql.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM server_tags t WHERE t.resource = {column}{})",
                inner.sql
            ));
        }
    }
}

/// One page of an owner's servers, newest first, and how many match.
pub fn list_servers(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &ServerFilter,
    page: Page,
) -> Result<(u64, Vec<Server>), Error> {
    let mut w = Conditions::new("s.owner", owner.as_str());
    w.one_of("s.id", filter.ids.iter().map(String::as_str));
    w.one_of("s.name", filter.names.iter().map(String::as_str));
    w.one_of("s.power", filter.powers.iter().map(|p| p.as_str()));
    w.tags("s.id", &filter.tags);
    if filter.nothing {
        w.sql.push_str(" AND 1 = 0");
    }
    let total = count(tx, "servers s", &w)?;
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {SERVER_COLUMNS} FROM servers s JOIN disks d ON d.server = s.id WHERE {} \
         ORDER BY s.created_ms DESC, s.id LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    Ok((
        total,
        rows.iter().map(read_server).collect::<Result<_, _>>()?,
    ))
}

/// One page of an owner's snapshots, newest first, and how many match.
pub fn list_snapshots(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
    page: Page,
) -> Result<(u64, Vec<Snapshot>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    if let Some(kind) = filter.kind {
        w.one_of("kind", [kind.as_str()]);
    }
    w.one_of("id", filter.ids.iter().map(String::as_str));
    w.one_of("server", filter.servers.iter().map(String::as_str));
    w.one_of("disk", filter.disks.iter().map(String::as_str));
    w.one_of("name", filter.names.iter().map(String::as_str));
    w.tags("id", &filter.tags);
    // A snapshot that is being deleted is gone for its users; it comes back
    // when the deletion is reverted.
    w.sql.push_str(" AND state <> 'deleting'");
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

fn count(tx: &mut dyn Tx, table: &str, w: &Conditions) -> Result<u64, Error> {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE {}", w.sql);
    let row =
        query_one(tx, &sql, &w.params)?.ok_or_else(|| Error::corrupt("COUNT(*) gave no row"))?;
    Ok(row.get::<i64>(0)?.cast_unsigned())
}

/// A server by id or by name. Ids win: a name may look like one.
pub fn find_server(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id_or_name: &str,
) -> Result<Option<Server>, Error> {
    let sql = format!(
        "SELECT {SERVER_COLUMNS} FROM servers s JOIN disks d ON d.server = s.id \
         WHERE s.owner = $1 AND (s.id = $2 OR s.name = $2) ORDER BY CASE WHEN s.id = $2 THEN 0 ELSE 1 END LIMIT 1"
    );
    query_one(tx, &sql, params![owner.as_str(), id_or_name])?
        .as_ref()
        .map(read_server)
        .transpose()
}

/// A server by id, whoever owns it.
pub fn server_by_id(tx: &mut dyn Tx, id: &InstanceId) -> Result<Option<Server>, Error> {
    let sql = format!(
        "SELECT {SERVER_COLUMNS} FROM servers s JOIN disks d ON d.server = s.id WHERE s.id = $1"
    );
    query_one(tx, &sql, params![id.as_str()])?
        .as_ref()
        .map(read_server)
        .transpose()
}

/// A snapshot by id, or by its name among those of `server`, the newest when
/// several have it.
pub fn find_snapshot(
    tx: &mut dyn Tx,
    owner: &AccountId,
    server: Option<&InstanceId>,
    id_or_name: &str,
) -> Result<Option<Snapshot>, Error> {
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE owner = $1 AND (id = $2 OR (server = $3 AND name = $2)) \
         ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END, created_ms DESC LIMIT 1"
    );
    let server = server.map_or("", InstanceId::as_str);
    query_one(tx, &sql, params![owner.as_str(), id_or_name, server])?
        .as_ref()
        .map(read_snapshot)
        .transpose()
}

/// A snapshot by id, whoever owns it.
pub fn snapshot_by_id(tx: &mut dyn Tx, id: &SnapshotId) -> Result<Option<Snapshot>, Error> {
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

/// The files of all snapshots of `server`, safety points included.
pub fn points_of(tx: &mut dyn Tx, server: &InstanceId) -> Result<Vec<(SnapshotId, Point)>, Error> {
    let rows = tx.query(
        "SELECT id, point_file, point_format FROM snapshots WHERE server = $1 AND point_file IS NOT NULL",
        params![server.as_str()],
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

/// Adds a server with its disk. Returns false when its name, or its disk's
/// path on this node, is taken.
pub fn insert_server(tx: &mut dyn Tx, server: &Server) -> Result<bool, Error> {
    let op = op_values(server.latest.as_ref());
    let [kind, state, request, started] = op;
    let added = tx.execute(
        "INSERT INTO servers (id, owner, name, node, power, start_command, stop_command, \
         op_kind, op_state, op_request, op_started_ms, tags, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
        &[
            server.id.as_str().into(),
            server.owner.as_str().into(),
            (&server.name).into(),
            (&server.node).into(),
            server.power.as_str().into(),
            server.commands.start.clone().into(),
            server.commands.stop.clone().into(),
            kind,
            state,
            request,
            started,
            tags_text(&server.tags)?.into(),
            server.created.0.into(),
        ],
    )?;
    if added == 0 {
        return Ok(false);
    }
    let disk = &server.disk;
    let added = tx.execute(
        "INSERT INTO disks (id, server, node, head, format, driver, size_bytes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        params![
            disk.id.as_str(),
            server.id.as_str(),
            &server.node,
            path_text(&disk.head)?,
            disk.format.as_str(),
            disk.driver.as_str(),
            disk.size_bytes.cast_signed(),
        ],
    )?;
    write_tags(tx, server.id.as_str(), &server.tags)?;
    Ok(added > 0)
}

/// Forgets a server, its disk and its snapshots. Files are not touched.
pub fn delete_server(tx: &mut dyn Tx, id: &InstanceId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM server_tags WHERE resource = $1 \
         OR resource IN (SELECT id FROM snapshots WHERE server = $1)",
        params![id.as_str()],
    )?;
    tx.execute(
        "DELETE FROM safety_points WHERE safety IN (SELECT id FROM snapshots WHERE server = $1)",
        params![id.as_str()],
    )?;
    tx.execute("DELETE FROM servers WHERE id = $1", params![id.as_str()])?;
    Ok(())
}

/// Records what the disk looks like now.
pub fn update_disk(tx: &mut dyn Tx, disk: &SystemDisk) -> Result<(), Error> {
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

/// Records whether a server runs.
pub fn set_power(tx: &mut dyn Tx, id: &InstanceId, power: Power) -> Result<(), Error> {
    tx.execute(
        "UPDATE servers SET power = $2 WHERE id = $1",
        params![id.as_str(), power.as_str()],
    )?;
    Ok(())
}

/// Records what is asked of a server.
pub fn set_server_operation(
    tx: &mut dyn Tx,
    id: &InstanceId,
    op: &LatestOperation,
) -> Result<(), Error> {
    let [kind, state, request, started] = op_values(Some(op));
    tx.execute(
        "UPDATE servers SET op_kind = $2, op_state = $3, op_request = $4, op_started_ms = $5 WHERE id = $1",
        &[id.as_str().into(), kind, state, request, started],
    )?;
    Ok(())
}

/// Records how a server's operation ended.
pub fn end_server_operation(
    tx: &mut dyn Tx,
    id: &InstanceId,
    state: OperationState,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE servers SET op_state = $2 WHERE id = $1",
        params![id.as_str(), state.as_str()],
    )?;
    Ok(())
}

/// Adds a snapshot.
pub fn insert_snapshot(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), Error> {
    let [kind, state, request, started] = op_values(snapshot.latest.as_ref());
    tx.execute(
        "INSERT INTO snapshots (id, owner, server, disk, kind, name, state, point_file, point_format, size_bytes, \
         op_kind, op_state, op_request, op_started_ms, job, tags, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        &[
            snapshot.id.as_str().into(),
            snapshot.owner.as_str().into(),
            snapshot.server.as_str().into(),
            snapshot.disk.as_str().into(),
            snapshot.kind.as_str().into(),
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
        ],
    )?;
    write_tags(tx, snapshot.id.as_str(), &snapshot.tags)
}

/// Forgets a snapshot. Its file is not touched.
pub fn delete_snapshot(tx: &mut dyn Tx, id: &SnapshotId) -> Result<(), Error> {
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

/// Records that a job begins to work on a snapshot.
pub fn begin_snapshot_operation(
    tx: &mut dyn Tx,
    id: &SnapshotId,
    state: SnapshotState,
    job: &JobId,
    op: Option<&LatestOperation>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE snapshots SET state = $2, job = $3 WHERE id = $1",
        params![id.as_str(), state.as_str(), job.as_str()],
    )?;
    if let Some(op) = op {
        let [kind, state, request, started] = op_values(Some(op));
        tx.execute(
            "UPDATE snapshots SET op_kind = $2, op_state = $3, op_request = $4, op_started_ms = $5 WHERE id = $1",
            &[id.as_str().into(), kind, state, request, started],
        )?;
    }
    Ok(())
}

/// Records that a job is done with a snapshot, which is usable again.
pub fn end_snapshot_operation(
    tx: &mut dyn Tx,
    id: &SnapshotId,
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
    id: &SnapshotId,
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
pub fn insert_safety_point(tx: &mut dyn Tx, job: &JobId, safety: &SnapshotId) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO safety_points (job, safety) VALUES ($1, $2) ON CONFLICT (job) DO NOTHING",
        params![job.as_str(), safety.as_str()],
    )?;
    Ok(())
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

fn read_server(row: &Row) -> Result<Server, Error> {
    Ok(Server {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        name: row.get(2)?,
        node: row.get(3)?,
        power: row.parse(4, Power::parse)?,
        commands: PowerCommands {
            start: row.get(5)?,
            stop: row.get(6)?,
        },
        latest: read_op(row, 7)?,
        tags: read_tags(row, 11)?,
        created: Timestamp(row.get(12)?),
        disk: SystemDisk {
            id: row.parse(13, |t| t.parse().ok())?,
            head: row.get::<String>(14)?.into(),
            format: row.parse(15, |t| t.parse().ok())?,
            driver: row.parse(16, |t| t.parse().ok())?,
            size_bytes: row.get::<i64>(17)?.cast_unsigned(),
        },
    })
}

fn read_snapshot(row: &Row) -> Result<Snapshot, Error> {
    let point = match row.is_null(7) {
        true => None,
        false => Some(Point {
            file: row.get(7)?,
            format: row.parse(8, |t| t.parse().ok())?,
        }),
    };
    let job = match row.is_null(14) {
        true => None,
        false => Some(row.parse(14, |t| t.parse().ok())?),
    };
    Ok(Snapshot {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        server: row.parse(2, |t| t.parse().ok())?,
        disk: row.parse(3, |t| t.parse().ok())?,
        kind: row.parse(4, SnapshotKind::parse)?,
        name: row.get(5)?,
        state: row.parse(6, SnapshotState::parse)?,
        point,
        size_bytes: row.get::<i64>(9)?.cast_unsigned(),
        latest: read_op(row, 10)?,
        job,
        tags: read_tags(row, 15)?,
        created: Timestamp(row.get(16)?),
    })
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
