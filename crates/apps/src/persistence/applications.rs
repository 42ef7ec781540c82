//! The rows of namespaces, applications and replicas.

use backout_core::ids::{AccountId, ApplicationId, OrderId, ReplicaId, VersionId};
use backout_core::time::Timestamp;
use backout_store::rows::{
    Conditions, Page, TagFilter, count, json_text, optional, paged, read_json,
};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{among, one, read_u32, several};
use crate::DEFAULT_NAMESPACE;
use crate::model::{Application, ApplicationState, Namespace, Replica, Tag};

const NAMESPACE: &str = "owner, id, name, description, created_ms";

const APPLICATION: &str = "id, owner, namespace, name, description, node, state, replicas, \
     version, tags, created_ms";

const REPLICA: &str = "id, app, version, order_id, slot, created_ms";

/// Adds a namespace. Returns false when its owner has one of that id.
pub fn insert_namespace(tx: &mut dyn Tx, namespace: &Namespace) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO app_namespaces (owner, id, name, description, created_ms) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        params![
            namespace.owner.as_str(),
            &namespace.id,
            &namespace.name,
            &namespace.description,
            namespace.created.0
        ],
    )?;
    Ok(added > 0)
}

/// A namespace by its id.
pub fn namespace(tx: &mut dyn Tx, owner: &AccountId, id: &str) -> Result<Option<Namespace>, Error> {
    let sql = format!("SELECT {NAMESPACE} FROM app_namespaces WHERE owner = $1 AND id = $2");
    one(tx, &sql, params![owner.as_str(), id], read_namespace)
}

/// One page of an owner's namespaces, by id, and how many there are.
pub fn list_namespaces(
    tx: &mut dyn Tx,
    owner: &AccountId,
    page: Page,
) -> Result<(u64, Vec<Namespace>), Error> {
    let w = Conditions::new("owner", owner.as_str());
    paged(
        tx,
        NAMESPACE,
        "app_namespaces",
        w,
        "id",
        page,
        read_namespace,
    )
}

/// Renames and redescribes a namespace. Returns false when there is none.
pub fn update_namespace(tx: &mut dyn Tx, namespace: &Namespace) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE app_namespaces SET name = $3, description = $4 WHERE owner = $1 AND id = $2",
        params![
            namespace.owner.as_str(),
            &namespace.id,
            &namespace.name,
            &namespace.description
        ],
    )?;
    Ok(changed > 0)
}

/// Forgets a namespace in which no application is, with its orders, events,
/// config maps and secrets. Returns false when there are applications, or no such namespace.
pub fn delete_namespace(tx: &mut dyn Tx, owner: &AccountId, id: &str) -> Result<bool, Error> {
    let gone = tx.execute(
        "DELETE FROM app_namespaces WHERE owner = $1 AND id = $2 \
         AND NOT EXISTS (SELECT 1 FROM apps a WHERE a.owner = $1 AND a.namespace = $2)",
        params![owner.as_str(), id],
    )?;
    if gone == 0 {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM app_batches WHERE order_id IN \
         (SELECT o.id FROM app_orders o WHERE o.owner = $1 AND o.namespace = $2)",
        "DELETE FROM app_asked WHERE order_id IN \
         (SELECT o.id FROM app_orders o WHERE o.owner = $1 AND o.namespace = $2)",
        "DELETE FROM app_orders WHERE owner = $1 AND namespace = $2",
        "DELETE FROM app_events WHERE owner = $1 AND namespace = $2",
        "DELETE FROM app_config_maps WHERE owner = $1 AND namespace = $2",
        "DELETE FROM app_secrets WHERE owner = $1 AND namespace = $2",
    ] {
        tx.execute(sql, params![owner.as_str(), id])?;
    }
    Ok(true)
}

/// Which applications. Empty lists leave a condition out; conditions are joined
/// by AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// In this namespace.
    pub namespace: Option<String>,
    /// With this in their name or id, whatever the case.
    pub text: Option<String>,
    /// In one of these states.
    pub states: Vec<ApplicationState>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
}

/// One page of an owner's applications, newest first, and how many match.
pub fn list_applications(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &ApplicationFilter,
    page: Page,
) -> Result<(u64, Vec<Application>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("id", &filter.ids);
    w.is("namespace", filter.namespace.as_deref());
    w.contains(&["name", "id"], filter.text.as_deref());
    w.one_of("state", filter.states.iter().map(|s| s.as_str()));
    w.tags("id", "app_tags", &filter.tags);
    let order = "created_ms DESC, id";
    paged(tx, APPLICATION, "apps", w, order, page, read_application)
}

/// The applications of a host, by id, from the one after `after` on: for work
/// in the background, which goes through all of them a page at a time.
pub fn applications_of_node(
    tx: &mut dyn Tx,
    node: &str,
    after: Option<&ApplicationId>,
    limit: u64,
) -> Result<Vec<Application>, Error> {
    let sql =
        format!("SELECT {APPLICATION} FROM apps WHERE node = $1 AND id > $2 ORDER BY id LIMIT $3");
    let after = after.map_or("", ApplicationId::as_str);
    let values = params![node, after, limit.cast_signed()];
    several(tx, &sql, values, read_application)
}

/// An application by id.
pub fn application(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id: &str,
) -> Result<Option<Application>, Error> {
    let sql = format!("SELECT {APPLICATION} FROM apps WHERE owner = $1 AND id = $2");
    one(tx, &sql, params![owner.as_str(), id], read_application)
}

/// An application by id, whoever owns it.
pub fn application_by_id(
    tx: &mut dyn Tx,
    id: &ApplicationId,
) -> Result<Option<Application>, Error> {
    let sql = format!("SELECT {APPLICATION} FROM apps WHERE id = $1");
    one(tx, &sql, params![id.as_str()], read_application)
}

/// An application by its name within a namespace.
pub fn application_in(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    name: &str,
) -> Result<Option<Application>, Error> {
    let sql =
        format!("SELECT {APPLICATION} FROM apps WHERE owner = $1 AND namespace = $2 AND name = $3");
    let values = params![owner.as_str(), namespace, name];
    one(tx, &sql, values, read_application)
}

/// The applications of a name, over all of an owner's namespaces; at most two,
/// which is enough to tell that the name is not one's alone.
pub fn applications_named(
    tx: &mut dyn Tx,
    owner: &AccountId,
    name: &str,
) -> Result<Vec<Application>, Error> {
    let sql = format!(
        "SELECT {APPLICATION} FROM apps WHERE owner = $1 AND name = $2 ORDER BY namespace LIMIT 2"
    );
    several(tx, &sql, params![owner.as_str(), name], read_application)
}

/// How many applications an owner has.
pub fn count_applications(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    let w = Conditions::new("owner", owner.as_str());
    count(tx, "apps", &w)
}

/// Whether an owner has applications, or what these are made with: namespaces
/// other than the one that everybody has, config maps or secrets.
pub fn owns_anything(tx: &mut dyn Tx, owner: &AccountId) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM apps WHERE owner = $1 \
         UNION ALL SELECT 1 FROM app_namespaces WHERE owner = $1 AND id <> $2 \
         UNION ALL SELECT 1 FROM app_config_maps WHERE owner = $1 \
         UNION ALL SELECT 1 FROM app_secrets WHERE owner = $1 LIMIT 1";
    Ok(query_one(tx, sql, params![owner.as_str(), DEFAULT_NAMESPACE])?.is_some())
}

/// How many replicas an owner's applications other than `but` are to have
/// together. What an open order will start counts.
pub fn count_replicas_wanted(
    tx: &mut dyn Tx,
    owner: &AccountId,
    but: Option<&ApplicationId>,
) -> Result<u64, Error> {
    let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN o.replicas_after > a.replicas \
         THEN o.replicas_after ELSE a.replicas END), 0) AS BIGINT) FROM apps a \
         LEFT JOIN app_orders o ON o.app = a.id AND o.ended_ms IS NULL \
         WHERE a.owner = $1 AND a.id <> $2";
    let but = but.map_or("", ApplicationId::as_str);
    let row = query_one(tx, sql, params![owner.as_str(), but])?
        .ok_or_else(|| Error::corrupt("a sum gave no row"))?;
    Ok(row.get::<i64>(0)?.cast_unsigned())
}

/// Adds an application. Returns false when its namespace has another of that
/// name.
pub fn insert_application(tx: &mut dyn Tx, application: &Application) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO apps (id, owner, namespace, name, description, node, state, replicas, \
         version, tags, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT DO NOTHING",
        params![
            application.id.as_str(),
            application.owner.as_str(),
            &application.namespace,
            &application.name,
            &application.description,
            &application.node,
            application.state.as_str(),
            i64::from(application.replicas),
            application.version.as_ref().map(VersionId::as_str),
            json_text("tags", &application.tags)?,
            application.created.0
        ],
    )?;
    if added == 0 {
        return Ok(false);
    }
    write_tags(tx, &application.id, &application.tags)?;
    Ok(true)
}

/// Records what an application is meant to be doing, and with how many replicas.
pub fn set_application_state(
    tx: &mut dyn Tx,
    id: &ApplicationId,
    state: ApplicationState,
    replicas: u32,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE apps SET state = $2, replicas = $3 WHERE id = $1",
        params![id.as_str(), state.as_str(), i64::from(replicas)],
    )?;
    Ok(())
}

/// Records the version an application was deployed or taken back to.
pub fn set_application_version(
    tx: &mut dyn Tx,
    id: &ApplicationId,
    version: &VersionId,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE apps SET version = $2 WHERE id = $1",
        params![id.as_str(), version.as_str()],
    )?;
    Ok(())
}

/// Redescribes an application.
pub fn set_application_description(
    tx: &mut dyn Tx,
    id: &ApplicationId,
    description: &str,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE apps SET description = $2 WHERE id = $1",
        params![id.as_str(), description],
    )?;
    Ok(())
}

/// Gives an application these labels, and no others.
pub fn set_application_tags(
    tx: &mut dyn Tx,
    id: &ApplicationId,
    tags: &[Tag],
) -> Result<(), Error> {
    tx.execute(
        "UPDATE apps SET tags = $2 WHERE id = $1",
        params![id.as_str(), json_text("tags", &tags)?],
    )?;
    tx.execute(
        "DELETE FROM app_tags WHERE resource = $1",
        params![id.as_str()],
    )?;
    write_tags(tx, id, tags)
}

fn write_tags(tx: &mut dyn Tx, id: &ApplicationId, tags: &[Tag]) -> Result<(), Error> {
    for tag in tags {
        tx.execute(
            "INSERT INTO app_tags (resource, tag_key, tag_value) VALUES ($1, $2, $3) \
             ON CONFLICT (resource, tag_key) DO UPDATE SET tag_value = $3",
            params![id.as_str(), &tag.key, &tag.value],
        )?;
    }
    Ok(())
}

/// Forgets an application with its versions, replicas and labels. Its orders and
/// events stay for a while.
pub fn delete_application(tx: &mut dyn Tx, id: &ApplicationId) -> Result<(), Error> {
    for sql in [
        "DELETE FROM app_version_secrets WHERE app = $1",
        "DELETE FROM app_scaling_rules WHERE app = $1",
        "DELETE FROM app_tags WHERE resource = $1",
        "DELETE FROM app_replicas WHERE app = $1",
        "DELETE FROM app_versions WHERE app = $1",
        "DELETE FROM apps WHERE id = $1",
    ] {
        tx.execute(sql, params![id.as_str()])?;
    }
    Ok(())
}

/// Writes down a replica, before it is started. May be said again.
pub fn insert_replica(tx: &mut dyn Tx, replica: &Replica) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO app_replicas (id, app, version, order_id, slot, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
        params![
            replica.id.as_str(),
            replica.application.as_str(),
            replica.version.as_str(),
            replica.order.as_str(),
            i64::from(replica.slot),
            replica.created.0
        ],
    )?;
    Ok(())
}

/// The replicas of an application, oldest first: as many as it may have, and
/// those an order runs beside them.
pub fn replicas_of(tx: &mut dyn Tx, id: &ApplicationId) -> Result<Vec<Replica>, Error> {
    let sql = format!("SELECT {REPLICA} FROM app_replicas WHERE app = $1 ORDER BY created_ms, id");
    several(tx, &sql, params![id.as_str()], read_replica)
}

/// The replicas of several applications, those of each oldest first.
pub fn replicas_of_all(tx: &mut dyn Tx, ids: &[ApplicationId]) -> Result<Vec<Replica>, Error> {
    let Some(w) = among("app", ids.iter().map(ApplicationId::as_str)) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {REPLICA} FROM app_replicas WHERE {} ORDER BY created_ms, id",
        w.sql
    );
    several(tx, &sql, &w.params, read_replica)
}

/// A replica by its number within an order.
pub fn replica_of_slot(
    tx: &mut dyn Tx,
    order: &OrderId,
    slot: u32,
) -> Result<Option<Replica>, Error> {
    let sql = format!("SELECT {REPLICA} FROM app_replicas WHERE order_id = $1 AND slot = $2");
    let values = params![order.as_str(), i64::from(slot)];
    one(tx, &sql, values, read_replica)
}

/// Numbers the replicas of an application for an order that begins, oldest
/// first, and those last that it takes away; returns them so.
pub fn number_replicas(
    tx: &mut dyn Tx,
    id: &ApplicationId,
    order: &OrderId,
    leaving: &[ReplicaId],
) -> Result<Vec<Replica>, Error> {
    let mut replicas = crate::planning::arranged(replicas_of(tx, id)?, leaving);
    for (replica, slot) in replicas.iter_mut().zip(0u32..) {
        replica.order = order.clone();
        replica.slot = slot;
        tx.execute(
            "UPDATE app_replicas SET order_id = $2, slot = $3 WHERE id = $1",
            params![replica.id.as_str(), order.as_str(), i64::from(slot)],
        )?;
    }
    Ok(replicas)
}

/// Hands the replicas of an order over to the one that takes it back: their
/// numbers stay.
pub fn hand_replicas_over(tx: &mut dyn Tx, from: &OrderId, to: &OrderId) -> Result<(), Error> {
    tx.execute(
        "UPDATE app_replicas SET order_id = $2 WHERE order_id = $1",
        params![from.as_str(), to.as_str()],
    )?;
    Ok(())
}

/// Forgets a replica that is gone.
pub fn delete_replica(tx: &mut dyn Tx, id: &ReplicaId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM app_replicas WHERE id = $1",
        params![id.as_str()],
    )?;
    Ok(())
}

fn read_namespace(row: &Row) -> Result<Namespace, Error> {
    Ok(Namespace {
        owner: row.parse(0, |t| t.parse().ok())?,
        id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        created: Timestamp(row.get(4)?),
    })
}

fn read_application(row: &Row) -> Result<Application, Error> {
    Ok(Application {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        namespace: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        node: row.get(5)?,
        state: row.parse(6, ApplicationState::parse)?,
        replicas: read_u32(row, 7)?,
        version: optional(row, 8, |row, at| row.parse(at, |t| t.parse().ok()))?,
        tags: read_json("tags", row, 9)?,
        created: Timestamp(row.get(10)?),
    })
}

fn read_replica(row: &Row) -> Result<Replica, Error> {
    Ok(Replica {
        id: row.parse(0, |t| t.parse().ok())?,
        application: row.parse(1, |t| t.parse().ok())?,
        version: row.parse(2, |t| t.parse().ok())?,
        order: row.parse(3, |t| t.parse().ok())?,
        slot: read_u32(row, 4)?,
        created: Timestamp(row.get(5)?),
    })
}
