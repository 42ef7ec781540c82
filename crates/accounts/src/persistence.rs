//! The tables. What is in them: accounts with their policies; keys, each secret
//! sealed with the master key, each token as a hash; a value that tells whether
//! the master key is the right one; and a version that grows with every change
//! that makes a cached key wrong. What is not: anything that opens a secret.

use backout_core::ids::AccountId;
use backout_core::time::Timestamp;
use backout_store::{Error, Migration, Row, Store, Tx, Value, params, query_one};

use crate::model::{Account, KeyInfo, KeyKind, KeyStatus};

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "accounts-0001",
    sql: "
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    parent TEXT REFERENCES accounts (id),
    policy TEXT,
    is_admin BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    CHECK ((parent IS NULL) = (policy IS NULL)),
    CHECK (is_admin = 0 OR parent IS NULL)
);
CREATE UNIQUE INDEX accounts_one_admin ON accounts (is_admin) WHERE is_admin = 1;
CREATE INDEX accounts_by_parent ON accounts (parent, name);
CREATE TABLE account_keys (
    secret_id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    token_hash BYTEA,
    expires_ms BIGINT,
    created_ms BIGINT NOT NULL,
    CHECK ((kind = 'temporary') = (token_hash IS NOT NULL)),
    CHECK ((kind = 'temporary') = (expires_ms IS NOT NULL))
);
CREATE INDEX account_keys_by_account ON account_keys (account, kind, expires_ms);
CREATE INDEX account_keys_by_expiry ON account_keys (expires_ms);
CREATE TABLE account_key_check (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    sealed BYTEA NOT NULL
);
CREATE TABLE accounts_version (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO accounts_version (id, version) VALUES (1, 1);
",
}];

/// How long a temporary key is kept after it expired, so that its user is told
/// that it expired rather than that it never was.
pub(crate) const EXPIRED_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// How many expired keys are removed each time one is made: more than come, so
/// that they never pile up, and few enough to go unnoticed.
const PURGED_AT_ONCE: i64 = 100;

const ACCOUNT_COLUMNS: &str = "id, name, parent, policy, is_admin, disabled, created_ms";

/// Whether anything in the store is sealed with a master key already.
///
/// # Errors
/// When the store does not answer.
pub async fn holds_secrets(store: &Store) -> Result<bool, Error> {
    store
        .read(|tx| Ok(key_check(tx)?.is_some() || any_key(tx)?))
        .await
}

pub(crate) fn key_check(tx: &mut dyn Tx) -> Result<Option<Vec<u8>>, Error> {
    query_one(tx, "SELECT sealed FROM account_key_check WHERE id = 1", &[])?
        .map(|row| row.get(0))
        .transpose()
}

pub(crate) fn insert_key_check(tx: &mut dyn Tx, sealed: Vec<u8>) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO account_key_check (id, sealed) VALUES (1, $1)",
        params![sealed],
    )?;
    Ok(())
}

pub(crate) fn any_key(tx: &mut dyn Tx) -> Result<bool, Error> {
    Ok(query_one(tx, "SELECT 1 FROM account_keys LIMIT 1", &[])?.is_some())
}

/// Makes other transactions that change accounts wait for this one. With it a
/// count or a name that was looked up still holds when it is acted on.
pub(crate) fn lock(tx: &mut dyn Tx) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts_version SET version = version WHERE id = 1",
        &[],
    )?;
    Ok(())
}

/// Tells every process that what it has cached may be wrong; returns the new
/// version. The row is locked already, so versions grow in the order of
/// commits.
pub(crate) fn bump_version(tx: &mut dyn Tx) -> Result<i64, Error> {
    query_one(
        tx,
        "UPDATE accounts_version SET version = version + 1 WHERE id = 1 RETURNING version",
        &[],
    )?
    .ok_or_else(|| Error::corrupt("accounts_version has no row"))?
    .get(0)
}

pub(crate) fn version(tx: &mut dyn Tx) -> Result<i64, Error> {
    query_one(tx, "SELECT version FROM accounts_version WHERE id = 1", &[])?
        .ok_or_else(|| Error::corrupt("accounts_version has no row"))?
        .get(0)
}

fn account_id(row: &Row, index: usize) -> Result<AccountId, Error> {
    row.parse(index, |text| text.parse().ok())
}

fn read_account(row: &Row) -> Result<Account, Error> {
    Ok(Account {
        id: account_id(row, 0)?,
        name: row.get(1)?,
        parent: match row.get::<Option<String>>(2)? {
            None => None,
            Some(_) => Some(account_id(row, 2)?),
        },
        policy: row.get(3)?,
        is_admin: row.get(4)?,
        disabled: row.get(5)?,
        created: Timestamp(row.get(6)?),
    })
}

pub(crate) fn insert_account(tx: &mut dyn Tx, account: &Account) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO accounts (id, name, parent, policy, is_admin, disabled, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            account.id.as_str(),
            &account.name,
            account.parent.as_ref().map(AccountId::as_str),
            account.policy.clone(),
            account.is_admin,
            account.disabled,
            account.created.0
        ],
    )?;
    Ok(())
}

/// The account of this id or of this name. No name has the form of an id.
pub(crate) fn find_account(tx: &mut dyn Tx, who: &str) -> Result<Option<Account>, Error> {
    query_one(
        tx,
        &format!("SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE id = $1 OR name = $1"),
        params![who],
    )?
    .as_ref()
    .map(read_account)
    .transpose()
}

pub(crate) fn find_admin(tx: &mut dyn Tx) -> Result<Option<Account>, Error> {
    query_one(
        tx,
        &format!("SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE is_admin = 1"),
        &[],
    )?
    .as_ref()
    .map(read_account)
    .transpose()
}

/// Accounts after the name `after`, in the order of names: all of them, or
/// `of` and its sub-accounts, or `only`.
pub(crate) fn list_accounts(
    tx: &mut dyn Tx,
    of: Option<&AccountId>,
    after: &str,
    limit: u32,
) -> Result<Vec<Account>, Error> {
    let rows = match of {
        None => tx.query(
            &format!(
                "SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE name > $1 ORDER BY name LIMIT $2"
            ),
            params![after, i64::from(limit)],
        )?,
        Some(id) => tx.query(
            &format!(
                "SELECT {ACCOUNT_COLUMNS} FROM accounts
                 WHERE name > $1 AND (id = $3 OR parent = $3) ORDER BY name LIMIT $2"
            ),
            params![after, i64::from(limit), id.as_str()],
        )?,
    };
    rows.iter().map(read_account).collect()
}

fn count(tx: &mut dyn Tx, sql: &str, params: &[Value]) -> Result<i64, Error> {
    query_one(tx, sql, params)?
        .ok_or_else(|| Error::corrupt("a count has no row"))?
        .get(0)
}

pub(crate) fn count_sub_accounts(tx: &mut dyn Tx, of: &AccountId) -> Result<i64, Error> {
    count(
        tx,
        "SELECT COUNT(*) FROM accounts WHERE parent = $1",
        params![of.as_str()],
    )
}

pub(crate) fn set_policy(tx: &mut dyn Tx, of: &AccountId, policy: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET policy = $2 WHERE id = $1",
        params![of.as_str(), policy],
    )?;
    Ok(())
}

pub(crate) fn set_disabled(tx: &mut dyn Tx, of: &AccountId, disabled: bool) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET disabled = $2 WHERE id = $1",
        params![of.as_str(), disabled],
    )?;
    Ok(())
}

pub(crate) fn delete_account(tx: &mut dyn Tx, id: &AccountId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM account_keys WHERE account = $1",
        params![id.as_str()],
    )?;
    tx.execute("DELETE FROM accounts WHERE id = $1", params![id.as_str()])?;
    Ok(())
}

/// What is stored of a new key's secrets.
pub(crate) struct Sealed {
    pub(crate) secret: Vec<u8>,
    pub(crate) token_hash: Option<Vec<u8>>,
}

pub(crate) fn insert_key(tx: &mut dyn Tx, key: &KeyInfo, sealed: Sealed) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO account_keys
             (secret_id, account, kind, status, sealed, token_hash, expires_ms, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            &key.secret_id,
            key.account.as_str(),
            key.kind.as_str(),
            key.status.as_str(),
            sealed.secret,
            sealed.token_hash,
            key.expires.map(|t| t.0),
            key.created.0
        ],
    )?;
    Ok(())
}

pub(crate) fn count_permanent_keys(
    tx: &mut dyn Tx,
    of: &AccountId,
    active_only: bool,
) -> Result<i64, Error> {
    count(
        tx,
        "SELECT COUNT(*) FROM account_keys
         WHERE account = $1 AND kind = 'permanent' AND ($2 = 0 OR status = 'active')",
        params![of.as_str(), active_only],
    )
}

pub(crate) fn count_temporary_keys(
    tx: &mut dyn Tx,
    of: &AccountId,
    now: Timestamp,
) -> Result<i64, Error> {
    count(
        tx,
        "SELECT COUNT(*) FROM account_keys
         WHERE account = $1 AND kind = 'temporary' AND expires_ms > $2",
        params![of.as_str(), now.0],
    )
}

pub(crate) fn purge_expired_keys(tx: &mut dyn Tx, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM account_keys WHERE secret_id IN (
             SELECT secret_id FROM account_keys WHERE expires_ms < $1 ORDER BY expires_ms LIMIT $2)",
        params![now.plus_ms(-EXPIRED_KEPT_MS).0, PURGED_AT_ONCE],
    )?;
    Ok(())
}

const KEY_COLUMNS: &str = "secret_id, account, kind, status, expires_ms, created_ms";

fn read_key(row: &Row) -> Result<KeyInfo, Error> {
    Ok(KeyInfo {
        secret_id: row.get(0)?,
        account: account_id(row, 1)?,
        kind: row.parse(2, KeyKind::parse)?,
        status: row.parse(3, KeyStatus::parse)?,
        expires: row.get::<Option<i64>>(4)?.map(Timestamp),
        created: Timestamp(row.get(5)?),
    })
}

pub(crate) fn find_key(tx: &mut dyn Tx, secret_id: &str) -> Result<Option<KeyInfo>, Error> {
    query_one(
        tx,
        &format!("SELECT {KEY_COLUMNS} FROM account_keys WHERE secret_id = $1"),
        params![secret_id],
    )?
    .as_ref()
    .map(read_key)
    .transpose()
}

/// The keys of an account that have not expired, at most `limit`.
pub(crate) fn list_keys(
    tx: &mut dyn Tx,
    of: &AccountId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<KeyInfo>, Error> {
    tx.query(
        &format!(
            "SELECT {KEY_COLUMNS} FROM account_keys
             WHERE account = $1 AND (expires_ms IS NULL OR expires_ms > $2)
             ORDER BY kind, created_ms, secret_id LIMIT $3"
        ),
        params![of.as_str(), now.0, limit],
    )?
    .iter()
    .map(read_key)
    .collect()
}

pub(crate) fn set_key_status(
    tx: &mut dyn Tx,
    secret_id: &str,
    status: KeyStatus,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE account_keys SET status = $2 WHERE secret_id = $1",
        params![secret_id, status.as_str()],
    )?;
    Ok(())
}

pub(crate) fn delete_key(tx: &mut dyn Tx, secret_id: &str) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM account_keys WHERE secret_id = $1",
        params![secret_id],
    )?;
    Ok(())
}

/// Everything that decides whether a key is accepted.
pub(crate) struct KeyRow {
    pub(crate) key: KeyInfo,
    pub(crate) sealed: Sealed,
    pub(crate) account: Account,
    pub(crate) parent_disabled: bool,
}

pub(crate) fn key_row(tx: &mut dyn Tx, secret_id: &str) -> Result<Option<KeyRow>, Error> {
    let row = query_one(
        tx,
        "SELECT a.id, a.name, a.parent, a.policy, a.is_admin, a.disabled, a.created_ms,
                k.secret_id, k.account, k.kind, k.status, k.expires_ms, k.created_ms,
                k.sealed, k.token_hash, COALESCE(p.disabled, 0)
         FROM account_keys k
         JOIN accounts a ON a.id = k.account
         LEFT JOIN accounts p ON p.id = a.parent
         WHERE k.secret_id = $1",
        params![secret_id],
    )?;
    let Some(row) = row else { return Ok(None) };
    let account = read_account(&row)?;
    let sealed = Sealed {
        secret: row.get(13)?,
        token_hash: row.get(14)?,
    };
    let parent_disabled = row.get(15)?;
    let key = read_key(&Row(row.0.get(7..13).unwrap_or_default().to_vec()))?;
    Ok(Some(KeyRow {
        key,
        sealed,
        account,
        parent_disabled,
    }))
}
