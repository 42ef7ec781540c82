//! How many restore points there are, kept beside them: a list tells the total
//! with each page, and must not count a million rows for it.
//!
//! `snapshot_counts` has a row for each owner and usage (scope ``), for each
//! subject, and for each system disk. Whatever inserts, hides, shows or deletes
//! a restore point adds to these rows in the same transaction. What is being
//! deleted is not counted.
//!
//! The owner's row would make all its transactions wait for each other on
//! PostgreSQL, so there it is spread over shards, one for each connection.

use backout_core::ids::AccountId;
use backout_store::rows::Conditions;
use backout_store::{Dialect, Error, Row, Tx, params, query_one};

use super::SnapshotFilter;

/// Over how many rows an owner's count is spread on PostgreSQL: more than the
/// connections of a process, few enough to be summed for every page.
const SHARDS: u32 = 16;

/// What [`Counted::read`] reads.
pub(super) const COUNTED_COLUMNS: &str = "owner, usage, subject, disk, safety";

/// Where a restore point is counted.
pub(super) struct Counted {
    pub(super) owner: String,
    pub(super) usage: String,
    pub(super) subject: String,
    pub(super) disk: String,
    pub(super) safety: bool,
}

impl Counted {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            owner: row.get(0)?,
            usage: row.get(1)?,
            subject: row.get(2)?,
            disk: row.get(3)?,
            safety: row.get::<i64>(4)? != 0,
        })
    }

    /// Counts `more` of them, fewer when negative.
    pub(super) fn add(&self, tx: &mut dyn Tx, more: i64) -> Result<(), Error> {
        let shard = match tx.dialect() {
            Dialect::Sqlite => "0".to_owned(),
            Dialect::Postgres => format!("pg_backend_pid() % {SHARDS}"),
        };
        let (points, safety) = if self.safety { (0, more) } else { (more, 0) };
        let numbers = "CAST($4 AS BIGINT), CAST($5 AS BIGINT)";
        // The rows that only jobs on this disk touch first; the one that all of
        // the owner share last.
        let mut rows = format!("($1, $2, $3, 0, {numbers})");
        let mut params = params![&self.owner, &self.subject, &self.usage, points, safety].to_vec();
        if self.disk != self.subject {
            params.push((&self.disk).into());
            rows.push_str(&format!(", ($1, $6, $3, 0, {numbers})"));
        }
        rows.push_str(&format!(", ($1, '', $3, {shard}, {numbers})"));
        tx.execute(
            &format!(
                "INSERT INTO snapshot_counts (owner, scope, usage, shard, points, safety) VALUES {rows} \
                 ON CONFLICT (owner, scope, usage, shard) DO UPDATE SET \
                 points = snapshot_counts.points + excluded.points, \
                 safety = snapshot_counts.safety + excluded.safety"
            ),
            &params,
        )?;
        Ok(())
    }
}

/// How many restore points match `filter`, which has no condition that is not
/// counted by: only an owner's, by subject or by disk, by usage and by safety.
pub(super) fn counted(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
) -> Result<u64, Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    let scopes: Vec<&str> = match (filter.subjects.is_empty(), filter.disks.is_empty()) {
        (true, true) => vec![""],
        (false, _) => filter.subjects.iter().map(String::as_str).collect(),
        (true, false) => filter.disks.iter().map(String::as_str).collect(),
    };
    w.one_of("scope", scopes);
    w.one_of("usage", filter.usage.iter().map(|u| u.as_str()));
    let what = match filter.safety {
        None => "points + safety",
        Some(false) => "points",
        Some(true) => "safety",
    };
    let row = query_one(
        tx,
        &format!(
            "SELECT CAST(COALESCE(SUM({what}), 0) AS BIGINT) FROM snapshot_counts WHERE {}",
            w.sql
        ),
        &w.params,
    )?;
    read_count(row.as_ref())
}

pub(super) fn read_count(row: Option<&Row>) -> Result<u64, Error> {
    let row = row.ok_or_else(|| Error::corrupt("a sum gave no row"))?;
    u64::try_from(row.get::<i64>(0)?).map_err(|_| Error::corrupt("a count below zero"))
}
