//! The rows of instances.

use std::collections::BTreeMap;

use backout_core::ids::{AccountId, DatabaseId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, TagFilter, json_text, paged, read_json};
use backout_store::{Error, Row, Tx, params, query_one};

use crate::model::{Address, BackupConfig, Facts, Instance, InstanceState, Kind, LocalLogs};

const COLUMNS: &str = "id, owner, name, node, kind, state, host, port, login, sealed, \
     facts, shape, backups, local_logs, tags, created_ms, isolated_ms";

/// Which instances. Empty lists leave a condition out; conditions are joined by
/// AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// These names.
    pub names: Vec<String>,
    /// In one of these states.
    pub states: Vec<InstanceState>,
    /// Of one of these kinds.
    pub kinds: Vec<Kind>,
    /// At one of these hosts.
    pub hosts: Vec<String>,
    /// With this in their id, name or host, whatever the case.
    pub text: Option<String>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// Matches nothing at all: for a condition that no instance here can meet.
    pub nothing: bool,
}

/// One page of an owner's instances, newest first, and how many match.
pub fn list_instances(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &InstanceFilter,
    page: Page,
) -> Result<(u64, Vec<Instance>), Error> {
    if filter.nothing {
        return Ok((0, Vec::new()));
    }
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("id", &filter.ids);
    w.one_of("name", &filter.names);
    w.one_of("state", filter.states.iter().map(|s| s.as_str()));
    w.one_of("kind", filter.kinds.iter().map(|k| k.as_str()));
    w.one_of("host", &filter.hosts);
    if let Some(text) = &filter.text {
        let mark = w.bind(format!("%{}%", escaped(text)));
        w.sql.push_str(&format!(
            " AND (LOWER(id) LIKE LOWER({mark}) ESCAPE '!' \
             OR LOWER(name) LIKE LOWER({mark}) ESCAPE '!' \
             OR LOWER(host) LIKE LOWER({mark}) ESCAPE '!')"
        ));
    }
    w.tags("id", "database_tags", &filter.tags);
    let order = "created_ms DESC, id";
    paged(tx, COLUMNS, "databases", w, order, page, read_instance)
}

/// The instances of a host, by id, from the one after `after` on: for work in
/// the background, which goes through all of them a page at a time.
pub fn instances_of_node(
    tx: &mut dyn Tx,
    node: &str,
    after: Option<&DatabaseId>,
    limit: u64,
) -> Result<Vec<Instance>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM databases WHERE node = $1 AND id > $2 ORDER BY id LIMIT $3");
    let after = after.map_or("", DatabaseId::as_str);
    let rows = tx.query(&sql, params![node, after, limit.cast_signed()])?;
    rows.iter().map(read_instance).collect()
}

/// An instance by id or by name. Ids win: a name may look like one.
pub fn find_instance(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id_or_name: &str,
) -> Result<Option<Instance>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM databases WHERE owner = $1 AND (id = $2 OR name = $2) \
         ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1"
    );
    query_one(tx, &sql, params![owner.as_str(), id_or_name])?
        .as_ref()
        .map(read_instance)
        .transpose()
}

/// An instance by id, whoever owns it.
pub fn instance_by_id(tx: &mut dyn Tx, id: &DatabaseId) -> Result<Option<Instance>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM databases WHERE id = $1");
    query_one(tx, &sql, params![id.as_str()])?
        .as_ref()
        .map(read_instance)
        .transpose()
}

/// How many instances an owner has, in any state.
pub fn count_instances(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    let row = query_one(
        tx,
        "SELECT COUNT(*) FROM databases WHERE owner = $1",
        params![owner.as_str()],
    )?
    .ok_or_else(|| Error::corrupt("COUNT(*) gave no row"))?;
    Ok(row.get::<i64>(0)?.cast_unsigned())
}

/// Whether an owner has an instance of this name.
pub fn name_is_taken(tx: &mut dyn Tx, owner: &AccountId, name: &str) -> Result<bool, Error> {
    let row = query_one(
        tx,
        "SELECT 1 FROM databases WHERE owner = $1 AND name = $2",
        params![owner.as_str(), name],
    )?;
    Ok(row.is_some())
}

/// The instance of a host that is reached at this address, if there is one.
pub fn instance_at(
    tx: &mut dyn Tx,
    node: &str,
    host: &str,
    port: u16,
) -> Result<Option<DatabaseId>, Error> {
    query_one(
        tx,
        "SELECT id FROM databases WHERE node = $1 AND host = $2 AND port = $3 ORDER BY id LIMIT 1",
        params![node, host, i64::from(port)],
    )?
    .map(|row| row.parse(0, |t| t.parse().ok()))
    .transpose()
}

/// Adds an instance. Returns false when its owner has another of that name.
pub fn insert_instance(tx: &mut dyn Tx, instance: &Instance) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO databases (id, owner, name, node, kind, state, host, port, login, sealed, \
         facts, shape, backups, local_logs, tags, created_ms, isolated_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
         ON CONFLICT DO NOTHING",
        params![
            instance.id.as_str(),
            instance.owner.as_str(),
            &instance.name,
            &instance.node,
            instance.kind.as_str(),
            instance.state.as_str(),
            &instance.address.host,
            i64::from(instance.address.port),
            &instance.address.user,
            instance.sealed.clone(),
            json_text("facts", &instance.facts)?,
            json_text("shape", &instance.shape)?,
            json_text("backups", &instance.backups)?,
            json_text("local logs", &instance.local_logs)?,
            json_text("tags", &instance.tags)?,
            instance.created.0,
            instance.isolated.map(|t| t.0)
        ],
    )?;
    if added == 0 {
        return Ok(false);
    }
    for tag in &instance.tags {
        tx.execute(
            "INSERT INTO database_tags (resource, tag_key, tag_value) VALUES ($1, $2, $3) \
             ON CONFLICT (resource, tag_key) DO UPDATE SET tag_value = $3",
            params![instance.id.as_str(), &tag.key, &tag.value],
        )?;
    }
    Ok(true)
}

/// Renames an instance. Returns false when its owner has another of that name.
pub fn rename_instance(tx: &mut dyn Tx, instance: &Instance, name: &str) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE databases SET name = $3 WHERE id = $1 \
         AND NOT EXISTS (SELECT 1 FROM databases o WHERE o.owner = $2 AND o.name = $3 AND o.id <> $1)",
        params![instance.id.as_str(), instance.owner.as_str(), name],
    )?;
    Ok(changed > 0)
}

/// Moves an instance to another state of its life.
pub fn set_state(tx: &mut dyn Tx, id: &DatabaseId, state: InstanceState) -> Result<(), Error> {
    tx.execute(
        "UPDATE databases SET state = $2 WHERE id = $1",
        params![id.as_str(), state.as_str()],
    )?;
    Ok(())
}

/// Records since when an instance is isolated, or that it no longer is.
pub fn set_isolated(
    tx: &mut dyn Tx,
    id: &DatabaseId,
    isolated: Option<Timestamp>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE databases SET isolated_ms = $2 WHERE id = $1",
        params![id.as_str(), isolated.map(|t| t.0)],
    )?;
    Ok(())
}

/// Records what a server said of itself.
pub fn set_facts(tx: &mut dyn Tx, id: &DatabaseId, facts: &Facts) -> Result<(), Error> {
    tx.execute(
        "UPDATE databases SET facts = $2 WHERE id = $1",
        params![id.as_str(), json_text("facts", facts)?],
    )?;
    Ok(())
}

/// Records when base backups are taken, and how long they are kept.
pub fn set_backup_config(
    tx: &mut dyn Tx,
    id: &DatabaseId,
    config: &BackupConfig,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE databases SET backups = $2 WHERE id = $1",
        params![id.as_str(), json_text("backups", config)?],
    )?;
    Ok(())
}

/// Records how long the server itself keeps its logs.
pub fn set_local_logs(tx: &mut dyn Tx, id: &DatabaseId, logs: LocalLogs) -> Result<(), Error> {
    tx.execute(
        "UPDATE databases SET local_logs = $2 WHERE id = $1",
        params![id.as_str(), json_text("local logs", &logs)?],
    )?;
    Ok(())
}

/// Records how an instance is reached: for people, and sealed with the
/// password.
pub fn set_address(
    tx: &mut dyn Tx,
    id: &DatabaseId,
    address: &Address,
    sealed: &[u8],
) -> Result<(), Error> {
    tx.execute(
        "UPDATE databases SET host = $2, port = $3, login = $4, sealed = $5 WHERE id = $1",
        params![
            id.as_str(),
            &address.host,
            i64::from(address.port),
            &address.user,
            sealed.to_vec()
        ],
    )?;
    Ok(())
}

/// Forgets an instance with its backups. Its tasks stay, and what lists tell of
/// them beside: its name and its zone. Files are not touched.
pub fn delete_instance(tx: &mut dyn Tx, id: &DatabaseId) -> Result<(), Error> {
    if let Some(gone) = instance_by_id(tx, id)? {
        tx.execute(
            "INSERT INTO database_gone (instance, owner, name, zone) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (instance) DO UPDATE SET name = $3, zone = $4",
            params![
                gone.id.as_str(),
                gone.owner.as_str(),
                &gone.name,
                &gone.facts.zone
            ],
        )?;
    }
    for sql in [
        "DELETE FROM database_tags WHERE resource = $1",
        "DELETE FROM database_backups WHERE instance = $1",
        "DELETE FROM databases WHERE id = $1",
    ] {
        tx.execute(sql, params![id.as_str()])?;
    }
    Ok(())
}

/// What lists of tasks tell of an instance, also of one that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: DatabaseId,
    /// Its name; the last one of one that is gone.
    pub name: String,
    /// Its zone, as its server said it; empty when it never said.
    pub zone: String,
    /// Where it is in its life; `None` when it is gone.
    pub state: Option<InstanceState>,
}

/// What there is to tell of these instances of an owner. One that nothing is
/// known of is not there.
pub fn told_of(tx: &mut dyn Tx, owner: &AccountId, ids: &[DatabaseId]) -> Result<Vec<Told>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("id", ids.iter().map(DatabaseId::as_str));
    let sql = format!("SELECT {COLUMNS} FROM databases WHERE {}", w.sql);
    let rows = tx.query(&sql, &w.params)?;
    let mut out = rows
        .iter()
        .map(|row| read_instance(row).map(told))
        .collect::<Result<Vec<_>, _>>()?;
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("instance", ids.iter().map(DatabaseId::as_str));
    let sql = format!(
        "SELECT instance, name, zone FROM database_gone WHERE {}",
        w.sql
    );
    for row in tx.query(&sql, &w.params)? {
        out.push(Told {
            id: row.parse(0, |t| t.parse().ok())?,
            name: row.get(1)?,
            zone: row.get(2)?,
            state: None,
        });
    }
    Ok(out)
}

fn told(instance: Instance) -> Told {
    Told {
        id: instance.id,
        name: instance.name,
        zone: instance.facts.zone,
        state: Some(instance.state),
    }
}

/// The zones that an owner's instances have, with the instances that are there;
/// none where all in it are gone. As many as the owner may have instances, and
/// as there are zones in the world.
pub fn zones_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
) -> Result<BTreeMap<String, Vec<DatabaseId>>, Error> {
    let mut out: BTreeMap<String, Vec<DatabaseId>> = BTreeMap::new();
    for row in tx.query(
        "SELECT DISTINCT zone FROM database_gone WHERE owner = $1",
        params![owner.as_str()],
    )? {
        out.entry(row.get(0)?).or_default();
    }
    for row in tx.query(
        "SELECT id, facts FROM databases WHERE owner = $1",
        params![owner.as_str()],
    )? {
        let facts: Facts = read_json("facts", &row, 1)?;
        let id = row.parse(0, |t| t.parse().ok())?;
        out.entry(facts.zone).or_default().push(id);
    }
    Ok(out)
}

/// Text that is to be found as it is, for a `LIKE ... ESCAPE '!'`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            out.push('!');
        }
        out.push(c);
    }
    out
}

fn read_instance(row: &Row) -> Result<Instance, Error> {
    Ok(Instance {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        name: row.get(2)?,
        node: row.get(3)?,
        kind: row.parse(4, Kind::parse)?,
        state: row.parse(5, InstanceState::parse)?,
        address: Address {
            host: row.get(6)?,
            port: u16::try_from(row.get::<i64>(7)?).map_err(|_| Error::corrupt("a port"))?,
            user: row.get(8)?,
        },
        sealed: row.get(9)?,
        facts: read_json("facts", row, 10)?,
        shape: read_json("shape", row, 11)?,
        backups: read_json("backups", row, 12)?,
        local_logs: read_json("local logs", row, 13)?,
        tags: read_json("tags", row, 14)?,
        created: Timestamp(row.get(15)?),
        isolated: row.get::<Option<i64>>(16)?.map(Timestamp),
    })
}
