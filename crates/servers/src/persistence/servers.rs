//! The rows of servers.

use backout_core::ids::{AccountId, InstanceId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, TagFilter, count, json_text, optional, read_json};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{
    delete_points_of, insert_disk_row, op_values, path_text, read_op, read_tags, tags_text,
    write_tags,
};
use crate::model::{
    DiskState, ManagedDisk, Power, PowerCommands, Schedule, Server, Subject, Usage, Volume,
};

const SERVER_COLUMNS: &str = "s.id, s.owner, s.name, s.node, s.power, s.start_command, s.stop_command, \
     s.op_kind, s.op_state, s.op_request, s.op_started_ms, s.tags, s.created_ms, \
     d.id, d.head, d.format, d.driver, d.size_bytes, \
     s.machine, s.bundle, s.blueprint, s.made, s.isolated_ms, \
     s.schedule_every_ms, s.schedule_keep, s.schedule_next_ms";

const SERVER_TABLES: &str = "servers s JOIN disks d ON d.server = s.id AND d.usage = 'system'";

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
    /// Made in one of these sizes. The empty text stands for a server that was
    /// made in none.
    pub bundles: Vec<String>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// Matches nothing at all: for a condition that no server here can meet.
    pub nothing: bool,
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
    w.one_of(
        "COALESCE(s.bundle, '')",
        filter.bundles.iter().map(String::as_str),
    );
    w.tags("s.id", "server_tags", &filter.tags);
    if filter.nothing {
        w.sql.push_str(" AND 1 = 0");
    }
    let total = count(tx, "servers s", &w)?;
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {SERVER_COLUMNS} FROM {SERVER_TABLES} WHERE {} \
         ORDER BY s.created_ms DESC, s.id LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    Ok((
        total,
        rows.iter().map(read_server).collect::<Result<_, _>>()?,
    ))
}

/// The servers of a host, by id, from the one after `after` on: for work in the
/// background, which goes through all of them a page at a time.
pub fn servers_of_node(
    tx: &mut dyn Tx,
    node: &str,
    after: Option<&InstanceId>,
    limit: u64,
) -> Result<Vec<Server>, Error> {
    let sql = format!(
        "SELECT {SERVER_COLUMNS} FROM {SERVER_TABLES} \
         WHERE s.node = $1 AND s.id > $2 ORDER BY s.id LIMIT $3"
    );
    let after = after.map_or("", InstanceId::as_str);
    let rows = tx.query(&sql, params![node, after, limit.cast_signed()])?;
    rows.iter().map(read_server).collect()
}

/// A server by id or by name. Ids win: a name may look like one.
pub fn find_server(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id_or_name: &str,
) -> Result<Option<Server>, Error> {
    let sql = format!(
        "SELECT {SERVER_COLUMNS} FROM {SERVER_TABLES} \
         WHERE s.owner = $1 AND (s.id = $2 OR s.name = $2) ORDER BY CASE WHEN s.id = $2 THEN 0 ELSE 1 END LIMIT 1"
    );
    query_one(tx, &sql, params![owner.as_str(), id_or_name])?
        .as_ref()
        .map(read_server)
        .transpose()
}

/// A server by id, whoever owns it.
pub fn server_by_id(tx: &mut dyn Tx, id: &InstanceId) -> Result<Option<Server>, Error> {
    let sql = format!("SELECT {SERVER_COLUMNS} FROM {SERVER_TABLES} WHERE s.id = $1");
    query_one(tx, &sql, params![id.as_str()])?
        .as_ref()
        .map(read_server)
        .transpose()
}

/// Adds a server with its disk. Returns false when its name, or its disk's
/// path on this node, is taken.
pub fn insert_server(tx: &mut dyn Tx, server: &Server) -> Result<bool, Error> {
    let [kind, state, request, started] = op_values(server.latest.as_ref());
    let machine = server
        .machine
        .as_ref()
        .map(|m| json_text("machine", m))
        .transpose()?;
    let schedule = server.schedule.as_ref();
    let added = tx.execute(
        "INSERT INTO servers (id, owner, name, node, power, start_command, stop_command, \
         op_kind, op_state, op_request, op_started_ms, tags, created_ms, \
         machine, bundle, blueprint, made, isolated_ms, \
         schedule_every_ms, schedule_keep, schedule_next_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) \
         ON CONFLICT DO NOTHING",
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
            machine.into(),
            server.bundle.clone().into(),
            server.blueprint.as_ref().map(|b| b.as_str()).into(),
            i64::from(server.made).into(),
            server.isolated.map(|t| t.0).into(),
            schedule.map(|s| s.every_ms).into(),
            schedule.map(|s| i64::from(s.keep)).into(),
            schedule.map(|s| s.next.0).into(),
        ],
    )?;
    if added == 0 {
        return Ok(false);
    }
    let disk = ManagedDisk {
        volume: server.disk.clone(),
        owner: server.owner.clone(),
        node: server.node.clone(),
        name: String::new(),
        usage: Usage::System,
        server: Some(server.id.clone()),
        state: DiskState::Attached,
        made: server.made,
        latest: None,
        created: server.created,
        tags: Vec::new(),
    };
    let added = insert_disk_row(tx, &disk)?;
    write_tags(tx, server.id.as_str(), &server.tags)?;
    Ok(added)
}

/// Forgets a server, its system disk and the restore points of that; its data
/// disks stand alone from then on. Files are not touched.
pub fn delete_server(tx: &mut dyn Tx, id: &InstanceId) -> Result<(), Error> {
    delete_points_of(tx, &Subject::Server(id.clone()))?;
    tx.execute(
        "DELETE FROM server_tags WHERE resource = $1",
        params![id.as_str()],
    )?;
    tx.execute(
        "DELETE FROM disks WHERE server = $1 AND usage = 'system'",
        params![id.as_str()],
    )?;
    tx.execute(
        "UPDATE disks SET server = NULL, state = 'unattached' WHERE server = $1",
        params![id.as_str()],
    )?;
    tx.execute("DELETE FROM servers WHERE id = $1", params![id.as_str()])?;
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

/// Records that a server was isolated, or is no longer.
pub fn set_isolated(
    tx: &mut dyn Tx,
    id: &InstanceId,
    isolated: Option<Timestamp>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE servers SET isolated_ms = $2 WHERE id = $1",
        params![id.as_str(), isolated.map(|t| t.0)],
    )?;
    Ok(())
}

/// Renames a server. Returns false when its owner has another of that name.
pub fn rename_server(tx: &mut dyn Tx, server: &Server, name: &str) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE servers SET name = $3 WHERE id = $1 \
         AND NOT EXISTS (SELECT 1 FROM servers o WHERE o.owner = $2 AND o.name = $3 AND o.id <> $1)",
        params![server.id.as_str(), server.owner.as_str(), name],
    )?;
    Ok(changed > 0)
}

/// Records the commands by which a server is started and stopped: `None` leaves
/// one as it is, `Some(None)` takes it away.
pub fn set_commands(
    tx: &mut dyn Tx,
    id: &InstanceId,
    start: Option<Option<String>>,
    stop: Option<Option<String>>,
) -> Result<(), Error> {
    // One at a time, so that two calls that set one each lose neither.
    if let Some(start) = start {
        tx.execute(
            "UPDATE servers SET start_command = $2 WHERE id = $1",
            params![id.as_str(), start],
        )?;
    }
    if let Some(stop) = stop {
        tx.execute(
            "UPDATE servers SET stop_command = $2 WHERE id = $1",
            params![id.as_str(), stop],
        )?;
    }
    Ok(())
}

/// Gives a server's system disk another identity: it was made anew of an image.
pub fn replace_system_disk(tx: &mut dyn Tx, server: &Server, volume: &Volume) -> Result<(), Error> {
    tx.execute(
        "UPDATE disks SET id = $2, head = $3, format = $4, driver = $5, size_bytes = $6 \
         WHERE server = $1 AND usage = 'system'",
        params![
            server.id.as_str(),
            volume.id.as_str(),
            path_text(&volume.head)?,
            volume.format.as_str(),
            volume.driver.as_str(),
            volume.size_bytes.cast_signed(),
        ],
    )?;
    tx.execute(
        "UPDATE servers SET blueprint = $2, machine = $3 WHERE id = $1",
        params![
            server.id.as_str(),
            server.blueprint.as_ref().map(|b| b.as_str()),
            server
                .machine
                .as_ref()
                .map(|m| json_text("machine", m))
                .transpose()?,
        ],
    )?;
    Ok(())
}

/// Records when snapshots of a server are taken by themselves.
pub fn set_schedule(
    tx: &mut dyn Tx,
    id: &InstanceId,
    schedule: Option<&Schedule>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE servers SET schedule_every_ms = $2, schedule_keep = $3, schedule_next_ms = $4 WHERE id = $1",
        params![
            id.as_str(),
            schedule.map(|s| s.every_ms),
            schedule.map(|s| i64::from(s.keep)),
            schedule.map(|s| s.next.0),
        ],
    )?;
    Ok(())
}

fn read_server(row: &Row) -> Result<Server, Error> {
    let schedule = optional(row, 23, |row, at| {
        Ok(Schedule {
            every_ms: row.get(at)?,
            keep: u32::try_from(row.get::<i64>(at + 1)?)
                .map_err(|_| Error::corrupt("a schedule's count"))?,
            next: Timestamp(row.get(at + 2)?),
        })
    })?;
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
        disk: read_volume(row, 13)?,
        machine: optional(row, 18, |row, at| read_json("machine", row, at))?,
        bundle: row.get(19)?,
        blueprint: optional(row, 20, |row, at| row.parse(at, |t| t.parse().ok()))?,
        made: row.get::<i64>(21)? != 0,
        isolated: row.get::<Option<i64>>(22)?.map(Timestamp),
        schedule,
    })
}

/// The five columns of a volume, from `first` on.
pub(super) fn read_volume(row: &Row, first: usize) -> Result<Volume, Error> {
    Ok(Volume {
        id: row.parse(first, |t| t.parse().ok())?,
        head: row.get::<String>(first + 1)?.into(),
        format: row.parse(first + 2, |t| t.parse().ok())?,
        driver: row.parse(first + 3, |t| t.parse().ok())?,
        size_bytes: row.get::<i64>(first + 4)?.cast_unsigned(),
    })
}
