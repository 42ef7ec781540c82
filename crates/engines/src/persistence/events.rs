//! The rows of what happened.

use backout_core::ids::EngineId;
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, paged};
use backout_store::{Error, Row, Tx, params};

use super::{next_number, read_u64};
use crate::model::Event;

/// How many events of an engine are kept, the newest ones: some per day for a
/// year.
pub const EVENTS_KEPT: u64 = 1000;

const COLUMNS: &str = "number, engine, action, message, at_ms";

/// Writes down what happened; the oldest beyond [`EVENTS_KEPT`] is forgotten.
pub fn record_event(
    tx: &mut dyn Tx,
    engine: &EngineId,
    action: &str,
    message: &str,
    at: Timestamp,
) -> Result<(), Error> {
    let number = next_number(tx, "event")?;
    tx.execute(
        &format!("INSERT INTO engine_events ({COLUMNS}) VALUES ($1, $2, $3, $4, $5)"),
        params![number.cast_signed(), engine.as_str(), action, message, at.0],
    )?;
    tx.execute(
        "DELETE FROM engine_events WHERE engine = $1 AND number <= (SELECT e.number FROM \
         engine_events e WHERE e.engine = $1 ORDER BY e.number DESC LIMIT 1 OFFSET $2)",
        params![engine.as_str(), EVENTS_KEPT.cast_signed()],
    )?;
    Ok(())
}

/// One page of what happened to an engine within a time, newest first, and how
/// much there is.
pub fn list_events(
    tx: &mut dyn Tx,
    engine: &EngineId,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    page: Page,
) -> Result<(u64, Vec<Event>), Error> {
    let mut w = Conditions::new("engine", engine.as_str());
    w.between("at_ms", from.map(|t| t.0), to.map(|t| t.0));
    paged(
        tx,
        COLUMNS,
        "engine_events",
        w,
        "number DESC",
        page,
        read_event,
    )
}

fn read_event(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        number: read_u64(row, 0)?,
        engine: row.parse(1, |t| t.parse().ok())?,
        action: row.get(2)?,
        message: row.get(3)?,
        at: Timestamp(row.get(4)?),
    })
}
