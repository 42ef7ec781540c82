//! The tables. What is in them: the rules, how often each may still be used and
//! how often it was; and a version that grows with every rule that is added or
//! removed, by which a process knows whether its copy of the rules is whole.
//! The use of a rule does not raise it: a copy may hold rules that are used up,
//! and learns so from the statement that would count their use.

use backout_core::ids::{AccountId, FaultId};
use backout_core::time::Timestamp;
use backout_jobs::Moment;
use backout_store::{Error, Migration, Row, Tx, params, query_one};

use crate::model::{RULES_MAX, Rule, What};

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "faults-0001",
    sql: "
CREATE TABLE faults (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    code TEXT,
    step TEXT,
    undo BIGINT NOT NULL,
    moment TEXT,
    message TEXT NOT NULL,
    resource TEXT,
    remaining BIGINT,
    until_ms BIGINT,
    created_ms BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    CHECK ((kind = 'call') = (code IS NOT NULL)),
    CHECK ((kind = 'step') = (step IS NOT NULL)),
    CHECK ((kind = 'step') = (moment IS NOT NULL)),
    CHECK (remaining IS NULL OR remaining >= 0)
);
CREATE INDEX faults_of_owner ON faults (owner, created_ms, id);
CREATE INDEX faults_by_end ON faults (until_ms) WHERE until_ms IS NOT NULL;
CREATE TABLE faults_version (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO faults_version (id, version) VALUES (1, 1);
",
}];

/// How many rules a process honours, over all owners: those of a hundred owners
/// that each have all they may. It bounds the memory to some megabytes.
const HONOURED_MAX: i64 = 100 * RULES_MAX;

/// How many expired rules are removed at once.
const SWEPT_AT_ONCE: i64 = 1000;

const COLUMNS: &str = "id, owner, kind, subject, code, step, undo, moment, message, resource, \
    remaining, until_ms, created_ms, hits";

/// What still does anything at `$1`.
const LIVE: &str = "(remaining IS NULL OR remaining > 0) AND (until_ms IS NULL OR until_ms > $1)";

fn read(row: &Row) -> Result<Rule, Error> {
    let missing = |what: &str| Error::corrupt(format!("a fault has no {what}"));
    let what = match row.text(2)? {
        "call" => What::Call {
            action: row.get(3)?,
            code: row.get::<Option<_>>(4)?.ok_or_else(|| missing("code"))?,
        },
        "step" => What::Step {
            procedure: row.get(3)?,
            step: row.get::<Option<_>>(5)?.ok_or_else(|| missing("step"))?,
            undo: row.get(6)?,
            moment: row.parse(7, Moment::parse)?,
        },
        other => return Err(Error::corrupt(format!("a fault is of the kind {other:?}"))),
    };
    let remaining: Option<i64> = row.get(10)?;
    Ok(Rule {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        what,
        message: row.get(8)?,
        resource: row.get(9)?,
        remaining: remaining
            .map(|n| u32::try_from(n).map_err(|_| Error::corrupt("a fault's count is negative")))
            .transpose()?,
        until: row.get::<Option<i64>>(11)?.map(Timestamp),
        created: Timestamp(row.get(12)?),
        hits: u64::try_from(row.get::<i64>(13)?).unwrap_or(0),
    })
}

/// The version of the rules.
pub(crate) fn version(tx: &mut dyn Tx) -> Result<i64, Error> {
    query_one(tx, "SELECT version FROM faults_version WHERE id = 1", &[])?
        .ok_or_else(|| Error::corrupt("faults_version has no row"))?
        .get(0)
}

/// Raises the version. First in every transaction that adds or removes rules,
/// which therefore come one after another, and wait for each other nowhere
/// else.
pub(crate) fn raise_version(tx: &mut dyn Tx) -> Result<(), Error> {
    tx.execute(
        "UPDATE faults_version SET version = version + 1 WHERE id = 1",
        &[],
    )?;
    Ok(())
}

/// The rules of all owners that still do anything, oldest first. One that does
/// not decode (a newer version's, say) does not keep the others from it.
pub(crate) fn live(tx: &mut dyn Tx, now: Timestamp) -> Result<Vec<Rule>, Error> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM faults WHERE {LIVE} ORDER BY created_ms, id LIMIT $2"),
        params![now.0, HONOURED_MAX],
    )?;
    let mut rules = Vec::with_capacity(rows.len());
    for row in &rows {
        match read(row) {
            Ok(rule) => rules.push(rule),
            Err(e) => {
                tracing::warn!(error = %e, "a fault is not honoured, its row does not decode")
            }
        }
    }
    Ok(rules)
}

/// How many rules an owner has, whether or not they still do anything.
pub(crate) fn count(tx: &mut dyn Tx, owner: &AccountId) -> Result<i64, Error> {
    query_one(
        tx,
        "SELECT COUNT(*) FROM faults WHERE owner = $1",
        params![owner.as_str()],
    )?
    .ok_or_else(|| Error::corrupt("a count has no row"))?
    .get(0)
}

/// An owner's rules, oldest first, which is the order in which they are tried.
pub(crate) fn list(
    tx: &mut dyn Tx,
    owner: &AccountId,
    offset: i64,
    limit: i64,
) -> Result<Vec<Rule>, Error> {
    tx.query(
        &format!(
            "SELECT {COLUMNS} FROM faults WHERE owner = $1 ORDER BY created_ms, id LIMIT $2 OFFSET $3"
        ),
        params![owner.as_str(), limit, offset],
    )?
    .iter()
    .map(read)
    .collect()
}

/// The owner's rule of this id.
pub(crate) fn find(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id: &FaultId,
) -> Result<Option<Rule>, Error> {
    query_one(
        tx,
        &format!("SELECT {COLUMNS} FROM faults WHERE owner = $1 AND id = $2"),
        params![owner.as_str(), id.as_str()],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

pub(crate) fn insert(tx: &mut dyn Tx, rule: &Rule) -> Result<(), Error> {
    let (kind, subject, code, step, undo, moment) = match &rule.what {
        What::Call { action, code } => ("call", action, Some(code), None, false, None),
        What::Step {
            procedure,
            step,
            undo,
            moment,
        } => (
            "step",
            procedure,
            None,
            Some(step),
            *undo,
            Some(moment.as_str()),
        ),
    };
    tx.execute(
        &format!(
            "INSERT INTO faults ({COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
        ),
        params![
            rule.id.as_str(),
            rule.owner.as_str(),
            kind,
            subject,
            code.cloned(),
            step.cloned(),
            undo,
            moment,
            &rule.message,
            rule.resource.clone(),
            rule.remaining.map(i64::from),
            rule.until.map(|t| t.0),
            rule.created.0,
            i64::try_from(rule.hits).unwrap_or(i64::MAX)
        ],
    )?;
    Ok(())
}

/// Counts one use of a rule, if it may still be used. Says how often more it
/// may be.
pub(crate) fn consume(
    tx: &mut dyn Tx,
    id: &FaultId,
    now: Timestamp,
) -> Result<Option<Option<i64>>, Error> {
    query_one(
        tx,
        &format!(
            "UPDATE faults SET hits = hits + 1, remaining = remaining - 1 \
             WHERE id = $2 AND {LIVE} RETURNING remaining"
        ),
        params![now.0, id.as_str()],
    )?
    .map(|row| row.get(0))
    .transpose()
}

/// Removes the owner's rule of this id; says whether there was one.
pub(crate) fn delete(tx: &mut dyn Tx, owner: &AccountId, id: &FaultId) -> Result<bool, Error> {
    let gone = tx.execute(
        "DELETE FROM faults WHERE owner = $1 AND id = $2",
        params![owner.as_str(), id.as_str()],
    )?;
    Ok(gone > 0)
}

/// Removes all rules of an owner that is being deleted; says how many there
/// were.
///
/// # Errors
/// The store's.
pub fn forget_owner(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    raise_version(tx)?;
    delete_all(tx, owner)
}

/// Removes all rules of an owner; says how many there were.
pub(crate) fn delete_all(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM faults WHERE owner = $1",
        params![owner.as_str()],
    )
}

/// Removes what an owner's used-up rules would keep others from.
pub(crate) fn delete_used_up(tx: &mut dyn Tx, owner: &AccountId) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM faults WHERE owner = $1 AND remaining = 0",
        params![owner.as_str()],
    )
}

/// Removes rules of any owner whose time is over; says how many, at most
/// [`SWEPT_AT_ONCE`].
pub(crate) fn sweep(tx: &mut dyn Tx, now: Timestamp) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM faults WHERE id IN \
         (SELECT id FROM faults WHERE until_ms <= $1 ORDER BY until_ms LIMIT $2)",
        params![now.0, SWEPT_AT_ONCE],
    )
}
