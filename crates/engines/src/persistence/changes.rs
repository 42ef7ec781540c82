//! The rows of changes: what jobs were told, and how far they are.

use backout_core::ids::{EngineId, JobId, RecordId, RequestId};
use backout_core::time::Timestamp;
use backout_store::rows::{json_text, optional, read_json};
use backout_store::{Error, Row, Tx, params};

use super::{one, read_u64, several};
use crate::model::{Change, Drive, EngineState, Setup};

const COLUMNS: &str = "job, engine, number, wanted, request, state_before, setup_from, setup_to, \
     restores, drive, created_ms, ended_ms";

/// Adds a change.
pub fn insert_change(tx: &mut dyn Tx, change: &Change) -> Result<(), Error> {
    let json = |setup: &Option<Setup>| setup.as_ref().map(|s| json_text("setup", s)).transpose();
    tx.execute(
        &format!(
            "INSERT INTO engine_changes ({COLUMNS}) VALUES \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        ),
        params![
            change.job.as_str(),
            change.engine.as_str(),
            change.number.cast_signed(),
            json_text("wanted", &change.wanted)?,
            change.request.0.as_str(),
            change.state_before.as_str(),
            json(&change.from)?,
            json(&change.to)?,
            change.restores.as_ref().map(RecordId::as_str),
            change
                .drive
                .as_ref()
                .map(|d| json_text("drive", d))
                .transpose()?,
            change.created.0,
            change.ended.map(|t| t.0)
        ],
    )?;
    Ok(())
}

/// The change that a job makes.
pub fn change(tx: &mut dyn Tx, job: &JobId) -> Result<Option<Change>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM engine_changes WHERE job = $1");
    one(tx, &sql, params![job.as_str()], read_change)
}

/// The change of an engine that is not over, newest first.
pub fn open_change(tx: &mut dyn Tx, engine: &EngineId) -> Result<Option<Change>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM engine_changes WHERE engine = $1 AND ended_ms IS NULL \
         ORDER BY number DESC LIMIT 1"
    );
    one(tx, &sql, params![engine.as_str()], read_change)
}

/// The changes that one call asked for; at most as many as an account may have
/// engines.
pub fn changes_of_request(tx: &mut dyn Tx, request: &RequestId) -> Result<Vec<Change>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM engine_changes WHERE request = $1 ORDER BY created_ms, job LIMIT 500"
    );
    several(tx, &sql, params![request.0.as_str()], read_change)
}

/// Writes down what a change goes from and to, once its job has looked.
pub fn set_course(
    tx: &mut dyn Tx,
    job: &JobId,
    (from, to): (Option<&Setup>, Option<&Setup>),
    restores: Option<&RecordId>,
    drive: &Drive,
) -> Result<(), Error> {
    let json = |setup: Option<&Setup>| setup.map(|s| json_text("setup", s)).transpose();
    tx.execute(
        "UPDATE engine_changes SET setup_from = $2, setup_to = $3, restores = $4, drive = $5 \
         WHERE job = $1",
        params![
            job.as_str(),
            json(from)?,
            json(to)?,
            restores.map(RecordId::as_str),
            json_text("drive", drive)?
        ],
    )?;
    Ok(())
}

/// Writes down how far a change is.
pub fn set_drive(tx: &mut dyn Tx, job: &JobId, drive: &Drive) -> Result<(), Error> {
    tx.execute(
        "UPDATE engine_changes SET drive = $2 WHERE job = $1",
        params![job.as_str(), json_text("drive", drive)?],
    )?;
    Ok(())
}

/// Writes down that a change is over, or, with none, that it is not.
pub fn end_change(tx: &mut dyn Tx, job: &JobId, at: Option<Timestamp>) -> Result<(), Error> {
    tx.execute(
        "UPDATE engine_changes SET ended_ms = $2 WHERE job = $1",
        params![job.as_str(), at.map(|t| t.0)],
    )?;
    Ok(())
}

fn read_change(row: &Row) -> Result<Change, Error> {
    Ok(Change {
        job: row.parse(0, |t| t.parse().ok())?,
        engine: row.parse(1, |t| t.parse().ok())?,
        number: read_u64(row, 2)?,
        wanted: read_json("wanted", row, 3)?,
        request: RequestId(row.get(4)?),
        state_before: row.parse(5, EngineState::parse)?,
        from: optional(row, 6, |row, at| read_json("setup", row, at))?,
        to: optional(row, 7, |row, at| read_json("setup", row, at))?,
        restores: optional(row, 8, |row, at| row.parse(at, |t| t.parse().ok()))?,
        drive: optional(row, 9, |row, at| read_json("drive", row, at))?,
        created: Timestamp(row.get(10)?),
        ended: optional(row, 11, |row, at| Ok(Timestamp(row.get(at)?)))?,
    })
}

/// When an engine was last asked to be changed; none when it never was.
pub fn last_asked(tx: &mut dyn Tx, engine: &EngineId) -> Result<Option<Timestamp>, Error> {
    let sql =
        "SELECT created_ms FROM engine_changes WHERE engine = $1 ORDER BY number DESC LIMIT 1";
    one(tx, sql, params![engine.as_str()], |row| {
        Ok(Timestamp(row.get(0)?))
    })
}

/// Forgets changes that were over before `before`, some at a time, but the last
/// one of an engine that is there. Returns how many.
pub fn forget_changes(tx: &mut dyn Tx, before: Timestamp, most: u64) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM engine_changes WHERE job IN (SELECT c.job FROM engine_changes c \
         LEFT JOIN engines e ON e.id = c.engine \
         WHERE c.ended_ms < $1 AND (e.id IS NULL OR c.number < e.changes) LIMIT $2)",
        params![before.0, most.cast_signed()],
    )
}
