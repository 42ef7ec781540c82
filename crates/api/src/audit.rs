//! The audit trail: one line for every call that wanted to change something,
//! whether it was let through or refused.
//!
//! A line is written after its call was decided, in a transaction of its own:
//! a call that failed must leave its line all the same. What a job then did is
//! told by the job, which carries the same request id.

use backout_core::ids::{AccountId, JobId, RequestId};
use backout_core::time::Timestamp;
use backout_store::{Error, Migration, Row, Store, Tx, params};

/// The table of the audit trail.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "audit-0001",
    sql: "
CREATE TABLE audit (
  at_ms BIGINT NOT NULL,
  account TEXT NOT NULL,
  owner TEXT NOT NULL,
  request_id TEXT NOT NULL,
  action TEXT NOT NULL,
  resource TEXT NOT NULL,
  refused TEXT,
  job TEXT
);
CREATE INDEX audit_by_request ON audit (request_id);
CREATE INDEX audit_by_time ON audit (at_ms);",
}];

/// The longest resource text that is kept, in characters: the hundred ids of
/// the longest call that names several, with room for names beside.
const RESOURCE_CHARS_MAX: usize = 2048;

/// How many lines are read for one request. A call writes one; the room is for
/// those that change several resources.
const LINES_OF_REQUEST_MAX: i64 = 20;

/// What one call wanted, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was decided.
    pub at: Timestamp,
    /// Who called.
    pub account: AccountId,
    /// On whose resources.
    pub owner: AccountId,
    /// The id of the call.
    pub request: RequestId,
    /// The action as policies name it, e.g. `backout:Rollback`.
    pub action: String,
    /// What it was about, as the caller named it.
    pub resource: String,
    /// The code of the refusal; absent when it was let through.
    pub refused: Option<String>,
    /// The job that it made.
    pub job: Option<JobId>,
}

/// Writes a line.
///
/// # Errors
/// The store's.
pub async fn record(store: &Store, line: Line) -> Result<(), Error> {
    store.write(move |tx| record_in(tx, &line)).await
}

/// Writes a line inside a transaction that is under way.
///
/// # Errors
/// The store's.
pub fn record_in(tx: &mut dyn Tx, line: &Line) -> Result<(), Error> {
    let resource: String = line.resource.chars().take(RESOURCE_CHARS_MAX).collect();
    tx.execute(
        "INSERT INTO audit (at_ms, account, owner, request_id, action, resource, refused, job) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            line.at.0,
            line.account.as_str(),
            line.owner.as_str(),
            line.request.0.as_str(),
            line.action.as_str(),
            resource,
            line.refused.clone(),
            line.job.as_ref().map(JobId::as_str),
        ],
    )?;
    Ok(())
}

/// The lines of one call, oldest first.
///
/// # Errors
/// The store's.
pub async fn find_by_request(store: &Store, request: &RequestId) -> Result<Vec<Line>, Error> {
    let request = request.0.clone();
    store
        .read(move |tx| {
            tx.query(
                "SELECT at_ms, account, owner, request_id, action, resource, refused, job FROM audit \
                 WHERE request_id = $1 ORDER BY at_ms LIMIT $2",
                params![request, LINES_OF_REQUEST_MAX],
            )?
            .iter()
            .map(read_line)
            .collect()
        })
        .await
}

/// Removes at most about `batch` lines that are older than `before`. Returns
/// how many: none means that none is left.
///
/// # Errors
/// The store's.
pub async fn retain(store: &Store, before: Timestamp, batch: usize) -> Result<u64, Error> {
    let batch = i64::try_from(batch).unwrap_or(i64::MAX);
    store
        .write(move |tx| {
            tx.execute(
                "DELETE FROM audit WHERE at_ms < $1 AND request_id IN \
                 (SELECT request_id FROM audit WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)",
                params![before.0, batch],
            )
        })
        .await
}

fn read_line(row: &Row) -> Result<Line, Error> {
    let job: Option<String> = row.get(7)?;
    Ok(Line {
        at: Timestamp(row.get(0)?),
        account: row.parse(1, |t| t.parse().ok())?,
        owner: row.parse(2, |t| t.parse().ok())?,
        request: RequestId(row.get(3)?),
        action: row.get(4)?,
        resource: row.get(5)?,
        refused: row.get(6)?,
        job: job
            .map(|t| {
                t.parse()
                    .map_err(|e| Error::corrupt(format!("an audit line: {e}")))
            })
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use backout_core::ids::OsEntropy;

    use super::*;

    #[tokio::test]
    async fn lines_are_found_by_request_and_retained() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(&folder.path().join("db"), MIGRATIONS).unwrap();
        let line = Line {
            at: Timestamp(1_700_000_000_000),
            account: AccountId::random(&OsEntropy),
            owner: AccountId::random(&OsEntropy),
            request: RequestId("r1".into()),
            action: "backout:Rollback".into(),
            resource: "server/web".into(),
            refused: Some("BO0004".into()),
            job: None,
        };
        let accepted = Line {
            at: line.at.plus_ms(5),
            refused: None,
            job: Some(JobId::random(&OsEntropy)),
            ..line.clone()
        };
        record(&store, accepted.clone()).await.unwrap();
        record(&store, line.clone()).await.unwrap();
        let found = find_by_request(&store, &line.request).await.unwrap();
        assert_eq!(found, [line.clone(), accepted.clone()]);
        assert!(
            find_by_request(&store, &RequestId("r2".into()))
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(retain(&store, accepted.at, 10).await.unwrap(), 1);
        assert_eq!(
            find_by_request(&store, &line.request).await.unwrap(),
            [accepted]
        );
    }
}
