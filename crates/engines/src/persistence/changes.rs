//! The rows of changes: what jobs were told, and how far they are.

use backout_core::ids::{EngineId, JobId, RecordId, RequestId};
use backout_core::time::Timestamp;
use backout_store::rows::{json_text, optional, read_json};
use backout_store::{Error, Row, Tx, params};

use super::{one, read_u64};
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
