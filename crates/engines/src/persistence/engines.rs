//! The rows of engines, of the versions that each uses, and of its settings.

use backout_core::ids::{AccountId, EngineId, ImageId, JobId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, TagFilter, json_text, optional, paged, read_json};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{one, read_u32, read_u64, several};
use crate::model::{Config, Engine, EngineState, Kind, Mode, Pairs, Setup, UseKind, Uses};
use crate::refusal::{Damage, Refusal};

const COLUMNS: &str = "id, owner, creator, name, node, kind, exec_type, mode, pay_mode, state, \
     description, size, clusters_min, clusters_max, port, instance, changes, tags, kept, \
     created_ms, updated_ms";

/// Which engines. Empty lists leave a condition out; conditions are joined by
/// AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// These names.
    pub names: Vec<String>,
    /// In one of these states.
    pub states: Vec<EngineState>,
    /// Of one of these kinds.
    pub kinds: Vec<Kind>,
    /// Executing this.
    pub exec_types: Vec<String>,
    /// With one of these modes.
    pub modes: Vec<Mode>,
    /// With this in their id or name, whatever the case.
    pub text: Option<String>,
    /// With these labels.
    pub tags: Vec<TagFilter>,
    /// Matches nothing at all: for a condition that no engine here can meet.
    pub nothing: bool,
}

/// By what a list is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineOrder {
    /// When they were made.
    #[default]
    Created,
    /// When they were changed last.
    Updated,
    /// Their names.
    Name,
    /// Their kinds.
    Kind,
    /// Their states.
    State,
}

/// One page of an owner's engines, and how many match.
pub fn list_engines(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &EngineFilter,
    (order, ascending): (EngineOrder, bool),
    page: Page,
) -> Result<(u64, Vec<Engine>), Error> {
    if filter.nothing {
        return Ok((0, Vec::new()));
    }
    let mut w = Conditions::new("owner", owner.as_str());
    w.one_of("id", &filter.ids);
    w.one_of("name", &filter.names);
    w.one_of("state", filter.states.iter().map(|s| s.as_str()));
    w.one_of("kind", filter.kinds.iter().map(|k| k.as_str()));
    w.one_of("exec_type", &filter.exec_types);
    w.one_of("mode", filter.modes.iter().map(|m| m.as_str()));
    w.contains(&["id", "name"], filter.text.as_deref());
    w.tags("id", "engine_tags", &filter.tags);
    let way = match ascending {
        true => "ASC",
        false => "DESC",
    };
    let column = match order {
        EngineOrder::Created => "created_ms",
        EngineOrder::Updated => "updated_ms",
        EngineOrder::Name => "name",
        EngineOrder::Kind => "kind",
        EngineOrder::State => "state",
    };
    let order = format!("{column} {way}, id");
    paged(tx, COLUMNS, "engines", w, &order, page, read_engine)
}

/// The engines of a host, by id, from the one after `after` on: for work in the
/// background, which goes through all of them a page at a time.
pub fn engines_of_node(
    tx: &mut dyn Tx,
    node: &str,
    after: Option<&EngineId>,
    limit: u64,
) -> Result<Vec<Engine>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM engines WHERE node = $1 AND id > $2 ORDER BY id LIMIT $3");
    let after = after.map_or("", EngineId::as_str);
    several(
        tx,
        &sql,
        params![node, after, limit.cast_signed()],
        read_engine,
    )
}

/// An owner's engines with this id or this name: two when one has the id and
/// another the name.
pub fn find_engines(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id_or_name: &str,
) -> Result<Vec<Engine>, Error> {
    // Two questions, each to an index of its own.
    let sql = format!("SELECT {COLUMNS} FROM engines WHERE id = $2 AND owner = $1");
    let mut found = several(tx, &sql, params![owner.as_str(), id_or_name], read_engine)?;
    let sql = format!("SELECT {COLUMNS} FROM engines WHERE owner = $1 AND name = $2");
    let named = several(tx, &sql, params![owner.as_str(), id_or_name], read_engine)?;
    for engine in named {
        if found.iter().all(|f| f.id != engine.id) {
            found.push(engine);
        }
    }
    Ok(found)
}

/// An engine by id, whoever owns it.
pub fn engine_by_id(tx: &mut dyn Tx, id: &EngineId) -> Result<Option<Engine>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM engines WHERE id = $1");
    one(tx, &sql, params![id.as_str()], read_engine)
}

/// How many engines an owner has.
pub fn count_engines(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    let sql = "SELECT COUNT(*) FROM engines WHERE owner = $1";
    let row = query_one(tx, sql, params![owner.as_str()])?
        .ok_or_else(|| Error::corrupt("COUNT(*) gave no row"))?;
    read_u64(&row, 0)
}

/// The ports that engines of a host have.
pub fn ports_of_node(tx: &mut dyn Tx, node: &str) -> Result<Vec<u16>, Error> {
    let sql = "SELECT port FROM engines WHERE node = $1";
    several(tx, sql, params![node], read_port)
}

/// Adds an engine, with its settings and the versions that it uses.
pub fn insert_engine(
    tx: &mut dyn Tx,
    engine: &Engine,
    uses: &Uses,
    config: &Config,
) -> Result<(), Error> {
    tx.execute(
        &format!(
            "INSERT INTO engines ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
             $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
        ),
        params![
            engine.id.as_str(),
            engine.owner.as_str(),
            engine.creator.as_str(),
            engine.name.as_str(),
            engine.node.as_str(),
            engine.kind.as_str(),
            engine.exec_type.as_str(),
            engine.mode.as_str(),
            engine.pay_mode,
            engine.state.as_str(),
            engine.description.as_str(),
            i64::from(engine.size),
            i64::from(engine.clusters.0),
            i64::from(engine.clusters.1),
            i64::from(engine.port),
            engine.instance.clone(),
            engine.changes.cast_signed(),
            json_text("tags", &engine.tags)?,
            json_text("kept", &engine.kept)?,
            engine.created.0,
            engine.updated.0
        ],
    )?;
    for tag in &engine.tags {
        tx.execute(
            "INSERT INTO engine_tags (resource, tag_key, tag_value) VALUES ($1, $2, $3)",
            params![engine.id.as_str(), tag.key.as_str(), tag.value.as_str()],
        )?;
    }
    set_uses(tx, &engine.id, uses)?;
    set_config(tx, &engine.id, config)
}

/// Changes what of an engine its calls and jobs change.
pub fn update_engine(tx: &mut dyn Tx, engine: &Engine) -> Result<(), Error> {
    tx.execute(
        "UPDATE engines SET state = $2, description = $3, size = $4, clusters_min = $5, \
         clusters_max = $6, instance = $7, changes = $8, kept = $9, updated_ms = $10 WHERE id = $1",
        params![
            engine.id.as_str(),
            engine.state.as_str(),
            engine.description.as_str(),
            i64::from(engine.size),
            i64::from(engine.clusters.0),
            i64::from(engine.clusters.1),
            engine.instance.clone(),
            engine.changes.cast_signed(),
            json_text("kept", &engine.kept)?,
            engine.updated.0
        ],
    )?;
    Ok(())
}

/// Forgets an engine and all that is recorded of it, but the change that `job`
/// made: who asks for that again is told.
pub fn delete_engine(tx: &mut dyn Tx, id: &EngineId, job: &JobId) -> Result<(), Error> {
    let sql = "DELETE FROM engine_changes WHERE engine = $1 AND job <> $2";
    tx.execute(sql, params![id.as_str(), job.as_str()])?;
    for sql in [
        "DELETE FROM engine_uses WHERE engine = $1",
        "DELETE FROM engine_configs WHERE engine = $1",
        "DELETE FROM engine_session_configs WHERE engine = $1",
        "DELETE FROM engine_log WHERE engine = $1",
        "DELETE FROM engine_events WHERE engine = $1",
        "DELETE FROM engine_tags WHERE resource = $1",
        "DELETE FROM engines WHERE id = $1",
    ] {
        tx.execute(sql, params![id.as_str()])?;
    }
    Ok(())
}

/// The versions that an engine uses.
///
/// # Errors
/// [`Refusal::Record`] when a row is of no kind, there twice, or missing.
pub fn uses(tx: &mut dyn Tx, id: &EngineId) -> Result<Uses, Refusal> {
    let sql = "SELECT type, image FROM engine_uses WHERE engine = $1";
    let rows = several(tx, sql, params![id.as_str()], |row| {
        Ok((row.get::<i64>(0)?, row.text(1)?.to_owned()))
    })?;
    read_uses(rows).map_err(|damage| Refusal::Record {
        engine: id.clone(),
        damage,
    })
}

fn read_uses(rows: Vec<(i64, String)>) -> Result<Uses, Damage> {
    let (mut parent, mut child, mut python) = (None, None, None);
    for (number, image) in rows {
        let kind = UseKind::of_number(number).ok_or(Damage::UseKind(number))?;
        let place: &mut Option<ImageId> = match kind {
            UseKind::Parent => &mut parent,
            UseKind::Child => &mut child,
            UseKind::Python => &mut python,
        };
        let image = image
            .parse()
            .map_err(|_| Damage::Uses("the id of a version is none"))?;
        if place.replace(image).is_some() {
            return Err(Damage::Uses("one is there twice"));
        }
    }
    Ok(Uses {
        parent: parent.ok_or(Damage::Uses("that of the major version is missing"))?,
        child,
        python,
    })
}

/// Replaces the versions that an engine uses.
pub fn set_uses(tx: &mut dyn Tx, id: &EngineId, uses: &Uses) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM engine_uses WHERE engine = $1",
        params![id.as_str()],
    )?;
    let rows = [
        (UseKind::Parent, Some(&uses.parent)),
        (UseKind::Child, uses.child.as_ref()),
        (UseKind::Python, uses.python.as_ref()),
    ];
    for (kind, image) in rows {
        if let Some(image) = image {
            tx.execute(
                "INSERT INTO engine_uses (engine, type, image) VALUES ($1, $2, $3)",
                params![id.as_str(), kind.number(), image.as_str()],
            )?;
        }
    }
    Ok(())
}

/// The settings of an engine.
///
/// # Errors
/// [`Refusal::Record`] when a row is missing, there twice, or cannot be read.
pub fn config(tx: &mut dyn Tx, id: &EngineId) -> Result<Config, Refusal> {
    let damaged = |damage| Refusal::Record {
        engine: id.clone(),
        damage,
    };
    let sql = "SELECT cluster, template FROM engine_configs WHERE engine = $1 LIMIT 2";
    let mut rows = several(tx, sql, params![id.as_str()], |row| {
        let template = optional(row, 1, |row, at| Ok(row.text(at)?.to_owned()))?;
        Ok((row.text(0)?.to_owned(), template))
    })?;
    let (cluster, template) = match (rows.pop(), rows.is_empty()) {
        (None, _) => return Err(damaged(Damage::ConfigMissing)),
        (Some(_), false) => return Err(damaged(Damage::ConfigTwice)),
        (Some(row), true) => row,
    };
    let sql = "SELECT session FROM engine_session_configs WHERE engine = $1 LIMIT 2";
    let mut rows = several(tx, sql, params![id.as_str()], |row| {
        Ok(row.text(0)?.to_owned())
    })?;
    let session = match (rows.pop(), rows.is_empty()) {
        (None, _) => return Err(damaged(Damage::SessionConfigMissing)),
        (Some(_), false) => return Err(damaged(Damage::SessionConfigTwice)),
        (Some(row), true) => row,
    };
    let unreadable = |e: serde_json::Error| damaged(Damage::Config(e.to_string()));
    Ok(Config {
        cluster: serde_json::from_str::<Pairs>(&cluster).map_err(unreadable)?,
        session: serde_json::from_str::<Pairs>(&session).map_err(unreadable)?,
        template: template
            .map(|t| serde_json::from_str(&t))
            .transpose()
            .map_err(unreadable)?,
    })
}

/// What runs now, or ran last.
pub fn setup(tx: &mut dyn Tx, id: &EngineId) -> Result<Option<Setup>, Error> {
    let sql = "SELECT setup FROM engines WHERE id = $1";
    let setup = one(tx, sql, params![id.as_str()], |row| {
        optional(row, 0, |row, at| read_json("setup", row, at))
    })?;
    Ok(setup.flatten())
}

/// Writes down what runs now.
pub fn set_setup(tx: &mut dyn Tx, id: &EngineId, setup: &Setup) -> Result<(), Error> {
    tx.execute(
        "UPDATE engines SET setup = $2 WHERE id = $1",
        params![id.as_str(), json_text("setup", setup)?],
    )?;
    Ok(())
}

/// Replaces the settings of an engine.
pub fn set_config(tx: &mut dyn Tx, id: &EngineId, config: &Config) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM engine_configs WHERE engine = $1",
        params![id.as_str()],
    )?;
    tx.execute(
        "DELETE FROM engine_session_configs WHERE engine = $1",
        params![id.as_str()],
    )?;
    let template = config
        .template
        .as_ref()
        .map(|t| json_text("template", t))
        .transpose()?;
    tx.execute(
        "INSERT INTO engine_configs (engine, cluster, template) VALUES ($1, $2, $3)",
        params![
            id.as_str(),
            json_text("parameters", &config.cluster)?,
            template
        ],
    )?;
    tx.execute(
        "INSERT INTO engine_session_configs (engine, session) VALUES ($1, $2)",
        params![id.as_str(), json_text("parameters", &config.session)?],
    )?;
    Ok(())
}

fn read_port(row: &Row) -> Result<u16, Error> {
    u16::try_from(row.get::<i64>(0)?).map_err(|_| Error::corrupt("a port is out of range"))
}

fn read_engine(row: &Row) -> Result<Engine, Error> {
    Ok(Engine {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        creator: row.parse(2, |t| t.parse().ok())?,
        name: row.get(3)?,
        node: row.get(4)?,
        kind: row.parse(5, Kind::parse)?,
        exec_type: row.get(6)?,
        mode: row.parse(7, Mode::parse)?,
        pay_mode: row.get(8)?,
        state: row.parse(9, EngineState::parse)?,
        description: row.get(10)?,
        size: read_u32(row, 11)?,
        clusters: (read_u32(row, 12)?, read_u32(row, 13)?),
        port: u16::try_from(row.get::<i64>(14)?)
            .map_err(|_| Error::corrupt("a port is out of range"))?,
        instance: optional(row, 15, |row, at| row.get(at))?,
        changes: read_u64(row, 16)?,
        tags: read_json("tags", row, 17)?,
        kept: read_json("kept", row, 18)?,
        created: Timestamp(row.get(19)?),
        updated: Timestamp(row.get(20)?),
    })
}
