//! The rows of base backups.

use backout_core::ids::{DatabaseId, JobId};
use backout_core::time::Timestamp;
use backout_history::Position;
use backout_store::rows::{Conditions, Page, json_text, optional, paged, read_json};
use backout_store::{Error, Row, Tx, params, query_one};

use super::path_text;
use crate::model::{Backup, BackupState, Method, Way};

const COLUMNS: &str = "number, instance, owner, name, way, method, state, folder, tables, base, \
     log_file, log_offset, gtid, bytes, started_ms, finished_ms, as_of_ms, job";

/// How many backups may stand on one another: a full one, and an incremental
/// one a day for longer than any backup is kept. It bounds what a damaged row
/// could make endless.
pub const CHAIN_MAX: usize = 1_000;

/// Which backups. Empty lists leave a condition out; conditions are joined by
/// AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupFilter {
    /// These numbers.
    pub numbers: Vec<u64>,
    /// In one of these states.
    pub states: Vec<BackupState>,
    /// Asked for by one of these.
    pub ways: Vec<Way>,
    /// With one of these contents.
    pub methods: Vec<Method>,
    /// Begun at this instant or later.
    pub started_from: Option<Timestamp>,
    /// Begun at this instant or earlier.
    pub started_to: Option<Timestamp>,
}

/// How a backup was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Up to where in history it goes.
    pub position: Option<Position>,
    /// The same as a transaction id.
    pub gtid: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it ended.
    pub finished: Timestamp,
    /// When the server's state was the one that it holds.
    pub as_of: Option<Timestamp>,
}

/// One page of an instance's backups, newest first, and how many match.
pub fn list_backups(
    tx: &mut dyn Tx,
    instance: &DatabaseId,
    filter: &BackupFilter,
    page: Page,
) -> Result<(u64, Vec<Backup>), Error> {
    let mut w = Conditions::new("instance", instance.as_str());
    w.one_of("number", filter.numbers.iter().map(|n| n.cast_signed()));
    w.one_of("state", filter.states.iter().map(|s| s.as_str()));
    w.one_of("way", filter.ways.iter().map(|s| s.as_str()));
    w.one_of("method", filter.methods.iter().map(|m| m.as_str()));
    w.between(
        "started_ms",
        filter.started_from.map(|t| t.0),
        filter.started_to.map(|t| t.0),
    );
    let order = "started_ms DESC, number DESC";
    paged(tx, COLUMNS, "database_backups", w, order, page, read_backup)
}

/// A backup by its number.
pub fn backup(tx: &mut dyn Tx, number: u64) -> Result<Option<Backup>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM database_backups WHERE number = $1");
    query_one(tx, &sql, params![number.cast_signed()])?
        .as_ref()
        .map(read_backup)
        .transpose()
}

/// The backup that a job makes.
pub fn backup_of_job(tx: &mut dyn Tx, job: &JobId) -> Result<Option<Backup>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM database_backups WHERE job = $1 ORDER BY number LIMIT 1");
    query_one(tx, &sql, params![job.as_str()])?
        .as_ref()
        .map(read_backup)
        .transpose()
}

/// Adds a backup, with a number from [`super::next_backup_number`].
pub fn insert_backup(tx: &mut dyn Tx, backup: &Backup) -> Result<(), Error> {
    let at = backup.position.as_ref();
    tx.execute(
        "INSERT INTO database_backups (number, instance, owner, name, way, method, state, folder, \
         tables, base, log_number, log_file, log_offset, gtid, bytes, started_ms, finished_ms, \
         as_of_ms, job) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        params![
            backup.number.cast_signed(),
            backup.instance.as_str(),
            backup.owner.as_str(),
            &backup.name,
            backup.way.as_str(),
            backup.method.as_str(),
            backup.state.as_str(),
            path_text(&backup.folder)?,
            json_text("tables", &backup.tables)?,
            backup.base.map(u64::cast_signed),
            at.map(|p| p.number().cast_signed()),
            at.map(|p| p.file.clone()),
            at.map(|p| p.offset.cast_signed()),
            backup.gtid.clone(),
            backup.bytes.cast_signed(),
            backup.started.0,
            backup.finished.map(|t| t.0),
            backup.as_of.map(|t| t.0),
            backup.job.as_ref().map(|j| j.as_str().to_owned())
        ],
    )?;
    Ok(())
}

/// Moves a backup to another state, and names the job that works on it.
pub fn set_backup_state(
    tx: &mut dyn Tx,
    number: u64,
    state: BackupState,
    job: Option<&JobId>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE database_backups SET state = $2, job = $3 WHERE number = $1",
        params![
            number.cast_signed(),
            state.as_str(),
            job.map(|j| j.as_str().to_owned())
        ],
    )?;
    Ok(())
}

/// Records what a backup became: an incremental one may have become full.
pub fn set_backup_method(
    tx: &mut dyn Tx,
    number: u64,
    method: Method,
    base: Option<u64>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE database_backups SET method = $2, base = $3 WHERE number = $1",
        params![
            number.cast_signed(),
            method.as_str(),
            base.map(u64::cast_signed)
        ],
    )?;
    Ok(())
}

/// Records how a backup was made. Its state is set apart.
pub fn set_backup_made(tx: &mut dyn Tx, number: u64, made: &Made) -> Result<(), Error> {
    let at = made.position.as_ref();
    tx.execute(
        "UPDATE database_backups SET log_number = $2, log_file = $3, log_offset = $4, gtid = $5, \
         bytes = $6, finished_ms = $7, as_of_ms = $8 WHERE number = $1",
        params![
            number.cast_signed(),
            at.map(|p| p.number().cast_signed()),
            at.map(|p| p.file.clone()),
            at.map(|p| p.offset.cast_signed()),
            made.gtid.clone(),
            made.bytes.cast_signed(),
            made.finished.0,
            made.as_of.map(|t| t.0)
        ],
    )?;
    Ok(())
}

/// Records when a backup that could not be made ended.
pub fn set_backup_finished(tx: &mut dyn Tx, number: u64, finished: Timestamp) -> Result<(), Error> {
    tx.execute(
        "UPDATE database_backups SET finished_ms = $2 WHERE number = $1",
        params![number.cast_signed(), finished.0],
    )?;
    Ok(())
}

/// Forgets a backup. Its files are not touched.
pub fn delete_backup(tx: &mut dyn Tx, number: u64) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM database_backups WHERE number = $1",
        params![number.cast_signed()],
    )?;
    Ok(())
}

/// What a backup must be older than.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// It goes up to this place in history, or less far.
    Position(Position),
    /// It holds the state of this instant, or of an earlier one.
    Instant(Timestamp),
}

/// The newest usable backup of a whole instance that is old enough. The ones it
/// builds on: [`chain_of`].
pub fn newest_ready_backup_before(
    tx: &mut dyn Tx,
    instance: &DatabaseId,
    before: &Before,
) -> Result<Option<Backup>, Error> {
    let mut w = Conditions::new("instance", instance.as_str());
    w.sql
        .push_str(" AND state = 'ready' AND method <> 'partial'");
    let order = match before {
        Before::Position(at) => {
            let number = w.bind(at.number().cast_signed());
            let offset = w.bind(at.offset.cast_signed());
            w.sql.push_str(&format!(
                " AND (log_number < {number} OR (log_number = {number} AND log_offset <= {offset}))"
            ));
            "log_number DESC, log_offset DESC, number DESC"
        }
        Before::Instant(at) => {
            w.between("as_of_ms", None, Some(at.0));
            "as_of_ms DESC, number DESC"
        }
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM database_backups WHERE {} ORDER BY {order} LIMIT 1",
        w.sql
    );
    query_one(tx, &sql, &w.params)?
        .as_ref()
        .map(read_backup)
        .transpose()
}

/// The backups of an instance in any state, the newest first.
pub fn backups_of(
    tx: &mut dyn Tx,
    instance: &DatabaseId,
    limit: u64,
) -> Result<Vec<Backup>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM database_backups WHERE instance = $1 \
         ORDER BY started_ms DESC, number DESC LIMIT $2"
    );
    let rows = tx.query(&sql, params![instance.as_str(), limit.cast_signed()])?;
    rows.iter().map(read_backup).collect()
}

/// The newest usable backup of a whole instance: what an incremental one goes
/// on from.
pub fn newest_base(tx: &mut dyn Tx, instance: &DatabaseId) -> Result<Option<Backup>, Error> {
    newest_ready_backup_before(tx, instance, &Before::Instant(Timestamp(i64::MAX)))
}

/// The usable backups of an instance, by the instant whose state they hold,
/// the newest first; those of some tables too.
pub fn ready_backups(
    tx: &mut dyn Tx,
    instance: &DatabaseId,
    limit: u64,
) -> Result<Vec<Backup>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM database_backups WHERE instance = $1 AND state = 'ready' \
         ORDER BY as_of_ms DESC, number DESC LIMIT $2"
    );
    let rows = tx.query(&sql, params![instance.as_str(), limit.cast_signed()])?;
    rows.iter().map(read_backup).collect()
}

/// The newest backup of an instance that the schedule began, whatever became of
/// it.
pub fn newest_scheduled_backup(
    tx: &mut dyn Tx,
    instance: &DatabaseId,
) -> Result<Option<Backup>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM database_backups WHERE instance = $1 AND way = 'automatic' \
         ORDER BY started_ms DESC, number DESC LIMIT 1"
    );
    query_one(tx, &sql, params![instance.as_str()])?
        .as_ref()
        .map(read_backup)
        .transpose()
}

/// A backup with all that it builds on: itself first, the full one last.
///
/// # Errors
/// [`Error::Corrupt`] when a link is missing, or there is no full one.
pub fn chain_of(tx: &mut dyn Tx, number: u64) -> Result<Vec<Backup>, Error> {
    let mut chain: Vec<Backup> = Vec::new();
    let mut next = Some(number);
    while let Some(wanted) = next {
        let link = backup(tx, wanted)?.filter(|_| chain.len() < CHAIN_MAX);
        let link = link.ok_or_else(|| {
            Error::corrupt(format!(
                "backup {number} builds on backup {wanted}, which is gone"
            ))
        })?;
        next = link.base;
        chain.push(link);
    }
    Ok(chain)
}

/// The backups that build on this one directly, in any state, by number.
pub fn backups_building_on(tx: &mut dyn Tx, number: u64) -> Result<Vec<u64>, Error> {
    // One, as a rule: a chain has no branches unless two were asked for at once.
    let rows = tx.query(
        "SELECT number FROM database_backups WHERE base = $1 ORDER BY number",
        params![number.cast_signed()],
    )?;
    rows.iter()
        .map(|row| Ok(row.get::<i64>(0)?.cast_unsigned()))
        .collect()
}

fn read_backup(row: &Row) -> Result<Backup, Error> {
    Ok(Backup {
        number: row.get::<i64>(0)?.cast_unsigned(),
        instance: row.parse(1, |t| t.parse().ok())?,
        owner: row.parse(2, |t| t.parse().ok())?,
        name: row.get(3)?,
        way: row.parse(4, Way::parse)?,
        method: row.parse(5, Method::parse)?,
        state: row.parse(6, BackupState::parse)?,
        folder: row.get::<String>(7)?.into(),
        tables: read_json("tables", row, 8)?,
        base: row.get::<Option<i64>>(9)?.map(i64::cast_unsigned),
        position: optional(row, 10, |row, at| {
            Ok(Position {
                file: row.get(at)?,
                offset: row.get::<i64>(at + 1)?.cast_unsigned(),
            })
        })?,
        gtid: row.get(12)?,
        bytes: row.get::<i64>(13)?.cast_unsigned(),
        started: Timestamp(row.get(14)?),
        finished: row.get::<Option<i64>>(15)?.map(Timestamp),
        as_of: row.get::<Option<i64>>(16)?.map(Timestamp),
        job: optional(row, 17, |row, at| row.parse(at, |t| t.parse().ok()))?,
    })
}
