//! The rows of the log: what was done to the image of each engine.

use backout_core::ids::{EngineId, RecordId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, json_text, optional, paged, read_json};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{one, read_u32, read_u64, several};
use crate::model::{Head, Operation, Record};
use crate::refusal::{Damage, Refusal};

const COLUMNS: &str =
    "id, engine, number, operation, before, restored, uses, config, size, job, at_ms";

/// In the words of the index, which has all that is asked.
const HEADS: &str = "SELECT id, operation, before, uses FROM engine_log \
                     WHERE engine = $1 AND recent = 1 ORDER BY number DESC LIMIT 2";

/// A row of the log, whose operation may be none.
type Read = Result<Record, Damage>;

/// The last record of an engine and the one with the number before, found by
/// index however long the log is.
///
/// # Errors
/// [`Refusal::Record`] when one tells of an operation that there is not.
pub fn last_records(
    tx: &mut dyn Tx,
    engine: &EngineId,
) -> Result<(Option<Record>, Option<Record>), Refusal> {
    let sql =
        format!("SELECT {COLUMNS} FROM engine_log WHERE engine = $1 ORDER BY number DESC LIMIT 2");
    let mut rows = several(tx, &sql, params![engine.as_str()], read_record)?.into_iter();
    let last = whole(engine, rows.next())?;
    // What is wrong with the one before is met by who goes back to it.
    let before = rows.next().and_then(Result::ok);
    Ok((last, before))
}

/// The heads of what [`last_records`] finds, and nothing else: they stand side by
/// side in an index of their own.
///
/// # Errors
/// As [`last_records`].
pub fn last_heads(
    tx: &mut dyn Tx,
    engine: &EngineId,
) -> Result<(Option<Head>, Option<Head>), Refusal> {
    let mut rows = several(tx, HEADS, params![engine.as_str()], read_head)?.into_iter();
    let last = rows.next().transpose();
    let last = last.map_err(|damage| damaged(engine, damage))?;
    let before = rows.next().and_then(Result::ok);
    Ok((last, before))
}

/// A record of an engine.
///
/// # Errors
/// As [`last_records`].
pub fn record(
    tx: &mut dyn Tx,
    engine: &EngineId,
    id: &RecordId,
) -> Result<Option<Record>, Refusal> {
    let sql = format!("SELECT {COLUMNS} FROM engine_log WHERE id = $1 AND engine = $2");
    whole(
        engine,
        one(tx, &sql, params![id.as_str(), engine.as_str()], read_record)?,
    )
}

/// One page of the records of an engine, newest first, and how many there are.
///
/// # Errors
/// As [`last_records`].
pub fn list_records(
    tx: &mut dyn Tx,
    engine: &EngineId,
    page: Page,
) -> Result<(u64, Vec<Record>), Refusal> {
    let w = Conditions::new("engine", engine.as_str());
    let order = "number DESC";
    let (total, rows) = paged(tx, COLUMNS, "engine_log", w, order, page, read_record)?;
    let rows = rows
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|damage| damaged(engine, damage))?;
    Ok((total, rows))
}

/// Adds a record behind the last one of its engine, which becomes the one before
/// it. Nothing is added when the last one is of the same job. Two of one engine
/// are never added at once, since a job claims it.
pub fn append_record(tx: &mut dyn Tx, mut record: Record) -> Result<(), Error> {
    let sql =
        "SELECT id, number, job FROM engine_log WHERE engine = $1 ORDER BY number DESC LIMIT 1";
    let last = query_one(tx, sql, params![record.engine.as_str()])?;
    record.number = 1;
    if let Some(last) = last {
        if last.text(2)? == record.job.as_str() {
            return Ok(());
        }
        record.before = Some(last.parse(0, |t| t.parse().ok())?);
        record.number = read_u64(&last, 1)? + 1;
    }
    insert_record(tx, &record)?;
    tx.execute(
        "UPDATE engine_log SET recent = 0 WHERE engine = $1 AND recent = 1 AND number < $2",
        params![record.engine.as_str(), record.number.cast_signed() - 1],
    )?;
    Ok(())
}

fn insert_record(tx: &mut dyn Tx, record: &Record) -> Result<(), Error> {
    tx.execute(
        &format!(
            "INSERT INTO engine_log ({COLUMNS}, recent) VALUES \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)"
        ),
        params![
            record.id.as_str(),
            record.engine.as_str(),
            record.number.cast_signed(),
            record.operation.as_str(),
            record.before.as_ref().map(RecordId::as_str),
            record.restored.as_ref().map(RecordId::as_str),
            json_text("uses", &record.uses)?,
            json_text("config", &record.config)?,
            i64::from(record.size),
            record.job.as_str(),
            record.at.0
        ],
    )?;
    Ok(())
}

fn whole(engine: &EngineId, read: Option<Read>) -> Result<Option<Record>, Refusal> {
    read.transpose().map_err(|damage| damaged(engine, damage))
}

fn damaged(engine: &EngineId, damage: Damage) -> Refusal {
    Refusal::Record {
        engine: engine.clone(),
        damage,
    }
}

fn read_head(row: &Row) -> Result<Result<Head, Damage>, Error> {
    let word = row.text(1)?;
    let Some(operation) = Operation::parse(word) else {
        return Ok(Err(Damage::Operation(word.to_owned())));
    };
    Ok(Ok(Head {
        id: row.parse(0, |t| t.parse().ok())?,
        operation,
        before: optional(row, 2, |row, at| row.parse(at, |t| t.parse().ok()))?,
        uses: read_json("uses", row, 3)?,
    }))
}

fn read_record(row: &Row) -> Result<Read, Error> {
    let word = row.text(3)?;
    let Some(operation) = Operation::parse(word) else {
        return Ok(Err(Damage::Operation(word.to_owned())));
    };
    Ok(Ok(Record {
        id: row.parse(0, |t| t.parse().ok())?,
        engine: row.parse(1, |t| t.parse().ok())?,
        number: read_u64(row, 2)?,
        operation,
        before: optional(row, 4, |row, at| row.parse(at, |t| t.parse().ok()))?,
        restored: optional(row, 5, |row, at| row.parse(at, |t| t.parse().ok()))?,
        uses: read_json("uses", row, 6)?,
        config: read_json("config", row, 7)?,
        size: read_u32(row, 8)?,
        job: row.parse(9, |t| t.parse().ok())?,
        at: Timestamp(row.get(10)?),
    }))
}

#[cfg(test)]
mod tests {
    use backout_store::Store;

    use super::*;

    #[tokio::test]
    async fn the_index_of_heads_is_all_that_is_read_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_sqlite(&folder.path().join("state.db"), super::super::MIGRATIONS).unwrap();
        let plan = store
            .read(|tx| tx.query(&format!("EXPLAIN QUERY PLAN {HEADS}"), params!["engine"]))
            .await
            .unwrap();
        let [step] = plan.as_slice() else {
            unreachable!("{plan:?}");
        };
        let said = step.text(3).unwrap();
        assert!(said.contains("COVERING INDEX engine_log_recent"), "{said}");
    }
}
